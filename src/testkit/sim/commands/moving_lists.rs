//! Lists: elements that go from one to another, come from the first that has one, or are waited for.

use bytes::Bytes;

use crate::testkit::sim::call::{Answer, Answered, DataCall, Wait, reply};
use crate::testkit::sim::commands::arguments::{MultiPop, seconds};
use crate::testkit::sim::commands::lists::{End, take};
use crate::testkit::sim::keyspace::entry::List;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("lmove", 5, "write denyoom", Keys::Range(1, 2, 1), lmove),
    Spec::data("rpoplpush", 3, "write denyoom", Keys::Range(1, 2, 1), rpoplpush),
    Spec::data("lmpop", -4, "write movablekeys", Keys::Counted(1), lmpop).since(Since::Redis70),
    Spec::data("blpop", -3, "write noscript blocking", Keys::Range(1, -2, 1), |call| bpop(call, End::Left)),
    Spec::data("brpop", -3, "write noscript blocking", Keys::Range(1, -2, 1), |call| bpop(call, End::Right)),
    Spec::data("blmove", 6, "write denyoom noscript blocking", Keys::Range(1, 2, 1), blmove),
    Spec::data("brpoplpush", 4, "write denyoom noscript blocking", Keys::Range(1, 2, 1), brpoplpush),
    Spec::data("blmpop", -5, "write blocking movablekeys", Keys::Counted(2), blmpop).since(Since::Redis70),
];

/// As `TYPE` says it.
const AWAITS: &str = "list";

/// Moves one element; none if there is none.
fn transfer(call: &mut DataCall<'_>, from: End, to: End) -> Result<Option<Bytes>, Refused> {
    let (source, destination) = (call.arg(1), call.arg(2));
    if call.keys.read::<List>(&source)?.is_none() {
        return Ok(None);
    }
    // Nothing is taken if it has nowhere to go.
    call.keys.read::<List>(&destination)?;
    let Some(element) = from.pop(call.keys.write::<List>(&source)?) else { return Ok(None) };
    to.push(call.keys.write::<List>(&destination)?, element.clone());
    call.keys.changed(&destination);
    if source != destination {
        call.keys.changed(&source);
    }
    Ok(Some(element))
}

fn lmove(call: &mut DataCall<'_>) -> Answered {
    let (from, to) = (End::parse(&call.arg(3))?, End::parse(&call.arg(4))?);
    reply(Reply::maybe(transfer(call, from, to)?))
}

fn rpoplpush(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::maybe(transfer(call, End::Right, End::Left)?))
}

/// The first list that has something, and what was taken from it.
fn take_first(
    call: &mut DataCall<'_>,
    keys: Vec<Bytes>,
    end: End,
    count: usize,
) -> Result<Option<(Bytes, Vec<Bytes>)>, Refused> {
    for key in keys {
        if call.keys.read::<List>(&key)?.is_some() {
            let taken = take(call, &key, end, count)?;
            return Ok(Some((key, taken)));
        }
    }
    Ok(None)
}

fn with_key((key, elements): (Bytes, Vec<Bytes>)) -> Reply {
    let elements = elements.into_iter().map(Reply::Bulk).collect();
    Reply::Array(vec![Reply::Bulk(key), Reply::Array(elements)])
}

fn lmpop(call: &mut DataCall<'_>) -> Answered {
    let pop = MultiPop::parse(call.args, 1, End::parse)?;
    let taken = take_first(call, pop.keys, pop.word, pop.count)?;
    reply(taken.map_or(Reply::NilArray, with_key))
}

fn blmpop(call: &mut DataCall<'_>) -> Answered {
    let pop = MultiPop::parse(call.args, 2, End::parse)?;
    let timeout = seconds(call, 1)?;
    let open = call.open_to(pop.keys.clone());
    match take_first(call, open, pop.word, pop.count)? {
        Some(taken) => reply(with_key(taken)),
        None => Ok(Answer::Wait(Wait::new(pop.keys, AWAITS, timeout))),
    }
}

fn bpop(call: &mut DataCall<'_>, end: End) -> Answered {
    let last = call.args.len().saturating_sub(1);
    let timeout = seconds(call, last)?;
    let keys: Vec<Bytes> = call.args.iter().take(last).skip(1).cloned().collect();
    let open = call.open_to(keys.clone());
    match take_first(call, open, end, 1)? {
        Some((key, taken)) => {
            let elements = std::iter::once(key).chain(taken);
            reply(Reply::Array(elements.map(Reply::Bulk).collect()))
        }
        None => Ok(Answer::Wait(Wait::new(keys, AWAITS, timeout))),
    }
}

fn blmove(call: &mut DataCall<'_>) -> Answered {
    let (from, to) = (End::parse(&call.arg(3))?, End::parse(&call.arg(4))?);
    transfer_or_wait(call, from, to, 5)
}

fn brpoplpush(call: &mut DataCall<'_>) -> Answered {
    transfer_or_wait(call, End::Right, End::Left, 3)
}

