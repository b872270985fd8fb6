//! What this process and the servers have used so far, as the system counts it.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::adapter::Result;
use crate::wire::{Layout, Wire};

/// CPU time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// Of all threads of this process.
    pub(crate) fn own() -> Result<Self> {
        Self::of(UsageWho::RUSAGE_SELF)
    }

    /// Of the children that ended and were waited for.
    pub(crate) fn children() -> Result<Self> {
        Self::of(UsageWho::RUSAGE_CHILDREN)
    }

    fn of(who: UsageWho) -> Result<Self> {
        let usage = getrusage(who)?;
        let time =
            |value: nix::sys::time::TimeVal| Duration::from_micros(value.num_microseconds().unsigned_abs());
        Ok(Self { user: time(usage.user_time()), system: time(usage.system_time()) })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// The peak of the largest child that ended and was waited for.
pub(crate) fn peak_of_children_kib() -> Result<u64> {
    Ok(getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss().unsigned_abs())
}

/// A line of `/proc/self/status` in KiB.
pub(crate) fn memory_kib(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line of memory")?;
    Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
}

/// The processes of the primaries, if they run on this machine.
pub(crate) struct Servers(Vec<u32>);

impl Servers {
    pub(crate) fn of(seeds: &[String]) -> Result<Self> {
        let pids = Layout::of(seeds)?.primaries.into_iter().map(|addr| {
            let info = Wire::connect(&addr)?.ask(&[b"INFO", b"server"])?;
            let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
            Ok(pid.ok_or("INFO has no process_id")?.trim().parse()?)
        });
        Ok(Self(pids.collect::<Result<_>>()?))
    }

    /// All threads of all of them. Counted by the system in steps of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.0.iter().try_fold(Duration::ZERO, |sum, pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name, in parentheses, may have blanks in it.
            let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let ticks = after_name.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
            let ticks: u64 = ticks.sum::<std::result::Result<u64, _>>()?;
            // USER_HZ is 100 on every Linux that Rust's tier 1 knows.
            Ok(sum + Duration::from_millis(ticks * 10))
        })
    }
}
