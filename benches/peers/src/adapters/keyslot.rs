//! keyslot, by its public interface with all settings at their defaults.

use bytes::Bytes;
use keyslot::{Client, Commands, Value as Reply};

use crate::adapter::{Adapter, Bulk, Key, Result, Value};

#[derive(Clone)]
pub(crate) struct Keyslot(Client);

impl Adapter for Keyslot {
    type Reply = Bytes;

    const BULK: Bulk = Bulk { tasks: 4, batch: 1000 };

    async fn connect(seeds: &[String]) -> Result<Self> {
        Ok(Self(Client::builder().seeds(seeds).connect().await?))
    }

    async fn get(&mut self, key: Key) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).await?)
    }

    async fn set(&mut self, key: Key, value: Value) -> Result<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        let mut pipeline = self.0.pipeline();
        for key in keys {
            pipeline.get(*key);
        }
        Ok(pipeline.run().await?)
    }

    async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
        Ok(self.0.mget(keys.iter().copied()).await?)
    }

    async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
        let mut pipeline = self.0.pipeline();
        for key in keys {
            pipeline.set(*key, value);
        }
        let replies: Vec<Reply> = pipeline.run().await?;
        Ok(replies.iter().filter(|reply| matches!(reply, Reply::Simple(ok) if ok == "OK")).count())
    }
}
