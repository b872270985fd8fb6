//! [`Budget`]: bounds the bytes and the requests that are queued or in flight, for one node and for the whole client.
//!
//! Both are bounded by one number: a request takes its bytes, but at least the share of the byte budget that it would have if
//! as many requests as are allowed shared it out. So the many small ones end at the bound of requests, the few large ones at
//! that of bytes, and nobody pays for a second semaphore.

use std::ops::AddAssign;
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

/// What a request takes of both bounds: computed once, and given back as it was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "room that is not given back is lost for all others"]
pub(crate) struct Room {
    node: u32,
    client: u32,
}

impl Room {
    /// Of what the client asks for itself: a budget that callers have used up is no reason not to ask, and a client that is
    /// closed does not wait for the answer.
    pub(crate) const NONE: Self = Self { node: 0, client: 0 };

    /// The client's share, which is given back before the node's when nobody waits for the reply any more: the request
    /// holds no memory here, but the node has still to answer it.
    pub(crate) fn split_client(&mut self) -> Self {
        Self { node: 0, client: std::mem::take(&mut self.client) }
    }
}

/// Never more than is taken, so neither sum leaves its bound.
impl AddAssign for Room {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.node += other.node;
        self.client += other.client;
    }
}

/// Bytes that are taken, and the sum that they may reach.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    room: Arc<Semaphore>,
    most: usize,
    /// What a request takes at least.
    least: usize,
}

impl Bound {
    pub(crate) fn new(bytes: usize, requests: usize) -> Self {
        let most = bytes.clamp(1, (u32::MAX as usize).min(Semaphore::MAX_PERMITS));
        Self { room: Arc::new(Semaphore::new(most)), most, least: most / requests.max(1) }
    }

    /// Whether nothing is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.room.available_permits() == self.most
    }

    /// How many bytes are taken.
    fn taken(&self) -> usize {
        self.most.saturating_sub(self.room.available_permits())
    }

    /// One that is larger than the whole bound takes all of it: it passes alone instead of never.
    #[inline]
    fn share(&self, bytes: usize, requests: usize) -> u32 {
        let share = bytes.max(self.least.saturating_mul(requests)).min(self.most);
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    fn try_take(&self, share: u32) -> bool {
        self.room.try_acquire_many(share).map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    async fn take(&self, share: u32) {
        if let Ok(permit) = self.room.acquire_many(share).await {
            permit.forget();
        }
    }

    fn give_back(&self, share: u32) {
        self.room.add_permits(share as usize);
    }
}

impl Budget {
    pub(crate) fn new(node: Bound, client: Bound) -> Self {
        Self { node, client, in_line: Arc::default(), front: Arc::default() }
    }

    /// What a unit of so many bytes and requests takes.
    #[inline]
    pub(crate) fn room_for(&self, bytes: usize, requests: usize) -> Room {
        Room { node: self.node.share(bytes, requests), client: self.client.share(bytes, requests) }
    }

    /// Gets into line: from now on, until the turn is dropped, nobody takes room without waiting. A later command on the
    /// same key would overtake this one.
    pub(crate) fn line_up(&self) -> Turn<'_> {
        self.in_line.fetch_add(1, Ordering::AcqRel);
        Turn { in_line: &self.in_line, front: None }
    }

    /// Waits until it is this caller's turn and there is room, and takes it. Dropped before that, it takes nothing.
    pub(crate) async fn take_in_turn<'a>(&'a self, turn: &mut Turn<'a>, room: Room) {
        // Unconstrained: a task that has used up its share of polls would be sent away without a place in the line,
        // and its next future would get that place instead.
        turn.front = Some(unconstrained(self.front.lock()).await);
        self.take(room).await;
    }

    /// Takes room without waiting; `false` if there is too little, or others wait for it.
    #[inline]
    pub(crate) fn try_take(&self, room: Room) -> bool {
        if self.in_line.load(Ordering::Acquire) > 0 || !self.node.try_take(room.node) {
            return false;
        }
        let taken = self.client.try_take(room.client);
        if !taken {
            self.node.give_back(room.node);
        }
        taken
    }

    /// Waits until there is room and takes it. Dropped before that, it takes nothing.
    pub(crate) async fn take(&self, room: Room) {
        // The node's room first: who waits for a node that hangs must not hold the room of the others.
        self.node.take(room.node).await;
        let node_room = Taken { bound: &self.node, share: room.node };
        self.client.take(room.client).await;
        std::mem::forget(node_room);
    }

    /// How much of the node's bytes is taken.
    pub(crate) fn taken(&self) -> usize {
        self.node.taken()
    }

    /// Gives back what was taken for one unit, or the sum of several.
    pub(crate) fn give_back(&self, room: Room) {
        if room != Room::NONE {
            self.node.give_back(room.node);
            self.client.give_back(room.client);
        }
    }
}

