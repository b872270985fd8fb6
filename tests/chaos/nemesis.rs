//! [`Nemesis`]: what happens to the cluster, at random from a seed.
//!
//! Three strands: one strikes shards hard, one moves slots, one annoys connections. A shard is struck only while it is
//! whole, and neither end of a move is struck while the move is under way: two failures at once are beyond what servers
//! promise (a failover in the middle of a move makes Redis lose track of the keys), and would say nothing of the client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyslot::{Command, Slot};
use tokio::sync::Mutex as Lock;
use tokio::time::sleep;

use crate::history::{Key, Kind};
use crate::proxy::Line;
use crate::stage::{Done, Roles, SHARDS, Stage, until};

/// Voters refuse a second failover of a shard within twice the node timeout, and writes then wait for seconds.
const BETWEEN_FAILOVERS: Duration = Duration::from_secs(3);

const PROMOTED: &str = "is promoted";

pub(crate) struct Nemesis {
    stage: Arc<Stage>,
    /// Each with the time of its last failover.
    shards: Vec<Lock<Option<Instant>>>,
    log: Mutex<Vec<(Duration, String)>>,
    kinds: Mutex<Kinds>,
    /// From when to when shards were not whole, in microseconds since the run began.
    strokes: Mutex<Vec<(u64, u64)>>,
    begin: Instant,
}

/// How many faults there were, by what they are.
pub(crate) type Kinds = BTreeMap<&'static str, usize>;

#[derive(Clone, Copy, Debug)]
enum Blow {
    KillUntilReplaced,
    KillAndRestart,
    KillReplica,
    StopUntilReplaced,
    StopShortly,
    Isolate(Isolation),
    Failover(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Isolation {
    BlackHole,
    Cut,
    RepliesHeld,
}

/// Manual failovers are cheap, and so come more often.
const BLOWS: [Blow; 14] = [
    Blow::KillUntilReplaced,
    Blow::KillUntilReplaced,
    Blow::KillAndRestart,
    Blow::KillAndRestart,
    Blow::KillReplica,
    Blow::StopUntilReplaced,
    Blow::StopUntilReplaced,
    Blow::StopShortly,
    Blow::Isolate(Isolation::BlackHole),
    Blow::Isolate(Isolation::Cut),
    Blow::Isolate(Isolation::RepliesHeld),
    Blow::Failover(""),
    Blow::Failover("FORCE"),
    Blow::Failover("TAKEOVER"),
];

impl Blow {
    fn kind(self) -> &'static str {
        match self {
            Self::KillUntilReplaced => "primary killed, back when replaced",
            Self::KillAndRestart => "primary killed, back at once",
            Self::KillReplica => "replica killed",
            Self::StopUntilReplaced => "primary stopped until replaced",
            Self::StopShortly => "node stopped shortly",
            Self::Isolate(Isolation::BlackHole) => "primary cut off in silence",
            Self::Isolate(Isolation::Cut) => "primary cut off by resets",
            Self::Isolate(Isolation::RepliesHeld) => "primary with replies held until replaced",
            Self::Failover("FORCE") => "failover by hand, FORCE",
            Self::Failover("TAKEOVER") => "failover by hand, TAKEOVER",
            Self::Failover(_) => "failover by hand",
        }
    }
}

impl Nemesis {
    pub(crate) fn of(stage: &Arc<Stage>, begin: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Lock::default()).collect();
        Self {
            stage: Arc::clone(stage),
            shards,
            log: Mutex::default(),
            kinds: Mutex::default(),
            strokes: Mutex::default(),
            begin,
        }
    }

