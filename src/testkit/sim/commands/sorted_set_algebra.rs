//! Sorted sets: what several have in common, have together, or one has alone. A plain set counts 1 for each member.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::limit;
use crate::testkit::sim::commands::sorted_set_ranges::store;
use crate::testkit::sim::commands::sorted_sets::{with_scores, without_scores};
use crate::testkit::sim::keyspace::entry::{Set, Stored};
use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("zunion", -3, "readonly movablekeys", Keys::Counted(1), |call| {
        show(call, "zunion", Operation::Union)
    }),
    Spec::data("zinter", -3, "readonly movablekeys", Keys::Counted(1), |call| {
        show(call, "zinter", Operation::Inter)
    }),
    Spec::data("zdiff", -3, "readonly movablekeys", Keys::Counted(1), |call| {
        show(call, "zdiff", Operation::Diff)
    }),
    Spec::data("zunionstore", -4, "write denyoom movablekeys", Keys::StoreCounted, |call| {
        put(call, "zunionstore", Operation::Union)
    }),
    Spec::data("zinterstore", -4, "write denyoom movablekeys", Keys::StoreCounted, |call| {
        put(call, "zinterstore", Operation::Inter)
    }),
    Spec::data("zdiffstore", -4, "write denyoom movablekeys", Keys::StoreCounted, |call| {
        put(call, "zdiffstore", Operation::Diff)
    }),
    Spec::data("zintercard", -3, "readonly movablekeys", Keys::Counted(1), zintercard).since(Since::Redis70),
];

type Scores = BTreeMap<Bytes, f64>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Union,
    Inter,
    Diff,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(word: &[u8]) -> Result<Self, Refused> {
        match word.to_ascii_uppercase().as_slice() {
            b"SUM" => Ok(Self::Sum),
            b"MIN" => Ok(Self::Min),
            b"MAX" => Ok(Self::Max),
            _ => Err(Refused::syntax()),
        }
    }

    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Sum => number(left + right),
            Self::Min => left.min(right),
            Self::Max => left.max(right),
        }
    }
}

/// Infinity less infinity, and infinity times zero, count as zero.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The sets of a command, and what to do with them.
struct Query {
    sets: Vec<Scores>,
    aggregate: Aggregate,
    has_scores: bool,
}

/// The sets at the keys behind `numkeys`, and the options behind them.
fn sets<'a>(call: &DataCall<'a>, place: usize, command: &str) -> Result<(Vec<Scores>, &'a [Bytes]), Refused> {
    let number = call.int(place)?;
    let Some(number) = usize::try_from(number).ok().filter(|number| *number > 0) else {
        return Err(Refused::new(if call.profile.since_7_0() {
            format!("ERR at least 1 input key is needed for '{command}' command")
        } else {
            format!("ERR at least 1 input key is needed for {command}")
        }));
    };
    let behind = call.args.get(place + 1..).unwrap_or_default();
    let (keys, options) = behind.split_at_checked(number).ok_or_else(Refused::syntax)?;
    let sets: Result<_, Refused> = keys.iter().map(|key| scores(call, key)).collect();
    Ok((sets?, options))
}

fn scores(call: &DataCall<'_>, key: &Bytes) -> Result<Scores, Refused> {
    match call.keys.entry(key).map(|entry| &*entry.value) {
        None => Ok(Scores::new()),
        Some(Stored::Set(_)) => {
            let set = call.keys.read::<Set>(key)?;
            Ok(set.into_iter().flatten().map(|member| (member.clone(), 1.0)).collect())
        }
        Some(_) => {
            let set = call.keys.read::<SortedSet>(key)?;
            let members = set.into_iter().flat_map(SortedSet::iter);
            Ok(members.map(|(member, score)| (member.clone(), score)).collect())
        }
    }
}

impl Query {
    fn parse(
        call: &DataCall<'_>,
        place: usize,
        command: &str,
        operation: Operation,
    ) -> Result<Self, Refused> {
        let (mut sets, mut options) = sets(call, place, command)?;
        let (mut aggregate, mut has_scores) = (Aggregate::Sum, false);
        let mut weights = vec![1.0; sets.len()];
        let is_stored = place > 1;
        while let Some((option, rest)) = options.split_first() {
            options = rest;
            match option.to_ascii_uppercase().as_slice() {
                b"WEIGHTS" if operation != Operation::Diff => {
                    let (given, rest) = options.split_at_checked(sets.len()).ok_or_else(Refused::syntax)?;
                    options = rest;
                    let weight = |arg: &Bytes| {
                        call::float(arg).map_err(|_| Refused::new("ERR weight value is not a float"))
                    };
                    weights = given.iter().map(weight).collect::<Result<_, Refused>>()?;
                }
                b"AGGREGATE" if operation != Operation::Diff => {
                    let (word, rest) = options.split_first().ok_or_else(Refused::syntax)?;
                    options = rest;
                    aggregate = Aggregate::parse(word)?;
                }
                b"WITHSCORES" if !is_stored => has_scores = true,
                _ => return Err(Refused::syntax()),
            }
        }
        for (set, weight) in sets.iter_mut().zip(weights) {
            set.values_mut().for_each(|score| *score = number(*score * weight));
        }
        Ok(Self { sets, aggregate, has_scores })
    }

