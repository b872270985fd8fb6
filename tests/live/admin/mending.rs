//! Clusters that are broken on purpose, in each of the ways that `redis-cli --cluster fix` knows and in some that it does
//! not, and mended without losing a key.
//!
//! Two things that it knows are not to be had for long on real servers, because these settle them by themselves, as a rule
//! within a second: two primaries with the same epoch (one of them takes another), and two owners of a slot (the one with
//! the higher epoch stays). Valkey alone can be told to hear nothing of the others, and so be looked at meanwhile. That
//! both at once are mended without the servers' help is shown on the simulated cluster (`tests/sim/admin.rs`).

use std::time::Duration;

use keyslot::admin::{Admin, AdminOptions, Failover, Fix, Problem, Report, Slots, Step};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Slot, Value};
use tokio::sync::Notify;

use super::support::{all_is_well, assert_all_there, done, load, tell, tool_says};
use crate::live_support::{ask, tag_of_each_slot, until, value_of};

struct Broken {
    cluster: LocalCluster,
    server: Server,
    client: Client,
    admin: Admin,
    keys: Vec<String>,
    tags: Vec<String>,
}

impl Broken {
    async fn new(cluster: LocalCluster, server: Server) -> Self {
        let client = Client::builder()
            .url(&cluster.url())
            .command_timeout(Duration::from_secs(20))
            .connect()
            .await
            .unwrap();
        let keys = load(&client, 3000).await;
        let admin = client.admin();
        Self { cluster, server, client, admin, keys, tags: tag_of_each_slot() }
    }

    /// Slots within these bounds that have keys.
    fn slots_with_keys(&self, from: u16, below: u16) -> impl Iterator<Item = u16> + use<> {
        let mut slots: Vec<u16> = self.keys.iter().map(|key| Slot::of_key(key.as_bytes()).get()).collect();
        slots.retain(|slot| (from..below).contains(slot));
        slots.sort_unstable();
        slots.dedup();
        assert!(slots.len() > 40);
        slots.into_iter().step_by(2)
    }

    /// So many keys more in a slot.
    async fn add(&mut self, slot: u16, count: usize) -> Vec<String> {
        let tag = &self.tags[usize::from(slot)];
        let keys: Vec<String> = (0..count).map(|number| format!("{{{tag}}}:{number}")).collect();
        for key in &keys {
            self.client.set(key.as_str(), value_of(key)).await.unwrap();
        }
        self.keys.extend_from_slice(&keys);
        keys
    }

    async fn keys_at(&self, node: &NodeAddr, slot: u16) -> i64 {
        ask(&self.cluster, node, Command::new("CLUSTER COUNTKEYSINSLOT").arg(slot)).await
    }

    /// Opens a slot and moves some of its keys.
    async fn half_move(&self, slot: u16, from: &NodeAddr, to: &NodeAddr, keys: usize) {
        let slot = Slot::new(slot).unwrap();
        self.cluster.open_slot(slot, from, to).await.unwrap();
        assert_eq!(self.cluster.migrate_keys(slot, from, to, keys).await.unwrap(), keys);
    }

    /// Both the crate and the tool find something; `problem` says what.
    async fn is_found(&self, problem: impl Fn(&Problem) -> bool) -> Report {
        let report = self.admin.check().await.unwrap();
        assert!(report.problems.iter().any(problem), "{report}");
        report
    }

    async fn is_mended(&self) {
        done(self.admin.fix(Fix::new()).await).await;
        all_is_well(&self.admin, &self.server).await;
    }

    async fn owner_of(&self, slot: u16) -> NodeAddr {
        self.cluster.primary_of(Slot::new(slot).unwrap()).await.unwrap()
    }
}

