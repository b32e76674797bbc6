//! What the operator does not allow is not planned.

use super::*;
use crate::ledger::{Managed, Origin, Owner, ResourceRecord, ResourceState, Role};

fn policy(extensions: &str) -> Policy {
    Policy {
        extensions: extensions
            .split(',')
            .map(|pattern| pattern.parse().unwrap())
            .collect(),
        allow_drop_cascade: false,
    }
}

#[test]
fn an_extension_that_the_operator_does_not_allow_is_not_created() {
    let resource = resource("Extensions");
    let offers = server("cube 1.5: 1.5\n earthdistance 1.1: 1.1 requires cube");
    let under = |extensions: &str, name: &str, observed: &Observed| {
        let intent = Intent {
            resource: &resource,
            declarations: &[declare(name, "")],
            deletion_behavior: DeletionBehavior::DropUnused,
            policy: &policy(extensions),
        };
        planned_as(&intent, observed, &Ledger::default())
    };
    assert_snapshot!(under("earth*,cube", "earthdistance", &offers), @r#"CREATE EXTENSION "earthdistance" SCHEMA "public" VERSION '1.1' CASCADE"#);
    assert_snapshot!(under("earth*", "cube", &offers), @r#"Extension "cube" cannot be created on demo1/app: it is not among the extensions that the worker creates (WORKER_EXTENSIONS: earth*). Leave it out, or ask the worker's operator to allow it."#);
    assert_snapshot!(under("earth*", "earthdistance", &offers), @r#"Extension "earthdistance" cannot be created on demo1/app: "cube", which it requires, is not among the extensions that the worker creates (WORKER_EXTENSIONS: earth*). Leave it out, or ask the worker's operator to allow it."#);
    let with_cube = with(offers, "cube", "1.5", &[]);
    assert_snapshot!(under("earth*", "cube", &with_cube), @"");
    assert_snapshot!(under("earth*", "earthdistance", &with_cube), @r#"CREATE EXTENSION "earthdistance" SCHEMA "public" VERSION '1.1'"#);
}

#[test]
fn drop_cascade_is_refused_for_a_new_resource_and_where_it_would_drop() {
    let resource = resource("Extensions");
    let observed = with(server("hstore 1.8: 1.8"), "hstore", "1.8", &[]);
    let owner = Owner {
        resource: resource.clone(),
        role: Role::Declared,
    };
    let managed = Managed {
        origin: Origin::Created,
        owners: vec![owner],
    };
    let new = Ledger::default();
    let live = Ledger {
        resource: Some(ResourceRecord {
            physical_resource_id: "id".to_owned(),
            state: ResourceState::Live,
            request_type: "Create".to_owned(),
            requested_at: chrono::DateTime::UNIX_EPOCH,
        }),
        managed: BTreeMap::from([("hstore".to_owned(), managed)]),
        ..Ledger::default()
    };
    let cascading = |declarations: &[Declaration], ledger: &Ledger, policy: &Policy| {
        let intent = Intent {
            resource: &resource,
            declarations,
            deletion_behavior: DeletionBehavior::DropCascade,
            policy,
        };
        planned_as(&intent, &observed, ledger)
    };
    let restricted = policy("*");
    let declared = [declare("hstore", "")];
    assert_snapshot!(cascading(&declared, &new, &restricted), @"DeletionBehavior: DropCascade is not allowed by the worker (WORKER_ALLOW_DROP_CASCADE is false). Use DropUnused, Drop or Retain, or ask the worker's operator to allow it.");
    assert_snapshot!(cascading(&declared, &live, &restricted), @"warning: DeletionBehavior DropCascade is not allowed by the worker's WORKER_ALLOW_DROP_CASCADE, so that dependent objects are not dropped");
    assert_snapshot!(cascading(&[], &live, &restricted), @r#"Extension "hstore" is not dropped on demo1/app: DeletionBehavior DropCascade is not allowed by the worker (WORKER_ALLOW_DROP_CASCADE is false). Change DeletionBehavior to DropUnused, Drop or Retain, or ask the worker's operator to allow it."#);
    assert_snapshot!(cascading(&[], &live, &Policy::unrestricted()), @r#"DROP EXTENSION "hstore" CASCADE"#);
    // A resource that owns nothing goes.
    assert_snapshot!(cascading(&[], &new, &restricted), @"");
}
