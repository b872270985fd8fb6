//! The client behind [deadpool](https://docs.rs/deadpool)'s manager, for code that expects a pool; with the feature
//! `deadpool`.
//!
//! **A pool is not needed.** A [`Client`] is not one connection but all of them: its clones share a few links for each
//! node, commands of many tasks leave in one write, and what needs a connection for itself (blocking commands,
//! [sessions](crate::Session), durable writes) takes one from a pool inside, by itself. So put the client into the state of your
//! program and clone it. `pool.get().await?` in front of each command adds a wait, a place where tasks queue up, and no speed.
//!
//! It is of use where code is written for `deadpool::managed::Pool`: a framework, a generic repository, a migration that is to
//! touch one line. There this pool hands out clones of one client, so however large it is made, the cluster sees the connections
//! of one. What its size still does is to bound how many callers are at work at a time.
//!
//! ```
//! # use keyslot::testkit::SimCluster;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
//! # let builder = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector());
//! use keyslot::Commands;
//! use keyslot::pool::{Manager, Pool};
//!
//! let manager = Manager::from_builder(builder); // or Manager::from_url("redis://127.0.0.1:7000"), or Manager::new(client)
//! let pool = Pool::builder(manager).max_size(16).build()?;
//!
//! let client = pool.get().await?; // connects when it is first called
//! client.set("user:1", "Ann").await?;
//! let name: Option<String> = client.get("user:1").await?;
//! assert_eq!(name.as_deref(), Some("Ann"));
//! # Ok(())
//! # }
//! ```
//!
//! Differences from a pool of connections, such as that of `deadpool-redis`:
//!
//! - Nothing of one caller is left for the next: there is no state of a connection (`SELECT`, `WATCH`, `MULTI`, `CLIENT SETNAME`)
//!   that could be. For `WATCH` take a [`Client::session`].
//! - Recycling asks no server. A client mends its connections by itself, so it is as good after an error as before; only one
//!   that was [closed](Client::close) is turned away.
//! - Timeouts of the pool (`wait`, `create`) concern the pool. A command has the deadline of the client.
//! - Closing the pool does not close the client, and closing the client, by whatever clone, closes it for all.
//!
//! With `bb8`, whose traits this crate does not implement, the same takes four lines in your own: `connect` gives a clone,
//! `is_valid` is `Ok`, and `has_broken` is `false`.
//!
//! The versions of deadpool are not those of this crate: a new major version of it is a breaking change of this module alone. Use
//! what is re-exported here as [`deadpool`] to name the same one.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::builder::ClientBuilder;
use crate::client::Client;
use crate::error::{Error, Result};

#[doc(no_inline)]
pub use ::deadpool;

/// A pool of clones of one [`Client`].
pub type Pool = deadpool::managed::Pool<Manager>;

/// What [`Pool`] hands out: dereferences to the [`Client`], and goes back on drop.
pub type Object = deadpool::managed::Object<Manager>;

/// Why [`Pool`] has handed out nothing; `Backend` has the error of the connect.
pub type PoolError = deadpool::managed::PoolError<Error>;

/// Gives a [`Pool`] its clones; see the [module](self).
pub struct Manager {
    /// `None`: the client was given, and is there for good.
    builder: Option<ClientBuilder>,
    state: Mutex<State>,
}

/// A connect that all who ask at the same time wait for.
type Attempt = Shared<BoxFuture<'static, Result<Client>>>;

enum State {
    /// Nobody has asked yet.
    New,
    /// Held by those who wait for it: without any of them it ends.
    Connecting(WeakShared<BoxFuture<'static, Result<Client>>>),
    Connected(Client),
}

impl Manager {
    /// Hands out clones of `client`. The way to take where the program can wait for the cluster at its start: what is wrong with
    /// the URL or the cluster is known then, and not when the first request comes.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { builder: None, state: Mutex::new(State::Connected(client)) }
    }

    /// Connects with these settings when the pool is first asked. Nothing is checked before.
    ///
    /// Callers that ask meanwhile wait for the same attempt, and get its error if it fails; the next one tries again.
    #[must_use]
    pub fn from_builder(builder: ClientBuilder) -> Self {
        Self { builder: Some(builder), state: Mutex::new(State::New) }
    }

    /// [`from_builder`](Self::from_builder) with the settings of a URL, whose form [`ClientBuilder::url`] has.
    #[must_use]
    pub fn from_url(url: impl AsRef<str>) -> Self {
        Self::from_builder(ClientBuilder::new().url(url.as_ref()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, or the attempt to wait for.
    fn begin(&self) -> Result<Client, Attempt> {
        let mut state = self.state();
        let under_way = match &*state {
            State::Connected(client) => return Ok(client.clone()),
            State::Connecting(attempt) => attempt.upgrade(),
            State::New => None,
        };
        // One that has failed is not asked twice, though somebody may still hold it.
        if let Some(attempt) = under_way.filter(|attempt| !matches!(attempt.peek(), Some(Err(_)))) {
            return Err(attempt);
        }
        let builder = self.builder.clone().unwrap_or_default();
        let attempt = builder.connect().boxed().shared();
        if let Some(weak) = attempt.downgrade() {
            *state = State::Connecting(weak);
        }
        Err(attempt)
    }

    async fn client(&self) -> Result<Client> {
        let attempt = match self.begin() {
            Ok(client) => return Ok(client),
            Err(attempt) => attempt,
        };
        // Held until the state says what came of it: whoever asks in between must find it, and not begin another.
        let held = attempt.clone();
        let result = attempt.await;
        if let Ok(client) = &result {
            *self.state() = State::Connected(client.clone());
        }
        drop(held);
        result
    }
}

impl From<Client> for Manager {
    fn from(client: Client) -> Self {
        Self::new(client)
    }
}

impl deadpool::managed::Manager for Manager {
    type Type = Client;
    type Error = Error;

    async fn create(&self) -> Result<Client> {
        self.client().await.and_then(if_open)
    }

    async fn recycle(
        &self,
        client: &mut Client,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Error> {
        if_open(client.clone())?;
        Ok(())
    }
}

/// A client that was closed is closed on purpose: it is not made anew behind the back of whoever did.
fn if_open(client: Client) -> Result<Client> {
    if client.core().is_closed() { Err(Error::closed()) } else { Ok(client) }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_connected = matches!(*self.state(), State::Connected(_));
        f.debug_struct("Manager")
            .field("builder", &self.builder)
            .field("is_connected", &is_connected)
            .finish_non_exhaustive()
    }
}
