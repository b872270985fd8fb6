//! [`Watch`]: whether the trial itself, and with it the lines of all nodes, had its turns in time.
//!
//! Servers that hear nothing of each other for a second hold each other for dead. When a shard is not whole in time, this
//! tells a machine that was too busy from a server or a client that is to blame.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

const LOOK: Duration = Duration::from_millis(10);

/// What is worth to be written down of a turn that came too late.
const LATE: Duration = Duration::from_millis(50);

pub(crate) struct Watch {
    /// The worst that a task has seen, in microseconds.
    late: Arc<AtomicU64>,
    task: JoinHandle<()>,
    stalls: Arc<Stalls>,
    begin: Instant,
    /// Of the process, when it began.
    used: Option<Duration>,
}

/// When a thread of its own had no turn: then the whole process had none, whatever its tasks do.
#[derive(Default)]
struct Stalls {
    /// From, to.
    seen: Mutex<Vec<(Instant, Instant)>>,
    is_over: AtomicBool,
}

impl Stalls {
    fn look(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let due = Instant::now() + LOOK;
            thread::sleep(LOOK);
            let now = Instant::now();
            if now.saturating_duration_since(due) > LATE {
                self.seen.lock().unwrap().push((due, now));
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
        // The thread ends with its next look.
        self.stalls.is_over.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let late = Arc::new(AtomicU64::new(0));
        let worst = Arc::clone(&late);
        let task = tokio::spawn(async move {
            loop {
                let before = Instant::now();
                tokio::time::sleep(LOOK).await;
                let late = before.elapsed().saturating_sub(LOOK).as_micros();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        let stalls = Arc::<Stalls>::default();
        let looking = Arc::clone(&stalls);
        thread::spawn(move || looking.look());
        Self { late, task, stalls, begin: Instant::now(), used: used() }
    }

    /// When this process stood still, in microseconds since `begin`.
    pub(crate) fn stalls(&self, begin: Instant) -> Vec<(u64, u64)> {
        let since = |at: Instant| u64::try_from(at.saturating_duration_since(begin).as_micros()).unwrap();
        self.stalls.seen.lock().unwrap().iter().map(|(from, to)| (since(*from), since(*to))).collect()
    }

    pub(crate) fn tell(&self) -> String {
        let late = Duration::from_micros(self.late.load(Ordering::Relaxed));
        let share = match (self.used, used()) {
            (Some(before), Some(now)) => {
                let cores = now.saturating_sub(before).as_secs_f64() / self.begin.elapsed().as_secs_f64();
                format!("{cores:.2} cores used by it")
            }
            _unknown => "its use of the cores is not known here".to_owned(),
        };
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown");
        format!(
            "the trial was up to {:.0} ms late, {share}, load of the machine {load}",
            late.as_secs_f64() * 1e3
        )
    }
}

/// What this process has used of the processor, by `/proc`, which counts in hundredths of a second.
fn used() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the program's name, which is in parentheses, user and system time are the 12th and the 13th word.
    let words: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
