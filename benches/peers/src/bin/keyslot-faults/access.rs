//! [`Access`] for the stage that is shared with `tests/chaos`: everybody is let in. The stage there knows TLS too, which these
//! clients are built without.

use keyslot::testkit::{LocalCluster, LocalClusterBuilder};
use keyslot::{Client, ClientBuilder};

#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) by_tls: bool,
}

impl Access {
    pub(crate) const OPEN: Self = Self { by_tls: false };

    pub(crate) fn guard(self, cluster: LocalClusterBuilder) -> LocalClusterBuilder {
        cluster
    }

    pub(crate) fn client(self, _cluster: &LocalCluster) -> ClientBuilder {
        Client::builder()
    }
}
