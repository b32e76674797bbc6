//! Attacker and target: a database that its owner controls, and the role that the worker logs in as, once a superuser and
//! once a master user as on RDS.

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{Database, World, connect, connect_as};

/// The rank of the worker's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Superuser,
    /// No superuser: CREATEROLE, CREATEDB, a member of a role `rds_superuser` and of the database owner's.
    RdsMaster,
}

pub(super) const RANKS: [Rank; 2] = [Rank::Superuser, Rank::RdsMaster];

const PASSWORD: &str = "master";

/// A master as RDS has it, with a database owner's role; returns its name.
async fn master_of(owner: &str) -> String {
    let role = format!("master_{}", &Uuid::new_v4().simple().to_string()[..8]);
    // The owner's role is the master's own creation, as on RDS: from PostgreSQL 16 that is a membership too.
    connect("postgres")
        .await
        .batch_execute(&format!(
            "DO $$ BEGIN CREATE ROLE rds_superuser; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             CREATE ROLE {role} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}';
             GRANT rds_superuser TO {role}; GRANT {owner} TO {role} WITH ADMIN OPTION"
        ))
        .await
        .unwrap();
    role
}

/// A world in which the secret is that of a role of this rank.
pub(super) async fn world_of(rank: Rank) -> World {
    let world = World::new().await;
    if rank == Rank::RdsMaster {
        let name = &world.database.name;
        let owner = format!("owner_{name}");
        let give = format!("CREATE ROLE {owner}; ALTER DATABASE \"{name}\" OWNER TO {owner}");
        connect("postgres")
            .await
            .batch_execute(&give)
            .await
            .unwrap();
        let mut credentials = world.credentials();
        credentials["username"] = json!(master_of(&owner).await);
        credentials["password"] = json!(PASSWORD);
        world
            .put_secret(&world.secret, &credentials.to_string())
            .await;
    }
    world
}

/// A database whose owner is the attacker.
pub(super) struct Scene {
    pub(super) database: Database,
    pub(super) attacker: String,
    attackers_password: String,
    /// Leads to the database as the worker's role.
    pub(super) secret: String,
    /// The worker's role.
    pub(super) role: String,
}

impl Scene {
    pub(super) async fn new(world: &World, rank: Rank) -> Self {
        let suffix = &Uuid::new_v4().simple().to_string()[..8];
        let name = format!("{}_{suffix}", world.name);
        let attacker = format!("owner_{suffix}");
        let (database, attackers_password) = Database::create_owned(&name, &attacker).await;
        let (role, changes) = match rank {
            Rank::Superuser => ("postgres".to_owned(), json!({"dbname": name})),
            Rank::RdsMaster => {
                let role = master_of(&attacker).await;
                let changes = json!({"dbname": name, "username": role, "password": PASSWORD});
                (role, changes)
            }
        };
        database
            .execute("CREATE SEQUENCE public.proof; GRANT ALL ON SEQUENCE public.proof TO PUBLIC")
            .await;
        Self {
            secret: world.secret_with(&changes).await,
            database,
            attacker,
            attackers_password,
            role,
        }
    }

    /// A session of the attacker's.
    pub(super) async fn attacker(&self) -> Client {
        connect_as(
            &self.database.name,
            &self.attacker,
            &self.attackers_password,
        )
        .await
    }

    /// A function of the attacker's that steps out of a role and leaves a proof of what it then is.
    pub(super) async fn with_payload(&self) -> Client {
        let client = self.attacker().await;
        client
            .batch_execute(
                "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
                 CREATE FUNCTION evil.payload() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
                   IF session_user <> pg_catalog.pg_get_userbyid((SELECT datdba FROM pg_catalog.pg_database
                                                                  WHERE datname = pg_catalog.current_database())) THEN
                     PERFORM pg_catalog.set_config('role', 'none', true);
                     PERFORM pg_catalog.nextval('public.proof');
                   END IF;
                   RETURN ''; END $$;
                 CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM evil.payload(); RETURN NEW; END $$",
            )
            .await
            .unwrap();
        client
    }

    /// Whether code of the attacker's ran in a session of the worker's: in one that was rolled back, too, as a sequence
    /// keeps what it gave.
    pub(super) async fn is_taken(&self) -> bool {
        let is_called = "SELECT is_called::text FROM public.proof";
        self.database.text(is_called).await == "true"
    }

    pub(super) fn declare(&self, extensions: &Value) -> Value {
        json!({"DBSecret": self.secret, "Extensions": extensions})
    }
}
