//! [`attempt`]: sends one group and waits for what becomes of it. Never sends anything twice.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::cluster::core::Core;
use crate::cluster::group::Group;
use crate::cluster::job::Deadline;
use crate::config::OverloadPolicy;
use crate::connection::link::{Link, Refusal};
use crate::connection::loss::{Loss, LossCause};
use crate::connection::pool::NodePool;
use crate::connection::unit::{Piece, UnitReply};
use crate::protocol::server_error::ErrorCode;
use crate::protocol::value::Value;
use crate::stats::operation::attempted;

/// How long a link may take to tell what became of a unit whose time is over; it does at once unless it is connecting.
const LAST_WORD: Duration = Duration::from_millis(100);

/// What came of one group's attempt.
pub(super) enum Attempt {
    Replied(UnitReply),
    /// No room in the budget, and the client does not wait for it.
    Overloaded,
}

/// Small: it is moved to the heap for each group, as large as the largest of its ways. So the rare ones are boxed.
pub(super) async fn attempt<'a>(core: &Core, group: Group<'a>, deadline: Deadline) -> (Group<'a>, Attempt) {
    attempted(group.pool.node());
    let attempt = if group.is_exclusive {
        Box::pin(attempt_alone(core, &group, deadline)).await
    } else {
        match group.pool.link(group.lane) {
            Some(link) => send(core, link, group.pieces(), group.length(), deadline, deadline.at).await,
            None => lost(LossCause::Retired),
        }
    };
    (group, attempt)
}

/// On a connection of its own, where the server may hold back the reply.
async fn attempt_alone(core: &Core, group: &Group<'_>, deadline: Deadline) -> Attempt {
    let connection = match within(deadline.at, group.pool.exclusive()).await {
        Some(Ok(connection)) => connection,
        Some(Err(cause)) => return lost(cause),
        None => return lost(LossCause::Expired),
    };
    // A pool looks idle while a connection is made, so it may have been given up meanwhile: nothing was sent yet, and what is sent
    // now would be said to be lost.
    let Some(link) = connection.link().filter(|_| !group.pool.is_severed()) else {
        return lost(LossCause::Retired);
    };
    let attempt = send_alone(core, &group.pool, link, group.pieces(), group.length(), deadline).await;
    if let Attempt::Replied(reply) = &attempt
        && reply.values.iter().any(is_farewell)
    {
        connection.close();
    }
    attempt
}

/// A primary that is demoted says this to who is blocked and closes the connection then: what is sent on it once more would
/// be lost, and nobody could tell whether it was executed.
fn is_farewell(reply: &Value) -> bool {
    matches!(reply, Value::Error(error) if error.class() == ErrorCode::Unblocked)
}

/// On a connection of `pool` that the caller holds.
pub(super) async fn send_alone(
    core: &Core,
    pool: &NodePool,
    link: &Link,
    pieces: &[Piece<'_>],
    length: usize,
    deadline: Deadline,
) -> Attempt {
    let mut sending = pin!(send(core, link, pieces, length, deadline, None));
    tokio::select! {
        biased;
        // A reply that came before the end is a reply, as it is on a shared link.
        reply = &mut sending => return reply,
        () = pool.until_severed() => {}
    }
    // Some of a unit may be answered: writes whose WAIT is not. The link tells so at its end.
    link.sever();
    match timeout(LAST_WORD, sending).await {
        Ok(reply) => reply,
        Err(_elapsed) => Attempt::Replied(UnitReply::lost(Loss::maybe_sent(LossCause::Retired))),
    }
}

/// `link_deadline` is for links that look at the clock; then they know best what became of a unit whose time is over.
async fn send(
    core: &Core,
    link: &Link,
    pieces: &[Piece<'_>],
    length: usize,
    deadline: Deadline,
    link_deadline: Option<Instant>,
) -> Attempt {
    let mut turn = None;
    let room = link.budget().room_for(length, pieces.len());
    if !link.budget().try_take(room) {
        match core.config.overload {
            OverloadPolicy::Fail => return Attempt::Overloaded,
            OverloadPolicy::Wait => {
                let mut place = link.budget().line_up();
                let taking = Box::pin(within(deadline.at, link.budget().take_in_turn(&mut place, room)));
                if taking.await.is_none() {
                    return lost(LossCause::Expired);
                }
                turn = Some(place);
            }
        }
    }
    let mut pending = match link.send_unit(pieces.iter().copied(), length, room, link_deadline) {
        Ok(pending) => pending,
        Err(Refusal(cause)) => return lost(cause),
    };
    drop(turn);
    if let Some(reply) = within(deadline.at, &mut pending).await {
        return Attempt::Replied(reply);
    }
    if link_deadline.is_some() {
        pending.expire_now();
        if let Ok(reply) = Box::pin(timeout(LAST_WORD, &mut pending)).await {
            return Attempt::Replied(reply);
        }
    }
    Attempt::Replied(pending.give_up(LossCause::Expired))
}

pub(super) fn lost(cause: LossCause) -> Attempt {
    Attempt::Replied(UnitReply::lost(Loss::unsent(cause)))
}

/// `None` if the time is over first.
pub(super) async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(at) => timeout_at(at, future).await.ok(),
        None => Some(future.await),
    }
}

#[cfg(test)]
mod tests {
    use super::attempt;
    use crate::cluster::core::Core;
    use crate::cluster::group::Group;
    use crate::cluster::job::Deadline;

    fn size_of_future<'a, F>(_: impl FnOnce(&'a Core, Group<'a>, Deadline) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_an_attempt_is_small_enough_to_be_moved() {
        let size = size_of_future(attempt);
        assert!(size <= 1024, "{size} bytes");
    }
}
