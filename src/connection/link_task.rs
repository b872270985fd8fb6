//! The task of a [`Link`](crate::connection::link::Link): connects when there is something to send, and serves one
//! [`Conversation`] after the other.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::budget::Room;
use crate::connection::clock::Clock;
use crate::connection::conversation::Conversation;
use crate::connection::dials::COUNTS_FOR;
use crate::connection::handshake::{Connection, Purpose, greet};
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::observed::{class_of_loss, note_connect};
use crate::connection::queue::{LinkShared, QueueState};
use crate::connection::relogin::kept_logged_in;
use crate::connection::waiters::Answers;
use crate::node::NodeAddr;

/// Connects whenever there is something to send, for as long as the handle lives.
pub(super) async fn serve(closing: Closing, context: Arc<LinkContext>, purpose: Purpose) {
    let Closing(shared) = &closing;
    let mut was_connected = false;
    loop {
        until_wanted(shared).await;
        match open_while_queue_expires(shared, &context, purpose).await {
            Ok(mut connection) => {
                if std::mem::replace(&mut was_connected, true) {
                    context.counters.reconnected(&shared.node);
                }
                let made = Instant::now();
                let renewals = connection.renewals.take();
                // What was not written stays queued and leaves with the next connection.
                let conversation =
                    Conversation::new(shared, &context, connection, Some(Clock::new(purpose))).run();
                let limit = Some(context.config.command_timeout);
                let cause = kept_logged_in(conversation, renewals, shared, &context, limit).await;
                context.dials.ended(&shared.node, made);
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
                if let Some(until) = context.dials.rests_until(&shared.node) {
                    sleep_until(until).await;
                }
                let mut queue = shared.lock();
                if matches!(queue.state, QueueState::Down(_)) {
                    queue.state = QueueState::Open;
                }
            }
        }
    }
}

/// Serves one connection and then refuses everything.
pub(super) async fn serve_once(closing: Closing, mut connection: Connection, context: Arc<LinkContext>) {
    let Closing(shared) = &closing;
    let made = Instant::now();
    let renewals = connection.renewals.take();
    let conversation = Conversation::new(shared, &context, connection, None).run();
    let cause = kept_logged_in(conversation, renewals, shared, &context, None).await;
    context.dials.ended(&shared.node, made);
    shared.close(&cause);
    context.counters.disconnected(&shared.node, class_of_loss(&cause));
}

/// Closes the link whenever its task ends, also when its runtime does, or has ended before the task could begin: nobody would
/// serve the queue any more.
pub(super) struct Closing(pub(super) Arc<LinkShared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(&LossCause::Retired);
    }
}

/// Connects and greets within the connect timeout, once the node may be dialled.
pub(super) async fn open(
    node: &NodeAddr,
    context: &LinkContext,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    let mut turn = context.dials.turn(node).await?;
    let begun = Instant::now();
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
    let mut connecting = pin!(timeout(limit, connecting));
    let result = match timeout(COUNTS_FOR, &mut connecting).await {
        Ok(result) => result,
        Err(_hangs) => {
            turn.let_others_go();
            connecting.await
        }
    };
    let mut result = result.unwrap_or_else(|_| {
        Err(match (asks_provider.load(Ordering::Relaxed), context.config.over_tls) {
            (true, _) => ConnectError::Credentials(format!("no answer within {limit:?}").into()),
            (false, true) => ConnectError::TlsTimeout(limit),
            (false, false) => ConnectError::Timeout(limit),
        })
    });
    note_connect(context, node, begun.elapsed(), &mut result);
    match &result {
        Ok(_connection) => context.dials.succeeded(node),
        Err(error) => context.dials.failed(node, begun, error),
    }
    result
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
            let mut freed = queue.outgoing.expire(Instant::now(), &mut answers).unwrap_or(Room::NONE);
            freed += queue.cut_abandoned();
            freed
        };
        shared.budget.give_back(freed);
        shared.deliver(&mut answers);
    }
}

pub(super) async fn until_wanted(shared: &LinkShared) {
    poll_fn(|cx| {
        let mut queue = shared.lock();
        let freed = if std::mem::take(&mut queue.abandoned) { queue.cut_abandoned() } else { Room::NONE };
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