pub(crate) async fn what_was_broken_is_mended(server: Server) {
    let cluster =
        LocalCluster::builder().primaries(3).replicas(1).server(server.clone()).start().await.unwrap();
    let mut broken = Broken::new(cluster, server).await;
    open_slots(&broken).await;
    keys_at_two_nodes(&broken).await;
    // Before the failovers, for replicas of Redis 7.0 remember that a slot was given up by its owner, though it has taken it
    // back: promoted, they would lose it to the next who claims it, with its keys, had `fix` not made them forget.
    slots_without_an_owner(&broken).await;
    a_move_follows_the_failover_of_its_source(&mut broken).await;
    a_failover_of_both_hides_keys(&mut broken).await;
    // Nothing is left to mend, and nothing was lost.
    assert!(broken.admin.fix(Fix::new()).await.unwrap().is_empty());
    assert_all_there(&broken.client, &broken.keys).await;
}

async fn open_slots(broken: &Broken) {
    let Broken { cluster, .. } = broken;
    let nodes = cluster.nodes();
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let (id_a, id_b) = (cluster.node_id(a).await.unwrap(), cluster.node_id(b).await.unwrap());
    let id_c = cluster.node_id(c).await.unwrap();
    let mut slots = broken.slots_with_keys(0, 2000);
    let mut next = || slots.next().unwrap();

    // Both have a mark, nothing has moved; and all keys but some have.
    let slot = next();
    tell(cluster, b, &format!("CLUSTER SETSLOT {slot} IMPORTING {id_a}")).await;
    tell(cluster, a, &format!("CLUSTER SETSLOT {slot} MIGRATING {id_b}")).await;
    broken.is_found(|problem| matches!(problem, Problem::Migrating { .. })).await;
    broken.is_found(|problem| matches!(problem, Problem::Importing { .. })).await;
    assert!(tool_says(&broken.server, a).contains("[WARNING]"));
    let slot = next();
    broken.half_move(slot, a, b, 1).await;
    broken.is_mended().await;
    assert!(broken.keys_at(b, slot).await > 0 && broken.keys_at(a, slot).await == 0, "brought to its end");

    // Only the target has a mark; only the source has one.
    tell(cluster, b, &format!("CLUSTER SETSLOT {} IMPORTING {id_a}", next())).await;
    tell(cluster, a, &format!("CLUSTER SETSLOT {} MIGRATING {id_c}", next())).await;
    broken.is_mended().await;

    // The target has a mark and keys, and the source has forgotten it.
    let slot = next();
    broken.half_move(slot, a, c, 1).await;
    tell(cluster, a, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
    broken.is_mended().await;

    // Two import the same slot; the owner gives it to one of them, or to nobody.
    for is_forgotten in [false, true] {
        let slot = next();
        broken.half_move(slot, a, b, 1).await;
        tell(cluster, c, &format!("CLUSTER SETSLOT {slot} IMPORTING {id_a}")).await;
        if is_forgotten {
            tell(cluster, a, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
        }
        broken.is_mended().await;
        assert!(broken.keys_at(b, slot).await > 0);
    }
}

async fn keys_at_two_nodes(broken: &Broken) {
    let nodes = broken.cluster.nodes();
    let (a, c) = (&nodes[0], &nodes[2]);
    // Nobody has a mark, and one that is not the owner has keys.
    let slot = broken.slots_with_keys(2000, 3000).next().unwrap();
    broken.half_move(slot, a, c, 1).await;
    for node in [a, c] {
        tell(&broken.cluster, node, &format!("CLUSTER SETSLOT {slot} STABLE")).await;
    }
    broken.is_found(|problem| matches!(problem, Problem::Orphans { keys: 1, .. })).await;
    broken.is_mended().await;
    assert_eq!(broken.keys_at(c, slot).await, 0);
}

async fn slots_without_an_owner(broken: &Broken) {
    let Broken { cluster, keys, .. } = broken;
    let (a, b) = (&broken.owner_of(3000).await, &broken.owner_of(6000).await);
    let mut slots = broken.slots_with_keys(3000, 5000);
    let mut next = || slots.next().unwrap();
    let is_empty = |slot: &u16| keys.iter().all(|key| Slot::of_key(key.as_bytes()).get() != *slot);

    // The keys of one are where they were; of one half of them are at another node, with marks and without; one has none.
    let (held, open, torn) = (next(), next(), next());
    broken.half_move(open, a, b, 1).await;
    broken.half_move(torn, a, b, 1).await;
    for node in [a, b] {
        tell(cluster, node, &format!("CLUSTER SETSLOT {torn} STABLE")).await;
    }
    let empty = (5400..5461).find(is_empty).unwrap();
    for slot in [held, open, torn, empty] {
        tell(cluster, a, &format!("CLUSTER DELSLOTS {slot}")).await;
    }
    // The target of an open slot whose source gives it up takes it by itself on Valkey.
    let left = [held, torn, empty].map(|slot| Slot::new(slot).unwrap());
    let is_left = |slots: &Slots| left.iter().all(|slot| slots.contains(*slot));
    broken.is_found(|problem| matches!(problem, Problem::Uncovered { slots } if is_left(slots))).await;
    assert!(tool_says(&broken.server, a).contains("[ERR] Not all 16384 slots are covered by nodes."));
    broken.is_mended().await;
    assert_eq!(broken.owner_of(held).await, *a);
}

/// `FAILOVER` in the middle of a move: Redis's new primary knows nothing of the move, and is told.
async fn a_move_follows_the_failover_of_its_source(broken: &mut Broken) {
    let nodes = broken.cluster.nodes();
    let (source, target) = (nodes[2].clone(), nodes[1].clone());
    let slots: Vec<u16> = broken.slots_with_keys(11000, 16384).take(8).collect();
    for slot in &slots {
        broken.add(*slot, 6).await;
    }
    let heir = broken.cluster.replicas_of(&source).await.unwrap().remove(0);
    let options = AdminOptions::new().batch(2, 1 << 20).pause(Duration::from_millis(5)).atomic(false);
    let slots: Slots = slots.into_iter().filter_map(Slot::new).collect();
    let plan = broken.admin.clone().with(options).move_slots(&slots, &target).await.unwrap();
    let middle = Notify::new();
    let failover = async {
        middle.notified().await;
        done(broken.admin.failover(&heir, Failover::Graceful).await).await;
    };
    let run = plan.run(|progress| {
        if progress.keys_done >= 10 {
            middle.notify_one();
        }
    });
    let (end, ()) = tokio::join!(run, failover);
    let end = end.unwrap();
    assert_eq!(end.slots_done, slots.len(), "{end:?}");
    let report = all_is_well(&broken.admin, &broken.server).await;
    assert!(report.view.node_at(&heir).unwrap().is_primary());
    let served = report.view.node_at(&target).unwrap().myself.ranges();
    assert!(slots.iter().all(|slot| served.iter().any(|range| (range.first..=range.last).contains(&slot))));
    assert_all_there(&broken.client, &broken.keys).await;
}

/// The failover of the source and of the target of a move that goes no further: on Redis nobody knows of it any more, keys
/// that have moved read as nil, and the tool of Redis 8 finds everything in order. Valkey's replicas know of it.
async fn a_failover_of_both_hides_keys(broken: &mut Broken) {
    let nodes = broken.cluster.nodes();
    let slot = broken.slots_with_keys(5000, 5460).next().unwrap();
    let keys = broken.add(slot, 8).await;
    let (a, b) = (nodes[0].clone(), nodes[1].clone());
    broken.cluster.open_slot(Slot::new(slot).unwrap(), &a, &b).await.unwrap();
    let migrate = Command::new("MIGRATE").arg(b.host()).arg(b.port()).arg("").arg(0).arg(5000);
    let migrate = migrate.arg("KEYS").args(keys.iter().take(4).cloned());
    let _: Value = ask(&broken.cluster, &a, migrate).await;
    let owner = broken.cluster.replicas_of(&a).await.unwrap().remove(0);
    for heir in [owner.clone(), broken.cluster.replicas_of(&b).await.unwrap().remove(0)] {
        done(broken.admin.failover(&heir, Failover::Graceful).await).await;
    }
    let is_hidden = broken.server.version().product() == "Redis";
    if is_hidden {
        let moved: Option<String> = ask(&broken.cluster, &owner, Command::new("GET").arg(&keys[0])).await;
        assert_eq!(moved, None);
        broken.is_found(|problem| matches!(problem, Problem::Orphans { keys: 4, .. })).await;
        // Before Redis 8 nodes that have imported a slot know no owner of it any more when the one that they knew is
        // replaced, and the tool sees that they do not agree.
        if broken.server.version().is_at_least(8, 0) {
            until("the tool finds nothing", async || {
                let said = tool_says(&broken.server, &a);
                let finds = ["[ERR]", "[WARNING]"].iter().any(|word| said.contains(word));
                (!finds && said.contains("[OK] All 16384 slots covered.")).then_some(())
            })
            .await;
        }
        // Somebody misses one and makes it again: that is what callers have seen since, and stays.
        let again = Command::new("SET").arg(&keys[0]).arg("made again");
        let _: Value = ask(&broken.cluster, &owner, again).await;
    } else {
        let moved: Option<String> = broken.client.get(keys[0].as_str()).await.unwrap();
        assert_eq!(moved, Some(value_of(&keys[0])));
        broken.is_found(|problem| matches!(problem, Problem::Importing { .. })).await;
    }
    broken.is_mended().await;
    if is_hidden {
        let stays: String = broken.client.get(keys[0].as_str()).await.unwrap();
        assert_eq!(stays, "made again");
        broken.client.set(keys[0].as_str(), value_of(&keys[0])).await.unwrap();
    }
    assert_all_there(&broken.client, &broken.keys).await;
}

/// A primary without a replica dies, in the middle of a move of one of its slots.
pub(crate) async fn the_slots_of_a_dead_node_are_left_to_it_until_they_are_given_up(server: Server) {
    let node_timeout = Duration::from_secs(1);
    let cluster = LocalCluster::builder().server(server.clone()).node_timeout(node_timeout).start().await;
    let mut broken = Broken::new(cluster.unwrap(), server).await;
    let nodes = broken.cluster.nodes();
    let (a, b, dead) = (&nodes[0], &nodes[1], &nodes[2]);
    let slot = broken.slots_with_keys(11000, 16384).next().unwrap();
    let there = broken.add(slot, 2).await;
    let dead_id = broken.cluster.node_id(dead).await.unwrap();
    broken.cluster.open_slot(Slot::new(slot).unwrap(), dead, b).await.unwrap();
    let migrate = Command::new("MIGRATE").arg(b.host()).arg(b.port()).arg("").arg(0).arg(5000);
    let _: Value = ask(&broken.cluster, dead, migrate.arg("KEYS").args(there.iter().cloned())).await;
    broken.cluster.kill(dead).unwrap();
    until("the others take it for dead", async || {
        let view = broken.admin.view().await.unwrap();
        let lines = view.nodes.iter().filter_map(|node| node.line_of(&dead_id));
        lines.filter(|line| line.has_flag("fail")).nth(1).map(drop)
    })
    .await;
    broken.is_found(|problem| matches!(problem, Problem::Unreachable { .. })).await;
    broken.is_found(|problem| matches!(problem, Problem::Uncovered { slots } if slots.len() == 5461)).await;

    let kept = broken.admin.fix(Fix::new()).await.unwrap();
    assert!(kept.notes().iter().any(|note| note.contains("bring it back")), "{kept}");
    let takes = |step: &Step| matches!(step, Step::ClaimSlots { .. } | Step::MoveSlots { .. });
    assert!(!kept.steps().iter().any(takes), "{kept}");

    done(broken.admin.fix(Fix::new().take_from_unreachable(true)).await).await;
    assert_eq!(broken.owner_of(slot).await, *b, "who has the keys gets the slot");
    done(broken.admin.del_node(dead).await).await;
    let report = all_is_well(&broken.admin, &broken.server).await;
    assert_eq!(report.view.nodes.len(), 2);
    let lost = |key: &String| {
        let slot = Slot::of_key(key.as_bytes()).get();
        slot > 10922 && !there.contains(key)
    };
    let keys: Vec<String> = broken.keys.iter().filter(|key| !lost(key)).cloned().collect();
    assert_all_there(&broken.client, &keys).await;
    assert!(broken.keys_at(a, slot).await == 0);
}

/// Two owners with different epochs who do not hear of each other: of what one has the servers would delete the keys as
/// soon as it hears that the other has won.
pub(crate) async fn two_owners_of_a_slot_are_settled_without_losing_keys(server: Server) {
    // Longer than this takes: nobody hears of anybody meanwhile.
    let cluster =
        LocalCluster::builder().server(server.clone()).node_timeout(Duration::from_secs(60)).start().await;
    let mut broken = Broken::new(cluster.unwrap(), server).await;
    let nodes = broken.cluster.nodes();
    let (a, b) = (&nodes[0], &nodes[1]);
    let slot = broken.slots_with_keys(6000, 10000).next().unwrap();
    let theirs = broken.add(slot, 5).await;
    for node in &nodes {
        tell(&broken.cluster, node, "DEBUG DROP-CLUSTER-PACKET-FILTER -2").await;
    }
    tell(&broken.cluster, a, &format!("CLUSTER DELSLOTS {slot}")).await;
    tell(&broken.cluster, a, &format!("CLUSTER ADDSLOTS {slot}")).await;
    tell(&broken.cluster, a, "CLUSTER BUMPEPOCH").await;
    // One of its keys has another value at the one that wins.
    let _: Value = ask(&broken.cluster, a, Command::new("SET").arg(&theirs[0]).arg("the winner's")).await;
    let report = broken
        .is_found(|problem| matches!(problem, Problem::Contested { slots, .. } if slots.len() == 1))
        .await;
    assert!(
        report.problems.iter().any(|problem| matches!(problem, Problem::Disagreement { .. })),
        "{report}"
    );

    let plan = broken.admin.fix(Fix::new()).await.unwrap();
    let yields = |step: &Step| match step {
        Step::YieldSlots { node, owner, .. } => node.addr == *b && owner.addr == *a,
        _other => false,
    };
    assert!(plan.steps().iter().any(yields), "{plan}");
    // They hear of each other again when the keys have gone home.
    let settled = Notify::new();
    let heal = async {
        settled.notified().await;
        for node in &nodes {
            tell(&broken.cluster, node, "DEBUG DROP-CLUSTER-PACKET-FILTER -1").await;
            // Half of it after a question that was not answered they make a new link, and ask again.
            tell(&broken.cluster, node, "CONFIG SET cluster-node-timeout 10000").await;
        }
    };
    let run = plan.run(|progress| {
        if progress.step > 0 && plan.steps().get(progress.step - 1) == Some(&Step::Agree) {
            settled.notify_one();
        }
    });
    let (end, ()) = tokio::join!(run, heal);
    end.unwrap();
    all_is_well(&broken.admin, &broken.server).await;
    assert_eq!(broken.owner_of(slot).await, *a);
    let of_the_winner: String = broken.client.get(theirs[0].as_str()).await.unwrap();
    assert_eq!(of_the_winner, "the winner's");
    broken.client.set(theirs[0].as_str(), value_of(&theirs[0])).await.unwrap();
    assert_all_there(&broken.client, &broken.keys).await;
}
