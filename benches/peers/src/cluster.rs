//! The servers of a run: three primaries that are started for it, or a cluster that is there.

use keyslot::Client;
use keyslot::testkit::{LocalCluster, Server};

use crate::adapter::Result;
use crate::keys::Pool;

/// Commands in one pipeline of the fill; small enough for 64 KiB values.
const BATCH: usize = 100;

pub(crate) struct Cluster {
    pub(crate) seeds: Vec<String>,
    /// What runs there, for the head of the report.
    pub(crate) server: String,
    /// Ended and removed with this value.
    _started: Option<LocalCluster>,
}

impl Cluster {
    /// `server` is a folder's name as `scripts/servers` has it, such as `valkey-9.1`.
    pub(crate) async fn start(server: &str) -> Result<Self> {
        let server = Server::named(server)?;
        let cluster = LocalCluster::builder().primaries(3).server(server).start().await?;
        Ok(Self {
            seeds: cluster.nodes().iter().map(ToString::to_string).collect(),
            server: format!("{}, three primaries on this machine", cluster.server().version()),
            _started: Some(cluster),
        })
    }

    pub(crate) fn at(seeds: Vec<String>) -> Self {
        Self { server: seeds.join(","), seeds, _started: None }
    }

    /// Empties the cluster and writes the keys of every workload.
    pub(crate) async fn fill(&self) -> Result<()> {
        let client = Client::builder().seeds(&self.seeds).connect().await?;
        keyslot::Commands::flushall(&client).await?;
        for pool in [Pool::plain(), Pool::tagged(), Pool::large()] {
            let pairs: Vec<_> = pool.keys.iter().zip(pool.values).collect();
            for pairs in pairs.chunks(BATCH) {
                let mut pipeline = client.pipeline();
                for (key, value) in pairs {
                    pipeline.set(**key, *value);
                }
                pipeline.run::<keyslot::Value>().await?;
            }
        }
        client.close().await;
        Ok(())
    }
}
