//! [`Loss`]: a command that got no reply, and how much of it had left.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::protocol::decode_error::DecodeError;
use crate::protocol::server_error::ServerError;

/// Why a connection could not be made.
#[derive(Debug, Clone, Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect: {0}")]
    Io(Arc<io::Error>),
    #[error("no answer within the connect timeout of {0:?}")]
    Timeout(std::time::Duration),
    #[error(
        "no answer within the connect timeout of {0:?}; a port without TLS may be silent like this when it is greeted in TLS"
    )]
    TlsTimeout(std::time::Duration),
    #[error("the credentials provider failed: {0}")]
    Credentials(Arc<str>),
    #[error(
        "it reset the connection when it was greeted, as a port for TLS does to a client without (rediss://): {0}"
    )]
    Reset(Arc<io::Error>),
    #[error("it closed the connection during the handshake")]
    Closed,
    #[error("it refused the handshake: {0}")]
    Refused(ServerError),
    #[error("it did not answer in RESP: {0}")]
    NotResp(DecodeError),
}

/// Why a reply will not come.
#[derive(Debug, Clone, Error)]
pub(crate) enum LossCause {
    #[error(transparent)]
    Connect(ConnectError),
    #[error("the connection was lost: {0}")]
    Io(Arc<io::Error>),
    #[error("the server closed the connection")]
    ClosedByPeer,
    #[error("the server closed the connection after: {0}")]
    Farewell(ServerError),
    #[error("the connection was given up: {0}")]
    NotResp(DecodeError),
    #[error("the connection was given up: a reply came that no command had asked for")]
    Unexpected,
    #[error("the deadline passed")]
    Expired,
    #[error("the connection was given up: nothing was received before the deadline of a command")]
    Overdue,
    #[error("the node was failed over or left the cluster")]
    Retired,
}

/// A command, or a unit of several, that ended without (all of) its replies.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) cause: LossCause,
    /// How many of its bytes were handed to the socket. A server executes whole commands only.
    pub(crate) written: usize,
}

impl Loss {
    /// Nothing has left.
    pub(crate) fn unsent(cause: LossCause) -> Self {
        Self { cause, written: 0 }
    }

    /// It must be assumed that everything has left.
    pub(crate) fn maybe_sent(cause: LossCause) -> Self {
        Self { cause, written: usize::MAX }
    }
}
