//! The examples of the AWS CDK: synthesised with what npm and pip install, and deployed as they come out.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Worker, World, variable};

// Takes a minute where the CDK is not installed yet.
#[tokio::test]
async fn the_examples_in_typescript_and_python_are_deployed_and_install_extensions() {
    let templates = synthesised();
    for language in ["typescript", "python"] {
        let world = World::new().await;
        let _worker = Worker::start(&world, &[("WORKER_VERIFY_STACKS", "enforce")]);
        let template = fs::read_to_string(templates[language].as_str().unwrap()).unwrap();
        let stack = world.template_stack(language);
        let parameters = [
            ("WorkerTopicArn", world.topic_arn.as_str()),
            ("Database", &world.secret),
        ];
        let created = stack.create(&template, &parameters).await;
        assert_eq!(created.status, "CREATE_COMPLETE", "{language}: {created:?}");
        let installed = &created.outputs["Installed"];
        assert!(installed.starts_with("pg_trgm="), "{installed}");
        let extensions: Vec<String> = world.database.extensions().await.into_keys().collect();
        assert_eq!(extensions, ["pg_trgm", "pgcrypto"], "{language}");
        assert_eq!(stack.delete().await, "DELETE_COMPLETE");
        assert!(world.database.extensions().await.is_empty());
    }
}

/// The templates' paths, by the language; `localstack/cdk.py` installs and synthesises.
fn synthesised() -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/cdk.py");
    let output = Command::new(variable("LOCALSTACK_PYTHON"))
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the examples cannot be synthesised"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
