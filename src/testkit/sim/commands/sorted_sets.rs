//! Sorted sets: members with their scores and ranks. Ranges, pops and what is made of several have files of their own.

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::{choose, sample, score, wrong_number};
use crate::testkit::sim::commands::scan::{ScanOptions, Scanned, cursor, page};
use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::{Reply, double, long_double};
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("zadd", -4, "write denyoom fast", Keys::FIRST, zadd),
    Spec::data("zincrby", 4, "write denyoom fast", Keys::FIRST, zincrby),
    Spec::data("zrem", -3, "write fast", Keys::FIRST, zrem),
    Spec::data("zscore", 3, "readonly fast", Keys::FIRST, zscore),
    Spec::data("zmscore", -3, "readonly fast", Keys::FIRST, zmscore),
    Spec::data("zcard", 2, "readonly fast", Keys::FIRST, zcard),
    // `WITHSCORE` has changed the arity.
    Spec::data("zrank", -3, "readonly fast", Keys::FIRST, zrank).since(Since::Redis72),
    Spec::data("zrank", 3, "readonly fast", Keys::FIRST, zrank).since(Since::Before72),
    Spec::data("zrevrank", -3, "readonly fast", Keys::FIRST, zrevrank).since(Since::Redis72),
    Spec::data("zrevrank", 3, "readonly fast", Keys::FIRST, zrevrank).since(Since::Before72),
    Spec::data("zrandmember", -2, "readonly random", Keys::FIRST, zrandmember),
    Spec::data("zscan", -3, "readonly random", Keys::FIRST, zscan),
];

/// The options of `ZADD`.
#[derive(Clone, Copy, Default, Debug)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    counts_changes: bool,
    increments: bool,
}

impl Options {
    /// The options, and where the scores begin.
    fn parse(args: &[Bytes]) -> (Self, usize) {
        let mut options = Self::default();
        let mut place = 2;
        while let Some(arg) = args.get(place) {
            match arg.to_ascii_uppercase().as_slice() {
                b"NX" => options.nx = true,
                b"XX" => options.xx = true,
                b"GT" => options.gt = true,
                b"LT" => options.lt = true,
                b"CH" => options.counts_changes = true,
                b"INCR" => options.increments = true,
                _ => break,
            }
            place += 1;
        }
        (options, place)
    }

