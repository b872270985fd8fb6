//! [`Conversation`]: one connection from its handshake to its end: writes, reads, and answers in order.
//!
//! It never waits for a write before it reads, so a full socket cannot deadlock a large pipeline, and it writes what
//! all runnable callers have enqueued in one system call: before a write it goes once to the back of the run queue. Going
//! there twice makes no larger batches, and not at all makes a command on two workers cost twice as much
//! (`benches/README.md`).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use crate::config::read_from::ReadFrom;
use crate::connection::budget::Room;
use crate::connection::clock::{Clock, FIRST_DOUBT};
use crate::connection::handshake::Connection;
use crate::connection::link_context::LinkContext;
use crate::connection::loss::LossCause;
use crate::connection::observed::Trip;
use crate::connection::outgoing::{Answered, Entry, Outgoing, expire, first_deadline};
use crate::connection::queue::LinkShared;
use crate::connection::unit::Check;
use crate::connection::waiters::Answers;
use crate::protocol::value::Value;

/// How much room a read has at least, unless a large string is read to its end.
const READ: usize = 16 << 10;

/// How often a node that is silent for too long (`Config::silence`) gives that reason: whoever waits for it shall not wait for
/// long once it has a successor.
const DOUBT: Duration = Duration::from_millis(50);

/// A node that has handed over to another answers `MOVED` at once; one that is silent for so long has forgotten who waits.
const DEMOTED_PATIENCE: Duration = Duration::from_millis(200);

/// Parts that one system call writes.
const SLICES: usize = 32;

