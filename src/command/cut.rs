//! [`Cut`]: a command of many keys taken apart by their slots, and [`Part`]: what of it one slot gets.
//!
//! A part is no command of its own: its arguments are those of the whole, encoded already, and written from there.

use crate::command::Command;
use crate::protocol::body::{Excerpt, header_length};
use crate::slot::Slot;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    command: &'a Command,
    /// The argument that is the first key, and how many arguments lie from one key to the next.
    first: usize,
    step: usize,
    /// One for each key, in the order of their slots; those of one slot in the order of the command.
    shares: Vec<Share>,
    /// What stands before the first key: with it each part begins.
    head: Run,
    /// What stands behind the last key and what goes with it: with it each part ends.
    tail: Run,
    /// Whether a part is answered by a list with an element for each of its keys.
    answers_lists: bool,
}

/// A key and the arguments that go with it.
#[derive(Clone, Copy, Debug)]
struct Share {
    slot: Slot,
    /// The number of its part.
    part: usize,
    /// Which of the command's keys it is.
    place: usize,
    run: Run,
}

/// Adjacent arguments: how many, and where they are in the [`Body`](crate::protocol::body::Body).
#[derive(Clone, Copy, Debug)]
struct Run {
    args: usize,
    start: usize,
    end: usize,
}

impl Run {
    fn new(start: usize) -> Self {
        Self { args: 0, start, end: start }
    }

    #[inline]
    fn add(&mut self, end: usize) {
        self.args += 1;
        self.end = end;
    }
}

impl<'a> Cut<'a> {
    /// Cuts `command`, whose keys are `count` arguments from the one at `first` on, each with the `step - 1` arguments
    /// behind it.
    pub(crate) fn new(
        command: &'a Command,
        first: usize,
        count: usize,
        step: usize,
        answers_lists: bool,
    ) -> Self {
        let mut args = command.body().iter_with_ends();
        let mut head = Run::new(0);
        args.by_ref().take(first).for_each(|(_, end)| head.add(end));
        // A key's slot and its number in one: sorted, keys of one slot are side by side and in their order.
        let mut order: Vec<u64> = Vec::with_capacity(count);
        let mut runs: Vec<Run> = Vec::with_capacity(count);
        let mut at = head.end;
        while runs.len() < count
            && let Some((key, end)) = args.next()
        {
            order.push(u64::from(Slot::of_key(key).get()) << SLOT_SHIFT | runs.len() as u64);
            let mut run = Run { args: 1, start: at, end };
            args.by_ref().take(step.saturating_sub(1)).for_each(|(_, end)| run.add(end));
            at = run.end;
            runs.push(run);
        }
        let mut tail = Run::new(at);
        args.for_each(|(_, end)| tail.add(end));
        order.sort_unstable();
        Self { command, first, step, shares: in_order(&order, &runs), head, tail, answers_lists }
    }

    /// How many parts there are.
    pub(crate) fn len(&self) -> usize {
        self.shares.last().map_or(0, |last| last.part + 1)
    }

    /// Each part with its slot, in the order of the slots.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Slot, Part<'_>)> {
        let of_parts = self.shares.chunk_by(|share, next| share.part == next.part);
        of_parts.filter_map(|shares| Some((shares.first()?.slot, Part { cut: self, shares })))
    }

    /// For each key, in the order of the parts: the number of its part, and which of the command's keys it is.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.shares.iter().map(|share| (share.part, share.place))
    }
}

/// Above the number of a key: no command has 2^48 of them.
const SLOT_SHIFT: u32 = 48;

fn in_order(order: &[u64], runs: &[Run]) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::with_capacity(order.len());
    let mut part = 0;
    for key in order {
        let place = (key & ((1 << SLOT_SHIFT) - 1)) as usize;
        let slot = Slot::new((key >> SLOT_SHIFT) as u16);
        let (Some(slot), Some(run)) = (slot, runs.get(place)) else { continue };
        part += usize::from(shares.last().is_some_and(|last| last.slot != slot));
        shares.push(Share { slot, part, place, run: *run });
    }
    shares
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    cut: &'a Cut<'a>,
    shares: &'a [Share],
}

