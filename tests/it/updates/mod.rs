//! Updates that take more than one ALTER EXTENSION in one transaction.

mod fresh_session;
mod packaging;
mod recreate;
mod stages;

use crate::support::{Fixture, World};

/// How PostgreSQL refuses what stands behind an update that left deferred triggers pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 55006, of a table that is altered: as the scripts of pg_partman do from 4 to 5.
    Pending,
    /// 42501, in the words of RDS, where a script runs as a superuser in the name of the master. It is raised by the script
    /// where it finds rows of its own transaction, as no server here runs scripts so.
    Restricted,
}

/// An extension with the versions 1 to 4. `1--2` and `2--3` leave a deferred trigger pending, each by one row more, and
/// `2--3` and `3--4` are refused while one is.
pub(crate) fn staged(world: &World, refusal: Refusal) -> Fixture {
    let name = format!("{}_staged", world.name);
    let make = format!(
        "CREATE TABLE {name}_parent (id int PRIMARY KEY);
         CREATE TABLE {name}_child (id int REFERENCES {name}_parent DEFERRABLE INITIALLY DEFERRED);"
    );
    let touch = |row: u32| {
        format!(
            "INSERT INTO {name}_parent VALUES ({row}); INSERT INTO {name}_child VALUES ({row});"
        )
    };
    let refused = |column: u32| {
        match refusal {
        Refusal::Pending => format!("ALTER TABLE {name}_child ADD COLUMN c{column} int;"),
        Refusal::Restricted => format!(
            "DO $$ BEGIN
                 IF EXISTS (SELECT FROM {name}_child WHERE xmin = pg_current_xact_id()::xid) THEN
                     RAISE insufficient_privilege
                         USING MESSAGE = 'cannot fire deferred trigger within security-restricted operation';
                 END IF;
             END $$;"
        ),
    }
    };
    Fixture::install(
        &name,
        "default_version = '4'\n",
        &[
            ("1", &make),
            ("1--2", &touch(2)),
            ("2--3", &format!("{} {}", refused(3), touch(3))),
            ("3--4", &refused(4)),
        ],
    )
}

/// The rows that the scripts of [`staged`] wrote: twice where a script ran twice.
pub(crate) async fn rows(world: &World) -> String {
    let query = format!(
        "SELECT string_agg(id::text, ' ' ORDER BY id) FROM {}_staged_child",
        world.name
    );
    world.database.text(&query).await
}
