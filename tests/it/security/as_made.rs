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
    assert_eq!(
        full_checks(hstore.clone()).await,
        0,
        "the table is as it was"
    );
    worker.signal("TERM");
    worker.exit().await;
    let mut worker = Worker::start(&world, &[]);
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

/// What changes a ledger, what the Reason says of it, and what takes it back.
const CHANGES: [(&str, &str, &str); 9] = [
    (
        "GRANT INSERT ON extension_worker.ledger TO other",
        "grants INSERT to role \"other\"",
        "REVOKE INSERT ON extension_worker.ledger FROM other",
    ),
    (
        "GRANT UPDATE (data) ON extension_worker.ledger TO other",
        "grants rights on a column",
        "REVOKE UPDATE (data) ON extension_worker.ledger FROM other",
    ),
    (
        "GRANT CREATE ON SCHEMA extension_worker TO other",
        "role \"other\" may create objects in the schema",
        "REVOKE CREATE ON SCHEMA extension_worker FROM other",
    ),
    (
        "ALTER TABLE extension_worker.ledger OWNER TO other",
        "belongs to role \"other\"",
        "ALTER TABLE extension_worker.ledger OWNER TO postgres",
    ),
    (
        "ALTER SCHEMA extension_worker OWNER TO other",
        "the schema belongs to role \"other\"",
        "ALTER SCHEMA extension_worker OWNER TO postgres",
    ),
    (
        "ALTER TABLE extension_worker.ledger ALTER owns SET DEFAULT public.run()",
        "uses a function or a type",
        "ALTER TABLE extension_worker.ledger ALTER owns DROP DEFAULT",
    ),
    (
        "CREATE INDEX more ON extension_worker.ledger (public.keep(name))",
        "is no part of the ledger",
        "DROP INDEX extension_worker.more",
    ),
    (
        "ALTER TABLE extension_worker.ledger ENABLE ROW LEVEL SECURITY",
        "has a row security policy",
        "ALTER TABLE extension_worker.ledger DISABLE ROW LEVEL SECURITY",
    ),
    (
        "CREATE TRIGGER run BEFORE INSERT ON extension_worker.ledger FOR EACH ROW EXECUTE FUNCTION public.fire()",
        "has a trigger",
        "DROP TRIGGER run ON extension_worker.ledger",
    ),
];

#[tokio::test]
async fn what_is_done_to_a_ledger_is_seen_in_a_session_that_knows_it() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let server = PrivateServer::start_with(&world, Mode::Primary, &["log_statement=all"]).await;
    let secret = json!({"port": server.port, "dbname": "postgres"});
    let secret = world.secret_with(&secret).await;
    let roles = "CREATE ROLE other;
        CREATE FUNCTION public.run() RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
        CREATE FUNCTION public.keep(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
        CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    server.execute(roles).await;
    let create = async || {
        let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
        world.create(properties).await
    };
    for (change, problem, undo) in CHANGES {
        for _ in 0..3 {
            assert_eq!(create().await["Status"], "SUCCESS", "before {change}");
        }
        server.execute(change).await;
        let answer = create().await;
        let reason = answer["Reason"].as_str().unwrap_or_default();
        assert!(reason.contains(problem), "{change}: {answer}");
        server.execute(undo).await;
    }
    let log = server.log();
    assert!(log.contains("EXECUTE extension_worker_still_as_made"));
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
