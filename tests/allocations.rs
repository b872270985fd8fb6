//! What the hot path allocates, counted. Times are the benches' business.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

#[path = "../benches/fixed_peer/mod.rs"]
mod fixed_peer;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use fixed_peer::FixedPeer;
use keyslot::internals::replies::Replies;
use keyslot::internals::{Router, decode};
use keyslot::{Client, Command, Commands, Value};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

#[test]
fn routing_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let router = Router::new(3);
    // The first load of a thread sets up what the snapshot's readers share.
    assert!(router.route(KEY).is_some());
    let counted = measure(|| {
        assert!(router.route(KEY).is_some());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_small_command_is_encoded_without_an_allocation() {
    let value = [b'v'; 64];
    let counted = measure(|| {
        let command = Command::new("SET").key(&KEY[..]).arg(&value[..]);
        assert_eq!(command.name(), "SET");
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn an_integer_reply_allocates_no_more_than_its_list() {
    let counted = measure(|| {
        assert_eq!(decode(b":7\r\n").unwrap().len(), 1);
    });
    // The buffer of the bytes, and the list that they are returned in.
    assert!(counted.count_total <= 2, "{}", counted.count_total);
}

/// Heap only, as it was asked for: what an allocator adds for itself is not in it.
#[test]
fn a_million_kept_values_of_16_bytes_pin_nothing_but_their_bytes() {
    const COUNT: usize = 1_000_000;
    let replies = b"$16\r\n0123456789abcdef\r\n".repeat(1000);
    let mut kept = Vec::with_capacity(COUNT);
    let counted = measure(|| {
        let mut decoder = Replies::default();
        for _ in 0..COUNT / 1000 {
            decoder.receive(&replies, 5000, |value| kept.push(value));
        }
    });
    assert_eq!(kept.len(), COUNT);
    assert_eq!(
        counted.bytes_current,
        16 * COUNT as i64,
        "beside the {} bytes of a Value",
        size_of::<Value>()
    );

    let mut kept = None;
    let counted = measure(|| {
        let mut decoder = Replies::default();
        decoder.receive(format!("*{COUNT}\r\n").as_bytes(), usize::MAX, drop);
        for _ in 0..COUNT / 1000 {
            decoder.receive(&replies, 5000, |value| kept = Some(value));
        }
    });
    assert!(matches!(&kept, Some(Value::Array(items)) if items.len() == COUNT));
    assert_eq!(
        counted.bytes_current,
        (COUNT * (16 + size_of::<Value>())) as i64,
        "the list has no spare room"
    );
}

#[test]
fn a_large_value_is_received_into_the_one_buffer_that_it_keeps_however_it_arrives() {
    const LENGTH: usize = 64 << 10;
    let reply = [b"$65536\r\n".to_vec(), vec![b'v'; LENGTH], b"\r\n".to_vec()].concat();
    let of_three = LENGTH / 3 + 100;
    let of_a_hundred = LENGTH / 100 + 1;
    for piece in [usize::MAX, of_three, of_a_hundred] {
        let mut decoder = Replies::default();
        // The read buffer is made once and stays.
        decoder.receive(&reply, piece, drop);
        let mut kept = Vec::with_capacity(1);
        let counted = measure(|| decoder.receive(&reply, piece, |value| kept.push(value)));
        assert_eq!(kept[0].as_bytes().map(<[u8]>::len), Some(LENGTH));
        assert_eq!((counted.count_total, counted.bytes_total), (1, LENGTH as u64), "in pieces of {piece}");
    }
}

/// The second of two commands on a connection: what is made once is made.
fn second<F: Future>(
    runtime: &tokio::runtime::Runtime,
    mut command: impl FnMut() -> F,
) -> (AllocationInfo, F::Output) {
    runtime.block_on(command());
    let mut output = None;
    let counted = measure(|| output = Some(runtime.block_on(command())));
    (counted, output.unwrap())
}

fn connect(value: usize) -> (tokio::runtime::Runtime, Client) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(FixedPeer::new(value).client()).unwrap();
    (runtime, client)
}

/// Allocations of a command that have nothing to do with its value.
const OTHER: u64 = 2 << 10;

#[test]
fn a_large_value_is_copied_at_most_once_on_its_way_to_the_caller() {
    const LENGTH: usize = 64 << 10;
    let (runtime, client) = connect(LENGTH);
    let (counted, got) = second(&runtime, || client.get::<Bytes>("k"));
    assert_eq!(got.unwrap().len(), LENGTH);
    assert!(counted.bytes_total <= LENGTH as u64 + OTHER, "{}", counted.bytes_total);
    let (counted, got) = second(&runtime, || client.get::<String>("k"));
    assert_eq!(got.unwrap().len(), LENGTH);
    assert!(counted.bytes_total <= LENGTH as u64 + OTHER, "{}", counted.bytes_total);
}

#[test]
fn a_large_value_is_sent_from_where_it_lies_if_it_is_owned_and_copied_once_if_not() {
    const LENGTH: usize = 64 << 10;
    let value = vec![b'v'; LENGTH];
    let (runtime, client) = connect(1);
    // The value itself is made before its command is counted.
    let mut values = vec![Bytes::from(value.clone()), Bytes::from(value.clone())];
    let (counted, done) = second(&runtime, || client.set("k", values.pop().unwrap_or_default()));
    done.unwrap();
    assert!(counted.bytes_total <= OTHER, "{}", counted.bytes_total);
    let mut values = vec![value.clone(), value.clone()];
    let (counted, done) = second(&runtime, || client.set("k", values.pop().unwrap_or_default()));
    done.unwrap();
    assert!(counted.bytes_total <= OTHER, "{}", counted.bytes_total);
    let (counted, done) = second(&runtime, || client.set("k", &value[..]));
    done.unwrap();
    assert!(counted.bytes_total <= LENGTH as u64 + OTHER, "{}", counted.bytes_total);
}

#[test]
fn an_array_of_twice_the_elements_takes_twice_the_allocations() {
    for (element, per_element) in [(":7\r\n", 0), ("$5\r\nhello\r\n", 1)] {
        let decoded = |count: usize| {
            let reply = format!("*{count}\r\n{}", element.repeat(count)).into_bytes();
            let mut decoder = Replies::default();
            let counted = measure(|| decoder.receive(&reply, 7777, drop));
            assert!(counted.count_total < (per_element * count + 100) as u64, "{}", counted.count_total);
            counted.bytes_total as f64
        };
        let growth = decoded(1_000_000) / decoded(500_000);
        assert!((1.8..2.2).contains(&growth), "{growth} times the bytes");
    }
}
