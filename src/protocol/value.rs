//! [`Value`]: one reply, of either RESP version.

use std::fmt;

use bytes::Bytes;

use crate::protocol::server_error::ServerError;

/// A reply as the server sent it.
///
/// RESP2 has no maps, sets, doubles and booleans; there the same facts come as arrays, texts and integers.
/// [`FromValue`](crate::FromValue) hides the difference.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Command, FromValue, Value};
///
/// let value: Value = client.execute(Command::new("STRLEN").key("nobody")).await?;
/// assert_eq!(value, Value::Int(0));
///
/// let list = Value::Array(vec![Value::Int(1), Value::Bulk("2".into())]);
/// assert_eq!(Vec::<i64>::from_value(list)?, [1, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Value {
    /// No such key, field or element.
    Nil,
    /// An integer.
    Int(i64),
    /// A floating point number (RESP3).
    Double(f64),
    /// A truth value (RESP3).
    Bool(bool),
    /// A status line such as `OK`.
    Simple(Bytes),
    /// A string of bytes.
    Bulk(Bytes),
    /// An integer that does not fit into 64 bits, in decimal (RESP3).
    BigNumber(Bytes),
    /// A text for humans with its format, `txt` or `mkd` (RESP3).
    Verbatim {
        /// Three letters.
        format: [u8; 3],
        /// The text itself.
        text: Bytes,
    },
    /// A list.
    Array(Vec<Value>),
    /// Pairs in the order of the server (RESP3).
    Map(Vec<(Value, Value)>),
    /// Elements without an order (RESP3).
    Set(Vec<Value>),
    /// Out-of-band data (RESP3); never the reply to a command.
    Push(Vec<Value>),
    /// An error, inside of an array (as `EXEC` sends it) or in a pipeline.
    Error(ServerError),
}

impl Value {
    /// `+OK`, without an allocation.
    pub(crate) const OK: Self = Self::Simple(Bytes::from_static(b"OK"));

    /// Itself if it is a list or an error; what is no list of elements becomes one without any, which nobody takes for
    /// elements.
    pub(crate) fn or_no_elements(self) -> Self {
        match self {
            list_or_error @ (Self::Array(_) | Self::Push(_) | Self::Error(_)) => list_or_error,
            Self::Nil
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bool(_)
            | Self::Simple(_)
            | Self::Bulk(_)
            | Self::BigNumber(_)
            | Self::Verbatim { .. }
            | Self::Map(_)
            | Self::Set(_) => Self::Array(Vec::new()),
        }
    }

    /// Whether a key, field or element that does not exist can be answered so.
    pub(crate) fn says_missing(&self) -> bool {
        match self {
            Self::Nil | Self::Int(-2..=0) => true,
            Self::Simple(text) => text == "none",
            // A range of a string, or what two have in common.
            Self::Bulk(text) => text.is_empty(),
            Self::Array(list) | Self::Set(list) => list.is_empty() || list.iter().any(Self::says_missing),
            Self::Map(pairs) => pairs.is_empty(),
            Self::Int(_)
            | Self::Double(_)
            | Self::Bool(_)
            | Self::BigNumber(_)
            | Self::Verbatim { .. }
            | Self::Push(_) => false,
            Self::Error(error) => error.says_missing(),
        }
    }

    /// What this value is, for people.
    pub(crate) fn kind(&self) -> ValueKind {
        match self {
            Self::Nil => ValueKind("nil"),
            Self::Int(_) => ValueKind("an integer"),
            Self::Double(_) => ValueKind("a double"),
            Self::Bool(_) => ValueKind("a boolean"),
            Self::Simple(_) => ValueKind("a status"),
            Self::Bulk(_) => ValueKind("a string"),
            Self::BigNumber(_) => ValueKind("a big number"),
            Self::Verbatim { .. } => ValueKind("a verbatim text"),
            Self::Array(_) => ValueKind("an array"),
            Self::Map(_) => ValueKind("a map"),
            Self::Set(_) => ValueKind("a set"),
            Self::Push(_) => ValueKind("a push message"),
            Self::Error(_) => ValueKind("an error"),
        }
    }

    /// The bytes of a status, string, verbatim text or big number.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::BigNumber(bytes) => Some(bytes),
            Self::Verbatim { text, .. } => Some(text),
            Self::Nil
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bool(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Set(_)
            | Self::Push(_)
            | Self::Error(_) => None,
        }
    }

    /// The same as text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }
}

/// The name of a value's type, with its article.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ValueKind(pub(crate) &'static str);

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
