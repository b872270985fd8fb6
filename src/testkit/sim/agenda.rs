//! [`Agenda`]: what will happen in the simulation, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::testkit::sim::message::Message;
use crate::testkit::sim::script::Step;
use crate::testkit::sim::session::SessionId;
use crate::testkit::sim::view::{NodeIndex, View};

/// Something that happens by itself.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// News reach all nodes on the cluster bus.
    Hear(News),
    /// Two nodes exchange what they believe, also if they did not know each other.
    Meet { node: NodeIndex, with: NodeIndex },
    /// Word of a forgotten node reaches the others.
    Forget { from: NodeIndex, forgotten: NodeIndex },
    /// The others have heard nothing of this node for their `cluster-node-timeout`. `absence` is which of its absences
    /// is meant.
    Suspect { node: NodeIndex, absence: u64 },
    /// The others have waited for a sign of life for as long as they do.
    Missed { node: NodeIndex, absence: u64 },
    /// A replica of a failed primary asks for votes.
    Elect { primary: NodeIndex, absence: u64 },
    /// A node that was away hears from the others, and they from it.
    Rejoin { node: NodeIndex, absence: u64 },
    /// The others take back that a primary has failed: it is there again, and nobody took its place.
    Forgive { node: NodeIndex, absence: u64 },
    /// A primary has been back for long enough to serve.
    Serve { node: NodeIndex, absence: u64 },
    /// A manual failover comes to its end.
    Promote { replica: NodeIndex, primary: NodeIndex, is_forced: bool },
    /// Writes need not wait for a failover any more.
    EndPause { node: NodeIndex, pause: u64 },
    /// Slots that a primary fetches change hands.
    Import { node: NodeIndex, id: String },
    /// A write reaches a replica where somebody waits for it.
    Follow { replica: NodeIndex },
    /// A replica has its primary's data.
    Copy { replica: NodeIndex, copy: u64 },
    /// A blocked command has waited for as long as it may. `ticket` is which of the session's is meant.
    Unblock { session: SessionId, ticket: u64 },
    /// A command that waits for replicas must look at them again.
    CountReplicas { session: SessionId, ticket: u64 },
    /// A key of the node expires, and there is somebody to be told.
    Expire { node: NodeIndex },
    /// A message that was published elsewhere reaches a node.
    Deliver { node: NodeIndex, message: Message },
    /// A pause of the node's clients is over.
    Resume { node: NodeIndex },
    /// The connection's task must look again.
    Wake { session: SessionId },
    /// A step of a script.
    Step(Step),
}

/// What a node tells the others.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) from: NodeIndex,
    /// What it told before: who believes that still need not compare.
    pub(super) before: Arc<View>,
    pub(super) view: Arc<View>,
    /// Those who do not know it yet listen too.
    pub(super) is_introduction: bool,
}

/// Events by time; those of one moment in the order in which they were noted.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(Instant, u64), Event>,
    noted: u64,
}

impl Agenda {
    pub(super) fn note(&mut self, at: Instant, event: Event) {
        self.noted += 1;
        self.events.insert((at, self.noted), event);
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first event whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Event> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}
