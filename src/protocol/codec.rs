//! [`Decoder`]: bytes of a connection to [`Value`]s, resumable at every byte.
//!
//! A reply is built while it arrives: each complete scalar leaves the buffer at once and waits in the aggregate that
//! it belongs to. So no byte is looked at twice (an array of a million elements is linear), nesting costs no stack,
//! and a hostile length costs no memory before its bytes are there. The common scalars are read here; the rarer ones
//! of RESP3 are left to `redis-protocol`, which is also the oracle of this file's property tests.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use redis_protocol::resp3::decode::complete as library;
use redis_protocol::resp3::types::OwnedFrame;
use thiserror::Error;

use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;

/// Real servers nest less than ten deep; a deeper reply is an attack or a fault.
const MAX_DEPTH: usize = 128;

/// A status or error line longer than this is not one.
const MAX_LINE: usize = 64 << 10;

/// Elements that are reserved on the word of a header alone.
const TRUSTED_CAPACITY: usize = 1024;

/// Why bytes are no RESP. The connection cannot be used any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum DecodeError {
    #[error("a reply starts with byte 0x{0:02x}, which is no RESP type")]
    UnknownType(u8),
    #[error("a reply has the malformed {what} {text:?}")]
    Malformed { what: &'static str, text: String },
    #[error("a line of a reply is longer than {MAX_LINE} bytes")]
    LongLine,
    #[error("a reply is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("a reply is larger than the limit of {0} bytes")]
    TooLarge(usize),
    #[error("a string in a reply does not end where its length says")]
    BadStringEnd,
}

/// The state between two calls: aggregates whose elements have not all arrived.
#[derive(Debug)]
pub(crate) struct Decoder {
    open: Vec<Aggregate>,
    /// A string whose header is read and whose bytes have not all arrived.
    string: Option<(StringKind, usize)>,
    /// Bytes of the buffer that are known to hold no line end.
    scanned: usize,
    /// Memory of the reply so far, against `max_reply`.
    spent: usize,
    max_reply: usize,
}

