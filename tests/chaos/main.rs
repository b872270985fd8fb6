//! Nothing swapped, doubled or lost while servers are killed, stopped, cut off, failed over and resharded: a checker in
//! the manner of Jepsen, on real servers.
//!
//! Tasks increment counters, append to lists, and write and read registers, by single commands, pipelines, splits,
//! transactions, durable pipelines and calls that are given up ([`load`]), through proxies ([`proxy`]), while a nemesis
//! strikes at random from a seed ([`nemesis`]). Then all is healed, the servers are read past the client, and the history
//! is judged ([`checker`]): no reply answered another's request, no count is out of its bounds, nothing that was told as not
//! sent or rejected was executed, nothing ran twice, and what was acknowledged is there, in its order. Servers lose
//! acknowledged writes by themselves when a primary dies: one mode counts these, and the other writes by
//! [`run_durable`](keyslot::Pipeline::run_durable) with `appendfsync always`, and allows none.
//!
//! ```text
//! KEYSLOT_CHAOS_SECONDS=3600 KEYSLOT_CHAOS_SERVER=valkey-9.1 \
//!     cargo test --features testkit-tls --test chaos lost -- --nocapture --test-threads 1
//! ```
//!
//! `KEYSLOT_CHAOS_SECONDS` is the time of faults for each test, in rounds of a minute; `KEYSLOT_CHAOS_SEED` repeats the
//! nemesis's choices (not the servers' timing); `KEYSLOT_CHAOS_SERVER` leaves out the other servers; `KEYSLOT_CHAOS_ACCESS`
//! has all clients come in as anybody (`open`, the default), as a user with the least rights that the client needs
//! (`user`), by TLS (`tls`, Redis 7.0 only), or both (`tls+user`). Under nextest a test ends after five minutes.
//!
//! In a long trial a fault of its stage (a shard that is not whole in time, as the servers themselves say) does not end it: the
//! round is judged by its replies alone, the fault is counted and told with what all nodes said, and the next round has
//! servers of its own. More than one such round in ten are too many.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod access;
mod checker;
#[cfg(test)]
mod checker_tests;
mod history;
#[cfg(test)]
mod isolation;
mod load;
mod nemesis;
mod proxy;
mod stage;
mod watch;

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::Access;
use checker::{Late, Loss, Verdict, Violation, check, check_without_end};
use history::{Call, Key, Kind, Last};
use keyslot::testkit::Server;
use keyslot::{Command, Slot};
use load::{Clients, Load};
use nemesis::{Kinds, Nemesis};
use stage::{Done, Stage};
use watch::Watch;

/// How long the nemesis rages in each test unless the environment says otherwise: five minutes in all.
const SECONDS: u64 = 30;

/// A longer run is judged in rounds, each with keys of its own, so that its history fits into memory.
const ROUND: Duration = Duration::from_secs(60);

/// Slots that have keys.
const CELLS: u32 = 48;

/// Violations and calls that a failure shows; all are in the file that it names.
const SHOWN: usize = 6;
const SHOWN_CALLS: usize = 40;

/// Of so many rounds, one may be cut short by a fault of the stage; so none may of a short trial.
const ROUNDS_A_FAULT: usize = 10;

macro_rules! on_every_server {
    ($($name:ident $folder:literal)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_is_lost_is_lost_by_the_servers() {
                super::run($folder, None, super::Loss::Counted).await.unwrap();
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn nothing_durable_is_lost() {
                super::run($folder, None, super::Loss::OfTheDurableExcluded).await.unwrap();
            }
        }
    )*};
}

on_every_server! {
    redis_6_2 "redis-6.2"
    redis_7_0 "redis-7.0"
    redis_8_2 "redis-8.2"
    valkey_8_1 "valkey-8.1"
    valkey_9_1 "valkey-9.1"
}

/// The only one of the five that is built with TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_durable_is_lost_by_tls() {
    run("redis-7.0", Some(Access::TLS), Loss::OfTheDurableExcluded).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_to_a_user_who_may_do_little_is_lost_by_the_servers() {
    run("valkey-9.1", Some(Access::USER), Loss::Counted).await.unwrap();
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// `special` is the access of a test that is there for it alone; the others take the one that is wanted.
async fn run(server: &str, special: Option<Access>, loss: Loss) -> Done {
    let wanted = Access::wanted();
    if env::var("KEYSLOT_CHAOS_SERVER").is_ok_and(|only| only != server)
        || (wanted.is_some() && special.is_some())
    {
        return Ok(());
    }
    let access = special.or(wanted).unwrap_or(Access::OPEN);
    let seed = number("KEYSLOT_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let total = Duration::from_secs(number("KEYSLOT_CHAOS_SECONDS").unwrap_or(SECONDS));
    let again = format!(
        "KEYSLOT_CHAOS_SEED={seed} KEYSLOT_CHAOS_SECONDS={} KEYSLOT_CHAOS_SERVER={server} \
         KEYSLOT_CHAOS_ACCESS={access} cargo test --features testkit-tls --test chaos lost -- --nocapture \
         --test-threads 1",
        total.as_secs()
    );
    println!("{server}, {access}, {loss:?}; again: {again}");
    let trial = Trial { server, access, loss, seed };
    trial.rounds(total).await.map_err(|error| format!("{error}\n\nAgain: {again}").into())
}

/// One server, one way in, one seed.
struct Trial<'a> {
    server: &'a str,
    access: Access,
    loss: Loss,
    seed: u64,
}

/// How a round went.
struct Round {
    verdict: Verdict,
    calls: usize,
    /// And promotions among them.
    strokes: (usize, usize),
    kinds: Kinds,
    /// What kept the stage from being well, past the client: the round is judged by its replies alone.
    fault: Option<String>,
}

/// All rounds so far.
#[derive(Default)]
struct Sum {
    calls: usize,
    verdict: Verdict,
    kinds: Kinds,
}

impl Sum {
    fn add(&mut self, round: &Round) {
        self.calls += round.calls;
        self.verdict.add(&round.verdict);
        round.kinds.iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, verdict, kinds } = self;
        write!(f, "so far {calls} calls; {verdict}; {kinds:?}")
    }
}

