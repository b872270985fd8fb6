//! Streams: entries that are added, found by their ids, and removed. Consumer groups are not simulated.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::wrong_number;
use crate::testkit::sim::keyspace::stream::{Keep, Stream, StreamId};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("xadd", -5, "write denyoom random fast", Keys::FIRST, xadd),
    Spec::data("xlen", 2, "readonly fast", Keys::FIRST, xlen),
    Spec::data("xrange", -4, "readonly", Keys::FIRST, xrange),
    Spec::data("xrevrange", -4, "readonly", Keys::FIRST, xrevrange),
    Spec::data("xdel", -3, "write fast", Keys::FIRST, xdel),
    Spec::data("xtrim", -4, "write random", Keys::FIRST, xtrim),
];

/// What a rough trim without `LIMIT` removes at most.
const ROUGH_LIMIT: usize = 10_000;

pub(in crate::testkit::sim) fn invalid_id() -> Refused {
    Refused::new("ERR Invalid stream ID specified as stream command argument")
}

fn parse(arg: &[u8], sequence: u64) -> Result<StreamId, Refused> {
    StreamId::parse(arg, sequence).ok_or_else(invalid_id)
}

/// An entry as all commands give it.
pub(in crate::testkit::sim) fn entry((id, fields): (&StreamId, &Vec<Bytes>)) -> Reply {
    let fields = fields.iter().cloned().map(Reply::Bulk).collect();
    Reply::Array(vec![Reply::bulk(id.to_string()), Reply::Array(fields)])
}

/// The id that an entry shall have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    /// `*`
    Any,
    /// `5-*`
    At(u64),
    /// `5-3`
    Exactly(StreamId),
}

impl Wanted {
    fn parse(arg: &[u8], profile: Profile) -> Result<Self, Refused> {
        if arg == b"*" {
            return Ok(Self::Any);
        }
        match arg.strip_suffix(b"-*") {
            Some(millis) if profile.since_7_0() && !millis.contains(&b'-') => {
                Ok(Self::At(parse(millis, 0)?.millis))
            }
            _ => Ok(Self::Exactly(parse(arg, 0)?)),
        }
    }

    /// The id of the next entry of a stream whose last entry had the id `last`.
    fn behind(self, last: StreamId, now: u64) -> Result<StreamId, Refused> {
        let Some(next) = last.next() else {
            return Err(Refused::new(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ));
        };
        let id = match self {
            Self::Any if now > last.millis => StreamId { millis: now, sequence: 0 },
            Self::Any => next,
            // If its sequences are used up, the next one is of another millisecond.
            Self::At(millis) if millis == last.millis && next.millis == millis => next,
            Self::At(millis) if millis == last.millis => last,
            Self::At(millis) => StreamId { millis, sequence: 0 },
            Self::Exactly(id) => id,
        };
        if id <= last {
            return Err(Refused::new(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item",
            ));
        }
        Ok(id)
    }
}

/// `MAXLEN` or `MINID` with what belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Trim {
    keep: Keep,
    /// What may be removed at most, of a trim that is `~`.
    roughly: Option<usize>,
}

/// The options of `XADD` and `XTRIM`.
#[derive(Debug, Default)]
struct Options {
    keep: Option<Keep>,
    is_rough: bool,
    limit: Option<usize>,
    must_exist: bool,
}

impl Options {
    /// Reads options; what no option is stands at the place that is given back.
    fn parse(args: &[Bytes], is_add: bool) -> Result<(Self, usize), Refused> {
        let mut options = Self::default();
        let mut place = 2;
        while let Some(arg) = args.get(place) {
            let behind = args.get(place + 1..).unwrap_or_default();
            let read = match (arg.to_ascii_uppercase().as_slice(), behind) {
                (name @ (b"MAXLEN" | b"MINID"), [_, ..]) => options.read_strategy(name, behind)?,
                (b"LIMIT", [limit, ..]) => {
                    options.limit = Some(not_negative(limit, "LIMIT")?);
                    2
                }
                (b"NOMKSTREAM", _) if is_add => {
                    options.must_exist = true;
                    1
                }
                _ => break,
            };
            place += read;
        }
        Ok((options, place))
    }

