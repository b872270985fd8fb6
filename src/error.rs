//! [`Error`]: what happened, where, and whether the command may have been executed.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::node::NodeAddr;
use crate::slot::Slot;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What became of a command that ended in an error. The three answers ask for three different reactions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// No server has executed it (it never left whole, or was turned away until the deadline): sending it again is safe.
    NotSent,
    /// The command left, and it is not known whether it ran; or it ran and its reply is of no use. Read before you
    /// send it again, unless repeating it does no harm.
    MaybeExecuted,
    /// The server (or this client, before sending) refused the command: it had no effect, and the same command
    /// will be refused again until its cause is gone.
    Rejected,
}

/// What went wrong, as a class that code can match on. [`Error`]'s text tells the details.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL or a builder's setting is not valid.
    Config,
    /// No connection could be made: name not found, refused, no answer, or the handshake failed.
    Connect,
    /// The server asks for other credentials (`NOAUTH`, `WRONGPASS`, `NOPERM`), or their provider has failed.
    Auth,
    /// An established connection ended before the reply came.
    ConnectionLost,
    /// The deadline passed.
    Timeout,
    /// The peer sent what is not RESP, or not what this command is answered with.
    Protocol,
    /// An error reply without a class of its own; see [`Error::code`].
    Server,
    /// The command's keys are in different slots.
    CrossSlot,
    /// The command cannot be used in this place; the text says how it can.
    Usage,
    /// More redirects than allowed; see [`Error::trail`].
    Redirects,
    /// No node serves the slot, or the node or the cluster is down, loading or moving its keys; and it stayed so
    /// until the deadline.
    Unavailable,
    /// The reply has another type than the one asked for.
    Conversion,
    /// The budget of bytes or of requests is used up and the client is set to fail instead of to wait.
    Overloaded,
    /// The session's slot has moved, its node was failed over, or its connection was lost: what it watched is not watched
    /// any more. Begin a new one, with [`Client::session`](crate::Client::session).
    SessionLost,
    /// The client was closed.
    Closed,
}

/// Which of the two redirects a server sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RedirectKind {
    /// The slot belongs to another node from now on.
    Moved,
    /// This one command is to be tried at the node that the slot is moving to.
    Ask,
}

/// One redirect that was followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// `MOVED` or `ASK`.
    pub kind: RedirectKind,
    /// The slot that the server named.
    pub slot: Slot,
    /// The node that answered with the redirect.
    pub from: NodeAddr,
    /// The node that it named.
    pub to: NodeAddr,
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RedirectKind::Moved => "MOVED",
            RedirectKind::Ask => "ASK",
        };
        write!(f, "{} -{kind} {}-> {}", self.from, self.slot, self.to)
    }
}

/// What became of each key of a command that was split by slot and failed in part; see [`Error::keys`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct KeyOutcomes {
    /// Their part succeeded.
    pub done: Vec<Bytes>,
    /// Their part had surely no effect.
    pub not_done: Vec<Bytes>,
    /// Their part may have been executed.
    pub unknown: Vec<Bytes>,
}