/// What kept rounds from their ends, past the client.
struct Faults {
    /// Of all rounds.
    count: usize,
    told: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, told } = self;
        write!(f, "{} of {count} rounds judged to their ends, {} not", count - told.len(), told.len())?;
        told.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl Trial<'_> {
    async fn rounds(&self, total: Duration) -> Done {
        let Self { server, access, .. } = self;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let count = total.as_secs().div_ceil(ROUND.as_secs()) as usize;
        let (mut left, mut faults, mut set) = (total, Faults { count, told: Vec::new() }, None);
        let mut sum = Sum::default();
        for round in 1..=count {
            let time = left.min(ROUND);
            left -= time;
            let (seed, full_coverage) = (random.u64(..), random.bool());
            let watch = Watch::begin();
            let (stage, clients) = match set.take() {
                Some(set) => set,
                None => match self.stage(full_coverage).await {
                    Ok(stage) => {
                        let clients = Clients::connect(|| stage.client()).await?;
                        (stage, clients)
                    }
                    Err(error) => {
                        self.note(&mut faults, round, &error.to_string(), &watch)?;
                        continue;
                    }
                },
            };
            let done = self.round(&stage, &clients, &watch, (round as u32, time), seed).await?;
            sum.add(&done);
            let Round { verdict, calls, strokes: (strokes, promotions), fault, .. } = done;
            println!(
                "{server}, {access}, round {round}: {calls} calls, {strokes} strokes with {promotions} promotions; {}; {verdict}; {}",
                clients.tell(),
                watch.tell()
            );
            println!("{server}, {access}: {sum}");
            match fault {
                None => set = Some((stage, clients)),
                // The next round has a stage of its own.
                Some(fault) => self.note(&mut faults, round, &fault, &watch)?,
            }
        }
        println!("{server}, {access}: {faults}");
        Ok(())
    }

    async fn stage(&self, full_coverage: bool) -> Done<Arc<Stage>> {
        let is_durable = self.loss == Loss::OfTheDurableExcluded;
        let server = Server::named(self.server)?;
        Ok(Arc::new(Stage::start(server, self.access, is_durable, full_coverage).await?))
    }

    /// Counts a fault of the stage, and tells it; an error if there are too many.
    fn note(&self, faults: &mut Faults, round: usize, fault: &str, watch: &Watch) -> Done {
        let file = write(&format!("chaos-{}-fault-in-round-{round}.txt", self.seed), fault)?;
        let first = fault.lines().next().unwrap_or_default();
        let fault = format!("round {round}: {first} ({}; all in {file})", watch.tell());
        println!("{}, {}: a fault of the stage: {fault}", self.server, self.access);
        faults.told.push(fault);
        if faults.told.len() * ROUNDS_A_FAULT > faults.count {
            return Err(format!("too many faults of the stage: {faults}").into());
        }
        Ok(())
    }

    /// An error is the client's: a violation, or that it does not recover.
    async fn round(
        &self,
        stage: &Arc<Stage>,
        clients: &Clients,
        watch: &Watch,
        (round, time): (u32, Duration),
        seed: u64,
    ) -> Done<Round> {
        let begin = Instant::now();
        let is_durable = self.loss == Loss::OfTheDurableExcluded;
        if let Err(error) = stage.clear().await {
            let fault = Some(format!("{error}\n{}", stage.evidence().await));
            return Ok(Round {
                verdict: Verdict::default(),
                calls: 0,
                strokes: (0, 0),
                kinds: Kinds::new(),
                fault,
            });
        }
        let load = Load::start(clients, (round, CELLS), is_durable, seed, begin).await?;
        let nemesis = Nemesis::of(stage, begin);
        let raged = nemesis.rage(seed, round, CELLS, Instant::now() + time).await;
        let well = match raged {
            Ok(()) => stage.cluster.wait_until_ok().await.map_err(Into::into),
            Err(error) => Err(error),
        };
        let (strokes, kinds) = (nemesis.count(), nemesis.kinds());
        if let Err(error) = well {
            let fault = Some(format!("{error}\n{}\n{}", nemesis.log(), stage.evidence().await));
            let calls = load.end().await?;
            let mut verdict = check_without_end(&calls, self.loss, &watch.stalls(begin));
            self.of_the_servers(&nemesis, &mut verdict);
            self.judged(&nemesis, watch, &calls, &Last::default(), &verdict)?;
            return Ok(Round { verdict, calls: calls.len(), strokes, kinds, fault });
        }
        let calls = load.finish(clients).await.map_err(|error| format!("{error}\n{}", nemesis.log()))?;
        let (mut verdict, last, fault) = match read(stage, round).await {
            Ok(last) => (check(&calls, &last, self.loss, &watch.stalls(begin)), last, None),
            Err(error) => {
                let fault = format!("{error}\n{}\n{}", nemesis.log(), stage.evidence().await);
                (check_without_end(&calls, self.loss, &watch.stalls(begin)), Last::default(), Some(fault))
            }
        };
        self.of_the_servers(&nemesis, &mut verdict);
        self.judged(&nemesis, watch, &calls, &last, &verdict)?;
        Ok(Round { verdict, calls: calls.len(), strokes, kinds, fault })
    }

    /// What was not durable is the servers' to lose while a shard is struck.
    fn of_the_servers(&self, nemesis: &Nemesis, verdict: &mut Verdict) {
        match self.loss {
            Loss::Counted => verdict.lost_between(|times| nemesis.struck_between(times)),
            Loss::OfTheDurableExcluded => {}
        }
    }

    /// An error with all that is known of the round, if there is a violation.
    fn judged(
        &self,
        nemesis: &Nemesis,
        watch: &Watch,
        calls: &[Call],
        last: &Last,
        verdict: &Verdict,
    ) -> Done {
        if verdict.violations.is_empty() {
            // What may be is not to be taken for granted.
            if let Some(Late { key, .. }) = verdict.late.first() {
                let text = whole(nemesis, calls, last);
                let file =
                    write(&format!("chaos-{}-overtaken-in-round-{}.txt", self.seed, key.round), &text)?;
                verdict.late.iter().for_each(|late| println!("overtaken: {} {}", late.key, late.what));
                println!("The whole history is in {file}");
            }
            return Ok(());
        }
        let file = write(&format!("chaos-{}.txt", self.seed), &whole(nemesis, calls, last))?;
        Err(format!(
            "{} violations, {verdict}; {}\n{}\nWhat happened:\n{}\nThe whole history is in {file}",
            verdict.violations.len(),
            watch.tell(),
            verdict
                .violations
                .iter()
                .take(SHOWN)
                .map(|violation| shown(violation, calls))
                .collect::<String>(),
            nemesis.log(),
        )
        .into())
    }
}

