//! What the contestants are asked: the same two extensions, on databases that have them, and on fresh ones.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Requests;
use crate::world::World;

/// Of contrib, so that each server has them.
pub(crate) const EXTENSIONS: [&str; 2] = ["hstore", "pg_trgm"];

/// A Create of a stack's own.
pub(crate) fn create(world: &World, database: &str) -> (String, Value) {
    let (id, mut request) = world.request(0, None);
    let properties = &mut request["ResourceProperties"];
    properties["DBName"] = json!(database);
    properties["Extensions"] = json!(EXTENSIONS);
    (id, request)
}

/// Resources that exist, of which an Update finds everything as declared.
pub(crate) struct Resources(Vec<(Value, String)>);

impl Resources {
    /// Of Creates that were answered.
    pub(crate) fn new(world: &World, created: Requests) -> Self {
        let with_ids = created.into_iter().map(|(id, request)| {
            let physical_id = world.physical_id(&id);
            (request, physical_id)
        });
        Self(with_ids.collect())
    }

    /// Updates of one resource after the other.
    pub(crate) fn updates(&self, count: usize) -> Requests {
        self.endless_updates().take(count).collect()
    }

    /// The same without an end.
    pub(crate) fn endless_updates(&self) -> impl Iterator<Item = (String, Value)> {
        let turns = self.0.iter().cycle();
        turns.map(|(create, id)| update(create, id))
    }
}

fn update(create: &Value, physical_id: &str) -> (String, Value) {
    let id = Uuid::new_v4().to_string();
    let mut request = create.clone();
    let old = create["RequestId"].as_str().unwrap();
    let url = create["ResponseURL"].as_str().unwrap();
    // The key ends with the request's id; the stack's is made of one too.
    let (before, after) = url.rsplit_once(old).unwrap();
    request["ResponseURL"] = json!(format!("{before}{id}{after}"));
    request["RequestId"] = json!(id);
    request["RequestType"] = json!("Update");
    request["PhysicalResourceId"] = json!(physical_id);
    request["OldResourceProperties"] = create["ResourceProperties"].clone();
    (id, request)
}
