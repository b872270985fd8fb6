//! `client.session(..)`: `WATCH`, `MULTI` and `EXEC` on one connection, through what a cluster does in the meantime.

use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, Profile, SimCluster};
use keyslot::{Client, Command, Commands, Error, ErrorKind, Outcome, Session, Value};
use tokio::time::timeout;

use crate::support::{
    MS, SECOND, another, builder, connect, key_of, owner, received_by_all, replicated, slot, soon, three,
};

fn told(error: &Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

/// A session that watches `{a}k` and has read it.
async fn watching(client: &Client) -> Session {
    let mut session = client.session("{a}k").await.unwrap();
    session.watch("{a}k").await.unwrap();
    let _: Option<i64> = session.get("{a}k").await.unwrap();
    session
}

/// Adds one to `{a}k` by the session's transaction.
async fn add_one(session: &mut Session) -> keyslot::Result<Option<i64>> {
    let mut transaction = session.transaction();
    transaction.incr("{a}k");
    Ok(transaction.run::<(i64,)>().await?.map(|(count,)| count))
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_executed_only_if_nothing_that_is_watched_has_changed() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut session = watching(&client).await;
        assert_eq!(session.slot(), slot("{a}k"));
        assert_eq!(session.node(), Some(&owner(&cluster, "{a}k")));
        assert_eq!(add_one(&mut session).await.unwrap(), Some(1), "{profile}");
        session.watch(["{a}k", "{a}other"]).await.unwrap();
        client.set("{a}other", "changed").await.unwrap();
        assert_eq!(add_one(&mut session).await.unwrap(), None, "{profile}");
        // Nothing is watched now.
        client.set("{a}other", "again").await.unwrap();
        assert_eq!(add_one(&mut session).await.unwrap(), Some(2), "{profile}");
        session.watch("{a}k").await.unwrap();
        session.unwatch().await.unwrap();
        client.set("{a}k", 10).await.unwrap();
        assert_eq!(add_one(&mut session).await.unwrap(), Some(11), "{profile}");
        assert_eq!(session.get::<i64>("{a}k").await.unwrap(), 11);
        // An empty one tells whether something has changed.
        session.watch("{a}k").await.unwrap();
        assert_eq!(session.transaction().run::<()>().await.unwrap(), Some(()));
        session.watch("{a}k").await.unwrap();
        client.incr("{a}k").await.unwrap();
        assert_eq!(session.transaction().run::<()>().await.unwrap(), None);
        assert_eq!(cluster.ledger().count("INCR {a}k"), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_retry_count_each_of_their_rounds_once() {
    let cluster = three();
    let client = connect(&cluster).await;
    let rounds = 20;
    let tasks = (0..8).map(|_| async {
        let mut lost = 0;
        for _ in 0..rounds {
            loop {
                let mut session = client.session("{a}n").await.unwrap();
                session.watch("{a}n").await.unwrap();
                let before: i64 = session.get::<Option<i64>>("{a}n").await.unwrap().unwrap_or(0);
                let mut transaction = session.transaction();
                transaction.set("{a}n", before + 1);
                match transaction.run::<((),)>().await.unwrap() {
                    Some(_) => break,
                    None => lost += 1,
                }
            }
        }
        lost
    });
    let lost: i32 = soon(join_all(tasks)).await.into_iter().sum();
    assert!(lost > 0, "nobody was in anybody's way");
    assert_eq!(client.get::<i64>("{a}n").await.unwrap(), 8 * rounds);
}

#[tokio::test(start_paused = true)]
async fn keys_of_other_slots_and_what_needs_another_connection_are_refused_unsent() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = client.session("{a}k").await.unwrap();
    let error = session.watch(["{a}k", "b"]).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::CrossSlot, Outcome::Rejected));
    let text = error.to_string();
    for part in [slot("b").to_string(), slot("{a}k").to_string(), "\"b\"".to_owned(), "\"{a}k\"".to_owned()] {
        assert!(text.contains(&part), "{text}");
    }
    assert_eq!(session.get::<Value>("b").await.unwrap_err().kind(), ErrorKind::CrossSlot);
    assert_eq!(session.mget::<Value>(["b", "{a}k"]).await.unwrap_err().kind(), ErrorKind::CrossSlot);
    let mut transaction = session.transaction();
    transaction.incr("{a}k").incr("b");
    assert_eq!(transaction.run::<Value>().await.unwrap_err().kind(), ErrorKind::CrossSlot);
    for line in ["MULTI", "SELECT 1", "WAIT 1 100", "WAITAOF 0 1 100", "SUBSCRIBE c", "DBSIZE", "FLUSHALL"] {
        let mut words = line.split(' ');
        let command = Command::new(words.next().unwrap()).args(words);
        let error = session.execute::<Value>(command).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::Usage, Outcome::Rejected), "{line}");
    }
    let none: [&str; 0] = [];
    assert_eq!(session.watch(none).await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(
        client.execute::<Value>(Command::new("WATCH").key("k")).await.unwrap_err().kind(),
        ErrorKind::Usage
    );
    for name in ["WATCH", "GET", "MGET", "INCR", "MULTI"] {
        assert_eq!(received_by_all(&cluster, name), 0, "{name}");
    }
    // None of this has done the session any harm.
    assert_eq!(session.get::<Option<i64>>("{a}k").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn until_its_first_answer_a_session_follows_its_slot() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = client.session("{a}k").await.unwrap();
    let (from, to) = (owner(&cluster, "{a}k"), another(&cluster, "{a}k"));
    cluster.move_slot(slot("{a}k"), &to).unwrap();
    session.watch("{a}k").await.unwrap();
    assert_eq!(session.node(), Some(&to));
    assert_eq!(add_one(&mut session).await.unwrap(), Some(1));
    assert_eq!((cluster.received(&from, "WATCH"), cluster.received(&to, "WATCH")), (1, 1));
    assert_eq!(cluster.received(&to, "ASKING"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_begins_behind_a_move_that_is_under_way() {
    let cluster = three();
    let client = connect(&cluster).await;
    let to = another(&cluster, "{a}k");
    cluster.open_slot(slot("{a}k"), &to).unwrap();
    let watch = async {
        let mut session = client.session("{a}k").await.unwrap();
        session.watch("{a}k").await.unwrap();
        session
    };
    let close = async {
        tokio::time::sleep(SECOND).await;
        cluster.close_slot(slot("{a}k")).unwrap();
    };
    let (mut session, ()) = soon(async { tokio::join!(watch, close) }).await;
    assert_eq!(session.node(), Some(&to));
    assert_eq!(add_one(&mut session).await.unwrap(), Some(1));
    // The keys of a session are on one node, so it asks nobody by the way.
    assert_eq!(cluster.received(&to, "ASKING"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_moves_ends_the_session_and_nothing_is_executed() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        client.set("{a}k", 1).await.unwrap();
        let mut session = watching(&client).await;
        let to = another(&cluster, "{a}k");
        cluster.move_slot(slot("{a}k"), &to).unwrap();
        // A key that was moved has changed for its old node; an error says more, so either is right.
        match add_one(&mut session).await {
            Ok(done) => assert_eq!(done, None, "{profile}"),
            Err(error) => {
                assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent), "{profile}: {error}");
                assert!(error.to_string().contains("begin the session anew"), "{error}");
                let again = session.get::<Value>("{a}k").await.unwrap_err();
                assert_eq!(told(&again), (ErrorKind::SessionLost, Outcome::NotSent), "{profile}");
                assert_eq!(session.node(), None);
            }
        }
        assert_eq!(cluster.ledger().count("INCR {a}k"), 0, "{profile}");
        let mut session = watching(&client).await;
        assert_eq!(session.node(), Some(&to));
        assert_eq!(add_one(&mut session).await.unwrap(), Some(2), "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watched_key_that_is_made_on_the_other_side_of_a_move_is_noticed() {
    for profile in Profile::ALL {
        let cluster = SimCluster::builder().profile(profile).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        client.set("{a}here", "stays").await.unwrap();
        let mut session = watching(&client).await;
        // It is absent where it is watched, and another caller makes it where its slot moves to.
        cluster.open_slot(slot("{a}k"), &another(&cluster, "{a}k")).unwrap();
        client.set("{a}k", 5).await.unwrap();
        let mut transaction = session.transaction();
        transaction.set("{a}here", "changed");
        let error = transaction.run::<((),)>().await.unwrap_err();
        // Valkey 9.1 looks at all keys of the transaction at once, and finds some here and some not.
        let is_new = profile == Profile::Valkey91;
        let kind = if is_new { ErrorKind::Unavailable } else { ErrorKind::SessionLost };
        assert_eq!(told(&error), (kind, Outcome::NotSent), "{profile}: {error}");
        assert_eq!(client.get::<String>("{a}here").await.unwrap(), "stays", "{profile}");
        assert_eq!(cluster.ledger().count("SET {a}here changed"), 0, "{profile}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_ends_the_session_and_a_new_one_goes_to_the_promoted_replica() {
    for by_hand in [true, false] {
        let cluster = replicated().start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let mut session = watching(&client).await;
        let old = owner(&cluster, "{a}k");
        let replica = cluster.replicas_of(&old).remove(0);
        if by_hand {
            cluster.promote(&replica).unwrap();
        } else {
            cluster.kill(&old).unwrap();
        }
        cluster.until(|cluster| owner(cluster, "{a}k") == replica).await;
        // Until the old one has heard of it.
        tokio::time::sleep(SECOND).await;
        let error = add_one(&mut session).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent), "{by_hand}: {error}");
        assert_eq!(cluster.ledger().count("INCR {a}k"), 0);
        let mut session = watching(&client).await;
        assert_eq!(session.node(), Some(&replica));
        assert_eq!(add_one(&mut session).await.unwrap(), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_primary_that_hung_would_acknowledge_is_not_believed() {
    let cluster = replicated().start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let mut session = watching(&client).await;
    let old = owner(&cluster, "{a}k");
    cluster.stop(&old).unwrap();
    let run = async {
        let mut transaction = session.transaction();
        transaction.timeout(60 * SECOND).incr("{a}k");
        transaction.run::<(i64,)>().await
    };
    let back = async {
        // Somebody has to notice.
        drop(client.get::<Value>("{a}k").await);
        cluster.until(|cluster| owner(cluster, "{a}k") != old).await;
        tokio::time::sleep(SECOND).await;
        cluster.cont(&old).unwrap();
    };
    let (done, ()) = soon(async { tokio::join!(run, back) }).await;
    assert_eq!(told(&done.unwrap_err()), (ErrorKind::SessionLost, Outcome::MaybeExecuted));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_tells_what_became_of_each_shape() {
    let cases = [
        (FaultKind::CloseBefore, "EXEC", Outcome::MaybeExecuted, 0),
        (FaultKind::CloseAfter, "EXEC", Outcome::MaybeExecuted, 1),
        (FaultKind::CloseBefore, "MULTI", Outcome::MaybeExecuted, 0),
    ];
    for (kind, at, outcome, executed) in cases {
        let cluster = three();
        let client = connect(&cluster).await;
        let mut session = watching(&client).await;
        cluster.inject(Fault::new(kind.clone()).command(at).times(1));
        let error = add_one(&mut session).await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::SessionLost, outcome), "{kind:?} {at}: {error}");
        assert_eq!(cluster.ledger().count("INCR {a}k"), executed, "{kind:?} {at}");
        assert_eq!(session.watch("{a}k").await.unwrap_err().kind(), ErrorKind::SessionLost);
    }
    // A read between: it is not asked again elsewhere, for the watch is gone.
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = watching(&client).await;
    cluster.inject(Fault::new(FaultKind::CloseBefore).command("GET").times(1));
    assert_eq!(session.get::<Value>("{a}k").await.unwrap_err().kind(), ErrorKind::SessionLost);
    assert_eq!(received_by_all(&cluster, "GET"), 2);
    // The first command of a session: nothing is lost yet.
    let mut session = client.session("{a}k").await.unwrap();
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("WATCH").times(1));
    session.watch("{a}k").await.unwrap();
    assert_eq!(add_one(&mut session).await.unwrap(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_a_moment_is_asked_again_but_no_transaction() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = watching(&client).await;
    let text = "TRYAGAIN Multiple keys request during rehashing of slot";
    let refuse = |command| {
        cluster.inject(Fault::new(FaultKind::Error(text.to_owned())).command(command).times(3));
    };
    refuse("GET");
    assert_eq!(session.get::<Option<i64>>("{a}k").await.unwrap(), None);
    cluster.inject(Fault::new(FaultKind::Error(text.to_owned())).command("EXEC").times(1));
    let error = add_one(&mut session).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Unavailable, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("nothing of it was executed"), "{error}");
    assert_eq!(cluster.ledger().count("INCR {a}k"), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_meets_what_another_session_has_watched() {
    let cluster = three();
    let client = builder(&cluster).exclusive_per_node(1).connect().await.unwrap();
    let node = owner(&cluster, "{a}k");
    // Dropped with a watch: closed. Dropped without one: used again.
    drop(watching(&client).await);
    client.set("{a}k", 1).await.unwrap();
    let before = cluster.connections_accepted(&node);
    let mut session = client.session("{a}k").await.unwrap();
    assert_eq!(cluster.connections_accepted(&node), before + 1);
    assert_eq!(add_one(&mut session).await.unwrap(), Some(2));
    drop(session);
    let mut session = watching(&client).await;
    assert_eq!(add_one(&mut session).await.unwrap(), Some(3));
    drop(session);
    let mut session = watching(&client).await;
    session.unwatch().await.unwrap();
    drop(session);
    let _session = client.session("{a}k").await.unwrap();
    assert_eq!(cluster.connections_accepted(&node), before + 1);
    // The node has one connection for this, and it is taken.
    let waiting = client.session("{a}x").await.unwrap_err();
    assert_eq!(told(&waiting), (ErrorKind::Timeout, Outcome::NotSent), "{waiting}");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_half_way_ends_the_session() {
    let cluster = three();
    let client = connect(&cluster).await;
    for name in ["GET", "EXEC", "WATCH"] {
        let mut session = watching(&client).await;
        cluster.inject(Fault::new(FaultKind::DelayReply(10 * MS)).command(name).times(1));
        let dropped = match name {
            "GET" => timeout(MS, session.get::<Value>("{a}k").into_future()).await.is_err(),
            "EXEC" => timeout(MS, add_one(&mut session)).await.is_err(),
            _ => timeout(MS, session.watch("{a}other")).await.is_err(),
        };
        assert!(dropped, "{name}");
        let error = session.get::<Value>("{a}k").await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent), "{name}");
        assert!(error.to_string().contains("dropped"), "{error}");
        // And whoever comes next has a connection that is in step and watches nothing.
        tokio::time::sleep(20 * MS).await;
        let mut session = client.session("{a}k").await.unwrap();
        client.incr("{a}other").await.unwrap();
        assert!(add_one(&mut session).await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_ends_the_session_with_its_own_error() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = watching(&client).await;
    cluster.inject(Fault::new(FaultKind::Silence).command("GET").times(1));
    let error = session.get::<Value>("{a}k").timeout(5 * MS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let error = session.get::<Value>("{a}k").await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent));
    assert!(error.to_string().contains("was not answered in its time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_blocking_command_waits_on_the_sessions_own_connection() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = client.session("{a}q").await.unwrap();
    let push = async {
        tokio::time::sleep(20 * SECOND).await;
        client.rpush("{a}q", "x").await.unwrap();
    };
    let (taken, ()) = tokio::join!(session.blpop::<(String, String)>("{a}q", 30.0).into_future(), push);
    assert_eq!(taken.unwrap(), ("{a}q".to_owned(), "x".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_client_ends_its_sessions() {
    let cluster = three();
    let client = connect(&cluster).await;
    let mut session = watching(&client).await;
    client.close_within(Duration::ZERO).await;
    assert_eq!(session.get::<Value>("{a}k").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(add_one(&mut session).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(client.session("{a}k").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_the_replicas_of_what_it_has_written() {
    let cluster = SimCluster::builder().replicas(2).replication_delay(10 * MS).start_in_memory().unwrap();
    let client = connect(&cluster).await;
    let mut session = client.session("{a}k").await.unwrap();
    let error = session.wait(1, SECOND).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::Usage, Outcome::Rejected));
    assert_eq!(session.wait(1, Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Usage);
    session.set("{a}k", 1).await.unwrap();
    assert_eq!(session.wait(2, 5 * MS).await.unwrap(), 0);
    assert_eq!(session.wait(2, SECOND).await.unwrap(), 2);
    session.watch("{a}k").await.unwrap();
    assert_eq!(add_one(&mut session).await.unwrap(), Some(2));
    let kept = session.wait_aof(false, 2, SECOND).await.unwrap();
    assert_eq!((kept.local, kept.replicas), (false, 2));
    // More than there are: it waits as long as it was told to, beyond what a command may take.
    let begin = cluster.elapsed();
    assert_eq!(session.wait(3, 15 * SECOND).await.unwrap(), 2);
    assert_eq!(cluster.elapsed() - begin, 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_node_do_not_delay_the_others() {
    let cluster = three();
    let client = connect(&cluster).await;
    let node = another(&cluster, "{a}k");
    let key = key_of(&cluster, &node, "other");
    let _session = watching(&client).await;
    cluster.stop(&owner(&cluster, "{a}k")).unwrap();
    let mut session = timeout(MS, client.session(&*key)).await.unwrap().unwrap();
    session.watch(&*key).await.unwrap();
    assert_eq!(session.node(), Some(&node));
}
