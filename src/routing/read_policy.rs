//! [`choose`]: which node of a shard answers a read.

use crate::config::read_from::ReadFrom;

/// What is known of one node of the shard when a read is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) is_primary: bool,
    /// The cluster calls it online, and it has answered when it was asked last.
    pub(crate) is_usable: bool,
    /// In the zone that the policy names.
    pub(crate) is_in_zone: bool,
    /// What a command there is expected to take, in no particular unit.
    pub(crate) cost: u64,
}

/// The place of the node that answers a read, among `nodes`; `None` if there is none for now. `turn` is another number for
/// each read: equals are taken by turns.
pub(crate) fn choose(
    policy: &ReadFrom,
    nodes: impl Iterator<Item = Candidate> + Clone,
    turn: usize,
) -> Option<usize> {
    let by_turns = |is_one: &dyn Fn(&Candidate) -> bool| {
        let fitting = || nodes.clone().enumerate().filter(|(_, node)| is_one(node));
        let count = fitting().count();
        fitting().nth(turn.checked_rem(count)?).map(|(place, _)| place)
    };
    let primary = || by_turns(&|node| node.is_primary);
    let replica = || by_turns(&|node| !node.is_primary && node.is_usable);
    match policy {
        ReadFrom::Primary => primary(),
        ReadFrom::Replica => replica(),
        ReadFrom::PreferReplica => replica().or_else(primary),
        ReadFrom::Nearest => {
            let least = nodes.clone().filter(|node| node.is_usable).map(|node| node.cost).min();
            by_turns(&|node| node.is_usable && Some(node.cost) == least).or_else(primary)
        }
        ReadFrom::Zone(_) => by_turns(&|node| !node.is_primary && node.is_usable && node.is_in_zone)
            .or_else(|| by_turns(&|node| node.is_primary && node.is_usable && node.is_in_zone))
            .or_else(replica)
            .or_else(primary),
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, choose};
    use crate::config::read_from::ReadFrom;

    const PRIMARY: Candidate = Candidate { is_primary: true, is_usable: true, is_in_zone: false, cost: 5 };
    const REPLICA: Candidate = Candidate { is_primary: false, ..PRIMARY };

    fn turns(policy: &ReadFrom, nodes: &[Candidate]) -> Vec<Option<usize>> {
        (0..4).map(|turn| choose(policy, nodes.iter().copied(), turn)).collect()
    }

    #[test]
    fn replicas_are_taken_by_turns_and_only_usable_ones() {
        let down = Candidate { is_usable: false, ..REPLICA };
        let nodes = [PRIMARY, REPLICA, down, REPLICA];
        for policy in [ReadFrom::Replica, ReadFrom::PreferReplica] {
            assert_eq!(turns(&policy, &nodes), [Some(1), Some(3), Some(1), Some(3)], "{policy}");
        }
        assert_eq!(turns(&ReadFrom::Primary, &nodes), [Some(0); 4]);
        assert_eq!(turns(&ReadFrom::Replica, &[PRIMARY, down]), [None; 4]);
        assert_eq!(turns(&ReadFrom::PreferReplica, &[PRIMARY, down]), [Some(0); 4]);
    }

    #[test]
    fn the_nearest_is_the_cheapest_of_all() {
        let near = Candidate { cost: 1, ..REPLICA };
        let dead = Candidate { cost: 0, is_usable: false, ..REPLICA };
        assert_eq!(turns(&ReadFrom::Nearest, &[PRIMARY, REPLICA, near, dead]), [Some(2); 4]);
        assert_eq!(turns(&ReadFrom::Nearest, &[PRIMARY, REPLICA]), [Some(0), Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn the_own_zone_comes_first_and_within_it_the_replicas() {
        let zone = ReadFrom::zone("here");
        let here = |node: Candidate| Candidate { is_in_zone: true, ..node };
        assert_eq!(turns(&zone, &[here(PRIMARY), REPLICA, here(REPLICA)]), [Some(2); 4]);
        assert_eq!(turns(&zone, &[here(PRIMARY), REPLICA]), [Some(0); 4]);
        assert_eq!(turns(&zone, &[PRIMARY, REPLICA]), [Some(1); 4]);
        assert_eq!(turns(&zone, &[PRIMARY]), [Some(0); 4]);
    }
}
