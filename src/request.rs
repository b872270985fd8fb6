//! [`Request`]: the future of one command, with the fast path.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::cluster::core::Core;
use crate::cluster::executor::{FirstAttempt, execute};
use crate::cluster::job::Deadline;
use crate::cluster::way::{Way, execute_traced};
use crate::command::draft::Said;
use crate::command::{Command, Target};
use crate::config::read_from::ReadFrom;
use crate::connection::link::Pending;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::command_spec::{BlockTimeout, Blocking};
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;
use crate::routing::plan::Place;
use crate::slot::Slot;
use crate::stats::operation::{Operation, error_of, observe_command};

/// One command on its way. Sends when it is first polled; resolves to its reply, read as `R`.
///
/// # Cancel safety
///
/// Dropped before the command was written to a socket, it is not sent. Dropped later, the command may be executed, and
/// nobody learns of it.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use std::time::Duration;
///
/// use keyslot::{Commands, ReadFrom};
///
/// let seen = client.incr("seen").idempotent().timeout(Duration::from_millis(300)).await?;
/// let same: i64 = client.get("seen").read_from(ReadFrom::Primary).await?;
/// assert_eq!(seen, same);
/// # Ok(())
/// # }
/// ```
#[must_use = "a command is sent when its future is awaited"]
pub struct Request<'a, R> {
    core: &'a Core,
    /// Stays where it is: it is too large to be moved from state to state.
    command: Command,
    state: State<'a>,
    operation: Operation,
    reply: PhantomData<fn() -> R>,
}

enum State<'a> {
    New,
    /// The usual path: one link, one reply, no allocation here.
    Sent {
        slot: Slot,
        is_replica: bool,
        /// The deadline, of the client's own time.
        at: Option<Instant>,
        pending: Pending,
    },
    /// Everything else: redirects, retries, splits, exclusive connections. It has the command; its name stays here.
    Following(BoxFuture<'a, Result<Value>>),
    Done,
}

impl<'a, R> Request<'a, R> {
    #[inline]
    pub(crate) fn new(core: &'a Core, command: Command) -> Self {
        Self { core, command, state: State::New, operation: Operation::none(), reply: PhantomData }
    }

    /// Writes the command to where it stays.
    #[inline]
    pub(crate) fn of(core: &'a Core, said: impl Said) -> Self {
        let (command, write) = said.begin();
        let mut request =
            Self { core, command, state: State::New, operation: Operation::none(), reply: PhantomData };
        write(&mut request.command);
        request
    }

    /// Gives this request its own deadline; see [`Command::timeout`]. Of no effect once it was polled.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.changed(|command| command.timeout(timeout))
    }

    /// Says which nodes may answer it; see [`Command::read_from`]. Of no effect once it was polled.
    pub fn read_from(self, policy: ReadFrom) -> Self {
        self.changed(|command| command.read_from(policy))
    }

    /// Allows to send it again though it may have been executed; see [`Command::idempotent`]. Of no effect once it was
    /// polled.
    pub fn idempotent(self) -> Self {
        self.changed(Command::idempotent)
    }

    /// Sends it to `target` instead of where its keys and its policy say; see [`Command::to`]. Of no effect once it was
    /// polled.
    ///
    /// Several nodes answer with a list or a map of their replies, so the command's reply type must fit that.
    pub fn to(self, target: Target) -> Self {
        self.changed(|command| command.to(target))
    }

    /// Sends it, and tells beside its result the way that it has taken: nodes, attempts, redirects and time. Where
    /// [`Client::explain`](crate::Client::explain) says what would happen, this says what has.
    ///
    /// It does the same as the request by itself but for the fast path, so it costs some microseconds and allocations more:
    /// for tools, logs of what was slow, and tests.
    ///
    /// ```
    /// # use keyslot::testkit::SimCluster;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
    /// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
    /// use keyslot::Commands;
    ///
    /// let (name, way) = client.get::<Option<String>>("user:1").traced().await;
    /// println!("{name:?} of {:?} after {} attempts in {:?}", way.node(), way.attempts(), way.elapsed);
    /// assert_eq!((name?, way.attempts()), (None, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the request; their way is told all the same. [`ErrorKind::Usage`] if the request was polled before: then it is
    /// given up, as by dropping it.
    ///
    /// # Cancel safety
    ///
    /// As with the request.
    pub async fn traced(mut self) -> (Result<R>, Way)
    where
        R: FromValue,
    {
        let core = self.core;
        let (command, name) = (self.command.take(), self.command.shared_name());
        let refusal = match self.state {
            State::New if core.is_closed() => Some(Error::closed()),
            State::New => None,
            State::Sent { .. } | State::Following(_) | State::Done => {
                // It may have left.
                let error = Error::usage("a request that is under way cannot be traced from its begin");
                Some(error.with_outcome(Outcome::MaybeExecuted))
            }
        };
        if let Some(refusal) = refusal {
            return (Err(refusal.with_command(name)), Way::default());
        }
        let deadline = deadline_of(core, &command);
        // Unconstrained for the order of those that a task sends, as in `follow`.
        let work = unconstrained(execute_traced(core, &command, deadline));
        let (reply, way) =
            observe_command(name, command.marked_slot(), work, |(reply, _)| error_of(reply)).await;
        (reply.and_then(|value| read(value, &command)), way)
    }

    fn changed(mut self, change: impl FnOnce(Command) -> Command) -> Self {
        match self.state {
            State::New => self.command = change(self.command.take()),
            State::Sent { .. } | State::Following(_) | State::Done => {}
        }
        self
    }
}

