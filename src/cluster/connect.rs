//! [`Cluster`]: a core that is kept fresh, and [`connect`] that makes one.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cluster::core::Core;
use crate::cluster::refresher;
use crate::config::Config;
use crate::error::Result;
use crate::transport::Connector;

/// What every handle of a client holds: the core, and the task that keeps it fresh for as long as there is a handle.
#[derive(Debug)]
pub(crate) struct Cluster {
    core: Arc<Core>,
    refresher: JoinHandle<()>,
}

impl Cluster {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.refresher.abort();
    }
}

/// Asks the seeds for the topology and starts the task that keeps it fresh.
pub(crate) async fn connect(config: Config, connector: Arc<dyn Connector>) -> Result<Arc<Cluster>> {
    let core = Arc::new(Core::new(config, connector));
    core.install(refresher::first_view(&core).await?);
    let refresher = tokio::spawn(refresher::keep_fresh(Arc::clone(&core)));
    Ok(Arc::new(Cluster { core, refresher }))
}
