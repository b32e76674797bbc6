//! Versions and schemas of one extension.

use serde_json::json;

use crate::support::{Fixture, Worker, World};

use super::{chain, extensions, only};

#[tokio::test]
async fn a_version_moves_along_the_paths_that_there_are() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let name = &chain.name;
    let stack = world.stack("app");
    let at = |version: &str| extensions(&world, json!([{"Name": name, "Version": version}]));
    stack.create(&extensions(&world, json!([name])), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "1.0"));
    stack.update(&at("2.0"), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "2.0"));
    // With the version left out it stays where it is.
    stack
        .update(
            &extensions(&world, json!([{"Name": name, "Cascade": false}])),
            &[],
        )
        .await;
    assert_eq!(world.database.extensions().await, only(name, "2.0"));

    let failed = stack.update(&at("3.0"), &[]).await;
    assert!(
        failed
            .reason
            .contains("there is no update path from the installed version 2.0 to 3.0"),
        "{failed:?}"
    );
    assert!(
        failed.reason.contains("It can be updated to: 2.1."),
        "{failed:?}"
    );
    let failed = stack.update(&at("1.0"), &[]).await;
    assert!(
        failed
            .reason
            .contains("no update path from the installed version 2.0 to 1.0"),
        "{failed:?}"
    );
    assert_eq!(world.database.extensions().await, only(name, "2.0"));
    stack.update(&at("2.*"), &[]).await;
    assert_eq!(world.database.extensions().await, only(name, "2.1"));
}

#[tokio::test]
async fn a_pattern_creates_the_version_that_it_would_update_to() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    // The control file's default lies below the end of the chain.
    chain.set_control("default_version = '2.0'\nrelocatable = true\n");
    for name in [chain.name.to_uppercase(), chain.name.clone()] {
        let declared = extensions(&world, json!([{"Name": name, "Version": "2.*"}]));
        let answer = world.create(declared.clone()).await;
        assert_eq!(answer["Data"][&name], "2.1", "{answer}");
        let again = world.create(declared).await;
        assert_eq!(again["Data"]["Changes"], "none", "{again}");
        world
            .database
            .execute(&format!("DROP EXTENSION \"{}\"", chain.name))
            .await;
    }
}

#[tokio::test]
async fn default_follows_the_servers_default_up_and_never_down() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let stack = world.stack("app");
    let properties = |cascade: bool| {
        extensions(
            &world,
            json!([{"Name": chain.name, "Version": "default", "Cascade": cascade}]),
        )
    };
    stack.create(&properties(true), &[]).await;
    chain.set_control("default_version = '2.1'\nrelocatable = true\n");
    stack.update(&properties(false), &[]).await;
    assert_eq!(world.database.extensions().await, only(&chain.name, "2.1"));
    chain.set_control("default_version = '1.0'\nrelocatable = true\n");
    let updated = stack.update(&properties(true), &["Changes"]).await;
    assert_eq!(updated.outputs["Changes"], "none");
    assert_eq!(world.database.extensions().await, only(&chain.name, "2.1"));
}

#[tokio::test]
async fn zero_is_a_version() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let zero = Fixture::install(
        &format!("{}_zero", world.name),
        "default_version = '0'\n",
        &[("0", "SELECT 1;")],
    );
    let answer = world
        .create(extensions(
            &world,
            json!([{"Name": zero.name, "Version": 0}]),
        ))
        .await;
    assert_eq!(answer["Data"][&zero.name], "0", "{answer}");
}

#[tokio::test]
async fn version_and_schema_change_in_one_request_or_not_at_all() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let chain = chain(&world);
    let stack = world.stack("app");
    let place = |version: &str, schema: &str| {
        let declared =
            json!({"Name": chain.name, "Version": version, "Schema": schema, "CreateSchema": true});
        extensions(
            &world,
            json!([declared, {"Name": "hstore", "Schema": schema, "CreateSchema": true}]),
        )
    };
    let schemas = "SELECT string_agg(DISTINCT extnamespace::regnamespace::text, ',') FROM pg_extension WHERE extname <> 'plpgsql'";
    stack.create(&place("1.0", "here"), &[]).await;
    assert_eq!(world.database.text(schemas).await, "here");
    let updated = stack.update(&place("2.0", "there"), &[]).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(world.database.text(schemas).await, "there");
    let failed = stack.update(&place("9.9", "elsewhere"), &[]).await;
    assert_eq!(failed.status, "UPDATE_FAILED");
    assert_eq!(world.database.text(schemas).await, "there");
}

#[tokio::test]
async fn a_schema_that_an_extension_does_not_leave_is_reported() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let own = format!("{}_own", world.name);
    let fixed = Fixture::install(
        &format!("{}_fixed", world.name),
        &format!("default_version = '1'\nschema = {own}\n"),
        &[("1", "SELECT 1;")],
    );
    let stuck = Fixture::install(
        &format!("{}_stuck", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    let other = json!({"Name": fixed.name, "Schema": "public"});
    let answer = world.create(extensions(&world, json!([other]))).await;
    assert!(
        answer["Reason"]
            .as_str()
            .unwrap()
            .contains(&format!("must be installed in schema {own}, not public")),
        "{answer}"
    );
    let answer = world
        .create(extensions(&world, json!([fixed.name, stuck.name])))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let moved = json!({"Name": stuck.name, "Schema": own});
    let answer = world
        .create(extensions(&world, json!([fixed.name, moved])))
        .await;
    assert!(
        answer["Reason"]
            .as_str()
            .unwrap()
            .contains("is installed in schema public"),
        "{answer}"
    );
}
