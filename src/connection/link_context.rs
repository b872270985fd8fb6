//! [`LinkContext`]: what a link is given by those above.

use std::fmt;
use std::sync::Arc;

use crate::config::Config;
use crate::connection::dials::Dials;
use crate::connection::logins::Logins;
use crate::node::NodeAddr;
use crate::stats::Counters;
use crate::transport::Connector;

/// What all links of a client have in common.
#[derive(Debug)]
pub(crate) struct LinkContext {
    pub(crate) config: Arc<Config>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) observer: Arc<dyn LinkObserver>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) dials: Dials,
    pub(crate) logins: Arc<Logins>,
}

/// Is told when a node gives reason to look at the topology.
pub(crate) trait LinkObserver: fmt::Debug + Send + Sync {
    /// A connection to `node` was lost, could not be made, or has been silent for too long.
    fn troubled(&self, node: &NodeAddr);
}
