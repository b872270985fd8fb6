//! [`Outgoing`]: encoded commands that wait to be written, and who waits for their replies. No I/O.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::command::Command;
use crate::command::cut::Part;
use crate::connection::budget::Room;
use crate::connection::loss::{Loss, LossCause};
use crate::connection::unit::{ASKING, Check, EXEC, MULTI, Piece, UnitReply};
use crate::connection::waiters::{Answers, WaiterId, Waiters};
use crate::protocol::body::push_header;
use crate::protocol::value::Value;

/// A buffer that a burst has made larger than this is given back.
const KEEP: usize = 1 << 20;

/// Who gets the reply.
#[derive(Debug)]
pub(super) enum ReplyTo {
    /// And whether it may answer anything: see [`Entry::may_be_queued`].
    One(WaiterId, bool),
    Many(Box<Many>),
    /// Gave up after the write; the replies still come and must be counted.
    Nobody {
        wanted: usize,
        check: Option<Check>,
    },
    /// The link itself, which wants to know whether the peer is there.
    Link(Check),
}

/// The replies of a unit, until all are there.
#[derive(Debug)]
pub(super) struct Many {
    pub(super) sender: oneshot::Sender<UnitReply>,
    pub(super) got: Vec<Value>,
    /// See [`UnitReply::of_one`].
    pub(super) of_one: bool,
    pub(super) wanted: usize,
    pub(super) may_be_queued: bool,
    /// What the last reply must be; until it is there, none of them is believed.
    pub(super) check: Option<Check>,
}

/// One command or unit.
#[derive(Debug)]
pub(super) struct Entry {
    reply_to: ReplyTo,
    /// Bytes on the wire.
    length: usize,
    /// What it has of the budget.
    room: Room,
    deadline: Option<Instant>,
}

/// What came of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// More are to come.
    InPart,
    Wholly,
    /// One was lost before, or came twice: whose this is cannot be told.
    OutOfStep,
}

impl Entry {
    pub(super) fn new(reply_to: ReplyTo, length: usize, room: Room, deadline: Option<Instant>) -> Self {
        Self { reply_to, length, room, deadline }
    }