/// Gives the node's room back if the wait for the client's is dropped.
struct Taken<'a> {
    bound: &'a Bound,
    share: u32,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.bound.give_back(self.share);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Budget};
    use futures_util::FutureExt;

    /// Bounds of bytes alone.
    fn bytes(bytes: usize) -> Bound {
        Bound::new(bytes, usize::MAX)
    }

    impl Budget {
        fn try_one(&self, bytes: usize) -> bool {
            self.try_take(self.room_for(bytes, 1))
        }

        fn end_one(&self, bytes: usize) {
            self.give_back(self.room_for(bytes, 1));
        }
    }

    #[tokio::test]
    async fn room_is_taken_of_both_or_of_none() {
        let client = bytes(100);
        let a = Budget::new(bytes(80), client.clone());
        let b = Budget::new(bytes(80), client.clone());
        assert!(a.try_one(70));
        assert!(!a.try_one(20), "the node's bound");
        assert!(!b.try_one(40), "the client's bound");
        assert!(b.try_one(30));
        a.end_one(70);
        b.end_one(30);
        assert!(client.is_idle());
        assert!(b.try_one(80), "the failed attempt gave its room back");
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_holds_nothing() {
        let client = bytes(100);
        let a = Budget::new(bytes(100), client.clone());
        let b = Budget::new(bytes(100), client.clone());
        assert!(a.try_one(60));
        assert!(b.take(b.room_for(60, 1)).now_or_never().is_none());
        a.end_one(60);
        assert!(b.try_one(100));
    }

    #[tokio::test]
    async fn a_command_larger_than_the_bound_passes_alone() {
        let budget = Budget::new(bytes(10), bytes(100));
        assert!(budget.try_one(50));
        assert!(!budget.try_one(1));
        budget.end_one(50);
        assert!(budget.try_one(10));
    }

    #[tokio::test]
    async fn small_requests_end_at_the_bound_of_requests_and_large_ones_at_that_of_bytes() {
        let budget = Budget::new(Bound::new(1000, 10), Bound::new(4000, 40));
        let small = budget.room_for(1, 1);
        assert_eq!((0..20).filter(|_| budget.try_take(small)).count(), 10);
        (0..10).for_each(|_| budget.give_back(small));
        let large = budget.room_for(400, 1);
        assert_eq!((0..20).filter(|_| budget.try_take(large)).count(), 2);
        (0..2).for_each(|_| budget.give_back(large));
        assert!(budget.try_take(budget.room_for(10, 7)), "a unit of seven");
        assert_eq!((0..20).filter(|_| budget.try_take(small)).count(), 3);
    }

    #[tokio::test]
    async fn the_clients_bound_of_requests_holds_over_all_nodes() {
        let client = Bound::new(1 << 20, 3);
        let nodes = [(); 2].map(|()| Budget::new(Bound::new(1 << 20, 2), client.clone()));
        let room = nodes[0].room_for(14, 1);
        let taken = nodes.each_ref().map(|node| (0..5).filter(|_| node.try_take(room)).count());
        assert_eq!(taken, [2, 1]);
    }

    #[tokio::test]
    async fn the_clients_share_goes_back_before_the_nodes() {
        let client = Bound::new(1 << 20, 100);
        let budget = Budget::new(Bound::new(1 << 20, 1), client.clone());
        let mut room = budget.room_for(14, 1);
        assert!(budget.try_take(room));
        budget.give_back(room.split_client());
        assert!(client.is_idle());
        assert!(!budget.try_one(14), "the node has still to answer it");
        budget.give_back(room);
        assert!(client.is_idle());
        assert!(budget.try_one(14));
    }
}
