//! [`NodeCounters`]: what a client has seen of one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Outcome, RedirectKind};
use crate::node::NodeAddr;
use crate::stats::hot_slots::HotSlots;
use crate::stats::meter::ConnectionGauge;
use crate::stats::round_trips::RoundTripCounters;
use crate::stats::snapshot::{ErrorCounts, NodeStats};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Written by the tasks of the node's links, once for each batch that they write, and by whoever meets something unusual.
#[derive(Debug, Default)]
pub(crate) struct NodeCounters {
    pub(crate) requests: Counter,
    pub(crate) writes: Counter,
    pub(crate) round_trips: RoundTripCounters,
    /// Shared by all nodes of the client.
    pub(crate) hot_slots: Arc<HotSlots>,
    pub(super) connects: Counter,
    pub(super) reconnects: Counter,
    pub(super) connect_failures: Counter,
    pub(super) disconnects: Counter,
    pub(super) retries: Counter,
    closed: Counter,
    opened: Counter,
    moved: Counter,
    asked: Counter,
    not_sent: Counter,
    maybe_executed: Counter,
    rejected: Counter,
}

impl NodeCounters {
    pub(super) fn new(hot_slots: Arc<HotSlots>) -> Self {
        Self { hot_slots, ..Self::default() }
    }

    pub(super) fn redirected(&self, kind: RedirectKind) {
        match kind {
            RedirectKind::Moved => self.moved.add_one(),
            RedirectKind::Ask => self.asked.add_one(),
        }
    }

    pub(super) fn failed(&self, outcome: Outcome) {
        match outcome {
            Outcome::NotSent => self.not_sent.add_one(),
            Outcome::MaybeExecuted => self.maybe_executed.add_one(),
            Outcome::Rejected => self.rejected.add_one(),
        }
    }

    pub(super) fn snapshot(&self) -> NodeStats {
        NodeStats {
            connections: self.opened.get().saturating_sub(self.closed.get()),
            requests: self.requests.get(),
            writes: self.writes.get(),
            round_trips: self.round_trips.snapshot(),
            moved: self.moved.get(),
            asked: self.asked.get(),
            retries: self.retries.get(),
            connects: self.connects.get(),
            reconnects: self.reconnects.get(),
            connect_failures: self.connect_failures.get(),
            disconnects: self.disconnects.get(),
            errors: ErrorCounts {
                not_sent: self.not_sent.get(),
                maybe_executed: self.maybe_executed.get(),
                rejected: self.rejected.get(),
            },
            ..NodeStats::default()
        }
    }
}

/// Counts a connection as open for as long as it lives. The default counts nothing.
#[derive(Debug, Default)]
pub(crate) struct OpenConnection(
    #[expect(dead_code, reason = "it counts when it is dropped")] Option<Box<Open>>,
);

#[derive(Debug)]
struct Open {
    of: Arc<NodeCounters>,
    #[expect(dead_code, reason = "it shows the connection for as long as it lives")]
    gauge: ConnectionGauge,
}

impl OpenConnection {
    pub(crate) fn new(of: Arc<NodeCounters>, node: &NodeAddr) -> Self {
        of.opened.add_one();
        Self(Some(Box::new(Open { of, gauge: ConnectionGauge::new(node) })))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.of.closed.add_one();
    }
}
