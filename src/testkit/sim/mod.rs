//! [`SimCluster`]: a whole cluster in this process, for tests that break it.
//!
//! Nothing is installed, nothing listens outside of this machine. The nodes speak RESP2 and RESP3 from the byte up, keep
//! strings, hashes, lists, sets, sorted sets and streams, expire keys, block, subscribe, replicate, migrate slots, fail
//! over and lie as real servers of five versions do ([`Profile`]); the crate's own tests hold them against the real ones,
//! byte by byte. There are two ways to start one:
//!
//! - [`start_in_memory`](SimClusterBuilder::start_in_memory) needs no socket. With tokio's paused clock a test of a
//!   ten-second failover takes milliseconds, and the same [`seed`](SimClusterBuilder::seed) gives the same run. The client
//!   is given the cluster's [`connector`](SimCluster::connector).
//! - [`start`](SimClusterBuilder::start) listens on 127.0.0.1, in real time: for whatever cannot be given a connector,
//!   another process or another client among them. Any client finds it by [`url`](SimCluster::url).
//!
//! What goes wrong is data: a [`Fault`] says where, how often and what; a [`Script`] says what happens to the cluster and
//! when. What took effect is in the [`Ledger`]: every command that a node executed, with time, node and connection.
//!
//! # Test my retry handling
//!
//! A connection ends behind a command: was it executed? The client says that it does not know, the ledger does.
//!
//! ```
//! use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
//! use keyslot::{Client, Commands, Outcome};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a test: #[tokio::test(start_paused = true)]
//! let cluster = SimCluster::builder().seed(42).start_in_memory()?;
//! let client = Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
//!
//! cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
//! let error = client.incr("visits").await.unwrap_err();
//! assert_eq!(error.outcome(), Outcome::MaybeExecuted); // my code must look before it counts again
//! assert_eq!(cluster.ledger().count("INCR visits"), 1);
//!
//! // A read is sent again by the client: my code sees nothing of it.
//! cluster.inject(Fault::new(FaultKind::CloseAfter).command("GET").times(1));
//! assert_eq!(client.get::<i64>("visits").await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Test my code in a resharding
//!
//! A slot in the middle of its way: some keys are here, some are there, and it takes as long as the test wants.
//!
//! ```
//! use keyslot::testkit::sim::SimCluster;
//! use keyslot::{Client, Commands, Slot};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = SimCluster::builder().start_in_memory()?;
//! let client = Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
//! client.mset([("{cart}:a", "1"), ("{cart}:b", "2")]).await?;
//!
//! let slot = Slot::of_key(b"{cart}");
//! let from = cluster.primary_of(slot).unwrap();
//! let to = cluster.nodes().into_iter().find(|node| *node != from).unwrap();
//! cluster.open_slot(slot, &to)?;
//! cluster.migrate_keys(slot, 1)?; // one of the two keys has gone
//!
//! assert_eq!(client.get::<i64>("{cart}:a").await?, 1);
//! assert_eq!(client.get::<i64>("{cart}:b").await?, 2); // one of them took the way of ASK
//! client.set("{cart}:c", "3").await?; // a new key is made where the slot goes
//!
//! cluster.migrate_keys(slot, 100)?;
//! cluster.close_slot(slot)?;
//! assert_eq!(cluster.primary_of(slot).as_ref(), Some(&to));
//! assert_eq!(client.get::<i64>("{cart}:c").await?, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # Test with a dead node
//!
//! A primary dies and its replica takes over after the node timeout, as a script says or by itself.
//!
//! ```
//! use std::time::Duration;
//!
//! use keyslot::testkit::sim::{Script, SimCluster};
//! use keyslot::{Client, Commands, Slot};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = SimCluster::builder().replicas(1).node_timeout(Duration::from_secs(2)).start_in_memory()?;
//! let client = Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
//! client.set("user:1", "Ann").await?;
//!
//! let primary = cluster.primary_of(Slot::of_key(b"user:1")).unwrap();
//! cluster.play(
//!     Script::new()
//!         .at(Duration::from_secs(1)).kill(&primary)
//!         .at(Duration::from_secs(20)).restart(&primary),
//! );
//! tokio::time::sleep(Duration::from_millis(1001)).await;
//!
//! // Waits for the promoted replica, within the client's ten seconds; the paused clock jumps over the wait.
//! assert_eq!(client.get::<String>("user:1").await?, "Ann");
//! assert_ne!(cluster.primary_of(Slot::of_key(b"user:1")), Some(primary));
//! # Ok(())
//! # }
//! ```
//!
//! # What is not simulated
//!
//! Scripts and functions, stream groups, geo and HyperLogLog commands, `BITFIELD`, `LCS`, expiry of hash fields, modules,
//! several databases, atomic slot migration of Valkey (`CLUSTER MIGRATESLOTS`), TLS, persistence, eviction; such a command is answered
//! as an unknown one. `LOADING` and `MASTERDOWN` come only as a [`FaultKind::Error`]. Hashes and sets list their members in
//! order, which real servers do not promise. Figures in `INFO` and `CLIENT LIST` are placeholders; memory and speed say
//! nothing about a server's.
//!
//! The simulation shares with the client the slot of a key, the reply type of [`SimCluster::ask`] and nothing else of what
//! the client decides by; `turmoil`, which simulates hosts, network and time for tokio, was looked at first. It owns the
//! runtime and advances its own clock, its sockets exist only within its hosts, and its faults are lost messages between
//! hosts. A cluster here has to live in the test's own runtime, behind a [`Connector`](crate::Connector) or on real
//! sockets, and most of its faults are about commands: this reply at that byte.

// Sees the floors 0 and 1 only: a mistake that the kit and the client share would hide itself.

mod acknowledgement;
mod acl;
mod addresses;
mod admission;
mod agenda;
mod alarms;
mod blocking;
pub(super) mod builder;
mod bus;
mod call;
mod channels;
mod client_list;
pub(super) mod cluster;
mod command_info;
mod commands;
mod connection;
mod copying;
mod dispatch;
mod error;
mod extended;
mod failover;
mod fault;
mod files;
mod form;
mod glob;
mod gossip;
mod health;
mod import;
mod imports;
mod introspection;
mod joining;
mod keyspace;
mod ledger;
mod merge;
mod message;
mod network;
mod node;
mod ownership;
mod presence;
mod profile;
mod refused;
mod reply;
mod request;
mod script;
mod session;
mod settings;
mod slot_moves;
mod spec;
mod steps;
mod table;
mod tips;
mod topology;
mod topology_lines;
mod tracking;
mod upheaval;
mod view;
mod world;

pub use builder::SimClusterBuilder;
pub use cluster::SimCluster;
pub use error::SimError;
pub use fault::{Fault, FaultId, FaultKind};
pub use ledger::{Effect, Ledger};
pub use network::SimConnector;
pub use node::Endpoint;
pub use profile::Profile;
pub use script::{Moment, Script, Step};
