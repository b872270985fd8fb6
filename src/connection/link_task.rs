//! The task of a [`Link`](crate::connection::link::Link): connects when there is something to send, and serves one
//! [`Conversation`] after the other.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::connection::conversation::{Clock, Conversation};
use crate::connection::handshake::{Connection, Purpose, greet};
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::queue::{LinkShared, QueueState};
use crate::connection::relogin::kept_logged_in;
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
    loop {
        until_wanted(&shared).await;
        match open_while_queue_expires(&shared, &context, purpose).await {
            Ok(mut connection) => {
                failures = 0;
                let renewals = connection.renewals.take();
                // What was not written stays queued and leaves with the next connection.
                let conversation =
                    Conversation::new(&shared, &context, connection, Some(Clock::new(purpose))).run();
                let limit = Some(context.config.command_timeout);
                kept_logged_in(conversation, renewals, &shared, &context, limit).await;
                context.counters.disconnects.add_one();
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
pub(super) async fn serve_once(
    shared: Arc<LinkShared>,
    mut connection: Connection,
    context: Arc<LinkContext>,
) {
    let _closing = Closing(&shared);
    let renewals = connection.renewals.take();
    let conversation = Conversation::new(&shared, &context, connection, None).run();
    let cause = kept_logged_in(conversation, renewals, &shared, &context, None).await;
    shared.close(&cause);
    context.counters.disconnects.add_one();
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
    let asks_provider = AtomicBool::new(false);
    let connecting = async {
        let stream =
            context.connector.connect(node).await.map_err(|error| ConnectError::Io(Arc::new(error)))?;
        asks_provider.store(true, Ordering::Relaxed);
        let login = context.logins.begin().await?;
        asks_provider.store(false, Ordering::Relaxed);
        greet(stream, &context.config, login, purpose).await.map_err(|error| match error {
            ConnectError::Io(error)
                if error.kind() == io::ErrorKind::ConnectionReset && !context.config.over_tls =>
            {
                ConnectError::Reset(error)
            }
            error => error,
        })
    };
    let overdue =
        if context.config.over_tls { ConnectError::TlsTimeout(limit) } else { ConnectError::Timeout(limit) };
    let connection =
        timeout(limit, connecting).await.map_err(|_| match asks_provider.load(Ordering::Relaxed) {
            true => ConnectError::Credentials(format!("no answer within {limit:?}").into()),
            false => overdue,
        })??;
    context.counters.connects.add_one();
    Ok(connection)
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
