//! What the tests of failovers and of resizes have in common.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use keyslot::testkit::LocalCluster;
use keyslot::{Command, NodeAddr, Value};

/// How a scenario ends.
pub(crate) type Done<T = ()> = Result<T, Box<dyn Error>>;

/// `cluster-node-timeout`: a replica is promoted after about twice this time, and never before this time.
pub(crate) const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// For a command. Far above what a failover takes, so that a busy machine fails no test: a client that cannot recover
/// by itself does not recover in this time either.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long anything that a test waits for may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Each scenario once for each of the five servers.
macro_rules! on_every_server {
    ($($scenario:ident)*) => {$(
        mod $scenario {
            $crate::failover_support::on_every_server!(@servers $scenario
                redis_6_2 "redis-6.2" redis_7_0 "redis-7.0" redis_8_2 "redis-8.2"
                valkey_8_1 "valkey-8.1" valkey_9_1 "valkey-9.1");
        }
    )*};
    (@servers $scenario:ident $($name:ident $folder:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            super::scenarios::$scenario(keyslot::testkit::Server::named($folder).unwrap()).await.unwrap();
        }
    )*};
}

pub(crate) use on_every_server;

/// What a caller that measures does between two calls. With `KEYSLOT_BUSY=yes` it calls again at once, so that no core
/// sleeps: else the latencies of a machine with little to do tell mostly on which core the system has put whom.
pub(crate) async fn breathe() {
    if env::var_os("KEYSLOT_BUSY").is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Looks until there is something to see; the error says what there was instead.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> Done<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look().await {
            Ok(seen) => return Ok(seen),
            Err(said) if Instant::now() >= deadline => {
                return Err(format!("not within {LIMIT:?}: {what}; {said}").into());
            }
            Err(_not_yet) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// What one node answers, past the client under test; an error reply is an error.
pub(crate) async fn ask(cluster: &LocalCluster, node: &NodeAddr, command: Command) -> Done<Value> {
    let name = command.name().to_owned();
    match cluster.command(node, command).await? {
        Value::Error(error) => Err(format!("{name} at {node}: {error}").into()),
        value => Ok(value),
    }
}
