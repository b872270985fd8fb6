//! [`Stats`]: counters of what happened off the usual path. A command that is answered at once touches none of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Redirect, RedirectKind};
use crate::node::NodeAddr;

/// What a client has seen since it was connected: a snapshot by [`Client::stats`](crate::Client::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// `MOVED` replies that were followed.
    pub moved: u64,
    /// `ASK` replies that were followed.
    pub asked: u64,
    /// Attempts beyond the first that were not redirects: after `TRYAGAIN`, `CLUSTERDOWN`, a lost connection, ...
    pub retries: u64,
    /// Connections that were made, the first ones included.
    pub connects: u64,
    /// Connections that ended while the client wanted them.
    pub disconnects: u64,
    /// Times that the cluster was asked for its topology.
    pub refreshes: u64,
    /// Slot maps that were installed because a refresh or a redirect brought something new.
    pub map_changes: u64,
    /// Live connections that have authenticated anew because their credentials changed.
    pub logins_renewed: u64,
    /// Those that tried to and were refused; they go on as the user that they were.
    pub logins_refused: u64,
    /// Redirects by the node that they pointed to.
    pub redirected_to: BTreeMap<NodeAddr, u64>,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    moved: AtomicU64,
    asked: AtomicU64,
    pub(crate) retries: Counter,
    pub(crate) connects: Counter,
    pub(crate) disconnects: Counter,
    pub(crate) refreshes: Counter,
    pub(crate) map_changes: Counter,
    pub(crate) logins_renewed: Counter,
    pub(crate) logins_refused: Counter,
    redirected_to: Mutex<BTreeMap<NodeAddr, u64>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn redirected(&self, redirect: &Redirect) {
        match redirect.kind {
            RedirectKind::Moved => &self.moved,
            RedirectKind::Ask => &self.asked,
        }
        .fetch_add(1, Ordering::Relaxed);
        let mut by_node = self.redirected_to.lock().unwrap_or_else(PoisonError::into_inner);
        *by_node.entry(redirect.to.clone()).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            moved: self.moved.load(Ordering::Relaxed),
            asked: self.asked.load(Ordering::Relaxed),
            retries: self.retries.get(),
            connects: self.connects.get(),
            disconnects: self.disconnects.get(),
            refreshes: self.refreshes.get(),
            map_changes: self.map_changes.get(),
            logins_renewed: self.logins_renewed.get(),
            logins_refused: self.logins_refused.get(),
            redirected_to: self.redirected_to.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
