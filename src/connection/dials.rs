//! [`Dials`]: who may be dialled now. Bounds what a client asks of nodes that are in trouble, and of the network at once.
//!
//! Every connection of a client is made here: links, exclusive connections, subscribers. So a node that refuses is
//! dialled by one clock, however many callers want it, and what one dial has learned is told to the others without
//! another.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::connection::loss::ConnectError;
use crate::node::NodeAddr;

/// Between two dials of a node in trouble: full jitter, that is any time up to a limit that doubles from the first to the
/// last, so that a thousand clients do not come back at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
pub(crate) const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// What is added to it: chance alone could let several dials follow at once.
const LEAST_BACKOFF: Duration = Duration::from_millis(5);

/// A connection that served for so many times the longest pause of now is no reason for a longer one: the node is there
/// for most of the time, and what ends its connections is not that they are made too often.
const SERVED: u32 = 4;

/// Dials at once, over all nodes: a client that meets a thousand nodes for the first time does not open a thousand
/// sockets in the same moment.
const AT_ONCE: usize = 64;

/// How long one dial counts as one of these. Most take a round trip; one that hangs must not hold up those to nodes that
/// are well.
pub(super) const COUNTS_FOR: Duration = Duration::from_millis(250);

/// A node of which nothing was heard for so long is forgotten.
const REMEMBERED: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Dials {
    rests: Mutex<HashMap<NodeAddr, Rest>>,
    at_once: Semaphore,
}

/// What is known of a node in trouble.
#[derive(Debug)]
struct Rest {
    failures: u32,
    /// When it was noted; a dial that was begun before has nothing new to tell.
    noted: Instant,
    until: Instant,
    /// What the last dial ended with; `None` if it was made and lost soon.
    error: Option<ConnectError>,
    /// Somebody finds out for all others.
    is_tried: bool,
}

/// The right to dial.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    dials: &'a Dials,
    node: &'a NodeAddr,
    /// Finds out for others whether the node is there again.
    tries: bool,
    counted: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Does not count any more as one of those at once.
    pub(super) fn let_others_go(&mut self) {
        self.counted = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.tries
            && let Some(rest) = self.dials.rests().get_mut(self.node)
        {
            rest.is_tried = false;
        }
    }
}

impl Default for Dials {
    fn default() -> Self {
        Self { rests: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }
}

impl Dials {
    fn rests(&self) -> MutexGuard<'_, HashMap<NodeAddr, Rest>> {
        // Nothing panics while it is held.
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the node may be dialled. A node that could not be reached is dialled by one caller at a time, and not
    /// before it has rested; all others get the error of the last dial without one.
    pub(super) async fn turn<'a>(&'a self, node: &'a NodeAddr) -> Result<Turn<'a>, ConnectError> {
        loop {
            let (tries, until) = match self.rests().get_mut(node) {
                None => (false, None),
                Some(Rest { error: Some(error), until, is_tried, .. }) => {
                    if *is_tried || *until > Instant::now() {
                        return Err(error.clone());
                    }
                    *is_tried = true;
                    (true, None)
                }
                Some(Rest { error: None, until, .. }) => (false, Some(*until)),
            };
            if let Some(until) = until.filter(|until| *until > Instant::now()) {
                sleep_until(until).await;
                continue;
            }
            let mut turn = Turn { dials: self, node, tries, counted: None };
            // An error would mean that it was closed, which nobody does.
            turn.counted = self.at_once.acquire().await.ok();
            return Ok(turn);
        }
    }

    /// When it is worth the while to ask for a turn again, if the node rests.
    pub(super) fn rests_until(&self, node: &NodeAddr) -> Option<Instant> {
        let rests = self.rests();
        let rest = rests.get(node)?;
        // Nobody can say when who finds out will know.
        let least = if rest.is_tried { Instant::now() + LEAST_BACKOFF } else { rest.until };
        Some(rest.until.max(least))
    }

    /// A dial that was begun then has failed.
    pub(super) fn failed(&self, node: &NodeAddr, begun: Instant, error: &ConnectError) {
        self.note(node, begun, Some(error.clone()));
    }

    /// A dial has led to a connection.
    pub(super) fn succeeded(&self, node: &NodeAddr) {
        if let Some(rest) = self.rests().get_mut(node) {
            rest.error = None;
            rest.until = rest.noted;
        }
    }

    /// A connection that was made then has ended, and not because the client wanted it. One that served for some time is no
    /// reason to wait; one that ends again and again at once is as bad as none; between the two the pauses stay in
    /// proportion to what the connections serve.
    pub(super) fn ended(&self, node: &NodeAddr, made: Instant) {
        if made.elapsed() < LAST_BACKOFF {
            self.note(node, made, None);
        } else {
            self.rests().remove(node);
        }
    }

