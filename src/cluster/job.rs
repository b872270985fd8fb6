//! [`Job`]: one command (or transaction) on its way to one place, with its history. Decides; sends nothing.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::history::{History, Trouble};
use crate::cluster::unit::{Failure, Unit};
use crate::command::Target;
use crate::command::cut::Part;
use crate::config::Config;
use crate::config::read_from::ReadFrom;
use crate::connection::loss::{ConnectError, Loss, LossCause};
use crate::connection::observed::class_of_loss;
use crate::connection::unit::Piece;
use crate::error::{Error, ErrorKind, Outcome, Redirect, RedirectKind, Result};
use crate::node::NodeAddr;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::protocol::value::Value;
use crate::routing::plan::Place;
use crate::routing::redirect::{Verdict, judge, kind_of, outcome_of};
use crate::slot::Slot;
use crate::stats::failure::shown_code;
use crate::stats::refresh_cause::RefreshCause;

/// A pause of 32 to 64 ms, which the new map ends: a view is here in less as a rule.
const WAITS_OF_DEMOTED: u32 = 5;

/// Redirects that are followed without a pause; nodes that disagree need time, not more questions.
const HOPS_AT_ONCE: u32 = 3;

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

/// Who was asked in an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'n> {
    pub(crate) node: &'n NodeAddr,
    /// On a link for reads from replicas.
    pub(crate) is_replica: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    unit: Unit<'a>,
    place: Place,
    /// Begins with the first attempt that had no success: the usual job has none, so a large pipeline is cheap. One that
    /// has to tell who answered it has it from the start.
    history: Option<Box<History>>,
    result: Option<Result<Value>>,
}

/// What the executor has to do after an attempt, apart from the next one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    Nothing,
    Refresh(RefreshCause),
    Followed(Redirect),
    /// The replica that was asked could not answer; a refresh may tell why.
    Avoid,
}

impl<'a> Job<'a> {
    #[inline]
    pub(crate) fn new(unit: Unit<'a>, place: Place) -> Self {
        Self { unit, place, history: None, result: None }
    }

    /// Remembers who answers, whatever the answer.
    pub(crate) fn with_witness(mut self) -> Self {
        self.history();
        self
    }

    /// The node that answered last, or that was meant; see [`Job::with_witness`].
    pub(crate) fn witness(&self) -> Option<NodeAddr> {
        let asked = self.history.as_ref().and_then(|history| history.node.clone());
        asked.or_else(|| match &self.place {
            Place::Node(addr) | Place::Shard { primary: addr, .. } => Some(addr.clone()),
            Place::Slot(_) | Place::Read(_) | Place::Any => None,
        })
    }

