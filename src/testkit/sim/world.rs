//! [`World`]: the whole state of a simulated cluster, behind one lock. What happens is decided in the files above.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::node::NodeAddr;
use crate::testkit::sim::agenda::{Agenda, Event};
use crate::testkit::sim::fault::{Fault, FaultId, FaultKind, Faults, Occasion, Stage};
use crate::testkit::sim::keyspace::store::Change;
use crate::testkit::sim::ledger::{Effect, Ledger};
use crate::testkit::sim::node::{Node, Pending, Process};
use crate::testkit::sim::session::{Session, SessionId};
use crate::testkit::sim::settings::Settings;
use crate::testkit::sim::view::{NodeIndex, View};

/// Changes that wait at a replica before it is asked to apply what has arrived; else it does so when it is used.
const BACKLOG: usize = 64;

/// Nodes, connections, and what is still to happen.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    /// When the cluster was started.
    pub(super) begin: Instant,
    pub(super) rng: fastrand::Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    last_session: u64,
    pub(super) agenda: Agenda,
    /// Told when the agenda has something earlier.
    pub(super) agenda_changed: Arc<Notify>,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    /// Told when any command was received or took effect.
    pub(super) activity: Arc<Notify>,
    /// Nodes whose data was changed other than by a command that they execute: it concerns others too.
    pub(super) unsettled: BTreeSet<NodeIndex>,
}

