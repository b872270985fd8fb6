//! A cluster-native client for Redis Cluster and Valkey.
//!
//! ```no_run
//! use keyslot::{Client, Commands};
//!
//! # async fn example() -> keyslot::Result<()> {
//! let client = Client::connect("redis://127.0.0.1:7000,127.0.0.1:7001").await?;
//! client.set("user:1", "Ann").await?;
//! let name: Option<String> = client.get("user:1").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None is on by default, and each only adds. Crates are those that it brings beside the 35 of none, tokio and all below it
//! included (`cargo tree -e normal` on Linux); many programs have some of them anyway:
//!
//! | feature | what it adds | dependencies | crates |
//! |---|---|---|---|
//! | `admin` | `admin`: builds, checks, mends and reshapes clusters; a quarter of this crate's own build time | none | 0 |
//! | `tls` | `rediss://`, `TlsConfig`: TLS by rustls | rustls, tokio-rustls, rustls-native-certs | 13 |
//! | `serde` | `Serde<T>`: hashes and maps read as structs | serde | 2 |
//! | `json` | `Json<T>` and `to_json`: JSON as arguments and replies; the commands of JSON modules | serde, serde_json | 4 |
//! | `deadpool` | `pool`: the client behind deadpool's `Manager`, for code that expects a pool | none | 0 |
//! | `testkit` | `testkit::SimCluster` and `testkit::LocalCluster`: clusters in `cargo test`, simulated and of real servers | rustix, tempfile | 5 |
//! | `testkit-tls` | `testkit::LocalCluster` with TLS, and certificates for tests | those of `testkit` and `tls`, rcgen | 26 |
//! | `tracing` | spans and events with the names of OpenTelemetry; see [`observability`] | tracing | 3 |
//! | `metrics` | figures by the `metrics` facade; see [`observability`] | metrics | 2 |
//! | `internals` | parts of the inside for this crate's benches and fuzz targets; no promise goes with it | none | 0 |
//!
#![doc = include_str!("../docs/guide.md")]
//!
//! # How it behaves
//!
//! - A command goes straight to the node that serves the slot of its key, on a connection that all callers share.
//!   There is no central task. Commands that many callers submit at once leave in one write.
//! - A `MOVED` repoints its slot at once and asks for the topology once, however many come. An `ASK` is followed with
//!   `ASKING` and the command as one unit. `TRYAGAIN`, `CLUSTERDOWN`, `LOADING` and lost connections are waited out, until
//!   the deadline.
//! - Every error says by [`Error::outcome`] what became of the command. One that may have been executed is sent again
//!   only if repeating it does no harm.
//! - A [`Subscriber`] keeps its subscriptions through failovers and slot moves, and says wherever messages may be missing.
//! - With one node dead, commands to the others go on as before.
//!
//! # Layout
//!
//! A file imports only from floors below its own; `tests/architecture.rs` holds that.
//!
//! ```text
//! 8  admin/  pool                                        builds and changes clusters; deadpool's manager
//! 7  builder                                             puts it together
//! 6  client  request  pipeline  transaction              the handles
//!    session  durable  script  pubsub  scan  topology_events
//! 5  cluster/    core  executor  job  refresher  routes  the only place where the columns meet
//!    cluster/pubsub/  one task for each subscriber
//! 4  routing/    plan  redirect  gather  scan plan       decisions, pure
//! 3  commands/ lists of typed commands │ topology/ slot map, discovery, pure │ connection/ links and pools
//! 2  command  json                                       one request, encoded once
//! 1  protocol/   bytes and values, pure
//! 0  slot  node  config  error  stats  transport                  the vocabulary
//! ```

// docs.rs says which feature an item asks for.
#![cfg_attr(docsrs, feature(doc_cfg))]

/// The examples of the README and of the pages beside it compile.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../README.ru.md")]
    struct ReadmeInRussian;
    #[doc = include_str!("../docs/deployment.md")]
    struct Deployment;
    #[doc = include_str!("../docs/migrating-from-redis-rs.md")]
    struct FromRedisRs;
    #[doc = include_str!("../docs/migrating-from-fred.md")]
    struct FromFred;
    #[doc = include_str!("../docs/migrating-from-rustis.md")]
    struct FromRustis;
}

#[cfg(feature = "admin")]
pub mod admin;
mod builder;
mod client;
mod cluster;
mod command;
mod commands;
mod config;
mod connection;
mod durable;
mod error;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "json")]
pub mod json;
mod node;
mod pipeline;
#[cfg(feature = "deadpool")]
pub mod pool;
mod protocol;
mod pubsub;
mod request;
mod routing;
mod scan;
mod script;
mod session;
mod slot;
mod stats;
#[cfg(feature = "testkit")]
pub mod testkit;
mod topology;
mod topology_events;
mod transaction;
mod transport;

#[doc = include_str!("commands/table.md")]
pub mod typed_commands {}

#[doc = include_str!("observability.md")]
pub mod observability {}

pub use bytes::Bytes;

pub use builder::ClientBuilder;
pub use client::{Client, Commands};
pub use cluster::pubsub::event::{
    Ended, Gap, GapCause, Interruption, Message, PubSubEvent, Subscription, SubscriptionKind,
    SubscriptionState,
};
pub use cluster::pubsub::options::{OverflowPolicy, SubscriberOptions};
pub use cluster::way::{Way, WayPart};
pub use command::{Command, Target};
pub use commands::{options, replies};
pub use config::credentials::{Credentials, CredentialsError, CredentialsProvider, RotatingCredentials};
pub use config::read_from::ReadFrom;
#[cfg(feature = "tls")]
pub use config::tls::TlsConfig;
pub use config::{OverloadPolicy, Protocol};
pub use durable::{Acknowledged, Durable, OnDisk};
pub use error::{Error, ErrorKind, KeyOutcomes, Outcome, Redirect, RedirectKind, Result};
pub use node::{NodeAddr, ParseNodeAddrError};
pub use pipeline::Pipeline;
pub use protocol::from_value::{ConversionError, FromValue};
pub use protocol::server_error::ServerError;
#[cfg(feature = "serde")]
pub use protocol::structs::Serde;
pub use protocol::to_arg::{ArgWriter, ToArg, WrittenArg};
pub use protocol::to_args::{Each, Element, ToArgs};
pub use protocol::value::Value;
pub use pubsub::{Subscriber, SubscriberHandle};
pub use request::Request;
pub use routing::explain::{ExplainedPart, Explanation};
pub use scan::{Scan, ScanKeys, ScanPages};
pub use script::{Script, ScriptCall};
pub use session::{Session, SessionRequest, SessionTransaction};
pub use slot::Slot;
pub use stats::hot_slots::HotSlot;
pub use stats::refresh_cause::RefreshCause;
pub use stats::round_trips::RoundTrips;
pub use stats::snapshot::{ErrorCounts, NodeStats, Stats};
pub use topology::changes::TopologyEvent;
pub use topology::slot_map::{Health, Node, Role, Shard, SlotMap, SlotRange};
pub use topology_events::TopologyEvents;
pub use transaction::Transaction;
pub use transport::{Connector, Transport};
