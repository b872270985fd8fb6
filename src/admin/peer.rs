//! [`Peer`]: one node over a connection of its own, whatever the cluster thinks of it: no redirect is followed, and
//! nothing is sent twice.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::command::Command;
use crate::config::credentials::Credentials;
use crate::connection::budget::{Bound, Budget};
use crate::connection::link::{Link, Refusal};
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;
use crate::routing::redirect::kind_of;

/// What one connection may have queued: as much as the largest round of counting, and more.
const ROOM: usize = 16 << 20;

/// Before what another node has said, in the reply of the one that asked it.
const RELAYED: &str = "ERR Target instance replied with error: ";

/// A node over a connection of its own, which is made when it is needed and made again after it was lost.
#[derive(Debug)]
pub(super) struct Peer {
    addr: NodeAddr,
    context: Arc<LinkContext>,
    link: Mutex<Option<Arc<Link>>>,
}

impl Peer {
    pub(super) fn new(addr: NodeAddr, context: Arc<LinkContext>) -> Self {
        Self { addr, context, link: Mutex::default() }
    }

    pub(super) fn addr(&self) -> &NodeAddr {
        &self.addr
    }

    /// The reply, an error reply being one. Dropped before the command was written, it is not sent.
    pub(super) async fn ask(&self, command: &Command) -> Result<Value> {
        let mut replies = self.ask_all(std::slice::from_ref(command)).await;
        replies.pop().unwrap_or_else(|| Err(self.lost(command, Outcome::NotSent, &LossCause::Retired)))
    }

    /// The same for a command that only asks: it is sent once more if its connection was lost.
    pub(super) async fn read(&self, command: &Command) -> Result<Value> {
        match self.order(command).await {
            Err(error) if error.kind() == ErrorKind::ConnectionLost => self.order(command).await,
            result => result,
        }
    }

    /// [`read`](Self::read) of a text.
    pub(super) async fn text(&self, command: &Command) -> Result<String> {
        let value = self.read(command).await?;
        value.as_str().map(str::to_owned).ok_or_else(|| self.unexpected(command, &value))
    }

    /// [`read`](Self::read) of a number.
    pub(super) async fn int(&self, command: &Command) -> Result<u64> {
        let value = self.read(command).await?;
        self.as_count(command, &value)
    }

    /// The reply, an error reply being an error.
    pub(super) async fn order(&self, command: &Command) -> Result<Value> {
        let reply = self.ask(command).await?;
        self.accepted(command, reply)
    }

