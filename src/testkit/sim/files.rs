//! How many files this process may have open: a large cluster on loopback needs several for each node.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For a node: its listener, the lock of its port, and some connections with both their ends.
const EACH_NODE: u64 = 6;

/// What the rest of the process may need.
const OTHERS: u64 = 256;

/// Raises the process's own limit if the nodes need more and the system lets it. Where it does not, binding or
/// accepting says so.
pub(super) fn allow(nodes: usize) {
    let wanted = (nodes as u64).saturating_mul(EACH_NODE).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        let _best_effort = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
}
