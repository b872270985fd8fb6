//! [`Job`]: one command (or transaction) on its way to one place, with its history. Decides; sends nothing.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use crate::command::Command;
use crate::command::cut::Part;
use crate::connection::loss::{ConnectError, Loss, LossCause};
use crate::connection::unit::Piece;
use crate::error::{Error, ErrorKind, Outcome, Redirect, RedirectKind, Result};
use crate::node::NodeAddr;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::protocol::value::Value;
use crate::routing::plan::{Place, TRANSACTION};
use crate::routing::redirect::{Verdict, judge, kind_of, outcome_of};
use crate::slot::Slot;

/// Between two attempts that wait for the cluster: doubled from the first to the last, the last half at random.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LAST_WAIT: Duration = Duration::from_millis(100);

/// Redirects that are followed without a pause; nodes that disagree need time, not more questions.
const HOPS_AT_ONCE: u32 = 3;

/// What is sent in one piece and judged as one.
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

/// The time that a request has, over all its attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// `None`: a blocking command that may wait for ever.
    pub(crate) at: Option<Instant>,
    /// From the first poll, for messages.
    pub(crate) limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        // A limit that reaches beyond what the clock can say is none.
        Self { at: Instant::now().checked_add(limit), limit }
    }

    pub(crate) fn never() -> Self {
        Self { at: None, limit: Duration::MAX }
    }
}

/// Why the last attempt was not the last one.
#[derive(Debug)]
enum Trouble {
    Reply(ServerError),
    Loss(LossCause),
    NoOwner,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    unit: Unit<'a>,
    place: Place,
    /// Begins with the first attempt that had no success: the usual job has none, so a large pipeline is cheap.
    history: Option<Box<History>>,
    result: Option<Result<Value>>,
}

/// What became of a job's attempts.
#[derive(Debug, Default)]
struct History {
    /// Where one `ASK` sent it; for the next attempt only.
    ask: Option<NodeAddr>,
    attempts: u32,
    waits: u32,
    /// Redirects since the last reply that was none.
    hops: u32,
    not_before: Option<Instant>,
    /// The last redirects, oldest first.
    trail: Vec<Redirect>,
    node: Option<NodeAddr>,
    /// An earlier attempt may have been executed: no later failure can take that back.
    maybe_executed: bool,
    trouble: Option<Trouble>,
}

impl History {
    fn begin_attempt(&mut self, node: &NodeAddr) {
        self.attempts += 1;
        self.ask = None;
        self.not_before = None;
        self.node = Some(node.clone());
    }

    fn wait(&mut self) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.waits.min(10)).min(LAST_WAIT);
        self.waits += 1;
        self.not_before = Some(Instant::now() + longest.mul_f64(0.5 + fastrand::f64() / 2.0));
    }
}

/// What the executor has to do after an attempt, apart from the next one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    Nothing,
    Refresh,
    Followed(Redirect),
}

impl<'a> Unit<'a> {
    /// The parts on the wire; with `asking`, as the target of an `ASK` needs them: once before each command, once before
    /// a whole transaction.
    #[inline]
    fn for_each_piece(self, asking: bool, mut add: impl FnMut(Piece<'a>)) {
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

    fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Command(command) => command.shared_name(),
            Self::Part(part) => part.command().shared_name(),
            Self::Transaction { .. } => Cow::Borrowed(TRANSACTION),
        }
    }

    /// Whether the server may hold back the reply; then it needs a connection of its own.
    #[inline]
    fn blocks(&self) -> bool {
        match self {
            Self::Command(command) => command.blocks(),
            Self::Part(part) => part.command().blocks(),
            // Nothing blocks inside of MULTI.
            Self::Transaction { .. } => false,
        }
    }

