//! `SORT` and `SORT_RO`, by the values themselves. Patterns that name other keys are refused in a cluster, and here
//! always.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, DataCall, float, int, reply};
use crate::testkit::sim::keyspace::entry::{List, Stored};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::data("sort", -2, "write denyoom movablekeys", Keys::Sort, sort),
    Spec::data("sort_ro", -2, "readonly movablekeys", Keys::FIRST, sort_ro).since(Since::Redis70),
];

#[derive(Debug)]
struct Options {
    is_descending: bool,
    is_alpha: bool,
    /// `BY` of a pattern without a star.
    is_unsorted: bool,
    start: i64,
    count: i64,
    store: Option<Bytes>,
}

impl Options {
    fn parse(args: &[Bytes], may_store: bool, profile: Profile) -> Result<Self, Refused> {
        let mut options = Self {
            is_descending: false,
            is_alpha: false,
            is_unsorted: false,
            start: 0,
            count: -1,
            store: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
            let mut value = || args.next().ok_or_else(Refused::syntax);
            if is("ASC") {
                options.is_descending = false;
            } else if is("DESC") {
                options.is_descending = true;
            } else if is("ALPHA") {
                options.is_alpha = true;
            } else if is("LIMIT") {
                let (start, count) = (value()?, value()?);
                options.start = int(start)?;
                options.count = int(count)?;
            } else if is("STORE") && may_store {
                options.store = Some(value()?.clone());
            } else if is("BY") {
                if value()?.contains(&b'*') {
                    return Err(denied("BY", profile));
                }
                options.is_unsorted = true;
            } else if is("GET") {
                if value()? != "#" || !profile.since_7_2() {
                    return Err(denied("GET", profile));
                }
            } else {
                return Err(Refused::syntax());
            }
        }
        Ok(options)
    }
}

fn denied(option: &str, profile: Profile) -> Refused {
    let why =
        if profile.since_7_2() { " when keys formed by the pattern may be in different slots." } else { "." };
    Refused::new(format!("ERR {option} option of SORT denied in Cluster mode{why}"))
}

fn sort(call: &mut DataCall<'_>) -> Answered {
    sorted(call, true)
}

fn sort_ro(call: &mut DataCall<'_>) -> Answered {
    sorted(call, false)
}

fn sorted(call: &mut DataCall<'_>, may_store: bool) -> Answered {
    let options = Options::parse(call.rest(2), may_store, call.profile)?;
    let mut items: Vec<Bytes> = match call.keys.entry(&call.arg(1)).map(|entry| &*entry.value) {
        None => Vec::new(),
        Some(Stored::List(list)) => list.iter().cloned().collect(),
        Some(Stored::Set(set)) => set.iter().cloned().collect(),
        Some(Stored::SortedSet(set)) => set.iter().map(|(member, _)| member.clone()).collect(),
        Some(Stored::Text(_) | Stored::Hash(_) | Stored::Stream(_)) => return Err(Refused::wrong_type()),
    };
    if !options.is_unsorted {
        items = in_order(items, options.is_alpha)?;
    }
    // Unsorted too: a server reads a list backwards then.
    if options.is_descending {
        items.reverse();
    }
    let start = usize::try_from(options.start).unwrap_or_default();
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    let items = items.into_iter().skip(start).take(count);
    let Some(store) = options.store else {
        return reply(Reply::Array(items.map(Reply::Bulk).collect()));
    };
    let list: List = items.collect();
    let count = list.len();
    if list.is_empty() {
        call.keys.remove(&store);
    } else {
        call.keys.put(&store, Stored::List(list), None);
    }
    reply(Reply::int(count))
}

fn in_order(mut items: Vec<Bytes>, is_alpha: bool) -> Result<Vec<Bytes>, Refused> {
    if is_alpha {
        items.sort();
        return Ok(items);
    }
    let score = |item: &Bytes| {
        float(item).map_err(|_| Refused::new("ERR One or more scores can't be converted into double"))
    };
    let mut scored =
        items.into_iter().map(|item| Ok((score(&item)?, item))).collect::<Result<Vec<_>, _>>()?;
    scored.sort_by(|(left, a), (right, b)| {
        left.partial_cmp(right).unwrap_or(Ordering::Equal).then_with(|| a.cmp(b))
    });
    Ok(scored.into_iter().map(|(_, item)| item).collect())
}

#[cfg(test)]
mod tests {
    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::keyspace::entry::List;

    #[test]
    fn a_list_is_sorted_by_number_or_by_letter() {
        for mut server in TestLine::each() {
            let key = "l".into();
            let items = ["10", "9", "8.5"].into_iter().map(Into::into);
            server.keys().write::<List>(&key).unwrap().extend(items);
            server.keys().changed(&key);
            assert_eq!(server.run("SORT l"), "*3|$3|8.5|$1|9|$2|10|");
            assert_eq!(server.run("SORT l DESC LIMIT 0 1"), "*1|$2|10|");
            assert_eq!(server.run("SORT l ALPHA"), "*3|$2|10|$3|8.5|$1|9|");
            assert_eq!(server.run("SORT l BY nosort DESC"), "*3|$3|8.5|$1|9|$2|10|");
            assert_eq!(server.run("SORT l STORE d"), ":3|");
            assert_eq!(server.run("TYPE d"), "+list|");
            assert_eq!(server.run("SORT none STORE d"), ":0|");
            assert_eq!(server.run("EXISTS d"), ":0|");
            server.keys().write::<List>(&key).unwrap().push_back("a".into());
            server.keys().changed(&key);
            assert_eq!(server.run("SORT l"), "-ERR One or more scores can't be converted into double|");
        }
    }
}