    /// The link's own question for a sign of life; [`Outgoing::push_question`] writes it.
    pub(super) fn question(check: Check, deadline: Option<Instant>) -> Self {
        Self { reply_to: ReplyTo::Link(check), length: Check::WIRE_LENGTH, room: Room::NONE, deadline }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// What it has of the budget, to be given back with it.
    #[inline]
    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// Whether no caller has sent it.
    #[inline]
    pub(super) fn is_question(&self) -> bool {
        matches!(self.reply_to, ReplyTo::Link(_))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether its time was over before all its replies came.
    pub(super) fn has_failed(&self) -> bool {
        match &self.reply_to {
            ReplyTo::One(..) | ReplyTo::Many(_) => false,
            ReplyTo::Nobody { .. } => true,
            ReplyTo::Link(_) => self.deadline.is_none(),
        }
    }

    fn is_abandoned(&self, waiters: &Waiters) -> bool {
        match &self.reply_to {
            ReplyTo::One(waiter, _) => waiters.is_abandoned(*waiter),
            ReplyTo::Many(many) => many.sender.is_closed(),
            ReplyTo::Nobody { .. } => true,
            ReplyTo::Link(_) => false,
        }
    }

    /// Ends it: it is abandoned and not sent.
    fn release(self, waiters: &mut Waiters) {
        match self.reply_to {
            ReplyTo::One(waiter, _) => waiters.release(waiter),
            ReplyTo::Many(_) | ReplyTo::Nobody { .. } | ReplyTo::Link(_) => {}
        }
    }

    /// Whether `+QUEUED` can be a reply to it: to a transaction, to a script, which answers what it likes, and to what only
    /// the server knows. To anyone else it means that the connection is in a transaction which did not end.
    pub(super) fn may_be_queued(&self) -> bool {
        match &self.reply_to {
            ReplyTo::One(_, may_be_queued) => *may_be_queued,
            ReplyTo::Link(_) => false,
            ReplyTo::Many(many) => many.may_be_queued,
            ReplyTo::Nobody { .. } => true,
        }
    }

    /// Whether each of its replies is to be a list of one.
    #[inline]
    pub(super) fn wants_lists_of_one(&self) -> bool {
        match &self.reply_to {
            ReplyTo::Many(many) => many.of_one,
            ReplyTo::One(..) | ReplyTo::Nobody { .. } | ReplyTo::Link(_) => false,
        }
    }

    /// Whether only one reply is missing.
    pub(super) fn awaits_its_last(&self) -> bool {
        match &self.reply_to {
            ReplyTo::One(..) | ReplyTo::Link(_) => true,
            ReplyTo::Many(many) => many.got.len() + 1 == many.wanted,
            ReplyTo::Nobody { wanted, .. } => *wanted == 1,
        }
    }

    /// Takes the next reply; who has all of its own is in `answers` then.
    #[inline]
    pub(super) fn answer(&mut self, value: Value, answers: &mut Answers) -> Answered {
        match &mut self.reply_to {
            ReplyTo::One(waiter, _) => {
                answers.push(*waiter, Ok(value));
                self.reply_to = ReplyTo::Nobody { wanted: 0, check: None };
                Answered::Wholly
            }
            ReplyTo::Many(many) => {
                if many.got.len() + 1 < many.wanted {
                    many.got.push(value);
                    return Answered::InPart;
                }
                if many.check.is_some_and(|check| !check.is_answered_by(&value, many.got.last())) {
                    return Answered::OutOfStep;
                }
                many.got.push(value);
                if let ReplyTo::Many(many) = self.take_reply_to(0) {
                    answers.push_unit(
                        many.sender,
                        UnitReply { values: many.got, of_one: many.of_one, loss: None },
                    );
                }
                Answered::Wholly
            }
            ReplyTo::Nobody { wanted, check } => {
                *wanted = wanted.saturating_sub(1);
                match check {
                    _ if *wanted > 0 => Answered::InPart,
                    Some(check) if !check.is_answered_by(&value, None) => Answered::OutOfStep,
                    Some(_) | None => Answered::Wholly,
                }
            }
            ReplyTo::Link(check) if check.is_sign_of_life(&value) => Answered::Wholly,
            ReplyTo::Link(_) => Answered::OutOfStep,
        }
    }

    /// Tells the caller that no (further) reply comes; replies that come all the same are swallowed. A deadline that
    /// has had its effect is none any more, or the clock would ring for it without end.
    pub(super) fn fail(&mut self, cause: LossCause, written: usize, answers: &mut Answers) {
        self.deadline = None;
        let missing = match &self.reply_to {
            // It still waits, and nobody is to be told.
            ReplyTo::Link(_) => return,
            ReplyTo::One(..) => 1,
            ReplyTo::Many(many) => many.wanted - many.got.len(),
            ReplyTo::Nobody { wanted, .. } => *wanted,
        };
        let loss = Loss { cause, written };
        match self.take_reply_to(missing) {
            ReplyTo::One(waiter, _) => answers.push(waiter, Err(Box::new(loss))),
            ReplyTo::Many(many) => {
                let values = if many.check.is_none() { many.got } else { Vec::new() };
                answers.push_unit(many.sender, UnitReply { values, of_one: many.of_one, loss: Some(loss) });
            }
            ReplyTo::Nobody { .. } | ReplyTo::Link(_) => {}
        }
    }

    fn take_reply_to(&mut self, missing: usize) -> ReplyTo {
        let check = match &self.reply_to {
            ReplyTo::One(..) => None,
            ReplyTo::Link(check) => Some(*check),
            ReplyTo::Many(many) => many.check,
            ReplyTo::Nobody { check, .. } => *check,
        };
        std::mem::replace(&mut self.reply_to, ReplyTo::Nobody { wanted: missing, check })
    }
}

/// The bytes of commands in order, and an entry for each command or unit of them.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// Long arguments with the place in `bytes` where each belongs.
    segments: VecDeque<(usize, Bytes)>,
    entries: VecDeque<Entry>,
    /// Everything in `bytes` before this is written.
    cursor: usize,
    /// How much of the first segment is written.
    segment_cursor: usize,
    /// How much of the first entry is written.
    entry_cursor: usize,
}

impl fmt::Debug for Outgoing {
    /// Without the bytes: a password may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many units are to be written.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Appends one unit. `entry` says its length and who waits for it.
    pub(super) fn push<'a>(&mut self, pieces: impl IntoIterator<Item = Piece<'a>>, entry: Entry) {
        for piece in pieces {
            match piece {
                Piece::Command(command) => self.push_command(command),
                Piece::Part(part) => self.push_part(part),
                Piece::Asking => self.bytes.extend_from_slice(ASKING),
                Piece::Multi => self.bytes.extend_from_slice(MULTI),
                Piece::Exec => self.bytes.extend_from_slice(EXEC),
                Piece::Check(check) => check.write(&mut self.bytes),
            }
        }
        self.entries.push_back(entry);
    }

