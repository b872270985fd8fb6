//! The topology of 1000 primaries and 1000 replicas: what discovery and refresh cost on one core. `cargo bench --bench topology`.
//!
//! Everything that is timed runs on this thread and waits for nothing, so its time is CPU time on a core that is idle
//! otherwise.

#[path = "../tests/large_cluster/mod.rs"]
mod large_cluster;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use keyslot::internals::decode;
use keyslot::internals::topology::Discoverer;
use tokio::runtime::{Builder, Runtime};

use large_cluster::{LargeCluster, Layout};

fn topology(c: &mut Criterion) {
    for (layout, name) in [(Layout::Contiguous, "1000 ranges"), (Layout::Fragmented, "16384 ranges")] {
        let answers = LargeCluster::new(layout).answers();
        let others = [1, 2].map(|turn| LargeCluster::new(layout).rotated(turn).answers());
        let mut group = c.benchmark_group(format!("topology of {name}"));
        group.throughput(Throughput::Bytes(answers.len() as u64)).sample_size(20);
        group.bench_function("decoding alone", |b| b.iter(|| decode(black_box(&answers))));
        group.bench_function("one view: decoding and reading", |b| {
            b.iter(|| Discoverer::view(black_box(&answers)));
        });
        group.bench_function("discovery: one view, its pools, the first install", |b| {
            b.iter_batched(
                Client::new,
                |client| {
                    client.refresh([&answers]);
                    client
                },
                BatchSize::PerIteration,
            );
        });
        let client = Client::new();
        client.refresh([&answers]);
        group.bench_function("refresh: three views that agree and bring nothing", |b| {
            b.iter(|| client.refresh([&answers].into_iter().chain(&others)));
        });
        group.finish();
    }
}

/// One client on a runtime of its own: the tasks of its links, which nothing ever polls here, go with it.
struct Client {
    discoverer: Discoverer,
    runtime: Option<Runtime>,
}

impl Client {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().ok();
        let inside = runtime.as_ref().map(Runtime::enter);
        let discoverer = Discoverer::new();
        drop(inside);
        Self { discoverer, runtime }
    }

    fn refresh<'a>(&self, answers: impl IntoIterator<Item = &'a Vec<u8>>) -> bool {
        let _inside = self.runtime.as_ref().map(Runtime::enter);
        let views = answers.into_iter().filter_map(|answers| Discoverer::view(black_box(answers)));
        self.discoverer.refresh(views.collect())
    }
}

criterion_group!(benches, topology);
criterion_main!(benches);
