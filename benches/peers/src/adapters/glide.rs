//! valkey-glide: one client for all tasks. Pipelines and `MGET` may span slots.

use bytes::Bytes;
use glide::{
    AsyncCommands, GlideClusterClient, GlideClusterClientConfiguration, NodeAddress, PipelineExt,
    ValkeyValue, pipe,
};

use std::time::Duration;

use crate::adapter::{Adapter, Bulk, Key, Result, Value};

/// Its default of 1000 would refuse the load of the largest workloads.
const IN_FLIGHT: u32 = 100_000;

/// Its default of 250 ms is over at once when batches are large; it is that of keyslot.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Glide(GlideClusterClient);

impl Adapter for Glide {
    type Reply = Bytes;

    const BULK: Bulk = Bulk { tasks: 4, batch: 1000 };

    async fn connect(seeds: &[String]) -> Result<Self> {
        let addresses = seeds
            .iter()
            .map(|seed| {
                let (host, port) = seed.rsplit_once(':').ok_or("a seed has no port")?;
                Ok(NodeAddress::new(host, port.parse()?))
            })
            .collect::<Result<_>>()?;
        let mut configuration = GlideClusterClientConfiguration::new(addresses).request_timeout(TIMEOUT);
        configuration.inflight_requests_limit = Some(IN_FLIGHT);
        Ok(Self(GlideClusterClient::connect(configuration).await?))
    }

    async fn get(&mut self, key: Key) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).await?)
    }

    async fn set(&mut self, key: Key, value: Value) -> Result<()> {
        Ok(self.0.set(key, value.as_ref()).await?)
    }

    async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        let mut pipeline = pipe();
        for key in keys {
            pipeline.get(*key);
        }
        Ok(pipeline.query_async(&self.0).await?)
    }

    async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        Ok(self.0.mget(keys).await?)
    }

    async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
        let mut pipeline = pipe();
        for key in keys {
            pipeline.set(*key, value.as_ref());
        }
        let replies: Vec<ValkeyValue> = pipeline.query_async(&self.0).await?;
        Ok(replies.iter().filter(|reply| matches!(reply, ValkeyValue::Okay)).count())
    }
}
