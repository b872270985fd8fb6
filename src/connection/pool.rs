//! [`NodePool`]: the connections to one node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::connection::budget::{Bound, Budget};
use crate::connection::handshake::Purpose;
use crate::connection::link::Link;
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::node::NodeAddr;
use crate::slot::Slot;

/// How long reads go elsewhere after a node could not answer one. Most of what is behind that (a first synchronisation, a node
/// that hangs) takes longer, and costs one read for each such time.
const AVOID: Duration = Duration::from_secs(1);

/// A few links that all callers share, and exclusive connections for those whose reply may take long.
///
/// Nothing is connected before it is needed.
#[derive(Debug)]
pub(crate) struct NodePool {
    node: NodeAddr,
    links: Vec<Link>,
    budget: Budget,
    context: Arc<LinkContext>,
    /// The one that the client was made in. What all callers share is served there: the runtime of the caller who was the
    /// first to need it may end long before the client.
    runtime: Handle,
    /// Made when it is used: it holds room for all its connections from the start, and most nodes of a large cluster
    /// are never sent a blocking command.
    exclusive: OnceLock<Pool<ExclusiveLinks>>,
    /// The link for reads that a replica answers. Made when it is used; `None` if the pool was retired before.
    reader: OnceLock<Option<Link>>,
    /// Until when no read is sent here that another node can answer: milliseconds since `born`.
    avoided_until: AtomicU64,
    born: Instant,
    severed: watch::Sender<bool>,
}

/// A connection for one caller; goes back to its pool on drop if no reply is outstanding. Otherwise it is closed there
/// and then: the server would give the next element to somebody who is gone.
#[derive(Debug)]
pub(crate) struct ExclusiveLink(Option<Object<ExclusiveLinks>>);

/// A connection of the pool.
#[derive(Debug)]
pub(crate) struct Spare {
    link: Link,
    /// Since when it is known to be good.
    since: Instant,
}

impl ExclusiveLink {
    /// `None` only while it is dropped.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.0.as_deref().map(|spare| &spare.link)
    }

    /// Closes it: the server remembers something of its caller that the next one must not meet.
    pub(crate) fn close(mut self) {
        if let Some(link) = self.0.take() {
            drop(Object::take(link));
        }
    }
}

impl Drop for ExclusiveLink {
    fn drop(&mut self) {
        let Some(mut spare) = self.0.take() else { return };
        if spare.link.is_idle() {
            spare.since = Instant::now();
        } else {
            // A `BLPOP` that is on its way must not take an element for somebody who is gone.
            spare.link.sever();
            drop(Object::take(spare));
        }
    }
}

impl NodePool {
    pub(crate) fn new(
        node: &NodeAddr,
        context: &Arc<LinkContext>,
        client_bound: Bound,
        runtime: &Handle,
    ) -> Self {
        let config = &context.config;
        let budget = Budget::new(Bound::new(config.node_budget, config.node_requests), client_bound);
        let links = (0..config.links_per_node.max(1))
            .map(|_| {
                let (node, budget) = (node.clone(), budget.clone());
                Link::lazy(node, budget, Arc::clone(context), Purpose::Commands, runtime)
            })
            .collect();
        Self {
            node: node.clone(),
            links,
            budget,
            context: Arc::clone(context),
            runtime: runtime.clone(),
            exclusive: OnceLock::new(),
            reader: OnceLock::new(),
            avoided_until: AtomicU64::new(0),
            born: Instant::now(),
            severed: watch::Sender::new(false),
        }
    }

