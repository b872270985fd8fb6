//! A client in a process of its own: it says `ready`, is used for some seconds, and says what became of that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clients::{Caller, Fred, Keyslot, Redis, Rustis};
use crate::stage::Done;

/// Counters, each incremented by a task of its own.
const COUNTERS: usize = 64;

/// Registers in one slot, each set and read by a task of its own.
const REGISTERS: usize = 16;

/// Their hash tag.
pub(crate) const TAG: &str = "half";

/// Tasks that give up after [`PATIENCE`] with a value of [`LARGE`] bytes: what is kept of them is kept for nothing.
const IMPATIENT: usize = 16;
const PATIENCE: Duration = Duration::from_millis(200);
const LARGE: usize = 16 << 10;

/// Between two calls of a task.
const PAUSE: Duration = Duration::from_millis(2);

/// What became of the calls on one key.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) surely_not: u64,
    pub(crate) swapped: u64,
    pub(crate) gap_ms: u64,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) counters: BTreeMap<String, Book>,
    pub(crate) registers: BTreeMap<String, Book>,
    pub(crate) before_kib: u64,
    pub(crate) peak_kib: u64,
    /// One error of each kind.
    pub(crate) errors: Vec<String>,
}

pub(crate) async fn run(client: &str, seeds: &[String], seconds: f64) -> Done {
    let time = Duration::try_from_secs_f64(seconds)?;
    let report = match client {
        "keyslot" => used::<Keyslot>(seeds, time).await?,
        "redis" => used::<Redis>(seeds, time).await?,
        "fred" => used::<Fred>(seeds, time).await?,
        "rustis" => used::<Rustis>(seeds, time).await?,
        other => return Err(format!("{other}: no such client").into()),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// The books of one task, with the time of its last success.
struct Account {
    key: String,
    book: Book,
    last: Instant,
    errors: BTreeMap<String, String>,
}

impl Account {
    fn new(key: String) -> Self {
        Self { key, book: Book::default(), last: Instant::now(), errors: BTreeMap::new() }
    }

    fn note<T>(&mut self, told: crate::clients::Told<T>) -> Option<T> {
        match told {
            Ok(value) => {
                self.succeeded();
                Some(value)
            }
            Err(failed) => {
                self.book.failed += 1;
                self.book.surely_not += u64::from(failed.surely_not);
                let kind: String =
                    failed.text.chars().filter(|letter| letter.is_alphabetic()).take(20).collect();
                self.errors.entry(kind).or_insert(failed.text);
                None
            }
        }
    }

    fn succeeded(&mut self) {
        self.book.done += 1;
        self.pause();
        self.last = Instant::now();
    }

    fn pause(&mut self) {
        let gap = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.book.gap_ms = self.book.gap_ms.max(gap);
    }
}

async fn used<C: Caller>(seeds: &[String], time: Duration) -> Done<Report> {
    let client = C::connect(seeds).await?;
    // Connections and buffers are there before the memory is looked at.
    for counter in 0..COUNTERS {
        let _warm = client.clone().get(&format!("counter:{counter}")).await;
    }
    let mut report = Report { before_kib: memory_kib()?, ..Report::default() };
    println!("ready");
    let end = Instant::now() + time;
    let mut counters = JoinSet::new();
    for counter in 0..COUNTERS {
        counters.spawn(count(client.clone(), format!("counter:{counter}"), end));
    }
    let mut registers = JoinSet::new();
    for register in 0..REGISTERS {
        registers.spawn(set_and_get(client.clone(), format!("{{{TAG}}}:{register}"), end));
    }
    let mut impatient = JoinSet::new();
    let large: Arc<str> = "x".repeat(LARGE).into();
    for task in 0..IMPATIENT {
        impatient.spawn(give_up(client.clone(), format!("large:{task}"), Arc::clone(&large), end));
    }
    while Instant::now() < end {
        report.peak_kib = report.peak_kib.max(memory_kib()?);
        sleep(Duration::from_millis(50)).await;
    }
    let mut errors = BTreeMap::new();
    for (tasks, books) in [(&mut counters, &mut report.counters), (&mut registers, &mut report.registers)] {
        while let Some(ended) = tasks.join_next().await {
            let mut account = ended?;
            account.pause();
            errors.append(&mut account.errors);
            books.insert(account.key, account.book);
        }
    }
    report.errors = errors.into_values().collect();
    Ok(report)
}

async fn count<C: Caller>(mut client: C, key: String, end: Instant) -> Account {
    let mut account = Account::new(key.clone());
    while Instant::now() < end {
        let told = client.incr(&key).await;
        let _number = account.note(told);
        sleep(PAUSE).await;
    }
    account
}

async fn set_and_get<C: Caller>(mut client: C, key: String, end: Instant) -> Account {
    let mut account = Account::new(key.clone());
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let told = client.set(&key, &format!("{key}={number}")).await;
        let _set = account.note(told);
        let told = client.get(&key).await;
        if let Some(Some(text)) = account.note(told) {
            account.book.swapped += u64::from(!text.starts_with(&format!("{key}=")));
        }
        sleep(PAUSE).await;
    }
    account
}

async fn give_up<C: Caller>(mut client: C, key: String, value: Arc<str>, end: Instant) {
    while Instant::now() < end {
        let _ended = timeout(PATIENCE, client.set(&key, &value)).await;
        sleep(10 * PAUSE).await;
    }
}

fn memory_kib() -> Done<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
