//! [`Unit`]: what is sent in one piece and judged as one.

use std::borrow::Cow;

use crate::command::Command;
use crate::command::cut::Part;
use crate::connection::unit::Piece;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::protocol::value::Value;
use crate::routing::plan::TRANSACTION;
use crate::slot::Slot;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit<'a> {
    Command(&'a Command),
    /// What one slot gets of a command.
    Part(Part<'a>),
    /// `MULTI`, the commands, `EXEC`.
    Transaction {
        commands: &'a [Command],
        slot: Option<Slot>,
    },
}

impl<'a> Unit<'a> {
    /// The parts on the wire; with `asking`, as the target of an `ASK` needs them: once before each command, once before
    /// a whole transaction.
    #[inline]
    pub(super) fn for_each_piece(self, asking: bool, mut add: impl FnMut(Piece<'a>)) {
        if asking {
            add(Piece::Asking);
        }
        match self {
            Self::Command(command) => add(Piece::Command(command)),
            Self::Part(part) => add(Piece::Part(part)),
            Self::Transaction { commands, .. } => {
                add(Piece::Multi);
                commands.iter().map(Piece::Command).for_each(&mut add);
                add(Piece::Exec);
            }
        }
    }

    pub(super) fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Command(command) => command.shared_name(),
            Self::Part(part) => part.command().shared_name(),
            Self::Transaction { .. } => Cow::Borrowed(TRANSACTION),
        }
    }

    /// Whether the server may hold back the reply; then it needs a connection of its own.
    #[inline]
    pub(super) fn blocks(&self) -> bool {
        match self {
            Self::Command(command) => command.blocks(),
            Self::Part(part) => part.command().blocks(),
            // Nothing blocks inside of MULTI.
            Self::Transaction { .. } => false,
        }
    }

    pub(super) fn may_repeat(&self) -> bool {
        match self {
            Self::Command(command) => command.may_repeat(),
            Self::Part(part) => part.command().may_repeat(),
            Self::Transaction { commands, .. } => commands.iter().all(Command::may_repeat),
        }
    }

    /// Whether it is a part that is answered by a list.
    #[inline]
    fn answers_a_list(&self) -> bool {
        match self {
            Self::Part(part) => part.answers_a_list(),
            Self::Command(_) | Self::Transaction { .. } => false,
        }
    }

    pub(super) fn is_scripted(&self) -> bool {
        match self {
            Self::Command(command) => command.is_scripted(),
            Self::Part(part) => part.command().is_scripted(),
            // What EXEC refuses as a whole has not begun.
            Self::Transaction { .. } => false,
        }
    }

    /// The one reply that counts, of the next `count`, which are those to all pieces; `of_one` as in
    /// [`UnitReply`](crate::connection::unit::UnitReply).
    #[inline]
    pub(super) fn reply(
        self,
        replies: &mut impl Iterator<Item = Value>,
        count: usize,
        of_one: bool,
    ) -> Result<Value, Failure> {
        if let Self::Transaction { commands, .. } = self {
            return reply_of_transaction(commands.len(), replies.take(count).collect());
        }
        // What comes before it is the answer to ASKING.
        for _ in 1..count {
            drop(replies.next());
        }
        match replies.next() {
            Some(Value::Error(error)) => Err(Failure::Refused(error)),
            Some(value) if !of_one && self.answers_a_list() => Ok(value.or_no_elements()),
            Some(value) => Ok(value),
            None => Err(Failure::Missing),
        }
    }
}

/// What the replies of a unit come to if they are no success.
pub(super) enum Failure {
    /// Nothing of it was executed, as far as the code of the error says.
    Refused(ServerError),
    /// A transaction whose `MULTI` was refused and whose commands were not.
    Undone(ServerError),
    /// A transaction of which one command was refused and the others were executed, as Redis does with `WATCH`.
    Torn(ServerError),
    /// They are too few.
    Missing,
}

/// The reply to `EXEC` is the last. The others are `+OK` and `+QUEUED`, unless they tell why `EXEC` refused.
fn reply_of_transaction(commands: usize, mut replies: Vec<Value>) -> Result<Value, Failure> {
    let last = replies.pop().ok_or(Failure::Missing)?;
    let queued = replies.split_off(replies.len().checked_sub(commands).ok_or(Failure::Missing)?);
    if let Some(Value::Error(error)) = replies.pop() {
        // Without MULTI the server ran what followed one by one, or refused each for the same reason.
        let all_refused = queued.iter().all(|reply| matches!(reply, Value::Error(_)));
        return Err(if all_refused { Failure::Refused(error) } else { Failure::Undone(error) });
    }
    let cause = queued.into_iter().find_map(|reply| match reply {
        Value::Error(cause) => Some(cause),
        _accepted => None,
    });
    match (last, cause) {
        (Value::Error(error), Some(cause)) if error.class() == ErrorCode::ExecAbort => {
            Err(Failure::Refused(cause))
        }
        (Value::Error(error), _) => Err(Failure::Refused(error)),
        // The replies are fewer than the commands, so they would go to the wrong ones.
        (_replies, Some(cause)) => Err(Failure::Torn(cause)),
        (replies, None) => Ok(replies),
    }
}
