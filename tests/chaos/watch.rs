//! [`Watch`]: whether the trial itself, and with it the lines of all nodes, had its turns in time.
//!
//! Servers that hear nothing of each other for a second hold each other for dead. When a shard is not whole in time, this
//! tells a machine that was too busy from a server or a client that is to blame.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Watch {
    /// The worst of it, in microseconds.
    late: Arc<AtomicU64>,
    task: JoinHandle<()>,
    begin: Instant,
    /// Of the process, when it began.
    used: Option<Duration>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
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
        Self { late, task, begin: Instant::now(), used: used() }
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
