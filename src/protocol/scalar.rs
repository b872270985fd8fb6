//! Scalars of which every byte is there: the common ones in one pass, the rarer ones of RESP3 by `redis-protocol`.

use bytes::Bytes;
use redis_protocol::resp3::decode::complete as library;
use redis_protocol::resp3::types::OwnedFrame;

use crate::protocol::decode_error::DecodeError;
use crate::protocol::value::Value;

/// Numbers of so many digits cannot overflow, so they are read without a check for it.
const SHORT: usize = 18;

/// Takes the scalar that stands `at` this place of `bytes` if it is a common one (`+OK`, an integer, a string, a nil),
/// all of it is there, and it takes no more than `room` bytes of memory; those are taken from `room`.
///
/// `None` is no judgement: whatever is incomplete, rare or wrong is left to the decoder's thorough way. Most replies
/// end here, so it looks at each byte of a header once and keeps no state.
#[inline(always)]
pub(super) fn common(bytes: &[u8], at: &mut usize, room: &mut usize) -> Option<Value> {
    let left = room.checked_sub(size_of::<Value>())?;
    let (kind, rest) = bytes.get(*at..)?.split_first()?;
    let (value, length) = match kind {
        b'$' => {
            let Some((length, header)) = short_number(rest) else {
                if !rest.starts_with(b"-1\r\n") {
                    return None;
                }
                *at += 5;
                *room = left;
                return Some(Value::Nil);
            };
            let (text, end) = rest.get(header..)?.split_at_checked(length)?;
            if !end.starts_with(b"\r\n") {
                return None;
            }
            *room = left.checked_sub(length)?;
            *at += header + length + 3;
            // A copy of its own: a small reply that is kept must not hold the whole read buffer.
            return Some(Value::Bulk(Bytes::copy_from_slice(text)));
        }
        b'+' if rest.starts_with(b"OK\r\n") => (Value::OK, 5),
        b':' => match rest.strip_prefix(b"-") {
            None => {
                let (number, line) = short_number(rest)?;
                (Value::Int(number as i64), line + 1)
            }
            Some(digits) => {
                let (number, line) = short_number(digits)?;
                (Value::Int(-(number as i64)), line + 2)
            }
        },
        b'_' if rest.starts_with(b"\r\n") => (Value::Nil, 3),
        _rare => return None,
    };
    *at += length;
    *room = left;
    Some(value)
}

/// Takes the header of an array that stands `at` this place of `bytes`, if all of it is there: its number of elements.
/// As with [`common`], `None` is no judgement.
#[inline]
pub(super) fn array_header(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let (count, line) = short_number(bytes.get(*at..)?.strip_prefix(b"*")?)?;
    *at += line + 1;
    Some(count)
}

/// Takes an array of one common scalar: what a node answers to its part of an `MGET`, whose keys are seldom in one slot.
/// Gives the scalar.
#[inline]
pub(super) fn element_of_one(bytes: &[u8], at: &mut usize, room: &mut usize) -> Option<Value> {
    let mut left = room.checked_sub(size_of::<Value>())?;
    let mut end = *at;
    let 1 = array_header(bytes, &mut end)? else { return None };
    let element = common(bytes, &mut end, &mut left)?;
    (*at, *room) = (end, left);
    Some(element)
}

/// Digits with their CR LF at the front of `bytes`: their number and the length of the line.
#[inline]
fn short_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    let mut place = 0;
    for byte in bytes.iter().take(SHORT) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + usize::from(digit);
        place += 1;
    }
    let ends = place > 0 && bytes.get(place..)?.starts_with(b"\r\n");
    ends.then_some((number, place + 2))
}

/// Decimal with an optional sign, as in headers and integers.
pub(super) fn integer(line: &[u8]) -> Result<i64, DecodeError> {
    std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| DecodeError::malformed("integer", line))
}

/// A whole double, boolean or big number.
pub(super) fn by_library(frame: &[u8]) -> Result<Value, DecodeError> {
    match library::decode(frame) {
        Ok(Some((OwnedFrame::Double { data, .. }, _))) => Ok(Value::Double(data)),
        Ok(Some((OwnedFrame::Boolean { data, .. }, _))) => Ok(Value::Bool(data)),
        // The library takes any bytes for a big number.
        Ok(Some((OwnedFrame::BigNumber { data, .. }, _))) if is_decimal(&data) => {
            Ok(Value::BigNumber(data.into()))
        }
        Ok(Some(_)) | Ok(None) | Err(_) => Err(DecodeError::malformed("scalar", frame)),
    }
}

fn is_decimal(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
