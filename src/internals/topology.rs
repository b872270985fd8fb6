//! Discovery without sockets: from the bytes of the replies to the installed routes.

use std::sync::Arc;

use bytes::BytesMut;

use crate::cluster::core::Core;
use crate::config::Config;
use crate::connection::transport::TcpConnector;
use crate::node::NodeAddr;
use crate::protocol::codec::Decoder;
use crate::protocol::value::Value;
use crate::topology::discovery::{TopologyReplies, read};
use crate::topology::patch::choose;
use crate::topology::slot_map::SlotMap;

/// A client's core that nobody keeps fresh: it knows what it is given. Its links connect only when they are used.
#[derive(Debug)]
pub struct Discoverer {
    core: Core,
}

impl Default for Discoverer {
    fn default() -> Self {
        Self::new()
    }
}

impl Discoverer {
    /// One without a map. Must be made and used within a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self { core: Core::new(Config::default(), Arc::new(TcpConnector)) }
    }

    /// The view in what one node answers to `CLUSTER SLOTS`, `CLUSTER SHARDS`, `CLUSTER INFO` and, if it may be asked,
    /// `CLUSTER NODES`, in this order; `None` if the bytes are no such replies.
    #[must_use]
    pub fn view(answers: &[u8]) -> Option<SlotMap> {
        let mut buffer = BytesMut::from(answers);
        let mut decoder = Decoder::new(usize::MAX);
        let mut next = || -> Option<Value> { decoder.decode(&mut buffer).ok()? };
        let (slots, shards, info) = (next()?, next()?, next()?);
        let nodes = next().unwrap_or(Value::Nil);
        let replies = TopologyReplies { slots, shards, info, nodes, over_tls: false };
        read(&replies, &NodeAddr::new("127.0.0.1", 6379)).ok()
    }

    /// Takes over the view to believe of those that several nodes gave, as a refresh does. False if there is none.
    pub fn refresh(&self, views: Vec<SlotMap>) -> bool {
        choose(views).map(|view| self.core.install(view)).is_some()
    }

    /// The map in use.
    #[must_use]
    pub fn slot_map(&self) -> Arc<SlotMap> {
        Arc::clone(self.core.routes().map())
    }
}