fn transfer_or_wait(call: &mut DataCall<'_>, from: End, to: End, timeout: usize) -> Answered {
    let timeout = seconds(call, timeout)?;
    if let Some(element) = transfer(call, from, to)? {
        return reply(Reply::Bulk(element));
    }
    let wait = Wait::new(vec![call.arg(1)], AWAITS, timeout);
    // Having waited it gives an array that is none, and in a transaction a string that is none: so do servers.
    Ok(Answer::Wait(Wait { at_once: Reply::Nil, ..wait }))
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn an_element_moves_also_within_its_own_list() {
        for mut server in TestLine::each() {
            server.run("RPUSH a 1 2");
            assert_eq!(server.run("LMOVE a a LEFT RIGHT"), "$1|1|");
            assert_eq!(server.run("LRANGE a 0 -1"), "*2|$1|2|$1|1|");
            assert_eq!(server.run("RPOPLPUSH a b"), "$1|1|");
            assert_eq!(server.run("LMOVE a b right LEFT"), "$1|2|");
            assert_eq!(server.run("LRANGE b 0 -1"), "*2|$1|2|$1|1|");
            assert_eq!(server.run("LLEN a"), ":0|");
            assert_eq!(server.run("RPOPLPUSH a b"), "$-1|");
            assert_eq!(server.run("LMOVE a b LEFT UP"), "-ERR syntax error|");
            server.run("RPUSH one 1");
            assert_eq!(server.run("RPOPLPUSH one one"), "$1|1|");
            assert_eq!(server.run("LLEN one"), ":1|");
        }
    }

    #[test]
    fn nothing_is_taken_if_it_has_nowhere_to_go() {
        for mut server in TestLine::each() {
            server.run("RPUSH l a");
            server.run("SET s x");
            assert_eq!(server.run("LMOVE l s LEFT LEFT"), WRONG);
            assert_eq!(server.run("BLMOVE l s LEFT LEFT 0"), WRONG);
            assert_eq!(server.run("RPOPLPUSH none s"), "$-1|");
            assert_eq!(server.run("LLEN l"), ":1|");
            assert!(!server.changes("LMOVE l s LEFT LEFT"));
        }
    }

    #[test]
    fn the_first_list_that_has_something_is_popped() {
        for mut server in TestLine::each().filter(|server| server.profile() != Profile::Redis62) {
            server.run("RPUSH l a b c");
            server.run("SET s x");
            assert_eq!(server.run("LMPOP 2 none l RIGHT COUNT 2"), "*2|$1|l|*2|$1|c|$1|b|");
            assert_eq!(server.run("LMPOP 1 none LEFT"), "*-1|");
            assert_eq!(server.run("BLMPOP 0 2 none l LEFT COUNT 5"), "*2|$1|l|*1|$1|a|");
            assert_eq!(server.run("BLMPOP 1.5 2 none l LEFT"), "waits for none,l Some(1.5s)");
            assert_eq!(server.run("LMPOP 2 none s LEFT"), WRONG);
            for (line, error) in [
                ("LMPOP 0 l LEFT", "-ERR numkeys should be greater than 0|"),
                ("LMPOP x l LEFT", "-ERR numkeys should be greater than 0|"),
                ("LMPOP 5 l LEFT", "-ERR syntax error|"),
                ("LMPOP 1 l UP", "-ERR syntax error|"),
                ("LMPOP 1 l LEFT COUNT", "-ERR syntax error|"),
                ("LMPOP 1 l LEFT COUNT 0", "-ERR count should be greater than 0|"),
                ("LMPOP 1 l LEFT COUNT 1 COUNT 1", "-ERR syntax error|"),
                ("BLMPOP -1 0 none LEFT", "-ERR numkeys should be greater than 0|"),
                ("BLMPOP -1 1 none LEFT", "-ERR timeout is negative|"),
            ] {
                assert_eq!(server.run(line), error, "{line}");
            }
        }
        assert!(TestLine::new(Profile::Redis62).run("LMPOP 1 l LEFT").starts_with("-ERR unknown command"));
    }

    #[test]
    fn a_blocking_pop_waits_or_says_why_it_does_not() {
        for mut server in TestLine::each() {
            let is_old = server.profile() == Profile::Redis62;
            let is_new = server.profile().since_7_2();
            server.run("SET s x");
            let too_long = if is_new { "-ERR timeout is out of range|" } else { "-ERR timeout is negative|" };
            for (line, answer) in [
                ("BLPOP a b 0", "waits for a,b None"),
                ("BRPOP a 0.0025", if is_old { "waits for a Some(2ms)" } else { "waits for a Some(3ms)" }),
                ("BRPOP a 0.001", if is_old { "waits for a None" } else { "waits for a Some(1ms)" }),
                ("BLPOP a -1", "-ERR timeout is negative|"),
                ("BLPOP a x", "-ERR timeout is not a float or out of range|"),
                ("BLPOP a nan", "-ERR timeout is not a float or out of range|"),
                ("BLPOP a 1e30", too_long),
                ("BLPOP a inf", too_long),
                ("BLPOP a s 0", WRONG),
                ("BLPOP s x", "-ERR timeout is not a float or out of range|"),
                ("BLMOVE a b UP LEFT x", "-ERR syntax error|"),
                ("BLMOVE a s LEFT LEFT 1", "waits for a Some(1s)"),
                ("BRPOPLPUSH s a x", "-ERR timeout is not a float or out of range|"),
            ] {
                assert_eq!(server.run(line), answer, "{line}");
            }
            server.run("RPUSH b 1");
            assert_eq!(server.run("BLPOP a b 0"), "*2|$1|b|$1|1|");
        }
    }
}