/// See the module's documentation.
pub(super) struct Conversation<'a> {
    shared: &'a LinkShared,
    context: &'a LinkContext,
    connection: Connection,
    /// Taken from the queue, not wholly written.
    writing: Outgoing,
    /// Written, not answered.
    in_flight: VecDeque<Entry>,
    /// Read, not handed over.
    answers: Answers,
    /// Has gone to the back of the run queue since something was enqueued.
    has_yielded: bool,
    /// On several threads, a turn at the back of the run queue wakes another worker: a third of what a lone command
    /// takes. On one it costs next to nothing, and the end of a connection is seen more often before a write.
    a_turn_is_dear: bool,
    /// How many units were taken the last time.
    last_batch: usize,
    clock: Option<Clock>,
    /// A caller has asked to look at the clock.
    clock_wanted: bool,
    trip: Trip,
    /// What is told to the callers that are left at the end; the task may be stopped at any time.
    cause: LossCause,
    has_not_ended: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        shared: &'a LinkShared,
        context: &'a LinkContext,
        connection: Connection,
        clock: Option<Clock>,
    ) -> Self {
        Self {
            shared,
            context,
            connection,
            writing: Outgoing::default(),
            in_flight: VecDeque::new(),
            answers: Answers::default(),
            has_yielded: false,
            a_turn_is_dear: Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread,
            last_batch: 0,
            trip: Trip::new(clock.is_some()),
            clock,
            clock_wanted: false,
            cause: LossCause::Retired,
            has_not_ended: true,
        }
    }

    /// Serves until the connection ends, and tells why.
    pub(super) async fn run(mut self) -> LossCause {
        self.cause = poll_fn(|cx| self.poll(cx)).await;
        self.has_not_ended = false;
        self.cause.clone()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LossCause> {
        let mut freed = Room::NONE;
        let ended = self.poll_parts(cx, &mut freed);
        self.shared.deliver(&mut self.answers);
        self.shared.budget.give_back(freed);
        ended
    }

    fn poll_parts(&mut self, cx: &mut Context<'_>, freed: &mut Room) -> Poll<LossCause> {
        loop {
            if let Err(cause) = self.read(cx, freed) {
                return Poll::Ready(cause);
            }
            if let Err(cause) = self.look_at_the_clock(cx, freed) {
                return Poll::Ready(cause);
            }
            if self.writing.is_empty() {
                if !self.take(cx, freed) {
                    return Poll::Pending;
                }
            } else {
                // The socket was full: who has given up meanwhile is not written.
                self.cut_abandoned(freed);
            }
            match self.write(cx) {
                // The clock starts with the first write, and the replies may be there already.
                Ok(true) => {}
                Ok(false) => {
                    if let Err(cause) = self.look_at_the_clock(cx, freed) {
                        return Poll::Ready(cause);
                    }
                    if !self.rest_while_the_socket_is_full(cx, freed) {
                        return Poll::Pending;
                    }
                }
                Err(cause) => {
                    // Replies that arrived before the end are still replies; what the read says of the end is not news.
                    drop(self.read(cx, freed));
                    return Poll::Ready(cause);
                }
            }
        }
    }

    /// Reads what there is and answers the callers. Ends with the read interest registered.
    fn read(&mut self, cx: &mut Context<'_>, freed: &mut Room) -> Result<(), LossCause> {
        loop {
            let Connection { stream, decoder, incoming, .. } = &mut self.connection;
            let received = match pin!(stream.read_buf(&mut decoder.room(incoming, READ))).poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(received)) => received,
                Poll::Ready(Err(error)) => return Err(LossCause::Io(Arc::new(error))),
            };
            if received == 0 {
                return Err(LossCause::ClosedByPeer);
            }
            if let Some(clock) = &mut self.clock {
                clock.heard = true;
                if let Some(sent) = clock.sent.take() {
                    self.shared.pace.add(sent.elapsed());
                }
            }
            let mut at = 0;
            loop {
                let is_written = !self.in_flight.is_empty();
                let asked = self.in_flight.front_mut().or_else(|| self.writing.begun());
                let reply = match &asked {
                    Some(entry) if entry.wants_lists_of_one() => decoder.next_of_one(incoming, &mut at),
                    Some(_) | None => decoder.next(incoming, &mut at),
                };
                let Some(value) = reply.map_err(LossCause::NotResp)? else { break };
                if matches!(value, Value::Push(_)) {
                    continue;
                }
                let Some(entry) = asked.filter(|entry| !is_queued(&value) || entry.may_be_queued()) else {
                    return Err(match value {
                        Value::Error(error) => LossCause::Farewell(error),
                        _a_reply_to_nothing => LossCause::Unexpected,
                    });
                };
                if self.clock.is_none() && entry.awaits_its_last() {
                    // An exclusive connection is free for the next caller as soon as this one has its reply.
                    self.shared.lock().unanswered = 0;
                }
                match entry.answer(value, &mut self.answers) {
                    Answered::InPart => {}
                    Answered::Wholly if is_written => {
                        *freed += entry.room();
                        self.in_flight.pop_front();
                    }
                    Answered::Wholly | Answered::OutOfStep => return Err(LossCause::Unexpected),
                }
            }
            incoming.advance(at);
            self.trip.look(self.in_flight.len() + self.writing.len(), &self.shared.counters);
            self.shared.deliver(&mut self.answers);
        }
    }

    /// Takes what is queued, after one turn at the back of the run queue. False: nothing to do for now. True without
    /// anything taken: something else is to be looked at.
    fn take(&mut self, cx: &mut Context<'_>, freed: &mut Room) -> bool {
        let mut queue = self.shared.lock();
        queue.unanswered = self.in_flight.len();
        if std::mem::take(&mut queue.abandoned) {
            *freed += queue.cut_abandoned();
        }
        if std::mem::take(&mut queue.clock_wanted) {
            self.clock_wanted = true;
            return true;
        }
        if queue.outgoing.is_empty() {
            queue.sleeper = Some(cx.waker().clone());
            self.has_yielded = false;
            return false;
        }
        // A caller that sends one command after the other has nobody to wait for.
        let is_alone = self.in_flight.is_empty() && self.last_batch == 1 && queue.outgoing.len() == 1;
        let goes_at_once = self.has_yielded || (is_alone && self.a_turn_is_dear);
        if !goes_at_once {
            self.has_yielded = true;
            drop(queue);
            cx.waker().wake_by_ref();
            return false;
        }
        self.has_yielded = false;
        let queued = queue.take(&mut self.writing);
        self.last_batch = self.writing.len();
        queue.unanswered += self.last_batch;
        drop(queue);
        self.trip.begin(queued, self.last_batch, &self.shared.counters);
        true
    }

    /// Writes until nothing is left (true) or the socket is full.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, LossCause> {
        while !self.writing.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.writing.slices(&mut slices);
            let stream = Pin::new(&mut self.connection.stream);
            let written = match slices.get(..filled) {
                Some([single]) => stream.poll_write(cx, single),
                Some(several) => stream.poll_write_vectored(cx, several),
                None => return Ok(true),
            };
            match written {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => {
                    return Err(LossCause::Io(Arc::new(io::Error::from(io::ErrorKind::WriteZero))));
                }
                Poll::Ready(Ok(count)) => {
                    let in_flight = &mut self.in_flight;
                    self.writing.advance(count, |entry| in_flight.push_back(entry));
                    if self.context.config.read_from == ReadFrom::Nearest
                        && let Some(clock) = &mut self.clock
                    {
                        clock.sent.get_or_insert_with(Instant::now);
                    }
                }
                Poll::Ready(Err(error)) => return Err(LossCause::Io(Arc::new(error))),
            }
        }
        Ok(true)
    }

    /// Takes back what callers have given up meanwhile. True: there may be something else to do now.
    fn rest_while_the_socket_is_full(&mut self, cx: &mut Context<'_>, freed: &mut Room) -> bool {
        let cut = self.cut_abandoned(freed);
        let mut queue = self.shared.lock();
        self.clock_wanted |= std::mem::take(&mut queue.clock_wanted);
        // Wakes for new commands are of no use now, but those of callers that give up are.
        queue.sleeper = Some(cx.waker().clone());
        // One may have given up in between, and woken nobody.
        let again = queue.abandoned;
        drop(queue);
        again || self.clock_wanted || (cut && self.writing.is_empty())
    }

    /// Cuts out what nobody waits for any more and was not written; true if a caller has given up.
    fn cut_abandoned(&mut self, freed: &mut Room) -> bool {
        let mut queue = self.shared.lock();
        if !std::mem::take(&mut queue.abandoned) {
            return false;
        }
        *freed += queue.cut_abandoned();
        let before = self.writing.len();
        *freed += self.writing.cut_abandoned(&mut queue.waiters);
        self.trip.give_up(before - self.writing.len());
        true
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>, freed: &mut Room) -> Result<(), LossCause> {
        if self.clock.is_none() {
            self.clock_wanted = false;
            return Ok(());
        }
        loop {
            self.set_the_clock();
            let Some(clock) = &mut self.clock else { return Ok(()) };
            let has_rung = clock.has_rung(cx);
            let is_wanted = std::mem::take(&mut self.clock_wanted);
            if !has_rung && !is_wanted {
                return Ok(());
            }
            self.strike(has_rung, freed)?;
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.writing.is_empty()
    }

    /// Sets the timer to when it is needed next, unless it is.
    fn set_the_clock(&mut self) {
        let is_idle = self.is_idle();
        let Some(clock) = self.clock.as_mut().filter(|clock| !clock.is_set(is_idle)) else { return };
        let config = &self.context.config;
        if is_idle {
            return clock.set_for_a_sign_of_life(config.keep_alive);
        }
        let now = Instant::now();
        // Commands that come later have their full time from now on, so this is early enough for them as well.
        let silence = clock.silence(now);
        let pause = if silence >= config.silence {
            DOUBT
        } else if silence >= FIRST_DOUBT {
            silence.min(config.silence - silence)
        } else {
            FIRST_DOUBT / 2
        };
        let look = now + pause.min(config.command_timeout);
        let queued = self.shared.lock().outgoing.first_deadline();
        let under_way = [first_deadline(&self.in_flight), self.writing.first_deadline()];
        let first = under_way.into_iter().chain([queued]).flatten().min();
        clock.set_for_work(now, first.map_or(look, |first| first.min(look)));
    }

    /// Fails what is overdue, and judges the silence.
    fn strike(&mut self, has_rung: bool, freed: &mut Room) -> Result<(), LossCause> {
        let now = Instant::now();
        if let Some(room) = expire(&mut self.in_flight, now, Entry::length, &mut self.answers) {
            *freed += room;
        }
        {
            let mut queue = self.shared.lock();
            if let Some(room) = self.writing.expire(now, &mut self.answers) {
                let before = self.writing.len();
                *freed += room;
                *freed += self.writing.cut_abandoned(&mut queue.waiters);
                self.trip.give_up(before - self.writing.len());
            }
            if let Some(room) = queue.outgoing.expire(now, &mut self.answers) {
                *freed += room;
                *freed += queue.cut_abandoned();
            }
        }
        let is_idle = self.is_idle();
        let Some(clock) = self.clock.as_mut().filter(|_| has_rung) else { return Ok(()) };
        let silence = clock.stop(now, is_idle);
        let config = &self.context.config;
        if is_idle {
            match silence {
                // Nothing was under way for the whole time, and nothing came: is the peer still there?
                Some(_) => {
                    let limit = config.keep_alive.and_then(|limit| now.checked_add(limit));
                    self.writing.push_question(Check::new(), limit);
                }
                None => self.give_buffers_back(),
            }
            return Ok(());
        }
        let Some(silent_for) = silence.filter(|silence| *silence >= FIRST_DOUBT) else { return Ok(()) };
        if silent_for >= DEMOTED_PATIENCE && self.shared.lock().is_demoted {
            return Err(LossCause::Retired);
        }
        let is_doubted = clock.doubts(silent_for, config.silence);
        if silent_for < config.silence {
            // Nobody takes over from a replica.
            if is_doubted && clock.is_patient {
                self.context.observer.troubled(&self.shared.node);
            }
            return Ok(());
        }
        // Nobody loses anything by the end of a link that waits for its own question alone.
        let is_only_asked = self.writing.is_empty() && self.in_flight.iter().all(Entry::is_question);
        let patience = if is_only_asked { Duration::ZERO } else { config.command_timeout };
        // Not a byte came in the full time of a command, whatever time the first in line was given: nothing will come,
        // and what is behind it waits for nothing.
        if silent_for >= patience && self.in_flight.front().is_some_and(Entry::has_failed) {
            return Err(LossCause::Overdue);
        }
        if !clock.is_patient {
            return Err(LossCause::Overdue);
        }
        self.context.observer.troubled(&self.shared.node);
        Ok(())
    }

    /// A client of a large cluster has thousands of links, most of them idle: it must not hold the buffers of the
    /// busiest moment of each. One that is busy again makes them anew, at most once for each time that the clock is set.
    fn give_buffers_back(&mut self) {
        if self.connection.incoming.is_empty() {
            self.connection.incoming = BytesMut::new();
        }
        self.writing = Outgoing::default();
        self.in_flight = VecDeque::new();
        let mut queue = self.shared.lock();
        if queue.outgoing.is_empty() {
            queue.outgoing = Outgoing::default();
        }
        queue.waiters.shrink();
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        // What is given up may be sent once more by its callers, so its first copy must not arrive later. When the last handle
        // of a client is dropped, nobody is left who would.
        if self.is_idle() || (self.has_not_ended && !self.shared.lock().is_severed) {
            self.connection.end_in_order();
        }
        let mut freed = self.writing.fail_all(&self.cause, &mut self.answers);
        for mut entry in std::mem::take(&mut self.in_flight) {
            freed += entry.room();
            let length = entry.length();
            entry.fail(self.cause.clone(), length, &mut self.answers);
        }
        self.shared.lock().unanswered = 0;
        self.shared.deliver(&mut self.answers);
        self.shared.budget.give_back(freed);
    }
}

/// A `+QUEUED`, which only a transaction is answered with.
fn is_queued(value: &Value) -> bool {
    matches!(value, Value::Simple(text) if text == "QUEUED")
}
