//! [`Core`]: what all handles of a client share: the routes and everything that changes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use litemap::LiteMap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::cluster::learned::LearnedCommands;
use crate::cluster::routes::Routes;
use crate::cluster::topology_feed::TopologyFeed;
use crate::command::Command;
use crate::config::Config;
use crate::config::read_from::ReadFrom;
use crate::connection::budget::Bound;
use crate::connection::dials::Dials;
use crate::connection::link_context::{LinkContext, LinkObserver};
use crate::connection::logins::Logins;
use crate::connection::pool::NodePool;
use crate::error::{Redirect, RedirectKind};
use crate::node::NodeAddr;
use crate::routing::plan::Place;
use crate::stats::Counters;
use crate::stats::refresh_cause::{Causes, NextCauses, RefreshCause};
use crate::topology::diff::failed_over;
use crate::topology::patch::Patches;
use crate::topology::slot_map::{Health, SlotMap};
use crate::transport::Connector;

/// How long a primary that was failed over by hand, and follows its successor now, may still answer what it was sent:
/// it has paused its clients for less and answers `MOVED`. One that failed gets no time at all: what a primary that
/// hung acknowledges when it goes on is lost with its data.
const DEMOTED_GRACE: Duration = Duration::from_millis(250);

/// How long a node that left the cluster may still answer what it was sent. A live one does at once; one that is gone
/// because it failed must not be believed for long.
const LEFT_GRACE: Duration = Duration::from_secs(1);

/// Views of a lower epoch, or of another cluster, that are disregarded, one after the other, before one is believed.
const OLDER_VIEWS: u32 = 5;

/// The shared heart of a client. Readers load a snapshot; writers go one at a time through `topology`.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<Config>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) learned: LearnedCommands,
    context: Arc<LinkContext>,
    /// The one that the client was made in, which serves its links.
    runtime: Handle,
    client_bound: Bound,
    routes: ArcSwap<Routes>,
    topology: Mutex<Topology>,
    pub(crate) signal: Arc<RefreshSignal>,
    pub(crate) topology_feed: TopologyFeed,
    /// A node did not know `EVALSHA_RO`: it is of before 7.0, and scripts that only read go as the others do.
    pub(crate) lacks_read_only_scripts: AtomicBool,
    /// No new requests.
    closed: AtomicBool,
    /// No requests at all: the pools are gone.
    ended: AtomicBool,
    /// Told once, when `ended` is set.
    ending: Notify,
    /// Requests between two attempts, which hold nothing of the byte budget.
    slow_requests: AtomicUsize,
}

/// What only those who change the routes look at.
#[derive(Debug, Default)]
struct Topology {
    patches: Patches,
    /// Pools of nodes that are asked although no map names them: seeds, and targets of `ASK`.
    /// In the order of their names: that in which they are closed is the same in every run.
    guests: LiteMap<NodeAddr, Arc<NodePool>>,
    /// Views in a row that were older than the current map.
    older_views: u32,
    /// Pools that are no longer used and still answer what they were sent, each until its time.
    retired: Vec<(Arc<NodePool>, Instant)>,
}

/// How long a refresh is waited for before it is asked for once more: one that found nobody to answer ends without a word.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Asks for a refresh and tells when one has changed something. Requests coalesce.
#[derive(Debug, Default)]
pub(crate) struct RefreshSignal {
    is_wanted: AtomicBool,
    wanted: Notify,
    changed: Notify,
    begun: AtomicU64,
    causes: NextCauses,
    /// The number of the last refresh whose view was taken over.
    taken_over: watch::Sender<u64>,
    /// The node that gave trouble last, since the last refresh.
    troubled: Mutex<Option<NodeAddr>>,
}

impl RefreshSignal {
    pub(crate) fn request(&self, cause: RefreshCause) {
        self.causes.add(cause);
        self.is_wanted.store(true, Ordering::Release);
        self.wanted.notify_one();
    }

    /// Resolves when a refresh was requested and not begun since.
    pub(super) async fn requested(&self) {
        while !self.is_wanted.load(Ordering::Acquire) {
            self.wanted.notified().await;
        }
    }

    /// Notes that a refresh begins: it serves every request until now. Tells what for.
    pub(super) fn begin(&self) -> Causes {
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.is_wanted.store(false, Ordering::Release);
        self.causes.take()
    }

    /// Notes that the view of the refresh that began last was taken over.
    pub(super) fn finish(&self) {
        self.taken_over.send_replace(self.begun.load(Ordering::Acquire));
    }

