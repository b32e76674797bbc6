use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::aws::sqs::{EntryError, Message};
use crate::consumer::in_flight::InFlight;

/// A visibility timeout.
const VISIBILITY: Duration = Duration::from_secs(90);
const HOUR: Duration = Duration::from_secs(3600);

type Answer = Result<(), EntryError>;

fn failed(code: &str) -> EntryError {
    let mut error = EntryError::unanswered();
    error.code = code.to_owned();
    error
}

/// A message that was received just now.
fn receive(in_flight: &InFlight, receipt_handle: &str) -> Option<InFlightMessage> {
    let message = Message {
        receipt_handle: receipt_handle.to_owned(),
        ..Message::default()
    };
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    in_flight.register(message, permit, Instant::now() + VISIBILITY)
}

/// A message whose extensions are answered in turn, and then with success; and when each was asked for, with what handle.
struct Scene {
    in_flight: InFlight,
    message: InFlightMessage,
    extensions: Batcher<VisibilityChange>,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
    began: Instant,
}

impl Scene {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let in_flight = InFlight::default();
        let message = receive(&in_flight, "first").unwrap();
        let asked: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        let answers = Mutex::new(answers);
        let extensions = Batcher::start(Duration::ZERO, move |batch: Vec<VisibilityChange>| {
            let [change] = batch.as_slice() else {
                panic!("{batch:?}")
            };
            assert_eq!(change.visibility, VISIBILITY);
            let handle = change.receipt_handle.clone();
            noted.lock().push((Instant::now(), handle));
            std::future::ready(vec![answers.lock().pop().unwrap_or(Ok(()))])
        });
        Self {
            in_flight,
            message,
            extensions,
            asked,
            began: Instant::now(),
        }
    }

    /// How long the lease is renewed; none where it still is after `time`.
    async fn renewed_for(&self, time: Duration) -> Option<Duration> {
        let renewing = renew_loop(&self.extensions, &self.message, VISIBILITY);
        timeout(time, renewing).await.ok()?;
        Some(self.began.elapsed())
    }

    fn count(&self) -> usize {
        self.asked.lock().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_three_times_in_each_visibility_timeout() {
    let scene = Scene::new([]);
    assert_eq!(scene.renewed_for(HOUR).await, None);
    let asked: Vec<Instant> = scene.asked.lock().iter().map(|(at, _)| *at).collect();
    for (before, after) in asked.iter().zip(asked.iter().skip(1)) {
        let pause = (*after - *before).as_secs_f64();
        assert!((26.9..=33.1).contains(&pause), "{pause}");
    }
    let ends = *asked.last().unwrap() + VISIBILITY;
    let difference = ends.saturating_duration_since(scene.message.lease_ends());
    assert!(
        difference < Duration::from_millis(2),
        "the lease counts from when its extension was asked for: {difference:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_up_before_another_worker_can_have_the_message() {
    let scene = Scene::new([]);
    let hanging = Batcher::start(Duration::ZERO, |_| std::future::pending());
    renew_loop(&hanging, &scene.message, VISIBILITY).await;
    assert_eq!(scene.began.elapsed(), VISIBILITY - LEASE_MARGIN);
}

#[tokio::test(start_paused = true)]
async fn one_failed_extension_is_made_up_for_by_the_next_and_two_in_a_row_lose_the_lease() {
    let fails = || Err(failed("InternalError"));
    let scene = Scene::new([fails(), Ok(()), fails(), Ok(())]);
    assert_eq!(scene.renewed_for(HOUR / 2).await, None);
    let scene = Scene::new([Ok(()), fails(), fails()]);
    let lost = scene.renewed_for(HOUR).await.unwrap();
    assert_eq!(scene.count(), 3);
    assert!(lost < Duration::from_secs(100), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_handle_sqs_no_longer_takes_is_lost_at_once() {
    let scene = Scene::new([Ok(()), Err(failed("ReceiptHandleIsInvalid"))]);
    assert!(scene.renewed_for(HOUR).await.is_some());
    assert_eq!(scene.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_meanwhile_replaces_the_handle_and_keeps_the_lease() {
    let scene = Scene::new([]);
    let in_flight = scene.in_flight.clone();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let extensions = Batcher::start(Duration::ZERO, move |batch: Vec<VisibilityChange>| {
        let handle = batch[0].receipt_handle.clone();
        let is_first = handle == "first";
        noted.lock().push(handle);
        // The message is delivered again while the extension is under way.
        assert!(!is_first || receive(&in_flight, "second").is_none());
        std::future::ready(vec![if is_first {
            Err(failed("ReceiptHandleIsInvalid"))
        } else {
            Ok(())
        }])
    });
    let renewing = renew_loop(&extensions, &scene.message, VISIBILITY);
    assert!(timeout(VISIBILITY * 2, renewing).await.is_err());
    let calls = calls.lock();
    assert!(calls.len() > 3, "{calls:?}");
    assert!(
        calls[1..].iter().all(|handle| handle == "second"),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_a_little_longer_than_cloudformation_waits() {
    let scene = Scene::new([]);
    let ended = scene.renewed_for(2 * HOUR).await.unwrap();
    assert!(ended >= MAX_LEASE, "{ended:?}");
    assert!(ended < MAX_LEASE + VISIBILITY / 2, "{ended:?}");
}
