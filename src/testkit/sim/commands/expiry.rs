//! When keys expire, and how to say so.

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::commands::deadline::{Unit, invalid};
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("expire", -3, "write fast", Keys::FIRST, expire),
    Spec::data("pexpire", -3, "write fast", Keys::FIRST, pexpire),
    Spec::data("expireat", -3, "write fast", Keys::FIRST, expireat),
    Spec::data("pexpireat", -3, "write fast", Keys::FIRST, pexpireat),
    Spec::data("ttl", 2, "readonly random fast", Keys::FIRST, ttl),
    Spec::data("pttl", 2, "readonly random fast", Keys::FIRST, pttl),
    Spec::data("expiretime", 2, "readonly fast", Keys::FIRST, expiretime).since(Since::Redis70),
    Spec::data("pexpiretime", 2, "readonly fast", Keys::FIRST, pexpiretime).since(Since::Redis70),
    Spec::data("persist", 2, "write fast", Keys::FIRST, persist),
];

fn expire(call: &mut DataCall<'_>) -> Answered {
    expire_at(call, Unit::EX, "expire")
}

fn pexpire(call: &mut DataCall<'_>) -> Answered {
    expire_at(call, Unit::PX, "pexpire")
}

fn expireat(call: &mut DataCall<'_>) -> Answered {
    expire_at(call, Unit::EXAT, "expireat")
}

fn pexpireat(call: &mut DataCall<'_>) -> Answered {
    expire_at(call, Unit::PXAT, "pexpireat")
}

fn expire_at(call: &mut DataCall<'_>, unit: Unit, command: &str) -> Answered {
    let only = Only::parse(call, command)?;
    let key = call.arg(1);
    let moment = moment(call, unit, call.int(2)?).ok_or_else(|| invalid(call.profile, command))?;
    let Some(entry) = call.keys.entry(&key) else { return reply(Reply::Int(0)) };
    if !only.allows(entry.expires_at, moment) {
        return reply(Reply::Int(0));
    }
    match u64::try_from(moment).ok().filter(|moment| *moment > call.keys.now()) {
        Some(moment) => call.keys.set_expiry(&key, Some(moment)),
        None => _ = call.keys.remove(&key),
    }
    reply(Reply::Int(1))
}

/// In milliseconds of Unix time, before 1970 too; `None` if a server cannot count so far.
fn moment(call: &DataCall<'_>, unit: Unit, value: i64) -> Option<i64> {
    let factor = if unit.is_seconds { 1000 } else { 1 };
    let begin = if unit.is_relative { call.keys.now().cast_signed() } else { 0 };
    if call.profile.since_7_0() {
        return value.checked_mul(factor)?.checked_add(begin);
    }
    // Redis 6.2 looks only whether the sum has the right sign, and takes some of what is too large for the past.
    let millis = value.wrapping_mul(factor);
    let moment = millis.wrapping_add(begin);
    let is_wrong = if value < 0 { millis > 0 } else { moment < 0 };
    (!is_wrong).then_some(moment)
}