impl<R: FromValue> Future for Request<'_, R> {
    type Output = Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { core, command, state, operation, .. } = &mut *self;
        if let State::New = state {
            *operation = Operation::command(command.name(), || command.marked_slot());
        }
        let result = ready!(operation.within(|| poll_reply(core, command, state, operation, cx)));
        operation.end(|| command.shared_name(), result.as_ref().err());
        Poll::Ready(result)
    }
}

/// What the future does, but for telling of it.
#[inline]
fn poll_reply<'a, R: FromValue>(
    core: &'a Core,
    command: &mut Command,
    state: &mut State<'a>,
    operation: &Operation,
    cx: &mut Context<'_>,
) -> Poll<Result<R>> {
    loop {
        match state {
            State::New => match start(core, command, cx.waker()) {
                // Its task has the waker, and has not run yet.
                Ok(State::Sent { slot, is_replica, at, pending }) => {
                    operation.asked(pending.node());
                    *state = State::Sent { slot, is_replica, at, pending };
                    return Poll::Pending;
                }
                Ok(next) => *state = next,
                Err(error) => {
                    *state = State::Done;
                    return Poll::Ready(Err(error));
                }
            },
            State::Sent { slot, is_replica, at, pending } => {
                let reply = ready!(Pin::new(&mut *pending).poll(cx));
                match reply {
                    Ok(value) if is_final(&value, *is_replica && core.config.check_missing) => {
                        *state = State::Done;
                        return Poll::Ready(read(value, command));
                    }
                    reply => {
                        let (node, is_replica) = (pending.node().clone(), *is_replica);
                        let place = core.place_of(command, Place::Slot(*slot));
                        let first = FirstAttempt { node, place, is_replica, reply };
                        let deadline = Deadline { at: *at, limit: core.config.command_timeout };
                        *state = follow(core, command, Some(first), deadline);
                    }
                }
            }
            State::Following(future) => {
                let reply = ready!(future.as_mut().poll(cx));
                *state = State::Done;
                return Poll::Ready(reply.and_then(|value| read(value, command)));
            }
            State::Done => {
                return Poll::Ready(Err(Error::usage("a request was polled after it had resolved")));
            }
        }
    }
}

/// Whether the caller gets this reply. What a replica says is missing may be checked.
#[inline]
fn is_final(reply: &Value, checks_missing: bool) -> bool {
    match reply {
        Value::Error(_) => false,
        reply => !(checks_missing && reply.says_missing()),
    }
}

