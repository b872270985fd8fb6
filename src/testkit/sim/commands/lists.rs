//! Lists: their ends and their middle. What moves an element, or waits for one, is in `moving_lists`.

use bytes::Bytes;

use crate::testkit::sim::call::{self, Answered, DataCall, reply};
use crate::testkit::sim::commands::arguments::{amount, out_of_range, span, wrong_number};
use crate::testkit::sim::keyspace::entry::List;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("lpush", -3, "write denyoom fast", Keys::FIRST, |call| push(call, End::Left, false)),
    Spec::data("rpush", -3, "write denyoom fast", Keys::FIRST, |call| push(call, End::Right, false)),
    Spec::data("lpushx", -3, "write denyoom fast", Keys::FIRST, |call| push(call, End::Left, true)),
    Spec::data("rpushx", -3, "write denyoom fast", Keys::FIRST, |call| push(call, End::Right, true)),
    Spec::data("lpop", -2, "write fast", Keys::FIRST, |call| pop(call, End::Left, "lpop")),
    Spec::data("rpop", -2, "write fast", Keys::FIRST, |call| pop(call, End::Right, "rpop")),
    Spec::data("llen", 2, "readonly fast", Keys::FIRST, llen),
    Spec::data("lrange", 4, "readonly", Keys::FIRST, lrange),
    Spec::data("lindex", 3, "readonly", Keys::FIRST, lindex),
    Spec::data("lset", 4, "write denyoom", Keys::FIRST, lset),
    Spec::data("linsert", 5, "write denyoom", Keys::FIRST, linsert),
    Spec::data("lrem", 4, "write", Keys::FIRST, lrem),
    Spec::data("ltrim", 4, "write", Keys::FIRST, ltrim),
    Spec::data("lpos", -3, "readonly", Keys::FIRST, lpos),
];

/// Where an element goes in or out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum End {
    Left,
    Right,
}

impl End {
    pub(in crate::testkit::sim) fn parse(word: &[u8]) -> Result<Self, Refused> {
        if word.eq_ignore_ascii_case(b"LEFT") {
            Ok(Self::Left)
        } else if word.eq_ignore_ascii_case(b"RIGHT") {
            Ok(Self::Right)
        } else {
            Err(Refused::syntax())
        }
    }

    pub(in crate::testkit::sim) fn push(self, list: &mut List, element: Bytes) {
        match self {
            Self::Left => list.push_front(element),
            Self::Right => list.push_back(element),
        }
    }

    pub(in crate::testkit::sim) fn pop(self, list: &mut List) -> Option<Bytes> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }
}

/// Pops at most so many; the key must be a list.
pub(in crate::testkit::sim) fn take(
    call: &mut DataCall<'_>,
    key: &Bytes,
    end: End,
    count: usize,
) -> Result<Vec<Bytes>, Refused> {
    let list = call.keys.write::<List>(key)?;
    let taken: Vec<Bytes> = std::iter::from_fn(|| end.pop(list)).take(count).collect();
    settle(call, key, !taken.is_empty());
    Ok(taken)
}

/// Ends the writing of a key.
fn settle(call: &mut DataCall<'_>, key: &Bytes, changed: bool) {
    if changed {
        call.keys.changed(key);
    } else {
        call.keys.untouched(key);
    }
}

fn bulks(elements: impl IntoIterator<Item = Bytes>) -> Reply {
    Reply::Array(elements.into_iter().map(Reply::Bulk).collect())
}

fn push(call: &mut DataCall<'_>, end: End, must_exist: bool) -> Answered {
    let key = call.arg(1);
    if call.keys.read::<List>(&key)?.is_none() && must_exist {
        return reply(Reply::Int(0));
    }
    let list = call.keys.write::<List>(&key)?;
    for element in call.args.iter().skip(2) {
        end.push(list, element.clone());
    }
    let length = list.len();
    call.keys.changed(&key);
    reply(Reply::int(length))
}

fn pop(call: &mut DataCall<'_>, end: End, name: &str) -> Answered {
    let key = call.arg(1);
    let count = match call.args {
        [_, _] => None,
        [_, _, count] => Some(amount(count)?),
        _ => return Err(wrong_number(name)),
    };
    let is_old = !call.profile.since_7_0();
    if count == Some(0) && is_old {
        return reply(Reply::NilArray);
    }
    if call.keys.read::<List>(&key)?.is_none() {
        return reply(if count.is_some() && !is_old { Reply::NilArray } else { Reply::Nil });
    }
    let taken = take(call, &key, end, count.unwrap_or(1))?;
    reply(match count {
        None => Reply::maybe(taken.into_iter().next()),
        Some(_) => bulks(taken),
    })
}

fn llen(call: &mut DataCall<'_>) -> Answered {
    reply(Reply::int(call.keys.read::<List>(&call.arg(1))?.map_or(0, List::len)))
}

fn lrange(call: &mut DataCall<'_>) -> Answered {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let Some(list) = call.keys.read::<List>(&call.arg(1))? else { return reply(Reply::Array(Vec::new())) };
    reply(bulks(list.range(span(start, end, list.len())).cloned()))
}

