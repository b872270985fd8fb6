//! fred: one client, and a pool of them as its documentation advises for many callers.
//!
//! A pipeline may span slots. `MGET` may not, so that a pipeline of `GET`s stands in for it.

use bytes::Bytes;
use fred::clients::Pipeline;
use fred::prelude::{
    Builder, Client, ClientLike, Config, FredResult, KeysInterface, Pool, ServerConfig, TcpConfig,
};
use fred::types::Value as Reply;

use crate::adapter::{Adapter, Bulk, Key, Result, Value};

const EMULATED: &[(&str, &str)] = &[("mget", "emulated by a pipeline of GETs")];

/// Clients in the pool, each with its own routing task and its own connection to every node.
const POOL: usize = 4;

fn builder(seeds: &[String]) -> Result<Builder> {
    let hosts = seeds
        .iter()
        .map(|seed| {
            let (host, port) = seed.rsplit_once(':').ok_or("a seed has no port")?;
            Ok((host.to_owned(), port.parse()?))
        })
        .collect::<Result<Vec<(String, u16)>>>()?;
    let mut builder =
        Builder::from_config(Config { server: ServerConfig::new_clustered(hosts), ..Config::default() });
    builder.with_connection_config(|connection| {
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
    });
    Ok(builder)
}

/// A key that is not copied.
fn bytes(key: Key) -> Bytes {
    Bytes::from_static(key.as_bytes())
}

async fn pipeline_get(pipeline: Pipeline<Client>, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
    for key in keys {
        // It is only queued, which does not wait.
        let () = pipeline.get(bytes(key)).await?;
    }
    Ok(pipeline.all().await?)
}

async fn pipeline_set(pipeline: Pipeline<Client>, keys: &[Key], value: Value) -> Result<usize> {
    for key in keys {
        let () = pipeline.set(bytes(key), value.clone(), None, None, false).await?;
    }
    let replies: FredResult<Vec<Reply>> = pipeline.all().await;
    Ok(replies?.iter().filter(|reply| reply.as_bytes() == Some(b"OK")).count())
}

macro_rules! adapter {
    ($name:ident: $build:expr, $pipeline:expr) => {
        impl Adapter for $name {
            type Reply = Bytes;

            const BULK: Bulk = Bulk { tasks: 32, batch: 100 };
            const EMULATED: &'static [(&'static str, &'static str)] = EMULATED;

            async fn connect(seeds: &[String]) -> Result<Self> {
                let client = $build(builder(seeds)?)?;
                client.init().await?;
                Ok(Self(client))
            }

            async fn get(&mut self, key: Key) -> Result<Option<Bytes>> {
                Ok(self.0.get(bytes(key)).await?)
            }

            async fn set(&mut self, key: Key, value: Value) -> Result<()> {
                Ok(self.0.set(bytes(key), value.clone(), None, None, false).await?)
            }

            async fn pipeline_get(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
                pipeline_get($pipeline(&self.0), keys).await
            }

            async fn mget(&mut self, keys: &'static [Key]) -> Result<Vec<Option<Bytes>>> {
                self.pipeline_get(keys).await
            }

            async fn pipeline_set(&mut self, keys: &'static [Key], value: Value) -> Result<usize> {
                pipeline_set($pipeline(&self.0), keys, value).await
            }
        }
    };
}

/// One client for all tasks.
#[derive(Clone)]
pub(crate) struct Fred(Client);

/// A pool that hands its clients out by turns.
#[derive(Clone)]
pub(crate) struct FredPool(Pool);

adapter!(Fred: |builder: Builder| builder.build(), |client: &Client| client.pipeline());
adapter!(FredPool: |builder: Builder| builder.build_pool(POOL), |pool: &Pool| pool.next().pipeline());
