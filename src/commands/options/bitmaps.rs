//! Options of bitmaps.

use crate::commands::options::render::{keywords, written};
use crate::protocol::to_arg::ToArg;
use crate::protocol::word::{Word, Words};

/// What the ends of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitUnit {
    /// Bytes; all servers.
    Byte,
    /// Bits; Redis 7.0 and later.
    Bit,
}

keywords! {
    /// What `bitop` makes of several values.
    pub enum BitOperation {
        /// What is set in all.
        And = "AND",
        /// What is set in some.
        Or = "OR",
        /// What is set in an odd number of them.
        Xor = "XOR",
        /// What is not set in the only one.
        Not = "NOT",
        /// What is set in the first and in no other. Redis 8.2 and later.
        Diff = "DIFF",
        /// What is set in some other and not in the first. Redis 8.2 and later.
        Diff1 = "DIFF1",
        /// What is set in the first and in some other. Redis 8.2 and later.
        AndOr = "ANDOR",
        /// What is set in exactly one. Redis 8.2 and later.
        One = "ONE",
    }

    /// What becomes of a number that does not fit.
    pub enum Overflow {
        /// It begins at the other end; the server's default.
        Wrap = "WRAP",
        /// It stops at the end.
        Sat = "SAT",
        /// Nothing is done, and the answer is nil.
        Fail = "FAIL",
    }
}

/// The type of an integer among bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitType {
    /// Signed, of so many bits: up to 64.
    I(u8),
    /// Unsigned, of so many bits: up to 63.
    U(u8),
}

impl From<BitType> for Word {
    fn from(ty: BitType) -> Self {
        Self::of(match ty {
            BitType::I(bits) => format!("i{bits}"),
            BitType::U(bits) => format!("u{bits}"),
        })
    }
}

/// The operations of `bitfield`, in order.
///
/// An offset counts bits; as a text with `#` in front (`"#2"`), integers of that type.
///
/// ```
/// use keyslot::options::{BitType, Bitfield, Overflow};
///
/// let operations = Bitfield::new()
///     .set(BitType::U(8), 0, 200)
///     .overflow(Overflow::Sat)
///     .incrby(BitType::U(8), "#0", 100);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "operations do nothing by themselves"]
pub struct Bitfield(Words);

impl Bitfield {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an integer.
    pub fn get(self, ty: BitType, offset: impl ToArg) -> Self {
        Self(self.0.words(["GET".into(), ty.into(), Word::of(offset)]))
    }

    /// Sets an integer; the answer is what it was.
    pub fn set(self, ty: BitType, offset: impl ToArg, value: i64) -> Self {
        Self(self.0.words(["SET".into(), ty.into(), Word::of(offset), value.into()]))
    }

    /// Adds to an integer; the answer is what it becomes.
    pub fn incrby(self, ty: BitType, offset: impl ToArg, increment: i64) -> Self {
        Self(self.0.words(["INCRBY".into(), ty.into(), Word::of(offset), increment.into()]))
    }

    /// What becomes of numbers that do not fit, in the operations behind it.
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self(self.0.words(["OVERFLOW".into(), overflow.into()]))
    }
}

/// The reads of `bitfield_ro`, in order.
#[derive(Clone, Debug, Default)]
#[must_use = "operations do nothing by themselves"]
pub struct BitfieldReads(Words);

impl BitfieldReads {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an integer; for the offset see [`Bitfield`].
    pub fn get(self, ty: BitType, offset: impl ToArg) -> Self {
        Self(self.0.words(["GET".into(), ty.into(), Word::of(offset)]))
    }
}

written! {
    BitUnit: |unit| Words::new().flag(unit == BitUnit::Bit, "BIT");
    Bitfield: |operations| operations.0;
    BitfieldReads: |reads| reads.0;
}
