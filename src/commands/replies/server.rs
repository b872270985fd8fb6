//! Replies about servers.

use bytes::Bytes;
use litemap::LiteMap;

use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::info_text;
use crate::protocol::value::Value;

/// The lines of `INFO` or `CLUSTER INFO`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    lines: LiteMap<String, String>,
}

impl Info {
    /// The value of a line: `info.get("redis_version")`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines.get(name).map(String::as_str)
    }

    /// The value of a line that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromValue for Info {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let text = String::from_value(value)?;
        let lines = info_text::fields(&text);
        Ok(Self { lines: lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() })
    }
}

/// A command that a server's slow log or command log tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Of this entry on its node.
    pub id: u64,
    /// When it ran, as a Unix time in seconds.
    pub timestamp: u64,
    /// Microseconds that it took, or bytes, by the log that was asked.
    pub amount: u64,
    /// The command, perhaps cut.
    pub command: Vec<Bytes>,
    /// The address of who sent it.
    pub client: String,
    /// What the connection is called, empty without a name.
    pub client_name: String,
}

impl FromValue for LogEntry {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let (id, timestamp, amount, command, client, client_name) = FromValue::from_value(value)?;
        Ok(Self { id, timestamp, amount, command, client, client_name })
    }
}
