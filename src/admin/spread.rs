//! Which of some nodes become primaries, and who replicates whom: on different hosts if possible. Pure.

use std::collections::BTreeMap;

use crate::node::NodeAddr;

/// The roles of new nodes, by their places in the list that was given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Spread {
    /// In the order of their slots.
    pub(super) primaries: Vec<usize>,
    /// Replica and primary.
    pub(super) replicas: Vec<(usize, usize)>,
}

/// How badly the replicas lie: 0 is best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Score {
    /// Replicas on the host of their primary: gone together with it.
    pub(super) with_primary: usize,
    /// Replicas of one primary that share a host with another of its replicas.
    pub(super) together: usize,
}

/// Every group of `replicas + 1` nodes makes a shard; what is left over become further replicas.
pub(super) fn spread(nodes: &[NodeAddr], replicas: usize) -> Spread {
    let order = by_hosts_in_turn(nodes);
    let count = nodes.len() / replicas.saturating_add(1);
    let (primaries, rest) = order.split_at(count.min(order.len()));
    let mut spread = Spread { primaries: primaries.to_vec(), replicas: Vec::new() };
    for (number, replica) in rest.iter().enumerate() {
        if let Some(primary) = primaries.get(number % primaries.len().max(1)) {
            spread.replicas.push((*replica, *primary));
        }
    }
    improve(nodes, &mut spread);
    spread
}

/// The first node of each host, then the second of each, ...
fn by_hosts_in_turn(nodes: &[NodeAddr]) -> Vec<usize> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let turn = seen.entry(node.host()).or_default();
        order.push((*turn, place));
        *turn += 1;
    }
    order.sort_unstable();
    order.into_iter().map(|(_, place)| place).collect()
}

/// Exchanges the primaries of two replicas for as long as that makes it better.
fn improve(nodes: &[NodeAddr], spread: &mut Spread) {
    let mut best = score(nodes, spread);
    let mut improves = true;
    while improves && best > Score::default() {
        improves = false;
        for first in 0..spread.replicas.len() {
            for second in first + 1..spread.replicas.len() {
                exchange(spread, first, second);
                let now = score(nodes, spread);
                if now < best {
                    (best, improves) = (now, true);
                } else {
                    exchange(spread, first, second);
                }
            }
        }
    }
}

fn exchange(spread: &mut Spread, first: usize, second: usize) {
    let primary = |place: usize| spread.replicas.get(place).map(|(_, primary)| *primary);
    let (Some(of_first), Some(of_second)) = (primary(first), primary(second)) else { return };
    if let Some((_, primary)) = spread.replicas.get_mut(first) {
        *primary = of_second;
    }
    if let Some((_, primary)) = spread.replicas.get_mut(second) {
        *primary = of_first;
    }
}

/// How good it is.
pub(super) fn score(nodes: &[NodeAddr], spread: &Spread) -> Score {
    let host = |place: usize| nodes.get(place).map_or("", NodeAddr::host);
    let mut score = Score::default();
    let mut of_primary: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for (replica, primary) in &spread.replicas {
        score.with_primary += usize::from(host(*replica) == host(*primary));
        *of_primary.entry((*primary, host(*replica))).or_default() += 1;
    }
    score.together = of_primary.into_values().map(|replicas| replicas - 1).sum();
    score
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::{Score, score, spread};
    use crate::node::NodeAddr;

    fn nodes(hosts: &[&str]) -> Vec<NodeAddr> {
        hosts.iter().zip(7000..).map(|(host, port)| NodeAddr::new(*host, port)).collect()
    }

    #[test]
    fn replicas_are_on_other_hosts_than_their_primaries() {
        for (hosts, replicas, expected) in [
            (["a", "a", "b", "b", "c", "c"].as_slice(), 1, Score::default()),
            (&["a", "b", "c", "a", "b", "c"], 1, Score::default()),
            (&["a", "a", "a", "b", "b", "b"], 1, Score::default()),
            (&["a", "b", "c", "a", "b", "c", "a", "b", "c"], 2, Score::default()),
            (&["a", "a", "a", "a", "a", "a"], 1, Score { with_primary: 3, together: 0 }),
        ] {
            let nodes = nodes(hosts);
            let spread = spread(&nodes, replicas);
            assert_eq!(score(&nodes, &spread), expected, "{hosts:?} {spread:?}");
        }
    }

    #[test]
    fn what_is_left_over_becomes_further_replicas() {
        let spread = spread(&nodes(&["a", "b", "c", "d", "e", "f", "g"]), 1);
        assert_eq!((spread.primaries.len(), spread.replicas.len()), (3, 4));
    }

    proptest! {
        #[test]
        fn each_node_has_one_role_and_each_primary_its_replicas(
            hosts in prop::collection::vec("[a-d]", 3..24),
            replicas in 0..3_usize,
        ) {
            let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
            let nodes = nodes(&hosts);
            let spread = spread(&nodes, replicas);
            let mut places: Vec<usize> = spread.primaries.clone();
            places.extend(spread.replicas.iter().map(|(replica, _)| *replica));
            places.sort_unstable();
            if !spread.primaries.is_empty() {
                assert_eq!(places, (0..nodes.len()).collect::<Vec<_>>());
            }
            for primary in &spread.primaries {
                assert!(spread.replicas.iter().filter(|(_, of)| of == primary).count() >= replicas);
            }
        }
    }
}