    /// The node that gave trouble last, if one did since this was last asked.
    pub(super) fn take_troubled(&self) -> Option<NodeAddr> {
        self.troubled.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Resolves when the routes say what the cluster said after the first poll.
    pub(crate) async fn refreshed(&self) {
        let before = self.begun.load(Ordering::Acquire);
        let mut taken_over = self.taken_over.subscribe();
        self.request(RefreshCause::Asked);
        while timeout(ASK_AGAIN, taken_over.wait_for(|number| *number > before)).await.is_err() {
            self.request(RefreshCause::Asked);
        }
    }

    /// Resolves at the next change of the routes after its first poll.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl LinkObserver for RefreshSignal {
    fn troubled(&self, node: &NodeAddr) {
        *self.troubled.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        self.request(RefreshCause::Connection);
    }
}

impl Core {
    /// A core without a map; see [`connect`](crate::cluster::connect::connect). Must be called within a tokio runtime.
    pub(crate) fn new(config: Config, connector: Arc<dyn Connector>) -> Self {
        let config = Arc::new(config);
        let counters = Arc::new(Counters::default());
        let signal = Arc::new(RefreshSignal::default());
        let context = Arc::new(LinkContext {
            config: Arc::clone(&config),
            connector,
            observer: Arc::clone(&signal) as Arc<dyn LinkObserver>,
            counters: Arc::clone(&counters),
            dials: Dials::default(),
            logins: Arc::new(Logins::new(config.credentials.clone(), Arc::clone(&counters))),
        });
        Self {
            client_bound: Bound::new(config.client_budget, config.client_requests),
            routes: ArcSwap::from_pointee(Routes::empty()),
            topology: Mutex::default(),
            lacks_read_only_scripts: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ending: Notify::new(),
            slow_requests: AtomicUsize::new(0),
            learned: LearnedCommands::default(),
            topology_feed: TopologyFeed::default(),
            config,
            counters,
            context,
            runtime: Handle::current(),
            signal,
        }
    }

    /// The current snapshot; loaded once for an attempt.
    #[inline]
    pub(crate) fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// `place`, or any node of its shard if `command` only reads and the policy for reads allows that.
    #[inline]
    pub(crate) fn place_of(&self, command: &Command, place: Place) -> Place {
        match place {
            Place::Slot(slot) if self.may_ask_replicas(command) => Place::Read(slot),
            place => place,
        }
    }

    #[inline]
    pub(crate) fn may_ask_replicas(&self, command: &Command) -> bool {
        let policy = command.own_read_from().unwrap_or(&self.config.read_from);
        *policy != ReadFrom::Primary
            && command.target().is_none()
            && command.only_reads()
            && !(self.config.check_missing && command.hides_missing_keys())
    }

    fn topology(&self) -> MutexGuard<'_, Topology> {
        // Nothing panics while it is held; if something did, each of its parts is still whole.
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of any node, known to the map or not.
    pub(crate) fn pool_at(&self, addr: &NodeAddr) -> Arc<NodePool> {
        if let Some(pool) = self.routes().at(addr) {
            return Arc::clone(pool);
        }
        let mut topology = self.topology();
        if self.has_ended() {
            // Nobody would close it any more.
            let pool = self.new_pool(addr);
            pool.sever();
            return pool;
        }
        let guest = topology.guests.entry(addr.clone());
        Arc::clone(guest.or_insert_with(|| self.new_pool(addr)))
    }

    fn new_pool(&self, addr: &NodeAddr) -> Arc<NodePool> {
        Arc::new(NodePool::new(addr, &self.context, self.client_bound.clone(), &self.runtime))
    }

    /// Follows a redirect in the map: `MOVED` repoints its slot at once and asks for a refresh, `ASK` changes nothing.
    ///
    /// A node that the map does not ask for the slot was asked by an older map, or by name: it may know less than the map,
    /// which is not changed by it. Who is to answer by the map says so itself if the map is wrong.
    pub(crate) fn redirected(&self, redirect: &Redirect) {
        self.counters.redirected(redirect);
        match redirect.kind {
            RedirectKind::Ask => {}
            RedirectKind::Moved => {
                self.repoint(redirect);
                self.signal.request(RefreshCause::Moved);
            }
        }
    }

    fn repoint(&self, Redirect { slot, from, to, .. }: &Redirect) {
        let (slot, mut topology) = (*slot, self.topology());
        if self.has_ended() {
            return;
        }
        let map = Arc::clone(self.routes().map());
        let is_known = map.primary_of(slot).is_some_and(|owner| owner.addr == *to);
        if !is_known && !map.may_serve(from, slot) {
            return;
        }
        topology.patches.add(slot, to, map.epoch(), Instant::now());
        if !is_known {
            let mut map = SlotMap::clone(&map);
            map.repoint(slot, to);
            self.swap(&mut topology, map);
        }
    }

    /// Takes a view of the cluster over, unless it is older than what is known. A cluster that was reset begins with
    /// low epochs again, and one that was made anew has other nodes: when no node knows better for long enough, such a view is
    /// the truth.
    pub(crate) fn install(&self, view: SlotMap) {
        let mut topology = self.topology();
        if self.has_ended() {
            return;
        }
        let current = Arc::clone(self.routes().map());
        let is_doubtful = view.epoch() < current.epoch() || view.is_of_another_cluster(&current);
        if is_doubtful && topology.older_views < OLDER_VIEWS {
            topology.older_views += 1;
            return;
        }
        topology.older_views = 0;
        // Whoever still needs one of them makes it anew.
        topology.guests.retain(|addr, pool| view.index_of(addr).is_some() || !pool.is_idle());
        let new = topology.patches.apply(view, Instant::now());
        if new.epoch() != current.epoch() || !new.agrees_with(&current) {
            self.swap(&mut topology, new);
        }
    }

