//! What `DUMP` gives, and `RESTORE` and `MIGRATE` take: a value as bytes, in a form of the simulation's own.
//!
//! A byte for the type, the value, two bytes for the version of this form, and the CRC-16 of all that. Numbers have
//! eight bytes, the highest first; strings have their length before them, and collections their count. The expiry is
//! no part of it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc::{CRC_16_XMODEM, Crc};

use crate::testkit::sim::keyspace::entry::{Hash, List, Set, Stored, Text};
use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::keyspace::stream::{Stream, StreamId};
use crate::testkit::sim::refused::Refused;

static CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Raised when the form changes.
const VERSION: u16 = 1;

/// Version and checksum.
const FOOTER: usize = 4;

/// The value as bytes.
pub(in crate::testkit::sim) fn dump(value: &Stored) -> Bytes {
    let mut out = BytesMut::new();
    match value {
        Stored::Text(text) => {
            out.put_u8(0);
            put(&mut out, &text.0);
        }
        Stored::List(list) => {
            out.put_u8(1);
            count(&mut out, list.len());
            list.iter().for_each(|item| put(&mut out, item));
        }
        Stored::Hash(hash) => {
            out.put_u8(2);
            count(&mut out, hash.len());
            hash.iter().flat_map(|(field, value)| [field, value]).for_each(|item| put(&mut out, item));
        }
        Stored::Set(set) => {
            out.put_u8(3);
            count(&mut out, set.len());
            set.iter().for_each(|item| put(&mut out, item));
        }
        Stored::SortedSet(set) => {
            out.put_u8(4);
            count(&mut out, set.len());
            for (member, score) in set.iter() {
                put(&mut out, member);
                out.put_f64(score);
            }
        }
        Stored::Stream(stream) => {
            out.put_u8(5);
            put_id(&mut out, stream.last);
            count(&mut out, stream.entries.len());
            for (id, fields) in &stream.entries {
                put_id(&mut out, *id);
                count(&mut out, fields.len());
                fields.iter().for_each(|item| put(&mut out, item));
            }
        }
    }
    out.put_u16(VERSION);
    out.put_u16(CRC.checksum(&out));
    out.freeze()
}

/// The value that was dumped.
pub(in crate::testkit::sim) fn restore(payload: &[u8]) -> Result<Stored, Refused> {
    let body = body(payload).ok_or_else(|| Refused::new("ERR DUMP payload version or checksum are wrong"))?;
    let mut left = Bytes::copy_from_slice(body);
    let value = take(&mut left).filter(|value| left.is_empty() && !value.is_gone());
    value.ok_or_else(|| Refused::new("ERR Bad data format"))
}

/// What stands before the footer, if that is right.
fn body(payload: &[u8]) -> Option<&[u8]> {
    let (body, mut footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER)?)?;
    let version = footer.get_u16();
    let summed = payload.get(..payload.len() - size_of::<u16>())?;
    (version == VERSION && footer.get_u16() == CRC.checksum(summed)).then_some(body)
}

fn put(out: &mut BytesMut, item: &[u8]) {
    count(out, item.len());
    out.put_slice(item);
}

fn count(out: &mut BytesMut, count: usize) {
    out.put_u64(u64::try_from(count).unwrap_or(u64::MAX));
}

fn put_id(out: &mut BytesMut, id: StreamId) {
    out.put_u64(id.millis);
    out.put_u64(id.sequence);
}

fn take(from: &mut Bytes) -> Option<Stored> {
    Some(match from.try_get_u8().ok()? {
        0 => Stored::Text(Text(take_string(from)?)),
        1 => Stored::List(take_all(from, take_string)?.collect::<List>()),
        2 => Stored::Hash(
            take_all(from, |from| Some((take_string(from)?, take_string(from)?)))?.collect::<Hash>(),
        ),
        3 => Stored::Set(take_all(from, take_string)?.collect::<Set>()),
        4 => {
            let mut set = SortedSet::default();
            for (member, score) in
                take_all(from, |from| Some((take_string(from)?, from.try_get_f64().ok()?)))?
            {
                set.insert(member, score);
            }
            Stored::SortedSet(set)
        }
        5 => {
            let last = take_id(from)?;
            let fields = |from: &mut Bytes| Some(take_all(from, take_string)?.collect());
            let mut stream = Stream::default();
            stream.entries.extend(take_all(from, |from| Some((take_id(from)?, fields(from)?)))?);
            stream.last = last;
            Stored::Stream(stream)
        }
        _ => return None,
    })
}

/// As many as are told first.
fn take_all<T>(from: &mut Bytes, take: impl Fn(&mut Bytes) -> Option<T>) -> Option<impl Iterator<Item = T>> {
    let count = from.try_get_u64().ok()?;
    // One by one: the count may be wrong, and nothing is reserved on its word.
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(take(from)?);
    }
    Some(items.into_iter())
}

fn take_string(from: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(from.try_get_u64().ok()?).ok()?;
    (length <= from.len()).then(|| from.split_to(length))
}

fn take_id(from: &mut Bytes) -> Option<StreamId> {
    Some(StreamId { millis: from.try_get_u64().ok()?, sequence: from.try_get_u64().ok()? })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};

    use super::{CRC, VERSION, dump, restore};
    use crate::testkit::sim::keyspace::entry::{Stored, Text};
    use crate::testkit::sim::keyspace::sorted_set::SortedSet;
    use crate::testkit::sim::keyspace::stream::{Stream, StreamId};

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn values() -> Vec<Stored> {
        let mut set = SortedSet::default();
        set.insert(bytes("m"), -1.5);
        set.insert(bytes(""), f64::INFINITY);
        let id = StreamId { millis: 5, sequence: 7 };
        let entries = [(id, vec![bytes("f"), bytes("v")])].into();
        vec![
            Stored::Text(Text(bytes("a\r\n\0"))),
            Stored::Text(Text(Bytes::new())),
            Stored::List([bytes("b"), bytes("a"), bytes("b")].into()),
            Stored::Hash([(bytes("f"), bytes("v")), (bytes(""), bytes(""))].into()),
            Stored::Set([bytes("x"), bytes("y")].into()),
            Stored::SortedSet(set),
            Stored::Stream(Stream { entries, last: StreamId { millis: 9, sequence: 0 } }),
            Stored::Stream(Stream::default()),
        ]
    }

    #[test]
    fn every_value_is_the_same_again() {
        for value in values() {
            assert_eq!(format!("{:?}", restore(&dump(&value)).unwrap()), format!("{value:?}"));
        }
    }

    #[test]
    fn a_payload_that_was_cut_or_changed_is_refused() {
        for value in values() {
            let payload = dump(&value);
            for length in 0..payload.len() {
                assert!(restore(&payload[..length]).unwrap_err().0.contains("checksum"), "{length}");
                let mut changed = payload.to_vec();
                changed[length] ^= 0x10;
                assert!(restore(&changed).unwrap_err().0.contains("checksum"), "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_value_is_refused_though_its_checksum_is_right() {
        for body in [&b""[..], b"\x09", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01\0\0\0\0\0\0\0\0"] {
            let mut payload = BytesMut::from(body);
            payload.put_u16(VERSION);
            payload.put_u16(CRC.checksum(&payload));
            assert_eq!(restore(&payload).unwrap_err().0, "ERR Bad data format", "{body:?}");
        }
    }
}