    #[inline]
    pub(super) fn push_command(&mut self, command: &Command) {
        let body = command.body();
        push_header(&mut self.bytes, b'*', body.args());
        let base = self.bytes.len();
        self.bytes.extend_from_slice(body.bytes());
        for (place, segment) in body.segments() {
            self.segments.push_back((base + place, segment.clone()));
        }
    }

    fn push_part(&mut self, part: Part<'_>) {
        push_header(&mut self.bytes, b'*', part.args());
        part.for_each_excerpt(|excerpt| {
            let base = self.bytes.len();
            self.bytes.extend_from_slice(excerpt.bytes());
            for (place, segment) in excerpt.segments() {
                self.segments.push_back((base + place, segment.clone()));
            }
        });
    }

    /// Appends the link's own question for a sign of life.
    pub(super) fn push_question(&mut self, check: Check, deadline: Option<Instant>) {
        check.write_ping(&mut self.bytes);
        self.entries.push_back(Entry::question(check, deadline));
    }

    pub(super) fn push_entry(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// What is to be written next, in order; `slices` may be too few for all of it.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut from = self.cursor;
        let mut skip = self.segment_cursor;
        let mut out = slices.iter_mut();
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            let Some(slice) = out.next() else { return false };
            *slice = IoSlice::new(bytes);
            filled += 1;
            true
        };
        for (place, segment) in &self.segments {
            let short = self.bytes.get(from..*place).unwrap_or_default();
            let long = segment.get(skip..).unwrap_or_default();
            if !put(short) || !put(long) {
                return filled;
            }
            (from, skip) = (*place, 0);
        }
        put(self.bytes.get(from..).unwrap_or_default());
        filled
    }

    /// Notes that the next `count` bytes were written and hands over the entries that are complete with them.
    pub(super) fn advance(&mut self, count: usize, mut written: impl FnMut(Entry)) {
        let mut left = count;
        while left > 0 {
            let next = self.segments.front().map_or(self.bytes.len(), |(place, _)| *place);
            let short = (next - self.cursor).min(left);
            self.cursor += short;
            left -= short;
            if self.cursor < next {
                break;
            }
            let Some((_, segment)) = self.segments.front() else { break };
            let long = (segment.len() - self.segment_cursor).min(left);
            self.segment_cursor += long;
            left -= long;
            if self.segment_cursor < segment.len() {
                break;
            }
            self.segments.pop_front();
            self.segment_cursor = 0;
        }
        self.entry_cursor += count;
        while let Some(entry) = self.entries.front()
            && entry.length <= self.entry_cursor
        {
            self.entry_cursor -= entry.length;
            if let Some(entry) = self.entries.pop_front() {
                written(entry);
            }
        }
        if self.entries.is_empty() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.segments.clear();
        (self.cursor, self.segment_cursor, self.entry_cursor) = (0, 0, 0);
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }

    /// Cuts out the commands that nobody waits for any more and of which no byte was written. Returns the room that was
    /// freed.
    pub(super) fn cut_abandoned(&mut self, waiters: &mut Waiters) -> Room {
        let first_unwritten = usize::from(self.entry_cursor > 0);
        if !self.entries.iter().skip(first_unwritten).any(|entry| entry.is_abandoned(waiters)) {
            return Room::NONE;
        }
        let old = std::mem::take(self);
        let mut freed = Room::NONE;
        let mut segments = old.segments.into_iter().peekable();
        let mut at = old.cursor;
        let mut skip = old.segment_cursor;
        self.entry_cursor = old.entry_cursor;
        self.segment_cursor = old.segment_cursor;
        for (place, entry) in old.entries.into_iter().enumerate() {
            let partial = place == 0 && old.entry_cursor > 0;
            let keep = partial || !entry.is_abandoned(waiters);
            let mut left = entry.length - if partial { old.entry_cursor } else { 0 };
            while left > 0 {
                let next = segments.peek().map_or(old.bytes.len(), |(place, _)| *place);
                let short = (next - at).min(left);
                if keep {
                    self.bytes.extend_from_slice(old.bytes.get(at..at + short).unwrap_or_default());
                }
                at += short;
                left -= short;
                // A segment belongs to the entry whose bytes surround it; every argument ends with a CR LF in
                // `bytes`, so an entry never ends with a segment.
                if left > 0
                    && let Some((_, segment)) = segments.next_if(|(place, _)| *place == at)
                {
                    left -= segment.len() - skip;
                    skip = 0;
                    if keep {
                        self.segments.push_back((self.bytes.len(), segment));
                    }
                }
            }
            if keep {
                self.entries.push_back(entry);
            } else {
                freed += entry.room();
                entry.release(waiters);
            }
        }
        freed
    }

    /// Fails what is overdue; as [`expire`]. What has begun to leave has to be finished, or the server could not read what
    /// follows: it counts as sent.
    pub(super) fn expire(&mut self, now: Instant, answers: &mut Answers) -> Option<Room> {
        let mut has_begun = self.entry_cursor > 0;
        let written = |entry: &Entry| if std::mem::take(&mut has_begun) { entry.length } else { 0 };
        expire(&mut self.entries, now, written, answers)
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        first_deadline(&self.entries)
    }

    /// The unit that has left in part: its first commands may be answered before its last are written.
    pub(super) fn begun(&mut self) -> Option<&mut Entry> {
        self.entries.front_mut().filter(|_| self.entry_cursor > 0)
    }

    /// Fails everything; returns the room that was freed.
    pub(super) fn fail_all(&mut self, cause: &LossCause, answers: &mut Answers) -> Room {
        let mut head_written = self.entry_cursor;
        let mut freed = Room::NONE;
        for mut entry in std::mem::take(&mut self.entries) {
            freed += entry.room();
            entry.fail(cause.clone(), std::mem::take(&mut head_written), answers);
        }
        self.clear();
        freed
    }
}