/// Sends on the fast path if there is one, else hands over to the executor.
fn start<'a>(core: &'a Core, command: &mut Command, waker: &Waker) -> Result<State<'a>> {
    if core.is_closed() {
        return Err(Error::closed().with_command(command.shared_name()));
    }
    let Some(slot) = plain_slot(command) else {
        let deadline = deadline_of(core, command);
        return Ok(follow(core, command, None, deadline));
    };
    let limit = core.config.command_timeout;
    let routes = core.routes();
    let owner = routes.owner(slot);
    let (pool, is_replica) = match owner {
        Some(_) if core.may_ask_replicas(command) => routes.reader_pool(slot, &core.config.read_from),
        owner => (owner, false),
    };
    let link =
        pool.and_then(|pool| pool.link(if is_replica { pool.lane_of_reads() } else { pool.lane_of(slot) }));
    let taken = link.and_then(|link| {
        let room = link.budget().room_for(command.body().wire_length(), 1);
        link.budget().try_take(room).then_some((link, room))
    });
    let Some((link, room)) = taken else {
        return Ok(follow(core, command, None, Deadline::after(limit)));
    };
    match link.send(command, room, limit, waker) {
        Ok((pending, at)) => Ok(State::Sent { slot, is_replica, at, pending }),
        // The node is down for now: the executor asks for a refresh and tries until the deadline.
        Err(_) => Ok(follow(core, command, None, Deadline::after(limit))),
    }
}

#[cold]
fn follow<'a>(
    core: &'a Core,
    command: &mut Command,
    first: Option<FirstAttempt>,
    deadline: Deadline,
) -> State<'a> {
    let command = command.take();
    // Unconstrained: a task with many requests uses up its share of polls, and the runtime would then hold up one of
    // them while a later one on the same key goes on. Each attempt waits for a link's task, so others get their turn.
    State::Following(Box::pin(unconstrained(async move { execute(core, &command, first, deadline).await })))
}

/// The slot of a command that needs nothing but the link of its slot.
#[inline]
fn plain_slot(command: &Command) -> Option<Slot> {
    let slot = command.marked_slot()?;
    let needs_a_plan = command.has_its_own_way()
        || command.named_spec().is_some_and(|spec| spec.container || spec.blocking != Blocking::Never);
    (!needs_a_plan).then_some(slot)
}

/// The time that a command has from now on.
pub(crate) fn deadline_of(core: &Core, command: &Command) -> Deadline {
    let usual = core.config.command_timeout;
    match (command.own_timeout(), command.block_timeout()) {
        (Some(own), _) => Deadline::after(own),
        (None, BlockTimeout::NotBlocking) => Deadline::after(usual),
        (None, BlockTimeout::After(blocking)) => Deadline::after(usual.saturating_add(blocking)),
        (None, BlockTimeout::Forever) => Deadline::never(),
    }
}

fn read<R: FromValue>(value: Value, command: &Command) -> Result<R> {
    R::from_value(value).map_err(|error| unfitting(error, command.shared_name()))
}

/// Reads the reply as the type that the caller wants.
pub(crate) fn convert<R: FromValue>(value: Value, name: Cow<'static, str>) -> Result<R> {
    R::from_value(value).map_err(|error| unfitting(error, name))
}

/// The error of a reply that has another type. The command was executed, whatever comes of this.
pub(crate) fn unfitting(error: ConversionError, name: Cow<'static, str>) -> Error {
    Error::new(ErrorKind::Conversion, Outcome::MaybeExecuted, "it was executed, but its reply does not fit")
        .with_source(error)
        .with_command(name)
}

impl<R> fmt::Debug for Request<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New => "new",
            State::Sent { .. } => "sent",
            State::Following(_) => "following",
            State::Done => "done",
        };
        f.debug_struct("Request").field("command", &self.command.name()).field("state", &state).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::convert;
    use crate::error::{ErrorKind, Outcome};
    use crate::protocol::value::Value;

    #[test]
    fn a_reply_that_does_not_fit_is_told_with_its_command() {
        let error = convert::<i64>(Value::Array(Vec::new()), "HINCRBY".into()).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conversion, Outcome::MaybeExecuted));
        assert_eq!(
            error.to_string(),
            "HINCRBY: it was executed, but its reply does not fit: the reply is an array, wanted an integer (i64)"
        );
    }
}
