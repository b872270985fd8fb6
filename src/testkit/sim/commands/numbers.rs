//! Strings that are numbers.

use crate::testkit::sim::call::{Answered, DataCall, int, reply};
use crate::testkit::sim::commands::strings::text;
use crate::testkit::sim::commands::substrings::rewrite;
use crate::testkit::sim::extended::Extended;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("incr", 2, "write denyoom fast", Keys::FIRST, incr),
    Spec::data("decr", 2, "write denyoom fast", Keys::FIRST, decr),
    Spec::data("incrby", 3, "write denyoom fast", Keys::FIRST, incrby),
    Spec::data("decrby", 3, "write denyoom fast", Keys::FIRST, decrby),
    Spec::data("incrbyfloat", 3, "write denyoom fast", Keys::FIRST, incrbyfloat),
];

fn incr(call: &mut DataCall<'_>) -> Answered {
    add(call, 1)
}

fn decr(call: &mut DataCall<'_>) -> Answered {
    add(call, -1)
}

fn incrby(call: &mut DataCall<'_>) -> Answered {
    add(call, call.int(2)?)
}

fn decrby(call: &mut DataCall<'_>) -> Answered {
    let amount = call.int(2)?;
    if amount == i64::MIN && call.profile.since_7_0() {
        return Err(Refused::new("ERR decrement would overflow"));
    }
    // Redis 6.2 does not notice that this one has no counterpart.
    add(call, amount.wrapping_neg())
}

fn add(call: &mut DataCall<'_>, amount: i64) -> Answered {
    let key = call.arg(1);
    let before = text(call, &key)?.map_or(Ok(0), |text| int(&text))?;
    let after = before.checked_add(amount).ok_or_else(overflow)?;
    rewrite(call, &key, itoa::Buffer::new().format(after).to_owned())?;
    reply(Reply::Int(after))
}

pub(in crate::testkit::sim) fn overflow() -> Refused {
    Refused::new("ERR increment or decrement would overflow")
}

pub(in crate::testkit::sim) fn no_number() -> Refused {
    Refused::new("ERR increment would produce NaN or Infinity")
}

fn incrbyfloat(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let before = text(call, &key)?.unwrap_or_else(|| "0".into());
    let before = Extended::parse(&before).ok_or_else(Refused::not_a_float)?;
    let amount = Extended::parse(&call.arg(2)).ok_or_else(Refused::not_a_float)?;
    let after = before.plus(amount);
    if after.is_infinite() {
        return Err(no_number());
    }
    let after = after.text();
    rewrite(call, &key, after.clone())?;
    reply(Reply::bulk(after))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_number_is_only_what_a_server_takes_for_one() {
        let mut server = TestLine::new(Profile::Redis82);
        for value in ["abc", "\" 5\"", "\"5 \"", "\"\"", "+1", "01", "-0", "1.5", "9223372036854775808"] {
            server.run(&format!("SET k {value}"));
            assert_eq!(server.run("INCR k"), "-ERR value is not an integer or out of range|", "{value}");
        }
    }

    #[test]
    fn what_would_overflow_is_refused() {
        for mut server in TestLine::each() {
            let overflow = "-ERR increment or decrement would overflow|";
            server.run("SET k 9223372036854775807");
            assert_eq!(server.run("INCR k"), overflow);
            assert_eq!(server.run("DECRBY k -1"), overflow);
            server.run("SET k 7");
            let least = server.run("DECRBY k -9223372036854775808");
            let is_old = server.profile() == Profile::Redis62;
            assert_eq!(
                least,
                if is_old { ":-9223372036854775801|" } else { "-ERR decrement would overflow|" }
            );
            assert_eq!(server.run("INCRBYFLOAT k inf"), "-ERR increment would produce NaN or Infinity|");
            assert_eq!(server.run("INCRBYFLOAT k nan"), "-ERR value is not a valid float|");
        }
    }

    #[test]
    fn a_number_keeps_its_expiry() {
        let mut server = TestLine::new(Profile::Redis62);
        server.run("SET k 10.5 EX 100");
        assert_eq!(server.run3("INCRBYFLOAT k 0.1"), "$4|10.6|");
        assert_eq!(server.run("TTL k"), ":100|");
    }
}
