//! Replies are the same at every split of their bytes, cost no more memory than they may, and mean what another
//! decoder takes them for.

use keyslot::Value;
use keyslot::internals::fuzz::{Decoded, decode_in};
use redis_protocol::resp2::decode::decode as decode_resp2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode_resp3;
use redis_protocol::resp3::types::{OwnedFrame as Frame3, VerbatimStringFormat};

/// Small enough for the inputs of a fuzzer to pass it.
const LIMITS: [usize; 3] = [100, 1_000, 10_000];

pub(crate) fn check(bytes: &[u8]) {
    let whole = decode_in(bytes, [], usize::MAX);
    let splits = bytes.iter().map(|byte| usize::from(byte % 32));
    for pieces in [decode_in(bytes, [1], usize::MAX), decode_in(bytes, splits, usize::MAX)] {
        assert_same(&whole, &pieces);
    }
    for limit in LIMITS {
        let limited = decode_in(bytes, [], limit);
        assert_same(&limited, &decode_in(bytes, [1], limit));
        assert_limited(&whole, &limited, limit);
    }
    assert_understood(bytes, &whole);
}

fn assert_same(one: &Decoded, other: &Decoded) {
    assert_eq!(one.error, other.error);
    assert_eq!(one.replies.len(), other.replies.len());
    for ((one, end), (other, other_end)) in one.replies.iter().zip(&other.replies) {
        assert_eq!(end, other_end);
        assert!(is_same(one, other), "{one:?} is not {other:?}");
    }
}

/// `==`, but what is no number is the same as itself.
fn is_same(one: &Value, other: &Value) -> bool {
    let all = |one: &[Value], other: &[Value]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
    };
    match (one, other) {
        (Value::Double(one), Value::Double(other)) => is_same_number(*one, *other),
        (Value::Array(one), Value::Array(other))
        | (Value::Set(one), Value::Set(other))
        | (Value::Push(one), Value::Push(other)) => all(one, other),
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(&one.0, &other.0) && is_same(&one.1, &other.1))
        }
        (one, other) => one == other,
    }
}

fn is_same_number(one: f64, other: f64) -> bool {
    one == other || (one.is_nan() && other.is_nan())
}

/// A limit lets through what is smaller, changes nothing of it, and holds for what the replies take in memory.
fn assert_limited(whole: &Decoded, limited: &Decoded, limit: usize) {
    assert!(limited.replies.len() <= whole.replies.len());
    for ((value, end), (same, same_end)) in limited.replies.iter().zip(&whole.replies) {
        assert!(end == same_end && is_same(value, same));
        assert!(size(value) <= limit, "{} bytes with a limit of {limit}", size(value));
    }
    if limited.replies.len() < whole.replies.len() {
        let error = limited.error.as_deref().unwrap_or_default();
        assert!(error.contains("larger than the limit"), "{error}");
    }
}

/// The memory of a value, without what its lists have reserved for more.
fn size(value: &Value) -> usize {
    let own = size_of::<Value>();
    match value {
        // The one text that is not copied.
        Value::Simple(text) if text == "OK" => own,
        Value::Error(error) => own + error.text().len(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            own + items.iter().map(size).sum::<usize>()
        }
        Value::Map(pairs) => own + pairs.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
        scalar => own + scalar.as_bytes().map_or(0, <[u8]>::len),
    }
}

/// Where another decoder takes the bytes of a reply for a whole frame, it finds the same in it.
fn assert_understood(bytes: &[u8], whole: &Decoded) {
    let mut start = 0;
    for (value, end) in &whole.replies {
        let frame = bytes.get(start..*end).unwrap_or_default();
        start = *end;
        if let Ok(Some((read, length))) = decode_resp2(frame) {
            assert_eq!(length, frame.len(), "{value:?}");
            assert!(is_frame2(value, &read), "{value:?} is not {read:?}");
        }
        if let Ok(Some((read, length))) = decode_resp3(frame) {
            assert_eq!(length, frame.len(), "{value:?}");
            assert!(is_frame3(value, &read), "{value:?} is not {read:?}");
        }
    }
}

fn is_frame2(value: &Value, frame: &Frame2) -> bool {
    match (value, frame) {
        (Value::Simple(text), Frame2::SimpleString(read)) | (Value::Bulk(text), Frame2::BulkString(read)) => {
            text == read
        }
        (Value::Error(error), Frame2::Error(read)) => error.text() == read,
        (Value::Int(number), Frame2::Integer(read)) => number == read,
        (Value::Nil, Frame2::Null) => true,
        (Value::Array(items), Frame2::Array(read)) => {
            items.len() == read.len() && items.iter().zip(read).all(|(item, read)| is_frame2(item, read))
        }
        (_, _) => false,
    }
}

fn is_frame3(value: &Value, frame: &Frame3) -> bool {
    let all = |items: &[Value], read: &[Frame3]| {
        items.len() == read.len() && items.iter().zip(read).all(|(item, read)| is_frame3(item, read))
    };
    match (value, frame) {
        (Value::Simple(text), Frame3::SimpleString { data, .. })
        | (Value::Bulk(text), Frame3::BlobString { data, .. })
        | (Value::BigNumber(text), Frame3::BigNumber { data, .. }) => text == data,
        (Value::Error(error), Frame3::SimpleError { data, .. }) => error.text() == data,
        (Value::Error(error), Frame3::BlobError { data, .. }) => {
            error.text() == String::from_utf8_lossy(data)
        }
        (Value::Bool(truth), Frame3::Boolean { data, .. }) => truth == data,
        (Value::Nil, Frame3::Null) => true,
        (Value::Int(number), Frame3::Number { data, .. }) => number == data,
        (Value::Double(number), Frame3::Double { data, .. }) => is_same_number(*number, *data),
        (Value::Verbatim { format, text }, Frame3::VerbatimString { data, format: read, .. }) => {
            let name = match read {
                VerbatimStringFormat::Text => b"txt",
                VerbatimStringFormat::Markdown => b"mkd",
            };
            format == name && text == data
        }
        (Value::Array(items), Frame3::Array { data, .. })
        | (Value::Push(items), Frame3::Push { data, .. }) => all(items, data),
        // The library keeps one of several that are the same, and in no order that this crate could rely on.
        (Value::Set(items), Frame3::Set { data, .. }) => {
            data.len() < items.len() || data.iter().all(|read| items.iter().any(|item| is_frame3(item, read)))
        }
        (Value::Map(pairs), Frame3::Map { data, .. }) => {
            let is_pair = |key: &Frame3, value: &Frame3| {
                pairs.iter().any(|pair| is_frame3(&pair.0, key) && is_frame3(&pair.1, value))
            };
            data.len() < pairs.len() || data.iter().all(|(key, value)| is_pair(key, value))
        }
        (_, _) => false,
    }
}
