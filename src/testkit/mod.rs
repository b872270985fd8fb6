//! Clusters for tests. For Unix; feature `testkit`.
//!
//! - [`SimCluster`] is a whole cluster in this process, which needs no server and breaks as it is told to: see [`sim`],
//!   which has recipes.
//! - [`LocalCluster`] starts a cluster of `redis-server` or `valkey-server` processes on 127.0.0.1, and [`LocalServer`] a
//!   single one without cluster mode: what follows.
//!
//! ```no_run
//! use keyslot::testkit::LocalCluster;
//! use keyslot::{Client, Commands};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = LocalCluster::start(3, 1).await?; // three primaries with one replica each
//! let client = Client::connect(&cluster.url()).await?;
//! client.set("user:1", "Ann").await?;
//!
//! let slot = keyslot::Slot::of_key(b"user:1");
//! let primary = cluster.primary_of(slot).await?;
//! cluster.kill(&primary)?; // the replica is promoted
//! let name: Option<String> = client.get("user:1").await?;
//! # Ok(())
//! # }
//! ```
//!
//! The program is found on `PATH`, or named by the environment variable `KEYSLOT_SERVER`; see [`Server::find`]. Ports
//! are reserved across processes, so tests may run side by side. Nothing is left behind: dropping a cluster kills its
//! servers and removes their files, also when the test panics; and when the test process itself is killed or aborts,
//! a small watchdog process does the same (it finds the servers by `/proc`, so on Linux).
//!
//! Real servers take real time, so a test must not pause tokio's clock. The runtime needs
//! I/O and time enabled, as in `#[tokio::test]`.

// A customer of `connection` and the floors below it; never imports `routing`, `topology` or `cluster`, because a
// mistake that the kit and the client share would hide itself.

mod form;
mod local;
mod ports;
mod process;
mod server;
pub mod sim;
#[cfg(feature = "testkit-tls")]
mod tls;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub use form::read_nodes;
pub use local::{LocalCluster, LocalClusterBuilder, LocalServer};
pub use server::{Server, ServerVersion, StartError};
pub use sim::builder::SimClusterBuilder;
pub use sim::cluster::SimCluster;
#[cfg(feature = "testkit-tls")]
pub use tls::{CertificateAuthority, ClusterTls, Identity, LocalTls};
