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
//! 8  admin/                                              builds and changes clusters
//! 7  builder                                             puts it together
//! 6  client  request  pipeline  transaction              the handles
//!    session  durable  script  pubsub  scan
//! 5  cluster/    core  executor  job  refresher  routes  the only place where the columns meet
//!    cluster/pubsub/  one task for each subscriber
//! 4  routing/    plan  redirect  gather  scan plan       decisions, pure
//! 3  commands/ lists of typed commands │ topology/ slot map, discovery, pure │ connection/ links and pools
//! 2  command  json                                       one request, encoded once
//! 1  protocol/   bytes and values, pure
//! 0  slot  node  config  error  stats  transport                  the vocabulary
//! ```

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
mod transaction;
mod transport;

#[doc = include_str!("commands/table.md")]
pub mod typed_commands {}

pub use bytes::Bytes;

pub use builder::ClientBuilder;
pub use client::{Client, Commands};
pub use cluster::pubsub::event::{
    Ended, Gap, GapCause, Interruption, Message, PubSubEvent, Subscription, SubscriptionKind,
    SubscriptionState,
};
pub use cluster::pubsub::options::{OverflowPolicy, SubscriberOptions};
pub use command::{Command, Target};
pub use commands::{options, replies};
pub use config::read_from::ReadFrom;
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
pub use stats::Stats;
pub use topology::slot_map::{Health, Node, Role, Shard, SlotMap, SlotRange};
pub use transaction::Transaction;
pub use transport::{Connector, Transport};