    /// Swaps the routes; pools of nodes that stay are kept, those of others end when they have answered.
    fn swap(&self, topology: &mut Topology, map: SlotMap) {
        let old = self.routes.load_full();
        let demoted = failed_over(old.map(), &map);
        let now = Instant::now();
        let mut kept: HashMap<&NodeAddr, &Arc<NodePool>> = HashMap::new();
        let (mut dead, mut handed_over) = (Vec::new(), Vec::new());
        for (addr, pool) in old.nodes_with_pools() {
            let is_alive = || {
                let node = map.index_of(addr).and_then(|index| map.node(index));
                node.is_some_and(|node| node.health != Health::Failed)
            };
            if demoted.contains(addr) && !is_alive() {
                dead.push(Arc::clone(pool));
            } else if demoted.contains(addr) {
                handed_over.push(Arc::clone(pool));
                topology.retired.push((Arc::clone(pool), now + DEMOTED_GRACE));
            } else if map.index_of(addr).is_some() {
                kept.insert(addr, pool);
            } else {
                topology.retired.push((Arc::clone(pool), now + LEFT_GRACE));
            }
        }
        let guests = &mut topology.guests;
        let routes = Routes::new(map, |addr| match kept.get(addr) {
            Some(pool) => Arc::clone(pool),
            None => guests.remove(addr).unwrap_or_else(|| self.new_pool(addr)),
        });
        let is_news = !routes.map().agrees_with(old.map());
        // First the new routes, then the end of the old pools: who is refused by one finds its successor.
        self.routes.store(Arc::new(routes));
        topology.retired.iter().for_each(|(pool, _)| pool.retire());
        handed_over.iter().for_each(|pool| pool.demote());
        dead.iter().for_each(|pool| pool.sever());
        if is_news {
            self.topology_feed.publish(old.map(), self.routes().map(), &self.counters);
            self.signal.changed.notify_waiters();
        }
    }

    /// Drops the pools that are no longer used and have answered everything, or whose time is over. Returns when the
    /// next look is due.
    pub(crate) fn sweep_retired(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut topology = self.topology();
        let map = Arc::clone(self.routes().map());
        // A view may be wrong for a moment: what a node that is called a primary again was sent before is still good.
        let is_primary = |pool: &NodePool| map.index_of(pool.node()).is_some_and(|node| map.is_primary(node));
        let done: Vec<_> = topology
            .retired
            .extract_if(.., |(pool, until)| pool.is_idle() || (*until <= now && !is_primary(pool)))
            .collect();
        let next = (!topology.retired.is_empty()).then(|| now + DEMOTED_GRACE / 5);
        drop(topology);
        // Fails what is left, which wakes callers: not under the lock.
        done.iter().for_each(|(pool, _)| pool.sever());
        next
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether even requests that were under way when the client was closed have no more time.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Refuses new requests, and resolves when those under way have ended or `limit` has passed.
    pub(crate) async fn close(&self, limit: Duration) {
        self.closed.store(true, Ordering::Relaxed);
        // Looked at now and then rather than waited for in the budget's queue, where requests between two attempts
        // would have to wait behind this.
        let drained = async {
            while !self.client_bound.is_idle() || self.slow_requests.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        // What has not ended by then ends with its links.
        drop(timeout(limit, drained).await);
        self.ended.store(true, Ordering::Release);
        let mut topology = self.topology();
        let routes = self.routes.swap(Arc::new(Routes::empty()));
        let guests = std::mem::take(&mut topology.guests);
        let retired = std::mem::take(&mut topology.retired);
        drop(topology);
        let unused = guests.values().chain(retired.iter().map(|(pool, _)| pool));
        routes.nodes_with_pools().map(|(_, pool)| pool).chain(unused).for_each(|pool| pool.sever());
        self.ending.notify_waiters();
        self.topology_feed.close();
    }

    /// Resolves when the client has been closed and even requests that were under way have no more time.
    pub(crate) async fn until_ended(&self) {
        // Registered before the look, so that an end in between is not missed.
        let ending = self.ending.notified();
        if !self.has_ended() {
            ending.await;
        }
    }

    /// For connections that belong to no pool.
    pub(crate) fn link_context(&self) -> &Arc<LinkContext> {
        &self.context
    }

    /// Counts a request that is off the fast path, for as long as the guard lives.
    pub(crate) fn slow_request(&self) -> SlowRequest<'_> {
        self.slow_requests.fetch_add(1, Ordering::AcqRel);
        SlowRequest(self)
    }
}

/// See [`Core::slow_request`].
#[derive(Debug)]
pub(crate) struct SlowRequest<'a>(&'a Core);

impl Drop for SlowRequest<'_> {
    fn drop(&mut self) {
        self.0.slow_requests.fetch_sub(1, Ordering::AcqRel);
    }
}
