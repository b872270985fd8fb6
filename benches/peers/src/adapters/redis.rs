//! redis-rs: one `ClusterConnection`, cloned for each task.
//!
//! Its pipelines must stay in one slot. For others the commands are grouped by node here, by a slot map of our own, and
//! each group is sent to its node by `route_pipeline`, all of them side by side: the best that its interface allows.
//! `MGET` may span slots.

use std::sync::Arc;

use futures::future::try_join_all;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{AsyncCommands, Pipeline, Value as Reply, from_redis_value, pipe};

use crate::adapter::{Adapter, Bulk, Key, Result, Value};
use crate::wire::{Layout, slot};

const BY_NODE: &str = "by hand: the caller groups the commands by node and routes each group";

#[derive(Clone)]
pub(crate) struct Redis {
    connection: ClusterConnection,
    layout: Arc<Layout>,
}

/// The commands for one node, with their places in the whole.
struct Group {
    slot: u16,
    pipeline: Pipeline,
    places: Vec<usize>,
}

impl Redis {
    /// A reply to each key's command, in order.
    async fn by_node(&self, keys: &[Key], command: impl Fn(&mut Pipeline, Key)) -> Result<Vec<Reply>> {
        let mut groups: Vec<Option<Group>> = self.layout.primaries.iter().map(|_| None).collect();
        for (place, key) in keys.iter().enumerate() {
            let group =
                groups.get_mut(self.layout.owner(key)).ok_or("no such node")?.get_or_insert_with(|| Group {
                    slot: slot(key),
                    pipeline: Pipeline::with_capacity(keys.len()),
                    places: Vec::new(),
                });
            command(&mut group.pipeline, key);
            group.places.push(place);
        }
        let replies = try_join_all(groups.into_iter().flatten().map(|group| {
            let mut connection = self.connection.clone();
            async move {
                let (many, route) = (group.places.len(), Route::new(group.slot, SlotAddr::Master));
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                let replies = connection.route_pipeline(group.pipeline, 0, many, route).await?;
                if replies.len() != many {
                    return Err(format!("{} replies to {many} commands", replies.len()).into());
                }
                Result::Ok((group.places, replies))
            }
        }))
        .await?;
        let mut all = vec![Reply::Nil; keys.len()];
        for (place, reply) in
            replies.into_iter().flat_map(|(places, replies)| places.into_iter().zip(replies))
        {
            *all.get_mut(place).ok_or("no such command")? = reply;
        }
        Ok(all)
    }
}

impl Adapter for Redis {
    type Reply = Vec<u8>;

    const BULK: Bulk = Bulk { tasks: 4, batch: 1000 };
    const EMULATED: &'static [(&'static str, &'static str)] = &[("pipe", BY_NODE), ("bulk", BY_NODE)];

    async fn connect(seeds: &[String]) -> Result<Self> {
        let client = ClusterClient::new(seeds.iter().map(|seed| format!("redis://{seed}")))?;
        Ok(Self { connection: client.get_async_connection().await?, layout: Arc::new(Layout::of(seeds)?) })
    }

    async fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>> {
        Ok(self.connection.get(key).await?)
    }

    async fn set(&mut self, key: Key, value: Value) -> Result<()> {
        Ok(self.connection.set(key, value.as_ref()).await?)
    }

    async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Vec<u8>>>> {
        let replies = self
            .by_node(keys, |pipeline, key| {
                pipeline.get(key);
            })
            .await?;
        replies.into_iter().map(|reply| Ok(from_redis_value(reply)?)).collect()
    }

    async fn pipeline_get_one_slot(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut pipeline = pipe();
        for key in keys {
            pipeline.get(key);
        }
        Ok(pipeline.query_async(&mut self.connection).await?)
    }

    async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(self.connection.mget(keys).await?)
    }

    async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
        let replies = self
            .by_node(keys, |pipeline, key| {
                pipeline.set(key, value.as_ref());
            })
            .await?;
        Ok(replies.iter().filter(|reply| matches!(reply, Reply::Okay)).count())
    }
}
