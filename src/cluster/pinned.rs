//! [`Pinned`]: one connection of the primary of a slot, held by one caller for several commands in a row.
//!
//! What the server remembers of such a connection (`WATCH`, which writes `WAIT` counts) is worth nothing on another
//! one. So it follows the cluster only until its first command is answered; from then on a redirect or a loss ends it,
//! and nothing is sent twice.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::attempt::{Attempt, lost, send_alone, within};
use crate::cluster::core::Core;
use crate::cluster::executor::{pause, settle};
use crate::cluster::figures::count_errors;
use crate::cluster::job::{Aftermath, Asked, Deadline, Job};
use crate::cluster::unit::Unit;
use crate::command::Command;
use crate::connection::loss::{Loss, LossCause};
use crate::connection::pool::{ExclusiveLink, NodePool};
use crate::connection::unit::{Piece, UnitReply};
use crate::error::{Error, ErrorKind, Result};
use crate::node::NodeAddr;
use crate::protocol::value::Value;
use crate::routing::plan::Place;
use crate::slot::Slot;
use crate::stats::operation::attempted;
use crate::stats::refresh_cause::RefreshCause;

/// What a session that is over says, whatever ended it.
const BEGIN_ANEW: &str = "begin the session anew";

/// What a command does to what the server remembers of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// Nothing.
    Stays,
    /// It leaves something behind that no other caller must meet.
    Left,
    /// Its success takes everything away.
    Wiped,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pinned {
    slot: Slot,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was answered yet: any connection of the slot's primary will do.
    Fresh(Option<Line>),
    Begun(Line),
    /// Told to all that comes.
    Over(&'static str),
}

/// The connection. Dropped, it goes back to its pool if the server remembers nothing of it.
#[derive(Debug)]
struct Line {
    pool: Arc<NodePool>,
    connection: Option<ExclusiveLink>,
    is_marked: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_marked
            && let Some(connection) = self.connection.take()
        {
            connection.close();
        }
    }
}

impl Line {
    /// A connection of the node that serves `slot` now; `None` if none does.
    async fn open(
        core: &Core,
        slot: Slot,
        deadline: Deadline,
    ) -> Option<(NodeAddr, Result<Self, LossCause>)> {
        let pool = Arc::clone(core.routes().owner(slot)?);
        let connection = match within(deadline.at, pool.exclusive()).await {
            Some(connection) => connection,
            None => Err(LossCause::Expired),
        };
        let node = pool.node().clone();
        let line = connection.map(|link| Self { pool, connection: Some(link), is_marked: false });
        Some((node, line))
    }

    async fn send(&self, core: &Core, pieces: &[Piece<'_>], length: usize, deadline: Deadline) -> Attempt {
        // The pool of a node that was given up no longer looks after connections that callers hold.
        let link = self.connection.as_ref().and_then(ExclusiveLink::link);
        match link.filter(|_| !self.pool.is_severed()) {
            Some(link) => send_alone(core, &self.pool, link, pieces, length, deadline).await,
            None => lost(LossCause::Retired),
        }
    }

    /// Whether it is still of the node that serves the slot.
    fn serves(&self, core: &Core, slot: Slot) -> bool {
        core.routes().owner(slot).is_some_and(|owner| Arc::ptr_eq(owner, &self.pool))
    }
}

impl Pinned {
    /// Takes a connection of the primary of `slot`, once one can be had. `command` is what errors name; it is not sent.
    ///
    /// Dropping the future takes none.
    pub(crate) async fn open(core: &Core, slot: Slot, command: &Command, deadline: Deadline) -> Result<Self> {
        let _counted = core.slow_request();
        let mut job = Job::new(Unit::Command(command), Place::Slot(slot));
        match connect(core, slot, &mut job, deadline).await {
            Some(line) => Ok(Self { slot, state: State::Fresh(Some(line)) }),
            None => {
                count_errors(core, std::slice::from_ref(&job));
                Err(job.take_result().err().unwrap_or_else(Error::closed))
            }
        }
    }

    /// The node, for as long as there is a connection.
    pub(crate) fn node(&self) -> Option<&NodeAddr> {
        match &self.state {
            State::Fresh(line) => line.as_ref().map(|line| line.pool.node()),
            State::Begun(line) => Some(line.pool.node()),
            State::Over(_) => None,
        }
    }

