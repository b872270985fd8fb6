//! What a node makes of another's view: who is a member, and whose claim of a slot is the newest.

use std::collections::{BTreeMap, BTreeSet};

use crate::testkit::sim::view::{NodeIndex, Role, View};

/// What the one who listens has of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener<'a> {
    /// Nobody in particular, if several nodes that believe the same listen.
    pub(super) node: Option<NodeIndex>,
    /// Slots that it imports, with where from. Their owner is changed by `SETSLOT` alone.
    pub(super) importing: &'a BTreeMap<u16, NodeIndex>,
    /// Those whom it was told to forget.
    pub(super) banned: &'a BTreeSet<NodeIndex>,
    pub(super) imports: Imports,
}

/// What a claim does to a slot that is being imported, when the source's shard has failed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Imports {
    /// Redis 6.2 and 7.0: ignored, and a slot whose owner is no primary any more has none.
    Orphaned,
    /// Redis 8.2: ignored.
    Kept,
    /// Valkey: heeded.
    Followed,
}

/// `mine`, with what is newer in `news`. How members are judged is no hearsay, so it stays.
pub(super) fn merge(mine: &View, news: &View, listener: Listener<'_>) -> View {
    let mut merged = mine.clone();
    merged.current_epoch = mine.current_epoch.max(news.current_epoch);
    for (node, theirs) in news.members() {
        if listener.banned.contains(node) || listener.node == Some(*node) {
            continue;
        }
        match mine.member(*node) {
            None => merged.set_member(*node, theirs.clone()),
            Some(known) if known.version < theirs.version => {
                let mut newer = theirs.clone();
                newer.judgement = known.judgement;
                merged.set_member(*node, newer);
            }
            Some(_) => {}
        }
    }
    let is_primary = |view: &View, node: NodeIndex| view.role(node) == Some(Role::Primary);
    for ((slot, ours), (_, theirs)) in mine.owners().zip(news.owners()) {
        let Some(theirs) = theirs else { continue };
        let is_imported = listener.importing.contains_key(&slot) && listener.imports != Imports::Followed;
        if ours == Some(theirs)
            // Nobody becomes an owner by hearsay.
            || listener.node == Some(theirs)
            || is_imported
            || !is_primary(news, theirs)
            || merged.member(theirs).is_none()
        {
            continue;
        }
        let is_newer = match ours {
            None => true,
            Some(ours) => !is_primary(&merged, ours) || news.epoch_of(theirs) > merged.epoch_of(ours),
        };
        if is_newer {
            merged.set_owner(slot, Some(theirs));
        }
    }
    if listener.imports == Imports::Orphaned {
        for slot in listener.importing.keys() {
            if merged.owner(*slot).is_some_and(|owner| !is_primary(&merged, owner)) {
                merged.set_owner(*slot, None);
            }
        }
    }
    merged
}

/// Whose replica `node` becomes when its shard has lost its last slot to another: `cluster-allow-replica-migration`.
pub(super) fn winner(before: &View, after: &View, node: NodeIndex) -> Option<NodeIndex> {
    let primary = after.primary_of(node);
    let (first, _) = before.ranges_of(primary).first()?;
    if after.slots_of(primary) > 0 {
        return None;
    }
    let winner = after.owner(*first).filter(|winner| after.role(*winner) == Some(Role::Primary));
    winner.filter(|winner| *winner != node && *winner != primary)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Imports, Listener, merge, winner};
    use crate::slot::Slot;
    use crate::testkit::sim::view::{Judgement, Member, NodeIndex, Role, View};

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);
    /// The replica of A.
    const R: NodeIndex = NodeIndex(2);

    fn pair() -> View {
        let mut view = View::alone(A);
        view.set_member(A, Member::new(Role::Primary, 1));
        view.set_member(B, Member::new(Role::Primary, 2));
        view.set_member(R, Member::new(Role::ReplicaOf(A), 1));
        for slot in Slot::all() {
            view.set_owner(slot.get(), Some(if slot.get() < 8192 { A } else { B }));
        }
        view.current_epoch = 2;
        view
    }

    fn promoted() -> View {
        let mut view = pair();
        view.declare(R, Role::Primary, 3);
        (0..8192).for_each(|slot| view.set_owner(slot, Some(R)));
        view
    }

    fn plain(node: Option<NodeIndex>) -> Listener<'static> {
        static NONE: BTreeMap<u16, NodeIndex> = BTreeMap::new();
        static NOBODY: BTreeSet<NodeIndex> = BTreeSet::new();
        Listener { node, importing: &NONE, banned: &NOBODY, imports: Imports::Kept }
    }

    #[test]
    fn the_newer_claim_wins_whoever_hears_of_it_first() {
        let (old, new) = (pair(), promoted());
        assert_eq!(merge(&old, &new, plain(None)), new);
        assert_eq!(merge(&new, &old, plain(None)), new);
        assert_eq!(merge(&old, &new, plain(None)).current_epoch, 3);
    }

    #[test]
    fn judgements_are_nobody_elses() {
        let (mut old, new) = (pair(), promoted());
        old.judge(B, Judgement::Suspected);
        assert_eq!(merge(&old, &new, plain(None)).judgement(B), Judgement::Suspected);
        assert_eq!(merge(&new, &old, plain(None)).judgement(B), Judgement::Alive);
    }

    #[test]
    fn who_gave_a_slot_away_does_not_get_it_back_by_hearsay() {
        let (old, mut mine) = (pair(), pair());
        mine.set_owner(7, None);
        assert_eq!(merge(&mine, &old, plain(Some(A))).owner(7), None);
        assert_eq!(merge(&mine, &old, plain(Some(B))).owner(7), Some(A));
    }

    #[test]
    fn an_importing_node_leaves_the_owner_as_it_is_except_on_valkey() {
        let (old, mut new) = (pair(), promoted());
        new.declare(A, Role::ReplicaOf(R), 3);
        let importing = BTreeMap::from([(7, A)]);
        let after = |imports| {
            let listener = Listener { importing: &importing, imports, ..plain(Some(B)) };
            merge(&old, &new, listener)
        };
        assert_eq!(after(Imports::Orphaned).owner(7), None);
        assert_eq!(after(Imports::Kept).owner(7), Some(A));
        assert_eq!(after(Imports::Followed).owner(7), Some(R));
        assert_eq!(after(Imports::Kept).owner(8), Some(R));
    }

    #[test]
    fn a_shard_without_slots_follows_who_took_the_last_one() {
        let (old, new) = (pair(), promoted());
        assert_eq!(winner(&old, &new, A), Some(R));
        assert_eq!(winner(&old, &new, R), None);
        assert_eq!(winner(&old, &new, B), None);
        let mut partly = pair();
        partly.set_owner(0, Some(B));
        assert_eq!(winner(&old, &partly, A), None);
    }

    #[test]
    fn the_forgotten_stay_forgotten() {
        let (mut mine, old) = (pair(), pair());
        mine.forget(R);
        let banned = BTreeSet::from([R]);
        assert!(merge(&mine, &old, Listener { banned: &banned, ..plain(None) }).member(R).is_none());
        assert!(merge(&mine, &old, plain(None)).member(R).is_some());
    }
}
