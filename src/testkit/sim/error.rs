//! [`SimError`]: why a simulated cluster cannot do what a test asks of it.

use std::io;

use thiserror::Error;

use crate::node::NodeAddr;
use crate::slot::Slot;

/// A request of a test that makes no sense for the cluster as it is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// The cluster that was asked for cannot be.
    #[error("{0}")]
    Shape(String),
    /// There is no such node.
    #[error("{0} is no node of this simulated cluster")]
    UnknownNode(NodeAddr),
    /// The node is not in the state that this needs.
    #[error("{node} cannot be {verb}: it is {state}")]
    WrongState {
        /// Which node.
        node: NodeAddr,
        /// What was asked for: `promoted`, `restarted`, ...
        verb: &'static str,
        /// What it is instead.
        state: &'static str,
    },
    /// The slot is not being moved, and should be.
    #[error("slot {0} is not open: open it first")]
    SlotNotOpen(Slot),
    /// The node refused a command by which this was to be done.
    #[error("{node} answered {command} with: {error}")]
    Refused {
        /// Which node.
        node: NodeAddr,
        /// The command's words.
        command: String,
        /// The server's words.
        error: String,
    },
    /// No port could be bound on loopback.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
}
