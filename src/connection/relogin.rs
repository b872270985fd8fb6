//! Authenticates a live link anew: its `AUTH` is one unit in the queue, between the commands of two callers.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connection::budget::Room;
use crate::connection::handshake::{auth, without_secret};
use crate::connection::link_context::LinkContext;
use crate::connection::logins::Renewals;
use crate::connection::outgoing::{Entry, Many, ReplyTo};
use crate::connection::queue::{LinkShared, QueueState};
use crate::connection::unit::{Piece, UnitReply};
use crate::protocol::value::Value;

/// Runs `conversation` to its end, and meanwhile sends an `AUTH` whenever `renewals` says so; `limit` is for its reply, on links
/// that look at the clock. What was not written when the connection ends is taken back: the next one has a greeting of its
/// own.
pub(super) async fn kept_logged_in<T>(
    conversation: impl Future<Output = T>,
    renewals: Option<Renewals>,
    shared: &LinkShared,
    context: &LinkContext,
    limit: Option<Duration>,
) -> T {
    let Some(renewals) = renewals else { return conversation.await };
    // Polled only when it is woken by itself, not each time that the conversation is.
    let mut renewing: FuturesUnordered<_> =
        std::iter::once(renew(renewals, shared, context, limit)).collect();
    tokio::select! {
        biased;
        ended = conversation => ended,
        Some(never) = renewing.next() => match never {},
    }
}

async fn renew(
    mut renewals: Renewals,
    shared: &LinkShared,
    context: &LinkContext,
    limit: Option<Duration>,
) -> Infallible {
    loop {
        let credentials = renewals.next().await;
        let command = auth(&credentials);
        let length = command.body().wire_length();
        let (sender, receiver) = oneshot::channel();
        let many =
            Many { sender, got: Vec::new(), of_one: false, wanted: 1, may_be_queued: false, check: None };
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        {
            let mut queue = shared.lock();
            match queue.state {
                QueueState::Open => {
                    let entry = Entry::new(ReplyTo::Many(Box::new(many)), length, Room::NONE, deadline);
                    queue.count_push();
                    queue.outgoing.push([Piece::Command(&command)], entry);
                    queue.wake();
                }
                // It takes nothing new and ends when it has answered.
                QueueState::Down(_) | QueueState::Closed => continue,
            }
        }
        let mut awaited = Awaited { receiver, shared };
        let Ok(UnitReply { values, loss: None, .. }) = (&mut awaited.receiver).await else { continue };
        let refusal = values.into_iter().find_map(|value| match value {
            Value::Error(error) => Some(without_secret(error, Some(&credentials))),
            _accepted => None,
        });
        context.logins.renewed(&shared.node, refusal.as_ref());
    }
}

/// The reply on its way. Dropped before the command was written, it takes the command back.
struct Awaited<'a> {
    receiver: oneshot::Receiver<UnitReply>,
    shared: &'a LinkShared,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        self.shared.lock().note_abandoned();
    }
}
