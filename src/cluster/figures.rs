//! What [`Client::stats`](crate::Client::stats) tells: what was counted, and what is under way now.

use crate::cluster::core::Core;
use crate::cluster::job::Job;
use crate::stats::hot_slots::HotSlot;
use crate::stats::snapshot::Stats;
use crate::topology::slot_map::SlotMap;

pub(crate) fn stats(core: &Core) -> Stats {
    let mut stats = core.counters.snapshot();
    for (addr, pool) in core.routes().nodes_with_pools() {
        let node = stats.nodes.entry(addr.clone()).or_default();
        (node.in_flight, node.queued_bytes, node.exclusive_in_use) = pool.load();
    }
    stats
}

pub(crate) fn hot_slots(core: &Core, most: usize) -> Vec<HotSlot> {
    let routes = core.routes();
    core.counters.hot_slots().top(most, |slot| Some(routes.map().primary_of(slot)?.addr.clone()))
}

/// Counts the jobs that have ended in an error.
pub(super) fn count_errors(core: &Core, jobs: &[Job<'_>]) {
    for error in jobs.iter().filter_map(|job| job.result()?.as_ref().err()) {
        core.counters.failed(error);
    }
}

/// Notes it if nodes disagree.
pub(super) fn note_disagreement(core: &Core, views: &[SlotMap]) {
    if disagree(views) {
        core.counters.disagreed();
    }
}

/// Whether nodes that know the same epoch tell different maps: one of them is behind, or lies.
fn disagree(views: &[SlotMap]) -> bool {
    let newest = views.iter().map(SlotMap::epoch).max();
    let mut newest = views.iter().filter(|view| Some(view.epoch()) == newest);
    newest.next().is_some_and(|first| newest.any(|view| !view.agrees_with(first)))
}

#[cfg(test)]
mod tests {
    use super::disagree;
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_map::{Node, SlotMap};

    fn map(epoch: u64, port: u16) -> SlotMap {
        let mut map = SlotMap::empty(epoch);
        let node = map.add_node(Node::primary(NodeAddr::new("h", port), None)).unwrap();
        map.add_shard(node);
        Slot::all().for_each(|slot| map.assign(slot, node));
        map
    }

    #[test]
    fn only_nodes_of_the_newest_epoch_can_disagree() {
        assert!(!disagree(&[]));
        assert!(!disagree(&[map(1, 1)]));
        assert!(!disagree(&[map(1, 1), map(1, 1)]));
        assert!(disagree(&[map(2, 1), map(2, 1), map(2, 2)]));
        assert!(!disagree(&[map(1, 1), map(2, 2)]), "one is behind, and says so");
        assert!(!disagree(&[map(1, 1), map(2, 2), map(1, 3)]));
    }
}
