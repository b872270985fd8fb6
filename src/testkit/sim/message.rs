//! [`Message`]: what was published.

use bytes::Bytes;

/// A message on a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) channel: Bytes,
    pub(super) payload: Bytes,
    /// By `SPUBLISH`.
    pub(super) is_sharded: bool,
}
