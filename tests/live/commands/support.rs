//! One cluster for all families, and what a server's version is asked for.

use std::sync::Arc;

use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Error, ErrorKind, FromValue, Outcome, Request};

pub(crate) struct Fixture {
    cluster: LocalCluster,
    resp3: Client,
    resp2: Client,
}

impl Fixture {
    pub(crate) async fn start(server: Server) -> Arc<Self> {
        let cluster = LocalCluster::builder().primaries(3).replicas(0).server(server).start().await.unwrap();
        let resp3 = Client::connect(cluster.url()).await.unwrap();
        let resp2 = Client::connect(format!("{}?protocol=resp2", cluster.url())).await.unwrap();
        Arc::new(Self { cluster, resp3, resp2 })
    }

    /// One for each version of the protocol.
    pub(crate) fn sides(&self, family: &str) -> [Side<'_>; 2] {
        let side =
            |client, version| Side { cluster: &self.cluster, client, tag: format!("{family}-{version}") };
        [side(&self.resp3, 3), side(&self.resp2, 2)]
    }
}

/// What a family is tried with.
pub(crate) struct Side<'a> {
    pub(crate) cluster: &'a LocalCluster,
    pub(crate) client: &'a Client,
    tag: String,
}

/// From which version of each product on something is known.
#[derive(Clone, Copy)]
pub(crate) struct Since {
    redis: (u16, u16),
    valkey: (u16, u16),
}

const NEVER: (u16, u16) = (u16::MAX, 0);

/// Redis up to 7.2 and all of Valkey have the same.
pub(crate) const SINCE_7_0: Since = Since { redis: (7, 0), valkey: (7, 2) };
pub(crate) const SINCE_7_2: Since = Since { redis: (7, 2), valkey: (7, 2) };

pub(crate) const fn since(redis: (u16, u16), valkey: (u16, u16)) -> Since {
    Since { redis, valkey }
}

pub(crate) const fn redis_since(major: u16, minor: u16) -> Since {
    Since { redis: (major, minor), valkey: NEVER }
}

pub(crate) const fn valkey_since(major: u16, minor: u16) -> Since {
    Since { redis: NEVER, valkey: (major, minor) }
}

impl Side<'_> {
    /// All keys of one family and one protocol are in one slot.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}{name}", self.tag)
    }

    pub(crate) fn knows(&self, since: Since) -> bool {
        let version = self.cluster.server().version();
        let (major, minor) = if version.product() == "Valkey" { since.valkey } else { since.redis };
        version.is_at_least(major, minor)
    }

    /// The reply; `None` from a server that is too old, which must say that it does not know the command.
    pub(crate) async fn if_known<T: FromValue>(&self, since: Since, request: Request<'_, T>) -> Option<T> {
        let reply = request.await;
        if self.knows(since) {
            return Some(reply.unwrap());
        }
        let error = refusal(reply);
        assert!(error.contains("unknown command") || error.contains("unknown subcommand"), "{error}");
        None
    }

    /// The same of an option that only newer servers have.
    pub(crate) async fn if_option_known<T: FromValue>(
        &self,
        since: Since,
        request: Request<'_, T>,
    ) -> Option<T> {
        let reply = request.await;
        if self.knows(since) {
            return Some(reply.unwrap());
        }
        let error = refusal(reply);
        let said = ["syntax error", "wrong number of arguments", "unsupported option", "unknown subcommand"];
        assert!(said.iter().any(|text| error.contains(text)), "{error}");
        None
    }
}

/// The text of a server's refusal, in lower case.
pub(crate) fn refusal<T>(reply: Result<T, Error>) -> String {
    let Err(error) = reply else { panic!("a refusal was expected") };
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    // A script's error may come after some of its writes, and nothing tells which errors do.
    let is_scripted =
        error.command().is_some_and(|name| name.starts_with("EVAL") || name.starts_with("FCALL"));
    assert!(error.outcome() == Outcome::Rejected || is_scripted, "{error}");
    error.to_string().to_lowercase()
}
