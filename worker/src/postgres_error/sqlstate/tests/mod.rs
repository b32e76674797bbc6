use super::*;

mod decisions;

fn error(sqlstate: &str, message: &str) -> SqlError {
    SqlError {
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
        detail: None,
        hint: None,
        constraint: None,
        context: None,
    }
}

fn class(statement: Statement, sqlstate: &str, message: &str) -> Class {
    of_sql(&error(sqlstate, message), statement)
}

#[test]
fn the_text_decides_where_one_state_means_several_things() {
    for (sqlstate, message, expected) in [
        ("42710", "extension \"hstore\" already exists", Class::Race),
        (
            "42710",
            "type \"extension_kind\" already exists",
            Class::Permanent,
        ),
        ("42704", "extension \"hstore\" does not exist", Class::Race),
        (
            "42704",
            "type \"my extension\" does not exist",
            Class::Permanent,
        ),
        (
            "42704",
            "required extension \"cube\" is not installed",
            Class::Permanent,
        ),
        ("XX000", "tuple concurrently updated", Class::Race),
        ("XX000", "cache lookup failed", Class::TransientAtMost(3)),
        ("XX001", "invalid page in block 0", Class::Permanent),
        (
            "0A000",
            "extension \"x\" is not available",
            Class::Permanent,
        ),
        (
            "55006",
            "cannot ALTER TABLE \"t\" because it has pending trigger events",
            Class::Permanent,
        ),
        ("57P01", "terminating connection", Class::Transient),
        ("57P04", "database is gone", Class::NoDatabase),
        ("42501", "permission denied", Class::Permanent),
        ("P0001", "anything", Class::Permanent),
    ] {
        assert_eq!(
            class(Create, sqlstate, message),
            expected,
            "{sqlstate} {message}"
        );
    }
}

#[test]
fn the_statement_decides_where_the_text_does_not() {
    for (statement, sqlstate, expected) in [
        (LogIn, "55000", Class::ClosedDatabase),
        (Create, "55000", Class::Permanent),
        (LogIn, "3D000", Class::NoDatabase),
        (Create, "3D000", Class::Permanent),
        (LogIn, "28P01", Class::Credentials),
        (Update, "28P01", Class::Permanent),
        (CreateSchema, "42P06", Class::Race),
        (Create, "42P06", Class::Permanent),
        (Statement::Own, "0A000", Class::TransientAtMost(3)),
        (Create, "0A000", Class::Permanent),
    ] {
        assert_eq!(
            class(statement, sqlstate, "in any language"),
            expected,
            "{statement:?} {sqlstate}"
        );
    }
}

#[test]
fn a_refusal_that_names_shared_preload_libraries_asks_for_the_parameter_group() {
    for (sqlstate, message) in [
        ("XX000", "pglogical is not in shared_preload_libraries"),
        (
            "55000",
            "pg_cron must be loaded via shared_preload_libraries",
        ),
        ("P0001", "add x to shared_preload_libraries first"),
    ] {
        assert_eq!(
            class(Create, sqlstate, message),
            Class::Prerequisite(PRELOAD)
        );
    }
    let hinted = SqlError {
        hint: Some("Add it to shared_preload_libraries.".to_owned()),
        ..error("58P01", "extension \"timescaledb\" must be preloaded")
    };
    assert_eq!(of_sql(&hinted, Create), Class::Prerequisite(PRELOAD));
}

#[test]
fn a_breach_of_the_protocol_is_permanent_and_what_a_pooler_waits_for_is_not() {
    let of = |message| class(LogIn, "08P01", message);
    for (message, expected) in [
        ("unsupported startup parameter: options", Class::Permanent),
        ("query_wait_timeout", Class::Transient),
        (
            "server login has been failing, try again later (server_login_retry)",
            Class::Transient,
        ),
        ("client_login_timeout (server down)", Class::Transient),
        // What PgBouncer, and the server behind it, refuse for another reason than the protocol.
        ("SASL authentication failed", Class::Credentials),
        (
            "password authentication failed for user \"app\"",
            Class::Credentials,
        ),
        ("no such user: app", Class::Credentials),
        ("database \"shop\" does not exist", Class::NoDatabase),
        ("no such database: shop", Class::ClosedDatabase),
        (
            "database \"shop\" is not currently accepting connections",
            Class::ClosedDatabase,
        ),
        (
            "no more connections allowed (max_client_conn)",
            Class::Transient,
        ),
        ("sorry, too many clients already", Class::Transient),
        ("the database system is starting up", Class::Transient),
        ("permission denied for database \"shop\"", Class::Permanent),
    ] {
        assert_eq!(of(message), expected, "{message}");
    }
    // Of a statement it is the server's own.
    assert_eq!(
        class(Create, "08P01", "SASL authentication failed"),
        Class::Permanent
    );
    assert_eq!(
        class(LogIn, "08006", "connection failure"),
        Class::Transient
    );
}

#[test]
fn two_sessions_meet_at_an_index_of_a_catalog_alone() {
    let at = |constraint: &str| {
        let error = SqlError {
            constraint: Some(constraint.to_owned()),
            ..error("23505", "duplicate key value violates unique constraint")
        };
        of_sql(&error, Create)
    };
    assert_eq!(at("pg_extension_name_index"), Class::Race);
    assert_eq!(at("pg_proc_proname_args_nsp_index"), Class::Race);
    assert_eq!(at("orders_pkey"), Class::Permanent);
}