/// A command (or a connect) that failed.
///
/// One pointer wide. [`Error::outcome`] is the question that matters after a failed write; the text names the
/// command, its slot, the node and the number of attempts. Never the client's password; and of a command's arguments only what a
/// server repeats in its own text (`unknown command 'GTE', with args beginning with: ..`), two keys that are in different slots,
/// and the beginning of a reply that does not fit.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Commands, ErrorKind, Outcome};
///
/// client.set("name", "Ann").await?;
/// let error = client.incr("name").await.unwrap_err();
/// assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
/// assert_eq!((error.command(), error.code(), error.attempts()), (Some("INCR"), Some("ERR"), 1));
/// println!("{error}"); // INCR (slot 5798) at 127.0.0.1:7001: ..., with the server's text
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    message: Cow<'static, str>,
    code: Option<Box<str>>,
    command: Option<Cow<'static, str>>,
    slot: Option<Slot>,
    node: Option<NodeAddr>,
    attempts: u32,
    trail: Vec<Redirect>,
    keys: Option<Box<KeyOutcomes>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the command may have been executed.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The command's name, if the error belongs to one.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_deref()
    }

    /// The slot that the command was routed by.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        self.0.slot
    }

    /// The node that was asked last.
    #[must_use]
    pub fn node(&self) -> Option<&NodeAddr> {
        self.0.node.as_ref()
    }

    /// How often the command was tried; 0 when it never came to that.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The first word of the server's error reply, such as `WRONGTYPE`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The redirects that were followed, oldest first.
    #[must_use]
    pub fn trail(&self) -> &[Redirect] {
        &self.0.trail
    }

    /// The redirect that was followed last.
    #[must_use]
    pub fn last_redirect(&self) -> Option<&Redirect> {
        self.0.trail.last()
    }

    /// Which keys are done, which not, and of which it is not known: of a command with many keys (`MGET`, `MSET`, `DEL`, ...) that
    /// was split by slot. `None` of all others. The text has their numbers only.
    #[must_use]
    pub fn keys(&self) -> Option<&KeyOutcomes> {
        self.0.keys.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            outcome,
            message: message.into(),
            code: None,
            command: None,
            slot: None,
            node: None,
            attempts: 0,
            trail: Vec::new(),
            keys: None,
            source: None,
        }))
    }

    /// A refusal of this client, before anything was sent.
    pub(crate) fn usage(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Usage, Outcome::Rejected, message)
    }

    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, Outcome::NotSent, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, Outcome::NotSent, "the client is closed")
    }

    pub(crate) fn with_code(mut self, code: &str) -> Self {
        self.0.code = Some(code.into());
        self
    }

    pub(crate) fn with_command(mut self, name: Cow<'static, str>) -> Self {
        self.0.command = Some(name);
        self
    }

    pub(crate) fn with_slot(mut self, slot: Option<Slot>) -> Self {
        self.0.slot = slot;
        self
    }

    pub(crate) fn with_node(mut self, node: NodeAddr) -> Self {
        self.0.node = Some(node);
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn with_trail(mut self, trail: Vec<Redirect>) -> Self {
        self.0.trail = trail;
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Says of a command that went in `count` parts that `failed` of them failed; `self` is the first, and `others` are the
    /// nodes of the other ones. Each is named once, and of many the first few.
    pub(crate) fn of_parts(mut self, failed: usize, count: usize, mut others: Vec<NodeAddr>) -> Self {
        const NAMED: usize = 8;
        let message = std::mem::take(&mut self.0.message);
        let mut text = format!("{failed} of its {count} parts failed, the first with: {message}");
        others.sort_unstable();
        others.dedup();
        others.retain(|node| Some(node) != self.0.node.as_ref());
        if !others.is_empty() {
            let named: Vec<String> = others.iter().take(NAMED).map(ToString::to_string).collect();
            text = format!("{text}; others failed at {}", named.join(", "));
        }
        if let Some(more) = others.len().checked_sub(NAMED).filter(|more| *more > 0) {
            text = format!("{text} and {more} more nodes");
        }
        self.0.message = text.into();
        self
    }

    pub(crate) fn with_keys(mut self, keys: KeyOutcomes) -> Self {
        self.0.keys = Some(Box::new(keys));
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(command) = &inner.command {
            f.write_str(command)?;
            if let Some(slot) = inner.slot {
                write!(f, " (slot {slot})")?;
            }
        }
        if let Some(node) = &inner.node {
            write!(f, "{}at {node}", if inner.command.is_some() { " " } else { "" })?;
        }
        if inner.command.is_some() || inner.node.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(&inner.message)?;
        if let Some(source) = &inner.source {
            write!(f, ": {source}")?;
        }
        // A reply that does not fit is proof that the command was executed; its text says so.
        if inner.command.is_some() && inner.kind != ErrorKind::Conversion {
            match inner.outcome {
                Outcome::NotSent => f.write_str("; not sent")?,
                Outcome::MaybeExecuted => f.write_str("; it may have been executed")?,
                Outcome::Rejected => {}
            }
        }
        if let Some(keys) = &inner.keys {
            let KeyOutcomes { done, not_done, unknown } = &**keys;
            write!(
                f,
                "; of its keys {} are done, {} not, {} unknown",
                done.len(),
                not_done.len(),
                unknown.len()
            )?;
        }
        if inner.attempts > 1 {
            write!(f, "; {} attempts", inner.attempts)?;
        }
        if let Some((first, rest)) = inner.trail.split_first() {
            write!(f, "; redirected {first}")?;
            for hop in rest {
                write!(f, ", {hop}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("outcome", &inner.outcome)
            .field("text", &self.to_string())
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, Outcome, Redirect, RedirectKind};
    use crate::node::NodeAddr;
    use crate::slot::Slot;

    #[test]
    fn an_error_says_what_happened_where_and_how_it_ended() {
        let hop = Redirect {
            kind: RedirectKind::Ask,
            slot: Slot::of_key(b"foo"),
            from: NodeAddr::new("a", 1),
            to: NodeAddr::new("b", 2),
        };
        let error = Error::new(ErrorKind::ConnectionLost, Outcome::MaybeExecuted, "the connection was lost")
            .with_source(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            .with_command("INCR".into())
            .with_slot(Some(Slot::of_key(b"foo")))
            .with_node(NodeAddr::new("b", 2))
            .with_attempts(2)
            .with_trail(vec![hop]);
        assert_eq!(
            error.to_string(),
            "INCR (slot 12182) at b:2: the connection was lost: connection reset; it may have been executed; \
             2 attempts; redirected a:1 -ASK 12182-> b:2"
        );
        assert_eq!(error.last_redirect().unwrap().to.port(), 2);
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