#[derive(Debug)]
struct Aggregate {
    kind: AggregateKind,
    missing: usize,
    items: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AggregateKind {
    Array,
    Set,
    Map,
    Push,
    /// Facts about the value that follows; no client asks for any.
    Attribute,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StringKind {
    Bulk,
    Error,
    Verbatim,
}

/// What one step took from the buffer.
enum Token {
    Value(Value),
    Open(AggregateKind, usize),
}

impl Decoder {
    /// A decoder that refuses replies of more than `max_reply` bytes of memory.
    pub(crate) fn new(max_reply: usize) -> Self {
        Self { open: Vec::new(), string: None, scanned: 0, spent: 0, max_reply }
    }

    /// Takes the next whole reply from the front of `buffer`, or `None` until more bytes are there.
    ///
    /// After an error the decoder must not be used again: the place of the next reply is unknown.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, DecodeError> {
        while let Some(token) = self.token(buffer)? {
            let mut value = match token {
                Token::Value(value) => value,
                Token::Open(kind, 0) => match kind.close(Vec::new()) {
                    Some(value) => value,
                    None => continue,
                },
                Token::Open(kind, missing) => {
                    if self.open.len() == MAX_DEPTH {
                        return Err(DecodeError::TooDeep);
                    }
                    self.open.push(Aggregate {
                        kind,
                        missing,
                        items: Vec::with_capacity(missing.min(TRUSTED_CAPACITY)),
                    });
                    continue;
                }
            };
            loop {
                let Some(aggregate) = self.open.last_mut() else {
                    self.spent = 0;
                    return Ok(Some(value));
                };
                aggregate.items.push(value);
                aggregate.missing -= 1;
                if aggregate.missing > 0 {
                    break;
                }
                let Some(closed) = self.open.pop().and_then(|full| full.kind.close(full.items)) else {
                    break;
                };
                value = closed;
            }
        }
        Ok(None)
    }

    /// How many bytes are certainly still to come of a string that has begun; for sizing the read buffer.
    pub(crate) fn missing_bytes(&self, buffered: usize) -> usize {
        self.string.map_or(0, |(_, length)| length.saturating_add(2).saturating_sub(buffered))
    }

    fn token(&mut self, buffer: &mut BytesMut) -> Result<Option<Token>, DecodeError> {
        if let Some((kind, length)) = self.string {
            return Ok(self.string_body(buffer, kind, length)?.map(Token::Value));
        }
        let Some(line_length) = self.find_line(buffer)? else { return Ok(None) };
        self.spend(size_of::<Value>())?;
        let (Some(&kind), Some(line)) = (buffer.first(), buffer.get(1..line_length)) else {
            return Err(DecodeError::Malformed { what: "empty line", text: String::new() });
        };
        let token = match kind {
            b'+' => Token::Value(if line == b"OK" { Value::OK } else { Value::Simple(self.copy(line)?) }),
            b'-' => Token::Value(Value::Error(ServerError::new(String::from_utf8_lossy(line)))),
            b':' => Token::Value(Value::Int(integer(line)?)),
            b'_' => Token::Value(Value::Nil),
            b'$' => return self.string_header(buffer, line_length, StringKind::Bulk),
            b'!' => return self.string_header(buffer, line_length, StringKind::Error),
            b'=' => return self.string_header(buffer, line_length, StringKind::Verbatim),
            b'*' => aggregate(AggregateKind::Array, line)?,
            b'~' => aggregate(AggregateKind::Set, line)?,
            b'%' => aggregate(AggregateKind::Map, line)?,
            b'>' => aggregate(AggregateKind::Push, line)?,
            b'|' => aggregate(AggregateKind::Attribute, line)?,
            b',' | b'#' | b'(' => {
                let frame = buffer.get(..line_length + 2).unwrap_or_default();
                Token::Value(by_library(frame)?)
            }
            other => return Err(DecodeError::UnknownType(other)),
        };
        buffer.advance(line_length + 2);
        Ok(Some(token))
    }

    /// The length of the first line without its CR LF, once that is there.
    fn find_line(&mut self, buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
        let mut from = self.scanned;
        while let Some(found) = buffer.get(from..).and_then(|rest| memchr(b'\r', rest)) {
            let end = from + found;
            match buffer.get(end + 1) {
                Some(b'\n') => {
                    self.scanned = 0;
                    return Ok(Some(end));
                }
                Some(_) => from = end + 1,
                None => {
                    self.scanned = end;
                    return Ok(None);
                }
            }
        }
        if buffer.len() > MAX_LINE {
            return Err(DecodeError::LongLine);
        }
        self.scanned = buffer.len();
        Ok(None)
    }

    fn string_header(
        &mut self,
        buffer: &mut BytesMut,
        line_length: usize,
        kind: StringKind,
    ) -> Result<Option<Token>, DecodeError> {
        let line = buffer.get(1..line_length).unwrap_or_default();
        let length = integer(line)?;
        let bad_length = || malformed("string length", line);
        let length = match (usize::try_from(length), kind) {
            (Ok(length), _) => length,
            (Err(_), StringKind::Bulk) if length == -1 => {
                buffer.advance(line_length + 2);
                return Ok(Some(Token::Value(Value::Nil)));
            }
            (Err(_), StringKind::Bulk | StringKind::Error | StringKind::Verbatim) => return Err(bad_length()),
        };
        self.spend(length)?;
        buffer.advance(line_length + 2);
        self.string = Some((kind, length));
        Ok(self.string_body(buffer, kind, length)?.map(Token::Value))
    }

    fn string_body(
        &mut self,
        buffer: &mut BytesMut,
        kind: StringKind,
        length: usize,
    ) -> Result<Option<Value>, DecodeError> {
        let Some(end) = buffer.get(length..length.saturating_add(2)) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(DecodeError::BadStringEnd);
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        let value = match kind {
            // A copy of its own: a small reply that is kept must not hold the whole read buffer.
            StringKind::Bulk => Value::Bulk(Bytes::copy_from_slice(bytes)),
            StringKind::Error => Value::Error(ServerError::new(String::from_utf8_lossy(bytes))),
            StringKind::Verbatim => match (bytes.first_chunk::<3>(), bytes.get(3), bytes.get(4..)) {
                (Some(format), Some(b':'), Some(text)) => {
                    Value::Verbatim { format: *format, text: Bytes::copy_from_slice(text) }
                }
                _other_shape => return Err(malformed("verbatim text", bytes)),
            },
        };
        buffer.advance(length + 2);
        self.string = None;
        Ok(Some(value))
    }

    fn copy(&mut self, line: &[u8]) -> Result<Bytes, DecodeError> {
        self.spend(line.len())?;
        Ok(Bytes::copy_from_slice(line))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.max_reply { Err(DecodeError::TooLarge(self.max_reply)) } else { Ok(()) }
    }
}

impl AggregateKind {
    /// The value of all its elements; `None` for an attribute, which is dropped.
    fn close(self, items: Vec<Value>) -> Option<Value> {
        match self {
            Self::Array => Some(Value::Array(items)),
            Self::Set => Some(Value::Set(items)),
            Self::Push => Some(Value::Push(items)),
            Self::Attribute => None,
            Self::Map => {
                let mut pairs = Vec::with_capacity(items.len() / 2);
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Some(Value::Map(pairs))
            }
        }
    }
}

fn aggregate(kind: AggregateKind, line: &[u8]) -> Result<Token, DecodeError> {
    let declared = integer(line)?;
    let bad_count = || malformed("element count", line);
    match (usize::try_from(declared), kind) {
        (Ok(count), AggregateKind::Map | AggregateKind::Attribute) => {
            Ok(Token::Open(kind, count.checked_mul(2).ok_or_else(bad_count)?))
        }
        (Ok(count), AggregateKind::Array | AggregateKind::Set | AggregateKind::Push) => {
            Ok(Token::Open(kind, count))
        }
        (Err(_), AggregateKind::Array) if declared == -1 => Ok(Token::Value(Value::Nil)),
        (
            Err(_),
            AggregateKind::Array
            | AggregateKind::Set
            | AggregateKind::Map
            | AggregateKind::Push
            | AggregateKind::Attribute,
        ) => Err(bad_count()),
    }
}

/// Decimal with an optional sign, as in headers and integers.
fn integer(line: &[u8]) -> Result<i64, DecodeError> {
    // Most numbers are short: no overflow is possible in this loop, so none is checked.
    if let 1..=18 = line.len() {
        let (negative, digits) = match line.split_first() {
            Some((b'-', digits)) => (true, digits),
            Some((b'+', digits)) => (false, digits),
            Some(_) | None => (false, line),
        };
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            let magnitude = digits.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
            return Ok(if negative { -magnitude } else { magnitude });
        }
    }
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| malformed("integer", line))
}

/// A whole double, boolean or big number.
fn by_library(frame: &[u8]) -> Result<Value, DecodeError> {
    match library::decode(frame) {
        Ok(Some((OwnedFrame::Double { data, .. }, _))) => Ok(Value::Double(data)),
        Ok(Some((OwnedFrame::Boolean { data, .. }, _))) => Ok(Value::Bool(data)),
        Ok(Some((OwnedFrame::BigNumber { data, .. }, _))) => Ok(Value::BigNumber(data.into())),
        Ok(Some(_)) | Ok(None) | Err(_) => Err(malformed("scalar", frame)),
    }
}

fn malformed(what: &'static str, text: &[u8]) -> DecodeError {
    let shown = text.get(..text.len().min(64)).unwrap_or_default();
    DecodeError::Malformed { what, text: String::from_utf8_lossy(shown).into_owned() }
}
