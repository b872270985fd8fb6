//! Parts of the hot path for `benches/` and for tests that count, and in [`fuzz`] the parsers. Not part of the
//! public interface.

pub mod fuzz;
pub mod replies;
pub mod topology;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use tokio::runtime::Handle;

use crate::cluster::routes::Routes;
use crate::config::Config;
use crate::connection::budget::Bound;
use crate::connection::dials::Dials;
use crate::connection::link_context::{LinkContext, LinkObserver};
use crate::connection::logins::Logins;
use crate::connection::pool::NodePool;
use crate::connection::transport::TcpConnector;
use crate::node::NodeAddr;
use crate::protocol::codec::Decoder;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::topology::slot_map::{Node, SlotMap};

/// Decodes every reply in `bytes`; `None` if they are no RESP.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut buffer = BytesMut::from(bytes);
    let mut decoder = Decoder::new(usize::MAX);
    let mut values = Vec::new();
    while let Some(value) = decoder.decode(&mut buffer).ok()? {
        values.push(value);
    }
    Some(values)
}

/// The routes of a cluster that is not there: links connect only when they are used.
#[derive(Debug)]
pub struct Router {
    routes: ArcSwap<Routes>,
}

impl Router {
    /// Slots spread evenly over so many primaries. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(primaries: u16) -> Self {
        let mut map = SlotMap::empty(1);
        let nodes: Vec<_> = (0..primaries)
            .filter_map(|number| {
                map.add_node(Node::primary(NodeAddr::new("127.0.0.1", 10_000 + number), None))
            })
            .collect();
        nodes.iter().for_each(|node| map.add_shard(*node));
        for slot in Slot::all() {
            let owner = usize::from(slot.get()) * nodes.len() / usize::from(Slot::COUNT);
            if let Some(node) = nodes.get(owner) {
                map.assign(slot, *node);
            }
        }
        let context = Arc::new(LinkContext {
            config: Arc::new(Config::default()),
            connector: Arc::new(TcpConnector),
            observer: Arc::new(Deaf),
            counters: Arc::new(Counters::default()),
            dials: Dials::default(),
            logins: Arc::new(Logins::new(None, Arc::default())),
        });
        let bound = || Bound::new(1 << 20, 1 << 10);
        let pool = |addr: &NodeAddr| Arc::new(NodePool::new(addr, &context, bound(), &Handle::current()));
        Self { routes: ArcSwap::from_pointee(Routes::new(map, pool)) }
    }

    /// From the bytes of a key to its link: the port of its node, and the link's place.
    #[inline]
    #[must_use]
    pub fn route(&self, key: &[u8]) -> Option<(u16, usize)> {
        let slot = Slot::of_key(key);
        let routes = self.routes.load();
        let pool = routes.owner(slot)?;
        let lane = pool.lane_of(slot);
        pool.link(lane).map(|_| (pool.node().port(), lane))
    }
}

/// An observer that does nothing.
#[derive(Debug)]
struct Deaf;

impl LinkObserver for Deaf {
    fn troubled(&self, _: &NodeAddr) {}
}
