//! [`Logins`]: what connections authenticate with, and how live ones learn of a change.
//!
//! Sources: [AUTH](https://redis.io/docs/latest/commands/auth/), [ACL](https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/).

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::credentials::{Credentials, CredentialsProvider, CredentialsSource};
use crate::connection::loss::ConnectError;
use crate::node::NodeAddr;
use crate::protocol::server_error::ServerError;
use crate::stats::Counters;

/// Before a provider that failed, or whose credentials were refused, is asked again: doubled from the first to the last,
/// then shortened at random.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// For one answer of the provider when live connections need one.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Logins {
    source: Option<CredentialsSource>,
    /// The last change, which live connections wait for.
    rotation: watch::Sender<Rotation>,
    /// When the first of what live connections have is nearly over.
    due: Mutex<Option<Instant>>,
    due_moved: Notify,
    refused: Notify,
    counters: Arc<Counters>,
}

/// A change of credentials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotation {
    /// 0: there was none so far.
    number: u64,
    credentials: Option<Credentials>,
}

/// What a new connection is to authenticate with.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) renewals: Option<Renewals>,
}

/// What a live connection is told: to authenticate anew, and with what.
#[derive(Debug)]
pub(crate) struct Renewals {
    rotation: watch::Receiver<Rotation>,
    /// The number of the change that it has seen.
    seen: u64,
}

impl Renewals {
    /// The next credentials. Cancel safe.
    pub(crate) async fn next(&mut self) -> Credentials {
        let seen = self.seen;
        let credentials = match self.rotation.wait_for(|rotation| rotation.number > seen).await {
            Ok(rotation) => {
                self.seen = rotation.number;
                rotation.credentials.clone()
            }
            // The client is gone.
            Err(_) => None,
        };
        match credentials {
            Some(credentials) => credentials,
            None => pending().await,
        }
    }
}

impl Logins {
    pub(crate) fn new(source: Option<CredentialsSource>, counters: Arc<Counters>) -> Self {
        Self {
            source,
            rotation: watch::Sender::default(),
            due: Mutex::default(),
            due_moved: Notify::new(),
            refused: Notify::new(),
            counters,
        }
    }

    /// For a connection that is made now.
    pub(crate) async fn begin(&self) -> Result<Login, ConnectError> {
        let provider = match &self.source {
            None => return Ok(Login { credentials: None, renewals: None }),
            Some(CredentialsSource::Fixed(credentials)) => {
                return Ok(Login { credentials: Some(credentials.clone()), renewals: None });
            }
            Some(CredentialsSource::Provider(provider)) => provider,
        };
        // Before the question: a change while it is answered, or during the handshake, is one to be told of.
        let mut rotation = self.rotation.subscribe();
        let seen = rotation.borrow_and_update().number;
        let credentials = provider
            .credentials()
            .await
            .map_err(|error| ConnectError::Credentials(error.to_string().into()))?;
        self.note_due(&credentials);
        Ok(Login { credentials: Some(credentials), renewals: Some(Renewals { rotation, seen }) })
    }

    fn note_due(&self, credentials: &Credentials) {
        let Some(at) = credentials.valid_for.and_then(renew_at) else { return };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            drop(due);
            self.due_moved.notify_one();
        }
    }

    /// A live connection was answered when it authenticated anew.
    pub(crate) fn renewed(&self, node: &NodeAddr, refusal: Option<&ServerError>) {
        let Some(error) = refusal else {
            self.counters.logins_renewed.add_one();
            return;
        };
        self.counters.login_refused(node, error.code());
        if let Some(CredentialsSource::Provider(provider)) = &self.source {
            provider.refused(node, error.text());
        }
        self.refused.notify_one();
    }

    /// Resolves when what live connections have is nearly over.
    async fn is_due(&self) {
        loop {
            let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                () = self.due_moved.notified() => {}
            }
        }
    }
}

/// Asks the provider whenever there is reason to, and tells all live connections. Ends at once without a provider, else with
/// the handle of its task.
pub(crate) async fn keep_renewed(logins: Arc<Logins>) {
    let Some(CredentialsSource::Provider(provider)) = &logins.source else { return };
    let provider: &Arc<dyn CredentialsProvider> = provider;
    // A stream that has ended tells of no more changes.
    let mut changes = provider.rotations().chain(futures_util::stream::pending());
    let mut failures: u32 = 0;
    let mut is_wanted = false;
    loop {
        let pause = async {
            match is_wanted {
                true => sleep(pause_after(failures)).await,
                false => pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(()) = changes.next() => failures = 0,
            () = logins.is_due(), if !is_wanted => failures = 0,
            () = pause => {}
            () = logins.refused.notified(), if !is_wanted => {
                (is_wanted, failures) = (true, failures + 1);
                continue;
            }
        }
        match timeout(PATIENCE, provider.credentials()).await {
            Ok(Ok(credentials)) => {
                is_wanted = false;
                *logins.due.lock().unwrap_or_else(PoisonError::into_inner) = None;
                logins.note_due(&credentials);
                logins.rotation.send_modify(|rotation| {
                    rotation.number += 1;
                    rotation.credentials = Some(credentials);
                });
            }
            Ok(Err(_)) | Err(_) => (is_wanted, failures) = (true, failures + 1),
        }
    }
}

/// `None`: beyond what the clock can say.
fn renew_at(valid_for: Duration) -> Option<Instant> {
    // Not without a pause, however old a token is given.
    Instant::now().checked_add(valid_for.mul_f64(0.75 + fastrand::f64() / 20.0).max(FIRST_PAUSE))
}

fn pause_after(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST_PAUSE);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}