    fn exclusive_links(&self) -> &Pool<ExclusiveLinks> {
        self.exclusive.get_or_init(|| {
            let manager = ExclusiveLinks {
                node: self.node.clone(),
                budget: self.budget.clone(),
                context: Arc::clone(&self.context),
            };
            let pool = Pool::builder(manager)
                .max_size(self.context.config.exclusive_per_node)
                .queue_mode(QueueMode::Lifo)
                .runtime(Runtime::Tokio1)
                .build();
            #[expect(
                clippy::expect_used,
                reason = "building fails only if timeouts are set without a runtime"
            )]
            pool.expect("no timeouts are set")
        })
    }

    pub(crate) fn node(&self) -> &NodeAddr {
        &self.node
    }

    /// Which of the links commands of `slot` take: always the same, so that their order is kept.
    #[inline]
    pub(crate) fn lane_of(&self, slot: Slot) -> usize {
        match self.links.len() {
            0 | 1 => 0,
            several => usize::from(slot.get()) % several,
        }
    }

    /// Behind those of [`NodePool::lane_of`]: the link for reads that a replica answers.
    #[inline]
    pub(crate) fn lane_of_reads(&self) -> usize {
        self.links.len()
    }

    #[inline]
    pub(crate) fn link(&self, lane: usize) -> Option<&Link> {
        match self.links.get(lane) {
            None if lane == self.lane_of_reads() => self.reader(),
            link => link,
        }
    }

    fn reader(&self) -> Option<&Link> {
        let lazy = || {
            let (node, context) = (self.node.clone(), Arc::clone(&self.context));
            Some(Link::lazy(node, self.budget.clone(), context, Purpose::ReplicaReads, &self.runtime))
        };
        self.reader.get_or_init(lazy).as_ref()
    }

    /// All links that were made.
    fn made_links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().chain(self.reader.get().and_then(Option::as_ref))
    }

    /// What a read here is expected to take, in no particular unit.
    pub(crate) fn cost(&self, at_replica: bool) -> u64 {
        let link = if at_replica { self.reader.get().and_then(Option::as_ref) } else { self.any_link() };
        link.map_or(0, Link::cost)
    }

    /// Sends reads elsewhere for a while: this node could not answer one.
    pub(crate) fn avoid(&self) {
        let until = self.born.elapsed() + AVOID;
        self.avoided_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn is_avoided(&self) -> bool {
        let until = self.avoided_until.load(Ordering::Relaxed);
        until > 0 && self.born.elapsed() < Duration::from_millis(until)
    }

    /// The link for commands without a slot.
    pub(crate) fn any_link(&self) -> Option<&Link> {
        self.links.first()
    }

    /// A connection for one caller, made if none is free. Waits while all are taken.
    pub(crate) async fn exclusive(&self) -> Result<ExclusiveLink, LossCause> {
        let link = self.exclusive_links().get().await.map_err(|error| match error {
            PoolError::Backend(error) => LossCause::Connect(error),
            // The pool has no time-outs and no hooks of its own: it was retired.
            PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::Timeout(_)
            | PoolError::PostCreateHook(_) => LossCause::Retired,
        })?;
        Ok(ExclusiveLink(Some(link)))
    }

    /// Takes no further command; what is under way is still answered while the pool lives.
    pub(crate) fn retire(&self) {
        self.reader.get_or_init(|| None);
        self.made_links().for_each(Link::refuse_new);
        // Made for that if need be: who asks for an exclusive connection later must be refused as well.
        self.exclusive_links().close();
    }

    /// [`NodePool::retire`] of a node that has handed over to another and lives: a shared connection on which it is silent is
    /// closed sooner.
    pub(crate) fn demote(&self) {
        self.retire();
        self.made_links().for_each(Link::demote);
    }

    /// Closes the connections now, those that callers hold included.
    pub(crate) fn sever(&self) {
        self.reader.get_or_init(|| None);
        self.made_links().for_each(Link::sever);
        self.exclusive_links().close();
        self.severed.send_replace(true);
    }

    pub(crate) fn is_severed(&self) -> bool {
        *self.severed.borrow()
    }

    /// Resolves when the pool is severed.
    pub(crate) async fn until_severed(&self) {
        // An error would mean that the pool is gone, which its borrow excludes.
        drop(self.severed.subscribe().wait_for(|severed| *severed).await);
    }

    /// What is under way: units on the shared links, bytes, and exclusive connections that are in use.
    pub(crate) fn load(&self) -> (usize, usize, usize) {
        let in_use =
            self.exclusive.get().map(Pool::status).map(|pool| pool.size.saturating_sub(pool.available));
        (self.made_links().map(Link::in_flight).sum(), self.budget.taken(), in_use.unwrap_or(0))
    }

    /// Whether nothing is under way on the shared links or held from the pool.
    pub(crate) fn is_idle(&self) -> bool {
        let none_is_held = |pool: &Pool<_>| {
            let status = pool.status();
            status.available >= status.size
        };
        self.made_links().all(Link::is_idle) && self.exclusive.get().is_none_or(none_is_held)
    }
}