    /// How many arguments that were.
    fn read_strategy(&mut self, name: &[u8], behind: &[Bytes]) -> Result<usize, Refused> {
        if self.keep.is_some() {
            return Err(Refused::new(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let (value, read) = match behind {
            [sign, value, ..] if matches!(sign.as_ref(), b"~" | b"=") => {
                self.is_rough = sign.as_ref() == b"~";
                (value, 3)
            }
            [value, ..] => (value, 2),
            [] => return Err(Refused::syntax()),
        };
        self.keep = Some(if name == b"MAXLEN" {
            Keep::Newest(not_negative(value, "MAXLEN")?)
        } else {
            Keep::From(parse(value, 0)?)
        });
        Ok(read)
    }

    fn trim(&self) -> Result<Option<Trim>, Refused> {
        let without = "ERR syntax error, LIMIT cannot be used without";
        match (self.keep, self.limit) {
            (None, Some(1..)) => Err(Refused::new(format!("{without} specifying a trimming strategy"))),
            (_, Some(_)) if !self.is_rough => Err(Refused::new(format!("{without} the special ~ option"))),
            (None, _) => Ok(None),
            (Some(keep), limit) => {
                let most = match limit {
                    None => ROUGH_LIMIT,
                    Some(0) => usize::MAX,
                    Some(limit) => limit,
                };
                Ok(Some(Trim { keep, roughly: self.is_rough.then_some(most) }))
            }
        }
    }
}

fn not_negative(arg: &[u8], name: &str) -> Result<usize, Refused> {
    let number = call::int(arg)?;
    usize::try_from(number).map_err(|_| Refused::new(format!("ERR The {name} argument must be >= 0.")))
}

fn xadd(call: &mut DataCall<'_>) -> Answered {
    let (options, place) = Options::parse(call.args, true)?;
    let wanted = match call.args.get(place) {
        Some(id) => Some(Wanted::parse(id, call.profile)?),
        None => None,
    };
    let trim = options.trim()?;
    let fields = call.rest(place + 1).to_vec();
    let Some(wanted) = wanted.filter(|_| !fields.is_empty() && fields.len().is_multiple_of(2)) else {
        return Err(if call.profile.since_7_0() {
            wrong_number("xadd")
        } else {
            Refused::new("ERR wrong number of arguments for XADD")
        });
    };
    if wanted == Wanted::Exactly(StreamId::MIN) {
        return Err(Refused::new("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let key = call.arg(1);
    let last = match call.keys.read::<Stream>(&key)? {
        Some(stream) => stream.last,
        None if options.must_exist => return reply(Reply::Nil),
        None => StreamId::MIN,
    };
    let id = wanted.behind(last, call.keys.now())?;
    let stream = call.keys.write::<Stream>(&key)?;
    stream.add(id, fields);
    if let Some(Trim { keep, roughly }) = trim {
        stream.trim(keep, roughly);
    }
    call.keys.changed(&key);
    reply(Reply::bulk(id.to_string()))
}

fn xlen(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.read::<Stream>(&call.arg(1))?.map_or(0, |stream| stream.entries.len())))
}

fn xrange(call: &mut DataCall<'_>) -> Answered {
    range(call, false)
}

fn xrevrange(call: &mut DataCall<'_>) -> Answered {
    range(call, true)
}

/// From one id to another; `(` leaves it out, and an id without a sequence means all of its millisecond.
fn interval(start: &[u8], end: &[u8]) -> Result<RangeInclusive<StreamId>, Refused> {
    let bound = |arg: &[u8], sequence| match arg {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse(arg, sequence),
    };
    let start = match start.strip_prefix(b"(") {
        Some(start) => {
            parse(start, 0)?.next().ok_or_else(|| Refused::new("ERR invalid start ID for the interval"))?
        }
        None => bound(start, 0)?,
    };
    let end = match end.strip_prefix(b"(") {
        Some(end) => {
            let end = parse(end, u64::MAX)?;
            end.previous().ok_or_else(|| Refused::new("ERR invalid end ID for the interval"))?
        }
        None => bound(end, u64::MAX)?,
    };
    Ok(start..=end)
}

fn range(call: &mut DataCall<'_>, reverse: bool) -> Answered {
    let (start, end) = if reverse { (3, 2) } else { (2, 3) };
    let ids = interval(&call.arg(start), &call.arg(end))?;
    let mut count = usize::MAX;
    for option in call.rest(4).chunks(2) {
        match option {
            [name, value] if name.eq_ignore_ascii_case(b"COUNT") => {
                count = usize::try_from(call::int(value)?).unwrap_or_default();
            }
            _ => return Err(Refused::syntax()),
        }
    }
    let Some(stream) = call.keys.read::<Stream>(&call.arg(1))? else {
        return reply(Reply::Array(Vec::new()));
    };
    if count == 0 {
        return reply(Reply::NilArray);
    }
    let found = stream.between(ids);
    reply(Reply::Array(if reverse {
        found.rev().take(count).map(entry).collect()
    } else {
        found.take(count).map(entry).collect()
    }))
}

fn xdel(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    if call.keys.read::<Stream>(&key)?.is_none() {
        return reply(Reply::Int(0));
    }
    let ids: Result<Vec<StreamId>, Refused> = call.rest(2).iter().map(|id| parse(id, 0)).collect();
    let ids = ids?;
    let stream = call.keys.write::<Stream>(&key)?;
    let removed = ids.iter().filter(|id| stream.entries.remove(id).is_some()).count();
    if removed > 0 {
        call.keys.changed(&key);
    }
    reply(Reply::int(removed))
}

fn xtrim(call: &mut DataCall<'_>) -> Answered {
    let (options, place) = Options::parse(call.args, false)?;
    if place < call.args.len() {
        return Err(Refused::syntax());
    }
    let Some(Trim { keep, roughly }) = options.trim()? else { return Err(Refused::syntax()) };
    let key = call.arg(1);
    if call.keys.read::<Stream>(&key)?.is_none() {
        return reply(Reply::Int(0));
    }
    let removed = call.keys.write::<Stream>(&key)?.trim(keep, roughly);
    if removed > 0 {
        call.keys.changed(&key);
    }
    reply(Reply::int(removed))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    const SMALL: &str = "-ERR The ID specified in XADD is equal or smaller than the target stream top item|";
    const INVALID: &str = "-ERR Invalid stream ID specified as stream command argument|";
    const BOTH: &str = "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible|";

    #[test]
    fn an_id_must_be_greater_than_all_before() {
        for mut server in TestLine::each() {
            let is_old = server.profile() == Profile::Redis62;
            for (line, answer) in [
                ("XADD s 1-1 a 1", "$3|1-1|"),
                ("XADD s 1-1 a 1", SMALL),
                ("XADD s 0-0 a 1", "-ERR The ID specified in XADD must be greater than 0-0|"),
                ("XADD s 1-* a 2", if is_old { INVALID } else { "$3|1-2|" }),
                ("XADD s 5 a 3", "$3|5-0|"),
                ("XADD s 3-* a 3", if is_old { INVALID } else { SMALL }),
                ("XADD s *-1 a 3", INVALID),
                ("XADD s + a 3", INVALID),
                ("XADD s * a 3", "$9|1000000-0|"),
                ("XADD s * a 3", "$9|1000000-1|"),
                ("XADD none NOMKSTREAM * a 1", "$-1|"),
                ("XADD s x a 1 b", INVALID),
                ("XLEN none", ":0|"),
                (
                    "XADD e 18446744073709551615-18446744073709551615 a 1",
                    "$41|18446744073709551615-18446744073709551615|",
                ),
                (
                    "XADD e * a 1",
                    "-ERR The stream has exhausted the last possible ID, unable to add more items|",
                ),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            let odd = server.run("XADD s 2000000-1 a 1 b");
            let named = if is_old { "XADD" } else { "'xadd' command" };
            assert_eq!(odd, format!("-ERR wrong number of arguments for {named}|"));
            server.run("DEL t");
            server.run("XADD t 9-9 a 1");
            server.run("XDEL t 9-9");
            assert_eq!(server.run("XADD t 9-9 a 1"), SMALL);
            assert_eq!(server.run("XLEN t"), ":0|");
        }
    }

    #[test]
    fn a_stream_is_trimmed_while_it_grows() {
        for mut server in TestLine::each() {
            for (line, answer) in [
                ("XADD s 1 a 1", "$3|1-0|"),
                ("XADD s MAXLEN = 1 2 a 1", "$3|2-0|"),
                ("XADD s MAXLEN ~ 1 3 a 1", "$3|3-0|"),
                ("XADD s MAXLEN ~ 1 LIMIT 1 4 a 1", "$3|4-0|"),
                ("XLEN s", ":3|"),
                ("XADD s MINID 4 5 a 1", "$3|5-0|"),
                ("XLEN s", ":2|"),
                ("XADD s MAXLEN 2 MINID 3 9 a 1", BOTH),
                ("XADD s MAXLEN 9 a 1 b", INVALID),
                ("XADD s MAXLEN -1 9 a 1", "-ERR The MAXLEN argument must be >= 0.|"),
                (
                    "XADD s LIMIT 5 9 a 1",
                    "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy|",
                ),
                (
                    "XADD s MAXLEN 2 LIMIT 1 9 a 1",
                    "-ERR syntax error, LIMIT cannot be used without the special ~ option|",
                ),
                ("XTRIM s MAXLEN ~ 1", ":0|"),
                ("XTRIM s MAXLEN 1", ":1|"),
                ("XTRIM s MAXLEN ~ 0", ":1|"),
                ("XTRIM s NOMKSTREAM MAXLEN 1", "-ERR syntax error|"),
                ("XTRIM s MAXLEN 1 MINID 1", BOTH),
                ("XTRIM s MAXLEN ~", "-ERR value is not an integer or out of range|"),
                ("XADD t MAXLEN 0 1-1 a 1", "$3|1-1|"),
                ("XLEN t", ":0|"),
                ("XADD t 0-1 a 1", SMALL),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            assert!(!server.changes("XTRIM s MAXLEN 1"));
            assert_eq!(server.keys().len(), 2);
        }
    }

    #[test]
    fn entries_are_found_between_two_ids() {
        for mut server in TestLine::each() {
            server.run("XADD s 9-4 a 1");
            server.run("XADD s 9-6 b 2");
            let (first, second) = ("*2|$3|9-4|*2|$1|a|$1|1|", "*2|$3|9-6|*2|$1|b|$1|2|");
            let both = format!("*2|{first}{second}");
            assert_eq!(server.run("XRANGE s - +"), both);
            assert_eq!(server.run("XRANGE s 9 9"), both);
            assert_eq!(server.run("XREVRANGE s + -"), format!("*2|{second}{first}"));
            assert_eq!(server.run("XRANGE s (9-4 + COUNT 5"), format!("*1|{second}"));
            assert_eq!(server.run("XRANGE s (9 (9-6"), format!("*1|{first}"));
            assert_eq!(server.run("XREVRANGE s + - COUNT 1"), format!("*1|{second}"));
            for (line, answer) in [
                ("XRANGE s + -", "*0|"),
                ("XRANGE s - + COUNT 0", "*-1|"),
                ("XRANGE none - + COUNT 0", "*0|"),
                ("XRANGE s (- +", INVALID),
                (
                    "XRANGE s (18446744073709551615-18446744073709551615 +",
                    "-ERR invalid start ID for the interval|",
                ),
                ("XRANGE s - (0-0", "-ERR invalid end ID for the interval|"),
                ("XRANGE s - + COUNT", "-ERR syntax error|"),
                ("XDEL s 9-6 x", INVALID),
                ("XDEL none x", ":0|"),
                ("XDEL s 9-6 7-7", ":1|"),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            assert!(!server.changes("XDEL s 7-7"));
        }
    }
}
