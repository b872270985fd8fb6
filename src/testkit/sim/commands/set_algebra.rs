//! Sets: what several have in common, have together, or one has alone.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::{counted_sets, limit};
use crate::testkit::sim::keyspace::entry::{Set, Stored};
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("sinter", -2, "readonly sort_for_script", Keys::ALL, |call| show(call, Operation::Inter)),
    Spec::data("sunion", -2, "readonly sort_for_script", Keys::ALL, |call| show(call, Operation::Union)),
    Spec::data("sdiff", -2, "readonly sort_for_script", Keys::ALL, |call| show(call, Operation::Diff)),
    Spec::data("sinterstore", -3, "write denyoom", Keys::ALL, |call| store(call, Operation::Inter)),
    Spec::data("sunionstore", -3, "write denyoom", Keys::ALL, |call| store(call, Operation::Union)),
    Spec::data("sdiffstore", -3, "write denyoom", Keys::ALL, |call| store(call, Operation::Diff)),
    Spec::data("sintercard", -3, "readonly movablekeys", Keys::Counted(1), sintercard).since(Since::Redis70),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Inter,
    Union,
    Diff,
}

impl Operation {
    /// Of the sets at these keys; a key that does not exist is an empty set.
    fn of(self, call: &DataCall<'_>, keys: &[Bytes]) -> Result<Set, Refused> {
        let sets: Result<Vec<Option<&Set>>, Refused> =
            keys.iter().map(|key| call.keys.read::<Set>(key)).collect();
        let sets = sets?;
        let Some((first, others)) = sets.split_first() else { return Ok(Set::new()) };
        let in_it = |set: &Option<&Set>, member: &Bytes| set.is_some_and(|set| set.contains(member));
        let first = first.iter().copied().flatten();
        Ok(match self {
            Self::Inter => {
                first.filter(|member| others.iter().all(|set| in_it(set, member))).cloned().collect()
            }
            Self::Union => first.chain(others.iter().flatten().copied().flatten()).cloned().collect(),
            Self::Diff => {
                first.filter(|member| !others.iter().any(|set| in_it(set, member))).cloned().collect()
            }
        })
    }
}

fn show(call: &mut DataCall<'_>, operation: Operation) -> Answered {
    let found = operation.of(call, call.rest(1))?;
    reply(Reply::Set(found.into_iter().map(Reply::Bulk).collect()))
}

/// An empty set is no key: what was there is removed.
fn store(call: &mut DataCall<'_>, operation: Operation) -> Answered {
    let found = operation.of(call, call.rest(2))?;
    let size = found.len();
    if size > 0 {
        call.keys.put(&call.arg(1), Stored::Set(found), None);
    } else {
        call.keys.remove(&call.arg(1));
    }
    reply(Reply::int(size))
}

fn sintercard(call: &mut DataCall<'_>) -> Answered {
    let (keys, options) = counted_sets(call.args, 1)?;
    let limit = limit(options)?;
    let found = Operation::Inter.of(call, keys)?;
    reply(Reply::int(found.len().min(limit)))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn sets_are_compared() {
        for mut server in TestLine::each() {
            server.run("SADD a 1 2 3");
            server.run("SADD b 2 3 4");
            server.run("SET str x");
            assert_eq!(server.run3("SINTER a b"), "~2|$1|2|$1|3|");
            assert_eq!(server.run("SUNION a b none"), "*4|$1|1|$1|2|$1|3|$1|4|");
            assert_eq!(server.run("SDIFF a b"), "*1|$1|1|");
            assert_eq!(server.run("SDIFF none a"), "*0|");
            assert_eq!(server.run("SINTER none str"), WRONG);
            assert_eq!(server.run("SDIFF none str"), WRONG);
        }
    }

    #[test]
    fn a_stored_set_takes_the_place_of_anything_and_an_empty_one_of_nothing() {
        for mut server in TestLine::each() {
            server.run("SADD a 1 2");
            server.run("SET d x");
            assert_eq!(server.run("SUNIONSTORE d a none"), ":2|");
            assert_eq!(server.run("SMEMBERS d"), "*2|$1|1|$1|2|");
            assert_eq!(server.run("SINTERSTORE d a none"), ":0|");
            assert_eq!(server.run("SCARD d"), ":0|");
            assert!(!server.changes("SDIFFSTORE d none a"));
        }
    }

    #[test]
    fn common_members_are_counted_up_to_a_limit() {
        for mut server in TestLine::each().filter(|server| server.profile() != Profile::Redis62) {
            server.run("SADD a 1 2 3");
            server.run("SADD b 2 3 4");
            for (line, answer) in [
                ("SINTERCARD 2 a b", ":2|"),
                ("SINTERCARD 2 a b LIMIT 1", ":1|"),
                ("SINTERCARD 2 a b LIMIT 0", ":2|"),
                ("SINTERCARD 2 a b LIMIT -1", "-ERR LIMIT can't be negative|"),
                ("SINTERCARD 2 a b LIMIT", "-ERR syntax error|"),
                ("SINTERCARD 3 a b", "-ERR Number of keys can't be greater than number of args|"),
                ("SINTERCARD 0 a", "-ERR numkeys should be greater than 0|"),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
        }
    }
}
