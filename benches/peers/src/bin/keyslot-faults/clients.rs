//! [`Caller`]: the three commands that a client must have, and how it is connected. All have a time-out of five seconds
//! for a command and two for a connect, and else their defaults, but for fred's policy of reconnection: it has none
//! unless it is given one, which its examples do.

use std::future::Future;
use std::time::Duration;

use fred::prelude::{Builder, ClientLike, Config, KeysInterface, ReconnectPolicy, ServerConfig};
use keyslot::{Commands, Outcome};
use redis::AsyncCommands;
use rustis::commands::StringCommands;

use crate::stage::Done;

pub(crate) const NAMES: [&str; 4] = ["keyslot", "redis", "fred", "rustis"];

const COMMAND: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);

/// A call that failed.
pub(crate) struct Failed {
    /// The client says that no server has executed it.
    pub(crate) surely_not: bool,
    pub(crate) text: String,
}

pub(crate) type Told<T> = Result<T, Failed>;

pub(crate) trait Caller: Clone + Send + Sync + Sized + 'static {
    fn connect(seeds: &[String]) -> impl Future<Output = Done<Self>> + Send;
    fn incr(&mut self, key: &str) -> impl Future<Output = Told<i64>> + Send;
    fn get(&mut self, key: &str) -> impl Future<Output = Told<Option<String>>> + Send;
    fn set(&mut self, key: &str, value: &str) -> impl Future<Output = Told<()>> + Send;
}

/// An error of a client that does not say whether the command may have run.
fn unknown(error: impl std::error::Error) -> Failed {
    Failed { surely_not: false, text: error.to_string() }
}

#[derive(Clone)]
pub(crate) struct Keyslot(keyslot::Client);

fn told(error: keyslot::Error) -> Failed {
    let surely_not = match error.outcome() {
        Outcome::NotSent | Outcome::Rejected => true,
        Outcome::MaybeExecuted => false,
    };
    Failed { surely_not, text: error.to_string() }
}

impl Caller for Keyslot {
    async fn connect(seeds: &[String]) -> Done<Self> {
        let builder =
            keyslot::Client::builder().seeds(seeds).command_timeout(COMMAND).connect_timeout(CONNECT);
        Ok(Self(builder.connect().await?))
    }

    async fn incr(&mut self, key: &str) -> Told<i64> {
        self.0.incr(key).await.map_err(told)
    }

    async fn get(&mut self, key: &str) -> Told<Option<String>> {
        self.0.get(key).await.map_err(told)
    }

    async fn set(&mut self, key: &str, value: &str) -> Told<()> {
        self.0.set(key, value).await.map_err(told)
    }
}

#[derive(Clone)]
pub(crate) struct Redis(redis::cluster_async::ClusterConnection);

impl Caller for Redis {
    async fn connect(seeds: &[String]) -> Done<Self> {
        let client =
            redis::cluster::ClusterClientBuilder::new(seeds.iter().map(|seed| format!("redis://{seed}")))
                .connection_timeout(CONNECT)
                .response_timeout(COMMAND)
                .build()?;
        Ok(Self(client.get_async_connection().await?))
    }

    async fn incr(&mut self, key: &str) -> Told<i64> {
        self.0.incr(key, 1).await.map_err(unknown)
    }

    async fn get(&mut self, key: &str) -> Told<Option<String>> {
        self.0.get(key).await.map_err(unknown)
    }

    async fn set(&mut self, key: &str, value: &str) -> Told<()> {
        self.0.set(key, value).await.map_err(unknown)
    }
}

#[derive(Clone)]
pub(crate) struct Fred(fred::prelude::Client);

impl Caller for Fred {
    async fn connect(seeds: &[String]) -> Done<Self> {
        let hosts = seeds.iter().map(|seed| {
            let (host, port) = seed.rsplit_once(':').ok_or("a seed has no port")?;
            Ok((host.to_owned(), port.parse()?))
        });
        let hosts: Vec<(String, u16)> = hosts.collect::<Done<_>>()?;
        let server = ServerConfig::new_clustered(hosts);
        let mut builder = Builder::from_config(Config { server, ..Config::default() });
        builder
            // Without end, from 20 milliseconds to a second, as keyslot's own.
            .set_policy(ReconnectPolicy::new_exponential(0, 20, 1_000, 2))
            .with_performance_config(|config| config.default_command_timeout = COMMAND)
            .with_connection_config(|config| config.connection_timeout = CONNECT);
        let client = builder.build()?;
        client.init().await?;
        Ok(Self(client))
    }

    async fn incr(&mut self, key: &str) -> Told<i64> {
        self.0.incr(key).await.map_err(unknown)
    }

    async fn get(&mut self, key: &str) -> Told<Option<String>> {
        self.0.get(key).await.map_err(unknown)
    }

    async fn set(&mut self, key: &str, value: &str) -> Told<()> {
        self.0.set(key, value, None, None, false).await.map_err(unknown)
    }
}

#[derive(Clone)]
pub(crate) struct Rustis(rustis::client::Client);

impl Caller for Rustis {
    async fn connect(seeds: &[String]) -> Done<Self> {
        let url = format!(
            "redis+cluster://{}?command_timeout={}&connect_timeout={}",
            seeds.join(","),
            COMMAND.as_millis(),
            CONNECT.as_millis()
        );
        Ok(Self(rustis::client::Client::connect(url).await?))
    }

    async fn incr(&mut self, key: &str) -> Told<i64> {
        self.0.incr(key).await.map_err(unknown)
    }

    async fn get(&mut self, key: &str) -> Told<Option<String>> {
        self.0.get(key).await.map_err(unknown)
    }

    async fn set(&mut self, key: &str, value: &str) -> Told<()> {
        self.0.set(key, value).await.map_err(unknown)
    }
}