    /// The members in the order of their scores.
    fn run(&self, operation: Operation) -> Vec<(Bytes, f64)> {
        let mut sets = self.sets.iter();
        let mut found = sets.next().cloned().unwrap_or_default();
        for set in sets {
            match operation {
                Operation::Diff => found.retain(|member, _| !set.contains_key(member)),
                Operation::Inter => found.retain(|member, score| match set.get(member) {
                    Some(other) => {
                        *score = self.aggregate.of(*score, *other);
                        true
                    }
                    None => false,
                }),
                Operation::Union => {
                    for (member, score) in set {
                        let aggregate = |known: &mut f64| *known = self.aggregate.of(*known, *score);
                        found.entry(member.clone()).and_modify(aggregate).or_insert(*score);
                    }
                }
            }
        }
        let mut sorted = SortedSet::default();
        for (member, score) in found {
            sorted.insert(member, score);
        }
        sorted.iter().map(|(member, score)| (member.clone(), score)).collect()
    }
}

fn show(call: &mut DataCall<'_>, command: &str, operation: Operation) -> Answered {
    let query = Query::parse(call, 1, command, operation)?;
    let found = query.run(operation);
    reply(if query.has_scores { with_scores(call, found) } else { without_scores(found) })
}

fn put(call: &mut DataCall<'_>, command: &str, operation: Operation) -> Answered {
    let found = Query::parse(call, 2, command, operation)?.run(operation);
    store(call, found)
}

fn zintercard(call: &mut DataCall<'_>) -> Answered {
    let (sets, options) = sets(call, 1, "zintercard")?;
    let limit = limit(options)?;
    let found = Query { sets, aggregate: Aggregate::Sum, has_scores: false }.run(Operation::Inter);
    reply(Reply::int(found.len().min(limit)))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;

    #[test]
    fn several_sets_are_made_into_one() {
        for mut server in TestLine::each() {
            server.run("ZADD a 1 x 2 y");
            server.run("ZADD b 10 y 20 z");
            server.run("SADD s x w");
            server.run("ZADD i inf q");
            server.run("ZADD j -inf q");
            for (line, answer) in [
                ("ZUNION 2 a b", "*3|$1|x|$1|y|$1|z|"),
                ("ZUNION 2 a s WITHSCORES", "*6|$1|w|$1|1|$1|x|$1|2|$1|y|$1|2|"),
                ("ZUNION 2 a b WEIGHTS 2 3 WITHSCORES", "*6|$1|x|$1|2|$1|y|$2|34|$1|z|$2|60|"),
                ("ZUNION 2 a b WITHSCORES AGGREGATE min", "*6|$1|x|$1|1|$1|y|$1|2|$1|z|$2|20|"),
                ("ZINTER 2 a b WITHSCORES", "*2|$1|y|$2|12|"),
                ("ZDIFF 2 a s WITHSCORES", "*2|$1|y|$1|2|"),
                ("ZUNION 2 i j WITHSCORES", "*2|$1|q|$1|0|"),
                ("ZUNION 2 i j WEIGHTS 0 0 WITHSCORES", "*2|$1|q|$1|0|"),
                ("ZUNION 2 a b WEIGHTS 2", "-ERR syntax error|"),
                ("ZUNION 2 a b WEIGHTS 2 x", "-ERR weight value is not a float|"),
                ("ZUNION 2 a b AGGREGATE AVG", "-ERR syntax error|"),
                ("ZUNION 3 a b", "-ERR syntax error|"),
                ("ZDIFF 2 a b WEIGHTS 1 2", "-ERR syntax error|"),
                ("ZUNIONSTORE d 2 a b WITHSCORES", "-ERR syntax error|"),
                ("ZINTERSTORE d 2 a b", ":1|"),
                ("ZRANGE d 0 -1 WITHSCORES", "*2|$1|y|$2|12|"),
                ("ZDIFFSTORE d 2 none a", ":0|"),
                ("ZCARD d", ":0|"),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            let named = server.run("ZUNION 0 a");
            if server.profile().since_7_0() {
                assert_eq!(named, "-ERR at least 1 input key is needed for 'zunion' command|");
                assert_eq!(server.run("ZINTERCARD 2 a b LIMIT 0"), ":1|");
                assert_eq!(server.run("ZINTERCARD 2 a b LIMIT x"), "-ERR LIMIT can't be negative|");
            } else {
                assert_eq!(named, "-ERR at least 1 input key is needed for zunion|");
            }
        }
    }
}
