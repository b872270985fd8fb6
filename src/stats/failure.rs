//! What of a failure may be shown to anyone: its class, never a text. A server's text may repeat what it was sent, a
//! password included.

use crate::error::{Error, ErrorKind, Outcome};

/// Why a connection could not be made.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(any(feature = "tracing", feature = "metrics")), expect(dead_code, reason = "for these two"))]
pub(crate) struct ConnectFailure<'a> {
    /// `timeout`, `io`, the code of the server's refusal, ...
    pub(crate) class: &'a str,
    /// The server asks for other credentials.
    #[cfg_attr(
        all(feature = "metrics", not(feature = "tracing")),
        expect(dead_code, reason = "for tracing")
    )]
    pub(crate) is_about_credentials: bool,
}

/// The first word of a server's error, if it looks like a code; what it says instead is nobody's business.
pub(crate) fn shown_code(code: &str) -> &str {
    let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !code.is_empty() && code.len() <= 32 && code.bytes().all(is_code) { code } else { "_OTHER" }
}

/// The `error.type` of an error: the code of the server's reply, else the class of the failure.
#[cfg_attr(not(any(feature = "tracing", feature = "metrics")), expect(dead_code, reason = "for these two"))]
pub(crate) fn class_of(error: &Error) -> &str {
    error.code().map(shown_code).unwrap_or(match error.kind() {
        ErrorKind::Config => "config",
        ErrorKind::Connect => "connect",
        ErrorKind::Auth => "auth",
        ErrorKind::ConnectionLost => "connection_lost",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Server => "server",
        ErrorKind::CrossSlot => "cross_slot",
        ErrorKind::Usage => "usage",
        ErrorKind::Redirects => "redirects",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Conversion => "conversion",
        ErrorKind::Overloaded => "overloaded",
        ErrorKind::SessionLost => "session_lost",
        ErrorKind::Closed => "closed",
    })
}

#[cfg_attr(not(any(feature = "tracing", feature = "metrics")), expect(dead_code, reason = "for these two"))]
pub(crate) fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "not_sent",
        Outcome::MaybeExecuted => "maybe_executed",
        Outcome::Rejected => "rejected",
    }
}
