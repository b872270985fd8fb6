//! The crate as its users meet it: only names that `use keyslot::..` gives, in programs as a user writes them, against a
//! simulated cluster. What is renamed, or takes or gives another type, stops this from compiling.

#![expect(
    clippy::unwrap_used,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

#[path = "public_api/arguments.rs"]
mod arguments;
#[path = "public_api/builder.rs"]
mod builder;
#[path = "public_api/credentials.rs"]
mod credentials;
#[path = "public_api/errors.rs"]
mod errors;
#[path = "public_api/extending.rs"]
mod extending;
#[path = "public_api/face.rs"]
mod face;
#[path = "public_api/handles.rs"]
mod handles;
#[path = "public_api/migration.rs"]
mod migration;
#[path = "public_api/pages.rs"]
mod pages;
#[path = "public_api/replies.rs"]
mod replies;
#[path = "public_api/subscriber.rs"]
mod subscriber;

use keyslot::Client;
use keyslot::testkit::SimCluster;

/// Three primaries in memory and a client of them.
async fn started() -> (SimCluster, Client) {
    let cluster = SimCluster::builder().start_in_memory().unwrap();
    let client = connected(&cluster).await;
    (cluster, client)
}

async fn connected(cluster: &SimCluster) -> Client {
    Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await.unwrap()
}
