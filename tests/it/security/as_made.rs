//! A ledger that is just as the worker made it is not looked at in full: any other is, and what is harmless is admitted.

use serde_json::{Value, json};

use crate::support::{Mode, PrivateServer, Worker, World};

/// How often the ledger was looked at in full, by what the server logged. That of a prepared statement it logs more than once.
fn full_checks_in(log: &str) -> usize {
    let is_one = |entry: &&str| {
        entry.contains("LOG:  statement:") && entry.contains("is no part of the ledger")
    };
    log.split(" UTC [").filter(is_one).count()
}

#[tokio::test]
async fn a_ledger_is_looked_at_in_full_only_where_something_was_done_to_it() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[]);
    let server = PrivateServer::start_with(&world, Mode::Primary, &["log_statement=all"]).await;
    let secret = json!({"port": server.port, "dbname": "postgres"});
    let secret = world.secret_with(&secret).await;
    let full_checks = async |extensions: Value| {
        let before = full_checks_in(&server.log());
        let answer = world
            .create(json!({"DBSecret": secret, "Extensions": extensions}))
            .await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        full_checks_in(&server.log()) - before
    };
    let hstore = json!(["hstore"]);
    assert_eq!(full_checks(hstore.clone()).await, 0, "made");
    assert_eq!(full_checks(hstore.clone()).await, 0, "the same session");
    worker.signal("TERM");
    worker.exit().await;
    let mut worker = Worker::start(&world, &[]);
    assert_eq!(full_checks(hstore.clone()).await, 0, "another session");
    let may_read = "CREATE ROLE reader; GRANT SELECT ON extension_worker.ledger TO reader";
    server.execute(may_read).await;
    assert_eq!(full_checks(hstore.clone()).await, 0, "others may read");

    let function = "CREATE FUNCTION extension_worker.more() RETURNS int LANGUAGE sql AS 'SELECT 1'";
    server.execute(function).await;
    assert_eq!(full_checks(hstore.clone()).await, 1, "altered");
    assert_eq!(full_checks(hstore.clone()).await, 0, "its mark is known");
    worker.signal("TERM");
    worker.exit().await;
    server
        .execute(&format!(
            "DROP FUNCTION extension_worker.more();
             CREATE FUNCTION public.alter() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN EXECUTE $sql$ {function} $sql$; END $$;
             CREATE EVENT TRIGGER alter ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
               EXECUTE FUNCTION public.alter()"
        ))
        .await;
    let _worker = Worker::start(&world, &[]);
    let with_another = json!(["hstore", "pg_trgm"]);
    assert_eq!(full_checks(with_another).await, 1, "altered meanwhile");
}

/// What a transaction makes no other session sees before its end; an event trigger runs inside it.
#[tokio::test]
async fn a_ledger_that_an_event_trigger_opens_in_the_transaction_that_makes_it_is_refused() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let role = format!("{}_writer", world.name);
    world
        .database
        .execute(&format!(
            "CREATE ROLE {role};
             CREATE FUNCTION public.open() RETURNS event_trigger LANGUAGE plpgsql AS
               $$ BEGIN GRANT INSERT ON extension_worker.ledger TO {role}; END $$;
             CREATE EVENT TRIGGER open ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
               EXECUTE FUNCTION public.open()"
        ))
        .await;
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let found = format!("grants INSERT to role \"{role}\"");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains(&found), "{reason}");
}
