//! [`Script`]: what happens to a cluster over time, as data.

use std::time::Duration;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::testkit::sim::fault::Fault;

/// Something that happens to the cluster.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The process ends at once, as by `kill -9`: connections close, new ones are refused.
    Kill(NodeAddr),
    /// A killed node comes back with its data and what it knew; it needs a moment to learn what happened.
    Restart(NodeAddr),
    /// The process hangs, as by `kill -STOP`: connections stay open and nothing is answered.
    Stop(NodeAddr),
    /// A stopped node goes on, with what lies in its sockets.
    Continue(NodeAddr),
    /// All connections of clients to the node are closed.
    Disconnect(NodeAddr),
    /// The node's cluster bus is cut off; clients reach it as before.
    Isolate(NodeAddr),
    /// The cluster bus of an isolated node is whole again.
    Heal(NodeAddr),
    /// The replica becomes the primary of its shard at once, as by `CLUSTER FAILOVER TAKEOVER`.
    Promote(NodeAddr),
    /// The slot is marked as migrating at its owner and as importing at the other node.
    OpenSlot(Slot, NodeAddr),
    /// At most so many keys of an open slot go to the importing node.
    MigrateKeys(Slot, usize),
    /// The importing node becomes the owner of an open slot.
    CloseSlot(Slot),
    /// The slot is opened, emptied and closed in one moment.
    MoveSlot(Slot, NodeAddr),
    /// The fault is injected.
    Inject(Fault),
    /// All faults are lifted.
    LiftAll,
}

/// Steps with their times, counted from the moment when the script is played.
///
/// ```
/// use std::time::Duration;
/// use keyslot::NodeAddr;
/// use keyslot::testkit::sim::Script;
///
/// # let (primary, replica) = (NodeAddr::new("127.0.0.1", 7000), NodeAddr::new("127.0.0.1", 7003));
/// let script = Script::new()
///     .at(Duration::from_secs(2)).kill(&primary)
///     .at(Duration::from_secs(3)).promote(&replica)
///     .at(Duration::from_secs(5)).restart(&primary);
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
#[must_use = "a script does nothing until it is played"]
pub struct Script {
    pub(super) steps: Vec<(Duration, Step)>,
}

impl Script {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of the step that is named next.
    pub fn at(self, time: Duration) -> Moment {
        Moment { script: self, time }
    }
}

/// A [`Script`] that is told its next step.
#[derive(Clone, PartialEq, Debug)]
#[must_use = "name the step that happens at this time"]
pub struct Moment {
    script: Script,
    time: Duration,
}

impl Moment {
    /// Any step.
    pub fn step(mut self, step: Step) -> Script {
        self.script.steps.push((self.time, step));
        self.script
    }

    /// [`Step::Kill`].
    pub fn kill(self, node: &NodeAddr) -> Script {
        self.step(Step::Kill(node.clone()))
    }

    /// [`Step::Restart`].
    pub fn restart(self, node: &NodeAddr) -> Script {
        self.step(Step::Restart(node.clone()))
    }

    /// [`Step::Stop`].
    pub fn stop(self, node: &NodeAddr) -> Script {
        self.step(Step::Stop(node.clone()))
    }

    /// [`Step::Continue`].
    pub fn cont(self, node: &NodeAddr) -> Script {
        self.step(Step::Continue(node.clone()))
    }

    /// [`Step::Promote`].
    pub fn promote(self, replica: &NodeAddr) -> Script {
        self.step(Step::Promote(replica.clone()))
    }

    /// [`Step::MoveSlot`].
    pub fn move_slot(self, slot: Slot, to: &NodeAddr) -> Script {
        self.step(Step::MoveSlot(slot, to.clone()))
    }

    /// [`Step::Inject`].
    pub fn inject(self, fault: Fault) -> Script {
        self.step(Step::Inject(fault))
    }

    /// [`Step::LiftAll`].
    pub fn lift_all(self) -> Script {
        self.step(Step::LiftAll)
    }
}
