//! [`Piece`]: what a unit is made of, and [`UnitReply`]: what comes back.

use std::num::NonZeroU64;

use crate::command::Command;
use crate::command::cut::Part;
use crate::connection::loss::Loss;
use crate::protocol::server_error::ErrorCode;
use crate::protocol::value::Value;

/// One part of a unit: what is written in one go and never torn apart by another caller's command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'a> {
    Command(&'a Command),
    /// What one slot gets of a command.
    Part(Part<'a>),
    Asking,
    Multi,
    Exec,
    /// Closes a unit with an `ASKING`.
    Check(Check),
}

/// An `ECHO` of a number that nobody else sends, behind the last command of a unit with an `ASKING`.
///
/// `+OK` is the answer to `ASKING` and to many a command: one that is lost or comes twice would shift all that follow, and
/// nobody could tell. So the replies of such a unit are handed over only when the last of them is this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check(NonZeroU64);

impl Check {
    /// What it takes on the wire.
    pub(crate) const WIRE_LENGTH: usize = 37;

    pub(crate) fn new() -> Self {
        Self(NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(format!("*2\r\n$4\r\nECHO\r\n$16\r\n{:016x}\r\n", self.0).as_bytes());
    }

    /// The same number as the argument of a `PING`: a sign of life that can be told from any other reply. As long as
    /// the `ECHO`.
    pub(super) fn write_ping(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(format!("*2\r\n$4\r\nPING\r\n$16\r\n{:016x}\r\n", self.0).as_bytes());
    }

    /// Whether `reply` is the answer to its `PING`. A server that lives may refuse it: it is loading, or busy with a
    /// script, or has no disk to write to.
    pub(super) fn is_sign_of_life(self, reply: &Value) -> bool {
        match reply {
            Value::Bulk(bytes) => *bytes == format!("{:016x}", self.0),
            // As some proxies answer, who do not pass it on.
            Value::Simple(text) => text == "PONG",
            Value::Error(_) => true,
            _another => false,
        }
    }

    /// Whether `reply` is the answer to it, behind `before`. It may be refused: as the command was, because the user is
    /// not allowed to, or because the server has it under another name.
    pub(super) fn is_answered_by(self, reply: &Value, before: Option<&Value>) -> bool {
        match reply {
            Value::Bulk(bytes) => *bytes == format!("{:016x}", self.0),
            Value::Error(error) => {
                let text = error.text().to_ascii_lowercase();
                let is_denied = error.class() == ErrorCode::NoPerm || text.starts_with("err unknown command");
                matches!(before, Some(Value::Error(_))) || (is_denied && text.contains("echo"))
            }
            _another => false,
        }
    }
}

pub(super) const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
pub(super) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(super) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Piece<'_> {
    /// What it takes on the wire.
    #[inline]
    pub(crate) fn wire_length(&self) -> usize {
        match self {
            Self::Command(command) => command.body().wire_length(),
            Self::Part(part) => part.wire_length(),
            Self::Asking => ASKING.len(),
            Self::Multi => MULTI.len(),
            Self::Exec => EXEC.len(),
            Self::Check(_) => Check::WIRE_LENGTH,
        }
    }
}

impl Piece<'_> {
    /// Whether replicas may have something to acknowledge after it.
    pub(crate) fn may_write(&self) -> bool {
        match self {
            Self::Command(command) => command.may_write(),
            Self::Part(part) => part.command().may_write(),
            Self::Asking | Self::Multi | Self::Exec | Self::Check(_) => false,
        }
    }
}

impl UnitReply {
    /// No reply at all.
    pub(crate) fn lost(loss: Loss) -> Self {
        Self { values: Vec::new(), of_one: false, loss: Some(loss) }
    }
}

/// The replies of a unit; fewer than asked for only together with a loss.
#[derive(Debug)]
pub(crate) struct UnitReply {
    pub(crate) values: Vec<Value>,
    /// Each of `values` is to be a list of one, and is its element instead where that is a scalar:
    /// [`Decoder::next_of_one`](crate::protocol::codec::Decoder::next_of_one).
    pub(crate) of_one: bool,
    pub(crate) loss: Option<Loss>,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::{Check, Piece};
    use crate::protocol::server_error::ServerError;
    use crate::protocol::value::Value;

    fn error(text: &str) -> Value {
        Value::Error(ServerError::new(text))
    }

    #[test]
    fn a_check_is_as_long_as_it_says() {
        let check = Check::new();
        let mut bytes = Vec::new();
        check.write(&mut bytes);
        assert_eq!(
            (bytes.len(), Piece::Check(check).wire_length()),
            (Check::WIRE_LENGTH, Check::WIRE_LENGTH)
        );
    }

    #[test]
    fn a_sign_of_life_is_the_number_or_any_refusal_and_no_other_commands_reply() {
        let check = Check(NonZeroU64::new(7).unwrap());
        let mut bytes = Vec::new();
        check.write_ping(&mut bytes);
        assert_eq!(bytes, b"*2\r\n$4\r\nPING\r\n$16\r\n0000000000000007\r\n");
        assert_eq!(bytes.len(), Check::WIRE_LENGTH);
        assert!(check.is_sign_of_life(&Value::Bulk("0000000000000007".into())));
        assert!(check.is_sign_of_life(&error("LOADING Redis is loading the dataset in memory")));
        for other in [Value::Simple("OK".into()), Value::Simple("QUEUED".into()), Value::Int(7), Value::Nil] {
            assert!(!check.is_sign_of_life(&other), "{other:?}");
        }
        assert!(!check.is_sign_of_life(&Value::Bulk("0000000000000008".into())));
    }

    #[test]
    fn a_check_is_answered_by_its_number_or_by_a_refusal_that_can_be_no_other_commands() {
        let check = Check(NonZeroU64::new(7).unwrap());
        let ok = Value::Simple("OK".into());
        let denied = error("NOPERM User u has no permissions to run the 'echo' command");
        assert!(check.is_answered_by(&Value::Bulk("0000000000000007".into()), Some(&ok)));
        assert!(check.is_answered_by(&denied, Some(&ok)));
        assert!(
            check.is_answered_by(&error("ERR unknown command `ECHO`, with args beginning with: "), Some(&ok))
        );
        assert!(check.is_answered_by(&error("LOADING .."), Some(&error("LOADING .."))));
        assert!(!check.is_answered_by(&error("WRONGTYPE .."), Some(&ok)), "that was the command's");
        assert!(!check.is_answered_by(&Value::Bulk("0000000000000008".into()), Some(&ok)));
        assert!(!check.is_answered_by(&ok, Some(&ok)));
    }
}
