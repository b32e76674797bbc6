//! Database stacks that move to another worker's stack: a ServiceToken cannot be modified.

use super::{EXISTING, stop};
use crate::support::{DATABASE, Network, Platform, World};

#[tokio::test]
async fn database_stacks_follow_to_another_worker_and_nothing_is_dropped() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let old = Platform::deploy(&world, &network, "old").await;
    let database = old.database("app");
    let stack = world.template_stack("db");
    let extensions = ("Extensions", "hstore,pgcrypto");
    let parameters = [extensions];
    let parameters = old.parameters(&network, &database, &parameters);
    let created = stack.create(DATABASE, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    let existing = world.template_stack("existing");
    let of_existing = |platform: &Platform<'_>| {
        let token = platform.outputs["TopicArn"].clone();
        move |secret: &str| {
            [
                ("ServiceToken", token.clone()),
                ("DBSecret", secret.to_owned()),
            ]
        }
    };
    let parameters = of_existing(&old)(&world.secret);
    let created = existing.create(EXISTING, &borrowed(&parameters)).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    let table = "CREATE TABLE kept AS SELECT 'a=>1'::hstore AS item";
    database.execute(table).await;
    let oids = "SELECT string_agg(oid::text, ',' ORDER BY extname) FROM pg_extension";
    let before = [database.text(oids).await, world.database.text(oids).await];

    // The ServiceToken of a resource cannot be modified.
    let new = Platform::deploy(&world, &network, "new").await;
    let parameters = of_existing(&new)(&world.secret);
    let refused = existing.update(EXISTING, &borrowed(&parameters)).await;
    let expected = "Modifying service token is not allowed";
    assert!(refused.reason.contains(expected), "{refused:?}");

    // Another logical id: the new worker adopts, then the old one is sent the Delete.
    let parameters = [
        ("WorkerStackName", new.stack.name.as_str()),
        ("PreviousWorkerStackName", &old.stack.name),
        extensions,
    ];
    let parameters = new.parameters(&network, &database, &parameters);
    let moved = DATABASE.replace("InstallPlugins", "InstallPlugins2");
    let updated = stack.update(&moved, &parameters).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    let parameters = of_existing(&new)(&world.secret);
    // Beside the old one first: what DeletionBehavior says of the old one has no effect while the new one declares it.
    let both = renamed(EXISTING, Some(&old.outputs["TopicArn"]));
    let updated = existing.update(&both, &borrowed(&parameters)).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    let alone = renamed(EXISTING, None);
    let updated = existing.update(&alone, &borrowed(&parameters)).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    let after = [database.text(oids).await, world.database.text(oids).await];
    assert_eq!(after, before, "nothing was dropped and made anew");

    // The previous worker is no longer admitted, and can be deleted.
    let parameters = [extensions];
    let parameters = new.parameters(&network, &database, &parameters);
    let updated = stack.update(&moved, &parameters).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(old.stack.delete().await, "DELETE_COMPLETE");
    stop(old.worker).await;
    let parameters = [("Extensions", "hstore,pgcrypto,citext")];
    let parameters = new.parameters(&network, &database, &parameters);
    let updated = stack.update(&moved, &parameters).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    let changes = &updated.outputs["Changes"];
    assert!(changes.starts_with("created citext"), "{changes}");
    assert_eq!(existing.delete().await, "DELETE_COMPLETE");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
}

/// `existing-database.yaml` with its resource under another logical id, for another worker: beside the old one, with the
/// old ServiceToken, or alone.
fn renamed(template: &str, old_token: Option<&str>) -> String {
    let (head, rest) = template
        .split_once("  Extensions:\n    Type: Custom::")
        .unwrap();
    let (resource, outputs) = rest.split_once("\nOutputs:\n").unwrap();
    let resource = format!("    Type: Custom::{resource}");
    let old = old_token.map_or_else(String::new, |token| {
        let old = resource.replace("!Ref ServiceToken", token);
        format!("  Extensions:\n{old}")
    });
    let outputs = outputs.replace("GetAtt Extensions.", "GetAtt Extensions2.");
    format!("{head}{old}  Extensions2:\n{resource}\nOutputs:\n{outputs}")
}

fn borrowed<'a>(parameters: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
