//! What needs a connection of its own, on real servers: `WATCH` sessions and durable writes, through slot moves, failovers
//! and cut connections.

use std::sync::Arc;
use std::time::Duration;

use crate::live_support::{ask, check_each, on_every_server, tag_at, until};
use futures::future::join_all;
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, ErrorKind, NodeAddr, Outcome, Protocol, Session, Slot, Value};

on_every_server! {
    all: sessions_watch_and_are_ended_by_what_ends_a_watch
        a_failover_ends_a_session_and_the_next_one_goes_on
        durable_writes_are_counted_where_they_are_executed;
    since_7_0: ;
    valkey_9_1: an_atomic_slot_migration_ends_a_session;
}

/// Three primaries, and the clients.
struct Fixture {
    cluster: LocalCluster,
    nodes: Vec<NodeAddr>,
    client: Client,
    resp2: Client,
}

impl Fixture {
    async fn start(server: Server, replicas: usize) -> Arc<Self> {
        let builder = LocalCluster::builder().server(server).primaries(3).replicas(replicas);
        let cluster = builder.node_timeout(Duration::from_secs(1)).start().await.unwrap();
        let builder = || Client::builder().url(&cluster.url()).command_timeout(Duration::from_secs(20));
        let client = builder().connect().await.unwrap();
        let resp2 = builder().protocol(Protocol::Resp2).connect().await.unwrap();
        Arc::new(Self { nodes: cluster.nodes()[..3].to_vec(), client, resp2, cluster })
    }

    fn clients(&self) -> [&Client; 2] {
        [&self.client, &self.resp2]
    }

    fn tag(&self, node: usize, salt: &str) -> String {
        tag_at(&self.client.slot_map(), &self.nodes[node], salt)
    }

    async fn move_slot(&self, tag: &str, from: usize, to: usize) {
        self.cluster
            .move_slot(Slot::of_key(tag.as_bytes()), &self.nodes[from], &self.nodes[to])
            .await
            .unwrap();
    }
}

fn told(error: &keyslot::Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

/// A session that watches `{tag}n` and has read it.
async fn watching(client: &Client, tag: &str) -> Session {
    let key = format!("{{{tag}}}n");
    let mut session = client.session(&key).await.unwrap();
    session.watch(&key).await.unwrap();
    let _: Option<i64> = session.get(&key).await.unwrap();
    session
}

/// Adds one to `{tag}n` by the session's transaction.
async fn add_one(session: &mut Session, tag: &str) -> keyslot::Result<Option<i64>> {
    let mut transaction = session.transaction();
    transaction.incr(format!("{{{tag}}}n"));
    Ok(transaction.run::<(i64,)>().await?.map(|(count,)| count))
}

// ---------------------------------------------------------------------------------------------------------------------

async fn sessions_watch_and_are_ended_by_what_ends_a_watch(server: Server) {
    check_each! {
        Fixture::start(server, 0).await;
        a_change_of_a_watched_key_stops_the_transaction
        tasks_that_transfer_leave_the_sum_as_it_was
        a_slot_that_moves_ends_the_session
        a_watched_key_that_is_made_where_its_slot_moves_to_is_noticed
        a_cut_connection_ends_the_session
        nobody_meets_the_watch_of_another
    }
}

async fn a_change_of_a_watched_key_stops_the_transaction(fixture: Arc<Fixture>) {
    for client in fixture.clients() {
        let tag = fixture.tag(0, "watch");
        let key = format!("{{{tag}}}n");
        client.del(&key).await.unwrap();
        let mut session = watching(client, &tag).await;
        assert_eq!(session.node().unwrap().port(), fixture.nodes[0].port());
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(1));
        session.watch(&key).await.unwrap();
        client.set(&key, 10).await.unwrap();
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), None);
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(11));
        session.watch(&key).await.unwrap();
        assert_eq!(session.transaction().run::<()>().await.unwrap(), Some(()));
        session.watch(&key).await.unwrap();
        client.incr(&key).await.unwrap();
        session.unwatch().await.unwrap();
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(13));
        // One command fails, the others are executed.
        let mut transaction = session.transaction();
        transaction.incr(&key).lpush(&key, "x");
        let error = transaction.run::<(i64, i64)>().await.unwrap_err();
        assert_eq!((error.outcome(), error.code()), (Outcome::MaybeExecuted, Some("WRONGTYPE")), "{error}");
        assert!(error.to_string().contains("command 2 of 2"), "{error}");
        // One cannot be queued, none is executed.
        session.watch(&key).await.unwrap();
        let mut transaction = session.transaction();
        transaction.incr(&key).push(Command::new("GET"));
        let error = transaction.run::<Value>().await.unwrap_err();
        assert_eq!(told(&error), (ErrorKind::Server, Outcome::Rejected), "{error}");
        assert_eq!(session.get::<i64>(&key).await.unwrap(), 14);
        assert_eq!(session.wait(0, Duration::from_millis(10)).await.unwrap(), 0);
    }
}

