use std::collections::VecDeque;
use std::future::{Ready, ready};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::*;

/// When receives began, in time from the start of the test, and how many messages each asked for.
#[derive(Debug, Clone)]
struct Receives {
    noted: Arc<Mutex<Vec<(Duration, usize)>>>,
    another: Arc<Notify>,
    started: Instant,
}

impl Receives {
    fn new() -> Self {
        Self {
            noted: Arc::default(),
            another: Arc::default(),
            started: Instant::now(),
        }
    }

    fn note(&self, count: usize) {
        self.noted.lock().push((self.started.elapsed(), count));
        self.another.notify_one();
    }

    fn begun(&self) -> Vec<Duration> {
        self.noted.lock().iter().map(|(at, _)| *at).collect()
    }

    fn counts(&self) -> Vec<usize> {
        self.noted.lock().iter().map(|(_, count)| *count).collect()
    }

    /// The pauses between receives that take no time.
    fn pauses(&self) -> Vec<Duration> {
        let begun = self.begun();
        let pairs = begun.iter().zip(begun.iter().skip(1));
        pairs.map(|(before, after)| *after - *before).collect()
    }
}

fn messages(count: usize) -> Vec<Message> {
    vec![Message::default(); count]
}

/// Polls until `enough` receives have begun.
async fn poll<R, F>(poller: &mut Poller<R>, receives: &Receives, enough: usize)
where
    R: Fn(usize) -> F,
    F: Future<Output = Result<Vec<Message>, QueueError>> + Send + 'static,
{
    let all_begun = async {
        while receives.begun().len() < enough {
            receives.another.notified().await;
        }
    };
    let polling = async { while poller.next().await.is_some() {} };
    tokio::select! {
        biased;
        () = all_begun => {}
        () = polling => unreachable!(),
    }
}

/// Receives that all fail at once, with one of SQS's codes.
fn failing(
    code: &'static str,
    receives: &Receives,
) -> impl Fn(usize) -> Ready<Result<Vec<Message>, QueueError>> {
    let noted = receives.clone();
    move |count| {
        noted.note(count);
        ready(Err(QueueError::with_code(code)))
    }
}

/// A poller for sixteen messages at the same time.
fn poller<R, F>(receive: R, stop: CancellationToken) -> Poller<R>
where
    R: Fn(usize) -> F,
    F: Future<Output = Result<Vec<Message>, QueueError>> + Send + 'static,
{
    Poller::new(16, receive, Heartbeat::default(), stop)
}

#[tokio::test(start_paused = true)]
async fn the_bound_of_the_pause_after_a_failed_receive_doubles_up_to_the_longest() {
    let receives = Receives::new();
    let mut poller = poller(
        failing("InternalError", &receives),
        CancellationToken::new(),
    );
    poll(&mut poller, &receives, 30).await;
    let mut bound = FIRST_PAUSE;
    for pause in receives.pauses() {
        // The clock counts milliseconds.
        assert!(
            pause <= bound + Duration::from_millis(1),
            "{pause:?} {bound:?}"
        );
        bound = (bound * 2).min(MAX_PAUSE);
    }
    // Twenty of them are drawn evenly from up to 30 s.
    let longest = receives.pauses().into_iter().max().unwrap();
    assert!(longest > MAX_PAUSE / 10, "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_receive_that_brought_messages_the_pause_begins_anew() {
    let receives = Receives::new();
    let noted = receives.clone();
    let receive = move |count| {
        noted.note(count);
        let is_tenth = noted.counts().len() == 10;
        ready(if is_tenth {
            Ok(messages(1))
        } else {
            Err(QueueError::with_code("InternalError"))
        })
    };
    let mut poller = poller(receive, CancellationToken::new());
    poll(&mut poller, &receives, 12).await;
    let last = receives.pauses().pop().unwrap();
    assert!(last <= FIRST_PAUSE + Duration::from_millis(1), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_refused_is_repeated_every_thirty_seconds() {
    for code in [
        "AccessDenied",
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDeniedException",
    ] {
        let receives = Receives::new();
        let mut poller = poller(failing(code, &receives), CancellationToken::new());
        poll(&mut poller, &receives, 4).await;
        assert_eq!(receives.pauses(), [MAX_PAUSE; 3], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_pause_after_a_failed_receive() {
    let stop = CancellationToken::new();
    let receives = Receives::new();
    let mut poller = poller(failing("AccessDenied", &receives), stop.clone());
    let stopping = async {
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
    };
    let (received, ()) = tokio::join!(poller.next(), stopping);
    assert!(received.is_none());
    assert_eq!(receives.started.elapsed(), Duration::from_secs(1));
    assert_eq!(receives.counts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn four_receives_wait_at_the_same_time_once_three_batches_in_a_row_were_full() {
    let receives = Receives::new();
    let noted = receives.clone();
    let batches = Arc::new(Mutex::new(VecDeque::from([10, 10, 10, 9, 9, 9, 9])));
    let receive = move |count| {
        noted.note(count);
        let next = batches.lock().pop_front();
        async move {
            sleep(Duration::from_secs(1)).await;
            Ok(messages(next.unwrap_or_default()))
        }
    };
    let mut poller = Poller::new(64, receive, Heartbeat::default(), CancellationToken::new());
    poll(&mut poller, &receives, 10).await;
    let begun: Vec<u64> = receives.begun().iter().map(Duration::as_secs).collect();
    // Each takes a second. The four are not full: from then on it is one at a time again.
    assert_eq!(begun, [0, 1, 2, 3, 3, 3, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_receive_asks_for_as_many_messages_as_there_is_room_for() {
    let receives = Receives::new();
    let noted = receives.clone();
    let receive = move |count| {
        noted.note(count);
        ready(Ok(messages(count)))
    };
    let stop = CancellationToken::new();
    // Six messages are processed, and three more wait.
    let mut poller = Poller::new(6, receive, Heartbeat::default(), stop);
    let (received, first) = poller.next().await.unwrap();
    assert_eq!((received.len(), first.len()), (6, 6));
    assert_eq!(receives.begun(), [Duration::ZERO]);
    let (_, second) = poller.next().await.unwrap();
    assert_eq!(second.len(), 3);
    // It waited for room for a whole batch.
    assert_eq!(receives.begun()[1], BATCH_FILL_TIMEOUT);
    let releasing = async {
        sleep(Duration::from_secs(5)).await;
        drop(first);
    };
    let (third, ()) = tokio::join!(poller.next(), releasing);
    assert_eq!(third.unwrap().1.len(), 6);
    let at = receives.begun()[2];
    assert_eq!(at, BATCH_FILL_TIMEOUT + Duration::from_secs(5));
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_under_way_at_a_stop_is_seen_through_and_is_the_last() {
    let receives = Receives::new();
    let noted = receives.clone();
    let receive = move |count| {
        noted.note(count);
        async move {
            sleep(Duration::from_secs(20)).await;
            Ok(messages(2))
        }
    };
    let stop = CancellationToken::new();
    let mut poller = poller(receive, stop.clone());
    let stopping = async {
        sleep(Duration::from_secs(7)).await;
        stop.cancel();
    };
    let (received, ()) = tokio::join!(poller.next(), stopping);
    assert_eq!(received.unwrap().0.len(), 2);
    assert_eq!(receives.started.elapsed(), Duration::from_secs(20));
    assert_eq!(
        poller.stopped_at() - receives.started,
        Duration::from_secs(7),
        "the time for handlers counts from the stop, not from the end of the receive"
    );
    assert!(poller.next().await.is_none());
    assert_eq!(receives.counts().len(), 1);
}
