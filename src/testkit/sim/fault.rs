//! [`Fault`]: what goes wrong, as data: where, how often, and what.

use std::sync::Arc;
use std::time::Duration;

use crate::node::NodeAddr;
use crate::testkit::sim::view::{NodeIndex, View};
use bytes::Bytes;

/// What goes wrong.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// The node takes the command up so much later; what stands behind it on the connection waits too.
    Delay(Duration),
    /// The command takes effect at once, and its reply comes so much later.
    DelayReply(Duration),
    /// The connection ends, and the command does not take effect.
    CloseBefore,
    /// The command takes effect, and the connection ends instead of a reply.
    CloseAfter,
    /// The command takes effect, so many bytes of its reply are sent, and the connection ends.
    Truncate(usize),
    /// The command does not take effect and is answered by this error, without its `-`: `LOADING ...`.
    Error(String),
    /// The command takes effect, and is never answered. On `ASKING` this is a lost `+OK`.
    LoseReply,
    /// The command takes effect, and is answered twice.
    DuplicateReply,
    /// The node reads nothing any more on the connection and answers nothing: a black hole.
    Silence,
    /// The node reads at most so many bytes each 10 ms.
    SlowReader(usize),
    /// Connections are refused.
    Refuse,
    /// A connect never ends.
    HangConnect,
    /// `CLUSTER SLOTS`, `SHARDS`, `NODES` and `INFO` are answered as when the fault was injected.
    StaleTopology,
    /// Who connects to the node is served by that other one, as by a wrong route or an address that was given anew.
    AnswerAs(NodeAddr),
}

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Somebody connects.
    Connect,
    /// It is decided who serves the connection.
    Route,
    /// A command has arrived.
    Arrival,
    /// The command would take effect now.
    Effect,
    /// Its reply would be sent now.
    Answer,
    /// The node tells of the cluster.
    Topology,
}

impl FaultKind {
    fn stage(&self) -> Stage {
        match self {
            Self::Refuse | Self::HangConnect => Stage::Connect,
            Self::AnswerAs(_) => Stage::Route,
            Self::Delay(_) => Stage::Arrival,
            Self::CloseBefore | Self::Error(_) | Self::Silence | Self::SlowReader(_) => Stage::Effect,
            Self::CloseAfter
            | Self::Truncate(_)
            | Self::LoseReply
            | Self::DuplicateReply
            | Self::DelayReply(_) => Stage::Answer,
            Self::StaleTopology => Stage::Topology,
        }
    }
}

/// One fault: its kind, and what it hits. Without a condition it hits everything, for as long as it is injected.
///
/// ```
/// use std::time::Duration;
/// use keyslot::testkit::sim::{Fault, FaultKind};
///
/// // The second and third GET are answered late.
/// let slow = Fault::new(FaultKind::DelayReply(Duration::from_secs(1))).command("GET").skip(1).times(2);
/// // One connection in ten ends behind an INCR.
/// let cut = Fault::new(FaultKind::CloseAfter).command("INCR").probability(0.1);
/// # let _ = (slow, cut);
/// ```
#[derive(Clone, PartialEq, Debug)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) node: Option<NodeAddr>,
    pub(super) connection: Option<u64>,
    pub(super) command: Option<String>,
    pub(super) key: Option<Bytes>,
    pub(super) probability: f64,
    pub(super) skip: usize,
    pub(super) times: usize,
}

impl Fault {
    /// This fault everywhere, always.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            node: None,
            connection: None,
            command: None,
            key: None,
            probability: 1.0,
            skip: 0,
            times: usize::MAX,
        }
    }

    /// Only at this node.
    pub fn node(mut self, node: &NodeAddr) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// Only on this connection; the ledger has their numbers.
    pub fn connection(mut self, connection: u64) -> Self {
        self.connection = Some(connection);
        self
    }

    /// Only for this command, in any case of its letters; a subcommand is named as `CLUSTER SLOTS`. Kinds that concern
    /// the whole connection (`Silence`, `SlowReader`) begin with such a command.
    pub fn command(mut self, name: impl AsRef<str>) -> Self {
        self.command = Some(name.as_ref().to_ascii_uppercase());
        self
    }

    /// Only for commands that have this argument.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(Bytes::copy_from_slice(key.as_ref()));
        self
    }

    /// Only with this probability, drawn from the cluster's seed each time; default 1.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Leaves out the first so many that it would hit; default 0.
    pub fn skip(mut self, first: usize) -> Self {
        self.skip = first;
        self
    }

    /// Hits so many times and no more; default always.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// The name of an injected fault, by which it is lifted again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FaultId(pub(super) u64);

/// What a fault is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion<'a> {
    pub(super) node: &'a NodeAddr,
    pub(super) connection: Option<u64>,
    /// Empty for a connect or a read.
    pub(super) args: &'a [Bytes],
}

/// The faults that are injected, in the order of their injection.
#[derive(Debug, Default)]
pub(super) struct Faults {
    active: Vec<Active>,
    last: u64,
}

/// A fault in force.
#[derive(Debug)]
struct Active {
    id: FaultId,
    fault: Fault,
    /// What each node believed at the injection, by its index; for [`FaultKind::StaleTopology`].
    views: Vec<Arc<View>>,
}

impl Faults {
    /// `views` is what each node believes now, by its index.
    pub(super) fn inject(&mut self, fault: Fault, views: impl Iterator<Item = Arc<View>>) -> FaultId {
        self.last += 1;
        let views = if fault.kind == FaultKind::StaleTopology { views.collect() } else { Vec::new() };
        self.active.push(Active { id: FaultId(self.last), fault, views });
        FaultId(self.last)
    }

    /// What the node believed when the fault was injected.
    pub(super) fn view_of(&self, id: FaultId, node: NodeIndex) -> Option<&Arc<View>> {
        self.active.iter().find(|active| active.id == id)?.views.get(node.0)
    }

    pub(super) fn lift(&mut self, id: FaultId) {
        self.active.retain(|active| active.id != id);
    }

    pub(super) fn lift_all(&mut self) {
        self.active.clear();
    }

    /// The first fault of this stage that hits; its count goes down.
    pub(super) fn strike(
        &mut self,
        occasion: Occasion<'_>,
        rng: &mut fastrand::Rng,
        stage: Stage,
    ) -> Option<(FaultId, FaultKind)> {
        for Active { id, fault, .. } in &mut self.active {
            if fault.kind.stage() != stage || fault.times == 0 || !fault.matches(occasion) {
                continue;
            }
            if fault.probability < 1.0 && rng.f64() >= fault.probability {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some((*id, fault.kind.clone()));
        }
        None
    }
}

impl Fault {
    fn matches(&self, occasion: Occasion<'_>) -> bool {
        self.node.as_ref().is_none_or(|node| node == occasion.node)
            && self.connection.is_none_or(|connection| Some(connection) == occasion.connection)
            && self.command.as_ref().is_none_or(|name| is_named(occasion.args, name))
            && self.key.as_ref().is_none_or(|key| occasion.args.iter().skip(1).any(|arg| arg == key))
    }
}

/// Whether the command begins with the words of `name`.
fn is_named(args: &[Bytes], name: &str) -> bool {
    let mut words = args.iter();
    name.split(' ').all(|word| words.next().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes())))
}
