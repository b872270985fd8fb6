//! rustis: one client for all tasks, which packs what is queued. Pipelines and `MGET` may span slots.

use rustis::client::{BatchPreparedCommand, Client};
use rustis::commands::StringCommands;
use rustis::resp::{BulkString, RefBulkString};

use crate::adapter::{Adapter, Bulk, Key, Result, Value};

#[derive(Clone)]
pub(crate) struct Rustis(Client);

/// Its cheapest string that owns its bytes.
pub(crate) struct Reply(BulkString);

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn owned(replies: Vec<Option<BulkString>>) -> Vec<Option<Reply>> {
    replies.into_iter().map(|reply| reply.map(Reply)).collect()
}

impl Adapter for Rustis {
    type Reply = Reply;

    /// Its cost for a command grows with the commands in flight.
    const BULK: Bulk = Bulk { tasks: 1, batch: 100 };

    async fn connect(seeds: &[String]) -> Result<Self> {
        Ok(Self(Client::connect(format!("redis+cluster://{}", seeds.join(","))).await?))
    }

    async fn get(&mut self, key: Key) -> Result<Option<Reply>> {
        let reply: Option<BulkString> = self.0.get(key).await?;
        Ok(reply.map(Reply))
    }

    async fn set(&mut self, key: Key, value: Value) -> Result<()> {
        Ok(self.0.set(key, RefBulkString::new(value)).await?)
    }

    async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Reply>>> {
        let mut pipeline = self.0.create_pipeline();
        pipeline.reserve(keys.len());
        for key in keys {
            pipeline.get::<()>(*key).queue();
        }
        Ok(owned(pipeline.execute().await?))
    }

    async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Reply>>> {
        Ok(owned(self.0.mget(keys).await?))
    }

    async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
        let mut pipeline = self.0.create_pipeline();
        pipeline.reserve(keys.len());
        for key in keys {
            pipeline.set(*key, RefBulkString::new(value)).queue();
        }
        let replies: Vec<BulkString> = pipeline.execute().await?;
        Ok(replies.iter().filter(|reply| reply.as_bytes() == b"OK").count())
    }
}
