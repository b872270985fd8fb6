//! Whatever a node answers about the cluster, it is no map or one that does not contradict itself.

use std::collections::HashSet;

use keyslot::internals::fuzz::{agree, decode_in, read_topology, repointed};
use keyslot::{NodeAddr, Role, Slot, SlotMap, Value};

/// An error text that goes into logs is short, however large the reply was.
const LONGEST_ERROR: usize = 2_000;

/// `bytes` are the replies to `CLUSTER SLOTS`, `CLUSTER SHARDS` and `CLUSTER INFO`; those that are missing are nil.
pub(crate) fn check(bytes: &[u8]) {
    let replies = decode_in(bytes, [], 1 << 20).replies;
    let mut replies = replies.into_iter().map(|(value, _)| value);
    let replies: [Value; 3] = std::array::from_fn(|_| replies.next().unwrap_or(Value::Nil));
    let asked = NodeAddr::new("asked", 7000);
    match read_topology(replies.clone(), &asked) {
        // The words of the node itself are told as they are.
        Err(_) if matches!(replies, [Value::Error(_), ..]) => {}
        Err(text) => assert!(text.len() <= LONGEST_ERROR, "{} bytes", text.len()),
        Ok(map) => {
            assert!(map.assigned_slots() > 0);
            assert_sound(&map);
            assert!(read_topology(replies, &asked).is_ok_and(|again| agree(&map, &again)));
            for node in [map.nodes().first(), map.nodes().last()].into_iter().flatten() {
                let slot = Slot::of_key(node.addr.host().as_bytes());
                let moved = repointed(&map, slot, &node.addr);
                assert_sound(&moved);
                assert_eq!(moved.primary_of(slot).map(|owner| &owner.addr), Some(&node.addr));
            }
        }
    }
}

/// A map that contradicts itself would send commands astray.
fn assert_sound(map: &SlotMap) {
    let mut addrs = HashSet::new();
    for node in map.nodes() {
        assert!(addrs.insert(&node.addr), "{} is in it twice: {map:?}", node.addr);
        assert!(node.addr.port() != 0 && !node.addr.host().is_empty(), "{map:?}");
    }
    let mut primaries = HashSet::new();
    for shard in map.shards() {
        let primary = shard.primary();
        assert!(primaries.insert(&primary.addr), "{} has two shards: {map:?}", primary.addr);
        assert!(shard.replicas().all(|replica| replica.addr != primary.addr), "{map:?}");
    }
    for node in map.nodes() {
        assert_eq!(primaries.contains(&node.addr), node.role == Role::Primary, "{map:?}");
    }
    // Ranges are long, so most slots have the owner of the one before.
    let mut known: Option<&NodeAddr> = None;
    for owner in Slot::all().filter_map(|slot| map.primary_of(slot)) {
        if !known.is_some_and(|known| std::ptr::eq(known, &owner.addr)) {
            assert!(primaries.contains(&owner.addr), "{} has slots and no shard: {map:?}", owner.addr);
            known = Some(&owner.addr);
        }
    }
}
