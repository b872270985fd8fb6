//! [`Decoder`]: bytes of a connection to [`Value`]s, resumable at every byte.
//!
//! A reply is built while it arrives: each complete scalar leaves the buffer at once and waits in the aggregate that
//! it belongs to. So no byte is looked at twice (an array of a million elements is linear), nesting costs no stack,
//! and a hostile length costs no memory before its bytes are there. A common scalar that is wholly there is read in one
//! pass without touching any of this state; what is incomplete, rare or wrong goes the thorough way, token by token.
//! `redis-protocol` reads the rarer scalars of RESP3 and is the oracle of this file's property tests.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memchr;

use crate::protocol::decode_error::{DecodeError, MAX_DEPTH, MAX_LINE};
use crate::protocol::long_string::{LONG, LongString, Room};
use crate::protocol::scalar::{array_header, by_library, common, element_of_one, integer};
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;

/// Elements that are reserved on the word of a header alone.
const TRUSTED_CAPACITY: usize = 1024;

/// The state between two calls: aggregates whose elements have not all arrived.
#[derive(Debug)]
pub(crate) struct Decoder {
    open: Vec<Aggregate>,
    /// A string whose header is read and whose bytes have not all arrived.
    string: Option<Begun>,
    /// Bytes of the buffer that are known to hold no line end.
    scanned: usize,
    /// Memory of the reply so far, against `max_reply`; 0 between two replies, and only there.
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

#[derive(Debug)]
struct Begun {
    kind: StringKind,
    length: usize,
    /// Where its bytes are collected if they are many; those of others wait in the buffer.
    long: Option<LongString>,
}

/// What one step took from the bytes.
#[derive(Debug, PartialEq)]
enum Token {
    Value(Value),
    Open(AggregateKind, usize),
}

impl Decoder {
    /// A decoder that refuses replies of more than `max_reply` bytes of memory.
    pub(crate) fn new(max_reply: usize) -> Self {
        Self { open: Vec::new(), string: None, scanned: 0, spent: 0, max_reply }
    }

    /// The same with another limit from the next reply on.
    pub(crate) fn with_limit(self, max_reply: usize) -> Self {
        Self { max_reply, ..self }
    }

    /// Takes the next whole reply from the front of `buffer`, or `None` until more bytes are there.
    ///
    /// After an error the decoder must not be used again: the place of the next reply is unknown.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, DecodeError> {
        let mut at = 0;
        let reply = self.next(buffer, &mut at);
        buffer.advance(at);
        reply
    }

