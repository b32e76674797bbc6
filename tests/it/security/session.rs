//! The worker's session in a database whose owner and whose role have set what they may.

use serde_json::json;

use super::master::{RANKS, Rank, Scene};
use crate::support::{Fixture, Worker, World, connect};

/// What a database and a role may set for their sessions; what its owner can set, is set to something else than it is.
const SET_ALL: &str = "DO $$ DECLARE s record; other text; BEGIN
  -- This block has loaded PL/pgSQL, whose settings are among them.
  FOR s IN SELECT * FROM pg_settings WHERE context = 'user' AND name NOT IN ('client_encoding', 'local_preload_libraries') LOOP
    other := CASE s.vartype
      WHEN 'bool' THEN CASE s.setting WHEN 'on' THEN 'off' ELSE 'on' END
      WHEN 'enum' THEN (SELECT v FROM unnest(s.enumvals) v WHERE v <> s.setting ORDER BY v LIMIT 1)
      WHEN 'string' THEN CASE s.name
        WHEN 'plpgsql.extra_errors' THEN 'too_many_rows' WHEN 'plpgsql.extra_warnings' THEN 'shadowed_variables'
        WHEN 'search_path' THEN 'evil, pg_catalog' WHEN 'role' THEN '{role}' WHEN 'TimeZone' THEN 'Asia/Tokyo'
        WHEN 'DateStyle' THEN 'German' WHEN 'default_text_search_config' THEN 'pg_catalog.german'
        ELSE 'pg_catalog' END
      ELSE CASE WHEN s.setting = s.min_val THEN s.max_val
                WHEN s.name LIKE '%timeout' THEN '{timeout}' ELSE s.min_val END END;
    BEGIN
      EXECUTE format('ALTER {whom} SET %I = %L', s.name, other);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  BEGIN ALTER {whom} SET role = {role}; EXCEPTION WHEN OTHERS THEN NULL; END;
END $$";

/// Says in which session a statement of the worker's runs: an event trigger of the administrator's keeps its settings.
const WATCH: &str = "CREATE TABLE public.seen (name text, setting text);
  CREATE FUNCTION public.watch() RETURNS event_trigger SECURITY DEFINER SET search_path = pg_catalog LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM public.seen;
    INSERT INTO public.seen SELECT name, setting FROM pg_settings WHERE context = 'user';
  END $$;
  CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.watch();";

/// The settings of the worker's session while it creates an extension. Those that name the moment or the test are left out.
async fn seen(world: &World, scene: &Scene) -> String {
    let mut properties = scene.declare(&json!(["hstore"]));
    properties["ServiceTimeout"] = json!(60);
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    // Nor do they keep the administrator from looking.
    let client = connect(&scene.database.name).await;
    let usual = "SET ROLE NONE; SET statement_timeout = 0; SET search_path = public";
    client.batch_execute(usual).await.unwrap();
    let row = client
        .query_one(
            "SELECT string_agg(concat(name, '=', setting), E'\\n' ORDER BY name) FROM public.seen
             WHERE name NOT IN ('statement_timeout', 'lock_timeout', 'session_authorization', 'application_name')",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn no_setting_of_a_database_or_of_its_owner_reaches_the_session_of_the_worker() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in [Rank::Superuser, Rank::RdsMaster] {
        let ordinary = Scene::new(&world, rank).await;
        ordinary.database.execute(WATCH).await;
        // What is set for the database is set back to PostgreSQL's own value, which the test server's file changes beneath.
        let expected = seen(&world, &ordinary)
            .await
            .replace("synchronous_commit=off", "synchronous_commit=on");

        let hostile = Scene::new(&world, rank).await;
        hostile.database.execute(WATCH).await;
        let client = hostile.attacker().await;
        client.batch_execute("CREATE SCHEMA evil").await.unwrap();
        let set = |whom: &str| {
            SET_ALL
                .replace("{whom}", whom)
                .replace("{role}", &hostile.attacker)
                .replace("{timeout}", "250")
        };
        let database = set(&format!("DATABASE \"{}\"", hostile.database.name));
        client.batch_execute(&database).await.unwrap();
        if rank == Rank::RdsMaster {
            // The master's own: what the role sets for itself.
            let role = set(&format!("ROLE {}", hostile.role));
            ordinary.database.execute(&role).await;
        }
        let count = "SELECT count(*)::text FROM pg_db_role_setting s, unnest(s.setconfig)
                     WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let count: usize = hostile.database.text(count).await.parse().unwrap();
        assert!(count > 80, "{count} settings");
        let found = seen(&world, &hostile).await;
        let differing: Vec<(&str, &str)> = expected
            .lines()
            .zip(found.lines())
            .filter(|(expected, found)| expected != found)
            .collect();
        assert!(differing.is_empty(), "{rank:?}: {differing:#?}");
    }
}