    /// Sends all, one behind the other, and gives the reply of each. The time of each runs from the reply before it on: who
    /// stands behind one that never came has waited as long, and is not waited for once more.
    pub(super) async fn ask_all(&self, commands: &[Command]) -> Vec<Result<Value>> {
        let Some(first) = commands.first() else { return Vec::new() };
        let link = match self.link().await {
            Ok(link) => link,
            Err(error) => {
                let error = error.with_command(first.shared_name());
                return commands.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut pending = Vec::with_capacity(commands.len());
        for command in commands {
            let room = link.budget().room_for(command.body().wire_length(), 1);
            link.budget().take(room).await;
            pending.push(link.send(command, room, Duration::MAX, Waker::noop()));
        }
        let mut replies = Vec::with_capacity(commands.len());
        let mut heard = Instant::now();
        for (command, sent) in commands.iter().zip(pending) {
            let limit = self.time_of(command);
            let reply = match sent {
                Err(Refusal(cause)) => Err(self.lost(command, Outcome::NotSent, &cause)),
                Ok((pending, _no_deadline)) => {
                    match timeout(limit.saturating_sub(heard.elapsed()), pending).await {
                        Ok(Ok(value)) => {
                            heard = Instant::now();
                            Ok(value)
                        }
                        Ok(Err(loss)) if loss.written == 0 => {
                            Err(self.lost(command, Outcome::NotSent, &loss.cause))
                        }
                        Ok(Err(loss)) => Err(self.lost(command, Outcome::MaybeExecuted, &loss.cause)),
                        Err(_elapsed) => {
                            // Whatever comes on it from now on is late; the next command gets a connection of its own.
                            self.forget(&link);
                            let text = format!("no reply within {limit:?}");
                            Err(self.error(command, ErrorKind::Timeout, Outcome::MaybeExecuted, text))
                        }
                    }
                }
            };
            replies.push(reply);
        }
        replies
    }

    /// [`ask_all`](Self::ask_all) of commands that are answered with a number.
    pub(super) async fn ints(&self, commands: &[Command]) -> Result<Vec<u64>> {
        let replies = self.ask_all(commands).await;
        let read = |(command, reply): (&Command, Result<Value>)| {
            let reply = self.accepted(command, reply?)?;
            self.as_count(command, &reply)
        };
        commands.iter().zip(replies).map(read).collect()
    }

    /// The strings of a list.
    pub(super) async fn strings(&self, command: &Command) -> Result<Vec<Bytes>> {
        let value = self.read(command).await?;
        let strings = match &value {
            Value::Array(list) => list.iter().map(|item| match item {
                Value::Bulk(bytes) => Some(bytes.clone()),
                _no_string => None,
            }),
            _no_list => return Err(self.unexpected(command, &value)),
        };
        let read: Option<Vec<Bytes>> = strings.collect();
        read.ok_or_else(|| self.unexpected(command, &value))
    }

    fn accepted(&self, command: &Command, reply: Value) -> Result<Value> {
        match reply {
            Value::Error(error) => Err(self.refused(command, &error)),
            value => Ok(value),
        }
    }

    /// The error of an error reply, of the kind that a client's caller gets of it: what a client waits out is
    /// [`ErrorKind::Unavailable`] here too, and whoever gives an order may try again. Of what the target of a `MIGRATE` has
    /// said the kind is that of its words: a password that it does not take is none that it takes later.
    pub(super) fn refused(&self, command: &Command, error: &ServerError) -> Error {
        let kind = match error.text().strip_prefix(RELAYED) {
            Some(relayed) => kind_of(&ServerError::new(relayed)),
            None => kind_of(error),
        };
        self.error(command, kind, Outcome::Rejected, error.text().to_owned()).with_code(error.code())
    }

    fn as_count(&self, command: &Command, value: &Value) -> Result<u64> {
        let count = value.as_int().and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| self.unexpected(command, value))
    }

    /// The reply is not what this command is answered with.
    pub(super) fn unexpected(&self, command: &Command, value: &Value) -> Error {
        let text = format!("the reply is {}", value.kind());
        self.error(command, ErrorKind::Protocol, Outcome::MaybeExecuted, text)
    }

    fn error(&self, command: &Command, kind: ErrorKind, outcome: Outcome, text: String) -> Error {
        Error::new(kind, outcome, text).with_command(command.shared_name()).with_node(self.addr.clone())
    }

    fn lost(&self, command: &Command, outcome: Outcome, cause: &LossCause) -> Error {
        self.error(command, ErrorKind::ConnectionLost, outcome, cause.to_string())
    }

    fn time_of(&self, command: &Command) -> Duration {
        command.own_timeout().unwrap_or(self.context.config.command_timeout)
    }

    fn forget(&self, link: &Arc<Link>) {
        let mut kept = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, link)) {
            *kept = None;
        }
    }

    fn not_connected(&self, error: &ConnectError) -> Error {
        Error::new(ErrorKind::Connect, Outcome::NotSent, error.to_string()).with_node(self.addr.clone())
    }

    /// What a connection that is made now authenticates with.
    pub(super) async fn credentials(&self) -> Result<Option<Credentials>> {
        match self.context.logins.begin().await {
            Ok(login) => Ok(login.credentials),
            Err(error) => Err(self.not_connected(&error)),
        }
    }

    async fn link(&self) -> Result<Arc<Link>> {
        let kept = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(link) = kept.filter(|link| !link.is_closed()) {
            return Ok(link);
        }
        let bound = || Bound::new(ROOM, usize::MAX);
        let budget = Budget::new(bound(), bound());
        let made = Link::exclusive(self.addr.clone(), budget, Arc::clone(&self.context)).await;
        let link = Arc::new(made.map_err(|error| self.not_connected(&error))?);
        let mut kept = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have made one meanwhile; what is sent on it stays on it.
        if let Some(other) = kept.as_ref().filter(|other| !other.is_closed()) {
            return Ok(Arc::clone(other));
        }
        *kept = Some(Arc::clone(&link));
        Ok(link)
    }
}
