//! [`connect`]: from settings to a core that is kept fresh.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cluster::core::Core;
use crate::cluster::refresher;
use crate::config::Config;
use crate::connection::transport::Connector;
use crate::error::Result;

/// A task that ends with its handle.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks the seeds for the topology and starts the task that keeps it fresh.
pub(crate) async fn connect(config: Config, connector: Arc<dyn Connector>) -> Result<(Arc<Core>, OwnedTask)> {
    let core = Arc::new(Core::new(config, connector));
    core.install(refresher::first_view(&core).await?);
    let task = OwnedTask(tokio::spawn(refresher::keep_fresh(Arc::clone(&core))));
    Ok((core, task))
}
