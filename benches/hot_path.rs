//! The parts that every command passes: slot, encoding, route, decoding. `cargo bench --bench hot_path`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyslot::internals::{Router, decode};
use keyslot::{Command, Slot};

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

fn slot(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot");
    group.bench_function("of a 32-byte key", |b| b.iter(|| Slot::of_key(black_box(KEY))));
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

criterion_group!(benches, slot, command, route, codec);
criterion_main!(benches);
