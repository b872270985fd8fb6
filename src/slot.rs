//! [`Slot`]: the part of the key space that a key belongs to.
//!
//! Source: [Redis cluster specification, "Key distribution model" and "Hash tags"](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).

use std::fmt;

use crc::{CRC_16_XMODEM, Crc, Table};
use memchr::memchr;

/// Sixteen bytes a step: looked up one by one, each waiting for the one before, a uuid takes a tenth of a command.
static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// One of the 16384 hash slots of a cluster.
///
/// A value of this type is always below [`Slot::COUNT`].
///
/// ```
/// use keyslot::Slot;
///
/// assert_eq!(Slot::of_key("{user1000}.following"), Slot::of_key("{user1000}.followers"));
/// assert_eq!(Slot::of_key(b"foo").get(), 12182);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// How many slots a cluster has.
    pub const COUNT: u16 = 16384;

    /// The slot of `key`: CRC-16/XMODEM of its hash tag, modulo 16384.
    ///
    /// The hash tag is what stands between the first `{` and the first `}` after it. Without both, or with nothing
    /// between them, the whole key is hashed.
    #[inline]
    #[must_use]
    pub fn of_key(key: impl AsRef<[u8]>) -> Self {
        Self(CRC.checksum(hash_tag(key.as_ref())) % Self::COUNT)
    }

    /// The slot with this number, or `None` from [`Slot::COUNT`] on.
    #[inline]
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The slot's number, below [`Slot::COUNT`].
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every slot, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.0)
    }
}

/// The first place of `byte`. A vector search begins to pay at about twenty bytes; most keys are shorter.
#[inline]
fn find(byte: u8, text: &[u8]) -> Option<usize> {
    if text.len() < 20 { text.iter().position(|other| *other == byte) } else { memchr(byte, text) }
}

/// The part of `key` that is hashed.
#[inline]
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(after_open) = find(b'{', key).and_then(|open| key.get(open + 1..)) else { return key };
    match find(b'}', after_open) {
        None | Some(0) => key,
        Some(close) => after_open.get(..close).unwrap_or(key),
    }
}

#[cfg(test)]
mod tests {
    use crc16::{State, XMODEM};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::{CRC, Slot, hash_tag};

    proptest! {
        #[test]
        fn checksums_are_those_of_a_byte_at_a_time(key in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(CRC.checksum(&key), State::<XMODEM>::calculate(&key));
        }
    }

    #[test]
    fn the_hash_tag_is_between_the_first_brace_and_the_first_closing_one_after_it() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("}{a}", "a"),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // The specification's own check value of CRC-16/XMODEM.
        assert_eq!(Slot::of_key(b"123456789").get(), 0x31C3);
        assert_eq!(Slot::of_key(b"").get(), 0);
        assert_eq!(Slot::of_key(b"foo").get(), 12182);
    }

    #[test]
    fn a_number_past_the_last_slot_is_no_slot() {
        assert_eq!(Slot::new(16383).map(Slot::get), Some(16383));
        assert_eq!(Slot::new(16384), None);
        assert_eq!(Slot::all().len(), 16384);
    }
}
