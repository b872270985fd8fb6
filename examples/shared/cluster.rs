//! Where an example's cluster comes from; the same for all of them.

use std::error::Error;
use std::process::ExitCode;

use keyslot::testkit::{LocalCluster, Server, SimCluster, StartError};
use keyslot::{Client, ErrorKind, NodeAddr, Slot, SlotMap};

/// The cluster that an example runs on.
pub(crate) struct Cluster {
    /// By this a client finds it.
    pub(crate) url: String,
    started: Started,
}

/// What was started for the example ends with this value, files and all.
enum Started {
    Nothing,
    Servers { cluster: LocalCluster },
    Simulated { cluster: SimCluster },
}

impl Cluster {
    /// The cluster at `url`. Without one, three primaries with a replica each are started in a temporary folder; where
    /// no server is installed they are simulated in this process.
    #[allow(dead_code, reason = "for the examples that the simulated cluster can run")]
    pub(crate) async fn at_url_or_new(url: Option<String>) -> Result<Self, Box<dyn Error>> {
        match Self::at_url_or_servers(url).await {
            Err(error) if is_missing(error.as_ref()) => {
                println!("No server found: {error}; or name a cluster by --url.");
                Self::simulated().await
            }
            started => started,
        }
    }

    /// The same, but without a server it is an error that says how to get one.
    pub(crate) async fn at_url_or_servers(url: Option<String>) -> Result<Self, Box<dyn Error>> {
        if let Some(url) = url {
            return Ok(Self { url, started: Started::Nothing });
        }
        let server = Server::find()?;
        println!("Starting 3 primaries and 3 replicas of {} in a temporary folder ...", server.version());
        let cluster = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await?;
        Ok(Self { url: cluster.url(), started: Started::Servers { cluster } })
    }

    async fn simulated() -> Result<Self, Box<dyn Error>> {
        println!(
            "Running on a SIMULATED cluster of 3 primaries and 3 replicas in this process: its speed says nothing."
        );
        // The ledger would keep every key and value.
        let cluster = SimCluster::builder().primaries(3).replicas(1).ledger(false).start().await?;
        Ok(Self { url: cluster.url(), started: Started::Simulated { cluster } })
    }

    /// Ends a node as `kill -9` does. False if the cluster was not started for the example: then nothing is killed.
    #[allow(dead_code, reason = "not every example kills")]
    pub(crate) fn kill(&self, node: &NodeAddr) -> Result<bool, Box<dyn Error>> {
        match &self.started {
            Started::Nothing => return Ok(false),
            Started::Servers { cluster } => cluster.kill(node)?,
            Started::Simulated { cluster } => cluster.kill(node)?,
        }
        Ok(true)
    }

    /// Connects to it and says what was found.
    pub(crate) async fn connect(&self) -> keyslot::Result<Client> {
        let client = Client::connect(&self.url).await?;
        let map = client.slot_map();
        let (primaries, replicas) =
            map.shards().fold((0, 0), |(p, r), shard| (p + 1, r + shard.replicas().count()));
        let primaries = format!("{primaries} {}", if primaries == 1 { "primary" } else { "primaries" });
        println!("Connected: {primaries}, {replicas} replicas, {}.", slots(&map));
        Ok(client)
    }
}

/// Whether the error is that no server is installed.
pub(crate) fn is_missing(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(StartError::NoServer(_)))
}

/// 2 for a URL that is none, as for any wrong option; 1 for all else.
pub(crate) fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    let kind = error.downcast_ref::<keyslot::Error>().map(keyslot::Error::kind);
    if kind == Some(ErrorKind::Config) { ExitCode::from(2) } else { ExitCode::FAILURE }
}

fn slots(map: &SlotMap) -> String {
    match (map.assigned_slots(), usize::from(Slot::COUNT)) {
        (assigned, all) if assigned == all => format!("all {all} slots"),
        (assigned, all) => format!("only {assigned} of {all} slots: keys of the others will fail"),
    }
}