    /// All that happened, with its times.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(|(at, what)| format!("{:>10.3} ms {what}\n", at.as_secs_f64() * 1e3)).collect()
    }

    /// How many strokes there were, and how often a replica was promoted.
    pub(crate) fn count(&self) -> (usize, usize) {
        let log = self.log.lock().unwrap();
        (log.len(), log.iter().filter(|(_, what)| what.ends_with(PROMOTED)).count())
    }

    /// The same by kind.
    pub(crate) fn kinds(&self) -> Kinds {
        self.kinds.lock().unwrap().clone()
    }

    /// Whether any shard was struck, or not whole yet, between these times.
    pub(crate) fn struck_between(&self, (from, to): (u64, u64)) -> bool {
        self.strokes.lock().unwrap().iter().any(|(begin, end)| *begin <= to && from <= *end)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap()
    }

    fn struck(&self, kind: &'static str) {
        *self.kinds.lock().unwrap().entry(kind).or_default() += 1;
    }

    fn note(&self, what: impl fmt::Display) {
        self.log.lock().unwrap().push((self.begin.elapsed(), what.to_string()));
    }

    /// Goes on until `end`, and leaves a cluster in which all is running and nothing held.
    pub(crate) async fn rage(&self, seed: u64, round: u32, cells: u32, end: Instant) -> Done {
        let mut random = fastrand::Rng::with_seed(seed);
        let (strikes, moves, annoys) = (random.fork(), random.fork(), random.fork());
        let ended = tokio::join!(
            self.strike(strikes, end),
            self.move_slots(moves, round, cells, end),
            self.annoy(annoys, end)
        );
        ended.0?;
        ended.1?;
        ended.2
    }

    async fn strike(&self, mut random: fastrand::Rng, end: Instant) -> Done {
        while Instant::now() < end {
            let (shard, blow) = (random.usize(0..SHARDS), random.choice(BLOWS).unwrap());
            let pause = Duration::from_millis(random.u64(0..700));
            let mut failed_over = self.shards[shard].lock().await;
            if failed_over.is_some_and(|at: Instant| at.elapsed() < BETWEEN_FAILOVERS) {
                drop(failed_over);
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            let roles = self.stage.until_whole(shard).await?;
            self.struck(blow.kind());
            let begin = self.now();
            self.strokes.lock().unwrap().push((begin, u64::MAX));
            self.note(format_args!("{blow:?} at shard {shard}, {roles:?}"));
            self.deal(blow, roles, pause, &mut random).await.map_err(|error| format!("{blow:?}: {error}"))?;
            let after = self.stage.until_whole(shard).await?;
            self.note(format_args!("shard {shard} is whole again, {after:?}"));
            // Its own is the last: they come one after the other.
            if let Some((_, end)) = self.strokes.lock().unwrap().last_mut() {
                *end = self.now();
            }
            if after != roles {
                *failed_over = Some(Instant::now());
            }
            drop(failed_over);
            sleep(Duration::from_millis(random.u64(20..300))).await;
        }
        Ok(())
    }

    async fn deal(&self, blow: Blow, roles: Roles, pause: Duration, random: &mut fastrand::Rng) -> Done {
        let Roles { primary, replica } = roles;
        let (cluster, addr) = (&self.stage.cluster, |node| self.stage.addr(node));
        match blow {
            Blow::KillUntilReplaced => {
                cluster.kill(addr(primary))?;
                self.until_promoted(replica).await;
                sleep(pause).await;
                cluster.restart(addr(primary)).await?;
            }
            Blow::KillAndRestart => {
                cluster.kill(addr(primary))?;
                sleep(pause / 4).await;
                cluster.restart(addr(primary)).await?;
            }
            Blow::KillReplica => {
                cluster.kill(addr(replica))?;
                sleep(2 * pause).await;
                cluster.restart(addr(replica)).await?;
            }
            Blow::StopUntilReplaced => {
                cluster.stop(addr(primary))?;
                self.until_promoted(replica).await;
                sleep(pause).await;
                cluster.cont(addr(primary))?;
            }
            Blow::StopShortly => {
                let node = if random.bool() { primary } else { replica };
                cluster.stop(addr(node))?;
                sleep(pause).await;
                cluster.cont(addr(node))?;
            }
            Blow::Isolate(how) => {
                self.stage.bar(primary, true);
                self.stage.change(primary, |line| match how {
                    Isolation::BlackHole => (line.holds_requests, line.holds_replies) = (true, true),
                    Isolation::RepliesHeld => line.holds_replies = true,
                    Isolation::Cut => {
                        line.refuses = true;
                        line.cut();
                    }
                });
                self.until_promoted(replica).await;
                sleep(pause).await;
                let is_told = !self.stage.is_primary(primary).await;
                self.note(format_args!("node {primary} was {}told of it", if is_told { "" } else { "not " }));
                self.stage.change(primary, Line::heal);
                self.stage.bar(primary, false);
            }
            Blow::Failover(how) => {
                let mut order = Command::new("CLUSTER FAILOVER");
                if !how.is_empty() {
                    order = order.arg(how);
                }
                self.stage.ask::<()>(replica, order).await?;
                self.until_promoted(replica).await;
            }
        }
        Ok(())
    }

    /// Or until it is clear that it will not be, which is the servers' affair.
    async fn until_promoted(&self, replica: usize) {
        let deadline = Instant::now() + Duration::from_secs(12);
        while Instant::now() < deadline {
            if self.stage.is_primary(replica).await {
                self.struck("replica promoted");
                self.note(format_args!("node {replica} {PROMOTED}"));
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.note(format_args!("node {replica} was not promoted"));
    }

    /// Moves the slots of cells, with their keys one by one or two by two.
    async fn move_slots(&self, mut random: fastrand::Rng, round: u32, cells: u32, end: Instant) -> Done {
        while Instant::now() < end {
            let cell = random.u32(0..cells);
            let slot = Slot::of_key(Key { round, cell, kind: Kind::List }.to_string().as_bytes());
            let (from, to) = (random.usize(0..SHARDS), random.usize(0..SHARDS));
            if from != to {
                // In the same order always, so that nobody waits in a circle.
                let _first = self.shards[from.min(to)].lock().await;
                let _second = self.shards[from.max(to)].lock().await;
                let (source, target) =
                    (self.stage.until_whole(from).await?, self.stage.until_whole(to).await?);
                if self.stage.owner(slot, target.primary).await? == source.primary {
                    self.move_slot(&mut random, slot, source, target).await?;
                    self.stage.until_caught_up(source).await?;
                    self.stage.until_caught_up(target).await?;
                    self.struck("slot moved");
                    self.note(format_args!("slot {slot} is moved"));
                }
            }
            sleep(Duration::from_millis(random.u64(1..100))).await;
        }
        Ok(())
    }

    async fn move_slot(&self, random: &mut fastrand::Rng, slot: Slot, source: Roles, target: Roles) -> Done {
        let (from, to) = (self.stage.addr(source.primary), self.stage.addr(target.primary));
        self.note(format_args!("slot {slot} moves from node {} to {}", source.primary, target.primary));
        let cluster = &self.stage.cluster;
        let version = cluster.server().version();
        if version.product() == "Valkey" && version.is_at_least(9, 0) && random.bool() {
            return self.move_as_one(slot, source.primary, target.primary).await;
        }
        let pause = Duration::from_millis(random.u64(0..60));
        // Valkey's answers wait for the replica, and are errors if that is slow or there is none.
        until("the slot is open", async || {
            cluster.open_slot(slot, from, to).await.map_err(|error| error.to_string())
        })
        .await?;
        sleep(pause).await;
        while cluster.migrate_keys(slot, from, to, random.usize(1..3)).await? > 0 {
            sleep(pause).await;
        }
        until("the slot is closed", async || {
            cluster.close_slot(slot, from, to).await.map_err(|error| error.to_string())
        })
        .await
    }

    /// Has the server move the slot by itself (Valkey 9); a connection of it that is cut is an end of it too.
    async fn move_as_one(&self, slot: Slot, source: usize, target: usize) -> Done {
        let begin = Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE").arg(slot).arg(slot);
        self.stage.ask::<()>(source, begin.arg("NODE").arg(self.stage.id(target))).await?;
        until("the slot was moved as one", async || {
            let list = Command::new("CLUSTER GETSLOTMIGRATIONS");
            let text = match self.stage.ask::<keyslot::Value>(source, list).await {
                // The newest comes first.
                Ok(keyslot::Value::Array(all)) => format!("{:?}", all.first()),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            let has_ended = ["success", "failed", "cancelled"].iter().any(|state| text.contains(state));
            if has_ended { Ok(()) } else { Err(text) }
        })
        .await
    }

    /// Cuts, holds and delays that no server would call a failure.
    async fn annoy(&self, mut random: fastrand::Rng, end: Instant) -> Done {
        while Instant::now() < end {
            sleep(Duration::from_millis(random.u64(50..400))).await;
            let node = random.usize(0..self.stage.count());
            let time = Duration::from_millis(random.u64(20..600));
            match random.u32(0..7) {
                0 => {
                    self.struck("connections cut");
                    self.note(format_args!("connections of node {node} are cut"));
                    self.stage.change(node, Line::cut);
                }
                1 => {
                    self.struck("connections half open");
                    self.note(format_args!("connections of node {node} are half open"));
                    self.stage.change(node, Line::orphan);
                }
                2 => {
                    self.struck("replies held");
                    self.note(format_args!("replies of node {node} are held for {time:?}"));
                    self.stage.change(node, |line| line.holds_replies = true);
                    sleep(time).await;
                    self.stage.change(node, |line| line.holds_replies = false);
                }
                // What is cut with replies on their way has run.
                3 | 4 => {
                    let holds_requests = random.u32(0..3) == 0;
                    self.struck("bytes held, then cut");
                    let what = if holds_requests { "all bytes" } else { "replies" };
                    self.note(format_args!("{what} of node {node} are held for {time:?}, then cut"));
                    self.stage.change(node, |line| {
                        (line.holds_requests, line.holds_replies) = (holds_requests, true);
                    });
                    sleep(time).await;
                    self.stage.change(node, |line| {
                        (line.holds_requests, line.holds_replies) = (false, false);
                        line.cut();
                    });
                }
                _ => {
                    let delay = Duration::from_millis(random.u64(1..40));
                    self.struck("bytes delayed");
                    self.note(format_args!("node {node} is {delay:?} away for {time:?}"));
                    self.stage.change(node, |line| line.delay = delay);
                    sleep(time).await;
                    self.stage.change(node, |line| line.delay = Duration::ZERO);
                }
            }
        }
        Ok(())
    }
}
