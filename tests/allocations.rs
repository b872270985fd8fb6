//! What the hot path allocates, counted. Times are the benches' business.

use keyslot::Command;
use keyslot::internals::{Router, decode};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

#[test]
fn routing_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let router = Router::new(3);
    // The first load of a thread sets up what the snapshot's readers share.
    assert!(router.route(KEY).is_some());
    let counted = allocation_counter::measure(|| {
        assert!(router.route(KEY).is_some());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_small_command_is_encoded_without_an_allocation() {
    let value = [b'v'; 64];
    let counted = allocation_counter::measure(|| {
        let command = Command::new("SET").key(&KEY[..]).arg(&value[..]);
        assert_eq!(command.name(), "SET");
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_integer_reply_allocates_no_more_than_its_list() {
    let counted = allocation_counter::measure(|| {
        assert_eq!(decode(b":7\r\n").unwrap().len(), 1);
    });
    // The buffer of the bytes, and the list that they are returned in.
    assert!(counted.count_total <= 2, "{}", counted.count_total);
}
