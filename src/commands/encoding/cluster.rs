use crate::commands::encoding::{Typed, encodes};
use crate::slot::Slot;

#[test]
fn questions_about_the_cluster_are_encoded_as_the_servers_read_them() {
    let slot = Slot::of_key(b"foo");
    encodes! {
        Typed::cluster_info() => "CLUSTER INFO";
        Typed::cluster_nodes() => "CLUSTER NODES";
        Typed::cluster_shards() => "CLUSTER SHARDS";
        Typed::cluster_slots() => "CLUSTER SLOTS";
        Typed::cluster_links() => "CLUSTER LINKS";
        Typed::cluster_myid() => "CLUSTER MYID";
        Typed::cluster_myshardid() => "CLUSTER MYSHARDID";
        Typed::cluster_replicas("id") => "CLUSTER REPLICAS id";
        Typed::cluster_keyslot("foo") => "CLUSTER KEYSLOT foo";
        Typed::cluster_countkeysinslot(slot) => "CLUSTER COUNTKEYSINSLOT 12182";
        Typed::cluster_getkeysinslot(slot, 5) => "CLUSTER GETKEYSINSLOT 12182 5";
        Typed::cluster_count_failure_reports("id") => "CLUSTER COUNT-FAILURE-REPORTS id";
        Typed::cluster_slot_stats(slot, slot) => "CLUSTER SLOT-STATS SLOTSRANGE 12182 12182";
        Typed::cluster_getslotmigrations() => "CLUSTER GETSLOTMIGRATIONS";
    }
    assert_eq!(Typed::cluster_countkeysinslot(slot).marked_slot(), Some(slot));
}