/// The place that an index means; negative is from the end on.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(i64::try_from(length).ok()?)? } else { index };
    usize::try_from(index).ok()
}

fn lindex(call: &mut DataCall<'_>) -> Answered {
    let Some(list) = call.keys.read::<List>(&call.arg(1))? else { return reply(Reply::Nil) };
    let place = place(call.int(2)?, list.len());
    reply(Reply::maybe(place.and_then(|place| list.get(place)).cloned()))
}

fn lset(call: &mut DataCall<'_>) -> Answered {
    let key = call.arg(1);
    let Some(list) = call.keys.read::<List>(&key)? else { return Err(Refused::new("ERR no such key")) };
    let place = place(call.int(2)?, list.len());
    let element = call.arg(3);
    let list = call.keys.write::<List>(&key)?;
    let Some(old) = place.and_then(|place| list.get_mut(place)) else {
        return Err(Refused::new("ERR index out of range"));
    };
    *old = element;
    call.keys.changed(&key);
    reply(Reply::Ok)
}

fn linsert(call: &mut DataCall<'_>) -> Answered {
    let offset = match () {
        () if call.is(2, "BEFORE") => 0,
        () if call.is(2, "AFTER") => 1,
        () => return Err(Refused::syntax()),
    };
    let (key, pivot, element) = (call.arg(1), call.arg(3), call.arg(4));
    let Some(list) = call.keys.read::<List>(&key)? else { return reply(Reply::Int(0)) };
    let Some(at) = list.iter().position(|known| *known == pivot) else { return reply(Reply::Int(-1)) };
    let list = call.keys.write::<List>(&key)?;
    list.insert(at + offset, element);
    let length = list.len();
    call.keys.changed(&key);
    reply(Reply::int(length))
}

