//! [`Counters`]: what a client has seen. A command that is answered at once touches none of them but by its batch.
//!
//! The one place that counts, and the only one that calls `tracing` ([`trace`]) and `metrics` ([`meter`]): others say what
//! happened, here it is told to all who may want to know. Without its feature, either is a file of functions that do nothing.

pub(crate) mod failure;
pub(crate) mod hot_slots;
#[cfg_attr(not(feature = "metrics"), path = "stats/unmetered.rs")]
pub(crate) mod meter;
pub(crate) mod node_counters;
pub(crate) mod operation;
pub(crate) mod refresh_cause;
pub(crate) mod round_trips;
pub(crate) mod snapshot;
#[cfg_attr(not(feature = "tracing"), path = "stats/untraced.rs")]
pub(crate) mod trace;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Redirect};
use crate::node::NodeAddr;
use crate::stats::failure::ConnectFailure;
use crate::stats::hot_slots::HotSlots;
use crate::stats::node_counters::{Counter, NodeCounters};
use crate::stats::refresh_cause::{Causes, RefreshCause};
use crate::stats::snapshot::Stats;
use litemap::LiteMap;

/// Nodes of which figures are kept. More are only kept while they have connections: pods that come and go under new
/// addresses for months must not fill the memory.
const MOST_NODES: usize = 4096;

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Of what no node can be named for.
    total: NodeCounters,
    refreshes: Counter,
    refresh_causes: [Counter; RefreshCause::ALL.len()],
    disagreements: Counter,
    map_changes: Counter,
    hot_slots: Arc<HotSlots>,
    by_node: Mutex<LiteMap<NodeAddr, Arc<NodeCounters>>>,
    pub(crate) logins_renewed: Counter,
    pub(crate) logins_refused: Counter,
    redirected_to: Mutex<LiteMap<NodeAddr, u64>>,
}

impl Counters {
    fn nodes(&self) -> MutexGuard<'_, LiteMap<NodeAddr, Arc<NodeCounters>>> {
        // Nothing panics while it is held.
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn destinations(&self) -> MutexGuard<'_, LiteMap<NodeAddr, u64>> {
        // Nor while this one is.
        self.redirected_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of one node.
    pub(crate) fn node(&self, node: &NodeAddr) -> Arc<NodeCounters> {
        let mut nodes = self.nodes();
        if let Some(known) = nodes.get(node) {
            return Arc::clone(known);
        }
        if nodes.len() >= MOST_NODES {
            nodes.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        let new = Arc::new(NodeCounters::new(Arc::clone(&self.hot_slots)));
        nodes.insert(node.clone(), Arc::clone(&new));
        new
    }

    /// Notes one of each: of the client, and of the node.
    fn note(&self, node: &NodeAddr, note: impl Fn(&NodeCounters)) {
        note(&self.total);
        note(&self.node(node));
    }

    pub(crate) fn connected(&self, node: &NodeAddr, took: Duration) {
        self.note(node, |of| of.connects.add_one());
        trace::connected(node, took);
        meter::connected(node, took);
    }

    pub(crate) fn connect_failed(&self, node: &NodeAddr, failure: ConnectFailure<'_>) {
        self.note(node, |of| of.connect_failures.add_one());
        trace::connect_failed(node, failure);
        meter::connect_failed(node, failure);
    }

    /// A live connection was refused with the credentials that it was to go on with.
    pub(crate) fn login_refused(&self, node: &NodeAddr, code: &str) {
        self.logins_refused.add_one();
        trace::login_refused(node, code);
    }

    /// A link is connected that was before.
    pub(crate) fn reconnected(&self, node: &NodeAddr) {
        self.note(node, |of| of.reconnects.add_one());
        trace::reconnected(node);
    }

    /// A connection ended that the client wanted; `class` says why.
    pub(crate) fn disconnected(&self, node: &NodeAddr, class: &'static str) {
        self.note(node, |of| of.disconnects.add_one());
        trace::disconnected(node, class);
        meter::disconnected(node, class);
    }

    pub(crate) fn redirected(&self, redirect: &Redirect) {
        self.note(&redirect.from, |of| of.redirected(redirect.kind));
        {
            let mut by_node = self.destinations();
            if by_node.len() < MOST_NODES || by_node.contains_key(&redirect.to) {
                *by_node.entry(redirect.to.clone()).or_default() += 1;
            }
        }
        trace::redirected(redirect);
        meter::redirected(redirect);
    }

    /// An attempt beyond the first goes to `node`, if there is one, because of `why`: a code or a class.
    pub(crate) fn retried(&self, node: Option<&NodeAddr>, why: &str) {
        match node {
            Some(node) => self.note(node, |of| of.retries.add_one()),
            None => self.total.retries.add_one(),
        }
        trace::retried(node, why);
        meter::retried(node, why);
    }

    /// A request ended in this error.
    #[cold]
    pub(crate) fn failed(&self, error: &Error) {
        match error.node() {
            Some(node) => self.note(node, |of| of.failed(error.outcome())),
            None => self.total.failed(error.outcome()),
        }
        meter::failed(error);
    }

    /// A refresh begins; no cause at all means that it was due.
    pub(crate) fn refreshed(&self, causes: Causes) {
        self.refreshes.add_one();
        for (cause, counter) in RefreshCause::ALL.iter().zip(&self.refresh_causes) {
            if causes.has(*cause) {
                counter.add_one();
            }
        }
        trace::refreshed(causes);
        meter::refreshed(causes);
    }

    /// Nodes told different maps in one refresh.
    pub(crate) fn disagreed(&self) {
        self.disagreements.add_one();
        trace::disagreed();
        meter::disagreed();
    }

    /// A new slot map is in force.
    pub(crate) fn map_changed(&self) {
        self.map_changes.add_one();
        meter::map_changed();
    }

    /// The cluster has changed; only if somebody listens, `events` says how.
    #[expect(clippy::unused_self, reason = "as the others are called")]
    pub(crate) fn topology_changed<E: fmt::Display>(&self, events: impl FnOnce() -> Vec<E>) {
        trace::topology_changed(events);
    }

    pub(crate) fn hot_slots(&self) -> &HotSlots {
        &self.hot_slots
    }

    /// Everything but what the links know: what is under way.
    pub(crate) fn snapshot(&self) -> Stats {
        let total = self.total.snapshot();
        let causes = RefreshCause::ALL.iter().zip(&self.refresh_causes);
        Stats {
            moved: total.moved,
            asked: total.asked,
            retries: total.retries,
            connects: total.connects,
            reconnects: total.reconnects,
            connect_failures: total.connect_failures,
            disconnects: total.disconnects,
            errors: total.errors,
            refreshes: self.refreshes.get(),
            refresh_causes: causes
                .map(|(cause, counter)| (*cause, counter.get()))
                .filter(|(_, count)| *count > 0)
                .collect(),
            disagreements: self.disagreements.get(),
            map_changes: self.map_changes.get(),
            logins_renewed: self.logins_renewed.get(),
            logins_refused: self.logins_refused.get(),
            redirected_to: self.destinations().iter().map(|(node, count)| (node.clone(), *count)).collect(),
            nodes: self.nodes().iter().map(|(node, of)| (node.clone(), of.snapshot())).collect(),
        }
    }
}
