//! [`Access`]: how the clients under test come in: as anybody, as a user who may do little, by TLS, or both.

use std::env;
use std::fmt;

use keyslot::testkit::{LocalCluster, LocalClusterBuilder, LocalTls};
use keyslot::{Client, ClientBuilder};

/// Who may do what the load does, and what the client needs for it: to ask who has which slot, to read at replicas, and to
/// follow a slot that is on its way. Neither `ECHO`, which it closes such a visit with, nor `PING`, nor more of `CLUSTER`.
const USER: &str = "chaos";
const USER_PASSWORD: &str = "of-the-user";
const RIGHTS: &str = "resetchannels ~{*}:* -@all +cluster|slots +readonly +asking +get +set +mget +mset +incr +rpush \
                      +multi +exec +wait";

/// Of the `default` user, so that a connection without a login can do nothing.
const DEFAULT_PASSWORD: &str = "of-the-test";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    /// By TLS alone, between the nodes too. Redis 7.0 only: no other of the five is built with it.
    pub(crate) by_tls: bool,
    /// As a user with the least rights that the client needs.
    pub(crate) as_user: bool,
}

impl Access {
    pub(crate) const OPEN: Self = Self { by_tls: false, as_user: false };
    pub(crate) const USER: Self = Self { by_tls: false, as_user: true };
    pub(crate) const TLS: Self = Self { by_tls: true, as_user: false };
    const TLS_AND_USER: Self = Self { by_tls: true, as_user: true };

    /// By `KEYSLOT_CHAOS_ACCESS`, `None` if that is not said.
    pub(crate) fn wanted() -> Option<Self> {
        let wanted = env::var("KEYSLOT_CHAOS_ACCESS").ok()?;
        let all = [Self::OPEN, Self::USER, Self::TLS, Self::TLS_AND_USER];
        let known = all.into_iter().find(|access| access.to_string() == wanted);
        Some(known.unwrap_or_else(|| {
            panic!(
                "KEYSLOT_CHAOS_ACCESS={wanted} is none of {}",
                all.map(|access| access.to_string()).join(", ")
            )
        }))
    }

    /// Has the servers let in those who come this way, and nobody else.
    pub(crate) fn guard(self, mut cluster: LocalClusterBuilder) -> LocalClusterBuilder {
        if self.by_tls {
            cluster = cluster.tls(LocalTls::new());
        }
        if self.as_user {
            cluster = cluster
                .password(DEFAULT_PASSWORD)
                .setting("user", format!("{USER} on >{USER_PASSWORD} {RIGHTS}"));
        }
        cluster
    }

    /// A client that comes this way.
    pub(crate) fn client(self, cluster: &LocalCluster) -> ClientBuilder {
        let mut client = Client::builder();
        if let Some(tls) = cluster.tls() {
            client = client.tls(tls.config());
        }
        if self.as_user {
            client = client.credentials(USER, USER_PASSWORD);
        }
        client
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.by_tls, self.as_user) {
            (false, false) => "open",
            (false, true) => "user",
            (true, false) => "tls",
            (true, true) => "tls+user",
        })
    }
}
