//! Streams: reading what is new in several, and waiting for it.

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answer, Answered, DataCall, Wait, reply};
use crate::testkit::sim::commands::arguments::milliseconds;
use crate::testkit::sim::commands::streams::{entry, invalid_id};
use crate::testkit::sim::keyspace::stream::{Stream, StreamId};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] =
    &[Spec::data("xread", -4, "readonly blocking movablekeys", Keys::Streams, xread)];

/// As `TYPE` says it.
const AWAITS: &str = "stream";

/// What `XREAD` is asked for.
struct Query<'a> {
    count: usize,
    /// How long it may wait, if it may at all.
    block: Option<Option<std::time::Duration>>,
    /// Where the keys begin.
    place: usize,
    keys: &'a [Bytes],
    ids: &'a [Bytes],
}

impl<'a> Query<'a> {
    fn parse(call: &DataCall<'a>) -> Result<Self, Refused> {
        let mut query = Self { count: usize::MAX, block: None, place: 0, keys: &[], ids: &[] };
        let mut place = 1;
        while let Some(arg) = call.args.get(place) {
            let behind = call.args.get(place + 1..).unwrap_or_default();
            match (arg.to_ascii_uppercase().as_slice(), behind) {
                (b"BLOCK", [timeout, ..]) => query.block = Some(milliseconds(call, timeout)?),
                (b"COUNT", [count, ..]) => {
                    let count = usize::try_from(call::int(count)?).unwrap_or_default();
                    query.count = if count == 0 { usize::MAX } else { count };
                }
                (b"STREAMS", [_, ..]) => {
                    if !behind.len().is_multiple_of(2) {
                        return Err(unbalanced(call.profile));
                    }
                    query.place = place + 1;
                    (query.keys, query.ids) = behind.split_at_checked(behind.len() / 2).unwrap_or_default();
                    return Ok(query);
                }
                (b"GROUP", [_, _, ..]) => return Err(only_in_groups("GROUP")),
                (b"NOACK", _) => return Err(only_in_groups("NOACK")),
                _ => break,
            }
            place += 2;
        }
        Err(Refused::syntax())
    }

    /// Behind which entry each key is read. What depends on the moment is decided here, once.
    fn resolve(&self, call: &DataCall<'_>) -> Result<Vec<StreamId>, Refused> {
        let mut ids = Vec::with_capacity(self.ids.len());
        for (key, id) in self.keys.iter().zip(self.ids) {
            let stream = call.keys.read::<Stream>(key)?;
            ids.push(match id.as_ref() {
                b"$" => stream.map_or(StreamId::MIN, |stream| stream.last),
                b"+" if call.profile.since_7_2() => {
                    // Valkey takes the newest id that was ever given, also if that entry is deleted.
                    let newest = stream.and_then(|stream| match call.profile.is_valkey() {
                        true => Some(stream.last),
                        false => stream.entries.last_key_value().map(|(id, _)| *id),
                    });
                    newest.and_then(StreamId::previous).unwrap_or_default()
                }
                b">" => {
                    return Err(Refused::new(
                        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                         <consumer> option.",
                    ));
                }
                other => StreamId::parse(other, 0).ok_or_else(invalid_id)?,
            });
        }
        Ok(ids)
    }
}

fn only_in_groups(option: &str) -> Refused {
    let text = "option is only supported by XREADGROUP. You called XREAD instead.";
    Refused::new(format!("ERR The {option} {text}"))
}

fn unbalanced(profile: Profile) -> Refused {
    let (name, ids) = match profile {
        Profile::Redis62 | Profile::Redis70 => ("XREAD", "an ID or '$'"),
        Profile::Redis82 | Profile::Redis84 => ("'xread'", "an ID, '+', or '$'"),
        Profile::Valkey81 | Profile::Valkey91 => ("'xread'", "an ID or '$'"),
    };
    Refused::new(format!(
        "ERR Unbalanced {name} list of streams: for each stream key {ids} must be specified."
    ))
}

