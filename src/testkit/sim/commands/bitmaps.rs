//! Strings as rows of bits.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, int, reply};
use crate::testkit::sim::commands::strings::text;
use crate::testkit::sim::commands::substrings::{range, rewrite};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("getbit", 3, "readonly fast", Keys::FIRST, getbit),
    Spec::data("setbit", 4, "write denyoom", Keys::FIRST, setbit),
    Spec::data("bitcount", -2, "readonly", Keys::FIRST, bitcount),
];

/// A place of a bit, as its byte and the bit's mask within it.
fn place(offset: &Bytes) -> Result<(usize, u8), Refused> {
    let offset = int(offset).ok().and_then(|offset| u32::try_from(offset).ok());
    let offset = offset.ok_or_else(|| Refused::new("ERR bit offset is not an integer or out of range"))?;
    let byte = usize::try_from(offset / 8).unwrap_or(usize::MAX);
    Ok((byte, 0x80 >> (offset % 8)))
}

fn getbit(call: &mut DataCall<'_>) -> Answered {
    let (byte, mask) = place(&call.arg(2))?;
    let value = text(call, &call.arg(1))?.unwrap_or_default();
    reply(Reply::Int(value.get(byte).is_some_and(|byte| byte & mask != 0).into()))
}

fn setbit(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let (byte, mask) = place(&call.arg(2))?;
    let is_on = match call.int(3) {
        Ok(0) => false,
        Ok(1) => true,
        Ok(_) | Err(_) => return Err(Refused::new("ERR bit is not an integer or out of range")),
    };
    let before = text(call, &key)?;
    let is_known = before.as_ref().is_some_and(|value| value.len() > byte);
    let mut value = before.unwrap_or_default().to_vec();
    value.resize(value.len().max(byte.saturating_add(1)), 0);
    let Some(byte) = value.get_mut(byte) else { return Err(Refused::syntax()) };
    let was_on = *byte & mask != 0;
    *byte = if is_on { *byte | mask } else { *byte & !mask };
    // Redis 6.2 takes it for a change even if it is none.
    if was_on != is_on || !is_known || call.profile == Profile::Redis62 {
        rewrite(call, &key, value)?;
    }
    reply(Reply::Int(was_on.into()))
}

fn bitcount(call: &mut DataCall<'_>) -> Answered {
    let value = text(call, &call.arg(1));
    // The older ones look at the key first.
    if !call.profile.since_7_2() && value.as_ref().map_or(true, Option::is_none) {
        return value.map(|_| Reply::Int(0).into());
    }
    let is_open = call.args.len() == 3 && call.profile.is_valkey();
    let (start, end) = match call.args.len() {
        2 => (0, -1),
        3 if is_open => (call.int(2)?, -1),
        4 | 5 => (call.int(2)?, call.int(3)?),
        _ => return Err(Refused::syntax()),
    };
    let is_bits = match call.args.len() {
        5 if !call.profile.since_7_0() => return Err(Refused::syntax()),
        5 if call.is(4, "BIT") => true,
        5 if !call.is(4, "BYTE") => return Err(Refused::syntax()),
        _ => false,
    };
    let value = value?.unwrap_or_default();
    let count = if is_bits {
        range(value.len() * 8, start, end).map_or(0, |(start, end)| {
            let is_on = |at: usize| value.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
            (start..end).filter(|at| is_on(*at)).count()
        })
    } else {
        let part =
            range(value.len(), start, end).map_or_else(Bytes::new, |(start, end)| value.slice(start..end));
        part.iter().map(|byte| byte.count_ones() as usize).sum()
    };
    reply(Reply::int(count))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_bit_that_is_set_again_is_a_change_on_redis_6_alone() {
        for mut server in TestLine::each() {
            assert!(server.changes("SETBIT k 20 0"));
            assert_eq!(server.run("GET k"), "$3|\\x00\\x00\\x00|");
            assert_eq!(server.changes("SETBIT k 20 0"), server.profile() == Profile::Redis62);
            assert!(server.changes("SETBIT k 20 1"));
            assert_eq!(server.run("GETBIT k 20"), ":1|");
            assert_eq!(server.run("GETBIT k 1000"), ":0|");
        }
    }

    #[test]
    fn bits_are_counted_between_bytes_or_between_bits() {
        for mut server in TestLine::each() {
            server.run("SET k foobar");
            for (line, count) in [("", 26), (" 0 0", 4), (" -2 -1", 7), (" -100 -90", 4), (" 5 3", 0)] {
                assert_eq!(server.run(&format!("BITCOUNT k{line}")), format!(":{count}|"));
            }
            let is_old = server.profile() == Profile::Redis62;
            let syntax = "-ERR syntax error|";
            assert_eq!(server.run("BITCOUNT k 5 30 BIT"), if is_old { syntax } else { ":17|" });
            assert_eq!(
                server.run("BITCOUNT k 1"),
                if server.profile().is_valkey() { ":22|" } else { syntax }
            );
        }
    }
}
