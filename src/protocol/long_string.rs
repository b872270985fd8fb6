//! [`LongString`]: a large string of which a part is still to come, in a buffer that becomes the value.

use std::hint::black_box;
use std::sync::Once;

use bytes::buf::Limit;
use bytes::{BufMut, Bytes};

/// From this length on a string is collected in a buffer of its own. A shorter one is copied out of the read buffer:
/// its own buffer would save a part of that copy and cost a read more, and up to here the read is dearer (measured over
/// a socket: 24 KB are 7 to 22 % cheaper without it, 32 KiB 15 to 24 % with it, 64 KiB 14 to 32 %).
pub(super) const LONG: usize = 32 << 10;

/// What is allocated on the word of a header alone; what is longer has its room doubled as it arrives.
pub(super) const TRUSTED: usize = 1 << 20;

/// A place for bytes from a socket, and how many may be put there.
pub(crate) type Room<'a> = Limit<&'a mut (dyn BufMut + Send)>;

#[derive(Debug)]
pub(super) struct LongString {
    bytes: Vec<u8>,
    length: usize,
}

impl LongString {
    pub(super) fn new(length: usize) -> Self {
        expect_large_blocks();
        Self { bytes: Vec::with_capacity(length.min(TRUSTED)), length }
    }

    /// How many of its bytes are still to come.
    pub(super) fn missing(&self) -> usize {
        self.length - self.bytes.len()
    }

    /// Moves what is there of it from the front of `bytes`, and says how much that was.
    pub(super) fn take_from(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.missing());
        let mut left = bytes.get(..taken).unwrap_or_default();
        while !left.is_empty() {
            let (now, later) = left.split_at(self.spare().min(left.len()));
            self.bytes.extend_from_slice(now);
            left = later;
        }
        taken
    }

    /// Where the bytes that are missing go; never more than those.
    pub(super) fn room(&mut self) -> Room<'_> {
        let spare = self.spare();
        (&mut self.bytes as &mut (dyn BufMut + Send)).limit(spare)
    }

    /// The value, as large as its buffer: a reply that is kept pins nothing else.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// Makes room if there is none; the room that may be filled then.
    fn spare(&mut self) -> usize {
        let missing = self.missing();
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve_exact(missing.min(self.bytes.len()));
        }
        missing.min(self.bytes.capacity() - self.bytes.len())
    }
}

/// Frees a large block once in the life of a process. The usual allocator of Linux learns from it that such blocks come
/// and go (mallopt(3), `M_MMAP_THRESHOLD`, "dynamic"), and stops to give memory back to the kernel with each value that is
/// dropped, to fault it in again page by page for the next: 23 microseconds of CPU for a `GET` of 64 KiB, 10 with this.
/// Programs whose own large blocks have taught it that already, and other allocators, notice nothing.
fn expect_large_blocks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(TRUSTED))));
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::{LongString, TRUSTED};

    /// Fills it by `take_from` and `room` in turns, with so many bytes at once at most.
    fn filled(length: usize, piece: usize) -> LongString {
        let mut string = LongString::new(length);
        for turn in 0.. {
            let missing = string.missing();
            if missing == 0 {
                break;
            }
            let bytes = vec![turn as u8; piece];
            if turn % 2 == 0 {
                assert_eq!(string.take_from(&bytes), piece.min(missing));
            } else {
                let mut room = string.room();
                let count = room.remaining_mut().min(piece);
                assert!((1..=missing).contains(&count));
                room.put_slice(&bytes[..count]);
            }
            let most = (string.bytes.len() * 2).max(TRUSTED).min(length);
            assert!(string.bytes.capacity() <= most, "{} of {most}", string.bytes.capacity());
        }
        string
    }

    #[test]
    fn its_room_grows_with_what_arrives_and_is_in_the_end_exactly_as_large_as_it() {
        for length in [20_000, TRUSTED - 1, TRUSTED, TRUSTED + 1, 3 * TRUSTED + 77] {
            for piece in [1000, 65_536, 5 * TRUSTED] {
                let string = filled(length, piece);
                assert_eq!((string.bytes.len(), string.bytes.capacity()), (length, length));
                assert_eq!(string.into_bytes().len(), length);
            }
        }
    }

    #[test]
    fn what_follows_it_is_left_where_it_is() {
        let mut string = LongString::new(3);
        assert_eq!(string.take_from(b"abc\r\n"), 3);
        assert_eq!(string.take_from(b"\r\n"), 0);
        assert_eq!(string.into_bytes(), "abc");
    }
}