    /// Sends the unit and waits for its reply.
    ///
    /// Dropping the future closes the connection and ends everything: what the server has taken of the unit is not known.
    pub(crate) async fn ask(
        &mut self,
        core: &Core,
        unit: Unit<'_>,
        mark: Mark,
        deadline: Deadline,
    ) -> Result<Value> {
        let _counted = core.slow_request();
        let mut job = Job::new(unit, Place::Slot(self.slot));
        let dropped = State::Over("the future of one of its commands was dropped before it was answered");
        let (mut line, mut is_fresh) = match std::mem::replace(&mut self.state, dropped) {
            State::Fresh(line) => (line, true),
            State::Begun(line) => (Some(line), false),
            State::Over(why) => {
                self.state = State::Over(why);
                job.end(ErrorKind::SessionLost, &format!("the session is over, {why}; {BEGIN_ANEW}"));
                return job.take_result();
            }
        };
        let mut why = "its connection was lost";
        while is_ready(core, &mut job, deadline).await {
            let mut current = match line.take() {
                Some(line) => line,
                None => match connect(core, self.slot, &mut job, deadline).await {
                    Some(line) => line,
                    None => break,
                },
            };
            current.is_marked |= mark == Mark::Left;
            match attempt(core, &current, &mut job, deadline).await {
                Attempted::Replied(aftermath) if job.is_settled() => {
                    settle(core, None, aftermath);
                    if mark == Mark::Wiped && matches!(job.result(), Some(Ok(_))) {
                        current.is_marked = false;
                    }
                    is_fresh = false;
                    line = Some(current);
                }
                Attempted::Replied(aftermath) => {
                    let is_redirect = matches!(aftermath, Aftermath::Followed(_));
                    settle(core, None, aftermath);
                    if is_fresh {
                        if job.asked_at().is_some() {
                            // The keys of the slot are on two nodes for now, and a session needs them on one.
                            job.stay();
                        }
                        // What could not be watched is not: a new connection is as good.
                        line = current.serves(core, self.slot).then_some(current);
                    } else if is_redirect {
                        why = "its slot has moved or is moving";
                        job.end(ErrorKind::SessionLost, &format!("{NOTHING_DONE}: {why}; {BEGIN_ANEW}"));
                    } else if matches!(unit, Unit::Transaction { .. }) {
                        // The refusal has ended the watch, so another attempt would be one without.
                        job.end(
                            ErrorKind::Unavailable,
                            &format!("{NOTHING_DONE}, and nothing is watched any more"),
                        );
                        line = Some(current);
                    } else {
                        line = Some(current);
                    }
                }
                Attempted::Lost(aftermath) => {
                    settle(core, None, aftermath);
                    // A time that is over has its own error.
                    let has_time = deadline.at.is_none_or(|at| at > Instant::now());
                    if !is_fresh && has_time {
                        job.end(ErrorKind::SessionLost, &format!("the session is over; {BEGIN_ANEW}"));
                    } else if !has_time {
                        why = "one of its commands was not answered in its time";
                    }
                }
                Attempted::Overloaded => {
                    job.overloaded();
                    line = Some(current);
                }
            }
        }
        self.state = match (line, is_fresh) {
            (line, true) => State::Fresh(line),
            (Some(line), false) => State::Begun(line),
            (None, false) => State::Over(why),
        };
        count_errors(core, std::slice::from_ref(&job));
        job.take_result()
    }
}

/// What is said of a transaction or command that the server turned away.
const NOTHING_DONE: &str = "nothing of it was executed";

/// What became of one attempt.
enum Attempted {
    Replied(Aftermath),
    Lost(Aftermath),
    Overloaded,
}

async fn attempt(core: &Core, line: &Line, job: &mut Job<'_>, deadline: Deadline) -> Attempted {
    let mut pieces = Vec::new();
    job.for_each_piece(|piece| pieces.push(piece));
    let length = pieces.iter().map(Piece::wire_length).sum();
    let asked = Asked { node: line.pool.node(), is_replica: false };
    attempted(line.pool.node());
    match line.send(core, &pieces, length, deadline).await {
        Attempt::Overloaded => Attempted::Overloaded,
        Attempt::Replied(UnitReply { loss: Some(loss), .. }) => {
            let sent = loss.written >= length;
            Attempted::Lost(job.lost(asked, &loss, sent, deadline, &core.config))
        }
        Attempt::Replied(UnitReply { values, of_one, loss: None }) => {
            let count = values.len();
            Attempted::Replied(job.answered(asked, &mut values.into_iter(), count, of_one, &core.config))
        }
    }
}

/// Waits until the job's next attempt is due; false if there will be none.
async fn is_ready(core: &Core, job: &mut Job<'_>, deadline: Deadline) -> bool {
    loop {
        if job.is_settled() {
            return false;
        }
        if core.has_ended() {
            job.closed();
        } else if deadline.at.is_some_and(|at| at <= Instant::now()) {
            job.expire(deadline);
        } else if let Some(until) = job.not_before() {
            pause(core, Some(deadline.at.map_or(until, |at| at.min(until)))).await;
            job.hurry();
        } else {
            return true;
        }
    }
}

/// A connection of the primary of `slot`; `None` if the job has ended before there was one.
async fn connect(core: &Core, slot: Slot, job: &mut Job<'_>, deadline: Deadline) -> Option<Line> {
    while is_ready(core, job, deadline).await {
        match Line::open(core, slot, deadline).await {
            Some((_, Ok(line))) => return Some(line),
            Some((node, Err(cause))) => {
                let asked = Asked { node: &node, is_replica: false };
                settle(core, None, job.lost(asked, &Loss::unsent(cause), false, deadline, &core.config));
            }
            None => {
                job.has_no_owner();
                core.signal.request(RefreshCause::NoOwner);
            }
        }
    }
    None
}

/// The error of a client that takes nothing new.
pub(crate) fn refuse_if_closed(core: &Core, command: &Command) -> Result<()> {
    if core.is_closed() { Err(Error::closed().with_command(command.shared_name())) } else { Ok(()) }
}