/// Makes and checks the exclusive connections.
#[derive(Debug)]
pub(crate) struct ExclusiveLinks {
    node: NodeAddr,
    budget: Budget,
    context: Arc<LinkContext>,
}

impl Manager for ExclusiveLinks {
    type Type = Spare;
    type Error = ConnectError;

    async fn create(&self) -> Result<Spare, ConnectError> {
        let link = Link::exclusive(self.node.clone(), self.budget.clone(), Arc::clone(&self.context)).await?;
        Ok(Spare { link, since: Instant::now() })
    }

    /// A connection with a reply outstanding (its caller gave up) must never serve another caller.
    ///
    /// One that was not used for long is asked first whether its peer is still there: who blocks for ever on a connection
    /// whose other end is gone waits for ever.
    async fn recycle(&self, spare: &mut Spare, _: &Metrics) -> RecycleResult<ConnectError> {
        if spare.link.is_closed() || !spare.link.is_idle() {
            return Err(RecycleError::message("closed or waiting for a reply"));
        }
        let config = &self.context.config;
        if config.keep_alive.is_some_and(|limit| spare.since.elapsed() >= limit) {
            let answered = timeout(config.connect_timeout, spare.link.is_alive()).await;
            if !answered.unwrap_or(false) {
                return Err(RecycleError::message("its peer does not answer"));
            }
            spare.since = Instant::now();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use tokio::runtime::Handle;

    use super::NodePool;
    use crate::config::Config;
    use crate::connection::budget::Bound;
    use crate::connection::dials::Dials;
    use crate::connection::link_context::{LinkContext, LinkObserver};
    use crate::connection::logins::Logins;
    use crate::connection::loss::LossCause;
    use crate::node::NodeAddr;
    use crate::stats::Counters;
    use crate::transport::{Connector, Transport};

    /// A node that cannot be reached, and an observer whom that does not interest.
    #[derive(Debug)]
    struct Nobody;

    impl Connector for Nobody {
        fn connect<'a>(&'a self, _: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
            async { Err(io::ErrorKind::ConnectionRefused.into()) }.boxed()
        }
    }

    impl LinkObserver for Nobody {
        fn troubled(&self, _: &NodeAddr) {}
    }

    #[tokio::test]
    async fn a_pool_that_ends_before_its_first_exclusive_connection_gives_none() {
        let context = Arc::new(LinkContext {
            config: Arc::new(Config::default()),
            connector: Arc::new(Nobody),
            observer: Arc::new(Nobody),
            counters: Arc::new(Counters::default()),
            dials: Dials::default(),
            logins: Arc::new(Logins::new(None, Arc::default())),
        });
        for end in [NodePool::retire, NodePool::sever] {
            let pool = NodePool::new(&NodeAddr::new("h", 1), &context, Bound::new(1, 1), &Handle::current());
            assert!(matches!(pool.exclusive().await, Err(LossCause::Connect(_))));
            assert!(pool.is_idle());
            let pool = NodePool::new(&NodeAddr::new("h", 1), &context, Bound::new(1, 1), &Handle::current());
            end(&pool);
            assert!(matches!(pool.exclusive().await, Err(LossCause::Retired)));
            assert!(pool.is_idle());
        }
    }
}
