//! Where an example's cluster comes from; the same for all of them.

use std::error::Error;
use std::process::ExitCode;

use keyslot::testkit::{LocalCluster, Server, StartError};
use keyslot::{Client, ErrorKind, Slot, SlotMap};

/// The cluster that an example runs on.
pub(crate) struct Cluster {
    /// By this a client finds it.
    pub(crate) url: String,
    /// One that was started for the example ends, files and all, with this value.
    _started: Option<LocalCluster>,
}

impl Cluster {
    /// The cluster at `url`; without one, three primaries with a replica each are started in a temporary folder.
    pub(crate) async fn at_url_or_new(url: Option<String>) -> Result<Self, Box<dyn Error>> {
        if let Some(url) = url {
            return Ok(Self { url, _started: None });
        }
        let server = Server::find().map_err(|error| match error {
            StartError::NoServer(_) => format!("{error}; or name a cluster by --url"),
            other => other.to_string(),
        })?;
        println!("Starting 3 primaries and 3 replicas of {} in a temporary folder ...", server.version());
        let started = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await?;
        Ok(Self { url: started.url(), _started: Some(started) })
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