    /// How often it was tried, and the redirects that were followed; of a job that is settled, see [`Job::with_witness`].
    pub(crate) fn tries(&self) -> (u32, &[Redirect]) {
        let Some(history) = &self.history else { return (0, &[]) };
        // The last attempt of those that succeed is not among the troubled ones.
        (history.attempts + u32::from(matches!(self.result, Some(Ok(_)))), &history.trail)
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

    /// The next `count` of `replies` are those to all pieces of an attempt.
    #[inline]
    pub(crate) fn answered(
        &mut self,
        asked: Asked<'_>,
        replies: &mut impl Iterator<Item = Value>,
        count: usize,
        of_one: bool,
        config: &Config,
    ) -> Aftermath {
        match self.unit.reply(replies, count, of_one) {
            Ok(value) if asked.is_replica && config.check_missing && value.says_missing() => {
                self.read_at_primary_again(asked.node)
            }
            Ok(value) => {
                self.result = Some(Ok(value));
                if let Some(history) = &mut self.history {
                    history.node = Some(asked.node.clone());
                }
                Aftermath::Nothing
            }
            Err(Failure::Refused(error))
                if asked.is_replica && config.check_missing && error.says_missing() =>
            {
                self.read_at_primary_again(asked.node)
            }
            Err(Failure::Refused(error)) if asked.is_replica => {
                self.refused_by_replica(asked.node, error, config)
            }
            Err(failure) => self.failed(asked.node, failure, config.max_redirects),
        }
    }

    /// What `replica` says is missing, the primary may have.
    fn read_at_primary_again(&mut self, replica: &NodeAddr) -> Aftermath {
        if let Some(history) = &mut self.history {
            history.begin_attempt(replica);
        }
        self.read_at_primary();
        Aftermath::Nothing
    }

    /// From now on the primary answers it, if it is a read.
    pub(crate) fn read_at_primary(&mut self) {
        match self.place {
            Place::Read(slot) => self.place = Place::Slot(slot),
            Place::Slot(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => {}
        }
    }

    fn refused_by_replica(&mut self, node: &NodeAddr, error: ServerError, config: &Config) -> Aftermath {
        match judge(&error, node) {
            // It is no replica of this slot (any more), or not ready. What it says of the slot's owner is no news for the map.
            Verdict::Redirect { kind: RedirectKind::Moved, .. } | Verdict::Wait { .. } => {
                self.turned_away(node, Trouble::Reply(error), config)
            }
            Verdict::Redirect { kind: RedirectKind::Ask, .. } | Verdict::Deliver => {
                self.failed(node, Failure::Refused(error), config.max_redirects)
            }
        }
    }

    /// A replica could not answer: another node does.
    fn turned_away(&mut self, node: &NodeAddr, trouble: Trouble, config: &Config) -> Aftermath {
        let is_for_replicas = *self.read_from(config) == ReadFrom::Replica;
        let history = self.history();
        history.begin_attempt(node);
        history.trouble = Some(trouble);
        if is_for_replicas {
            history.wait();
        } else {
            self.read_at_primary();
        }
        Aftermath::Avoid
    }

    /// The policy for it, if it only reads.
    pub(crate) fn read_from<'c>(&'c self, config: &'c Config) -> &'c ReadFrom {
        let own = match &self.unit {
            Unit::Command(command) => command.own_read_from(),
            Unit::Part(part) => part.command().own_read_from(),
            Unit::Transaction { .. } => None,
        };
        own.unwrap_or(&config.read_from)
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
                let is_demoted = refresh && error.class() == ErrorCode::Unblocked;
                let history = self.history();
                history.trouble = Some(Trouble::Reply(error));
                // A node that would serve it, if not now: the redirects led somewhere.
                history.hops = 0;
                if is_demoted {
                    // It would answer `MOVED` at once, but the maps of Redis 6.2 leave it out for up to three quarters
                    // of a second from then on: a node that such a map takes for gone is given up with all that is on
                    // its way there.
                    history.waits = history.waits.max(WAITS_OF_DEMOTED);
                }
                history.wait();
                if refresh { Aftermath::Refresh(RefreshCause::Refused) } else { Aftermath::Nothing }
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
            return Aftermath::Refresh(RefreshCause::Moved);
        }
        match kind {
            RedirectKind::Ask => history.ask = Some(to),
            RedirectKind::Moved => match self.place {
                // The map is repointed, and the slot is looked up there.
                Place::Slot(asked) if asked == slot => {}
                Place::Slot(_) | Place::Read(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => {
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

    /// The attempt ended without its replies. `sent` tells whether the whole unit had left.
    pub(crate) fn lost(
        &mut self,
        asked: Asked<'_>,
        loss: &Loss,
        sent: bool,
        deadline: Deadline,
        config: &Config,
    ) -> Aftermath {
        if asked.is_replica && !matches!(loss.cause, LossCause::Expired) {
            return self.turned_away(asked.node, Trouble::Loss(loss.cause.clone()), config);
        }
        let node = asked.node;
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
        // The redirects led to a node that cannot be reached now: that is waited for, and no sign of nodes that disagree.
        history.hops = 0;
        if sent && !self.unit.may_repeat() {
            let error = self.error(kind_of_loss(&loss.cause), Outcome::MaybeExecuted, loss.cause.to_string());
            self.result = Some(Err(error));
            return Aftermath::Refresh(RefreshCause::Connection);
        }
        if matches!(loss.cause, LossCause::Retired) && history.waits == 0 {
            // Most likely the routes have changed already: nothing to wait for.
            history.waits += 1;
        } else {
            history.wait();
        }
        match self.place {
            // Another node may answer it meanwhile.
            Place::Read(_) => Aftermath::Avoid,
            Place::Slot(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => {
                Aftermath::Refresh(RefreshCause::Connection)
            }
        }
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
            Some(Trouble::NoOwner | Trouble::NoReplica) | None => text.to_owned(),
        };
        self.result = Some(Err(self.error(kind, Outcome::NotSent, text)));
    }

    /// There is nobody to send to.
    pub(crate) fn has_no_owner(&mut self) {
        let trouble = match self.place {
            Place::Read(_) => Trouble::NoReplica,
            Place::Slot(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => Trouble::NoOwner,
        };
        let history = self.history();
        // That replicas refuse this user says more than that none is left.
        let is_refused =
            matches!(history.trouble, Some(Trouble::Loss(LossCause::Connect(ConnectError::Refused(_)))));
        if !(is_refused && matches!(trouble, Trouble::NoReplica)) {
            history.trouble = Some(trouble);
        }
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
            Some(Trouble::NoReplica) => (
                ErrorKind::Unavailable,
                format!(
                    "no replica of the slot could be used for {limit:?}, and the policy is to read from replicas only"
                ),
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

    /// Ends the job because the budget is used up and the client does not wait for room.
    pub(crate) fn overloaded(&mut self) {
        let text =
            "the budget of bytes or of requests is used up, and the client is set to fail instead of to wait";
        self.result = Some(Err(self.error(ErrorKind::Overloaded, Outcome::NotSent, text)));
    }

    /// Ends the job because the client is closed.
    pub(crate) fn closed(&mut self) {
        self.result = Some(Err(self.error(ErrorKind::Closed, Outcome::NotSent, "the client is closed")));
    }

    /// What it is of a command that was split by slot.
    pub(crate) fn part(&self) -> Option<&Part<'a>> {
        match &self.unit {
            Unit::Part(part) => Some(part),
            Unit::Command(_) | Unit::Transaction { .. } => None,
        }
    }

    pub(crate) fn blocks(&self) -> bool {
        self.unit.blocks()
    }

    /// Whether it goes to its node because it goes to all of them, and not because the caller has named this one.
    pub(crate) fn is_one_of_all(&self) -> bool {
        match &self.unit {
            Unit::Command(command) => !matches!(command.target(), Some(Target::Node(_))),
            Unit::Part(_) | Unit::Transaction { .. } => false,
        }
    }

    #[inline]
    pub(crate) fn is_retry(&self) -> bool {
        self.history.as_ref().is_some_and(|history| history.waits > 0)
    }

    /// Why there is another attempt, in a word.
    pub(crate) fn why_again(&self) -> &str {
        match self.history.as_ref().and_then(|history| history.trouble.as_ref()) {
            Some(Trouble::Reply(error)) => shown_code(error.code()),
            Some(Trouble::Loss(cause)) => class_of_loss(cause),
            Some(Trouble::NoOwner) => "no_owner",
            Some(Trouble::NoReplica) => "no_replica",
            None => "redirects",
        }
    }

    pub(crate) fn slot(&self) -> Option<Slot> {
        match (&self.unit, &self.place) {
            (_, Place::Slot(slot) | Place::Read(slot)) => Some(*slot),
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
        LossCause::Connect(ConnectError::Credentials(_)) => ErrorKind::Auth,
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