async fn tasks_that_transfer_leave_the_sum_as_it_was(fixture: Arc<Fixture>) {
    let client = &fixture.client;
    let tag = fixture.tag(1, "bank");
    let accounts: Vec<String> = (0..4).map(|number| format!("{{{tag}}}{number}")).collect();
    client.mset(accounts.iter().map(|account| (account, 100))).await.unwrap();
    let tasks = (0..8_usize).map(|task| {
        let (client, accounts) = (client.clone(), accounts.clone());
        tokio::spawn(async move {
            let mut refused = 0;
            for round in 0..25 {
                let (from, to) =
                    (&accounts[(task + round) % 4], &accounts[(task + round + 1 + task % 3) % 4]);
                loop {
                    let mut session = client.session(from).await.unwrap();
                    session.watch([from, to]).await.unwrap();
                    let (a, b): (i64, i64) = session.mget([from, to]).await.unwrap();
                    let mut transaction = session.transaction();
                    transaction.set(from, a - 1).set(to, b + 1);
                    match transaction.run::<((), ())>().await.unwrap() {
                        Some(_) => break,
                        None => refused += 1,
                    }
                }
            }
            refused
        })
    });
    let refused: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    println!("{}: 200 transfers, {refused} refused", fixture.cluster.server().version());
    let balances: Vec<i64> = client.mget(&accounts).await.unwrap();
    assert_eq!(balances.iter().sum::<i64>(), 400, "{balances:?}");
}

async fn a_slot_that_moves_ends_the_session(fixture: Arc<Fixture>) {
    for (salt, client) in ["moves3-", "moves2-"].into_iter().zip(fixture.clients()) {
        // The key is there, and the key is not: a server notices the first by itself.
        for exists in [true, false] {
            let tag = fixture.tag(0, &format!("{salt}{exists}-"));
            let key = format!("{{{tag}}}n");
            if exists {
                client.set(&key, 5).await.unwrap();
            }
            let mut session = watching(client, &tag).await;
            let mut other = client.session(&key).await.unwrap();
            fixture.move_slot(&tag, 0, 1).await;
            match add_one(&mut session, &tag).await {
                Ok(done) => assert_eq!((done, exists), (None, true)),
                Err(error) => assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent), "{error}"),
            }
            // One that has not begun follows.
            other.watch(&key).await.unwrap();
            assert_eq!(other.node().unwrap().port(), fixture.nodes[1].port());
            assert_eq!(add_one(&mut other, &tag).await.unwrap(), Some(if exists { 6 } else { 1 }));
        }
    }
}

async fn a_watched_key_that_is_made_where_its_slot_moves_to_is_noticed(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let tag = fixture.tag(0, "absent");
    let slot = Slot::of_key(tag.as_bytes());
    let here = format!("{{{tag}}}here");
    client.set(&here, "stays").await.unwrap();
    let mut session = watching(client, &tag).await;
    cluster.open_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    client.set(format!("{{{tag}}}n"), 5).await.unwrap();
    let mut transaction = session.transaction();
    transaction.set(&here, "changed");
    let error = transaction.run::<((),)>().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(matches!(error.kind(), ErrorKind::SessionLost | ErrorKind::Unavailable), "{error}");
    assert_eq!(client.get::<String>(&here).await.unwrap(), "stays");
    // A session that begins in the middle of a move waits for its end.
    let begun = tokio::spawn({
        let (client, tag) = (client.clone(), tag.clone());
        async move { add_one(&mut watching(&client, &tag).await, &tag).await }
    });
    cluster.migrate_keys(slot, &nodes[0], &nodes[1], 10).await.unwrap();
    cluster.close_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
    assert_eq!(begun.await.unwrap().unwrap(), Some(6));
}

