use tokio::time::Instant;

use super::*;

const ACCOUNT: &str = "111111111111";

async fn take_all(shares: &Shares, count: usize) -> Vec<Share> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(shares.acquire("a", ACCOUNT, false).await.unwrap());
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_has_every_place() {
    let shares = Shares::new(4);
    let taken = take_all(&shares, 4).await;
    let begun = Instant::now();
    assert!(shares.acquire("a", ACCOUNT, false).await.is_err());
    assert_eq!(begun.elapsed(), WAIT_OVER_SHARE);
    // What goes makes room at once for one that waits.
    let (next, ()) = tokio::join!(shares.acquire("a", ACCOUNT, false), async { drop(taken) });
    assert!(next.is_ok());
    assert_eq!(shares.state().held, 1);
}

#[tokio::test(start_paused = true)]
async fn while_another_waits_no_stack_has_more_than_half() {
    let shares = Shares::new(4);
    let mut taken = take_all(&shares, 4).await;
    let wanted = async { taken[0].wanted().await };
    let (other, ()) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(1), shares.acquire("b", ACCOUNT, false)),
        wanted
    );
    assert!(other.is_err(), "nothing was yielded");
    // One permit is yielded: it goes to the other, not to the one that waits before it.
    let first = tokio::spawn({
        let shares = shares.clone();
        async move { shares.acquire("a", ACCOUNT, false).await.is_ok() }
    });
    tokio::task::yield_now().await;
    let (other, ()) = tokio::join!(shares.acquire("b", ACCOUNT, false), async {
        tokio::task::yield_now().await;
        drop(taken.pop());
    });
    let _other = other.unwrap();
    assert!(!first.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_account_of_many_stacks_has_no_more_either() {
    let shares = Shares::new(4);
    let mut taken = Vec::new();
    for stack in ["a", "b", "c", "d"] {
        taken.push(shares.acquire(stack, ACCOUNT, false).await.unwrap());
    }
    let (other, ()) = tokio::join!(shares.acquire("e", "222222222222", false), async {
        taken[0].wanted().await;
        drop(taken.remove(0));
    });
    let other = other.unwrap();
    // Half is left to each.
    drop(taken.remove(0));
    assert_eq!(shares.state().held, 3);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn the_last_receive_waits_as_long_as_it_takes() {
    let shares = Shares::new(2);
    let taken = take_all(&shares, 2).await;
    let (last, ()) = tokio::join!(shares.acquire("a", ACCOUNT, true), async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(taken);
    });
    assert!(last.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_nothing_behind() {
    let shares = Shares::new(1);
    let taken = take_all(&shares, 1).await;
    let waiting = shares.acquire("b", ACCOUNT, false);
    assert!(
        tokio::time::timeout(Duration::from_millis(1), waiting)
            .await
            .is_err()
    );
    drop(taken);
    assert!(shares.state().waiting.is_empty());
    assert_eq!(shares.state().held, 0);
    assert!(shares.acquire("a", ACCOUNT, false).await.is_ok());
}
