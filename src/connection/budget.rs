//! [`Budget`]: bounds the bytes that are queued or in flight, for one node and for the whole client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::task::unconstrained;

/// The room for the commands of one node. Taken when a command is queued, given back when it is answered or cut out.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    node: Bound,
    client: Bound,
    /// Callers that wait for room, or have just got it and not enqueued their command yet.
    in_line: Arc<AtomicUsize>,
    /// Held by the first in line. A semaphore alone is not enough: it gives the next caller room while the one before
    /// has got its own and was not polled since.
    front: Arc<Mutex<()>>,
}

/// A place in the line of callers that wait for room, held until the command is enqueued. See [`Budget::line_up`].
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    in_line: &'a AtomicUsize,
    /// The front of the line, once it is reached.
    front: Option<MutexGuard<'a, ()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.in_line.fetch_sub(1, Ordering::AcqRel);
        drop(self.front.take());
    }
}

/// Some bytes, and the sum that they may reach.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    room: Arc<Semaphore>,
    most: usize,
}

impl Bound {
    pub(crate) fn new(bytes: usize) -> Self {
        let most = bytes.clamp(1, (u32::MAX as usize).min(Semaphore::MAX_PERMITS));
        Self { room: Arc::new(Semaphore::new(most)), most }
    }

    /// Whether nothing is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.room.available_permits() == self.most
    }

    /// How many bytes are taken.
    fn taken(&self) -> usize {
        self.most.saturating_sub(self.room.available_permits())
    }

    /// A command larger than the whole bound takes all of it: it passes alone instead of never.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.most)).unwrap_or(u32::MAX)
    }

    fn try_take(&self, bytes: usize) -> bool {
        self.room.try_acquire_many(self.permits(bytes)).map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    async fn take(&self, bytes: usize) {
        if let Ok(permit) = self.room.acquire_many(self.permits(bytes)).await {
            permit.forget();
        }
    }

    fn give_back(&self, bytes: usize) {
        self.room.add_permits(bytes.min(self.most));
    }
}

impl Budget {
    pub(crate) fn new(node_bytes: usize, client: Bound) -> Self {
        Self { node: Bound::new(node_bytes), client, in_line: Arc::default(), front: Arc::default() }
    }

    /// Gets into line: from now on, until the turn is dropped, nobody takes room without waiting. A later command on the
    /// same key would overtake this one.
    pub(crate) fn line_up(&self) -> Turn<'_> {
        self.in_line.fetch_add(1, Ordering::AcqRel);
        Turn { in_line: &self.in_line, front: None }
    }

    /// Waits until it is this caller's turn and there is room, and takes it. Dropped before that, it takes nothing.
    pub(crate) async fn take_in_turn<'a>(&'a self, turn: &mut Turn<'a>, bytes: usize) {
        // Unconstrained: a task that has used up its share of polls would be sent away without a place in the line,
        // and its next future would get that place instead.
        turn.front = Some(unconstrained(self.front.lock()).await);
        self.take(bytes).await;
    }

    /// Takes room without waiting; `false` if there is too little, or others wait for it.
    #[inline]
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        if self.in_line.load(Ordering::Acquire) > 0 || !self.node.try_take(bytes) {
            return false;
        }
        let taken = self.client.try_take(bytes);
        if !taken {
            self.node.give_back(bytes);
        }
        taken
    }

    /// Waits until there is room and takes it. Dropped before that, it takes nothing.
    pub(crate) async fn take(&self, bytes: usize) {
        // The node's room first: who waits for a node that hangs must not hold the room of the others.
        self.node.take(bytes).await;
        let node_room = Taken { bound: &self.node, bytes };
        self.client.take(bytes).await;
        std::mem::forget(node_room);
    }

    /// How many bytes of the node are queued or in flight.
    pub(crate) fn taken(&self) -> usize {
        self.node.taken()
    }

    /// Gives back what was taken for one command; the same `bytes` as then.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.node.give_back(bytes);
        self.client.give_back(bytes);
    }
}

/// Gives the node's room back if the wait for the client's is dropped.
struct Taken<'a> {
    bound: &'a Bound,
    bytes: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.bound.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Budget};
    use futures::FutureExt;

    #[tokio::test]
    async fn room_is_taken_of_both_or_of_none() {
        let client = Bound::new(100);
        let a = Budget::new(80, client.clone());
        let b = Budget::new(80, client.clone());
        assert!(a.try_take(70));
        assert!(!a.try_take(20), "the node's bound");
        assert!(!b.try_take(40), "the client's bound");
        assert!(b.try_take(30));
        a.give_back(70);
        b.give_back(30);
        assert!(client.is_idle());
        assert!(b.try_take(80), "the failed attempt gave its room back");
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_holds_nothing() {
        let client = Bound::new(100);
        let a = Budget::new(100, client.clone());
        let b = Budget::new(100, client.clone());
        assert!(a.try_take(60));
        assert!(b.take(60).now_or_never().is_none());
        a.give_back(60);
        assert!(b.try_take(100));
    }

    #[tokio::test]
    async fn a_command_larger_than_the_bound_passes_alone() {
        let budget = Budget::new(10, Bound::new(100));
        assert!(budget.try_take(50));
        assert!(!budget.try_take(1));
        budget.give_back(50);
        assert!(budget.try_take(10));
    }
}