async fn a_cut_connection_ends_the_session(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let tag = fixture.tag(2, "cut");
    let mut session = watching(client, &tag).await;
    let _: Value = ask(cluster, &nodes[2], Command::new("CLIENT KILL").args(["TYPE", "normal"])).await;
    let error = add_one(&mut session, &tag).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SessionLost, "{error}");
    let executed = client.get::<Option<i64>>(format!("{{{tag}}}n")).await.unwrap();
    assert_eq!(executed, None, "the connection was cut before: {error}");
    assert_eq!(session.node(), None);
    let mut session = watching(client, &tag).await;
    assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(1));
    // Cut while the session has not begun.
    let mut session = client.session(&tag).await.unwrap();
    let _: Value = ask(cluster, &nodes[2], Command::new("CLIENT KILL").args(["TYPE", "normal"])).await;
    session.watch(format!("{{{tag}}}n")).await.unwrap();
    assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(2));
}

async fn nobody_meets_the_watch_of_another(fixture: Arc<Fixture>) {
    let client = Client::builder().url(&fixture.cluster.url()).exclusive_per_node(1).connect().await.unwrap();
    let tag = fixture.tag(0, "mine");
    for round in 1..=20 {
        drop(watching(&client, &tag).await);
        let mut session = client.session(&tag).await.unwrap();
        // It would be refused if what was watched on its connection still were.
        fixture.client.set(format!("{{{tag}}}n"), round).await.unwrap();
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(round + 1));
    }
}

// ---------------------------------------------------------------------------------------------------------------------

async fn a_failover_ends_a_session_and_the_next_one_goes_on(server: Server) {
    check_each! {
        Fixture::start(server, 1).await;
        by_hand_or_by_a_crash_the_session_ends
    }
}

/// Waits until the replica of this primary serves its slots; gives it.
async fn until_promoted(fixture: &Fixture, tag: &str, old: &NodeAddr) -> NodeAddr {
    let slot = Slot::of_key(tag.as_bytes());
    until("the replica is promoted", async || {
        let owner = fixture.cluster.primary_of(slot).await.ok()?;
        (owner.port() != old.port()).then_some(owner)
    })
    .await
}

async fn by_hand_or_by_a_crash_the_session_ends(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    for (number, by_hand) in [(0, true), (1, false)] {
        let tag = fixture.tag(number, "over");
        let mut session = watching(client, &tag).await;
        let old = &nodes[number];
        if by_hand {
            let replica = &cluster.replicas_of(old).await.unwrap()[0];
            let _: Value = ask(cluster, replica, Command::new("CLUSTER FAILOVER")).await;
        } else {
            cluster.kill(old).unwrap();
        }
        let promoted = until_promoted(&fixture, &tag, old).await;
        let error = add_one(&mut session, &tag).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionLost, "{by_hand}: {error}");
        let (mut session, done) = loop {
            // The promoted one may be asked before it knows.
            let mut session = watching(client, &tag).await;
            match add_one(&mut session, &tag).await {
                Ok(done) => break (session, done),
                Err(error) => assert_ne!(error.outcome(), Outcome::MaybeExecuted, "{error}"),
            }
        };
        assert_eq!(done, Some(1), "nothing of the lost one was executed");
        assert_eq!(session.node().unwrap().port(), promoted.port());
        assert_eq!(add_one(&mut session, &tag).await.unwrap(), Some(2));
    }
}

async fn durable_writes_are_counted_where_they_are_executed(server: Server) {
    check_each! {
        Fixture::start(server, 1).await;
        each_node_says_how_many_replicas_have_its_writes
        append_only_files_are_asked_for_where_the_server_can
        a_redirected_write_is_counted_at_its_new_node
    }
}

const SOON: Duration = Duration::from_secs(5);

async fn each_node_says_how_many_replicas_have_its_writes(fixture: Arc<Fixture>) {
    for client in fixture.clients() {
        let mut pipe = client.pipeline();
        for node in 0..3 {
            let tag = fixture.tag(node, "durable");
            pipe.set(format!("{{{tag}}}k"), node).get(format!("{{{tag}}}k"));
        }
        // A replica that has just joined may be in the middle of its first copy.
        let durable = until("all replicas follow", async || {
            let durable = pipe.run_durable(1, SOON).await.unwrap();
            (durable.replicas().unwrap() == Some(1)).then_some(durable)
        })
        .await;
        assert_eq!(durable.acknowledged.len(), 3);
        let replies: Vec<Value> = durable.read().unwrap();
        assert_eq!(replies.len(), 6);
        let mut session = client.session(fixture.tag(0, "durable")).await.unwrap();
        session.set(format!("{{{}}}k", fixture.tag(0, "durable")), "x").await.unwrap();
        assert_eq!(session.wait(1, SOON).await.unwrap(), 1);
    }
}

