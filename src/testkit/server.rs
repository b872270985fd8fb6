//! [`Server`]: which program the kit starts; [`StartError`]: why there is no running server or cluster.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use crate::error::Error;
use crate::node::NodeAddr;

/// The servers that this crate's own tests run on, as `scripts/servers` names their folders.
const TESTED: [&str; 5] = ["redis-6.2", "redis-7.0", "redis-8.2", "valkey-8.1", "valkey-9.1"];

/// A server program that was asked for its version, so it is there and runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    path: PathBuf,
    version: ServerVersion,
}

/// What a server is, as `Redis 7.0.15` or `Valkey 9.1.2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerVersion {
    product: String,
    major: u16,
    minor: u16,
    patch: u16,
}

/// Why a server or a cluster of the kit did not start.
///
/// `Debug` shows the same text as `Display`, because a test meets this error as the panic of an `unwrap`.
#[derive(Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no server program; the text says what to install.
    #[error("{0}")]
    NoServer(String),
    /// The program does not tell its version as a Redis or Valkey server does.
    #[error("{} is no Redis or Valkey server that runs here: {reason}", path.display())]
    NotAServer {
        /// The program.
        path: PathBuf,
        /// What it did or said.
        reason: String,
    },
    /// The cluster that was asked for cannot be.
    #[error("{0}")]
    Shape(String),
    /// A file or a process could not be handled.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A server ended when it should have begun to answer.
    #[error("{node} ({version}) did not start, it ended with {status}; its log ends with:\n{log}")]
    Ended {
        /// Where it should have listened.
        node: NodeAddr,
        /// What it is.
        version: ServerVersion,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// A server runs and does not answer.
    #[error("{node} ({version}) was not ready after {limit:?}: {said}; its log ends with:\n{log}")]
    NotReady {
        /// Where it should answer.
        node: NodeAddr,
        /// What it is.
        version: ServerVersion,
        /// How long it was waited for.
        limit: Duration,
        /// What came instead of an answer.
        said: String,
        /// The last lines of its log.
        log: String,
    },
    /// The nodes run and do not come to see one cluster.
    #[error("the nodes did not agree on a cluster within {limit:?}:\n{said}")]
    NotFormed {
        /// How long it was waited for.
        limit: Duration,
        /// A line for each node that is not content.
        said: String,
    },
    /// A node did not do what it was told.
    #[error(transparent)]
    Node(#[from] Error),
}

impl StartError {
    /// For `map_err`: an I/O error with what was tried.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Server {
    /// The program that the environment variable `KEYSLOT_SERVER` names; if it is not set, `redis-server` or else
    /// `valkey-server` on `PATH`.
    ///
    /// # Errors
    ///
    /// [`StartError::NoServer`] says what to install; [`StartError::NotAServer`] if what was found does not run.
    pub fn find() -> Result<Self, StartError> {
        Self::find_by(env::var_os("KEYSLOT_SERVER"), env::var_os("PATH"))
    }

    fn find_by(named: Option<OsString>, path: Option<OsString>) -> Result<Self, StartError> {
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return Self::at(PathBuf::from(named));
        }
        let folders: Vec<PathBuf> = path.map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        ["redis-server", "valkey-server"]
            .into_iter()
            .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path)))
            .ok_or_else(|| {
                StartError::NoServer(
                    "neither redis-server nor valkey-server is on PATH: install one (Debian and Ubuntu: apt-get \
                     install redis-server), or name one by KEYSLOT_SERVER"
                        .to_owned(),
                )
            })
            .and_then(Self::at)
    }

    /// The program at `path`.
    ///
    /// # Errors
    ///
    /// [`StartError::NotAServer`] if it cannot be run or does not say which Redis or Valkey it is.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, StartError> {
        // Absolute, because servers are started in folders of their own. Links are kept: a program that is several
        // tools in one knows by its name that it is the server.
        let path = std::path::absolute(path.as_ref())
            .map_err(StartError::io(format!("look for {}", path.as_ref().display())))?;
        let not_a_server = |reason: String| StartError::NotAServer { path: path.clone(), reason };
        let said =
            Command::new(&path).arg("--version").output().map_err(|error| not_a_server(error.to_string()))?;
        let text = String::from_utf8_lossy(&said.stdout);
        let version = ServerVersion::parse(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&said.stderr);
            let first_line = text.lines().chain(complaint.lines()).find(|line| !line.trim().is_empty());
            not_a_server(format!("asked for its version it says \"{}\"", first_line.unwrap_or("").trim()))
        })?;
        Ok(Self { path, version })
    }

    /// The five versions that this crate is tested on, oldest Redis first.
    #[doc(hidden)]
    pub fn all() -> Result<Vec<Self>, StartError> {
        TESTED.into_iter().map(Self::named).collect()
    }

    /// One of the versions that this crate is tested on, such as `valkey-9.1`.
    #[doc(hidden)]
    pub fn named(name: &str) -> Result<Self, StartError> {
        let servers = env::var_os("KEYSLOT_SERVERS")
            .filter(|path| !path.is_empty())
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers"), PathBuf::from);
        let product = name.split('-').next().unwrap_or(name);
        let path = servers.join(name).join(format!("{product}-server"));
        if is_program(&path) {
            Self::at(path)
        } else {
            Err(StartError::NoServer(format!("{} is not there: run scripts/servers", path.display())))
        }
    }

    /// Where the program is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it said of itself.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.path.display())
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl ServerVersion {
    /// Reads `Redis server v=7.0.15 sha=00000000:0 ...`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let product = words.next().filter(|product| matches!(*product, "Redis" | "Valkey"))?;
        let number = words.find_map(|word| word.strip_prefix("v="))?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        Some(Self {
            product: product.to_owned(),
            major: parts.next()??,
            minor: parts.next()??,
            // Unstable builds have names here.
            patch: parts.next().flatten().unwrap_or(0),
        })
    }

    /// `Redis` or `Valkey`.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Whether it is version `major.minor` or a later one. Valkey's numbers go on from those of Redis 7.2.
    #[must_use]
    pub fn is_at_least(&self, major: u16, minor: u16) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}.{}", self.product, self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, ServerVersion, StartError};

    #[test]
    fn a_version_is_read_from_what_the_server_says() {
        for (text, shown, is_7_0) in [
            ("Redis server v=6.2.5 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64", "Redis 6.2.5", false),
            ("Redis server v=7.0.15 sha=00000000:0", "Redis 7.0.15", true),
            ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", "Valkey 9.1.2", true),
            ("Valkey server v=9.2.unstable", "Valkey 9.2.0", true),
        ] {
            let version = ServerVersion::parse(text).unwrap();
            assert_eq!((version.to_string().as_str(), version.is_at_least(7, 0)), (shown, is_7_0));
        }
        for text in ["", "redis-cli 7.0.15", "Redis server", "Redis server v=seven", "nginx v=1.2.3"] {
            assert_eq!(ServerVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_server_is_found_by_its_name_on_the_path_unless_another_is_named() {
        let valkey = Server::named("valkey-9.1").unwrap();
        let redis = Server::named("redis-7.0").unwrap();
        let folder = |server: &Server| server.path().parent().unwrap().to_owned();
        let path = std::env::join_paths(["/nowhere".into(), folder(&valkey), folder(&redis)]).unwrap();
        assert_eq!(Server::find_by(None, Some(path.clone())).unwrap(), redis);
        assert_eq!(Server::find_by(Some("".into()), Some(folder(&valkey).into())).unwrap(), valkey);
        assert_eq!(Server::find_by(Some(valkey.path().into()), Some(path)).unwrap(), valkey);
        let error = Server::find_by(None, Some("/nowhere".into())).unwrap_err().to_string();
        assert!(error.contains("apt-get install redis-server") && !error.contains('\n'), "{error}");
        assert!(
            Server::find_by(Some("/no/such/program".into()), None).is_err(),
            "what is named is not replaced"
        );
    }

    #[test]
    fn what_is_no_server_is_refused_with_what_it_said() {
        assert!(matches!(Server::at("/no/such/program"), Err(StartError::NotAServer { .. })));
        let error = Server::at("/bin/echo").unwrap_err();
        assert!(
            error.to_string().starts_with("/bin/echo is no Redis or Valkey server that runs here: "),
            "{error}"
        );
        let error = Server::named("redis-0.1").unwrap_err();
        assert!(
            error.to_string().ends_with("redis-0.1/redis-server is not there: run scripts/servers"),
            "{error}"
        );
    }
}