/// Where it is now.
fn write(name: &str, text: &str) -> Done<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

/// What the servers have, read past the client.
async fn read(stage: &Stage, round: u32) -> Done<Last> {
    let mut last = Last::default();
    for cell in 0..CELLS {
        let key = |kind| Key { round, cell, kind };
        let slot = Slot::of_key(key(Kind::List).to_string().as_bytes());
        let owner = stage.owner(slot, 0).await?;
        let get = |kind| Command::new("GET").key(key(kind).to_string());
        last.registers.insert(key(Kind::Register), stage.ask(owner, get(Kind::Register)).await?);
        let counter: Option<i64> = stage.ask(owner, get(Kind::Counter)).await?;
        // Without it the bounds cannot hold.
        last.counters.insert(key(Kind::Counter), counter.unwrap_or(i64::MIN / 2));
        for kind in [Kind::List, Kind::Twin] {
            let range = Command::new("LRANGE").key(key(kind).to_string()).arg(0).arg(-1);
            last.lists.insert(key(kind), stage.ask(owner, range).await?);
        }
    }
    Ok(last)
}

/// A violation with the last calls on its key.
fn shown(violation: &Violation, calls: &[Call]) -> String {
    let Violation { key, what } = violation;
    let mut about: Vec<&Call> = calls.iter().filter(|call| call.key == *key).collect();
    about.sort_by_key(|call| call.begin);
    let skipped = about.len().saturating_sub(SHOWN_CALLS);
    let mut text = format!("\n{key} (slot {}) {what}\n", Slot::of_key(key.to_string().as_bytes()));
    about.iter().skip(skipped).for_each(|call| writeln!(text, "  {call}").unwrap());
    text
}

/// All that is known of a round, as text.
fn whole(nemesis: &Nemesis, calls: &[Call], last: &Last) -> String {
    let mut text = nemesis.log();
    let mut by_key: BTreeMap<Key, Vec<&Call>> = BTreeMap::new();
    calls.iter().for_each(|call| by_key.entry(call.key).or_default().push(call));
    for (key, mut calls) in by_key {
        calls.sort_by_key(|call| call.begin);
        writeln!(text, "\n{key}").unwrap();
        calls.iter().for_each(|call| writeln!(text, "  {call}").unwrap());
        let (register, counter) = (last.registers.get(&key), last.counters.get(&key));
        writeln!(text, "  in the end {register:?} {counter:?} {:?}", last.lists.get(&key)).unwrap();
    }
    text
}