impl World {
    pub(super) fn new(settings: Settings, nodes: Vec<Node>) -> Self {
        Self {
            begin: Instant::now(),
            rng: fastrand::Rng::with_seed(settings.seed),
            settings,
            nodes,
            sessions: BTreeMap::new(),
            last_session: 0,
            agenda: Agenda::default(),
            agenda_changed: Arc::new(Notify::new()),
            faults: Faults::default(),
            ledger: Ledger::default(),
            activity: Arc::new(Notify::new()),
            unsettled: BTreeSet::new(),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index is made with its node, and nodes are never removed"
    )]
    pub(super) fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index is made with its node, and nodes are never removed"
    )]
    pub(super) fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index.0]
    }

    /// The node with this address, by IP address or host name.
    pub(super) fn node_at(&self, addr: &NodeAddr) -> Option<NodeIndex> {
        let is_meant = |node: &&Node| {
            node.addr == *addr
                || node.addr.port() == addr.port() && node.hostname.as_deref() == Some(addr.host())
        };
        self.nodes.iter().find(is_meant).map(|node| node.index)
    }

    pub(super) fn node_with_id(&self, id: &[u8]) -> Option<NodeIndex> {
        self.nodes.iter().find(|node| node.id.as_bytes() == id).map(|node| node.index)
    }

    /// Milliseconds of Unix time in the simulation.
    pub(super) fn unix_millis(&self) -> u64 {
        let since = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.settings.unix_millis_at_begin.saturating_add(since)
    }

    /// Starts, stops or ends the node's process, with what the operating system does then: a dead process has no
    /// connections and no open port, and whoever waits for a stopped one to go on looks again.
    pub(super) fn set_process(&mut self, index: NodeIndex, process: Process) {
        let node = self.node_mut(index);
        node.process = process;
        node.is_alive.send_replace(process != Process::Dead);
        if process == Process::Dead {
            self.node_mut(index).starts += 1;
            for session in self.sessions_of(index) {
                self.close(session);
            }
        }
        self.wake_all(index);
    }

    /// Something will happen after this time.
    pub(super) fn later(&mut self, delay: Duration, event: Event) {
        self.agenda.note(Instant::now() + delay, event);
        self.agenda_changed.notify_one();
    }

    /// A new connection to the node.
    pub(super) fn open(&mut self, node: NodeIndex) -> SessionId {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        let mut session = Session::new(id, node);
        let node = self.node_mut(node);
        if node.password.is_none() {
            session.user = Some("default".to_owned());
        }
        self.sessions.insert(id, session);
        id
    }

    /// The connection is gone: nobody waits on it any more. Its task ends when it finds no session.
    pub(super) fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let node = self.node_mut(session.node);
        node.waiting.retain(|_, waiting| {
            waiting.retain(|waits| *waits != id);
            !waiting.is_empty()
        });
        for interested in [&mut node.watchers, &mut node.trackers] {
            interested.retain(|_, sessions| {
                sessions.remove(&id);
                !sessions.is_empty()
            });
        }
        node.broadcasts.remove(&id);
        session.wake.notify_one();
    }

    /// All connections of clients to the node.
    pub(super) fn sessions_of(&self, node: NodeIndex) -> Vec<SessionId> {
        self.sessions.values().filter(|session| session.node == node).map(|session| session.id).collect()
    }

    /// Their tasks look again.
    pub(super) fn wake_all(&self, node: NodeIndex) {
        self.sessions
            .values()
            .filter(|session| session.node == node)
            .for_each(|session| session.wake.notify_one());
    }

    /// Asks the faults about this occasion.
    pub(super) fn strike(
        &mut self,
        node: NodeIndex,
        connection: Option<SessionId>,
        args: &[Bytes],
        stage: Stage,
    ) -> Option<FaultKind> {
        let Self { nodes, faults, rng, .. } = self;
        let node = &nodes.get(node.0)?.addr;
        let occasion = Occasion { node, connection: connection.map(|id| id.0), args };
        faults.strike(occasion, rng, stage).map(|(_, kind)| kind)
    }

    /// Puts a fault in force.
    pub(super) fn inject(&mut self, fault: Fault) -> FaultId {
        let Self { nodes, faults, .. } = self;
        faults.inject(fault, nodes.iter().map(|node| Arc::clone(&node.view)))
    }

    /// The old view that the node shall tell of now, if a fault wants it so.
    pub(super) fn stale_view(
        &mut self,
        index: NodeIndex,
        connection: SessionId,
        args: &[Bytes],
    ) -> Option<Arc<View>> {
        let Self { nodes, faults, rng, .. } = self;
        let node = &nodes.get(index.0)?.addr;
        let occasion = Occasion { node, connection: Some(connection.0), args };
        let (id, _) = faults.strike(occasion, rng, Stage::Topology)?;
        faults.view_of(id, index).map(Arc::clone)
    }

    pub(super) fn note_effect(
        &mut self,
        node: NodeIndex,
        connection: SessionId,
        command: &[Bytes],
        changed: bool,
    ) {
        if !self.settings.keeps_ledger {
            return;
        }
        let effect = Effect {
            at: self.begin.elapsed(),
            node: self.node(node).addr.clone(),
            connection: connection.0,
            command: command.to_vec(),
            changed,
        };
        self.ledger.note(effect);
    }

    /// Forgets what the connection watches.
    pub(super) fn unwatch(&mut self, session: &mut Session) {
        session.is_tripped = false;
        let watchers = &mut self.node_mut(session.node).watchers;
        for key in std::mem::take(&mut session.watched) {
            if let Some(sessions) = watchers.get_mut(&key) {
                sessions.remove(&session.id);
                if sessions.is_empty() {
                    watchers.remove(&key);
                }
            }
        }
    }

    /// Ends the connection's transaction without executing it; false if there is none.
    pub(super) fn discard(&mut self, session: &mut Session) -> bool {
        let is_begun = session.transaction.take().is_some();
        if is_begun {
            self.unwatch(session);
        }
        is_begun
    }

    /// Brings a node's data to the present: a replica applies what has arrived, and what has expired goes. Whom that
    /// concerns is told when the node is settled.
    pub(super) fn refresh(&mut self, index: NodeIndex) {
        let (now, unix) = (Instant::now(), self.unix_millis());
        let node = self.node_mut(index);
        while node.process != Process::Stopped
            && node.pending.front().is_some_and(|pending| pending.due <= now)
            && let Some(pending) = node.pending.pop_front()
        {
            if pending.clears {
                node.keys.clear();
            }
            for (key, entry) in pending.entries {
                node.keys.follow(&key, entry);
            }
            node.offset = pending.offset;
        }
        let is_primary = node.is_primary();
        node.keys.begin(unix, is_primary);
        if node.keys.has_changes() {
            self.unsettled.insert(index);
        }
    }

    /// A replica has something on its way that clients wait for: it is applied when it arrives, not when the replica
    /// is used.
    pub(super) fn expect(&mut self, replica: NodeIndex) {
        let node = self.node(replica);
        if let Some(last) = node.pending.back().filter(|_| node.is_awaited()) {
            let delay = last.due.saturating_duration_since(Instant::now());
            self.later(delay, Event::Follow { replica });
        }
    }

    /// Brings the replicas' data to the present; who they are.
    pub(super) fn refresh_replicas_of(&mut self, primary: NodeIndex) -> Vec<NodeIndex> {
        let replicas: Vec<NodeIndex> = self.node(primary).view.replicas_of(primary).collect();
        replicas.iter().for_each(|replica| self.refresh(*replica));
        replicas
    }

    /// Sends what was changed on a primary to its replicas.
    pub(super) fn replicate(&mut self, index: NodeIndex, changes: &[Change]) {
        let due = Instant::now() + self.settings.replication_delay;
        let node = self.node_mut(index);
        node.offset += changes.len() as u64;
        let offset = node.offset;
        let replicas: Vec<NodeIndex> = node.view.replicas_of(index).collect();
        if replicas.is_empty() {
            return;
        }
        let clears = changes.contains(&Change::All);
        let entries: Vec<_> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Key(key) => Some((key.clone(), node.keys.entry(key).cloned())),
                Change::All => None,
            })
            .collect();
        for index_of_replica in replicas {
            let replica = self.node_mut(index_of_replica);
            // One that believes otherwise does not listen, and one that is dead or about to copy will copy everything.
            if replica.view.primary_of(index_of_replica) != index
                || replica.process == Process::Dead
                || replica.is_copying
            {
                continue;
            }
            replica.pending.push_back(Pending { due, offset, entries: entries.clone(), clears });
            if replica.pending.len() > BACKLOG {
                self.refresh(index_of_replica);
            }
            self.expect(index_of_replica);
        }
    }

    /// The sessions that have an interest in any of these keys.
    pub(super) fn interested(
        interest: &BTreeMap<Bytes, BTreeSet<SessionId>>,
        changes: &[Change],
    ) -> BTreeSet<SessionId> {
        let mut found = BTreeSet::new();
        for change in changes {
            match change {
                Change::Key(key) => found.extend(interest.get(key).into_iter().flatten().copied()),
                Change::All => found.extend(interest.values().flatten().copied()),
            }
        }
        found
    }
}