    fn note(&self, node: &NodeAddr, begun: Instant, error: Option<ConnectError>) {
        let now = Instant::now();
        let mut rests = self.rests();
        rests.retain(|_, rest| rest.until + REMEMBERED > now);
        let rest = rests.entry(node.clone()).or_insert(Rest {
            failures: 0,
            noted: begun,
            until: now,
            error: None,
            is_tried: false,
        });
        if rest.failures > 0 && begun < rest.noted {
            return;
        }
        let longest = FIRST_BACKOFF.saturating_mul(1 << rest.failures.min(10)).min(LAST_BACKOFF);
        // One connection that ends soon is no sign of trouble.
        let pause = match (&error, rest.failures) {
            (None, 0) => Duration::ZERO,
            (Some(_), _) | (None, 1..) => LEAST_BACKOFF + longest.mul_f64(fastrand::f64()),
        };
        let is_worse = error.is_some() || rest.failures == 0 || begun.elapsed() < longest * SERVED;
        *rest = Rest {
            failures: rest.failures + u32::from(is_worse),
            noted: now,
            until: now + pause,
            error,
            is_tried: rest.is_tried,
        };
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::{Instant, advance};

    use super::{AT_ONCE, Dials, FIRST_BACKOFF, LAST_BACKOFF, LEAST_BACKOFF, SERVED};
    use crate::connection::loss::ConnectError;
    use crate::node::NodeAddr;

    fn node(port: u16) -> NodeAddr {
        NodeAddr::new("h", port)
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_refuses_is_dialled_by_one_clock() {
        let dials = Dials::default();
        let begun = Instant::now();
        let mut dialled = 0;
        while begun.elapsed() < LAST_BACKOFF * 60 {
            // Any number of callers: one dial, and all others are told what it has found.
            for _ in 0..10 {
                let node = node(1);
                if let Some(Ok(_turn)) = dials.turn(&node).now_or_never() {
                    dialled += 1;
                    dials.failed(&node, Instant::now(), &ConnectError::Closed);
                }
            }
            advance(LEAST_BACKOFF / 5).await;
        }
        // Two a second on average once the pauses are long, and some more in the beginning.
        assert!((60..240).contains(&dialled), "{dialled} in a minute");
        assert!(dials.turn(&node(2)).now_or_never().is_some_and(|turn| turn.is_ok()), "another is free");
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_finds_out_for_all_whether_the_node_is_there_again() {
        let dials = Dials::default();
        let node = node(1);
        dials.failed(&node, Instant::now(), &ConnectError::Closed);
        advance(LAST_BACKOFF).await;
        let turn = dials.turn(&node).await.unwrap();
        assert!(dials.turn(&node).await.is_err(), "it is being found out");
        drop(turn);
        let turn = dials.turn(&node).await.unwrap();
        dials.succeeded(&node);
        drop(turn);
        let several = [dials.turn(&node).await, dials.turn(&node).await];
        assert!(several.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn dials_that_fail_together_are_one_failure() {
        let dials = Dials::default();
        let begun = Instant::now();
        advance(LEAST_BACKOFF).await;
        dials.failed(&node(1), begun, &ConnectError::Closed);
        let until = dials.rests_until(&node(1));
        dials.failed(&node(1), begun, &ConnectError::Closed);
        assert_eq!(dials.rests_until(&node(1)), until);
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_fail_together_are_not_dialled_together() {
        for (failures, longest) in [(1, FIRST_BACKOFF), (3, FIRST_BACKOFF * 4), (20, LAST_BACKOFF)] {
            let dials = Dials::default();
            let now = Instant::now();
            let mut quarters = [0; 4];
            for port in 1..=200 {
                for _ in 0..failures {
                    dials.failed(&node(port), now, &ConnectError::Closed);
                }
                let pause = dials.rests_until(&node(port)).unwrap() - now;
                assert!((LEAST_BACKOFF..=LEAST_BACKOFF + longest).contains(&pause), "{failures}: {pause:?}");
                let quarter = (pause - LEAST_BACKOFF).as_nanos() * 4 / longest.as_nanos();
                quarters[usize::try_from(quarter).unwrap().min(3)] += 1;
            }
            // 50 in each on average; so few by chance are not seen in a lifetime.
            assert!(quarters.iter().all(|count| *count >= 10), "{failures}: {quarters:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_at_once_delays_the_next_and_one_that_served_does_not() {
        let dials = Dials::default();
        let made = Instant::now();
        dials.ended(&node(1), made);
        assert!(dials.turn(&node(1)).now_or_never().is_some_and(|turn| turn.is_ok()), "it may happen");
        dials.ended(&node(1), made + LEAST_BACKOFF);
        assert!(dials.turn(&node(1)).now_or_never().is_none(), "it waits, and is told nothing");
        assert!(dials.turn(&node(1)).await.is_ok());
        dials.succeeded(&node(1));
        advance(LAST_BACKOFF).await;
        dials.ended(&node(1), made);
        assert!(dials.turn(&node(1)).now_or_never().is_some_and(|turn| turn.is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_serve_between_their_ends_are_delayed_in_proportion() {
        let dials = Dials::default();
        let life = LAST_BACKOFF / 3;
        for _ in 0..100 {
            let made = Instant::now();
            advance(life).await;
            dials.ended(&node(1), made);
            let ended = Instant::now();
            assert!(dials.turn(&node(1)).await.is_ok());
            // The last doubling is the one that passes this share.
            assert!(ended.elapsed() <= LEAST_BACKOFF + life * 2 / SERVED, "{:?}", ended.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_dialled_at_once_and_the_next_when_one_is_done() {
        let dials = Dials::default();
        let nodes: Vec<NodeAddr> = (0..AT_ONCE).map(|port| node(u16::try_from(port).unwrap())).collect();
        let mut turns = Vec::new();
        for node in &nodes {
            turns.push(dials.turn(node).await.unwrap());
        }
        assert!(dials.turn(&node(7000)).now_or_never().is_none());
        turns.pop();
        assert!(dials.turn(&node(7000)).now_or_never().is_some());
    }
}
