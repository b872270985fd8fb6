//! [`Piece`]: what a unit is made of, and [`UnitReply`]: what comes back.

use crate::command::Command;
use crate::connection::loss::Loss;
use crate::protocol::value::Value;

/// One part of a unit: what is written in one go and never torn apart by another caller's command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'a> {
    Command(&'a Command),
    Asking,
    Multi,
    Exec,
}

pub(super) const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
pub(super) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(super) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Piece<'_> {
    /// What it takes on the wire.
    pub(crate) fn wire_length(&self) -> usize {
        match self {
            Self::Command(command) => command.body().wire_length(),
            Self::Asking => ASKING.len(),
            Self::Multi => MULTI.len(),
            Self::Exec => EXEC.len(),
        }
    }
}

/// The replies of a unit; fewer than asked for only together with a loss.
#[derive(Debug)]
pub(crate) struct UnitReply {
    pub(crate) values: Vec<Value>,
    pub(crate) loss: Option<Loss>,
}