/// The condition of `EXPIRE`, from Redis 7.0 on.
#[derive(Clone, Copy, Debug, Default)]
struct Only {
    if_absent: bool,
    if_present: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Only {
    fn parse(call: &DataCall<'_>, command: &str) -> Result<Self, Refused> {
        let mut only = Self::default();
        if !call.profile.since_7_0() && call.args.len() > 3 {
            return Err(Refused::new(format!("ERR wrong number of arguments for '{command}' command")));
        }
        for (at, arg) in call.args.iter().enumerate().skip(3) {
            if call.is(at, "NX") {
                only.if_absent = true;
            } else if call.is(at, "XX") {
                only.if_present = true;
            } else if call.is(at, "GT") {
                only.if_later = true;
            } else if call.is(at, "LT") {
                only.if_earlier = true;
            } else {
                let arg = String::from_utf8_lossy(arg);
                return Err(Refused::new(format!("ERR Unsupported option {arg}")));
            }
        }
        if only.if_absent && (only.if_present || only.if_later || only.if_earlier) {
            return Err(Refused::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if only.if_later && only.if_earlier {
            return Err(Refused::new("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(only)
    }

    /// A key without an expiry is one that expires after all others.
    fn allows(self, before: Option<u64>, moment: i64) -> bool {
        let before = before.map(u64::cast_signed);
        !(self.if_absent && before.is_some()
            || self.if_present && before.is_none()
            || self.if_later && before.is_none_or(|before| moment <= before)
            || self.if_earlier && before.is_some_and(|before| moment >= before))
    }
}

fn ttl(call: &mut DataCall<'_>) -> Answered {
    shown(call, Unit::EX)
}

fn pttl(call: &mut DataCall<'_>) -> Answered {
    shown(call, Unit::PX)
}

fn expiretime(call: &mut DataCall<'_>) -> Answered {
    shown(call, Unit::EXAT)
}

fn pexpiretime(call: &mut DataCall<'_>) -> Answered {
    shown(call, Unit::PXAT)
}

fn shown(call: &DataCall<'_>, unit: Unit) -> Answered {
    let Some(entry) = call.keys.entry(&call.arg(1)) else { return reply(Reply::Int(-2)) };
    let Some(at) = entry.expires_at else { return reply(Reply::Int(-1)) };
    let millis = at.saturating_sub(if unit.is_relative { call.keys.now() } else { 0 });
    // To the nearest second.
    reply(Reply::Int(if unit.is_seconds { (millis + 500) / 1000 } else { millis }.cast_signed()))
}

fn persist(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let has_expiry = call.keys.entry(&key).is_some_and(|entry| entry.expires_at.is_some());
    if has_expiry {
        call.keys.set_expiry(&key, None);
    }
    reply(Reply::Int(has_expiry.into()))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn a_key_goes_when_its_time_has_come() {
        for mut server in TestLine::each() {
            server.run("SET k v");
            assert_eq!(server.run("PEXPIRE k 1500"), ":1|");
            // To the nearest second.
            assert_eq!(server.run("TTL k"), ":2|");
            server.pass(1);
            assert_eq!(server.run("TTL k"), ":1|");
            server.pass(1498);
            assert_eq!(server.run("PTTL k"), ":1|");
            server.pass(1);
            assert_eq!(server.run("PTTL k"), ":-2|");
            assert_eq!(server.run("EXPIRE k 10"), ":0|");
            server.run("SET k v");
            assert_eq!(server.run("EXPIRE k -1"), ":1|");
            assert_eq!(server.run("EXISTS k"), ":0|");
        }
    }

    #[test]
    fn conditions_came_with_redis_7() {
        for mut server in TestLine::each() {
            server.run("SET k v");
            if server.profile() == Profile::Redis62 {
                let error = "-ERR wrong number of arguments for 'expire' command|";
                assert_eq!(server.run("EXPIRE k 10 NX"), error);
                continue;
            }
            for (line, expected) in [
                ("EXPIRE k 10 GT", 0),
                ("EXPIRE k 10 XX", 0),
                ("EXPIRE k 10 LT", 1),
                ("EXPIRE k 20 NX", 0),
                ("EXPIRE k 10 GT", 0),
                ("EXPIRE k 20 XX GT", 1),
                ("EXPIRE k 20 LT", 0),
                ("EXPIRE k -1 GT", 0),
                ("EXPIRE k -1 LT", 1),
            ] {
                assert_eq!(server.changes(line), expected == 1, "{line}");
            }
            assert_eq!(server.run("EXPIRE k 1 FOO"), "-ERR Unsupported option FOO|");
            assert!(server.run("EXPIRE k 1 GT LT").starts_with("-ERR GT and LT options"));
            assert!(server.run("EXPIRE k 1 NX LT").starts_with("-ERR NX and XX, GT or LT options"));
        }
    }

    #[test]
    fn a_time_too_far_is_refused_or_taken_for_the_past() {
        for mut server in TestLine::each() {
            server.run("SET k v");
            let is_old = server.profile() == Profile::Redis62;
            let error = |command: &str| {
                let at = if is_old { command.to_owned() } else { format!("'{command}' command") };
                format!("-ERR invalid expire time in {at}|")
            };
            assert_eq!(server.run("EXPIRE k 9223372036854775"), error("expire"));
            assert_eq!(server.run("PEXPIRE k 9223372036854775807"), error("pexpire"));
            assert_eq!(server.run("EXPIREAT k 9223372036854775807"), error("expireat"));
            assert_eq!(server.run("PEXPIREAT k 9223372036854775807"), ":1|");
            let far = server.run("EXPIRE k 9223372036854775807");
            assert_eq!(far, if is_old { ":1|".to_owned() } else { error("expire") });
            assert_eq!(server.run("EXISTS k"), if is_old { ":0|" } else { ":1|" });
        }
    }
}
