//! [`Request`]: the future of one command, with the fast path.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task::unconstrained;

use crate::cluster::core::Core;
use crate::cluster::executor::{FirstAttempt, execute};
use crate::cluster::job::Deadline;
use crate::command::Command;
use crate::connection::link::Pending;
use crate::connection::loss::Loss;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::command_spec::{BlockTimeout, Blocking};
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;
use crate::routing::plan::Place;
use crate::slot::Slot;

/// One command on its way. Sends when it is first polled; resolves to its reply, read as `R`.
///
/// # Cancel safety
///
/// Dropped before the command was written to a socket, it is not sent. Dropped later, the command may be executed, and
/// nobody learns of it.
#[must_use = "a command is sent when its future is awaited"]
pub struct Request<'a, R> {
    state: State<'a>,
    reply: PhantomData<fn() -> R>,
}

enum State<'a> {
    New {
        core: &'a Core,
        command: Command,
    },
    /// The usual path: one link, one reply, no allocation here.
    Sent {
        core: &'a Core,
        command: Command,
        slot: Slot,
        deadline: Deadline,
        pending: Pending<Result<Value, Loss>>,
    },
    /// Everything else: redirects, retries, splits, exclusive connections.
    Following {
        name: Cow<'static, str>,
        future: BoxFuture<'a, Result<Value>>,
    },
    Done,
}

impl<'a, R> Request<'a, R> {
    pub(crate) fn new(core: &'a Core, command: Command) -> Self {
        Self { state: State::New { core, command }, reply: PhantomData }
    }

    /// Gives this request its own deadline; see [`Command::timeout`]. Of no effect once it was polled.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.changed(|command| command.timeout(timeout))
    }

    /// Allows to send it again though it may have been executed; see [`Command::idempotent`]. Of no effect once it was
    /// polled.
    pub fn idempotent(self) -> Self {
        self.changed(Command::idempotent)
    }

    fn changed(mut self, change: impl FnOnce(Command) -> Command) -> Self {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::New { core, command } => State::New { core, command: change(command) },
            polled @ (State::Sent { .. } | State::Following { .. } | State::Done) => polled,
        };
        self
    }
}

impl<R: FromValue> Future for Request<'_, R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match &mut self.state {
                State::New { .. } => match std::mem::replace(&mut self.state, State::Done) {
                    State::New { core, command } => start(core, command)?,
                    _cannot_be => State::Done,
                },
                State::Sent { pending, .. } => {
                    let reply = ready!(Pin::new(pending).poll(cx));
                    match (std::mem::replace(&mut self.state, State::Done), reply) {
                        (State::Sent { command, .. }, Ok(value)) if !matches!(value, Value::Error(_)) => {
                            return Poll::Ready(convert(value, command.shared_name()));
                        }
                        (State::Sent { core, command, slot, deadline, pending }, reply) => {
                            let place = Place::Slot(slot);
                            let first = FirstAttempt { node: pending.node().clone(), place, reply };
                            follow(core, command, Some(first), deadline)
                        }
                        _cannot_be => State::Done,
                    }
                }
                State::Following { future, .. } => {
                    let reply = ready!(future.as_mut().poll(cx));
                    return Poll::Ready(match (std::mem::replace(&mut self.state, State::Done), reply) {
                        (State::Following { name, .. }, Ok(value)) => convert(value, name),
                        (_, Ok(value)) => convert(value, Cow::Borrowed("")),
                        (_, Err(error)) => Err(error),
                    });
                }
                State::Done => {
                    return Poll::Ready(Err(Error::usage("a request was polled after it had resolved")));
                }
            };
            self.state = next;
        }
    }
}

/// Sends on the fast path if there is one, else hands over to the executor.
fn start(core: &Core, command: Command) -> Result<State<'_>> {
    if core.is_closed() {
        return Err(Error::closed().with_command(command.shared_name()));
    }
    let deadline = deadline(core, &command);
    let Some(slot) = plain_slot(&command) else { return Ok(follow(core, command, None, deadline)) };
    let routes = core.routes();
    let link = routes.owner(slot).and_then(|pool| pool.link(pool.lane_of(slot)));
    let Some(link) = link.filter(|link| link.budget().try_take(command.body().wire_length())) else {
        return Ok(follow(core, command, None, deadline));
    };
    match link.send(&command, deadline.at) {
        Ok(pending) => Ok(State::Sent { core, command, slot, deadline, pending }),
        // The node is down for now: the executor asks for a refresh and tries until the deadline.
        Err(_) => Ok(follow(core, command, None, deadline)),
    }
}

fn follow<'a>(
    core: &'a Core,
    command: Command,
    first: Option<FirstAttempt>,
    deadline: Deadline,
) -> State<'a> {
    let name = command.shared_name();
    // Unconstrained: a task with many requests uses up its share of polls, and the runtime would then hold up one of
    // them while a later one on the same key goes on. Each attempt waits for a link's task, so others get their turn.
    let future = Box::pin(unconstrained(async move { execute(core, &command, first, deadline).await }));
    State::Following { name, future }
}

/// The slot of a command that needs nothing but the link of its slot.
#[inline]
fn plain_slot(command: &Command) -> Option<Slot> {
    let slot = command.marked_slot()?;
    let needs_a_plan = command.target().is_some()
        // The link's clock is set for the client's own time; the executor has one for shorter ones.
        || command.own_timeout().is_some()
        || command.named_spec().is_some_and(|spec| spec.container || spec.blocking != Blocking::Never);
    (!needs_a_plan).then_some(slot)
}

fn deadline(core: &Core, command: &Command) -> Deadline {
    let usual = core.config.command_timeout;
    match (command.own_timeout(), command.block_timeout()) {
        (Some(own), _) => Deadline::after(own),
        (None, BlockTimeout::NotBlocking) => Deadline::after(usual),
        (None, BlockTimeout::After(blocking)) => Deadline::after(usual.saturating_add(blocking)),
        (None, BlockTimeout::Forever) => Deadline::never(),
    }
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
        let (state, command) = match &self.state {
            State::New { command, .. } => ("new", command.name()),
            State::Sent { command, .. } => ("sent", command.name()),
            State::Following { name, .. } => ("following", name.as_ref()),
            State::Done => ("done", ""),
        };
        f.debug_struct("Request").field("command", &command).field("state", &state).finish()
    }
}
