//! [`Lines`]: the connections of a subscriber, and where each subscription belongs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;
use tokio::time::Instant;

use crate::cluster::core::Core;
use crate::cluster::pubsub::event::{Subscription, SubscriptionKind};
use crate::cluster::pubsub::line::{Line, LineId, Role, Ticket};
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::stats::refresh_cause::RefreshCause;
use crate::topology::slot_map::{Health, SlotMap};

/// Between two attempts to reach a node, or to subscribe: any time up to a limit that doubles from the first to the last,
/// so that a thousand clients do not come back at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// Names in one command, so that a connection with very many gets its messages in between.
pub(super) const NAMES: usize = 256;

/// See the module's documentation. One line broadcasts, and each node has at most one for its shard channels.
pub(super) struct Lines<'a> {
    core: &'a Core,
    pub(super) list: Vec<Line>,
    last: u64,
    /// By the node of a shard's line; `None` for the one that broadcasts.
    rests: LiteMap<Option<NodeAddr>, Rest>,
    /// The node where the last line that broadcasts ended.
    avoided: Option<NodeAddr>,
}

/// What is known of a node whose last connection ended.
struct Rest {
    failures: u32,
    until: Instant,
}

/// Where a subscription belongs.
pub(super) enum Spot {
    /// Here; whether it can be asked for by now.
    Line(LineId, bool),
    /// At a node that is not tried again before.
    Resting(Instant),
    /// Nobody knows.
    Nowhere,
}

/// What may be named in one command: of one kind, and shard channels of one slot.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    pub(super) line: LineId,
    kind: SubscriptionKind,
    slot: Option<Slot>,
    /// Of one that must not share a command with others.
    pub(super) alone: Option<Subscription>,
}

impl Batch {
    pub(super) fn of(line: LineId, subscription: &Subscription) -> Self {
        let kind = subscription.kind;
        let slot = match kind {
            SubscriptionKind::Channel | SubscriptionKind::Pattern => None,
            SubscriptionKind::Shard => Some(Slot::of_key(&subscription.name)),
        };
        Self { line, kind, slot, alone: None }
    }
}

/// The pause after so many failures.
pub(super) fn backoff(failures: u32) -> Duration {
    let longest = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LAST_BACKOFF);
    longest.mul_f64(fastrand::f64())
}

impl<'a> Lines<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { core, list: Vec::new(), last: 0, rests: LiteMap::new(), avoided: None }
    }

    pub(super) fn get(&self, id: LineId) -> Option<&Line> {
        self.list.iter().find(|line| line.id == id)
    }

    /// Takes out the line at this place, which has ended. The next one to its node has to wait.
    pub(super) fn remove(&mut self, place: usize, now: Instant) -> Option<Line> {
        let line = (place < self.list.len()).then(|| self.list.remove(place))?;
        let key = match line.role {
            Role::Broadcast => None,
            Role::Shard => Some(line.node.clone()),
        };
        if line.role == Role::Broadcast {
            self.avoided = Some(line.node.clone());
        }
        self.rests.retain(|_, rest| rest.until + LAST_BACKOFF > now);
        let rest = self.rests.entry(key).or_insert(Rest { failures: 0, until: now });
        if line.has_opened && line.begun + LAST_BACKOFF <= now {
            rest.failures = 0;
        }
        rest.until = now + backoff(rest.failures);
        rest.failures += 1;
        Some(line)
    }

    /// Ends these; by which answers that is known to be done.
    pub(super) fn leave(&mut self, leaving: Vec<(LineId, Subscription)>) -> BTreeSet<(LineId, Ticket)> {
        let mut awaited = BTreeSet::new();
        let mut batches: LiteMap<Batch, Vec<Subscription>> = LiteMap::new();
        for (line, subscription) in leaving {
            batches.entry(Batch::of(line, &subscription)).or_default().push(subscription);
        }
        for (batch, names) in batches {
            let Some(line) = self.list.iter_mut().find(|line| line.id == batch.line) else { continue };
            for names in names.chunks(NAMES) {
                awaited.insert((line.id, line.unsubscribe(names.to_vec())));
            }
        }
        awaited
    }

    /// Where a subscription belongs; begins to connect if need be.
    pub(super) fn spot(&mut self, subscription: &Subscription, map: &SlotMap, now: Instant) -> Spot {
        let (role, owner) = match subscription.kind {
            SubscriptionKind::Channel | SubscriptionKind::Pattern => (Role::Broadcast, None),
            SubscriptionKind::Shard => {
                let Some(owner) = map.primary_of(Slot::of_key(&subscription.name)) else {
                    self.core.signal.request(RefreshCause::NoOwner);
                    return Spot::Nowhere;
                };
                (Role::Shard, Some(&owner.addr))
            }
        };
        let is_it = |line: &&Line| line.role == role && owner.is_none_or(|owner| *owner == line.node);
        if let Some(line) = self.list.iter().find(is_it) {
            return Spot::Line(line.id, line.is_open());
        }
        let rest = self.rests.get(&owner.cloned()).map(|rest| rest.until);
        if let Some(until) = rest.filter(|until| *until > now) {
            return Spot::Resting(until);
        }
        let Some(node) = owner.cloned().or_else(|| self.any_node(map)) else {
            self.core.signal.request(RefreshCause::NoOwner);
            return Spot::Nowhere;
        };
        self.last += 1;
        let id = LineId(self.last);
        self.list.push(Line::new(id, role, node, Arc::clone(self.core.link_context())));
        Spot::Line(id, false)
    }

    /// A node at random, so that the subscribers of many clients are spread; not the one that was lost last, if there is
    /// another.
    fn any_node(&self, map: &SlotMap) -> Option<NodeAddr> {
        let alive = map.nodes().iter().filter(|node| node.health != Health::Failed).map(|node| &node.addr);
        let (good, bad): (Vec<&NodeAddr>, Vec<_>) =
            alive.partition(|addr| Some(*addr) != self.avoided.as_ref());
        let place = fastrand::usize(..good.len().max(1));
        good.get(place).or_else(|| bad.first()).map(|addr| NodeAddr::clone(addr))
    }
}