/// Fails the entries whose time is over; `written` says how much of each has left. `None`: there was none. Else what goes back
/// to the client's bound with that: what is behind has no caller, so a client that closes does not wait for it, and a node
/// that hangs takes the room of others no longer than its callers wait. Its own room it keeps taking until it answers.
pub(super) fn expire(
    entries: &mut VecDeque<Entry>,
    now: Instant,
    mut written: impl FnMut(&Entry) -> usize,
    answers: &mut Answers,
) -> Option<Room> {
    let mut freed = None;
    for entry in entries {
        let written = written(entry);
        if entry.deadline.is_some_and(|deadline| deadline <= now) {
            entry.fail(LossCause::Expired, written, answers);
            *freed.get_or_insert(Room::NONE) += entry.room.split_client();
        }
    }
    freed
}

pub(super) fn first_deadline(entries: &VecDeque<Entry>) -> Option<Instant> {
    entries.iter().filter_map(Entry::deadline).min()
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use std::task::Waker;

    use tokio::time::Instant;

    use super::{Entry, Outgoing, ReplyTo};
    use crate::command::Command;
    use crate::connection::budget::{Bound, Budget, Room};
    use crate::connection::unit::Piece;
    use crate::connection::waiters::{Answers, WaiterId, Waiters};
    use crate::protocol::body::SEGMENT;

    fn budget() -> Budget {
        Budget::new(Bound::new(1 << 30, usize::MAX), Bound::new(1 << 30, usize::MAX))
    }

    fn wire(command: &Command) -> Vec<u8> {
        let mut out = format!("*{}\r\n", command.body().args()).into_bytes();
        for arg in command.body().iter() {
            out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    fn push(
        outgoing: &mut Outgoing,
        waiters: &mut Waiters,
        command: &Command,
        deadline: Option<Instant>,
    ) -> WaiterId {
        let waiter = waiters.add(Waker::noop().clone());
        let length = command.body().wire_length();
        let room = budget().room_for(length, 1);
        outgoing
            .push([Piece::Command(command)], Entry::new(ReplyTo::One(waiter, false), length, room, deadline));
        waiter
    }

    /// Writes at most `count` bytes as a socket would.
    fn write(outgoing: &mut Outgoing, count: usize, to: &mut Vec<u8>) -> usize {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = outgoing.slices(&mut slices);
        let bytes: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(count).collect();
        let mut done = 0;
        outgoing.advance(bytes.len(), |_| done += 1);
        to.extend_from_slice(&bytes);
        done
    }

    fn command(number: usize, size: usize) -> Command {
        Command::new("SET").key(format!("k{number}")).arg(Bytes::from(vec![b'a' + (number % 26) as u8; size]))
    }

    proptest! {
        /// What arrives at the server is every command that was kept, whole and in order, however the socket takes
        /// the bytes and whenever callers give up; one that was begun is finished.
        #[test]
        fn commands_leave_whole_and_in_order_and_abandoned_ones_not_at_all(
            sizes in prop::collection::vec((0_usize..9000, any::<bool>()), 1..20),
            writes in prop::collection::vec(1_usize..6000, 1..200),
            cut_at in 0_usize..20,
        ) {
            let mut outgoing = Outgoing::default();
            let commands: Vec<Command> =
                sizes.iter().enumerate().map(|(number, (size, _))| command(number, *size)).collect();
            let mut waiters = Waiters::default();
            let ids: Vec<WaiterId> =
                commands.iter().map(|command| push(&mut outgoing, &mut waiters, command, None)).collect();
            let mut sent = Vec::new();
            let mut done = 0;
            let mut begun = 0;
            let mut cut = vec![false; commands.len()];
            for (step, count) in writes.iter().cycle().enumerate() {
                if step == cut_at {
                    for (place, (_, abandon)) in sizes.iter().enumerate() {
                        if *abandon {
                            waiters.abandon(ids[place]);
                            cut[place] = place >= begun;
                        }
                    }
                    let _freed = outgoing.cut_abandoned(&mut waiters);
                }
                if outgoing.is_empty() {
                    break;
                }
                let before = sent.len();
                done += write(&mut outgoing, *count, &mut sent);
                prop_assert_eq!(sent.len() > before, true);
                begun = done + usize::from(outgoing.entry_cursor > 0);
            }
            let kept = commands.iter().zip(&cut).filter(|(_, cut)| !**cut);
            let wanted: Vec<u8> = kept.flat_map(|(command, _)| wire(command)).collect();
            prop_assert_eq!(sent, wanted);
        }
    }

    #[test]
    fn what_has_expired_is_not_due_again() {
        let mut outgoing = Outgoing::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let (mut waiters, command) = (Waiters::default(), Command::new("PING"));
        for deadline in [now, later] {
            push(&mut outgoing, &mut waiters, &command, Some(deadline));
        }
        // The first has begun to leave, so it stays to be finished.
        outgoing.advance(1, |_| ());
        let mut answers = Answers::default();
        let client = budget().room_for(command.body().wire_length(), 1).split_client();
        assert_eq!(outgoing.expire(now, &mut answers), Some(client));
        assert_eq!(outgoing.cut_abandoned(&mut waiters), Room::NONE);
        assert_eq!(outgoing.first_deadline(), Some(later));
        assert_eq!(outgoing.expire(now, &mut answers), None);
    }

    #[test]
    fn large_owned_values_are_written_from_where_they_lie() {
        let (bytes, vec, text) =
            (Bytes::from(vec![1; SEGMENT]), vec![2; SEGMENT + 1], "3".repeat(SEGMENT + 2));
        let lying = [bytes.as_ptr(), vec.as_ptr(), text.as_ptr()];
        let command = Command::new("RPUSH").key("k").arg(bytes).arg(vec).arg(text);
        let (mut outgoing, mut waiters) = (Outgoing::default(), Waiters::default());
        push(&mut outgoing, &mut waiters, &command, None);
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outgoing.slices(&mut slices);
        let large: Vec<*const u8> = slices[..filled]
            .iter()
            .filter(|slice| slice.len() >= SEGMENT)
            .map(|slice| slice.as_ptr())
            .collect();
        assert_eq!(large, lying);
    }

    #[test]
    fn bytes_of_an_abandoned_value_are_freed_at_once() {
        let (mut outgoing, mut waiters) = (Outgoing::default(), Waiters::default());
        let value = Bytes::from(vec![0; 1 << 20]);
        push(&mut outgoing, &mut waiters, &Command::new("SET").key("a").arg("1"), None);
        let gone = push(&mut outgoing, &mut waiters, &Command::new("SET").key("b").arg(value.clone()), None);
        waiters.abandon(gone);
        let room = budget().room_for(Command::new("SET").key("b").arg(value.clone()).body().wire_length(), 1);
        assert_eq!(outgoing.cut_abandoned(&mut waiters), room);
        assert!(value.is_unique());
        assert_eq!(outgoing.cut_abandoned(&mut waiters), Room::NONE);
    }
}