    fn check(self, members: usize) -> Result<(), Refused> {
        let Self { nx, xx, gt, lt, increments, .. } = self;
        if nx && xx {
            return Err(Refused::new("ERR XX and NX options at the same time are not compatible"));
        }
        if (nx && (gt || lt)) || (gt && lt) {
            return Err(Refused::new("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if increments && members > 1 {
            return Err(Refused::new("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that the member shall have; none if it stays as it is.
    fn decide(self, before: Option<f64>, given: f64) -> Result<Option<f64>, Refused> {
        let Some(before) = before else { return Ok((!self.xx).then_some(given)) };
        if self.nx {
            return Ok(None);
        }
        let after = if self.increments { before + given } else { given };
        if after.is_nan() {
            return Err(Refused::new("ERR resulting score is not a number (NaN)"));
        }
        let is_refused = (self.gt && after <= before) || (self.lt && after >= before);
        Ok((!is_refused).then_some(after))
    }
}

fn zadd(call: &mut DataCall<'_>) -> Answered {
    let (options, place) = Options::parse(call.args);
    let given = call.rest(place);
    if given.is_empty() || !given.len().is_multiple_of(2) {
        return Err(Refused::syntax());
    }
    options.check(given.len() / 2)?;
    let mut members = Vec::with_capacity(given.len() / 2);
    for pair in given.chunks(2) {
        let [score, member] = pair else { return Err(Refused::syntax()) };
        members.push((call::float(score)?, member.clone()));
    }
    add(call, options, members)
}

fn zincrby(call: &mut DataCall<'_>) -> Answered {
    let members = vec![(call.float(2)?, call.arg(3))];
    add(call, Options { increments: true, ..Options::default() }, members)
}

fn add(call: &mut DataCall<'_>, options: Options, members: Vec<(f64, Bytes)>) -> Answered {
    let key = call.arg(1);
    let set = call.keys.write::<SortedSet>(&key)?;
    let (mut added, mut updated, mut last) = (0, 0, None);
    let mut refused = None;
    for (given, member) in members {
        let before = set.score(&member);
        let after = match options.decide(before, given) {
            Ok(Some(after)) => after,
            Ok(None) => continue,
            Err(error) => {
                refused = Some(error);
                break;
            }
        };
        last = Some(after);
        match before {
            None => added += 1,
            Some(before) if before != after => updated += 1,
            Some(_) => continue,
        }
        set.insert(member, after);
    }
    if added + updated > 0 {
        call.keys.changed(&key);
    } else {
        call.keys.untouched(&key);
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    reply(if options.increments {
        last.map_or(Reply::Nil, |last| score(call, last))
    } else {
        Reply::int(if options.counts_changes { added + updated } else { added })
    })
}

/// Removes members; how many were there.
pub(in crate::testkit::sim) fn remove(
    call: &mut DataCall<'_>,
    key: &Bytes,
    members: &[Bytes],
) -> Result<usize, Refused> {
    let set = call.keys.write::<SortedSet>(key)?;
    let removed = members.iter().filter(|member| set.remove(member).is_some()).count();
    if removed > 0 {
        call.keys.changed(key);
    } else {
        call.keys.untouched(key);
    }
    Ok(removed)
}

fn zrem(call: &mut DataCall<'_>) -> Answered {
    let removed = remove(call, &call.arg(1), call.args.get(2..).unwrap_or_default())?;
    reply(Reply::int(removed))
}

fn zscore(call: &mut DataCall<'_>) -> Answered {
    let found = call.keys.read::<SortedSet>(&call.arg(1))?.and_then(|set| set.score(&call.arg(2)));
    reply(found.map_or(Reply::Nil, |found| score(call, found)))
}

fn zmscore(call: &mut DataCall<'_>) -> Answered {
    let set = call.keys.read::<SortedSet>(&call.arg(1))?;
    let found = call.rest(2).iter().map(|member| set.and_then(|set| set.score(member)));
    reply(Reply::Array(found.map(|found| found.map_or(Reply::Nil, |found| score(call, found))).collect()))
}

fn zcard(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.read::<SortedSet>(&call.arg(1))?.map_or(0, SortedSet::len)))
}

fn zrank(call: &mut DataCall<'_>) -> Answered {
    rank(call, "zrank", false)
}

fn zrevrank(call: &mut DataCall<'_>) -> Answered {
    rank(call, "zrevrank", true)
}

fn rank(call: &mut DataCall<'_>, name: &str, reverse: bool) -> Answered {
    let with_score = match call.args {
        [_, _, _] => false,
        [_, _, _, _] if call.is(3, "WITHSCORE") => true,
        [_, _, _, _] => return Err(Refused::syntax()),
        _ => return Err(wrong_number(name)),
    };
    let member = call.arg(2);
    let set = call.keys.read::<SortedSet>(&call.arg(1))?;
    let found = set.and_then(|set| {
        let (rank, (_, score)) = set.iter().enumerate().find(|(_, (known, _))| **known == member)?;
        Some((if reverse { set.len() - 1 - rank } else { rank }, score))
    });
    reply(match found {
        Some((rank, _)) if !with_score => Reply::int(rank),
        Some((rank, found)) => Reply::Array(vec![Reply::int(rank), score(call, found)]),
        None if with_score => Reply::NilArray,
        None => Reply::Nil,
    })
}

/// Members with their scores, as the commands give them that were asked for scores.
pub(in crate::testkit::sim) fn with_scores(call: &DataCall<'_>, members: Vec<(Bytes, f64)>) -> Reply {
    Reply::Pairs(
        members.into_iter().map(|(member, found)| (Reply::Bulk(member), score(call, found))).collect(),
    )
}

/// Members alone.
pub(in crate::testkit::sim) fn without_scores(members: Vec<(Bytes, f64)>) -> Reply {
    Reply::Array(members.into_iter().map(|(member, _)| Reply::Bulk(member)).collect())
}

fn zrandmember(call: &mut DataCall<'_>) -> Answered {
    let count = call.args.get(2).map(|count| sample(count)).transpose()?;
    let has_scores = match call.args.len() {
        ..=3 => false,
        4 if call.is(3, "WITHSCORES") => true,
        _ => return Err(Refused::syntax()),
    };
    let set = call.keys.read::<SortedSet>(&call.arg(1))?;
    let members: Vec<(Bytes, f64)> =
        set.into_iter().flat_map(SortedSet::iter).map(|(member, score)| (member.clone(), score)).collect();
    let chosen = choose(members, count.unwrap_or(1), call.rng);
    reply(match count {
        None => Reply::maybe(chosen.into_iter().next().map(|(member, _)| member)),
        Some(_) if has_scores => with_scores(call, chosen),
        Some(_) => without_scores(chosen),
    })
}

/// One page, whatever the cursor: a real server pages only what is large.
fn zscan(call: &mut DataCall<'_>) -> Answered {
    cursor(&call.arg(2))?;
    let Some(set) = call.keys.read::<SortedSet>(&call.arg(1))? else { return page(0, Vec::new()) };
    let options = ScanOptions::parse(call.rest(3), Scanned::SortedSet, call.profile)?;
    let text = if call.profile.since_7_2() { double } else { long_double };
    let mut found = Vec::new();
    for (member, score) in set.iter().filter(|(member, _)| options.is_meant(member)) {
        found.push(Reply::Bulk(member.clone()));
        if !options.is_bare {
            found.push(Reply::bulk(text(score)));
        }
    }
    page(0, found)
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;

    #[test]
    fn a_score_is_set_on_the_conditions_that_are_named() {
        for mut server in TestLine::each() {
            for (line, answer) in [
                ("ZADD z 1 a 2 b 3 c", ":3|"),
                ("ZADD z 1 a 5 b", ":0|"),
                ("ZADD z CH 1 a 6 b 7 n", ":2|"),
                ("ZADD z NX 9 a 1 new", ":1|"),
                ("ZADD z XX 9 a 1 none", ":0|"),
                ("ZADD z XX CH 8 a 1 none", ":1|"),
                ("ZADD z GT 1 a 9 b 1 gt", ":1|"),
                ("ZADD z LT CH 1 a 9 b", ":1|"),
                ("ZADD z INCR 1 a", "$1|2|"),
                ("ZADD z NX INCR 1 a", "$-1|"),
                ("ZADD z XX INCR 1 none", "$-1|"),
                ("ZADD z GT INCR -1 a", "$-1|"),
                ("ZADD none XX 1 a", ":0|"),
                ("ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible|"),
                ("ZADD z NX XX GT 1 a", "-ERR XX and NX options at the same time are not compatible|"),
                ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair|"),
                ("ZADD z 1 a 2", "-ERR syntax error|"),
                ("ZADD z NX NX", "-ERR syntax error|"),
                ("ZADD z 1 a x b", "-ERR value is not a valid float|"),
                ("ZADD z nan a", "-ERR value is not a valid float|"),
                ("ZADD z inf i", ":1|"),
                ("ZINCRBY z -inf i", "-ERR resulting score is not a number (NaN)|"),
                ("ZCARD none", ":0|"),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            assert!(!server.changes("ZADD z 2 a"));
            assert!(!server.changes("ZADD none XX 2 a"));
            assert_eq!(server.keys().len(), 1);
        }
    }

    #[test]
    fn scores_have_the_digits_of_their_version() {
        for mut server in TestLine::each() {
            let tenth = if server.profile().since_7_2() { "0.1" } else { "0.10000000000000001" };
            server.run("ZADD z 0.1 a");
            let length = tenth.len();
            assert_eq!(server.run("ZSCORE z a"), format!("${length}|{tenth}|"));
            assert_eq!(server.run3("ZMSCORE z a b"), format!("*2|,{tenth}|_|"));
            assert_eq!(server.run3("ZSCAN z 0"), format!("*2|$1|0|*2|$1|a|${length}|{tenth}|"));
        }
    }

    #[test]
    fn a_rank_counts_from_either_end() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a 2 b 2 c");
            assert_eq!(server.run("ZRANK z c"), ":2|");
            assert_eq!(server.run("ZREVRANK z c"), ":0|");
            assert_eq!(server.run("ZRANK z d"), "$-1|");
            let wrong = "-ERR wrong number of arguments for 'zrank' command|";
            let is_new = server.profile().since_7_2();
            assert_eq!(server.run("ZRANK z b WITHSCORE"), if is_new { "*2|:1|$1|2|" } else { wrong });
            assert_eq!(server.run("ZRANK z d WITHSCORE"), if is_new { "*-1|" } else { wrong });
            assert_eq!(server.run("ZRANK z b FOO"), if is_new { "-ERR syntax error|" } else { wrong });
            assert_eq!(server.run("ZRANK z b WITHSCORE x"), wrong);
        }
    }

    #[test]
    fn random_members_come_with_scores_if_these_are_asked_for() {
        for mut server in TestLine::each() {
            server.run("ZADD z 1 a");
            assert_eq!(server.run("ZRANDMEMBER z"), "$1|a|");
            assert_eq!(server.run("ZRANDMEMBER none 2"), "*0|");
            assert_eq!(server.run3("ZRANDMEMBER z 5 WITHSCORES"), "*1|*2|$1|a|,1|");
            assert_eq!(server.run("ZRANDMEMBER z -2 WITHSCORES"), "*4|$1|a|$1|1|$1|a|$1|1|");
            assert_eq!(server.run("ZRANDMEMBER z 2 FOO"), "-ERR syntax error|");
            assert_eq!(server.run("ZRANDMEMBER z x FOO"), "-ERR value is not an integer or out of range|");
        }
    }
}
