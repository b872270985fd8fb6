//! [`Progress`]: how far a plan has come; [`StopHandle`]: how it is told to go no further.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far a plan has come. Told after each batch of keys, each slot and each step.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Progress {
    /// The step that is under way, counted from 1.
    pub step: usize,
    /// How many steps there are.
    pub steps: usize,
    /// What the step does.
    pub what: String,
    /// Slots that have arrived.
    pub slots_done: usize,
    /// Slots that the whole plan moves.
    pub slots: usize,
    /// Keys that have been moved.
    pub keys_done: u64,
    /// About how many keys the whole plan moves: as counted when it was made.
    pub keys: u64,
    /// Bytes of memory of the keys that have been moved, as far as the servers tell (`MEMORY USAGE`).
    pub bytes_done: u64,
    /// Keys of which the target had a copy of an earlier attempt, which was replaced by the source's.
    pub replaced: u64,
    /// Whether it ended before its last step because it was told to stop.
    pub stopped: bool,
    /// Since the plan began to run.
    pub elapsed: Duration,
}

impl Progress {
    /// About how long the slots that are left take, by those that have arrived; `None` before the first.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let (done, all) = if self.keys > 0 && self.keys_done > 0 {
            (self.keys_done, self.keys.max(self.keys_done))
        } else {
            (u64::try_from(self.slots_done).ok()?, u64::try_from(self.slots).ok()?)
        };
        (done > 0).then(|| self.elapsed.mul_f64(all.saturating_sub(done) as f64 / done as f64))
    }
}

/// Tells a running plan to stop: no further step or slot is begun, and what is under way is brought to its end, so
/// that no slot stays open; slots that move in one moment are left with their source. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks for the stop, from any task.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who is told.
type Listener<'a> = &'a mut (dyn FnMut(&Progress) + Send);

/// Keeps the progress and tells it.
pub(super) struct Reporter<'a> {
    state: Mutex<(Progress, Listener<'a>)>,
    begin: Instant,
    stop: StopHandle,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        first: Progress,
        stop: StopHandle,
        tell: &'a mut (dyn FnMut(&Progress) + Send),
    ) -> Self {
        Self { state: Mutex::new((first, tell)), begin: Instant::now(), stop }
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, tell) = &mut *state;
        change(progress);
        progress.elapsed = self.begin.elapsed();
        tell(progress);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_stopped()
    }

    pub(super) fn last(&self) -> Progress {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Progress;

    #[test]
    fn what_is_left_is_estimated_by_what_is_done() {
        let progress = |keys_done, slots_done| Progress {
            keys: 100,
            keys_done,
            slots: 10,
            slots_done,
            elapsed: Duration::from_secs(10),
            ..Progress::default()
        };
        assert_eq!(progress(0, 0).remaining(), None);
        assert_eq!(progress(25, 0).remaining(), Some(Duration::from_secs(30)));
        assert_eq!(progress(0, 5).remaining(), Some(Duration::from_secs(10)));
        assert_eq!(progress(200, 10).remaining(), Some(Duration::ZERO));
    }
}
