//! [`Clock`]: the one timer of a link, for deadlines, for silence, and for signs of life.
//!
//! Its time is not moved by each command. While something is under way it rings twice within the silence that first gives
//! reason to doubt; while nothing is, once for each sign of life that is due. Between the two it is moved at most once
//! for each ring, so a caller who sends one command after the other pays for none of it.

use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::handshake::Purpose;

/// A node that is silent for so long while somebody waits gives reason to look at the topology: it may be about to hand over to
/// another, in which time it answers nobody, and Redis 6.2 forgets then whom it has let wait. It rings twice in this time.
pub(super) const FIRST_DOUBT: Duration = Duration::from_millis(100);

/// After so long without a false doubt the next one may come earlier again.
const CALM: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes, once it was asked since it was set.
    woken: Option<Waker>,
    set_for: SetFor,
    /// A byte was received since the timer was set.
    pub(super) heard: bool,
    /// Since when nothing was received although something was under way.
    silent_since: Option<Instant>,
    /// Waits for a silent node as long as a command has time. Another node can answer a read from a replica.
    pub(super) is_patient: bool,
    /// When the oldest bytes left that were not answered yet, if that is measured.
    pub(super) sent: Option<Instant>,
    doubt: Doubt,
}

/// From which silence on the node is doubted. Far away, or busy with long commands, each reply comes later than the first
/// doubt: who was doubted and answered is given twice the time.
struct Doubt {
    after: Duration,
    /// The node was doubted in the silence that lasts.
    is_raised: bool,
    changed_at: Instant,
}

impl Doubt {
    /// Something was received at last, or again.
    fn end(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_raised) {
            self.after = self.after.saturating_mul(2);
        } else if self.after > FIRST_DOUBT && now.duration_since(self.changed_at) >= CALM {
            self.after /= 2;
        } else {
            return;
        }
        self.changed_at = now;
    }
}

/// What the timer is set for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SetFor {
    Nothing,
    /// Something is under way.
    Work,
    /// Nothing is, and the peer shall be asked whether it is there.
    SignOfLife,
}

impl Clock {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            timer: Box::pin(sleep_until(Instant::now())),
            woken: None,
            set_for: SetFor::Nothing,
            heard: false,
            silent_since: None,
            is_patient: purpose == Purpose::Commands,
            sent: None,
            doubt: Doubt { after: FIRST_DOUBT, is_raised: false, changed_at: Instant::now() },
        }
    }

    /// Whether a node that is `silent` for so long is doubted. One that is silent for `longest` always is.
    pub(super) fn doubts(&mut self, silent: Duration, longest: Duration) -> bool {
        self.doubt.after = self.doubt.after.min(longest);
        let doubts = silent >= self.doubt.after;
        self.doubt.is_raised |= doubts;
        doubts
    }

    /// Whether it is set for what is needed now.
    #[inline]
    pub(super) fn is_set(&self, is_idle: bool) -> bool {
        match self.set_for {
            SetFor::Work => true,
            SetFor::SignOfLife => is_idle,
            SetFor::Nothing => false,
        }
    }

    /// Something is under way: rings at `at`.
    pub(super) fn set_for_work(&mut self, now: Instant, at: Instant) {
        self.silent_since.get_or_insert(now);
        self.set(SetFor::Work, at);
    }

    /// Nothing is under way: rings if that stays so, or not at all if no sign of life is wanted.
    pub(super) fn set_for_a_sign_of_life(&mut self, after: Option<Duration>) {
        self.silent_since = None;
        if let Some(at) = after.and_then(|after| Instant::now().checked_add(after)) {
            self.set(SetFor::SignOfLife, at);
        }
    }

    /// For how long nothing was received, as of the last ring, although something was under way.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        self.silent_since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    fn set(&mut self, set_for: SetFor, at: Instant) {
        self.heard = false;
        self.set_for = set_for;
        self.woken = None;
        self.timer.as_mut().reset(at);
    }

    /// Whether the time is over; if not, the task is woken when it is.
    #[inline]
    pub(super) fn has_rung(&mut self, cx: &mut Context<'_>) -> bool {
        if self.set_for == SetFor::Nothing {
            return false;
        }
        // This is asked several times for each batch, and a timer that knows whom to wake need not be told again.
        let knows = self.woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker()));
        (!knows || self.timer.is_elapsed()) && self.ask_the_timer(cx)
    }

    fn ask_the_timer(&mut self, cx: &mut Context<'_>) -> bool {
        // Unconstrained: to a task that has used up its share of polls the timer would not listen, and wake nobody later.
        let has_rung = pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready();
        self.woken = (!has_rung).then(|| cx.waker().clone());
        has_rung
    }

    /// It has rung, and is to be set anew. Tells for how long nothing was received: while something was under way, or, if
    /// nothing is, in the whole time after which a sign of life is due.
    pub(super) fn stop(&mut self, now: Instant, is_idle: bool) -> Option<Duration> {
        let was_set_for = std::mem::replace(&mut self.set_for, SetFor::Nothing);
        if self.heard {
            self.doubt.end(now);
        }
        if self.heard || is_idle {
            self.silent_since = None;
        }
        match was_set_for {
            SetFor::SignOfLife if is_idle => (!self.heard).then_some(Duration::ZERO),
            SetFor::SignOfLife | SetFor::Work | SetFor::Nothing => {
                self.silent_since.map(|since| now.duration_since(since))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::task::consume_budget;
    use tokio::time::{Instant, timeout};

    use super::Clock;
    use crate::connection::handshake::Purpose;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_wakes_a_task_that_asked_first_when_its_share_of_polls_was_used_up() {
        let mut clock = Clock::new(Purpose::Commands);
        let now = Instant::now();
        clock.set_for_work(now, now + SECOND);
        let mut is_first = true;
        let ringing = poll_fn(|cx| {
            while is_first && pin!(consume_budget()).poll(cx).is_ready() {}
            is_first = false;
            if clock.has_rung(cx) { Poll::Ready(()) } else { Poll::Pending }
        });
        assert!(timeout(10 * SECOND, ringing).await.is_ok());
        assert!(now.elapsed() < 2 * SECOND, "{:?}: by the time-out, not by the clock", now.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_as_often_as_it_is_set() {
        let mut clock = Clock::new(Purpose::Commands);
        for _ in 0..3 {
            let now = Instant::now();
            clock.set_for_work(now, now + 5 * SECOND);
            assert!(!poll_fn(|cx| Poll::Ready(clock.has_rung(cx))).await);
            // Moved before it has rung, it is asked anew.
            clock.set_for_work(now, now + SECOND);
            poll_fn(|cx| if clock.has_rung(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            assert!(now.elapsed() < 2 * SECOND);
            let _silence = clock.stop(Instant::now(), false);
        }
    }
}
