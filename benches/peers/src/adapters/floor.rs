//! Not a client: a blocking loop that does the least a cluster client can, on the same thread. For each batch: one
//! CRC16 for each key, one write and one read for each node, replies counted and split. No time-outs, no redirects, no
//! sharing.
//!
//! It blocks the runtime's thread, so only workloads of one task make sense.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::adapter::{Adapter, Bulk, Key, Result, Value};
use crate::wire::{Layout, Wire};

#[derive(Clone)]
pub(crate) struct Floor(Arc<Mutex<Inner>>);

struct Inner {
    layout: Layout,
    wires: Vec<Wire>,
    /// For each command of a batch, its node.
    owners: Vec<usize>,
}

impl Inner {
    /// Queues a command for each key at its node, writes all, then reads all.
    fn batch(&mut self, keys: &[Key], command: impl Fn(&mut Wire, Key)) -> Result<Vec<Option<Bytes>>> {
        self.owners.clear();
        for key in keys {
            let owner = self.layout.owner(key);
            self.owners.push(owner);
            command(self.wires.get_mut(owner).ok_or("no such node")?, key);
        }
        for wire in &mut self.wires {
            wire.write()?;
        }
        let mut replies = Vec::with_capacity(self.wires.len());
        for wire in &mut self.wires {
            replies.push((wire.read()?, 0));
        }
        let in_order = self.owners.iter().map(|owner| {
            let (replies, next) = replies.get_mut(*owner)?;
            *next += 1;
            replies.at(*next - 1)
        });
        let all = in_order.collect();
        for (wire, (replies, _)) in self.wires.iter_mut().zip(replies) {
            wire.recycle(replies);
        }
        Ok(all)
    }

    fn single(&mut self, key: Key, args: &[&[u8]]) -> Result<Option<Bytes>> {
        let owner = self.layout.owner(key);
        let wire = self.wires.get_mut(owner).ok_or("no such node")?;
        wire.queue(args);
        wire.write()?;
        let replies = wire.read()?;
        let reply = replies.at(0);
        wire.recycle(replies);
        Ok(reply)
    }
}

impl Floor {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Adapter for Floor {
    type Reply = Bytes;

    const BULK: Bulk = Bulk { tasks: 1, batch: 3000 };
    const EMULATED: &'static [(&'static str, &'static str)] =
        &[("mget", "a GET for each key, which is what nodes accept")];

    async fn connect(seeds: &[String]) -> Result<Self> {
        let layout = Layout::of(seeds)?;
        let wires = layout.primaries.iter().map(|addr| Wire::connect(addr)).collect::<Result<_>>()?;
        Ok(Self(Arc::new(Mutex::new(Inner { layout, wires, owners: Vec::new() }))))
    }

    async fn get(&mut self, key: Key) -> Result<Option<Bytes>> {
        self.with(|inner| inner.single(key, &[b"GET", key.as_bytes()]))
    }

    async fn set(&mut self, key: Key, value: Value) -> Result<()> {
        let reply = self.with(|inner| inner.single(key, &[b"SET", key.as_bytes(), value]))?;
        if reply.as_deref() == Some(b"OK") { Ok(()) } else { Err("SET was not answered with OK".into()) }
    }

    async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        self.with(|inner| inner.batch(keys, |wire, key| wire.queue(&[b"GET", key.as_bytes()])))
    }

    async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        self.pipeline_get(keys).await
    }

    async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
        let replies =
            self.with(|inner| inner.batch(keys, |wire, key| wire.queue(&[b"SET", key.as_bytes(), value])))?;
        Ok(replies.iter().filter(|reply| reply.as_deref() == Some(b"OK")).count())
    }
}
