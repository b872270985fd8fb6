//! The errors of a subscription: [`refusal`] by a server, and [`overdue`].

use std::time::Duration;

use crate::cluster::pubsub::event::{Subscription, SubscriptionKind};
use crate::error::{Error, ErrorKind, Outcome};
use crate::node::NodeAddr;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::routing::redirect::kind_of;
use crate::slot::Slot;

/// A server said no, and will again.
pub(super) fn refusal(subscription: &Subscription, error: &ServerError, node: &NodeAddr) -> Error {
    let (command, slot) = match subscription.kind {
        SubscriptionKind::Channel => ("SUBSCRIBE", None),
        SubscriptionKind::Pattern => ("PSUBSCRIBE", None),
        SubscriptionKind::Shard => ("SSUBSCRIBE", Some(Slot::of_key(&subscription.name))),
    };
    let is_unknown = error.class() == ErrorCode::Err && error.text().contains("unknown command");
    let hint = if is_unknown && slot.is_some() {
        "the server has no shard channels, which came with Redis 7.0; use subscribe(): "
    } else {
        ""
    };
    Error::new(kind_of(error), Outcome::Rejected, format!("{hint}{error}"))
        .with_code(error.code())
        .with_command(command.into())
        .with_slot(slot)
        .with_node(node.clone())
        .with_attempts(1)
}

/// The time of a request is over. What it had asked for is taken back.
pub(super) fn overdue(limit: Duration, trouble: Option<&str>) -> Error {
    let trouble = trouble.map(|trouble| format!("; the last trouble was {trouble}")).unwrap_or_default();
    let text = format!("the subscription was not confirmed within {limit:?} and is taken back{trouble}");
    Error::new(ErrorKind::Timeout, Outcome::NotSent, text)
}
