//! The task of a [`Link`](crate::connection::link::Link): connects when there is something to send, and serves one
//! [`Conversation`] after the other.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::connection::conversation::{Clock, Conversation};
use crate::connection::handshake::{Connection, Purpose, greet};
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::observed::{class_of_loss, note_connect};
use crate::connection::queue::{LinkShared, QueueState};
use crate::connection::waiters::Answers;
use crate::node::NodeAddr;

/// Between the attempts to reach a node: doubled from the first to the last, then shortened at random so that a
/// thousand clients do not come back at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// Connects whenever there is something to send, for as long as the handle lives.
pub(super) async fn serve(shared: Arc<LinkShared>, context: Arc<LinkContext>, purpose: Purpose) {
    let _closing = Closing(&shared);
    let mut failures = 0;
    let mut was_connected = false;
    loop {
        until_wanted(&shared).await;
        match open_while_queue_expires(&shared, &context, purpose).await {
            Ok(connection) => {
                failures = 0;
                if std::mem::replace(&mut was_connected, true) {
                    context.counters.reconnected(&shared.node);
                }
                // What was not written stays queued and leaves with the next connection.
                let cause =
                    Conversation::new(&shared, &context, connection, Some(Clock::new(purpose))).run().await;
                context.counters.disconnected(&shared.node, class_of_loss(&cause));
                context.observer.troubled(&shared.node);
            }
            Err(error) => {
                let cause = LossCause::Connect(error.clone());
                let mut answers = Answers::default();
                let freed = {
                    let mut queue = shared.lock();
                    // The handle may have closed it meanwhile, and that is for good.
                    if matches!(queue.state, QueueState::Open) {
                        queue.state = QueueState::Down(error);
                    }
                    queue.outgoing.fail_all(&cause, &mut answers)
                };
                shared.budget.give_back(freed);
                shared.deliver(&mut answers);
                context.observer.troubled(&shared.node);
                sleep(backoff(failures)).await;
                failures += 1;
                let mut queue = shared.lock();
                if matches!(queue.state, QueueState::Down(_)) {
                    queue.state = QueueState::Open;
                }
            }
        }
    }
}

/// Serves one connection and then refuses everything.
pub(super) async fn serve_once(shared: Arc<LinkShared>, connection: Connection, context: Arc<LinkContext>) {
    let _closing = Closing(&shared);
    let cause = Conversation::new(&shared, &context, connection, None).run().await;
    shared.close(&cause);
    context.counters.disconnected(&shared.node, class_of_loss(&cause));
}

/// Closes the link whenever its task ends, also when its runtime does: nobody would serve the queue any more.
struct Closing<'a>(&'a LinkShared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close(&LossCause::Retired);
    }
}

/// Connects and greets within the connect timeout.
pub(super) async fn open(
    node: &NodeAddr,
    context: &LinkContext,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    let limit = context.config.connect_timeout;
    let connecting = async {
        let stream =
            context.connector.connect(node).await.map_err(|error| ConnectError::Io(Arc::new(error)))?;
        greet(stream, &context.config, purpose).await
    };
    let begun = Instant::now();
    let mut connection = timeout(limit, connecting).await.unwrap_or(Err(ConnectError::Timeout(limit)));
    note_connect(context, node, begun.elapsed(), &mut connection);
    connection
}

/// The same, while commands that wait for the connection keep their deadlines.
async fn open_while_queue_expires(
    shared: &LinkShared,
    context: &LinkContext,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    let mut opening = pin!(open(&shared.node, context, purpose));
    loop {
        let look = Duration::from_millis(50);
        if let Ok(result) = timeout(look, &mut opening).await {
            return result;
        }
        let mut answers = Answers::default();
        let freed = {
            let mut queue = shared.lock();
            queue.outgoing.expire(Instant::now(), &mut answers);
            queue.cut_abandoned()
        };
        shared.budget.give_back(freed);
        shared.deliver(&mut answers);
    }
}

async fn until_wanted(shared: &LinkShared) {
    poll_fn(|cx| {
        let mut queue = shared.lock();
        let freed = if std::mem::take(&mut queue.abandoned) { queue.cut_abandoned() } else { 0 };
        let is_wanted = !queue.outgoing.is_empty();
        if is_wanted {
            // It will take some time to connect.
            queue.forget_the_time();
        } else {
            queue.sleeper = Some(cx.waker().clone());
        }
        drop(queue);
        shared.budget.give_back(freed);
        if is_wanted { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn backoff(failures: u32) -> Duration {
    let longest = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LAST_BACKOFF);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}
