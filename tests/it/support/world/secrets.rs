//! Secrets of the test's database, and others.

use aws_sdk_secretsmanager::config::Credentials;
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;
use crate::support::variable;

impl World {
    /// What the secret of the test's database says.
    pub(crate) fn credentials(&self) -> Value {
        json!({
            "engine": "postgres",
            "host": variable("PGHOST"),
            "port": variable("PGPORT").parse::<u16>().unwrap(),
            "dbname": self.database.name,
            "username": variable("PGUSER"),
            "password": variable("PGPASSWORD"),
        })
    }

    /// Makes a secret.
    pub(crate) async fn create_secret(&self, name: &str, value: &str) {
        self.aws
            .secrets
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }

    /// Gives a secret a new version, the current one from now on.
    pub(crate) async fn put_secret(&self, name: &str, value: &str) {
        self.aws
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }

    /// A secret like the first in another account, with a key that can be shared or the default one; its ARN.
    pub(crate) async fn secret_of_another_account(&self, key: Option<&str>) -> String {
        let config = self.aws.secrets.config().to_builder();
        // LocalStack's account is the access key.
        let theirs = Credentials::new("111111111111", "theirs", None, None, "another account");
        let config = config.credentials_provider(theirs).build();
        aws_sdk_secretsmanager::Client::from_conf(config)
            .create_secret()
            .name(&self.name)
            .secret_string(self.credentials().to_string())
            .set_kms_key_id(key.map(str::to_owned))
            .send()
            .await
            .unwrap()
            .arn
            .unwrap()
    }

    /// What a secret says, and the id of that version.
    pub(crate) async fn current_secret(&self, name: &str) -> (Value, String) {
        let secret = self.aws.secrets.get_secret_value().secret_id(name);
        let secret = secret.send().await.unwrap();
        let value = serde_json::from_str(secret.secret_string().unwrap()).unwrap();
        (value, secret.version_id.unwrap())
    }

    /// Adds a version to a secret that is not the current one yet; returns its id.
    pub(crate) async fn put_pending_secret(&self, name: &str, value: &Value) -> String {
        let put = self
            .aws
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string(value.to_string())
            .version_stages("AWSPENDING")
            .send()
            .await
            .unwrap();
        put.version_id.unwrap()
    }

    /// Makes another version of a secret the current one.
    pub(crate) async fn move_current_secret(&self, name: &str, from: &str, to: &str) {
        self.aws
            .secrets
            .update_secret_version_stage()
            .secret_id(name)
            .version_stage("AWSCURRENT")
            .move_to_version_id(to)
            .remove_from_version_id(from)
            .send()
            .await
            .unwrap();
    }

    /// A secret beside the first, equal to it but for some fields; returns its name.
    pub(crate) async fn secret_with(&self, changes: &Value) -> String {
        let mut value = self.credentials();
        for (field, change) in changes.as_object().unwrap() {
            value[field] = change.clone();
        }
        let name = format!("{}-{}", self.name, Uuid::new_v4().simple());
        self.create_secret(&name, &value.to_string()).await;
        name
    }
}
