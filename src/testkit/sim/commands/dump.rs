//! `DUMP` and `RESTORE`.

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::keyspace::payload;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("dump", 2, "readonly random", Keys::FIRST, dump),
    Spec::data("restore", -4, "write denyoom", Keys::FIRST, restore),
    Spec::data("restore-asking", -4, "write denyoom asking", Keys::FIRST, restore),
];

fn dump(call: &mut DataCall<'_>) -> Answered {
    let entry = call.keys.entry(&call.arg(1));
    reply(Reply::maybe(entry.map(|entry| payload::dump(&entry.value))))
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    replaces: bool,
    /// The time is one of Unix time, not one from now on.
    is_absolute: bool,
}

impl Options {
    /// `IDLETIME` and `FREQ` are checked, and have no effect.
    fn parse(call: &DataCall<'_>) -> Result<Self, Refused> {
        let mut options = Self::default();
        let (mut has_idle_time, mut has_frequency) = (false, false);
        let mut at = 4;
        while at < call.args.len() {
            let has_value = at + 1 < call.args.len();
            if call.is(at, "REPLACE") {
                options.replaces = true;
            } else if call.is(at, "ABSTTL") {
                options.is_absolute = true;
            } else if call.is(at, "IDLETIME") && has_value && !has_frequency {
                at += 1;
                if call.int(at)? < 0 {
                    return Err(Refused::new("ERR Invalid IDLETIME value, must be >= 0"));
                }
                has_idle_time = true;
            } else if call.is(at, "FREQ") && has_value && !has_idle_time {
                at += 1;
                if !(0..=255).contains(&call.int(at)?) {
                    return Err(Refused::new("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                }
                has_frequency = true;
            } else {
                return Err(Refused::syntax());
            }
            at += 1;
        }
        Ok(options)
    }
}

fn restore(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let options = Options::parse(call)?;
    if !options.replaces && call.keys.contains(&key) {
        return Err(Refused::new("BUSYKEY Target key name already exists."));
    }
    let time = u64::try_from(call.int(2)?);
    let time = time.map_err(|_| Refused::new("ERR Invalid TTL value, must be >= 0"))?;
    let value = payload::restore(&call.arg(3))?;
    let begin = if options.is_absolute { 0 } else { call.keys.now() };
    let expires_at = (time > 0).then(|| time.saturating_add(begin));
    if expires_at.is_some_and(|at| at <= call.keys.now()) {
        call.keys.remove(&key);
    } else {
        call.keys.put(&key, value, expires_at);
    }
    reply(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    /// The bytes of a bulk string, as a quoted word.
    fn quoted(reply: &str) -> String {
        let bytes = reply.split_once('|').and_then(|(_, rest)| rest.strip_suffix('|'));
        format!("\"{}\"", bytes.unwrap_or_default())
    }

    #[test]
    fn a_dumped_value_is_restored_with_the_time_that_is_told() {
        let mut server = TestLine::new(Profile::Redis82);
        server.run("HSET h f v");
        let payload = quoted(&server.run("DUMP h"));
        assert_eq!(
            server.run(&format!("RESTORE h 0 {payload}")),
            "-BUSYKEY Target key name already exists.|"
        );
        assert_eq!(server.run(&format!("RESTORE h 1500 {payload} replace")), "+OK|");
        assert_eq!(server.run("PTTL h"), ":1500|");
        assert_eq!(server.run("HGETALL h"), "*2|$1|f|$1|v|");
        assert_eq!(server.run(&format!("RESTORE h 1 {payload} ABSTTL REPLACE")), "+OK|");
        assert_eq!(server.run("EXISTS h"), ":0|");
        assert_eq!(server.run("DUMP h"), "$-1|");
    }
}
