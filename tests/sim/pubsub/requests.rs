//! Requests that wait, fail, are refused or given up: all of what one asks for, or none of it.

use keyslot::testkit::sim::{Fault, FaultKind};
use keyslot::{ErrorKind, Outcome, SubscriberOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::pubsub::{all_subscribers_of, expect, expect_nothing_for, next, node_of, publish, spublish};
use crate::support::{MS, SECOND, builder, connect, owner, replicated, three};

#[tokio::test(start_paused = true)]
async fn a_subscription_waits_for_the_successor_of_a_dead_primary() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    sleep(SECOND).await;
    cluster.kill(&owner(&cluster, "s")).unwrap();
    let mut subscriber = client.subscriber();
    let begin = Instant::now();
    subscriber.ssubscribe("s").await.unwrap();
    assert!((SECOND..5 * SECOND).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    spublish(&cluster, "s", "1");
    // It was never in force before, so nothing was lost.
    expect(&mut subscriber, &["s: 1"]).await;
    subscriber.subscribe("a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_confirms_in_time_is_taken_back() {
    let cluster = three();
    let client = builder(&cluster).command_timeout(3 * SECOND).connect().await.unwrap();
    let subscriber = client.subscriber();
    subscriber.ssubscribe("s").await.unwrap();
    let refusing = cluster.inject(Fault::new(FaultKind::Refuse));
    let begin = Instant::now();
    let error = subscriber.subscribe(["a", "b"]).await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 3);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent));
    assert!(error.to_string().contains("cannot connect"), "{error}");
    cluster.lift(refusing);
    sleep(60 * SECOND).await;
    assert_eq!(all_subscribers_of(&cluster, "a") + all_subscribers_of(&cluster, "b"), 0);
    assert_eq!(subscriber.subscriptions().await.len(), 1);
    // The limit may be its own.
    let subscriber = client.subscriber_with(SubscriberOptions::new().timeout(SECOND));
    cluster.inject(Fault::new(FaultKind::Refuse));
    let begin = Instant::now();
    subscriber.subscribe("a").await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_is_taken_back_wherever_it_was() {
    // In a connect, in a command's way, in its answer's way, behind its answer.
    for delay in [0, 1, 5, 20, 25, 45, 60, 100] {
        let cluster = three();
        let client = connect(&cluster).await;
        let mut subscriber = client.subscriber();
        subscriber.subscribe("before").await.unwrap();
        cluster.inject(Fault::new(FaultKind::Delay(20 * MS)).command("SUBSCRIBE"));
        cluster.inject(Fault::new(FaultKind::DelayReply(20 * MS)).command("SUBSCRIBE"));
        let channels = ["before", "a", "b"];
        let was_confirmed = timeout(delay * MS, subscriber.subscribe(channels)).await.is_ok();
        sleep(60 * SECOND).await;
        let expected = if was_confirmed { 1 } else { 0 };
        assert_eq!(all_subscribers_of(&cluster, "a"), expected, "dropped after {delay} ms");
        assert_eq!(all_subscribers_of(&cluster, "b"), expected, "dropped after {delay} ms");
        assert_eq!(subscriber.subscriptions().await.len(), 1 + 2 * expected as usize);
        publish(&cluster, &cluster.nodes()[0], "before", "x");
        expect(&mut subscriber, &["before: x"]).await;
        expect_nothing_for(&mut subscriber, SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_request_wants_too_is_not_taken_back() {
    let cluster = three();
    let client = connect(&cluster).await;
    let subscriber = client.subscriber();
    cluster.inject(Fault::new(FaultKind::DelayReply(100 * MS)).command("SUBSCRIBE"));
    let (first, second) =
        futures::join!(timeout(50 * MS, subscriber.subscribe(["a", "b"])), subscriber.subscribe(["b", "c"]),);
    first.unwrap_err();
    second.unwrap();
    sleep(SECOND).await;
    let there = ["a", "b", "c"].map(|channel| all_subscribers_of(&cluster, channel));
    assert_eq!(there, [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_guilty_and_takes_back_the_rest_of_its_request_only() {
    let cluster = three();
    let client = connect(&cluster).await;
    let subscriber = client.subscriber();
    let denied = "NOPERM No permissions to access a channel";
    for verb in ["SUBSCRIBE", "SSUBSCRIBE"] {
        cluster.inject(Fault::new(FaultKind::Error(denied.to_owned())).command(verb).key("{t}bad"));
    }
    let handle = subscriber.handle();
    let (good, bad) =
        futures::join!(handle.subscribe(["{t}a", "{t}b"]), handle.subscribe(["{t}c", "{t}bad"]));
    good.unwrap();
    let error = bad.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::Rejected));
    assert_eq!((error.command(), error.code()), (Some("SUBSCRIBE"), Some("NOPERM")));
    let (good, bad) =
        futures::join!(handle.ssubscribe(["{t}a", "{t}b"]), handle.ssubscribe(["{t}c", "{t}bad"]));
    good.unwrap();
    assert_eq!(bad.unwrap_err().slot(), Some(crate::support::slot("t")));
    sleep(SECOND).await;
    let there = ["{t}a", "{t}b", "{t}c", "{t}bad"].map(|channel| all_subscribers_of(&cluster, channel));
    assert_eq!(there, [2, 2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_refused_later_ends_with_a_word() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    subscriber.subscribe(["a", "b"]).await.unwrap();
    let denied = "NOPERM No permissions to access a channel";
    cluster.inject(Fault::new(FaultKind::Error(denied.to_owned())).command("SUBSCRIBE").key("a"));
    let node = node_of(&subscriber, "a").await.unwrap();
    cluster.perform(keyslot::testkit::sim::Step::Disconnect(node)).unwrap();
    expect(&mut subscriber, &["interrupted ConnectionLost: a b"]).await;
    let mut both = [next(&mut subscriber).await, next(&mut subscriber).await];
    both.sort();
    assert!(both[0].starts_with("ended a: SUBSCRIBE at "), "{both:?}");
    assert_eq!(both[1], "gap ConnectionLost: b");
    assert_eq!(subscriber.subscriptions().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_asked_for_again() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut subscriber = client.subscriber();
    for verb in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "SUNSUBSCRIBE"] {
        cluster.inject(Fault::new(FaultKind::LoseReply).command(verb).times(1));
    }
    let begin = Instant::now();
    subscriber.subscribe("a").await.unwrap();
    subscriber.psubscribe("a*").await.unwrap();
    subscriber.ssubscribe("a").await.unwrap();
    publish(&cluster, &cluster.nodes()[0], "a", "1");
    expect(&mut subscriber, &["a: 1", "a: 1 by a*"]).await;
    subscriber.unsubscribe("a").await.unwrap();
    subscriber.sunsubscribe("a").await.unwrap();
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
    assert_eq!(all_subscribers_of(&cluster, "a"), 0);
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_live_node_confuse_nothing() {
    for error in ["MISCONF the disk is full", "LOADING in a moment", "BUSY a script runs"] {
        let cluster = three();
        let client = connect(&cluster).await;
        let options = SubscriberOptions::new().keep_alive(100 * MS);
        let mut subscriber = client.subscriber_with(options);
        cluster.inject(Fault::new(FaultKind::Error(error.to_owned())).command("PING"));
        for round in 0..20 {
            subscriber.ssubscribe(["s", "t"]).await.unwrap();
            sleep(150 * MS).await;
            spublish(&cluster, "s", "x");
            expect(&mut subscriber, &["s: x"]).await;
            let (ended, begun) = futures::join!(subscriber.sunsubscribe("s"), subscriber.ssubscribe("s"));
            ended.unwrap();
            begun.unwrap();
            assert_eq!(spublish(&cluster, "s", "x"), 1, "{error} in round {round}");
            expect(&mut subscriber, &["s: x"]).await;
        }
        expect_nothing_for(&mut subscriber, 5 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_moment_mends_is_waited_for() {
    for error in ["BUSY a script runs", "CLUSTERDOWN Hash slot not served", "LOADING in a moment"] {
        let cluster = three();
        let client = connect(&cluster).await;
        let subscriber = client.subscriber();
        let fault = Fault::new(FaultKind::Error(error.to_owned())).command("SSUBSCRIBE").times(3);
        cluster.inject(fault);
        subscriber.ssubscribe("s").await.unwrap();
        assert_eq!(spublish(&cluster, "s", "x"), 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_nothing() {
    let cluster = three();
    let client = connect(&cluster).await;
    let subscriber = client.subscriber();
    subscriber.subscribe(Vec::<String>::new()).await.unwrap();
    subscriber.unsubscribe(Vec::<String>::new()).await.unwrap();
    subscriber.sunsubscribe("s").await.unwrap();
    assert!(subscriber.subscriptions().await.is_empty());
}
