use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::credentials::secrets::Password;

/// Secrets that expire as soon as they are kept.
const AT_ONCE: Duration = Duration::from_nanos(1);
const MINUTES: Duration = Duration::from_secs(300);

/// Stands where Secrets Manager stands, and counts.
#[derive(Default)]
struct Service {
    asked: AtomicUsize,
}

impl Service {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Answers after others had their turn. The password is the number of the answer.
    fn answer(
        self: &Arc<Self>,
        fault: Option<SecretError>,
    ) -> impl Future<Output = Result<Secret, SecretError>> + Send + use<> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let answer = Secret {
                username: "u".to_owned(),
                password: Some(Password::new(number.to_string())),
                host: None,
                port: None,
                dbname: None,
                arn: None,
            };
            fault.map_or(Ok(answer), Err)
        }
    }
}

fn unavailable() -> SecretError {
    SecretError::Unavailable {
        id: "s".to_owned(),
        cause: "ThrottlingException".to_owned(),
        source: Arc::new(std::io::Error::other("throttled")),
    }
}

fn not_found() -> SecretError {
    SecretError::NotFound {
        id: "s".to_owned(),
        region: "r".to_owned(),
    }
}

fn new(lifetime: Duration) -> (Arc<Cache>, Arc<Service>) {
    (Arc::new(Cache::new(lifetime)), Arc::default())
}

async fn read(cache: &Arc<Cache>, service: &Arc<Service>) -> Arc<Secret> {
    cache.read("s", || service.answer(None)).await.unwrap()
}

fn password(secret: &Arc<Secret>) -> &str {
    secret.password.as_ref().unwrap().expose()
}

#[tokio::test]
async fn all_who_want_a_secret_at_once_share_one_reading_of_it() {
    for lifetime in [MINUTES, AT_ONCE, Duration::ZERO] {
        let (cache, service) = new(lifetime);
        let all = join_all((0..50).map(|_| read(&cache, &service))).await;
        assert!(all.iter().all(|secret| password(secret) == "1"));
        assert_eq!(service.asked(), 1);
        cache
            .read("another", || service.answer(None))
            .await
            .unwrap();
        assert_eq!(service.asked(), 2);
    }
}

#[tokio::test]
async fn a_failure_is_shared_too_and_not_kept() {
    for fault in [unavailable(), not_found()] {
        let (cache, service) = new(MINUTES);
        let failing = || cache.read("s", || service.answer(Some(fault.clone())));
        for result in join_all((0..50).map(|_| failing())).await {
            assert_eq!(result.unwrap_err().to_string(), fault.to_string());
        }
        assert_eq!(service.asked(), 1);
        assert!(cache.entries().is_empty());
        assert_eq!(password(&read(&cache, &service).await), "2");
    }
}

#[tokio::test]
async fn a_secret_is_read_once_and_again_when_its_time_is_over() {
    let (cache, service) = new(MINUTES);
    for _ in 0..3 {
        assert_eq!(password(&read(&cache, &service).await), "1");
    }
    for (lifetime, cached) in [(AT_ONCE, 1), (Duration::ZERO, 0)] {
        let (cache, service) = new(lifetime);
        for number in 1..=3 {
            let secret = read(&cache, &service).await;
            assert_eq!(password(&secret), number.to_string());
            assert_eq!(cache.entries().len(), cached);
        }
    }
}

#[tokio::test]
async fn an_older_reading_serves_where_secrets_manager_does_not_answer() {
    let (cache, service) = new(AT_ONCE);
    read(&cache, &service).await;
    let failing = || cache.read("s", || service.answer(Some(unavailable())));
    for secret in join_all((0..50).map(|_| failing())).await {
        assert_eq!(password(&secret.unwrap()), "1");
    }
    // Not asked again at once either.
    assert_eq!(password(&failing().await.unwrap()), "1");
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn a_secret_that_is_gone_does_not_serve() {
    let (cache, service) = new(AT_ONCE);
    read(&cache, &service).await;
    for fault in [not_found(), unavailable()] {
        let failed = cache.read("s", || service.answer(Some(fault.clone())));
        assert_eq!(failed.await.unwrap_err().to_string(), fault.to_string());
    }
}

#[tokio::test]
async fn a_password_that_was_refused_does_not_serve_in_the_place_of_a_newer_one() {
    let (cache, service) = new(AT_ONCE);
    let refused = read(&cache, &service).await;
    cache.invalidate("s", &refused);
    let failed = cache.read("s", || service.answer(Some(unavailable())));
    assert_eq!(
        failed.await.unwrap_err().to_string(),
        unavailable().to_string()
    );
    assert_eq!(password(&read(&cache, &service).await), "3");
}

#[tokio::test]
async fn many_refusals_of_one_reading_cost_one_more() {
    let (cache, service) = new(MINUTES);
    let refused = read(&cache, &service).await;
    // As if it had been read a while ago.
    let cached = CachedSecret::new(Arc::clone(&refused), before(MINUTES / 2), MINUTES);
    cache.entries().get_mut("s").unwrap().cached = Some(cached);
    for _ in 0..50 {
        cache.invalidate("s", &refused);
        assert_eq!(password(&read(&cache, &service).await), "2");
    }
    // The newer one is refused as well: it has been read just now, and is what there is.
    let newer = read(&cache, &service).await;
    for _ in 0..50 {
        cache.invalidate("s", &newer);
        assert_eq!(password(&read(&cache, &service).await), "2");
    }
    assert_eq!(service.asked(), 2);
}

fn before(time: Duration) -> Instant {
    Instant::now().checked_sub(time).unwrap()
}

#[tokio::test]
async fn a_reading_goes_on_when_who_began_it_is_gone() {
    let (cache, service) = new(MINUTES);
    let mut first = Box::pin(read(&cache, &service));
    assert!((&mut first).now_or_never().is_none());
    drop(first);
    assert_eq!(password(&read(&cache, &service).await), "1");
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn a_reading_that_panics_is_a_failure_and_not_the_last() {
    let (cache, service) = new(MINUTES);
    let broken = cache.read("s", || async { panic!("on purpose") });
    assert!(matches!(broken.await, Err(SecretError::Unavailable { .. })));
    assert_eq!(password(&read(&cache, &service).await), "1");
}

#[tokio::test]
async fn so_many_are_kept_and_no_more() {
    let (cache, service) = new(MINUTES);
    for number in 0..=MAX_SECRETS {
        let id = number.to_string();
        cache.read(&id, || service.answer(None)).await.unwrap();
    }
    assert_eq!(cache.entries().len(), MAX_SECRETS);
    assert!(!cache.entries().contains_key("0"));
    // What is too old to serve is not kept either.
    for entry in cache.entries().values_mut() {
        let secret = entry
            .cached
            .as_ref()
            .unwrap()
            .fresh(Instant::now())
            .unwrap();
        entry.cached = Some(CachedSecret::new(secret, before(MAX_STALENESS), MINUTES));
    }
    read(&cache, &service).await;
    assert_eq!(cache.entries().len(), 1);
}

#[test]
fn secrets_are_kept_for_about_as_long_as_said() {
    for _ in 0..1000 {
        let time = jittered(MINUTES).as_secs_f64();
        assert!((270.0..=330.0).contains(&time), "{time}");
    }
}
