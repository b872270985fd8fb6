//! [`MappedConnector`]: dials other addresses than those that the cluster tells.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::node::NodeAddr;
use crate::transport::{Connector, Transport};

/// Where a node is dialled whose address the cluster tells.
pub(crate) type AddressMap = Arc<dyn Fn(&NodeAddr) -> NodeAddr + Send + Sync>;

/// The one place where addresses are mapped: everything else names nodes as the cluster does, so a redirect and the slot map
/// mean the same node, and TLS asks for the name that the node has in its cluster.
pub(crate) struct MappedConnector {
    inner: Arc<dyn Connector>,
    map: AddressMap,
    /// Dialled as they are: where they lead is the user's own word.
    seeds: Vec<NodeAddr>,
}

impl MappedConnector {
    pub(crate) fn over(inner: Arc<dyn Connector>, map: AddressMap, seeds: Vec<NodeAddr>) -> Self {
        Self { inner, map, seeds }
    }
}

impl fmt::Debug for MappedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedConnector").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Connector for MappedConnector {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            if self.seeds.contains(node) {
                return self.inner.connect(node).await;
            }
            let dialled = (self.map)(node);
            self.inner.connect(&dialled).await.map_err(|error| {
                io::Error::new(error.kind(), format!("{error} (dialled at {dialled} by the address map)"))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;

    use super::MappedConnector;
    use crate::node::NodeAddr;
    use crate::transport::{Connector, Transport};

    #[derive(Debug, Default)]
    struct Dialled(Mutex<Vec<NodeAddr>>);

    impl Connector for Dialled {
        fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
            self.0.lock().unwrap().push(node.clone());
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        }
    }

    #[tokio::test]
    async fn what_the_cluster_tells_is_mapped_and_a_seed_is_not() {
        let dialled = Arc::new(Dialled::default());
        let seed = NodeAddr::new("10.0.0.9", 7000);
        let map = |node: &NodeAddr| NodeAddr::new("localhost", node.port() + 10_000);
        let inner = Arc::clone(&dialled) as Arc<dyn Connector>;
        let connector = MappedConnector::over(inner, Arc::new(map), vec![seed.clone()]);
        let connect =
            async |node: &NodeAddr| connector.connect(node).await.map(drop).unwrap_err().to_string();
        assert_eq!(connect(&seed).await, "connection refused");
        let told = connect(&NodeAddr::new("10.0.0.1", 7000)).await;
        assert_eq!(told, "connection refused (dialled at localhost:17000 by the address map)");
        assert_eq!(*dialled.0.lock().unwrap(), [seed, NodeAddr::new("localhost", 17000)]);
    }
}
