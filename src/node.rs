//! [`NodeAddr`]: where a node listens. A name, not a socket.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Host and port of a node. Cheap to clone.
///
/// The host is a name or an IP address, without brackets; IPv6 is shown as `[::1]:7000`.
///
/// ```
/// use keyslot::NodeAddr;
///
/// let node: NodeAddr = "127.0.0.1:7000".parse()?;
/// assert_eq!((node.host(), node.port()), ("127.0.0.1", 7000));
/// # Ok::<(), keyslot::ParseNodeAddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddr {
    host: Arc<str>,
    port: u16,
}

impl NodeAddr {
    /// The node that listens on `port` of `host`.
    #[must_use]
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port for clients.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseNodeAddrError {
    /// There is no colon, so no port.
    #[error("\"{0}\" has no port; expected host:port")]
    NoPort(String),
    /// Nothing stands before the port.
    #[error("\"{0}\" has no host; expected host:port")]
    NoHost(String),
    /// What follows the last colon is no number from 0 to 65535.
    #[error("\"{port}\" in \"{text}\" is not a port number")]
    BadPort {
        /// The whole text.
        text: String,
        /// The part that should be a port.
        port: String,
    },
    /// The host has a bracket that is not one of a pair around the whole of it.
    #[error("the host in \"{0}\" has a bracket too many")]
    BadHost(String),
}

impl FromStr for NodeAddr {
    type Err = ParseNodeAddrError;

    /// Reads `host:port`, split at the last colon; brackets around an IPv6 address are optional, because servers
    /// send `::1:7000` in redirects.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = split_host_port(text)?;
        if host.is_empty() {
            return Err(ParseNodeAddrError::NoHost(text.to_owned()));
        }
        Ok(Self::new(host, port))
    }
}

/// Splits at the last colon; the host may be empty (in a redirect that means "the node that you asked").
pub(crate) fn split_host_port(text: &str) -> Result<(&str, u16), ParseNodeAddrError> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| ParseNodeAddrError::NoPort(text.to_owned()))?;
    let number = port
        .parse()
        .map_err(|_| ParseNodeAddrError::BadPort { text: text.to_owned(), port: port.to_owned() })?;
    let bare = bare_host(host).ok_or_else(|| ParseNodeAddrError::BadHost(text.to_owned()))?;
    Ok((bare, number))
}

/// A host without the brackets around it. `None` if there are more: what is left would be another host when it is
/// shown and read again.
pub(crate) fn bare_host(host: &str) -> Option<&str> {
    let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    (!bare.contains(['[', ']'])).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::{NodeAddr, ParseNodeAddrError, split_host_port};

    #[test]
    fn an_address_is_split_at_its_last_colon() {
        for (text, host, port, shown) in [
            ("127.0.0.1:7000", "127.0.0.1", 7000, "127.0.0.1:7000"),
            ("::1:18001", "::1", 18001, "[::1]:18001"),
            ("[::1]:18001", "::1", 18001, "[::1]:18001"),
            ("host1.example.com:6379", "host1.example.com", 6379, "host1.example.com:6379"),
        ] {
            let node: NodeAddr = text.parse().unwrap();
            assert_eq!((node.host(), node.port(), node.to_string()), (host, port, shown.to_owned()));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            "somewhere".parse::<NodeAddr>().unwrap_err().to_string(),
            "\"somewhere\" has no port; expected host:port"
        );
        assert_eq!(
            "a:x".parse::<NodeAddr>().unwrap_err().to_string(),
            "\"x\" in \"a:x\" is not a port number"
        );
        assert_eq!(
            ":7".parse::<NodeAddr>().unwrap_err().to_string(),
            "\":7\" has no host; expected host:port"
        );
        assert_eq!(split_host_port(":7").unwrap(), ("", 7));
    }

    #[test]
    fn brackets_are_one_pair_or_none() {
        for text in ["[[]]:1", "[[::1]]:7", "[::1:7", "::1]:7", "a[b]:7"] {
            assert_eq!(text.parse::<NodeAddr>(), Err(ParseNodeAddrError::BadHost(text.to_owned())));
        }
    }
}
