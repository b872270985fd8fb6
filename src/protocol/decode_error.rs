//! [`DecodeError`]: why bytes are no RESP.

use thiserror::Error;

/// Real servers nest less than ten deep; a deeper reply is an attack or a fault.
pub(super) const MAX_DEPTH: usize = 128;

/// A status or error line longer than this is not one.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Why bytes are no RESP. The connection cannot be used any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum DecodeError {
    #[error("a reply starts with byte 0x{0:02x}, which is no RESP type")]
    UnknownType(u8),
    #[error("a reply has the malformed {what} {text:?}")]
    Malformed { what: &'static str, text: String },
    #[error("a line of a reply is longer than {MAX_LINE} bytes")]
    LongLine,
    #[error("a reply is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("a reply is larger than the limit of {0} bytes")]
    TooLarge(usize),
    #[error("a string in a reply does not end where its length says")]
    BadStringEnd,
}

impl DecodeError {
    pub(super) fn malformed(what: &'static str, text: &[u8]) -> Self {
        let shown = text.get(..text.len().min(64)).unwrap_or_default();
        Self::Malformed { what, text: String::from_utf8_lossy(shown).into_owned() }
    }
}
