//! Sorted sets: ranges by rank, by score and by the members' bytes.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::span;
use crate::testkit::sim::commands::sorted_sets::{remove, with_scores, without_scores};
use crate::testkit::sim::keyspace::entry::Stored;
use crate::testkit::sim::keyspace::interval::{LexInterval, ScoreInterval};
use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("zrange", -4, "readonly", Keys::FIRST, zrange),
    Spec::data("zrevrange", -4, "readonly", Keys::FIRST, |call| old(call, Kind::Rank, true)),
    Spec::data("zrangebyscore", -4, "readonly", Keys::FIRST, |call| old(call, Kind::Score, false)),
    Spec::data("zrevrangebyscore", -4, "readonly", Keys::FIRST, |call| old(call, Kind::Score, true)),
    Spec::data("zrangebylex", -4, "readonly", Keys::FIRST, |call| old(call, Kind::Lex, false)),
    Spec::data("zrevrangebylex", -4, "readonly", Keys::FIRST, |call| old(call, Kind::Lex, true)),
    Spec::data("zrangestore", -5, "write denyoom", Keys::Range(1, 2, 1), zrangestore),
    Spec::data("zcount", 4, "readonly fast", Keys::FIRST, |call| count(call, Kind::Score)),
    Spec::data("zlexcount", 4, "readonly fast", Keys::FIRST, |call| count(call, Kind::Lex)),
    Spec::data("zremrangebyrank", 4, "write", Keys::FIRST, |call| remove_range(call, Kind::Rank)),
    Spec::data("zremrangebyscore", 4, "write", Keys::FIRST, |call| remove_range(call, Kind::Score)),
    Spec::data("zremrangebylex", 4, "write", Keys::FIRST, |call| remove_range(call, Kind::Lex)),
];

/// What the bounds of a range are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Rank,
    Score,
    Lex,
}

/// A range with its bounds.
enum Range {
    Rank(i64, i64),
    Score(ScoreInterval),
    Lex(LexInterval),
}

impl Range {
    fn parse(kind: Kind, low: &Bytes, high: &Bytes) -> Result<Self, Refused> {
        Ok(match kind {
            Kind::Rank => Self::Rank(call::int(low)?, call::int(high)?),
            Kind::Score => Self::Score(ScoreInterval::parse(low, high)?),
            Kind::Lex => Self::Lex(LexInterval::parse(low, high)?),
        })
    }

    /// The members in it, in their order.
    fn of(&self, set: &SortedSet, reverse: bool) -> Vec<(Bytes, f64)> {
        let mut all: Vec<(Bytes, f64)> = set.iter().map(|(member, score)| (member.clone(), score)).collect();
        if reverse {
            all.reverse();
        }
        match self {
            Self::Rank(start, end) => {
                let span = span(*start, *end, all.len());
                all.truncate(span.end);
                all.drain(..span.start.min(all.len()));
            }
            Self::Score(interval) => all.retain(|(_, score)| interval.contains(*score)),
            Self::Lex(interval) => all.retain(|(member, _)| interval.contains(member)),
        }
        all
    }
}

/// What a command of the `ZRANGE` family is asked for.
struct Query {
    kind: Kind,
    reverse: bool,
    /// How many are left out, and how many come then; negative is all.
    limit: (i64, i64),
    has_scores: bool,
}

impl Query {
    fn new(kind: Kind, reverse: bool) -> Self {
        Self { kind, reverse, limit: (0, -1), has_scores: false }
    }

