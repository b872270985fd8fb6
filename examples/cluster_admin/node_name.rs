//! How a node is named on the command line.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use keyslot::NodeAddr;
use keyslot::admin::ClusterView;

use crate::task::Failure;

/// By its address, or by its id or the beginning of that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NodeName {
    Addr(NodeAddr),
    Id(String),
}

impl FromStr for NodeName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Id(text.to_owned()), Self::Addr))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Id(id) => f.write_str(id),
        }
    }
}

impl NodeName {
    /// Where the node is asked. One that does not answer has an address if others know it.
    pub(crate) fn find(&self, view: &ClusterView) -> Result<NodeAddr, Failure> {
        let start = match self {
            Self::Addr(addr) => return Ok(addr.clone()),
            Self::Id(start) => start,
        };
        let answering = view.nodes.iter().map(|node| (&**node.id(), Some(&node.addr)));
        let silent = view.unreachable.iter();
        let silent = silent.filter_map(|lost| Some((lost.id.as_deref()?, lost.addr.as_ref())));
        let mut found = answering.chain(silent).filter(|(id, _)| id.starts_with(start.as_str()));
        match (found.next(), found.next()) {
            (Some((_, Some(addr))), None) => Ok(addr.clone()),
            (Some((id, None)), None) => {
                Err(Failure::failed(format!("nobody knows the address of node {id}")))
            }
            (Some((one, _)), Some((other, _))) => Err(Failure::usage(format!(
                "\"{start}\" begins the ids of {one} and {other}: give more of it"
            ))),
            (None, _) => Err(Failure::usage(format!(
                "\"{start}\" is no host:port, and no node's id begins with it; `info` lists the nodes"
            ))),
        }
    }
}
