//! [`Facts`]: a reply of names and values, of which newer servers send more.

use std::collections::HashMap;

use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

pub(super) struct Facts(HashMap<String, Value>);

impl Facts {
    pub(super) fn of(value: Value) -> Result<Self, ConversionError> {
        FromValue::from_value(value).map(Self)
    }

    /// What every server says.
    pub(super) fn take<T: FromValue>(&mut self, name: &'static str) -> Result<T, ConversionError> {
        T::from_value(self.0.remove(name).ok_or(ConversionError::Missing { name })?)
    }

    /// What newer servers say, or what may be nil.
    pub(super) fn perhaps<T: FromValue>(&mut self, name: &str) -> Result<Option<T>, ConversionError> {
        self.0.remove(name).map_or(Ok(None), FromValue::from_value)
    }
}