async fn append_only_files_are_asked_for_where_the_server_can(fixture: Arc<Fixture>) {
    let Fixture { cluster, client, .. } = &*fixture;
    let key = fixture.tag(0, "disk");
    let mut pipe = client.pipeline();
    pipe.set(&key, "x");
    let durable = pipe.run_durable_on_disk(true, 0, SOON).await.unwrap();
    assert!(durable.read::<((),)>().is_ok());
    let error = durable.on_disk().unwrap_err();
    let version = cluster.server().version().to_string();
    let knows_it = !version.contains(" 6.2.") && !version.contains(" 7.0.");
    let wanted = if knows_it { "appendonly is disabled" } else { "unknown command" };
    assert!(error.to_string().contains(wanted), "{error}");
    if !knows_it {
        return;
    }
    for node in cluster.nodes() {
        let _: Value = ask(cluster, &node, Command::new("CONFIG SET").args(["appendonly", "yes"])).await;
    }
    until("the files are there and follow", async || {
        let durable = pipe.run_durable_on_disk(true, 1, SOON).await.unwrap();
        let kept = durable.on_disk().unwrap().unwrap();
        (kept.local && kept.replicas == 1).then_some(())
    })
    .await;
    let mut session = client.session(&key).await.unwrap();
    session.set(&key, "y").await.unwrap();
    let kept = session.wait_aof(true, 1, SOON).await.unwrap();
    assert_eq!((kept.local, kept.replicas), (true, 1));
}

async fn a_redirected_write_is_counted_at_its_new_node(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    for (salt, half_way) in [("whole-", false), ("half-", true)] {
        let tag = fixture.tag(0, salt);
        let slot = Slot::of_key(tag.as_bytes());
        let stays = fixture.tag(0, &format!("{salt}stays"));
        if half_way {
            cluster.open_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
        } else {
            fixture.move_slot(&tag, 0, 1).await;
        }
        // The replica of the new node does not answer: it must not be told to have the write.
        let replica = &cluster.replicas_of(&nodes[1]).await.unwrap()[0];
        cluster.stop(replica).unwrap();
        let mut pipe = client.pipeline();
        pipe.incr(&stays).incr(&tag);
        let durable = pipe.run_durable(1, Duration::from_millis(100)).await.unwrap();
        cluster.cont(replica).unwrap();
        let mut said: Vec<_> =
            durable.acknowledged.iter().map(|one| (one.node.port(), *one.by.as_ref().unwrap())).collect();
        said.sort_unstable_by_key(|(port, _)| *port != nodes[0].port());
        assert_eq!(said, [(nodes[0].port(), 1), (nodes[1].port(), 0)], "{salt}");
        assert_eq!(durable.read::<(i64, i64)>().unwrap(), (1, 1));
        if half_way {
            cluster.close_slot(slot, &nodes[0], &nodes[1]).await.unwrap();
        }
    }
}

async fn an_atomic_slot_migration_ends_a_session(server: Server) {
    check_each! {
        Fixture::start(server, 0).await;
        an_absent_key_is_noticed_when_its_slot_has_migrated
    }
}

async fn an_absent_key_is_noticed_when_its_slot_has_migrated(fixture: Arc<Fixture>) {
    let Fixture { cluster, nodes, client, .. } = &*fixture;
    let tag = fixture.tag(0, "atomic");
    let slot = Slot::of_key(tag.as_bytes());
    let mut session = watching(client, &tag).await;
    let target = cluster.node_id(&nodes[1]).await.unwrap();
    let range = slot.get().to_string();
    let migrate =
        Command::new("CLUSTER MIGRATESLOTS").args(["SLOTSRANGE", &range, &range, "NODE"]).arg(target);
    let _: Value = ask(cluster, &nodes[0], migrate).await;
    until("the slot has moved", async || {
        let owner = cluster.primary_of(slot).await.ok()?;
        (owner.port() == nodes[1].port()).then_some(())
    })
    .await;
    let error = add_one(&mut session, &tag).await.unwrap_err();
    assert_eq!(told(&error), (ErrorKind::SessionLost, Outcome::NotSent), "{error}");
    assert_eq!(add_one(&mut watching(client, &tag).await, &tag).await.unwrap(), Some(1));
}
