//! What this process and the servers have used so far, as the system counts it.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

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
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let time = |value: TimeVal| Duration::from_micros(value.num_microseconds().unsigned_abs());
        Ok(Self { user: time(usage.user_time()), system: time(usage.system_time()) })
    }

    /// Of all threads of another one, counted by the system in steps of 10 ms.
    pub(crate) fn process(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may have blanks in it.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut ticks = after_name.split_ascii_whitespace().skip(11).map(|ticks| {
            // USER_HZ is 100 on every Linux that Rust's tier 1 knows.
            ticks.parse().map(|ticks: u64| Duration::from_millis(ticks * 10))
        });
        match (ticks.next(), ticks.next()) {
            (Some(user), Some(system)) => Ok(Self { user: user?, system: system? }),
            _ => Err("/proc/PID/stat was not understood".into()),
        }
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

/// The primaries, which run on this machine.
pub(crate) struct Servers(Vec<(String, u32)>);

impl Servers {
    pub(crate) fn of(seeds: &[String]) -> Result<Self> {
        let with_pids = Layout::of(seeds)?.primaries.into_iter().map(|addr| {
            let pid = info(&addr, "server", "process_id:")?;
            Ok((addr, u32::try_from(pid)?))
        });
        Ok(Self(with_pids.collect::<Result<_>>()?))
    }

    /// All threads of all of them.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.0.iter().try_fold(Duration::ZERO, |sum, (_, pid)| Ok(sum + Cpu::process(*pid)?.total()))
    }

    /// How many commands they have executed.
    pub(crate) fn commands(&self) -> Result<u64> {
        self.0
            .iter()
            .try_fold(0, |sum, (addr, _)| Ok(sum + info(addr, "stats", "total_commands_processed:")?))
    }
}

fn info(addr: &str, section: &str, name: &str) -> Result<u64> {
    let info = Wire::connect(addr)?.ask(&[b"INFO", section.as_bytes()])?;
    let number = info.lines().find_map(|line| line.strip_prefix(name));
    Ok(number.ok_or_else(|| format!("INFO has no {name}"))?.trim().parse()?)
}