    /// Reads the options that all have; the others are left to `more`.
    fn read(
        mut self,
        options: &[Bytes],
        mut more: impl FnMut(&mut Self, &[u8]) -> ControlFlow<()>,
    ) -> Result<Self, Refused> {
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match option.to_ascii_uppercase().as_slice() {
                b"LIMIT" => {
                    let (Some(offset), Some(count)) = (options.next(), options.next()) else {
                        return Err(Refused::syntax());
                    };
                    self.limit = (call::int(offset)?, call::int(count)?);
                }
                other => {
                    if more(&mut self, other).is_break() {
                        return Err(Refused::syntax());
                    }
                }
            }
        }
        if self.kind == Kind::Rank && self.limit.1 != -1 {
            return Err(Refused::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if self.kind == Kind::Rank {
            // `LIMIT 3 -1` is let through, and means nothing.
            self.limit = (0, -1);
        }
        if self.kind == Kind::Lex && self.has_scores {
            return Err(Refused::new("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        Ok(self)
    }

    /// The members at this key between two bounds; a range by value is asked for from its far end if it is reversed.
    fn run(
        &self,
        call: &DataCall<'_>,
        key: &Bytes,
        bounds: [&Bytes; 2],
    ) -> Result<Vec<(Bytes, f64)>, Refused> {
        let [low, high] = bounds;
        let is_turned = self.reverse && self.kind != Kind::Rank;
        let (low, high) = if is_turned { (high, low) } else { (low, high) };
        let range = Range::parse(self.kind, low, high)?;
        let Some(set) = call.keys.read::<SortedSet>(key)? else { return Ok(Vec::new()) };
        let found = range.of(set, self.reverse);
        let (offset, count) = self.limit;
        let Ok(offset) = usize::try_from(offset) else { return Ok(Vec::new()) };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(found.into_iter().skip(offset).take(count).collect())
    }
}

/// The options of `ZRANGE` and `ZRANGESTORE`.
fn modern(query: &mut Query, option: &[u8]) -> ControlFlow<()> {
    match option {
        b"REV" => query.reverse = true,
        b"BYSCORE" if query.kind == Kind::Rank => query.kind = Kind::Score,
        b"BYLEX" if query.kind == Kind::Rank => query.kind = Kind::Lex,
        _ => return ControlFlow::Break(()),
    }
    ControlFlow::Continue(())
}

fn asks_for_scores(query: &mut Query, option: &[u8]) -> ControlFlow<()> {
    if option != b"WITHSCORES" {
        return ControlFlow::Break(());
    }
    query.has_scores = true;
    ControlFlow::Continue(())
}

fn zrange(call: &mut DataCall<'_>) -> Answered {
    let query = Query::new(Kind::Rank, false).read(call.rest(4), |query, option| {
        if asks_for_scores(query, option).is_continue() {
            return ControlFlow::Continue(());
        }
        modern(query, option)
    })?;
    show(call, &query)
}

/// Those that were there before `ZRANGE` could do it all.
fn old(call: &mut DataCall<'_>, kind: Kind, reverse: bool) -> Answered {
    let query = Query::new(kind, reverse).read(call.rest(4), asks_for_scores)?;
    show(call, &query)
}

fn show(call: &mut DataCall<'_>, query: &Query) -> Answered {
    let found = query.run(call, &call.arg(1), [&call.arg(2), &call.arg(3)])?;
    reply(if query.has_scores { with_scores(call, found) } else { without_scores(found) })
}

fn zrangestore(call: &mut DataCall<'_>) -> Answered {
    let query = Query::new(Kind::Rank, false).read(call.rest(5), modern)?;
    let found = query.run(call, &call.arg(2), [&call.arg(3), &call.arg(4)])?;
    store(call, found)
}

/// Puts these members in place of whatever the first argument named; how many they are. No members are no key.
pub(in crate::testkit::sim) fn store(call: &mut DataCall<'_>, members: Vec<(Bytes, f64)>) -> Answered {
    let size = members.len();
    if size == 0 {
        call.keys.remove(&call.arg(1));
        return reply(Reply::Int(0));
    }
    let mut set = SortedSet::default();
    for (member, score) in members {
        set.insert(member, score);
    }
    call.keys.put(&call.arg(1), Stored::SortedSet(set), None);
    reply(Reply::int(size))
}

fn count(call: &mut DataCall<'_>, kind: Kind) -> Answered {
    let found = Query::new(kind, false).run(call, &call.arg(1), [&call.arg(2), &call.arg(3)])?;
    reply(Reply::int(found.len()))
}

fn remove_range(call: &mut DataCall<'_>, kind: Kind) -> Answered {
    let key = call.arg(1);
    let found = Query::new(kind, false).run(call, &key, [&call.arg(2), &call.arg(3)])?;
    let members: Vec<Bytes> = found.into_iter().map(|(member, _)| member).collect();
    if !members.is_empty() {
        remove(call, &key, &members)?;
    }
    reply(Reply::int(members.len()))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;

    const NO_FLOAT: &str = "-ERR min or max is not a float|";
    const NO_ITEM: &str = "-ERR min or max not valid string range item|";
    const NO_INT: &str = "-ERR value is not an integer or out of range|";
    const LIMIT: &str =
        "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX|";
    const SYNTAX: &str = "-ERR syntax error|";

    #[test]
    fn a_range_is_found_as_on_every_real_server() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a 2 b 3.5 c");
            server.run("SET str x");
            for (line, answer) in [
                ("ZRANGE z 0 -1", "*3|$1|a|$1|b|$1|c|"),
                ("ZRANGE z 0 0 REV WITHSCORES", "*2|$1|c|$3|3.5|"),
                ("ZRANGE z (1 2 BYSCORE", "*1|$1|b|"),
                ("ZRANGE z 2 1 BYSCORE REV", "*2|$1|b|$1|a|"),
                ("ZRANGE z 1 2 BYSCORE REV", "*0|"),
                ("ZRANGE z -inf +inf BYSCORE LIMIT 1 1 WITHSCORES", "*2|$1|b|$1|2|"),
                ("ZRANGE z -inf +inf BYSCORE LIMIT -1 1", "*0|"),
                ("ZRANGE z -inf +inf BYSCORE LIMIT 1 -1", "*2|$1|b|$1|c|"),
                ("ZRANGE z + - BYLEX REV LIMIT 0 2", "*2|$1|c|$1|b|"),
                ("ZRANGE z 0 -1 LIMIT 2 -1", "*3|$1|a|$1|b|$1|c|"),
                ("ZRANGE z 0 -1 LIMIT 1 1", LIMIT),
                ("ZRANGE z -inf +inf BYSCORE LIMIT 1", SYNTAX),
                (
                    "ZRANGE z - + BYLEX WITHSCORES",
                    "-ERR syntax error, WITHSCORES not supported in combination with BYLEX|",
                ),
                ("ZRANGE z a b BYLEX", NO_ITEM),
                ("ZRANGE z a b BYSCORE", NO_FLOAT),
                ("ZRANGE str a b", NO_INT),
                ("ZRANGE z 0 1 BYLEX BYSCORE", SYNTAX),
                ("ZRANGE none 0 1", "*0|"),
                ("ZREVRANGE z 0 1", "*2|$1|c|$1|b|"),
                ("ZREVRANGE z 0 1 REV", SYNTAX),
                ("ZREVRANGE z 0 1 LIMIT 0 1", LIMIT),
                ("ZRANGEBYSCORE z 1 2 WITHSCORES LIMIT 0 1", "*2|$1|a|$1|1|"),
                ("ZRANGEBYSCORE z 1 2 BYLEX", SYNTAX),
                ("ZREVRANGEBYSCORE z +inf -inf WITHSCORES LIMIT 1 1", "*2|$1|b|$1|2|"),
                ("ZRANGEBYLEX z [a [b LIMIT 1 1", "*1|$1|b|"),
                ("ZREVRANGEBYLEX z + -", "*3|$1|c|$1|b|$1|a|"),
                ("ZCOUNT z (1 +inf", ":2|"),
                ("ZCOUNT str x 2", NO_FLOAT),
                ("ZLEXCOUNT z [a (c", ":2|"),
                ("ZLEXCOUNT none a c", NO_ITEM),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            assert_eq!(server.run3("ZRANGE z 0 0 WITHSCORES"), "*1|*2|$1|a|,1|");
        }
    }

    #[test]
    fn a_range_is_removed_and_the_last_member_takes_the_key_with_it() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a 2 b 3 c 4 d");
            assert!(!server.changes("ZREMRANGEBYSCORE z 7 9"));
            assert_eq!(server.run("ZREMRANGEBYRANK z 0 0"), ":1|");
            assert_eq!(server.run("ZREMRANGEBYSCORE z (3 inf"), ":1|");
            assert_eq!(server.run("ZREMRANGEBYLEX z - +"), ":2|");
            assert_eq!(server.keys().len(), 0);
            assert_eq!(server.run("ZREMRANGEBYRANK none x 1"), NO_INT);
            assert_eq!(server.run("ZREMRANGEBYLEX none x 1"), NO_ITEM);
        }
    }

    #[test]
    fn a_range_is_stored_in_place_of_anything() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a 2 b");
            server.run("SET d x");
            assert_eq!(server.run("ZRANGESTORE d z 0 -1 WITHSCORES"), SYNTAX);
            assert_eq!(server.run("ZRANGESTORE d z 2 3 BYSCORE"), ":1|");
            assert_eq!(server.run("ZRANGE d 0 -1 WITHSCORES"), "*2|$1|b|$1|2|");
            assert_eq!(server.run("ZRANGESTORE d none 0 -1"), ":0|");
            assert_eq!(server.run("ZCARD d"), ":0|");
            assert!(!server.changes("ZRANGESTORE d none 0 -1"));
        }
    }
}