    /// The same with a place in the bytes that have arrived, which it moves behind what it has read. For many replies
    /// at once: the buffer is then moved once for all of them.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Value>, DecodeError> {
        if self.spent == 0
            && let Some(value) = common(bytes, at, &mut { self.max_reply })
        {
            self.scanned = 0;
            return Ok(Some(value));
        }
        self.next_thoroughly(bytes, at)
    }

    /// [`next`](Self::next) for a reply that is to be a list of one element: gives a scalar element without its list, which
    /// spares an allocation. A list that is longer, rare or not wholly there yet is given as it is, as are errors and pushes;
    /// a scalar that is no element by [`Value::or_no_elements`].
    #[inline]
    pub(crate) fn next_of_one(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Value>, DecodeError> {
        if self.spent == 0
            && let Some(element) = element_of_one(bytes, at, &mut { self.max_reply })
        {
            self.scanned = 0;
            return Ok(Some(element));
        }
        Ok(self.next(bytes, at)?.map(Value::or_no_elements))
    }

    fn next_thoroughly(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Value>, DecodeError> {
        loop {
            let mut value = match self.step(bytes, at)? {
                None => return Ok(None),
                Some(Token::Value(value)) => value,
                Some(Token::Open(kind, 0)) => match kind.close(Vec::new()) {
                    Some(value) => value,
                    None => continue,
                },
                Some(Token::Open(kind, missing)) => {
                    self.open(kind, missing)?;
                    continue;
                }
            };
            loop {
                let Some(aggregate) = self.open.last_mut() else {
                    self.spent = 0;
                    return Ok(Some(value));
                };
                aggregate.push(value);
                if aggregate.missing > 0 {
                    break;
                }
                let Some(closed) = self.open.pop().and_then(|full| full.kind.close(full.items)) else {
                    break;
                };
                value = closed;
            }
        }
    }

    /// The next token, after those common scalars that only fill an open aggregate.
    fn step(&mut self, bytes: &[u8], at: &mut usize) -> Result<Option<Token>, DecodeError> {
        if self.string.is_none() {
            let mut room = self.max_reply.saturating_sub(self.spent);
            let closing = match self.open.last_mut() {
                Some(aggregate) => loop {
                    let Some(value) = common(bytes, at, &mut room) else { break None };
                    self.scanned = 0;
                    if aggregate.missing == 1 {
                        break Some(value);
                    }
                    aggregate.push(value);
                },
                // Tried before it came here.
                None => None,
            };
            self.spent = self.max_reply.saturating_sub(room);
            if let Some(value) = closing {
                return Ok(Some(Token::Value(value)));
            }
        }
        if self.string.is_none()
            && let Some(count) = array_header(bytes, at)
        {
            self.scanned = 0;
            self.spend(size_of::<Value>())?;
            return Ok(Some(Token::Open(AggregateKind::Array, count)));
        }
        let rest = bytes.get(*at..).unwrap_or_default();
        self.token(rest, at)
    }

    fn open(&mut self, kind: AggregateKind, missing: usize) -> Result<(), DecodeError> {
        if self.open.len() == MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        // As with a string: what cannot end within the limit need not be waited for.
        let least = missing.saturating_mul(size_of::<Value>());
        if self.spent.saturating_add(least) > self.max_reply {
            return Err(DecodeError::TooLarge(self.max_reply));
        }
        let items = Vec::with_capacity(missing.min(TRUSTED_CAPACITY));
        self.open.push(Aggregate { kind, missing, items });
        Ok(())
    }

    /// Where the bytes that come next go: into a large string that is incomplete, else behind `buffer`, which has room for
    /// `at_least` so many then.
    ///
    /// To be asked for after [`decode`](Self::decode) has found no whole reply in `buffer`.
    pub(crate) fn room<'a>(&'a mut self, buffer: &'a mut BytesMut, at_least: usize) -> Room<'a> {
        match &mut self.string {
            // Bytes that are still in the buffer come first.
            Some(Begun { long: Some(long), .. }) if buffer.is_empty() && long.missing() > 0 => long.room(),
            Some(_) | None => {
                buffer.reserve(at_least);
                (buffer as &mut (dyn BufMut + Send)).limit(usize::MAX)
            }
        }
    }

    /// The token at the front of `rest`; moves `at` by its length.
    fn token(&mut self, rest: &[u8], at: &mut usize) -> Result<Option<Token>, DecodeError> {
        if let Some(begun) = self.string.take() {
            return Ok(self.string_body(rest, at, begun)?.map(Token::Value));
        }
        let Some(line_length) = self.find_line(rest)? else { return Ok(None) };
        self.spend(size_of::<Value>())?;
        let (Some(&kind), Some(line)) = (rest.first(), rest.get(1..line_length)) else {
            return Err(DecodeError::Malformed { what: "empty line", text: String::new() });
        };
        let token = match kind {
            b'+' => Token::Value(if line == b"OK" { Value::OK } else { Value::Simple(self.copy(line)?) }),
            b'-' => {
                self.spend(line.len())?;
                Token::Value(Value::Error(self.error(line)?))
            }
            b':' => Token::Value(Value::Int(integer(line)?)),
            b'_' => Token::Value(Value::Nil),
            b'$' => return self.string_header(rest, at, line_length, StringKind::Bulk),
            b'!' => return self.string_header(rest, at, line_length, StringKind::Error),
            b'=' => return self.string_header(rest, at, line_length, StringKind::Verbatim),
            b'*' => aggregate(AggregateKind::Array, line)?,
            b'~' => aggregate(AggregateKind::Set, line)?,
            b'%' => aggregate(AggregateKind::Map, line)?,
            b'>' => aggregate(AggregateKind::Push, line)?,
            b'|' => aggregate(AggregateKind::Attribute, line)?,
            b',' | b'#' | b'(' => {
                self.spend(line_length)?;
                let frame = rest.get(..line_length + 2).unwrap_or_default();
                Token::Value(by_library(frame)?)
            }
            other => return Err(DecodeError::UnknownType(other)),
        };
        *at += line_length + 2;
        Ok(Some(token))
    }

    /// The length of the first line without its CR LF, once that is there.
    fn find_line(&mut self, rest: &[u8]) -> Result<Option<usize>, DecodeError> {
        let mut from = self.scanned;
        let end = loop {
            let Some(found) = rest.get(from..).and_then(|unseen| memchr(b'\r', unseen)) else {
                self.scanned = rest.len();
                break None;
            };
            let end = from + found;
            match rest.get(end + 1) {
                Some(b'\n') => {
                    self.scanned = 0;
                    break Some(end);
                }
                Some(_) => from = end + 1,
                None => {
                    self.scanned = end;
                    break None;
                }
            }
        };
        // A CR at the end of the buffer may be of the line's end.
        if end.unwrap_or(self.scanned) > MAX_LINE { Err(DecodeError::LongLine) } else { Ok(end) }
    }

    fn string_header(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        line_length: usize,
        kind: StringKind,
    ) -> Result<Option<Token>, DecodeError> {
        let line = rest.get(1..line_length).unwrap_or_default();
        let length = integer(line)?;
        let header = line_length + 2;
        let length = match (usize::try_from(length), kind) {
            (Ok(length), _) => length,
            (Err(_), StringKind::Bulk) if length == -1 => {
                *at += header;
                return Ok(Some(Token::Value(Value::Nil)));
            }
            (Err(_), StringKind::Bulk | StringKind::Error | StringKind::Verbatim) => {
                return Err(DecodeError::malformed("string length", line));
            }
        };
        self.spend(length)?;
        *at += header;
        let body = rest.get(header..).unwrap_or_default();
        let long = (length >= LONG && body.len() < length).then(|| LongString::new(length));
        Ok(self.string_body(body, at, Begun { kind, length, long })?.map(Token::Value))
    }

    fn string_body(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        mut begun: Begun,
    ) -> Result<Option<Value>, DecodeError> {
        let (short, end) = match &mut begun.long {
            Some(long) => {
                let taken = long.take_from(rest);
                *at += taken;
                (None, rest.get(taken..).filter(|_| long.missing() == 0))
            }
            None => (rest.get(..begun.length), rest.get(begun.length..)),
        };
        let Some(end) = end.and_then(<[u8]>::first_chunk::<2>) else {
            self.string = Some(begun);
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(DecodeError::BadStringEnd);
        }
        let short = short.unwrap_or_default();
        *at += short.len() + 2;
        let long = begun.long.map(LongString::into_bytes);
        let bytes = long.as_deref().unwrap_or(short);
        Ok(Some(match begun.kind {
            StringKind::Bulk => Value::Bulk(own(long, short, 0)),
            StringKind::Error => Value::Error(self.error(bytes)?),
            StringKind::Verbatim => match (bytes.first_chunk::<3>().copied(), bytes.get(3)) {
                (Some(format), Some(b':')) => Value::Verbatim { format, text: own(long, short, 4) },
                _other_shape => return Err(DecodeError::malformed("verbatim text", bytes)),
            },
        }))
    }

    /// Its bytes are counted already; each that is not UTF-8 becomes three.
    fn error(&mut self, bytes: &[u8]) -> Result<ServerError, DecodeError> {
        let text = String::from_utf8_lossy(bytes);
        self.spend(text.len().saturating_sub(bytes.len()))?;
        Ok(ServerError::new(text))
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

impl Aggregate {
    #[inline]
    fn push(&mut self, value: Value) {
        if self.items.len() == self.items.capacity() {
            self.grow();
        }
        self.items.push(value);
        self.missing -= 1;
    }

    /// Doubles the list as it arrives, but never beyond what it will be: a large array that is kept pins no more.
    #[cold]
    fn grow(&mut self) {
        self.items.reserve_exact(self.missing.min(self.items.len()));
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

/// What stands in a string behind its first `from` bytes. A short one is copied, as it must not hold the whole read
/// buffer when it is kept.
fn own(long: Option<Bytes>, short: &[u8], from: usize) -> Bytes {
    match long {
        Some(mut long) => {
            long.advance(from);
            long
        }
        None => Bytes::copy_from_slice(short.get(from..).unwrap_or_default()),
    }
}

fn aggregate(kind: AggregateKind, line: &[u8]) -> Result<Token, DecodeError> {
    let declared = integer(line)?;
    let bad_count = || DecodeError::malformed("element count", line);
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

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use redis_protocol::resp2::encode as resp2;
    use redis_protocol::resp2::types::OwnedFrame as Frame2;
    use redis_protocol::resp3::encode::complete as resp3;
    use redis_protocol::resp3::types::{FrameMap, FrameSet, OwnedFrame as Frame3, VerbatimStringFormat};

    use super::{AggregateKind, Decoder, TRUSTED_CAPACITY, Token};
    use crate::protocol::decode_error::{DecodeError, MAX_DEPTH, MAX_LINE};
    use crate::protocol::long_string::{LONG, TRUSTED};
    use crate::protocol::scalar::{array_header, common};
    use crate::protocol::server_error::ServerError;
    use crate::protocol::value::Value;

    /// All replies of `bytes`, which arrive in pieces of these sizes, over and over, where the decoder wants them.
    fn decode_in(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Value>, DecodeError> {
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::new();
        let mut values = Vec::new();
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let mut room = decoder.room(&mut buffer, (*size).min(rest.len()));
            let (piece, later) = rest.split_at((*size).min(rest.len()).min(room.remaining_mut()));
            room.put_slice(piece);
            rest = later;
            while let Some(value) = decoder.decode(&mut buffer)? {
                values.push(value);
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(values)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
        decode_in(bytes, &[usize::MAX])
    }

    #[track_caller]
    fn one_in(bytes: &[u8], sizes: &[usize]) -> Value {
        let mut values = decode_in(bytes, sizes).unwrap();
        assert_eq!(values.len(), 1, "{values:?}");
        values.pop().unwrap()
    }

    #[track_caller]
    fn one(bytes: &[u8]) -> Value {
        let mut whole = decode(bytes).unwrap();
        assert_eq!(decode_in(bytes, &[1]).unwrap(), whole);
        assert_eq!(whole.len(), 1, "{whole:?}");
        whole.pop().unwrap()
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn simple(text: &str) -> Value {
        Value::Simple(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn error(text: &str) -> Value {
        Value::Error(ServerError::new(text))
    }

    /// What was sent and what must come of it.
    type Sent<F> = (F, Value);

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![Just("OK".to_owned()), "[ -~äß€\t\u{0}]{0,40}"]
    }

    fn blob() -> impl Strategy<Value = Vec<u8>> {
        let short = prop::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            16 => short,
            4 => Just(b"\r\n".to_vec()),
            4 => Just(b"$3\r\nfoo\r\n".to_vec()),
            4 => Just(vec![b'\r'; 300]),
            1 => (LONG - 2..LONG + 6).prop_map(|length| vec![b'\n'; length]),
        ]
    }

    fn scalar2() -> impl Strategy<Value = Sent<Frame2>> {
        prop_oneof![
            line().prop_map(|text| (Frame2::SimpleString(text.clone().into_bytes()), simple(&text))),
            line().prop_map(|text| (Frame2::Error(text.clone()), error(&text))),
            any::<i64>().prop_map(|number| (Frame2::Integer(number), Value::Int(number))),
            blob().prop_map(|bytes| (Frame2::BulkString(bytes.clone()), Value::Bulk(bytes.into()))),
            Just((Frame2::Null, Value::Nil)),
        ]
    }

    fn reply2() -> impl Strategy<Value = Sent<Frame2>> {
        scalar2().prop_recursive(4, 40, 8, |inner| {
            prop::collection::vec(inner, 0..8).prop_map(|items| {
                let (frames, values) = items.into_iter().unzip();
                (Frame2::Array(frames), Value::Array(values))
            })
        })
    }

    /// What the library can put into a set or make the key of a map.
    fn key3() -> impl Strategy<Value = Sent<Frame3>> {
        prop_oneof![
            line().prop_map(|text| {
                (Frame3::SimpleString { data: text.clone().into_bytes(), attributes: None }, simple(&text))
            }),
            any::<i64>()
                .prop_map(|number| (Frame3::Number { data: number, attributes: None }, Value::Int(number))),
            blob().prop_map(|bytes| {
                (Frame3::BlobString { data: bytes.clone(), attributes: None }, Value::Bulk(bytes.into()))
            }),
        ]
    }

    fn scalar3() -> impl Strategy<Value = Sent<Frame3>> {
        let double = prop_oneof![
            proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL,
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(1.5),
        ];
        prop_oneof![
            key3(),
            line().prop_map(|text| {
                (Frame3::SimpleError { data: text.clone(), attributes: None }, error(&text))
            }),
            "[ -~\r\n]{0,60}".prop_map(|text| {
                let frame = Frame3::BlobError { data: text.clone().into_bytes(), attributes: None };
                (frame, error(&text))
            }),
            any::<bool>().prop_map(|data| (Frame3::Boolean { data, attributes: None }, Value::Bool(data))),
            Just((Frame3::Null, Value::Nil)),
            double.prop_map(|data| (Frame3::Double { data, attributes: None }, Value::Double(data))),
            "-?[1-9][0-9]{0,60}".prop_map(|digits| {
                let frame = Frame3::BigNumber { data: digits.clone().into_bytes(), attributes: None };
                (frame, Value::BigNumber(digits.into()))
            }),
            (blob(), any::<bool>()).prop_map(|(data, is_text)| {
                let format =
                    if is_text { VerbatimStringFormat::Text } else { VerbatimStringFormat::Markdown };
                let value = Value::Verbatim {
                    format: *if is_text { b"txt" } else { b"mkd" },
                    text: data.clone().into(),
                };
                (Frame3::VerbatimString { data, format, attributes: None }, value)
            }),
        ]
    }

    fn reply3() -> impl Strategy<Value = Sent<Frame3>> {
        scalar3().prop_recursive(4, 40, 8, |inner| {
            let list =
                || prop::collection::vec(inner.clone(), 0..8).prop_map(|items| items.into_iter().unzip());
            prop_oneof![
                list().prop_map(|(data, values): (Vec<_>, _)| {
                    (Frame3::Array { data, attributes: None }, Value::Array(values))
                }),
                list().prop_map(|(data, values): (Vec<_>, _)| {
                    (Frame3::Push { data, attributes: None }, Value::Push(values))
                }),
                prop::collection::vec(key3(), 0..8).prop_map(|items| {
                    let mut data = FrameSet::default();
                    let mut values = Vec::new();
                    for (frame, value) in items {
                        if data.insert(frame) {
                            values.push(value);
                        }
                    }
                    (Frame3::Set { data, attributes: None }, Value::Set(values))
                }),
                prop::collection::vec((key3(), inner.clone()), 0..8).prop_map(|pairs| {
                    let (data, values) = map_of(pairs);
                    (Frame3::Map { data, attributes: None }, Value::Map(values))
                }),
                // Facts about the value, which is what arrives.
                (prop::collection::vec((key3(), inner.clone()), 0..3), key3(), inner.clone()).prop_map(
                    |(pairs, (key, told), (item, value))| {
                        let facts = Some(map_of(pairs).0);
                        let item = match item {
                            Frame3::BlobString { data, .. } => Frame3::BlobString { data, attributes: facts },
                            Frame3::Array { data, .. } => Frame3::Array { data, attributes: facts },
                            Frame3::Map { data, .. } => Frame3::Map { data, attributes: facts },
                            Frame3::Number { data, .. } => Frame3::Number { data, attributes: facts },
                            other => other,
                        };
                        let array = Frame3::Array { data: vec![key, item], attributes: None };
                        (array, Value::Array(vec![told, value]))
                    }
                ),
            ]
        })
    }

    type Pairs = (FrameMap<Frame3, Frame3>, Vec<(Value, Value)>);

    fn map_of(pairs: Vec<(Sent<Frame3>, Sent<Frame3>)>) -> Pairs {
        let mut data = FrameMap::default();
        let mut values: Vec<(Value, Value)> = Vec::new();
        for ((key, key_value), (frame, value)) in pairs {
            if !data.contains_key(&key) {
                data.insert(key, frame);
                values.push((key_value, value));
            }
        }
        (data, values)
    }

    proptest! {
        #[test]
        fn what_the_library_encodes_in_resp2_is_decoded_alike_at_every_split(
            sent in prop::collection::vec(reply2(), 1..5),
            sizes in prop::collection::vec(1_usize..60, 1..20),
        ) {
            let mut bytes = BytesMut::new();
            for (frame, _) in &sent {
                resp2::extend_encode(&mut bytes, &frame.clone().into_bytes_frame(), false).unwrap();
            }
            let values: Vec<Value> = sent.into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(&decode(&bytes).unwrap(), &values);
            prop_assert_eq!(&decode_in(&bytes, &[1]).unwrap(), &values);
            prop_assert_eq!(&decode_in(&bytes, &sizes).unwrap(), &values);
        }

        #[test]
        fn what_the_library_encodes_in_resp3_is_decoded_alike_at_every_split(
            sent in prop::collection::vec(reply3(), 1..5),
            sizes in prop::collection::vec(1_usize..60, 1..20),
        ) {
            let mut bytes = BytesMut::new();
            for (frame, _) in &sent {
                resp3::extend_encode(&mut bytes, &frame.clone().into_bytes_frame(), false).unwrap();
            }
            let values: Vec<Value> = sent.into_iter().map(|(_, value)| value).collect();
            prop_assert_eq!(&decode(&bytes).unwrap(), &values);
            prop_assert_eq!(&decode_in(&bytes, &[1]).unwrap(), &values);
            prop_assert_eq!(&decode_in(&bytes, &sizes).unwrap(), &values);
        }

        /// Whatever arrives is a value, an error or a wait, and the same at every split.
        #[test]
        fn junk_is_an_error_or_a_wait_and_the_same_at_every_split(
            pieces in prop::collection::vec(
                prop_oneof![
                    "[-+:$*~%>|_#,(!=][-0-9.a-z]{0,4}\r\n",
                    "[ -~]{0,6}",
                    Just("\r\n".to_owned()),
                    Just("\r".to_owned()),
                    Just("$?\r\n".to_owned()),
                    Just("*?\r\n".to_owned()),
                    Just(";0\r\n".to_owned()),
                    Just("txt:a\r\n".to_owned()),
                ],
                0..12,
            ),
            sizes in prop::collection::vec(1_usize..9, 1..9),
        ) {
            let bytes = pieces.concat().into_bytes();
            let whole = decode(&bytes);
            prop_assert_eq!(&decode_in(&bytes, &[1]), &whole);
            prop_assert_eq!(&decode_in(&bytes, &sizes), &whole);
        }

        /// The short way leaves to the thorough one what it does not read; what it reads is held against it here.
        #[test]
        fn common_tokens_are_read_alike_in_both_ways(
            token in prop_oneof![
                "[:$*][-+]?[0-9]{0,20}\r\n",
                "[:$*_+][-OK0-9]{0,3}\r?\n?",
                (0_usize..30, "[a\r\n]{0,30}").prop_map(|(length, text)| format!("${length}\r\n{text}\r\n")),
                "[a\r\n]{0,120}".prop_map(|text| format!("${}\r\n{text}\r\n", text.len())),
                any::<i64>().prop_map(|number| format!(":{number}\r\n")),
            ],
            room in 0_usize..200,
        ) {
            let bytes = token.as_bytes();
            let [mut short, mut thorough] = [0, 0];
            let token = Decoder::new(room).token(bytes, &mut thorough);
            if let Some(count) = array_header(bytes, &mut short) {
                prop_assert_eq!(Decoder::new(9999).token(bytes, &mut 0), Ok(Some(Token::Open(AggregateKind::Array, count))));
                prop_assert!(token.is_err() || short == thorough);
            } else if let Some(value) = common(bytes, &mut short, &mut { room }) {
                prop_assert_eq!(token, Ok(Some(Token::Value(value))));
                prop_assert_eq!(short, thorough);
            } else {
                prop_assert_eq!(short, 0);
            }
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_ok() || decode_in(&bytes, &[1]).is_err());
        }
    }

    #[test]
    fn every_type_is_read() {
        assert_eq!(one(b"+OK\r\n"), Value::OK);
        assert_eq!(one(b"+\r\n"), simple(""));
        assert_eq!(one(b"-ERR no\r\n"), error("ERR no"));
        assert_eq!(one(b":-42\r\n"), Value::Int(-42));
        assert_eq!(one(b":+42\r\n"), Value::Int(42));
        assert_eq!(one(b":9223372036854775807\r\n"), Value::Int(i64::MAX));
        assert_eq!(one(b":-9223372036854775808\r\n"), Value::Int(i64::MIN));
        assert_eq!(one(b"$0\r\n\r\n"), bulk(""));
        assert_eq!(one(b"$4\r\na\r\nb\r\n"), bulk("a\r\nb"));
        assert_eq!(one(b"*0\r\n"), Value::Array(vec![]));
        assert_eq!(one(b"#t\r\n"), Value::Bool(true));
        assert_eq!(one(b"#f\r\n"), Value::Bool(false));
        assert_eq!(one(b",1.5\r\n"), Value::Double(1.5));
        assert_eq!(one(b",10\r\n"), Value::Double(10.0));
        assert_eq!(one(b",1e-7\r\n"), Value::Double(1e-7));
        assert_eq!(one(b",1.7976931348623157e+308\r\n"), Value::Double(f64::MAX));
        assert_eq!(one(b",inf\r\n"), Value::Double(f64::INFINITY));
        assert_eq!(one(b",-inf\r\n"), Value::Double(f64::NEG_INFINITY));
        let nan = decode(b",nan\r\n").unwrap();
        assert!(matches!(nan.as_slice(), [Value::Double(number)] if number.is_nan()), "{nan:?}");
        assert_eq!(
            one(b"(-123456789012345678901234567890\r\n"),
            Value::BigNumber("-123456789012345678901234567890".into())
        );
        assert_eq!(one(b"!8\r\nERR a\r\nb\r\n"), error("ERR a\r\nb"));
        assert_eq!(one(b"=8\r\ntxt:a\nb\n\r\n"), Value::Verbatim { format: *b"txt", text: "a\nb\n".into() });
        assert_eq!(one(b"=4\r\nmkd:\r\n"), Value::Verbatim { format: *b"mkd", text: Bytes::new() });
        assert_eq!(one(b"~2\r\n:1\r\n:1\r\n"), Value::Set(vec![Value::Int(1), Value::Int(1)]));
        assert_eq!(one(b"%0\r\n"), Value::Map(vec![]));
        assert_eq!(one(b">1\r\n+x\r\n"), Value::Push(vec![simple("x")]));
    }

    #[test]
    fn every_form_of_nil_is_read_in_every_place() {
        for nil in ["$-1\r\n", "*-1\r\n", "_\r\n"] {
            assert_eq!(one(nil.as_bytes()), Value::Nil);
            assert_eq!(
                one(format!("*2\r\n{nil}:1\r\n").as_bytes()),
                Value::Array(vec![Value::Nil, Value::Int(1)])
            );
            assert_eq!(one(format!("~1\r\n{nil}").as_bytes()), Value::Set(vec![Value::Nil]));
            assert_eq!(
                one(format!("%1\r\n{nil}{nil}").as_bytes()),
                Value::Map(vec![(Value::Nil, Value::Nil)])
            );
            assert_eq!(one(format!("|1\r\n{nil}{nil}{nil}").as_bytes()), Value::Nil);
            assert_eq!(
                one(format!("*1\r\n*1\r\n{nil}").as_bytes()),
                Value::Array(vec![Value::Array(vec![Value::Nil])])
            );
        }
    }

    #[test]
    fn an_error_need_not_be_utf8() {
        let Value::Error(told) = one(b"-ERR \xff\xfe key\r\n") else { panic!() };
        assert_eq!((told.code(), told.text()), ("ERR", "ERR \u{fffd}\u{fffd} key"));
        let Value::Error(told) = one(b"!6\r\nMY \xc3\x28!\r\n") else { panic!() };
        assert_eq!(told.text(), "MY \u{fffd}(!");
    }

    #[test]
    fn aggregates_may_be_keys_of_maps_and_members_of_sets_and_the_order_is_kept() {
        let array = Value::Array(vec![Value::Int(1)]);
        assert_eq!(
            one(b"%3\r\n*1\r\n:1\r\n+a\r\n%1\r\n:1\r\n:2\r\n+b\r\n~0\r\n+c\r\n"),
            Value::Map(vec![
                (array.clone(), simple("a")),
                (Value::Map(vec![(Value::Int(1), Value::Int(2))]), simple("b")),
                (Value::Set(vec![]), simple("c")),
            ])
        );
        assert_eq!(one(b"~2\r\n*1\r\n:1\r\n*1\r\n:1\r\n"), Value::Set(vec![array.clone(), array]));
    }

    #[test]
    fn attributes_are_dropped_wherever_they_stand() {
        assert_eq!(one(b"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n"), bulk("v"));
        assert_eq!(one(b"|0\r\n|0\r\n:1\r\n"), Value::Int(1));
        assert_eq!(
            one(b"*3\r\n:1\r\n|1\r\n+a\r\n%1\r\n+b\r\n|1\r\n+c\r\n+d\r\n+e\r\n:2\r\n:3\r\n"),
            Value::Array(vec![Value::Int(1), Value::Int(2), Value::Int(3)])
        );
        assert_eq!(
            one(b"%1\r\n|1\r\n+a\r\n+b\r\n+k\r\n|0\r\n+v\r\n"),
            Value::Map(vec![(simple("k"), simple("v"))])
        );
        assert_eq!(decode(b"|1\r\n+a\r\n+b\r\n").unwrap(), [], "the value itself is still to come");
    }

    #[test]
    fn nesting_is_limited_and_costs_no_stack() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        let mut value = one(&nested(MAX_DEPTH));
        for _ in 0..MAX_DEPTH {
            let Value::Array(items) = value else { panic!() };
            value = items.into_iter().next().unwrap();
        }
        assert_eq!(value, Value::Int(1));
        for depth in [MAX_DEPTH + 1, 100_000] {
            assert_eq!(decode(&nested(depth)), Err(DecodeError::TooDeep));
            assert_eq!(decode_in(&nested(depth), &[3]), Err(DecodeError::TooDeep));
        }
        for kind in ["~1\r\n", "%1\r\n:1\r\n", ">1\r\n", "|1\r\n:1\r\n"] {
            assert_eq!(decode(kind.repeat(100_000).as_bytes()), Err(DecodeError::TooDeep), "{kind:?}");
        }
    }

    #[test]
    fn a_hostile_length_costs_no_memory_before_its_bytes_are_there() {
        for header in ["$4611686018427387904\r\n", "!9223372036854775807\r\n", "=9223372036854775807\r\n"] {
            let mut decoder = Decoder::new(usize::MAX);
            let mut buffer = BytesMut::from(format!("{header}abc").as_bytes());
            assert_eq!(decoder.decode(&mut buffer), Ok(None), "{header:?}");
            assert!(buffer.capacity() < 1024);
            assert_eq!(decoder.room(&mut buffer, 1).remaining_mut(), TRUSTED - 3);
            assert_eq!(
                Decoder::new(1 << 30).decode(&mut BytesMut::from(header)),
                Err(DecodeError::TooLarge(1 << 30))
            );
        }
        for header in
            ["*2147483648\r\n", "~9223372036854775807\r\n", "%9223372036854775807\r\n", ">4294967295\r\n"]
        {
            let mut decoder = Decoder::new(usize::MAX);
            let mut buffer = BytesMut::from(format!("{header}:1\r\n").as_bytes());
            assert_eq!(decoder.decode(&mut buffer), Ok(None), "{header:?}");
            let reserved: usize = decoder.open.iter().map(|aggregate| aggregate.items.capacity()).sum();
            assert!(reserved <= TRUSTED_CAPACITY, "{header:?} reserved {reserved}");
            assert_eq!(
                Decoder::new(1 << 30).decode(&mut BytesMut::from(header)),
                Err(DecodeError::TooLarge(1 << 30))
            );
        }
    }

    #[test]
    fn a_large_string_has_the_buffer_for_itself_that_it_arrives_in() {
        for (kind, begins) in [("$", ""), ("=", "txt:"), ("!", "ERR ")] {
            let text = format!("{begins}{}", "x".repeat(3 * LONG));
            let bytes = format!("*2\r\n{kind}{}\r\n{text}\r\n:7\r\n", text.len()).into_bytes();
            let whole = one_in(&bytes, &[usize::MAX]);
            // Miri takes minutes for each byte by itself.
            let least = if cfg!(miri) { 1021 } else { 1 };
            for sizes in [&[least][..], &[LONG], &[40, 1, 65_536], &[3 * LONG + 16, least]] {
                assert_eq!(one_in(&bytes, sizes), whole, "{kind} in pieces of {sizes:?}");
            }
        }
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::from(format!("${}\r\nab", LONG).as_str());
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        let mut room = decoder.room(&mut buffer, 100);
        assert_eq!(room.remaining_mut(), LONG - 2);
        let place = room.chunk_mut().as_mut_ptr();
        room.put_bytes(b'c', LONG - 2);
        assert_eq!(decoder.decode(&mut buffer), Ok(None), "the end of its line is missing");
        let mut room = decoder.room(&mut buffer, 100);
        assert!(room.remaining_mut() > LONG);
        room.put_slice(b"\r\n:1\r\n");
        let Ok(Some(Value::Bulk(value))) = decoder.decode(&mut buffer) else { panic!() };
        assert_eq!(value.len(), LONG);
        assert_eq!(value[2..].as_ptr(), place.cast_const(), "it was moved once more");
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(Value::Int(1))));
        let mut buffer = BytesMut::from(format!("${LONG}\r\n{}", "x".repeat(LONG + 2)).as_str());
        assert_eq!(Decoder::new(usize::MAX).decode(&mut buffer), Err(DecodeError::BadStringEnd));
    }

    #[test]
    fn what_is_no_resp_is_refused() {
        for bytes in [
            "$-2\r\n",
            "*-2\r\n",
            "%-1\r\n",
            "~-1\r\n",
            ">-1\r\n",
            "|-1\r\n",
            "!-1\r\n",
            "=-1\r\n",
            "$?\r\n",
            "*?\r\n",
            "$\r\n",
            "*\r\n",
            ":\r\n",
            ":1.5\r\n",
            ": 1\r\n",
            ":-\r\n",
            ":--1\r\n",
            ":9223372036854775808\r\n",
            "$99999999999999999999\r\n",
            "#x\r\n",
            "#\r\n",
            ",\r\n",
            ",1.5x\r\n",
            "=3\r\ntxt\r\n",
            "=4\r\ntxt \r\n",
            "$1\r\nabc",
            "$1\r\na\n\n",
            "\r\n",
            "PING\r\n",
            "\0\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ] {
            let whole = decode(bytes.as_bytes());
            assert!(whole.is_err(), "{bytes:?}: {whole:?}");
            assert_eq!(decode_in(bytes.as_bytes(), &[1]), whole, "{bytes:?}");
        }
    }

    #[test]
    fn a_big_number_is_made_of_digits() {
        for bytes in ["(\r\n", "(-\r\n", "(12x\r\n"] {
            assert!(decode(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_came_before_the_error_is_not_lost() {
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::from(&b":1\r\n+OK\r\n?\r\n"[..]);
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(Value::Int(1))));
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(Value::OK)));
        assert_eq!(decoder.decode(&mut buffer), Err(DecodeError::UnknownType(b'?')));
    }

    #[test]
    fn a_map_is_open_until_its_last_value_is_there() {
        assert_eq!(decode(b"%1\r\n+a\r\n").unwrap(), []);
        assert_eq!(decode(b"%2\r\n+a\r\n+b\r\n+c\r\n").unwrap(), []);
        assert_eq!(decode(b"%1\r\n+a\r\n+b\r\n+c\r\n").unwrap().len(), 2);
    }

    #[test]
    fn the_limit_of_a_reply_counts_everything_in_it_and_starts_anew_with_the_next() {
        let limited = |bytes: &[u8]| {
            let mut decoder = Decoder::new(10_000);
            let mut buffer = BytesMut::from(bytes);
            let mut count = 0;
            while decoder.decode(&mut buffer)?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        let reply =
            |kind: &str| [format!("${}\r\n", 9_000).as_bytes(), &vec![b'x'; 9_000], kind.as_bytes()].concat();
        assert_eq!(limited(&reply("\r\n").repeat(50)), Ok(50));
        let two = [b"*2\r\n".to_vec(), reply("\r\n"), reply("\r\n")].concat();
        assert_eq!(limited(&two), Err(DecodeError::TooLarge(10_000)));
        let items = size_of::<Value>();
        assert_eq!(
            limited(&[b"*9999\r\n".to_vec(), b"_\r\n".repeat(10_000 / items + 1)].concat()),
            Err(DecodeError::TooLarge(10_000))
        );
        assert_eq!(
            limited(&b"|0\r\n".repeat(10_000)),
            Err(DecodeError::TooLarge(10_000)),
            "attributes without end"
        );
    }

    #[test]
    fn long_errors_and_numbers_count_against_the_limit_too() {
        for kind in ["-", "+", "("] {
            let line = format!("{kind}{}\r\n", "1".repeat(9_000));
            let bytes = format!("*100\r\n{}", line.repeat(100));
            let mut decoder = Decoder::new(100_000);
            let result = decoder.decode(&mut BytesMut::from(bytes.as_bytes()));
            assert!(matches!(result, Err(DecodeError::TooLarge(100_000))), "{kind}: 900 kB passed");
        }
    }

    #[test]
    fn an_error_that_is_not_utf8_is_counted_with_the_size_that_it_takes() {
        for bytes in [
            [b"-".to_vec(), vec![0xff; 4000], b"\r\n".to_vec()].concat(),
            [b"!4000\r\n".to_vec(), vec![0xff; 4000], b"\r\n".to_vec()].concat(),
        ] {
            for (limit, is_fine) in [(8_000, false), (13_000, true)] {
                let result = Decoder::new(limit).decode(&mut BytesMut::from(&bytes[..]));
                assert_eq!(result.is_ok(), is_fine, "{limit}");
            }
        }
    }

    #[test]
    fn a_line_above_the_limit_is_refused_however_it_arrives() {
        for (length, is_fine) in
            [(MAX_LINE - 100, true), (MAX_LINE - 1, true), (MAX_LINE, false), (MAX_LINE * 2, false)]
        {
            let bytes = format!("+{}\r\n", "x".repeat(length)).into_bytes();
            for sizes in [&[1][..], &[4096], &[usize::MAX]] {
                assert_eq!(
                    decode_in(&bytes, sizes).is_ok(),
                    is_fine,
                    "{length} bytes in pieces of {sizes:?}"
                );
            }
        }
    }

    #[test]
    fn a_lone_carriage_return_belongs_to_the_line() {
        assert_eq!(one(b"+a\rb\r\n"), simple("a\rb"));
        assert_eq!(one(b"+\r\r\n"), simple("\r"));
    }

    /// No byte is looked at twice: after each call only an unfinished line is left, and how far it was searched is known.
    #[test]
    fn a_million_elements_in_small_pieces_are_linear() {
        let count = 1_000_000;
        let bytes = [format!("*{count}\r\n").into_bytes(), b"$5\r\nhello\r\n".repeat(count)].concat();
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::new();
        let mut reply = None;
        for piece in bytes.chunks(7) {
            buffer.extend_from_slice(piece);
            reply = decoder.decode(&mut buffer).unwrap();
            assert!(buffer.len() <= 7);
        }
        let Some(Value::Array(items)) = reply else { panic!() };
        assert_eq!(items.len(), count);
    }

    #[test]
    fn a_long_line_and_a_long_string_are_not_searched_again_with_every_piece() {
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::from(&b"+"[..]);
        for _ in 0..1000 {
            buffer.extend_from_slice(b"seven77");
            assert_eq!(decoder.decode(&mut buffer), Ok(None));
            assert_eq!(decoder.scanned, buffer.len());
        }
        let mut decoder = Decoder::new(usize::MAX);
        let mut buffer = BytesMut::from(&b"$1000000\r\n"[..]);
        for piece in 0..1000 {
            assert_eq!(decoder.decode(&mut buffer), Ok(None));
            assert!(buffer.is_empty());
            assert_eq!(decoder.room(&mut buffer, 1).remaining_mut(), 1_000_000 - piece * 7);
            buffer.extend_from_slice(b"\r\nseven");
        }
    }

    #[test]
    fn a_list_of_one_is_given_as_its_element_and_nothing_else_can_be_taken_for_it() {
        let next = |wire: &str| Decoder::new(1 << 20).next_of_one(wire.as_bytes(), &mut 0);
        let list = |items: &[i64]| Value::Array(items.iter().copied().map(Value::Int).collect());
        assert_eq!(next("*1\r\n$1\r\nx\r\n"), Ok(Some(Value::Bulk("x".into()))));
        assert_eq!(next("*1\r\n$-1\r\n"), Ok(Some(Value::Nil)));
        for (wire, given) in [
            ("*2\r\n:1\r\n:2\r\n", list(&[1, 2])),
            ("*0\r\n", list(&[])),
            ("-ERR no\r\n", Value::Error(ServerError::new("ERR no"))),
            // The reply of another command, which has slipped in here.
            ("+OK\r\n", list(&[])),
            ("$1\r\nx\r\n", list(&[])),
            ("_\r\n", list(&[])),
            ("%1\r\n:1\r\n:2\r\n", list(&[])),
        ] {
            assert_eq!(next(wire), Ok(Some(given)), "{wire:?}");
        }
        // In pieces it comes with its list, which is as good.
        let (mut decoder, whole) = (Decoder::new(1 << 20), b"*1\r\n$1\r\nx\r\n");
        let mut at = 0;
        assert_eq!(decoder.next_of_one(&whole[..9], &mut at), Ok(None));
        let rest = decoder.next_of_one(whole, &mut at);
        assert_eq!(rest, Ok(Some(Value::Array(vec![Value::Bulk("x".into())]))));
    }
}
