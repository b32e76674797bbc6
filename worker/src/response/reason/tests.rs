use insta::assert_snapshot;

use super::*;
use crate::extension::{ExtensionName, SchemaName, Version};
use crate::plan::Step;
use crate::postgres_error::{DatabaseError, SqlError};
use crate::target::{Address, Host, Target};

fn sql(sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> DatabaseError {
    DatabaseError::Sql(Box::new(SqlError {
        sqlstate: sqlstate.to_owned(),
        message: message.to_owned(),
        detail: detail.map(str::to_owned),
        hint: hint.map(str::to_owned),
        constraint: None,
        context: None,
    }))
}

fn create() -> Step {
    Step::Create {
        name: ExtensionName::parse("hstore").unwrap(),
        version: Some(Version::parse("1.8").unwrap()),
        schema: Some(SchemaName::public()),
        cascade: false,
    }
}

fn update() -> Step {
    Step::Update {
        name: ExtensionName::parse("hstore").unwrap(),
        from: Version::parse("1.7").unwrap(),
        to: Version::parse("1.8").unwrap(),
    }
}

fn drop_it() -> Step {
    Step::Drop {
        name: "hstore".to_owned(),
        version: Version::parse("1.8").unwrap(),
        mode: crate::plan::DropMode::Restrict,
    }
}

fn text(error: &DatabaseError, step: Option<&Step>) -> String {
    of_database(error, step, &target())
}

fn target() -> Target {
    Target {
        address: Address {
            host: Host::parse("demo1").unwrap(),
            port: 5432,
        },
        database: "app".to_owned(),
        username: "app".to_owned(),
    }
}

#[test]
fn a_reason_says_what_is_wrong_then_what_helps_then_the_sqlstate() {
    assert_snapshot!(
        text(&sql("42501", "permission denied to create extension \"hstore\"", None, Some("Must have CREATE privilege on current database to create this extension.")), Some(&create())),
        @r##"Extension "hstore" on demo1/app: permission denied to create extension "hstore". Must have CREATE privilege on current database to create this extension [42501]"##
    );
    assert_snapshot!(
        text(&sql("55000", "pg_cron must be loaded via shared_preload_libraries", None, None), Some(&create())),
        @r##"Extension "hstore" on demo1/app: pg_cron must be loaded via shared_preload_libraries: add it to shared_preload_libraries in the DB parameter group and reboot the instance, then update the stack. [55000]"##
    );
    let unreachable = DatabaseError::Unreachable("connection refused".to_owned(), None);
    assert_snapshot!(
        text(&unreachable, None),
        @"demo1:5432 could not be reached. Does its security group allow the worker's? See the worker's log."
    );
    assert_snapshot!(
        of_connection(&unreachable, &target()).unwrap(),
        @"demo1:5432 could not be reached (connection refused). Does its security group allow the worker's?"
    );
}

#[test]
fn a_state_is_worded_with_its_statement() {
    let in_use = sql(
        "2BP01",
        "cannot drop type hstore because other objects depend on it",
        Some(
            "column a of table t depends on type hstore\ncolumn b of table t depends on type hstore",
        ),
        Some("Use DROP ... CASCADE to drop the dependent objects too."),
    );
    assert_snapshot!(text(&in_use, Some(&drop_it())), @r##"Extension "hstore" on demo1/app cannot be dropped: column a of table t depends on type hstore (and 1 more). Use DeletionBehavior DropUnused or Retain to leave it, and no Ensure: absent. [2BP01]"##);
    assert_snapshot!(text(&in_use, Some(&update())), @r##"Extension "hstore" on demo1/app cannot be updated from 1.7 to 1.8: cannot drop type hstore because other objects depend on it, and column a of table t depends on type hstore (and 1 more). Drop what depends on it, update the stack, and create it again afterwards. [2BP01]"##);
    assert_snapshot!(text(&in_use, Some(&create())), @r##"Extension "hstore" on demo1/app: cannot drop type hstore because other objects depend on it, and column a of table t depends on type hstore (and 1 more). Drop what depends on it, then update the stack. [2BP01]"##);
    let view = sql(
        "0A000",
        "cannot alter type of a column used by a view or rule",
        Some("rule _RETURN on view v depends on column \"c\""),
        None,
    );
    assert_snapshot!(text(&view, Some(&update())), @r##"Extension "hstore" on demo1/app cannot be updated from 1.7 to 1.8: cannot alter type of a column used by a view or rule, and rule _RETURN on view v depends on column "c". Drop what depends on it, update the stack, and create it again afterwards. [0A000]"##);
    let no_schema = sql("3F000", "schema \"public\" does not exist", None, None);
    assert_snapshot!(text(&no_schema, Some(&create())), @r##"Extension "hstore" on demo1/app: schema "public" does not exist. Create the schema, or name one with Schema and set CreateSchema: true. [3F000]"##);
    let there = sql("42P07", "relation \"t\" already exists", None, None);
    assert_snapshot!(text(&there, Some(&update())), @r##"Extension "hstore" on demo1/app: relation "t" already exists. An object that the script creates exists already, and does not belong to the extension: drop or rename it, then update the stack. [42P07]"##);
    let other = sql("42704", "type \"x\" does not exist", None, None);
    assert_snapshot!(text(&other, Some(&Step::CreateSchema(SchemaName::public()))), @r##"Schema "public" on demo1/app: type "x" does not exist [42704]"##);
}

#[test]
fn a_database_that_takes_no_connections_is_said_to_be_one() {
    let closed = |message: &str, hint: Option<&str>| {
        let DatabaseError::Sql(refused) = sql("55000", message, None, hint) else {
            panic!("it is one of SQL");
        };
        text(&DatabaseError::LogIn(refused), None)
    };
    assert_snapshot!(closed("database \"app\" is not currently accepting connections", None), @r##"demo1/app: database "app" is not currently accepting connections. Allow connections (ALTER DATABASE … ALLOW_CONNECTIONS true), or name another database. [55000]"##);
    assert_snapshot!(closed("cannot connect to invalid database \"app\"", Some("Use DROP DATABASE to drop invalid databases.")), @r##"demo1/app: cannot connect to invalid database "app". Use DROP DATABASE to drop invalid databases. [55000]"##);
}
