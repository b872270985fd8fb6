//! [`Acknowledgement`]: what a connection waits for that wants its writes on replicas.

use std::time::Duration;

use crate::testkit::sim::reply::Reply;

/// `WAIT` and `WAITAOF`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Acknowledgement {
    /// How many replicas it waits for.
    pub(super) replicas: usize,
    /// The replication offset that they must have applied.
    pub(super) offset: u64,
    /// How long it waits at most; `None` is for ever.
    pub(super) timeout: Option<Duration>,
    /// The reply tells of this node's own disk too.
    pub(super) is_for_files: bool,
}

impl Acknowledgement {
    /// The reply when so many replicas have it.
    pub(super) fn reply(self, replicas: usize) -> Reply {
        if self.is_for_files {
            Reply::Array(vec![Reply::Int(0), Reply::int(replicas)])
        } else {
            Reply::int(replicas)
        }
    }
}