/// A text of a library's settings may name a function that the library calls. What only a superuser can set stays.
#[tokio::test]
async fn a_setting_of_a_library_that_is_not_loaded_is_empty_and_an_applications_own_stays() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let library = Fixture::install(
        &format!("{}_library", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    for rank in [Rank::Superuser, Rank::RdsMaster] {
        let scene = Scene::new(&world, rank).await;
        let (database, name) = (&scene.database.name, &library.name);
        let attacker = scene.attacker().await;
        // Without the library, and for what is no library's, it takes a superuser.
        for setting in [format!("{name}.start_proc"), "app.tenant".to_owned()] {
            let set = format!("ALTER DATABASE \"{database}\" SET {setting} = 'evil.payload'");
            let refused = attacker.batch_execute(&set).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "42501", "{setting}");
            scene.database.execute(&set).await;
        }
        let watch = format!(
            "CREATE EXTENSION {name};
             CREATE TABLE public.seen (setting text);
             CREATE FUNCTION public.watch() RETURNS event_trigger SECURITY DEFINER SET search_path = pg_catalog LANGUAGE plpgsql AS $$
               BEGIN
                 INSERT INTO public.seen VALUES (concat_ws('|', current_setting('{name}.start_proc'), current_setting('app.tenant')));
               END $$;
             CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.watch()"
        );
        scene.database.execute(&watch).await;
        let answer = world.create(scene.declare(&json!(["hstore"]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        let seen = scene.database.text("SELECT setting FROM public.seen").await;
        assert_eq!(seen, "|evil.payload", "{rank:?}");
    }
}

/// For a number or a flag an empty text is no value: it fails no transaction. Of a library that was loaded by then the
/// number's own value is known.
#[tokio::test]
async fn a_number_of_a_library_and_what_takes_a_rank_fail_no_transaction() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    for rank in [Rank::Superuser, Rank::RdsMaster] {
        let scene = Scene::new(&world, rank).await;
        let name = &scene.database.name;
        let watch = format!(
            "CREATE EXTENSION pg_trgm; ALTER DATABASE \"{name}\" SET plpgsql.variable_conflict = 'use_column';
             CREATE TABLE public.seen (setting text);
             CREATE FUNCTION public.watch() RETURNS event_trigger SECURITY DEFINER SET search_path = pg_catalog LANGUAGE plpgsql AS $$
               BEGIN
                 PERFORM public.similarity('a', 'b');
                 INSERT INTO public.seen VALUES
                   (concat_ws('|', current_setting('pg_trgm.similarity_threshold'), current_setting('plpgsql.variable_conflict')));
               END $$;
             CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.watch()"
        );
        scene.database.execute(&watch).await;
        let set = format!(
            "SELECT public.similarity('a', 'b'); ALTER DATABASE \"{name}\" SET pg_trgm.similarity_threshold = 0.9"
        );
        scene.attacker().await.batch_execute(&set).await.unwrap();
        for extensions in [json!(["hstore"]), json!(["hstore", "citext"])] {
            let answer = world.create(scene.declare(&extensions)).await;
            assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        }
        let seen = "SELECT string_agg(setting, ',' ORDER BY ctid) FROM public.seen";
        let seen = scene.database.text(seen).await;
        assert_eq!(seen, "0.9|use_column,0.3|use_column", "{rank:?}");
    }
}

/// An administrator's event trigger calls a function without its schema. What is known of the server from an earlier session
/// is not all that there is to know of this one.
#[tokio::test]
async fn a_path_that_the_owner_sets_is_not_that_of_a_statement_in_a_later_session() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let audit = "CREATE FUNCTION public.audit(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
         CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM audit('x'); END $$;
         CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION public.watch()";
    for rank in RANKS {
        let scene = Scene::new(&world, rank).await;
        let (name, role) = (&scene.database.name, &scene.role);
        let earlier = world
            .secret_with(&json!({"dbname": name, "username": role, "password": "master"}))
            .await;
        let earlier = match rank {
            Rank::Superuser => &world.secret,
            Rank::RdsMaster => &earlier,
        };
        let properties = json!({"DBSecret": earlier, "DBName": "postgres", "Extensions": []});
        let answer = world.create(properties).await;
        assert!(answer["Status"].is_string(), "{rank:?}: {answer}");

        scene.database.execute(audit).await;
        let attacker = scene.with_payload().await;
        attacker
            .batch_execute(&format!(
                "CREATE FUNCTION evil.audit(text) RETURNS text LANGUAGE plpgsql AS
                   $$ BEGIN RETURN evil.payload(); END $$;
                 ALTER DATABASE \"{name}\" SET search_path = evil, public"
            ))
            .await
            .unwrap();
        let answer = world.create(scene.declare(&json!(["hstore"]))).await;
        assert_eq!(answer["Status"], "SUCCESS", "{rank:?}: {answer}");
        assert!(!scene.is_taken().await, "{rank:?}");
    }
}
