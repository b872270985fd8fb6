//! The parts that every command passes: slot, encoding, route, link, decoding. `cargo bench --bench hot_path`.

mod fixed_peer;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fixed_peer::FixedPeer;
use keyslot::internals::replies::Replies;
use keyslot::internals::{Router, decode};
use keyslot::{Client, Command, Commands, Slot, Value};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

fn slot(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot");
    group.bench_function("of a 32-byte key", |b| b.iter(|| Slot::of_key(black_box(KEY))));
    group.bench_function("of a 36-byte key", |b| {
        b.iter(|| Slot::of_key(black_box(b"0b7c93c6-4c5f-4e52-9b0e-6d1f0a8c2f11")));
    });
    group.bench_function("of a 64-byte key", |b| b.iter(|| Slot::of_key(black_box(&[b'k'; 64]))));
    group.bench_function("of a tagged key", |b| b.iter(|| Slot::of_key(black_box(b"{user:42}:profile"))));
    group.finish();
}

fn command(c: &mut Criterion) {
    let value = [b'v'; 64];
    let mut group = c.benchmark_group("command");
    group.bench_function("GET of a 32-byte key", |b| {
        b.iter(|| Command::new("GET").key(black_box(&KEY[..])));
    });
    group.bench_function("SET of a 32-byte key to 64 bytes", |b| {
        b.iter(|| Command::new("SET").key(black_box(&KEY[..])).arg(black_box(&value[..])));
    });
    group.finish();
}

fn route(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let _inside = runtime.enter();
    let router = Router::new(3);
    c.bench_function("route/from a 32-byte key to its link", |b| b.iter(|| router.route(black_box(KEY))));
}

fn codec(c: &mut Criterion) {
    let bulk = b"$64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n".to_vec();
    let mut hundred = b"*100\r\n".to_vec();
    (0..100).for_each(|_| hundred.extend_from_slice(&bulk));
    let mut group = c.benchmark_group("codec");
    for (name, bytes) in [
        ("+OK", b"+OK\r\n".to_vec()),
        (":integer", b":123456\r\n".to_vec()),
        ("64-byte string", bulk),
        ("array of 100 such strings", hundred),
        ("map of doubles", b"%2\r\n$1\r\na\r\n,1.5\r\n$1\r\nb\r\n,-2.25\r\n".to_vec()),
    ] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| decode(black_box(&bytes))));
    }
    group.finish();
}

/// Double the elements must not take much more than double the time. To be read in pairs: the list of a million
/// values has 40 MB, and from 32 MiB on glibc asks the system for fresh pages each time, which takes as long again as
/// the decoding; the smaller ones lie in pages that it has already.
fn large_arrays(c: &mut Criterion) {
    let mut group = c.benchmark_group("large array");
    group.sample_size(10);
    for (kind, element) in [("integers", ":123456\r\n"), ("16-byte strings", "$16\r\n0123456789abcdef\r\n")] {
        for count in [250_000, 500_000, 1_000_000, 2_000_000] {
            let bytes = format!("*{count}\r\n{}", element.repeat(count)).into_bytes();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(format!("{count} {kind}, 16 KiB at once"), |b| {
                let decode = |mut decoder: Replies| {
                    let mut reply = Value::Nil;
                    decoder.receive(black_box(&bytes), 16 << 10, |value| reply = value);
                    reply
                };
                // The reply is dropped outside of what is timed.
                b.iter_batched(Replies::default, decode, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

/// From a caller to a link's queue, to a peer that answers from memory, and back.
fn link(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let Ok(client) = runtime.block_on(FixedPeer::new(64).client()) else { return };
    let mut group = c.benchmark_group("link");
    group.bench_function("one GET", |b| {
        b.iter(|| runtime.block_on(client.get::<Value>(black_box(&KEY[..]))));
    });
    for callers in [16_usize, 256] {
        group.throughput(Throughput::Elements(callers as u64));
        group.bench_function(format!("{callers} GETs at once"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let get = |client: Client| async move { client.get::<Value>(black_box(&KEY[..])).await };
                    let gets: Vec<_> = (0..callers).map(|_| tokio::spawn(get(client.clone()))).collect();
                    for get in gets {
                        black_box(get.await.is_ok());
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, slot, command, route, codec, large_arrays, link);
criterion_main!(benches);
