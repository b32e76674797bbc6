//! Who attacks, and whom: a database that its owner controls, and the role that the worker logs in as, once a superuser and
//! once a master as RDS has it.

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
        let admin = connect("postgres").await;
        let (role, changes) = match rank {
            Rank::Superuser => ("postgres".to_owned(), json!({"dbname": name})),
            Rank::RdsMaster => {
                let role = format!("master_{suffix}");
                // The attacker's role is the master's own creation, as on RDS: from PostgreSQL 16 that is a membership too.
                admin
                    .batch_execute(&format!(
                        "DO $$ BEGIN CREATE ROLE rds_superuser; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
                         CREATE ROLE {role} LOGIN CREATEROLE CREATEDB PASSWORD 'master';
                         GRANT rds_superuser TO {role}; GRANT {attacker} TO {role} WITH ADMIN OPTION"
                    ))
                    .await
                    .unwrap();
                (
                    role.clone(),
                    json!({"dbname": name, "username": role, "password": "master"}),
                )
            }
        };
        database
            .execute("CREATE TABLE public.proof (session name, rank text); GRANT ALL ON public.proof TO PUBLIC")
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
                     INSERT INTO public.proof VALUES (session_user, current_user);
                   END IF;
                   RETURN ''; END $$;
                 CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM evil.payload(); RETURN NEW; END $$",
            )
            .await
            .unwrap();
        client
    }

    /// Whether code of the attacker's ran in a session of the worker's.
    pub(super) async fn is_taken(&self) -> bool {
        self.database
            .text("SELECT count(*)::text FROM public.proof")
            .await
            != "0"
    }

    pub(super) fn declare(&self, extensions: &Value) -> Value {
        json!({"DBSecret": self.secret, "Extensions": extensions})
    }
}
