//! [`Node`]: one simulated server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::testkit::sim::acl::User;
use crate::testkit::sim::import::Import;
use crate::testkit::sim::keyspace::entry::Entry;
use crate::testkit::sim::keyspace::store::Keyspace;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::session::SessionId;
use crate::testkit::sim::view::{NodeIndex, Role, View};

/// What the operating system knows of the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Process {
    Running,
    /// `kill -STOP`.
    Stopped,
    /// `kill -9`.
    Dead,
}

/// `cluster-preferred-endpoint-type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Endpoint {
    /// The IP address.
    #[default]
    Ip,
    /// The host name that the node announces; `?` if it announces none.
    Hostname,
    /// Nothing: whoever asks knows how it came here.
    Unknown,
}

/// Which commands of clients wait, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientPause {
    pub(super) until: Instant,
    /// Only those that change something.
    pub(super) only_writes: bool,
}

/// Changes that a replica has not applied yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// When they arrive.
    pub(super) due: Instant,
    /// The primary's replication offset behind them.
    pub(super) offset: u64,
    /// Keys as they are now, `None` for removed ones. All keys go before if `clears`.
    pub(super) entries: Vec<(Bytes, Option<Entry>)>,
    pub(super) clears: bool,
}

/// A run of writes that a primary gave to its replicas: its replication id, and that of its time as a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct History {
    /// Which primary began it, with what epoch.
    pub(super) id: (NodeIndex, u64),
    /// The history that this one goes on from, and up to which offset the two are the same.
    pub(super) goes_on: Option<((NodeIndex, u64), u64)>,
}

impl History {
    pub(super) fn begin(primary: NodeIndex) -> Self {
        Self { id: (primary, 0), goes_on: None }
    }

    /// Whether one with this history and offset lacks only what was written since.
    pub(super) fn is_continued_by(&self, offset: u64, primary: &Self, written: u64) -> bool {
        (self.id == primary.id && offset <= written)
            || primary.goes_on.is_some_and(|(id, up_to)| id == self.id && offset <= up_to)
    }
}

/// One server: its data, what it believes of the cluster, and what it is asked to do.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) index: NodeIndex,
    /// Forty hexadecimal digits.
    pub(super) id: String,
    pub(super) shard_id: String,
    pub(super) addr: NodeAddr,
    pub(super) hostname: Option<String>,
    pub(super) endpoint: Endpoint,
    pub(super) profile: Profile,
    pub(super) process: Process,
    /// How often the process was started again.
    pub(super) starts: u64,
    /// False while the process is dead; who listens on its port follows it.
    pub(super) is_alive: watch::Sender<bool>,
    /// Cut off from the cluster bus.
    pub(super) is_isolated: bool,
    /// How often it was lost to the others so far.
    pub(super) absences: u64,
    /// Answers `CLUSTERDOWN` until then: it has just come back.
    pub(super) is_joining: bool,
    pub(super) view: Arc<View>,
    /// What it told the others last. Who believes the same takes what it tells next as it is.
    pub(super) told: Arc<View>,
    /// What it answers about the cluster instead of what it believes.
    pub(super) stale_view: Option<Arc<View>>,
    /// Those whom it was told to forget, and for how long.
    pub(super) banned: BTreeMap<NodeIndex, Instant>,
    /// Slots that leave, with where to.
    pub(super) migrating: BTreeMap<u16, NodeIndex>,
    /// Slots that come, with where from.
    pub(super) importing: BTreeMap<u16, NodeIndex>,
    /// What it was told to fetch, the oldest first.
    pub(super) imports: Vec<Import>,
    pub(super) keys: Keyspace,
    /// The replication offset: how much was written on a primary, how much is applied on a replica.
    pub(super) offset: u64,
    pub(super) pending: VecDeque<Pending>,
    /// A replica that waits for a copy of its primary's data: what is written meanwhile is in that copy.
    pub(super) is_copying: bool,
    /// So that the end of an earlier copy is not taken for that of a later one.
    pub(super) copies: u64,
    /// Whose data it has.
    pub(super) history: History,
    /// Writes wait: a manual failover is under way.
    pub(super) is_paused: bool,
    /// So that the end of an earlier pause does not end a later one.
    pub(super) pauses: u64,
    /// When others last voted for one of its replicas.
    pub(super) outvoted_at: Option<Instant>,
    /// When the others have waited for it for long enough, if it is gone.
    pub(super) missed_at: Option<Instant>,
    /// When the others found it failed.
    pub(super) failed_at: Option<Instant>,
    /// Who waits for which key, in the order of their coming.
    pub(super) waiting: BTreeMap<Bytes, VecDeque<SessionId>>,
    pub(super) watchers: BTreeMap<Bytes, BTreeSet<SessionId>>,
    pub(super) trackers: BTreeMap<Bytes, BTreeSet<SessionId>>,
    /// Who is told of all keys with certain prefixes.
    pub(super) broadcasts: BTreeSet<SessionId>,
    /// When it looks next for keys that have expired, though nobody asks: Unix milliseconds.
    pub(super) alarm: Option<u64>,
    /// `requirepass`.
    pub(super) password: Option<String>,
    /// ACL users apart from the default one.
    pub(super) users: BTreeMap<String, User>,
    /// What `CONFIG SET` has set, as far as nothing in the simulation follows it.
    pub(super) config: BTreeMap<String, String>,
    /// `CLIENT PAUSE`.
    pub(super) client_pause: Option<ClientPause>,
    /// How many commands of each name have arrived, those that were refused too.
    pub(super) received: BTreeMap<String, u64>,
    pub(super) connections_accepted: u64,
}

impl Node {
    pub(super) fn role(&self) -> Role {
        self.view.role(self.index).unwrap_or(Role::Primary)
    }

    /// Whether a client waits for its data, or is told when they change.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty() || !self.trackers.is_empty() || !self.broadcasts.is_empty()
    }

    pub(super) fn is_primary(&self) -> bool {
        self.role() == Role::Primary
    }

    /// Whether others hear of it, and it of them.
    pub(super) fn is_on_bus(&self) -> bool {
        self.process == Process::Running && !self.is_isolated
    }

    /// `run_id`: another one after each start.
    pub(super) fn run_id(&self, seed: u64) -> String {
        Self::id_at(self.index, seed.rotate_left(17).wrapping_add(self.starts))
    }

    /// `master_replid`: another one after each promotion.
    pub(super) fn replication_id(&self, seed: u64) -> String {
        let (primary, epoch) = self.history.id;
        Self::id_at(primary, seed.rotate_left(34).wrapping_add(epoch))
    }

    /// A cursor is of no use at another node, nor after a restart, as hash tables have a seed of their process.
    pub(super) fn scans_from(&self) -> u16 {
        let place = (self.index.0 as u64).wrapping_mul(5003).wrapping_add(self.starts.wrapping_mul(7919));
        u16::try_from(place % u64::from(Slot::COUNT)).unwrap_or(0)
    }

    /// `CLUSTER MYID` of the node with this place.
    pub(super) fn id_at(index: NodeIndex, seed: u64) -> String {
        let mut rng = fastrand::Rng::with_seed(seed ^ (index.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        (0..40).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect()
    }
}
