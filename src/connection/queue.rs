//! [`Queue`]: where callers and the task of a link meet. One short critical section for each command.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::budget::{Budget, Room};
use crate::connection::lock::{Mutex, MutexGuard};
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::observed::Countdown;
use crate::connection::outgoing::Outgoing;
use crate::connection::waiters::{Answers, WaiterId, Waiters};
use crate::node::NodeAddr;
use crate::stats::node_counters::NodeCounters;

/// What the handle, the task and the callers that wait hold together.
#[derive(Debug)]
pub(super) struct LinkShared {
    pub(super) node: NodeAddr,
    pub(super) budget: Budget,
    pub(super) pace: Pace,
    pub(super) counters: Arc<NodeCounters>,
    queue: Mutex<Queue>,
}

/// How long a node takes to answer, smoothed: each measurement counts for an eighth. Nanoseconds; 0: never measured.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    pub(super) fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let so_far = self.0.load(Ordering::Relaxed);
        let smoothed = if so_far == 0 { took } else { so_far - so_far / 8 + took / 8 };
        // Only the task of the link writes it.
        self.0.store(smoothed, Ordering::Relaxed);
    }

    pub(super) fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) outgoing: Outgoing,
    pub(super) waiters: Waiters,
    pub(super) state: QueueState,
    /// The connection was closed over the heads of its callers, who may send elsewhere what it was sent.
    pub(super) is_severed: bool,
    /// The node has handed over to another: what it does not answer soon, it has forgotten.
    pub(super) is_demoted: bool,
    /// The task, if it sleeps.
    pub(super) sleeper: Option<Waker>,
    /// When the task was woken for the commands that are queued now and have its next turn.
    woken: Option<Instant>,
    /// A caller has given up since the task looked last.
    pub(super) abandoned: bool,
    /// A caller's time is over, and the task has not looked at the clock since.
    pub(super) clock_wanted: bool,
    /// Units that were ever pushed, and how many of them the task has taken: tells whether one is still here.
    pushed: u64,
    taken: u64,
    /// Units that the task has taken and that are not answered yet.
    pub(super) unanswered: usize,
    pub(super) to_sample: Countdown,
}

#[derive(Debug, Default)]
pub(super) enum QueueState {
    #[default]
    Open,
    /// The last connect failed; the next is not due yet.
    Down(ConnectError),
    Closed,
}

impl LinkShared {
    pub(super) fn new(node: NodeAddr, budget: Budget, counters: Arc<NodeCounters>) -> Self {
        Self { node, budget, pace: Pace::default(), counters, queue: Mutex::default() }
    }

    /// Refuses everything from now on and fails what is queued, as unsent.
    pub(super) fn close(&self, cause: &LossCause) {
        let mut answers = Answers::default();
        let freed = {
            let mut queue = self.lock();
            queue.state = QueueState::Closed;
            queue.outgoing.fail_all(cause, &mut answers)
        };
        self.budget.give_back(freed);
        self.deliver(&mut answers);
    }

    /// Hands the answers to the callers.
    pub(super) fn deliver(&self, answers: &mut Answers) {
        if !answers.has_no_single() {
            answers.put_down(&mut self.lock().waiters);
        }
        answers.tell();
    }

    /// The caller of a single command is gone.
    pub(super) fn abandon(&self, waiter: WaiterId) {
        let mut queue = self.lock();
        let (leftover, is_under_way) = queue.waiters.abandon(waiter);
        if is_under_way {
            queue.note_abandoned();
        }
        drop(queue);
        drop(leftover);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; if something did, the queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Swaps what is queued into `into`, which must be empty. Returns since when it was queued, if that is known.
    pub(super) fn take(&mut self, into: &mut Outgoing) -> Option<Instant> {
        std::mem::swap(&mut self.outgoing, into);
        self.taken = self.pushed;
        self.woken.take()
    }

    /// Cuts out what nobody waits for any more; returns the room that was freed.
    pub(super) fn cut_abandoned(&mut self) -> Room {
        self.outgoing.cut_abandoned(&mut self.waiters)
    }

    pub(super) fn count_push(&mut self) {
        self.pushed += 1;
    }

    /// The time for a command that is queued now. Reading the clock takes a twentieth of what a command does, so commands
    /// that leave together share the time of the first, who woke the task: they are as far apart as its turn was away.
    #[inline]
    pub(super) fn now(&mut self) -> Instant {
        match (self.woken, &self.sleeper) {
            (Some(woken), None) => woken,
            (None, None) => Instant::now(),
            (_, Some(_sleeps)) => *self.woken.insert(Instant::now()),
        }
    }

    /// The task is awake and does not take what is queued, so a turn may be far away.
    pub(super) fn forget_the_time(&mut self) {
        self.woken = None;
    }

    /// The number of the unit that was pushed last; it tells later whether the unit is still here.
    pub(super) fn ticket(&self) -> u64 {
        self.pushed
    }

    pub(super) fn still_holds(&self, ticket: u64) -> bool {
        ticket > self.taken
    }

    /// A caller has given up: the task cuts its command out if it can.
    pub(super) fn note_abandoned(&mut self) {
        self.abandoned = true;
        self.wake();
    }

    pub(super) fn look_at_the_clock(&mut self) {
        self.clock_wanted = true;
        self.wake();
    }

    /// There is something for the task to do.
    pub(super) fn wake(&mut self) {
        if let Some(task) = self.sleeper.take() {
            task.wake();
        }
    }
}