impl<'a> Part<'a> {
    /// The whole.
    pub(crate) fn command(&self) -> &'a Command {
        self.cut.command
    }

    /// Which of the command's arguments are its keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> {
        let Cut { first, step, .. } = self.cut;
        self.shares.iter().map(move |share| first + share.place * step)
    }

    /// Whether it is answered by a list with an element for each of its keys.
    #[inline]
    pub(crate) fn answers_a_list(&self) -> bool {
        self.cut.answers_lists
    }

    /// Whether that is a list of one.
    #[inline]
    pub(crate) fn answers_a_list_of_one(&self) -> bool {
        self.cut.answers_lists && self.shares.len() == 1
    }

    /// How many arguments it has, the command's name included.
    #[inline]
    pub(crate) fn args(&self) -> usize {
        self.sum(|run| run.args)
    }

    /// What it takes on the wire, its `*n` header included.
    #[inline]
    pub(crate) fn wire_length(&self) -> usize {
        let body = self.cut.command.body();
        let long = match body.segments() {
            [] => 0,
            _some => self.sum(|run| body.excerpt(run.start..run.end).long_length()),
        };
        header_length(self.args()) + self.sum(|run| run.end - run.start) + long
    }

    #[inline]
    fn sum(&self, of: impl Fn(&Run) -> usize) -> usize {
        let own = match self.shares {
            // As nearly all have.
            [share] => of(&share.run),
            shares => shares.iter().map(|share| of(&share.run)).sum(),
        };
        of(&self.cut.head) + own + of(&self.cut.tail)
    }

    /// Its arguments as they are written, without the `*n` header.
    #[inline]
    pub(crate) fn for_each_excerpt(&self, mut write: impl FnMut(Excerpt<'a>)) {
        let body = self.cut.command.body();
        let mut write = |run: &Run| write(body.excerpt(run.start..run.end));
        write(&self.cut.head);
        self.shares.iter().for_each(|share| write(&share.run));
        if self.cut.tail.args > 0 {
            write(&self.cut.tail);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Cut, Part};
    use crate::command::Command;
    use crate::protocol::body::SEGMENT;
    use crate::slot::Slot;

    /// The arguments that a server would read.
    fn written(part: Part<'_>) -> Vec<Vec<u8>> {
        let mut wire = Vec::new();
        part.for_each_excerpt(|excerpt| {
            let mut from = 0;
            for (place, segment) in excerpt.segments() {
                wire.extend_from_slice(&excerpt.bytes()[from..place]);
                wire.extend_from_slice(segment);
                from = place;
            }
            wire.extend_from_slice(&excerpt.bytes()[from..]);
        });
        assert_eq!(part.wire_length(), format!("*{}\r\n", part.args()).len() + wire.len());
        let mut args = Vec::new();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let line = rest.iter().position(|byte| *byte == b'\r').unwrap();
            let length: usize = std::str::from_utf8(&rest[1..line]).unwrap().parse().unwrap();
            args.push(rest[line + 2..line + 2 + length].to_vec());
            rest = rest[line + 2 + length..].strip_prefix(b"\r\n").unwrap();
        }
        assert_eq!(part.args(), args.len());
        args
    }

    fn texts(part: Part<'_>) -> String {
        written(part)
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn keys_of_one_slot_stay_together_and_in_order() {
        let command = Command::new("MGET").keys(["{b}2", "a", "{b}1", "{b}2"]);
        let cut = Cut::new(&command, 1, 4, 1, true);
        let parts: Vec<_> = cut.parts().map(|(slot, part)| (slot, texts(part))).collect();
        let slot = |key: &[u8]| Slot::of_key(key);
        assert_eq!(
            parts,
            [(slot(b"b"), "MGET {b}2 {b}1 {b}2".to_owned()), (slot(b"a"), "MGET a".to_owned())]
        );
        assert_eq!(cut.len(), 2);
        assert!(cut.places().eq([(0, 0), (0, 2), (0, 3), (1, 1)]));
    }

    #[test]
    fn what_stands_before_and_behind_the_keys_is_in_each_part() {
        let command = Command::new("MOD.MSET").arg("NX").args(["b", "1", "a", "2"]).args(["EX", "5"]);
        let cut = Cut::new(&command, 2, 2, 2, true);
        let parts: Vec<_> = cut.parts().map(|(_, part)| texts(part)).collect();
        assert_eq!(parts, ["MOD.MSET NX b 1 EX 5", "MOD.MSET NX a 2 EX 5"]);
    }

    #[test]
    fn a_value_that_is_missing_is_missing_in_its_part_only() {
        let command = Command::new("MSET").args(["b", "1", "a"]);
        let cut = Cut::new(&command, 1, 2, 2, true);
        let parts: Vec<_> = cut.parts().map(|(_, part)| texts(part)).collect();
        assert_eq!(parts, ["MSET b 1", "MSET a"]);
    }

    #[test]
    fn long_keys_and_values_go_with_their_part() {
        let long = |byte: u8| Bytes::from(vec![byte; SEGMENT]);
        let mut command = Command::new("MSET");
        let pairs =
            [(long(b'b'), long(b'1')), (Bytes::from("b"), long(b'2')), (long(b'a'), Bytes::from("3"))];
        for (key, value) in &pairs {
            command = command.key(key).arg(value);
        }
        let cut = Cut::new(&command, 1, 3, 2, true);
        let places: Vec<_> = cut.places().map(|(_, place)| place).collect();
        assert_eq!(cut.len(), 3);
        for ((_, part), place) in cut.parts().zip(places) {
            let (key, value) = &pairs[place];
            assert_eq!(written(part), [&b"MSET"[..], key, value]);
        }
    }
}
