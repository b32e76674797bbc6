//! Extensions that the operator does not allow are not created, and not dropped with what depends on them.

use serde_json::json;

use super::master::{RANKS, world_of};
use crate::support::{ResultsSubscriber, Worker};

#[tokio::test]
async fn an_extension_that_is_not_allowed_is_not_created_not_even_by_cascade() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let _worker = Worker::start(&world, &[("WORKER_EXTENSIONS", "earth*,hstore")]);
        let refused = [
            (json!(["citext"]), "WORKER_EXTENSIONS"),
            (
                json!(["hstore", "earthdistance"]),
                "\"cube\", which it requires",
            ),
        ];
        for (extensions, named) in refused {
            let answer = world
                .create(json!({"DBSecret": world.secret, "Extensions": extensions}))
                .await;
            assert_eq!(answer["Status"], "FAILED");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains(named), "{reason}");
        }
        assert!(world.database.extensions().await.is_empty());
    }
}

#[tokio::test]
async fn a_re_sync_creates_no_extension_that_is_not_allowed() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let subscriber = ResultsSubscriber::new(&world).await;
        let settings = [
            ("WORKER_EXTENSIONS", "hstore"),
            ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ];
        let _worker = Worker::start(&world, &settings);
        let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
        let baseline = json!({"Extensions": ["hstore", "dblink"]});
        let text = subscriber.run("Repair", targets, baseline).await;
        let result = text.result_of(&world.database.name);
        assert_eq!(result["State"], "Failed", "{result}");
        let reason = result["Reason"].as_str().unwrap();
        assert!(reason.contains("WORKER_EXTENSIONS"), "{reason}");
        assert!(world.database.extensions().await.keys().eq(["hstore"]));
    }
}

#[tokio::test]
async fn drop_cascade_is_refused_by_the_name_of_its_setting() {
    for rank in RANKS {
        let world = world_of(rank).await;
        let mut worker = Worker::start(&world, &[("WORKER_ALLOW_DROP_CASCADE", "true")]);
        let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"], "DeletionBehavior": "DropCascade"});
        let created = world.create(properties.clone()).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        worker.signal("TERM");
        worker.exit().await;
        world
            .database
            .execute("CREATE TABLE shop (item hstore)")
            .await;

        let _worker = Worker::start(&world, &[]);
        let id = created["PhysicalResourceId"].as_str().unwrap();
        let delete = world.delete_request(properties.clone(), id).await;
        let create = world.create_request_of("New", properties).await;
        for request in [delete, create] {
            world.publish(&request).await;
            let answer = world.answer(&request).await;
            assert_eq!(answer["Status"], "FAILED");
            let reason = answer["Reason"].as_str().unwrap();
            assert!(reason.contains("WORKER_ALLOW_DROP_CASCADE"), "{reason}");
        }
        assert!(world.database.extensions().await.contains_key("hstore"));
    }
}
