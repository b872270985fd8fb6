//! [`Credentials`], and [`CredentialsProvider`]: where they come from when they change while the client lives.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;

use crate::node::NodeAddr;

/// User and password, or a token that stands for one. `Debug` shows neither.
///
/// The words travel as arguments of `AUTH` and `HELLO`, each with its length before it: whatever is in them, line ends
/// included, is never read as a command.
///
/// ```
/// use std::time::Duration;
///
/// use keyslot::Credentials;
///
/// let of_a_user = Credentials::new("ann", "secret");
/// let token = Credentials::new("app", "eyJhbGciOi..").valid_for(Duration::from_secs(900));
/// assert!(!format!("{of_a_user:?} {token:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; `None` is the server's `default` user.
    pub(crate) username: Option<String>,
    pub(crate) password: String,
    /// From when they were given.
    pub(crate) valid_for: Option<Duration>,
}

impl Credentials {
    /// An ACL user with its password. They are good for ever unless [`Credentials::valid_for`] is said.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: Some(username.into()), ..Self::password(password) }
    }

    /// The password of the `default` user (`requirepass`).
    pub fn password(password: impl Into<String>) -> Self {
        Self { username: None, password: password.into(), valid_for: None }
    }

    /// How long they are good from now on, as of a token. The client asks its [`CredentialsProvider`] for the next ones when
    /// three quarters to four fifths of this time are over (at random, so that many clients do not ask at once), and
    /// authenticates its connections anew. Default: for ever.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("valid_for", &self.valid_for).finish_non_exhaustive()
    }
}

/// Why a provider has no credentials. Its text is shown in the client's errors: it must not have a secret in it.
pub type CredentialsError = Box<dyn StdError + Send + Sync>;

/// Gives the credentials of a client whose password or token changes while it lives; by
/// [`ClientBuilder::credentials_provider`](crate::ClientBuilder::credentials_provider).
///
/// # When it is asked
///
/// For each connection that is made, within its connect timeout. And once for all live connections when
/// [`rotations`](Self::rotations) says so, or when the time of what was given is nearly over
/// ([`Credentials::valid_for`]): each of them is then sent an `AUTH` between two commands, which delays nothing and loses
/// nothing. So keep what was fetched: a client of many nodes asks as often as it connects.
///
/// # When it fails
///
/// For a new connection, the connect fails with [`ErrorKind::Auth`](crate::ErrorKind::Auth) and is tried again as any other.
/// For live connections it is asked again, after a second first and at most every half minute; they go on with what they
/// have.
///
/// # When a server refuses
///
/// A server that refuses an `AUTH` lets the connection be what it was before, so the connection is kept: its commands are
/// still answered as those of the former user, and a server that withdraws that user closes the connection by itself, after
/// which it is made anew. [`refused`](Self::refused) is told, [`Stats`](crate::Stats) counts it, and the provider is asked
/// again as after a failure.
///
/// ```
/// use futures::future::BoxFuture;
/// use keyslot::{Credentials, CredentialsError, CredentialsProvider};
///
/// #[derive(Debug)]
/// struct FromFile(std::path::PathBuf);
///
/// impl CredentialsProvider for FromFile {
///     fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
///         Box::pin(async {
///             let token = tokio::task::spawn_blocking({
///                 let path = self.0.clone();
///                 move || std::fs::read_to_string(path)
///             });
///             let token = token.await??;
///             Ok(Credentials::new("app", token.trim()).valid_for(std::time::Duration::from_secs(900)))
///         })
///     }
/// }
/// ```
pub trait CredentialsProvider: fmt::Debug + Send + Sync {
    /// What connections authenticate with now. The future may be dropped before it is ready (the connect timeout).
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>>;

    /// An item whenever [`credentials`](Self::credentials) gives others than before, for live connections to use them. Each
    /// client asks for one such stream. Default: none ever; then only [`Credentials::valid_for`] makes them change.
    fn rotations(&self) -> BoxStream<'static, ()> {
        stream::pending().boxed()
    }

    /// A node has refused, on a live connection, what was given. The text is the server's. Default: nothing is done.
    ///
    /// Called from a task of the client: it must not block.
    fn refused(&self, node: &NodeAddr, reply: &str) {
        let (_, _) = (node, reply);
    }
}

/// A [`CredentialsProvider`] that is told: all clients that it was given to authenticate anew when it is.
///
/// ```no_run
/// # async fn example() -> keyslot::Result<()> {
/// use keyslot::{Client, Credentials, RotatingCredentials};
///
/// let credentials = RotatingCredentials::new(Credentials::new("app", "the first"));
/// let client =
///     Client::builder().seeds(["127.0.0.1:7000"]).credentials_provider(credentials.clone()).connect().await?;
/// credentials.rotate(Credentials::new("app", "the second"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RotatingCredentials(Arc<watch::Sender<Credentials>>);

impl RotatingCredentials {
    /// Gives these, until it is told others.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(watch::Sender::new(credentials)))
    }

    /// From now on connections authenticate with these, live ones included.
    pub fn rotate(&self, credentials: Credentials) {
        self.0.send_replace(credentials);
    }
}

impl CredentialsProvider for RotatingCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        let credentials = self.0.borrow().clone();
        Box::pin(async { Ok(credentials) })
    }

    fn rotations(&self) -> BoxStream<'static, ()> {
        // It ends with the last clone of this, and the client has one.
        stream::unfold(self.0.subscribe(), async |mut credentials| {
            credentials.changed().await.ok()?;
            Some(((), credentials))
        })
        .boxed()
    }
}

/// What a client was told to authenticate with.
#[derive(Clone, Debug)]
pub(crate) enum CredentialsSource {
    Fixed(Credentials),
    Provider(Arc<dyn CredentialsProvider>),
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::{Credentials, CredentialsProvider, RotatingCredentials};

    #[test]
    fn nothing_secret_is_shown() {
        let credentials = Credentials::new("ann-user", "ann-secret");
        let provider = RotatingCredentials::new(credentials.clone());
        for shown in [format!("{credentials:?}"), format!("{provider:?}")] {
            assert!(!shown.contains("ann-"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_rotation_is_told_once_to_each_who_listens() {
        let provider = RotatingCredentials::new(Credentials::password("a"));
        let (mut one, mut other) = (provider.rotations(), provider.rotations());
        provider.rotate(Credentials::password("b"));
        assert_eq!((one.next().await, other.next().await), (Some(()), Some(())));
        assert!(futures_util::poll!(one.next()).is_pending());
        assert_eq!(provider.credentials().await.unwrap(), Credentials::password("b"));
    }
}
