//! [`History`]: what became of a job's attempts so far.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::loss::LossCause;
use crate::error::Redirect;
use crate::node::NodeAddr;
use crate::protocol::server_error::ServerError;

/// Between two attempts that wait for the cluster: doubled from the first to the last, the last half at random.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LAST_WAIT: Duration = Duration::from_millis(100);

/// Why the last attempt was not the last one.
#[derive(Debug)]
pub(super) enum Trouble {
    Reply(ServerError),
    Loss(LossCause),
    NoOwner,
    NoReplica,
}

/// What became of a job's attempts.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Where one `ASK` sent it; for the next attempt only.
    pub(super) ask: Option<NodeAddr>,
    pub(super) attempts: u32,
    pub(super) waits: u32,
    /// Redirects since the last reply that was none.
    pub(super) hops: u32,
    pub(super) not_before: Option<Instant>,
    /// The last redirects, oldest first.
    pub(super) trail: Vec<Redirect>,
    pub(super) node: Option<NodeAddr>,
    /// An earlier attempt may have been executed: no later failure can take that back.
    pub(super) maybe_executed: bool,
    pub(super) trouble: Option<Trouble>,
}

impl History {
    pub(super) fn begin_attempt(&mut self, node: &NodeAddr) {
        self.attempts += 1;
        self.ask = None;
        self.not_before = None;
        self.node = Some(node.clone());
    }

    pub(super) fn wait(&mut self) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.waits.min(10)).min(LAST_WAIT);
        self.waits += 1;
        self.not_before = Some(Instant::now() + longest.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}
