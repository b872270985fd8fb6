//! Replies about strings.

use crate::commands::replies::facts::Facts;
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

/// Where the longest common subsequence of two values lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LcsMatches {
    /// The pieces, the last one first.
    pub matches: Vec<LcsMatch>,
    /// How long all of it is.
    pub len: u64,
}

/// A piece that two values have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LcsMatch {
    /// Its first and last place in the first value.
    pub first: (u64, u64),
    /// Its first and last place in the second value.
    pub second: (u64, u64),
    /// Its length, if that was asked for.
    pub len: Option<u64>,
}

impl FromValue for LcsMatches {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut facts = Facts::of(value)?;
        Ok(Self { matches: facts.take("matches")?, len: facts.take("len")? })
    }
}

impl FromValue for LcsMatch {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut parts = Vec::<Value>::from_value(value)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        Ok(Self {
            first: FromValue::from_value(next())?,
            second: FromValue::from_value(next())?,
            len: FromValue::from_value(next())?,
        })
    }
}
