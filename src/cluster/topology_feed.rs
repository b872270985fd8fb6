//! [`TopologyFeed`]: tells those who watch the cluster that it has changed, and how.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::stats::Counters;
use crate::topology::changes::{TopologyEvent, changes};
use crate::topology::slot_map::SlotMap;

/// The newest map for those who watch, until the client is closed. It keeps no list of events: whoever reads compares
/// the map that he was told last with the newest one, so a slow reader costs nothing and misses no result.
#[derive(Debug, Default)]
pub(crate) struct TopologyFeed {
    /// `None` before the first map and after the last.
    newest: watch::Sender<Option<Arc<SlotMap>>>,
}

impl TopologyFeed {
    /// Tells of a map that is in force now, in place of `old`.
    pub(super) fn publish(&self, old: &SlotMap, new: &Arc<SlotMap>, counters: &Counters) {
        counters.map_changed();
        counters.topology_changed(|| changes(old, new));
        self.newest.send_replace(Some(Arc::clone(new)));
    }

    /// Nothing will change any more: the readers come to their end.
    pub(super) fn close(&self) {
        self.newest.send_replace(None);
    }

    /// Changes from now on.
    pub(crate) fn watch(&self) -> TopologyChanges {
        let mut newest = self.newest.subscribe();
        let told = newest.borrow_and_update().clone();
        TopologyChanges { told, newest, events: VecDeque::new() }
    }
}

/// What one reader was not told yet.
#[derive(Debug)]
pub(crate) struct TopologyChanges {
    /// The map that the events so far lead to; `None` if the client was closed before.
    told: Option<Arc<SlotMap>>,
    newest: watch::Receiver<Option<Arc<SlotMap>>>,
    events: VecDeque<TopologyEvent>,
}

impl TopologyChanges {
    /// The next event; `None` once the client is closed or gone. Dropped before it resolves, it takes none.
    pub(crate) async fn next(&mut self) -> Option<TopologyEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let told = self.told.clone()?;
            self.newest.changed().await.ok()?;
            self.told = self.newest.borrow_and_update().clone();
            if let Some(newest) = &self.told {
                self.events.extend(changes(&told, newest));
            }
        }
    }
}
