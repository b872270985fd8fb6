//! Which slots go from whom to whom, so that each has as many as it should. Pure.

use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// All slots divided by weights, to the nearest slot; what is left over goes to the largest remainders.
pub(super) fn by_weight(slots: usize, weights: &[u32]) -> Vec<usize> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let all = u64::try_from(slots).unwrap_or(0);
    if total == 0 {
        return vec![0; weights.len()];
    }
    let whole = |weight: u32| all * u64::from(weight) / total;
    let mut shares: Vec<u64> = weights.iter().map(|weight| whole(*weight)).collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    let rest = |place: &usize| weights.get(*place).map_or(0, |weight| all * u64::from(*weight) % total);
    by_rest.sort_by_key(|place| std::cmp::Reverse(rest(place)));
    let missing = all - shares.iter().sum::<u64>();
    for place in by_rest.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
        if let Some(share) = shares.get_mut(place) {
            *share += 1;
        }
    }
    shares.into_iter().map(|share| usize::try_from(share).unwrap_or(usize::MAX)).collect()
}

/// So many slots in a row for each of them, rounded as `redis-cli --cluster create` does: 5461, 5462 and 5461 for three.
pub(super) fn in_rows(nodes: usize) -> Vec<SlotSet> {
    let end = |place: usize| {
        let slots = usize::from(Slot::COUNT);
        // To the nearest, half a slot up.
        u16::try_from((2 * place * slots + nodes) / (2 * nodes.max(1))).unwrap_or(Slot::COUNT)
    };
    (0..nodes).map(|place| (end(place)..end(place + 1)).filter_map(Slot::new).collect()).collect()
}

/// `count` slots of a set: whole small ranges first, then the end of a larger one, so that few ranges come of it.
pub(super) fn take(from: &SlotSet, count: usize) -> SlotSet {
    let mut ranges = from.ranges();
    ranges.sort_by_key(|range| range.last.get() - range.first.get());
    let mut taken = SlotSet::default();
    let mut missing = count;
    for range in ranges {
        let range: Vec<Slot> = (range.first.get()..=range.last.get()).filter_map(Slot::new).collect();
        let part = range.len().min(missing);
        taken.extend(range.into_iter().rev().take(part));
        missing -= part;
    }
    taken
}

/// Slots that go from one place to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) slots: SlotSet,
}

/// What must go where so that each has as many as wanted: from those with the most too many to those with the most too
/// few. `want` must add up to what there is, or less may move.
pub(super) fn flows(have: &[SlotSet], want: &[usize]) -> Vec<Flow> {
    let mut rest: Vec<SlotSet> = have.to_vec();
    let mut missing: Vec<(usize, usize)> = have
        .iter()
        .zip(want)
        .enumerate()
        .filter_map(|(place, (have, want))| Some((place, want.checked_sub(have.len()).filter(|it| *it > 0)?)))
        .collect();
    missing.sort_by_key(|(_, missing)| std::cmp::Reverse(*missing));
    let mut spare: Vec<(usize, usize)> = have
        .iter()
        .zip(want)
        .enumerate()
        .filter_map(|(place, (have, want))| {
            Some((place, have.len().checked_sub(*want).filter(|it| *it > 0)?))
        })
        .collect();
    spare.sort_by_key(|(_, spare)| std::cmp::Reverse(*spare));
    let mut flows = Vec::new();
    let mut donors = spare.into_iter();
    let mut donor = donors.next();
    for (to, mut missing) in missing {
        while missing > 0
            && let Some((from, spare)) = donor
        {
            let part = spare.min(missing);
            if let Some(own) = rest.get_mut(from) {
                let slots = take(own, part);
                *own = own.clone().without(&slots);
                flows.push(Flow { from, to, slots });
            }
            missing -= part;
            donor = if spare > part { Some((from, spare - part)) } else { donors.next() };
        }
    }
    flows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop, proptest};

    use super::{by_weight, flows, in_rows, take};
    use crate::admin::view::tests::slots;
    use crate::topology::slot_set::SlotSet;

    #[test]
    fn weights_divide_all_slots() {
        assert_eq!(by_weight(16384, &[1, 1, 1]), [5462, 5461, 5461]);
        assert_eq!(by_weight(16384, &[1, 0, 3]), [4096, 0, 12288]);
        assert_eq!(by_weight(16384, &[0]), [0]);
    }

    #[test]
    fn three_nodes_get_the_rows_that_redis_cli_gives() {
        let rows: Vec<String> = in_rows(3).iter().map(ToString::to_string).collect();
        assert_eq!(rows, ["0-5460", "5461-10922", "10923-16383"]);
        for nodes in [1, 2, 7, 1000] {
            let rows = in_rows(nodes);
            assert_eq!(rows.iter().map(SlotSet::len).sum::<usize>(), 16384);
        }
    }

    #[test]
    fn few_ranges_come_of_what_is_taken() {
        assert_eq!(take(&slots("0-99,200,300-301"), 5).to_string(), "98-99,200,300-301");
        assert_eq!(take(&slots("0-99"), 100).len(), 100);
        assert_eq!(take(&slots("0-9"), 100).len(), 10);
    }

    #[test]
    fn slots_go_from_those_who_have_too_many_to_those_who_have_too_few() {
        let have = [slots("0-8191"), slots("8192-16383"), slots("")];
        let flows = flows(&have, &[5462, 5461, 5461]);
        let shown: Vec<String> =
            flows.iter().map(|flow| format!("{}>{} {}", flow.from, flow.to, flow.slots)).collect();
        assert_eq!(shown, ["1>2 13653-16383", "0>2 5462-8191"]);
    }

    /// Some owners of all slots.
    fn owners() -> impl Strategy<Value = Vec<SlotSet>> {
        (2..8_usize, prop::collection::vec(0..16384_u16, 0..20)).prop_flat_map(|(nodes, mut cuts)| {
            cuts.sort_unstable();
            cuts.dedup();
            let parts = cuts.len() + 1;
            (Just(nodes), Just(cuts), prop::collection::vec(0..nodes, parts)).prop_map(
                |(nodes, cuts, owners)| {
                    let mut have = vec![SlotSet::default(); nodes];
                    for slot in SlotSet::all().iter() {
                        let part = cuts.partition_point(|cut| *cut <= slot.get());
                        have[owners[part]].insert(slot);
                    }
                    have
                },
            )
        })
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn after_the_flows_each_has_what_it_should_and_no_slot_goes_twice(
            have in owners(),
            weights in prop::collection::vec(0..5_u32, 8),
        ) {
            let mut weights = weights[..have.len()].to_vec();
            weights[0] += 1;
            let want = by_weight(16384, &weights);
            assert_eq!(want.iter().sum::<usize>(), 16384);
            let mut after = have.clone();
            for flow in flows(&have, &want) {
                assert!(flow.slots.iter().all(|slot| after[flow.from].contains(slot)));
                after[flow.from] = after[flow.from].clone().without(&flow.slots);
                after[flow.to].extend(flow.slots.iter());
            }
            assert_eq!(after.iter().map(SlotSet::len).collect::<Vec<_>>(), want);
        }
    }
}
