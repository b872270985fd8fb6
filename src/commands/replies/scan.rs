//! [`ScanPage`]: what one call of `HSCAN`, `SSCAN` or `ZSCAN` brings.

use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

/// Some of the elements of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage<T> {
    /// Where the next call goes on; 0 after the last one.
    pub cursor: u64,
    /// The elements of this call; none is no sign of the end.
    pub items: T,
}

impl<T: FromValue> FromValue for ScanPage<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let (cursor, items) = FromValue::from_value(value)?;
        Ok(Self { cursor, items })
    }
}
