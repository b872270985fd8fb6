//! Sorted sets: members that are popped, and those that are waited for.

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answer, Answered, DataCall, Wait, reply};
use crate::testkit::sim::commands::arguments::{MultiPop, amount, score, seconds};
use crate::testkit::sim::commands::sorted_sets::{remove, with_scores};
use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("zpopmin", -2, "write fast", Keys::FIRST, |call| pop(call, End::Min)),
    Spec::data("zpopmax", -2, "write fast", Keys::FIRST, |call| pop(call, End::Max)),
    Spec::data("bzpopmin", -3, "write noscript blocking fast", Keys::Range(1, -2, 1), |call| {
        bpop(call, End::Min)
    }),
    Spec::data("bzpopmax", -3, "write noscript blocking fast", Keys::Range(1, -2, 1), |call| {
        bpop(call, End::Max)
    }),
    Spec::data("zmpop", -4, "write movablekeys", Keys::Counted(1), zmpop).since(Since::Redis70),
    Spec::data("bzmpop", -5, "write blocking movablekeys", Keys::Counted(2), bzmpop).since(Since::Redis70),
];

/// As `TYPE` says it.
const AWAITS: &str = "zset";

type Members = Vec<(Bytes, f64)>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Min,
    Max,
}

impl End {
    fn parse(word: &[u8]) -> Result<Self, Refused> {
        if word.eq_ignore_ascii_case(b"MIN") {
            Ok(Self::Min)
        } else if word.eq_ignore_ascii_case(b"MAX") {
            Ok(Self::Max)
        } else {
            Err(Refused::syntax())
        }
    }

    fn of(self, set: &SortedSet, count: usize) -> Members {
        let owned = |(member, score): (&Bytes, f64)| (member.clone(), score);
        match self {
            Self::Min => set.iter().take(count).map(owned).collect(),
            Self::Max => set.iter().rev().take(count).map(owned).collect(),
        }
    }
}

/// Pops from the first of these keys that exists.
fn take_first(
    call: &mut DataCall<'_>,
    keys: Vec<Bytes>,
    end: End,
    count: usize,
) -> Result<Option<(Bytes, Members)>, Refused> {
    for key in keys {
        if let Some(set) = call.keys.read::<SortedSet>(&key)? {
            let taken = end.of(set, count);
            let members: Vec<Bytes> = taken.iter().map(|(member, _)| member.clone()).collect();
            remove(call, &key, &members)?;
            return Ok(Some((key, taken)));
        }
    }
    Ok(None)
}

fn pop(call: &mut DataCall<'_>, end: End) -> Answered {
    let count = match call.args {
        [_, _] => None,
        [_, _, count] if call.profile.since_7_0() => Some(amount(count)?),
        // Redis 6.2 does not even look at the key if it shall pop nothing.
        [_, _, count] => match usize::try_from(call::int(count)?) {
            Ok(0) | Err(_) => return reply(Reply::Array(Vec::new())),
            Ok(count) => Some(count),
        },
        _ => return Err(Refused::syntax()),
    };
    let taken = take_first(call, vec![call.arg(1)], end, count.unwrap_or(1))?;
    let taken = taken.map(|(_, taken)| taken).unwrap_or_default();
    reply(match (count, taken.first()) {
        (None, Some((member, found))) => Reply::Array(vec![Reply::Bulk(member.clone()), score(call, *found)]),
        (Some(_) | None, _) => with_scores(call, taken),
    })
}

fn bpop(call: &mut DataCall<'_>, end: End) -> Answered {
    let last = call.args.len().saturating_sub(1);
    let timeout = seconds(call, last)?;
    let keys: Vec<Bytes> = call.args.iter().take(last).skip(1).cloned().collect();
    let open = call.open_to(keys.clone());
    let Some((key, taken)) = take_first(call, open, end, 1)? else {
        return Ok(Answer::Wait(Wait::new(keys, AWAITS, timeout)));
    };
    let mut answer = vec![Reply::Bulk(key)];
    for (member, found) in taken {
        answer.extend([Reply::Bulk(member), score(call, found)]);
    }
    reply(Reply::Array(answer))
}

/// Pairs in either version of the protocol.
fn with_key(call: &DataCall<'_>, (key, members): (Bytes, Members)) -> Reply {
    let pair = |(member, found)| Reply::Array(vec![Reply::Bulk(member), score(call, found)]);
    Reply::Array(vec![Reply::Bulk(key), Reply::Array(members.into_iter().map(pair).collect())])
}

fn zmpop(call: &mut DataCall<'_>) -> Answered {
    let pop = MultiPop::parse(call.args, 1, End::parse)?;
    let taken = take_first(call, pop.keys, pop.word, pop.count)?;
    reply(taken.map_or(Reply::NilArray, |taken| with_key(call, taken)))
}

fn bzmpop(call: &mut DataCall<'_>) -> Answered {
    let pop = MultiPop::parse(call.args, 2, End::parse)?;
    let timeout = seconds(call, 1)?;
    let open = call.open_to(pop.keys.clone());
    match take_first(call, open, pop.word, pop.count)? {
        Some(taken) => reply(with_key(call, taken)),
        None => Ok(Answer::Wait(Wait::new(pop.keys, AWAITS, timeout))),
    }
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn members_are_popped_from_either_end() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a 2 b 3.5 c 4 d");
            assert_eq!(server.run3("ZPOPMIN z"), "*2|$1|a|,1|");
            assert_eq!(server.run3("ZPOPMIN z 1"), "*1|*2|$1|b|,2|");
            assert_eq!(server.run("ZPOPMAX z 10"), "*4|$1|d|$1|4|$1|c|$3|3.5|");
            assert_eq!(server.run("ZPOPMIN z"), "*0|");
            assert_eq!(server.run("ZPOPMIN z 1 1"), "-ERR syntax error|");
            server.run("SET str x");
            let is_new = server.profile().since_7_0();
            let positive = "-ERR value is out of range, must be positive|";
            assert_eq!(server.run("ZPOPMIN z -1"), if is_new { positive } else { "*0|" });
            assert_eq!(server.run("ZPOPMIN str 0"), if is_new { WRONG } else { "*0|" });
            assert_eq!(server.run("ZPOPMIN str"), WRONG);
        }
    }

    #[test]
    fn a_blocking_pop_takes_from_the_first_that_has_a_member() {
        for mut server in TestLine::each() {
            assert_eq!(server.run("BZPOPMIN y z 0"), "waits for y,z None");
            server.run("ZADD z 1 a 2 b inf c");
            assert_eq!(server.run("BZPOPMIN y z 0"), "*3|$1|z|$1|a|$1|1|");
            assert_eq!(server.run3("BZPOPMAX y z 0"), "*3|$1|z|$1|c|,inf|");
            assert_eq!(server.run("BZPOPMIN y x"), "-ERR timeout is not a float or out of range|");
            if server.profile().since_7_0() {
                assert_eq!(server.run("BZMPOP 0 2 y z MIN COUNT 5"), "*2|$1|z|*1|*2|$1|b|$1|2|");
                assert_eq!(server.run("BZMPOP 0.5 2 y z MAX"), "waits for y,z Some(500ms)");
                assert_eq!(server.run("BZMPOP x 2 y z MIN COUNT 0"), "-ERR count should be greater than 0|");
                assert_eq!(server.run("ZMPOP 1 y MIN"), "*-1|");
                server.run("ZADD z 1 a");
                assert_eq!(server.run3("ZMPOP 2 y z MAX"), "*2|$1|z|*1|*2|$1|a|,1|");
            }
        }
    }
}
