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
//! - With one node dead, commands to the others go on as before.
//!
//! # Layout
//!
//! A file imports only from floors below its own; `tests/architecture.rs` holds that.
//!
//! ```text
//! 7  builder                                             puts it together
//! 6  client  request  pipeline  transaction  session  script  the handles
//! 5  cluster/    core  executor  job  refresher  routes  the only place where the columns meet
//! 4  routing/    plan  redirect  gather                  decisions, pure
//! 3  commands/ lists of typed commands │ topology/ slot map, discovery, pure │ connection/ links and pools
//! 2  command                                             one request, encoded once
//! 1  protocol/   bytes and values, pure
//! 0  slot  node  config  error  stats  transport                  the vocabulary
//! ```

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

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
mod node;
mod pipeline;
mod protocol;
mod request;
mod routing;
mod script;
mod session;
mod slot;
mod stats;
#[cfg(feature = "testkit")]
pub mod testkit;
mod topology;
mod transaction;
mod transport;

pub use bytes::Bytes;

pub use builder::ClientBuilder;
pub use client::{Client, Commands};
pub use command::{Command, Target};
pub use config::{OverloadPolicy, Protocol};
pub use durable::{Acknowledged, Durable, OnDisk};
pub use error::{Error, ErrorKind, Outcome, Redirect, RedirectKind, Result};
pub use node::{NodeAddr, ParseNodeAddrError};
pub use pipeline::Pipeline;
pub use protocol::from_value::{ConversionError, FromValue};
pub use protocol::server_error::ServerError;
pub use protocol::to_arg::{ArgWriter, ToArg, WrittenArg};
pub use protocol::to_args::{Element, ToArgs};
pub use protocol::value::Value;
pub use request::Request;
pub use script::{Script, ScriptCall};
pub use session::{Session, SessionRequest, SessionTransaction};
pub use slot::Slot;
pub use stats::Stats;
pub use topology::slot_map::{Health, Node, Role, Shard, SlotMap, SlotRange};
pub use transaction::Transaction;
pub use transport::{Connector, Transport};
