//! [`Cluster`]: a core that is kept fresh, and [`connect`] that makes one.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cluster::core::Core;
use crate::cluster::refresher;
use crate::config::Config;
use crate::connection::logins;
#[cfg(feature = "tls")]
use crate::connection::tls::TlsConnector;
use crate::error::Result;
use crate::stats::refresh_cause::RefreshCause;
use crate::transport::Connector;

/// What every handle of a client holds: the core, and the tasks that keep it fresh for as long as there is a handle.
#[derive(Debug)]
pub(crate) struct Cluster {
    core: Arc<Core>,
    _refresher: Task,
    _logins: Task,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsConnector>>,
}

/// Ends with its handle.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where connections come from.
#[derive(Debug)]
pub(crate) struct Connectors {
    pub(crate) outermost: Arc<dyn Connector>,
    /// The one of them for TLS, if there is one.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<TlsConnector>>,
}

impl Cluster {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// `None` without TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<&TlsConnector> {
        self.tls.as_deref()
    }
}

/// Asks the seeds for the topology and starts the tasks that keep it, and what connections authenticate with, fresh.
pub(crate) async fn connect(config: Config, connectors: Connectors) -> Result<Arc<Cluster>> {
    let core = Arc::new(Core::new(config, connectors.outermost));
    // Before the first connection, so that no change is missed.
    let logins = Task(tokio::spawn(logins::keep_renewed(Arc::clone(&core.link_context().logins))));
    let view = refresher::first_view(&core).await?;
    if view.is_doubted() {
        // The seed may be cut off from the others, which may have gone on without it: they are asked at once.
        core.signal.request(RefreshCause::Refused);
    }
    core.install(view);
    let refresher = Task(tokio::spawn(refresher::keep_fresh(Arc::clone(&core))));
    Ok(Arc::new(Cluster {
        core,
        _refresher: refresher,
        _logins: logins,
        #[cfg(feature = "tls")]
        tls: connectors.tls,
    }))
}
