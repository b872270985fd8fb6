//! [`Cut`]: a command of many keys taken apart by their slots, and [`Part`]: what of it one slot gets.
//!
//! A part is no command of its own: its arguments are those of the whole, encoded already, and written from there.

use std::iter;

use crate::command::Command;
use crate::protocol::body::{Excerpt, header_length};
use crate::slot::Slot;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    command: &'a Command,
    /// One for each key, in the order of their slots; those of one slot in the order of the command.
    shares: Vec<Share>,
    parts: usize,
    /// What stands before the first key: with it each part begins.
    head: Run,
    /// What stands behind the last key and what goes with it: with it each part ends.
    tail: Run,
}

/// A key and the arguments that go with it.
#[derive(Clone, Copy, Debug)]
struct Share {
    slot: Slot,
    /// Which of the command's keys it is.
    place: usize,
    run: Run,
}

/// Adjacent arguments: how many, and where they are in [`Body::bytes`].
#[derive(Clone, Copy, Debug)]
struct Run {
    args: usize,
    start: usize,
    end: usize,
}

impl Run {
    fn at(start: usize) -> Self {
        Self { args: 0, start, end: start }
    }

    fn add(&mut self, end: usize) {
        self.args += 1;
        self.end = end;
    }
}

impl<'a> Cut<'a> {
    /// Cuts `command`, whose keys are the arguments from `first` on, `count` of them, each with the `step - 1` arguments
    /// behind it.
    pub(crate) fn new(command: &'a Command, first: usize, count: usize, step: usize) -> Self {
        let step = step.max(1);
        let mut shares: Vec<Share> = Vec::with_capacity(count);
        let (mut head, mut tail) = (Run::at(0), Run::at(0));
        let mut until_next = first;
        let mut start = 0;
        for (arg, end) in command.body().iter_with_ends() {
            if until_next == 0 && shares.len() < count {
                let place = shares.len();
                shares.push(Share { slot: Slot::of_key(arg), place, run: Run { args: 1, start, end } });
                tail = Run::at(end);
                until_next = step - 1;
            } else if until_next > 0 {
                until_next -= 1;
                let run = shares.last_mut().map_or(&mut head, |share| &mut share.run);
                run.add(end);
                tail = Run::at(end);
            } else {
                tail.add(end);
            }
            start = end;
        }
        shares.sort_unstable_by_key(|share| (share.slot, share.place));
        let parts = shares.chunk_by(Share::has_the_slot_of).count();
        Self { command, shares, parts, head, tail }
    }

    /// How many parts there are.
    pub(crate) fn len(&self) -> usize {
        self.parts
    }

    /// Each part with its slot, in the order of the slots.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Slot, Part<'_>)> {
        let chunks = self.shares.chunk_by(Share::has_the_slot_of);
        chunks.filter_map(|shares| Some((shares.first()?.slot, Part { cut: self, shares })))
    }

    /// For each key, in the order of the parts: the number of its part, and which of the command's keys it is.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let parts = self.shares.chunk_by(Share::has_the_slot_of).enumerate();
        parts.flat_map(|(part, shares)| shares.iter().map(move |share| (part, share.place)))
    }
}

impl Share {
    #[inline]
    fn has_the_slot_of(&self, other: &Self) -> bool {
        self.slot == other.slot
    }
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

    #[inline]
    fn runs(&self) -> impl Iterator<Item = Run> {
        let shares = self.shares.iter().map(|share| share.run);
        iter::once(self.cut.head).chain(shares).chain(iter::once(self.cut.tail))
    }

    /// How many arguments it has, the command's name included.
    #[inline]
    pub(crate) fn args(&self) -> usize {
        self.runs().map(|run| run.args).sum()
    }

    /// Its arguments as they are written, without the `*n` header.
    #[inline]
    pub(crate) fn excerpts(&self) -> impl Iterator<Item = Excerpt<'a>> {
        let body = self.cut.command.body();
        self.runs().map(|run| body.excerpt(run.start..run.end))
    }

    /// What it takes on the wire, its `*n` header included.
    #[inline]
    pub(crate) fn wire_length(&self) -> usize {
        header_length(self.args()) + self.excerpts().map(|excerpt| excerpt.wire_length()).sum::<usize>()
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
        for excerpt in part.excerpts() {
            let mut from = 0;
            for (place, segment) in excerpt.segments() {
                wire.extend_from_slice(&excerpt.bytes()[from..place]);
                wire.extend_from_slice(segment);
                from = place;
            }
            wire.extend_from_slice(&excerpt.bytes()[from..]);
        }
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
        let cut = Cut::new(&command, 1, 4, 1);
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
        let cut = Cut::new(&command, 2, 2, 2);
        let parts: Vec<_> = cut.parts().map(|(_, part)| texts(part)).collect();
        assert_eq!(parts, ["MOD.MSET NX b 1 EX 5", "MOD.MSET NX a 2 EX 5"]);
    }

    #[test]
    fn a_value_that_is_missing_is_missing_in_its_part_only() {
        let command = Command::new("MSET").args(["b", "1", "a"]);
        let cut = Cut::new(&command, 1, 2, 2);
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
        let cut = Cut::new(&command, 1, 3, 2);
        let places: Vec<_> = cut.places().map(|(_, place)| place).collect();
        assert_eq!(cut.len(), 3);
        for ((_, part), place) in cut.parts().zip(places) {
            let (key, value) = &pairs[place];
            assert_eq!(written(part), [&b"MSET"[..], key, value]);
        }
    }
}
