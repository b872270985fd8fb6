//! Strings: parts of them, and their length.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::commands::strings::text;
use crate::testkit::sim::keyspace::entry::Text;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("append", 3, "write denyoom fast", Keys::FIRST, append),
    Spec::data("strlen", 2, "readonly fast", Keys::FIRST, strlen),
    Spec::data("getrange", 4, "readonly", Keys::FIRST, getrange),
    Spec::data("substr", 4, "readonly", Keys::FIRST, getrange),
    Spec::data("setrange", 4, "write denyoom", Keys::FIRST, setrange),
];

/// `proto-max-bulk-len`, as a server has it by default.
const LONGEST: usize = 512 * 1024 * 1024;

/// The first place and the one behind the last, of a value so long; `None` if nothing is between them.
///
/// As on a real server two ends before the beginning are the first place, unless they are in the wrong order.
pub(in crate::testkit::sim) fn range(length: usize, start: i64, end: i64) -> Option<(usize, usize)> {
    if length == 0 || (start < 0 && end < 0 && start > end) {
        return None;
    }
    let place = |index: i64| {
        if index < 0 {
            length.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
        } else {
            usize::try_from(index).unwrap_or(usize::MAX)
        }
    };
    let (start, end) = (place(start), place(end).min(length - 1));
    (start <= end).then_some((start, end + 1))
}

/// Writes the string at a key, which keeps its expiry.
pub(in crate::testkit::sim) fn rewrite(
    call: &mut DataCall<'_>,
    key: &Bytes,
    value: impl Into<Bytes>,
) -> Result<(), Refused> {
    call.keys.write::<Text>(key)?.0 = value.into();
    call.keys.changed(key);
    Ok(())
}

fn append(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let before = text(call, &key)?.unwrap_or_default();
    let value = [before, call.arg(2)].concat();
    let length = value.len();
    rewrite(call, &key, value)?;
    reply(Reply::int(length))
}

fn strlen(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(text(call, &call.arg(1))?.map_or(0, |text| text.len())))
}

fn getrange(call: &mut DataCall<'_>) -> Answered {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let value = text(call, &call.arg(1))?.unwrap_or_default();
    let part = range(value.len(), start, end).map_or_else(Bytes::new, |(start, end)| value.slice(start..end));
    reply(Reply::Bulk(part))
}

fn setrange(call: &mut DataCall<'_>) -> Answered {
    let (key, part) = (call.arg(1), call.arg(3));
    let offset = usize::try_from(call.int(2)?).map_err(|_| Refused::new("ERR offset is out of range"))?;
    let mut value = text(call, &key)?.unwrap_or_default().to_vec();
    if part.is_empty() {
        return reply(Reply::int(value.len()));
    }
    let end = offset.saturating_add(part.len());
    if end > LONGEST {
        return Err(Refused::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    value.resize(value.len().max(end), 0);
    value.splice(offset..end, part);
    let length = value.len();
    rewrite(call, &key, value)?;
    reply(Reply::int(length))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_ends_where_a_real_server_ends_it() {
        for (start, end, expected) in [
            (0, 3, Some((0, 4))),
            (-3, -1, Some((13, 16))),
            (10, 100, Some((10, 16))),
            (5, 3, None),
            (-1, -3, None),
            (-100, 2, Some((0, 3))),
            (-100, -90, Some((0, 1))),
            (100, 200, None),
            (i64::MIN, i64::MAX, Some((0, 16))),
        ] {
            assert_eq!(range(16, start, end), expected, "{start} {end}");
        }
        assert_eq!(range(0, 0, -1), None);
    }
}