    fn may_repeat(&self) -> bool {
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

    fn is_scripted(&self) -> bool {
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
    fn reply(
        self,
        replies: &mut impl Iterator<Item = Value>,
        count: usize,
        of_one: bool,
    ) -> std::result::Result<Value, Failure> {
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
enum Failure {
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
fn reply_of_transaction(commands: usize, mut replies: Vec<Value>) -> std::result::Result<Value, Failure> {
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

impl<'a> Job<'a> {
    #[inline]
    pub(crate) fn new(unit: Unit<'a>, place: Place) -> Self {
        Self { unit, place, history: None, result: None }
    }

    #[inline]
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    #[inline]
    pub(crate) fn asked_at(&self) -> Option<&NodeAddr> {
        self.history.as_ref()?.ask.as_ref()
    }

    #[inline]
    pub(crate) fn for_each_piece(&self, add: impl FnMut(Piece<'a>)) {
        self.unit.for_each_piece(self.asked_at().is_some(), add);
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.result.is_some()
    }

    /// When the next attempt may be made; `None`: at once.
    #[inline]
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.history.as_ref()?.not_before
    }

    /// Ends the pause: the routes have changed.
    pub(crate) fn hurry(&mut self) {
        if let Some(history) = &mut self.history {
            history.not_before = None;
        }
    }

    fn history(&mut self) -> &mut History {
        self.history.get_or_insert_default()
    }

    /// The result, if it is settled.
    #[inline]
    pub(crate) fn result(&self) -> Option<&Result<Value>> {
        self.result.as_ref()
    }

    /// The result, once it is settled.
    #[inline]
    pub(crate) fn take_result(&mut self) -> Result<Value> {
        match self.result.take() {
            Some(result) => result,
            None => Err(self.error(ErrorKind::Closed, Outcome::NotSent, "the request was not finished")),
        }
    }

    /// The next `count` of `replies` are those to all pieces of an attempt at `node`.
    #[inline]
    pub(crate) fn answered(
        &mut self,
        node: &NodeAddr,
        replies: &mut impl Iterator<Item = Value>,
        count: usize,
        of_one: bool,
        limit: u32,
    ) -> Aftermath {
        match self.unit.reply(replies, count, of_one) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Aftermath::Nothing
            }
            Err(failure) => self.failed(node, failure, limit),
        }
    }

    fn failed(&mut self, node: &NodeAddr, failure: Failure, limit: u32) -> Aftermath {
        self.history().begin_attempt(node);
        match failure {
            Failure::Refused(error) => self.refused(node, error, limit),
            Failure::Undone(error) => {
                self.executed_in_part("MULTI was refused, so the commands ran one by one", &error)
            }
            Failure::Torn(error) => {
                self.executed_in_part("a command was refused and EXEC executed the others", &error)
            }
            Failure::Missing => {
                let error = self.error(ErrorKind::Protocol, Outcome::MaybeExecuted, "a reply is missing");
                self.result = Some(Err(error));
                Aftermath::Nothing
            }
        }
    }

    fn executed_in_part(&mut self, what: &str, error: &ServerError) -> Aftermath {
        let told = self.error(kind_of(error), Outcome::MaybeExecuted, format!("{what}: {error}"));
        self.result = Some(Err(told.with_code(error.code())));
        Aftermath::Nothing
    }

    fn refused(&mut self, node: &NodeAddr, error: ServerError, limit: u32) -> Aftermath {
        let outcome = outcome_of(&error, self.unit.is_scripted());
        let verdict = match outcome {
            // A script that had begun is not run again, whatever its error is called.
            Outcome::MaybeExecuted => Verdict::Deliver,
            Outcome::NotSent | Outcome::Rejected => judge(&error, node),
        };
        match verdict {
            Verdict::Deliver => {
                let told =
                    self.error(kind_of(&error), outcome, error.text().to_owned()).with_code(error.code());
                self.result = Some(Err(told));
                Aftermath::Nothing
            }
            Verdict::Redirect { kind, slot, to } => self.redirected(node, kind, slot, to, limit),
            Verdict::Wait { refresh } => {
                let history = self.history();
                history.trouble = Some(Trouble::Reply(error));
                // A node that would serve it, if not now: the redirects led somewhere.
                history.hops = 0;
                history.wait();
                if refresh { Aftermath::Refresh } else { Aftermath::Nothing }
            }
        }
    }

    fn redirected(
        &mut self,
        from: &NodeAddr,
        kind: RedirectKind,
        slot: Slot,
        to: NodeAddr,
        limit: u32,
    ) -> Aftermath {
        let redirect = Redirect { kind, slot, from: from.clone(), to: to.clone() };
        let history = self.history.get_or_insert_default();
        history.hops += 1;
        if history.trail.len() > limit as usize {
            history.trail.remove(0);
        }
        history.trail.push(redirect.clone());
        if history.hops > limit {
            let text = format!("more than {limit} redirects; the nodes do not agree who serves the slot");
            self.result = Some(Err(self.error(ErrorKind::Redirects, Outcome::Rejected, text)));
            return Aftermath::Refresh;
        }
        match kind {
            RedirectKind::Ask => history.ask = Some(to),
            RedirectKind::Moved => match self.place {
                // The map is repointed, and the slot is looked up there.
                Place::Slot(asked) if asked == slot => {}
                Place::Slot(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => {
                    self.place = Place::Slot(slot)
                }
            },
        }
        if history.hops > HOPS_AT_ONCE {
            // The pause forgets an ASK: by then the slot may be somewhere else.
            history.ask = None;
            history.wait();
        }
        Aftermath::Followed(redirect)
    }

    /// The attempt at `node` ended without its replies. `sent` tells whether the whole unit had left.
    pub(crate) fn lost(&mut self, node: &NodeAddr, loss: &Loss, sent: bool, deadline: Deadline) -> Aftermath {
        let history = self.history.get_or_insert_default();
        history.begin_attempt(node);
        history.maybe_executed |= sent;
        if matches!(loss.cause, LossCause::Expired) {
            if sent {
                // What it was waiting for before has ended: it was waiting for its reply.
                history.trouble = None;
            }
            self.expire(deadline);
            return Aftermath::Nothing;
        }
        history.trouble = Some(Trouble::Loss(loss.cause.clone()));
        if sent && !self.unit.may_repeat() {
            let error = self.error(kind_of_loss(&loss.cause), Outcome::MaybeExecuted, loss.cause.to_string());
            self.result = Some(Err(error));
            return Aftermath::Refresh;
        }
        if matches!(loss.cause, LossCause::Retired) && history.waits == 0 {
            // Most likely the routes have changed already: nothing to wait for.
            history.waits += 1;
        } else {
            history.wait();
        }
        Aftermath::Refresh
    }

    /// Does not follow the `ASK` but waits for the end of the move: for who needs all keys of the slot at one node.
    pub(crate) fn stay(&mut self) {
        let history = self.history();
        history.ask = None;
        history.hops = 0;
        history.wait();
    }

    /// Ends the job with this error in place of another attempt, or of another error.
    pub(crate) fn end(&mut self, kind: ErrorKind, text: &str) {
        let text = match self.history.as_ref().and_then(|history| history.trouble.as_ref()) {
            Some(Trouble::Reply(error)) => format!("{text}: {error}"),
            Some(Trouble::Loss(cause)) => format!("{text}: {cause}"),
            Some(Trouble::NoOwner) | None => text.to_owned(),
        };
        self.result = Some(Err(self.error(kind, Outcome::NotSent, text)));
    }

    /// There is nobody to send to.
    pub(crate) fn has_no_owner(&mut self) {
        let history = self.history();
        history.trouble = Some(Trouble::NoOwner);
        history.wait();
    }

    /// Ends the job because its time is over; says what it was waiting for.
    pub(crate) fn expire(&mut self, deadline: Deadline) {
        let limit = deadline.limit;
        let history = self.history();
        let (kind, text) = match &history.trouble {
            Some(Trouble::Reply(error)) => {
                (ErrorKind::Unavailable, format!("still refused after {limit:?}: {error}"))
            }
            Some(Trouble::NoOwner) => (
                ErrorKind::Unavailable,
                format!("no node serves the slot, for {limit:?} now; is it assigned (CLUSTER SLOTS)?"),
            ),
            Some(Trouble::Loss(cause @ LossCause::Connect(error))) => {
                (kind_of_loss(cause), format!("the node could not be reached for {limit:?}: {error}"))
            }
            None if history.maybe_executed => (ErrorKind::Timeout, format!("no reply within {limit:?}")),
            None => (ErrorKind::Timeout, format!("it could not be sent within {limit:?}")),
            Some(Trouble::Loss(cause)) => {
                (ErrorKind::Timeout, format!("the deadline of {limit:?} passed after a lost reply: {cause}"))
            }
        };
        self.result = Some(Err(self.error(kind, Outcome::NotSent, text)));
    }

    /// Ends the job because the byte budget is used up and the client does not wait for room.
    pub(crate) fn overloaded(&mut self) {
        let text = "the byte budget is used up, and the client is set to fail instead of to wait";
        self.result = Some(Err(self.error(ErrorKind::Overloaded, Outcome::NotSent, text)));
    }

    /// Ends the job because the client is closed.
    pub(crate) fn closed(&mut self) {
        self.result = Some(Err(self.error(ErrorKind::Closed, Outcome::NotSent, "the client is closed")));
    }

    pub(crate) fn blocks(&self) -> bool {
        self.unit.blocks()
    }

    #[inline]
    pub(crate) fn is_retry(&self) -> bool {
        self.history.as_ref().is_some_and(|history| history.waits > 0)
    }

    fn slot(&self) -> Option<Slot> {
        match (&self.unit, &self.place) {
            (_, Place::Slot(slot)) => Some(*slot),
            (Unit::Command(command), Place::Node(_) | Place::Shard { .. } | Place::Any) => {
                command.marked_slot()
            }
            // It is always sent by its slot.
            (Unit::Part(_), Place::Node(_) | Place::Shard { .. } | Place::Any) => None,
            (Unit::Transaction { slot, .. }, Place::Node(_) | Place::Shard { .. } | Place::Any) => *slot,
        }
    }

    fn error(&self, kind: ErrorKind, outcome: Outcome, text: impl Into<Cow<'static, str>>) -> Error {
        let error = Error::new(kind, outcome, text).with_command(self.unit.name()).with_slot(self.slot());
        let Some(history) = &self.history else { return error };
        let outcome = if history.maybe_executed { Outcome::MaybeExecuted } else { outcome };
        let error =
            error.with_outcome(outcome).with_attempts(history.attempts).with_trail(history.trail.clone());
        match &history.node {
            Some(node) => error.with_node(node.clone()),
            None => error,
        }
    }
}

fn kind_of_loss(cause: &LossCause) -> ErrorKind {
    match cause {
        LossCause::Connect(ConnectError::Refused(error)) if kind_of(error) == ErrorKind::Auth => {
            ErrorKind::Auth
        }
        LossCause::Connect(_) => ErrorKind::Connect,
        LossCause::NotResp(_) | LossCause::Unexpected => ErrorKind::Protocol,
        LossCause::Expired => ErrorKind::Timeout,
        LossCause::Io(_)
        | LossCause::ClosedByPeer
        | LossCause::Farewell(_)
        | LossCause::Overdue
        | LossCause::Retired => ErrorKind::ConnectionLost,
    }
}
