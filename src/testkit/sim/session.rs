//! [`Session`]: what a node knows of one connection.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::testkit::sim::acknowledgement::Acknowledgement;
use crate::testkit::sim::reply::{Reply, Resp};
use crate::testkit::sim::view::NodeIndex;

/// The number of a connection, unique in the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SessionId(pub(super) u64);

/// A command that waits: for an element, for replicas, or for the end of a pause.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    /// What is tried again when a key is ready; with `$` of `XREAD` put in figures.
    pub(super) args: Vec<Bytes>,
    /// Which keys it waits for; none if it waits for something else.
    pub(super) keys: Vec<Bytes>,
    /// What `TYPE` must say of a key for another try.
    pub(super) awaits: &'static str,
    /// The answer when its time is over.
    pub(super) on_timeout: Reply,
    /// So that the timeout of an earlier command does not end a later one.
    pub(super) ticket: u64,
    /// It waits for replicas.
    pub(super) acknowledgement: Option<Acknowledgement>,
}

/// Bytes on their way to the client.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    /// Not written before.
    pub(super) not_before: Option<Instant>,
}

/// How a connection takes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Intake {
    #[default]
    Normal,
    /// At most so many bytes each 10 ms.
    Slow(usize),
    /// None, and nothing is written either.
    Never,
}

/// The transaction that a connection has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    pub(super) queued: Vec<Vec<Bytes>>,
    /// A command could not be queued: `EXEC` will refuse.
    pub(super) is_broken: bool,
}

/// Which keys a connection is told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TrackingMode {
    /// Those that it reads.
    Reads,
    /// Those that it reads right behind `CLIENT CACHING YES`.
    OptIn,
    /// Those that it reads, except right behind `CLIENT CACHING NO`.
    OptOut,
    /// All that begin so.
    Prefixes(BTreeSet<Bytes>),
}

/// `CLIENT TRACKING ON`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tracking {
    pub(super) mode: TrackingMode,
    /// It is not told of what it writes itself.
    pub(super) noloop: bool,
    /// Who is told instead.
    pub(super) redirect: Option<SessionId>,
    /// `CLIENT CACHING` was sent and holds for the next command.
    pub(super) caching: bool,
}

/// `CLIENT REPLY`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Answering {
    #[default]
    On,
    Off,
    /// `SKIP` was just sent.
    SkipNext,
    /// This command is not answered, and those behind it are.
    Skip,
}

/// One connection, as its node knows it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) node: NodeIndex,
    pub(super) resp: Resp,
    /// The ACL user, once it is known who this is.
    pub(super) user: Option<String>,
    /// `CLIENT SETNAME`, and whatever else `CLIENT` sets, by its name.
    pub(super) name: Bytes,
    pub(super) library: (Bytes, Bytes),
    pub(super) no_evict: bool,
    pub(super) no_touch: bool,
    /// The next command may go to a slot that is being imported.
    pub(super) asking: bool,
    /// `READONLY` was sent.
    pub(super) readonly: bool,
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: BTreeSet<Bytes>,
    /// A watched key was changed.
    pub(super) is_tripped: bool,
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) patterns: BTreeSet<Bytes>,
    pub(super) shard_channels: BTreeSet<Bytes>,
    /// `CLIENT TRACKING ON`.
    pub(super) tracking: Option<Tracking>,
    pub(super) answering: Answering,
    /// `CLIENT CAPA redirect`.
    pub(super) can_redirect: bool,
    /// A transaction of it is being executed.
    pub(super) in_exec: bool,
    /// Messages to itself that follow the reply to its running command.
    pub(super) after: Vec<Reply>,
    /// It ends behind the reply to its running command.
    pub(super) closes: bool,
    /// The name of what it sent last.
    pub(super) last_command: &'static str,
    pub(super) opened: Instant,
    pub(super) blocked: Option<Blocked>,
    pub(super) tickets: u64,
    /// No command is taken up before: a fault has delayed the one at the front.
    pub(super) held_until: Option<Instant>,
    /// The command at the front was delayed already.
    pub(super) was_held: bool,
    pub(super) intake: Intake,
    pub(super) outbox: VecDeque<Outgoing>,
    /// Ends when the outbox is written.
    pub(super) closing: bool,
    /// The replication offset behind this connection's last write, for `WAIT`.
    pub(super) last_write: u64,
    pub(super) wake: Arc<Notify>,
}

impl Session {
    pub(super) fn new(id: SessionId, node: NodeIndex) -> Self {
        Self {
            id,
            node,
            resp: Resp::Two,
            user: None,
            name: Bytes::new(),
            library: (Bytes::new(), Bytes::new()),
            no_evict: false,
            no_touch: false,
            asking: false,
            readonly: false,
            transaction: None,
            watched: BTreeSet::new(),
            is_tripped: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            tracking: None,
            answering: Answering::On,
            can_redirect: false,
            in_exec: false,
            after: Vec::new(),
            closes: false,
            last_command: "NULL",
            opened: Instant::now(),
            blocked: None,
            tickets: 0,
            held_until: None,
            was_held: false,
            intake: Intake::Normal,
            outbox: VecDeque::new(),
            closing: false,
            last_write: 0,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Sends a reply or a message at once.
    pub(super) fn send(&mut self, reply: &Reply) {
        self.send_bytes(self.encoded(reply), None);
    }

    pub(super) fn encoded(&self, reply: &Reply) -> Bytes {
        let mut bytes = BytesMut::new();
        reply.encode(self.resp, &mut bytes);
        bytes.freeze()
    }

    pub(super) fn send_bytes(&mut self, bytes: Bytes, not_before: Option<Instant>) {
        if !bytes.is_empty() && !self.closing {
            self.outbox.push_back(Outgoing { bytes, not_before });
            self.wake.notify_one();
        }
    }

    /// Ends the connection when what was sent so far is written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.wake.notify_one();
    }

    /// Whence it comes, for `CLIENT LIST`; different for each.
    pub(super) fn peer(&self) -> String {
        format!("127.0.0.1:{}", 10_000 + self.id.0)
    }

    /// How many subscriptions it has, of channels and patterns.
    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// A RESP2 connection that is subscribed may send little else.
    pub(super) fn is_subscriber_only(&self) -> bool {
        self.resp == Resp::Two && self.is_subscriber()
    }

    pub(super) fn is_subscriber(&self) -> bool {
        self.subscriptions() + self.shard_channels.len() > 0
    }
}