fn lrem(call: &mut DataCall<'_>) -> Answered {
    let (key, count, element) = (call.arg(1), call.int(2)?, call.arg(3));
    if call.keys.read::<List>(&key)?.is_none() {
        return reply(Reply::Int(0));
    }
    let list = call.keys.write::<List>(&key)?;
    let most = match count {
        0 => usize::MAX,
        count => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let mut removed = 0;
    let mut stays = |known: &Bytes| {
        let goes = removed < most && *known == element;
        removed += usize::from(goes);
        !goes
    };
    if count < 0 {
        let mut kept: List = list.drain(..).rev().filter(|known| stays(known)).collect();
        kept.make_contiguous().reverse();
        *list = kept;
    } else {
        list.retain(|known| stays(known));
    }
    settle(call, &key, removed > 0);
    reply(Reply::int(removed))
}

fn ltrim(call: &mut DataCall<'_>) -> Answered {
    let (key, start, end) = (call.arg(1), call.int(2)?, call.int(3)?);
    let Some(list) = call.keys.read::<List>(&key)? else { return reply(Reply::Ok) };
    let length = list.len();
    let span = span(start, end, length);
    if span != (0..length) {
        let list = call.keys.write::<List>(&key)?;
        list.truncate(span.end);
        list.drain(..span.start.min(list.len()));
        call.keys.changed(&key);
    }
    reply(Reply::Ok)
}

/// What `LPOS` is asked for.
struct Search {
    /// Negative is from the end on.
    rank: i64,
    /// How many places; without it the reply is one place.
    count: Option<usize>,
    /// How many elements are looked at.
    most: usize,
}

impl Search {
    fn parse(call: &DataCall<'_>) -> Result<Self, Refused> {
        let mut search = Self { rank: 1, count: None, most: usize::MAX };
        for option in call.rest(3).chunks(2) {
            let [name, value] = option else { return Err(Refused::syntax()) };
            let figure = |name: &str| {
                let figure = call::int(value).ok().and_then(|value| usize::try_from(value).ok());
                let figure = figure.ok_or_else(|| Refused::new(format!("ERR {name} can't be negative")))?;
                Ok(if figure == 0 { usize::MAX } else { figure })
            };
            match name.to_ascii_uppercase().as_slice() {
                b"RANK" => search.rank = rank(call, value)?,
                b"COUNT" => search.count = Some(figure("COUNT")?),
                b"MAXLEN" => search.most = figure("MAXLEN")?,
                _ => return Err(Refused::syntax()),
            }
        }
        Ok(search)
    }

    fn places(&self, list: &List, element: &Bytes) -> Vec<usize> {
        let skipped = usize::try_from(self.rank.unsigned_abs()).unwrap_or(usize::MAX).saturating_sub(1);
        let count = self.count.unwrap_or(1);
        let is_it = |(place, known): (usize, &Bytes)| (known == element).then_some(place);
        if self.rank < 0 {
            let last = list.len().saturating_sub(1);
            let places = list.iter().rev().take(self.most).enumerate().filter_map(is_it);
            places.skip(skipped).take(count).map(|place| last - place).collect()
        } else {
            list.iter().take(self.most).enumerate().filter_map(is_it).skip(skipped).take(count).collect()
        }
    }
}

fn rank(call: &DataCall<'_>, value: &[u8]) -> Result<i64, Refused> {
    match call::int(value)? {
        i64::MIN if call.profile.since_7_2() => Err(out_of_range()),
        0 => Err(Refused::new(if call.profile.since_7_0() {
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative \
             to start from the end of the list"
        } else {
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second, ..."
        })),
        rank => Ok(rank),
    }
}

fn lpos(call: &mut DataCall<'_>) -> Answered {
    let search = Search::parse(call)?;
    let list = call.keys.read::<List>(&call.arg(1))?;
    let places = list.map(|list| search.places(list, &call.arg(2))).unwrap_or_default();
    let mut places = places.into_iter().map(Reply::int);
    reply(match search.count {
        None => places.next().unwrap_or(Reply::Nil),
        Some(_) => Reply::Array(places.collect()),
    })
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn an_element_is_removed_from_either_end_on() {
        for mut server in TestLine::each() {
            server.run("RPUSH l a b a c a b");
            assert_eq!(server.run("LREM l -2 a"), ":2|");
            assert_eq!(server.run("LRANGE l 0 -1"), "*4|$1|a|$1|b|$1|c|$1|b|");
            assert_eq!(server.run("LREM l 1 b"), ":1|");
            assert_eq!(server.run("LRANGE l 0 -1"), "*3|$1|a|$1|c|$1|b|");
            assert!(!server.changes("LREM l 0 z"));
            assert!(!server.changes("LREM none 0 z"));
        }
    }

    #[test]
    fn a_list_is_trimmed_to_nothing_and_is_no_key_then() {
        for mut server in TestLine::each() {
            server.run("RPUSH l a b c d");
            assert!(!server.changes("LTRIM l 0 -1"));
            assert!(server.changes("LTRIM l 1 -2"));
            assert_eq!(server.run("LRANGE l 0 -1"), "*2|$1|b|$1|c|");
            assert!(server.changes("LTRIM l 5 1"));
            assert_eq!(server.run("LLEN l"), ":0|");
            assert_eq!(server.run("RPUSHX l a"), ":0|");
        }
    }

    #[test]
    fn nothing_to_pop_has_a_reply_of_its_own_in_each_version() {
        for mut server in TestLine::each() {
            let is_old = server.profile() == Profile::Redis62;
            server.run("SET s x");
            server.run("RPUSH l a");
            assert_eq!(server.run("LPOP none"), "$-1|");
            assert_eq!(server.run("LPOP none 1"), if is_old { "$-1|" } else { "*-1|" });
            assert_eq!(server.run("LPOP none 0"), "*-1|");
            assert_eq!(server.run("LPOP l 0"), if is_old { "*-1|" } else { "*0|" });
            assert_eq!(server.run("RPOP l -1"), "-ERR value is out of range, must be positive|");
            assert_eq!(server.run("RPOP l 1 1"), "-ERR wrong number of arguments for 'rpop' command|");
            let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value|";
            assert_eq!(server.run("LPOP s 0"), if is_old { "*-1|" } else { wrong });
            assert_eq!(server.run("LPOP s"), wrong);
            assert_eq!(server.run("RPOP l 5"), "*1|$1|a|");
        }
    }

    #[test]
    fn places_are_found_from_either_end_on() {
        for mut server in TestLine::each() {
            server.run("RPUSH l a b c a b c a");
            for (line, found) in [
                ("LPOS l a", ":0|"),
                ("LPOS l z", "$-1|"),
                ("LPOS l a RANK 2", ":3|"),
                ("LPOS l a RANK -1", ":6|"),
                ("LPOS l a COUNT 0", "*3|:0|:3|:6|"),
                ("LPOS l a COUNT 2 RANK -2", "*2|:3|:0|"),
                ("LPOS l a MAXLEN 2 COUNT 0", "*1|:0|"),
                ("LPOS l a RANK -1 COUNT 0 MAXLEN 4", "*2|:6|:3|"),
                ("LPOS none a COUNT 1", "*0|"),
                ("LPOS l a COUNT -1", "-ERR COUNT can't be negative|"),
                ("LPOS l a MAXLEN x", "-ERR MAXLEN can't be negative|"),
                ("LPOS l a COUNT", "-ERR syntax error|"),
            ] {
                assert_eq!(server.run(line), found, "{line}");
            }
        }
    }

    #[test]
    fn an_index_that_is_not_there_is_told() {
        for mut server in TestLine::each() {
            assert_eq!(server.run("LSET l x a"), "-ERR no such key|");
            server.run("RPUSH l a b");
            assert_eq!(server.run("LSET l -2 A"), "+OK|");
            assert_eq!(server.run("LSET l 2 A"), "-ERR index out of range|");
            assert_eq!(server.run("LSET l -3 A"), "-ERR index out of range|");
            assert_eq!(server.run("LINDEX l -2"), "$1|A|");
            assert_eq!(server.run("LINDEX l 9"), "$-1|");
            assert_eq!(server.run("LINSERT l BEFORE z x"), ":-1|");
            assert_eq!(server.run("LINSERT l AFTER A x"), ":3|");
            assert_eq!(server.run("LRANGE l -100 100"), "*3|$1|A|$1|x|$1|b|");
        }
    }
}