fn xread(call: &mut DataCall<'_>) -> Answered {
    let query = Query::parse(call)?;
    let ids = query.resolve(call)?;
    let open = call.open_to(query.keys.to_vec());
    let mut found = Vec::new();
    for (key, id) in query.keys.iter().zip(&ids).filter(|(key, _)| open.contains(key)) {
        let Some((stream, from)) = call.keys.read::<Stream>(key)?.zip(id.next()) else { continue };
        let entries: Vec<Reply> = stream.between(from..=StreamId::MAX).take(query.count).map(entry).collect();
        if !entries.is_empty() {
            found.push((Reply::Bulk(key.clone()), Reply::Array(entries)));
        }
    }
    if !found.is_empty() {
        return reply(Reply::Keyed(found));
    }
    let Some(timeout) = query.block else { return reply(Reply::NilArray) };
    let wait = Wait::new(query.keys.to_vec(), AWAITS, timeout);
    let mut args: Vec<Bytes> = call.args.iter().take(query.place).chain(query.keys).cloned().collect();
    args.extend(ids.iter().map(|id| Bytes::from(id.to_string())));
    Ok(Answer::Wait(Wait { args: Some(args), ..wait }))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn what_is_new_is_read_from_each_stream() {
        for mut server in TestLine::each() {
            server.run("XADD s 9-4 a 1");
            server.run("XADD s 9-6 b 2");
            let (first, second) = ("*2|$3|9-4|*2|$1|a|$1|1|", "*2|$3|9-6|*2|$1|b|$1|2|");
            assert_eq!(server.run("XREAD STREAMS s 0"), format!("*1|*2|$1|s|*2|{first}{second}"));
            assert_eq!(server.run3("XREAD STREAMS s none 9-4 0"), format!("%1|$1|s|*1|{second}"));
            assert_eq!(server.run("XREAD COUNT 1 BLOCK 0 STREAMS s 0"), format!("*1|*2|$1|s|*1|{first}"));
            assert_eq!(server.run("XREAD COUNT -1 STREAMS s 9-5"), format!("*1|*2|$1|s|*1|{second}"));
            assert_eq!(server.run("XREAD STREAMS s 9-6"), "*-1|");
            assert_eq!(server.run3("XREAD STREAMS s $"), "_|");
            assert_eq!(server.run("XREAD BLOCK 0 STREAMS s none $ 0"), "waits for s,none None");
            assert_eq!(server.run("XREAD BLOCK 15 STREAMS s 9-6"), "waits for s Some(15ms)");
            let newest = server.run("XREAD STREAMS s +");
            if server.profile().since_7_2() {
                assert_eq!(newest, format!("*1|*2|$1|s|*1|{second}"));
                assert_eq!(server.run("XREAD BLOCK 0 STREAMS none +"), "waits for none None");
                server.run("XDEL s 9-6");
                let oldest = format!("*1|*2|$1|s|*1|{first}");
                let is_valkey = server.profile().is_valkey();
                assert_eq!(server.run("XREAD STREAMS s +"), if is_valkey { "*-1|" } else { &oldest });
            } else {
                assert_eq!(newest, "-ERR Invalid stream ID specified as stream command argument|");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";
        for mut server in TestLine::each() {
            server.run("SET str x");
            for (line, error) in [
                ("XREAD STREAMS str 0", WRONG),
                ("XREAD STREAMS s str 0 x", WRONG),
                ("XREAD STREAMS s x", "-ERR Invalid stream ID specified as stream command argument|"),
                ("XREAD BLOCK x STREAMS s 0", "-ERR timeout is not an integer or out of range|"),
                ("XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative|"),
                ("XREAD COUNT 1 BLOCK 1", "-ERR syntax error|"),
                ("XREAD FOO s 0", "-ERR syntax error|"),
                (
                    "XREAD GROUP g c STREAMS s 0",
                    "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.|",
                ),
                (
                    "XREAD NOACK STREAMS s 0",
                    "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.|",
                ),
            ] {
                assert_eq!(server.run(line), error, "{line}");
            }
            let unbalanced = server.run("XREAD STREAMS s a b");
            let is_new_redis = server.profile() == Profile::Redis82;
            assert!(unbalanced.contains(if is_new_redis { "an ID, '+', or '$'" } else { "an ID or '$'" }));
        }
    }
}
