//! `SCAN`, and the options that `HSCAN`, `SSCAN` and `ZSCAN` share with it.

use bytes::Bytes;

use crate::slot::Slot;
use crate::testkit::sim::call::{Answered, DataCall, int, reply};
use crate::testkit::sim::glob::matches;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] =
    &[Spec::data("scan", -2, "readonly random", Keys::None, scan)];

/// What is scanned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum Scanned {
    Keys,
    Hash,
    Set,
    SortedSet,
}

/// The options behind the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) struct ScanOptions {
    pattern: Option<Bytes>,
    count: usize,
    type_name: Option<String>,
    /// `NOVALUES` or `NOSCORES`: members only.
    pub(in crate::testkit::sim) is_bare: bool,
}

impl ScanOptions {
    pub(in crate::testkit::sim) fn parse(
        args: &[Bytes],
        scanned: Scanned,
        profile: Profile,
    ) -> Result<Self, Refused> {
        let mut options = Self { pattern: None, count: 10, type_name: None, is_bare: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
            let mut value = || args.next().ok_or_else(Refused::syntax);
            if is("MATCH") {
                options.pattern = Some(value()?.clone()).filter(|pattern| pattern != "*");
            } else if is("COUNT") {
                let count = int(value()?)?;
                options.count =
                    usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(Refused::syntax)?;
            } else if is("TYPE") && scanned == Scanned::Keys {
                let name = String::from_utf8_lossy(value()?).to_ascii_lowercase();
                options.type_name = Some(known_type(name, profile)?);
            } else if is("NOVALUES") && profile.since_7_2() {
                if scanned != Scanned::Hash {
                    return Err(Refused::new("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.is_bare = true;
            } else if is("NOSCORES") && profile.is_valkey() {
                if scanned != Scanned::SortedSet {
                    return Err(Refused::new("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.is_bare = true;
            } else {
                return Err(Refused::syntax());
            }
        }
        Ok(options)
    }

    pub(in crate::testkit::sim) fn is_meant(&self, name: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches(pattern, name))
    }
}

fn known_type(name: String, profile: Profile) -> Result<String, Refused> {
    let is_known = matches!(name.as_str(), "string" | "list" | "set" | "zset" | "hash" | "stream");
    if is_known || !profile.is_valkey() {
        return Ok(name);
    }
    Err(Refused::new(format!("ERR unknown type name '{name}'")))
}

/// What a cursor names.
pub(in crate::testkit::sim) fn cursor(arg: &[u8]) -> Result<u64, Refused> {
    let cursor = std::str::from_utf8(arg).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    cursor.and_then(|text| text.parse().ok()).ok_or_else(|| Refused::new("ERR invalid cursor"))
}

/// A cursor and what was found, as each of the four replies.
pub(in crate::testkit::sim) fn page(next: u16, found: Vec<Reply>) -> Answered {
    reply(Reply::Array(vec![Reply::bulk(itoa::Buffer::new().format(next)), Reply::Array(found)]))
}

/// The cursor is how many slots were looked at, from the one on where the node begins. A slot's keys come all at once, so
/// that none is missed whatever happens between two calls; nothing is remembered between them.
fn scan(call: &mut DataCall<'_>) -> Answered {
    let cursor = cursor(&call.arg(1))?;
    let options = ScanOptions::parse(call.rest(2), Scanned::Keys, call.profile)?;
    let Some(from) = u16::try_from(cursor).ok().filter(|place| *place < Slot::COUNT) else {
        return page(0, Vec::new());
    };
    let begin = call.scans_from;
    // Places in the order of the scan and slots; they differ by where it begins.
    let slot_at = |place: u16| (place + begin) % Slot::COUNT;
    let place_of = |slot: u16| (slot + Slot::COUNT - begin) % Slot::COUNT;
    let first = slot_at(from);
    // From its first slot to the last one, and round.
    let (high, low) = if first >= begin { (first, 0) } else { (Slot::COUNT, first) };
    let keys =
        call.keys.keys_from(high).chain(call.keys.keys_from(low).take_while(|(slot, ..)| *slot < begin));
    let mut found = Vec::new();
    let mut next = 0;
    let mut last = None;
    for (seen, (slot, key, entry)) in keys.enumerate() {
        if seen >= options.count && last != Some(slot) {
            next = place_of(slot);
            break;
        }
        last = Some(slot);
        let is_type = options.type_name.as_ref().is_none_or(|name| entry.value.type_name() == name);
        if is_type && options.is_meant(key) {
            found.push(Reply::Bulk(key.clone()));
        }
    }
    page(next, found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testkit::sim::commands::test_line::TestLine;
    use crate::testkit::sim::profile::Profile;

    /// All pages until the cursor is 0 again: how many keys, how many of them different, and how many pages.
    fn walk(
        server: &mut TestLine,
        options: &str,
        mut between: impl FnMut(&mut TestLine),
    ) -> (usize, usize, usize) {
        let (mut cursor, mut found, mut pages) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let page = server.run(&format!("SCAN {cursor} {options}"));
            let mut words = page.split('|').skip(2).map(str::to_owned);
            cursor = words.next().unwrap();
            found.extend(words.skip(2).step_by(2));
            pages += 1;
            if cursor == "0" {
                let different: BTreeSet<&String> = found.iter().collect();
                return (found.len(), different.len(), pages);
            }
            between(server);
        }
    }

    #[test]
    fn every_key_is_found_once_whatever_is_written_meanwhile() {
        let mut server = TestLine::new(Profile::Valkey91);
        for number in 0..100 {
            server.run(&format!("SET key:{number} v"));
        }
        let (found, different, pages) = walk(&mut server, "COUNT 7 MATCH key:*", |server| {
            let number = server.run("DBSIZE").len() + server.run("RANDOMKEY").len();
            server.run(&format!("SET other:{number} v"));
        });
        assert_eq!((found, different), (100, 100));
        assert!((15..=20).contains(&pages), "{pages}");
    }

    #[test]
    fn the_keys_of_one_slot_come_together() {
        let mut server = TestLine::new(Profile::Redis82);
        for number in 0..50 {
            server.run(&format!("SET {{t}}:{number} v"));
        }
        assert_eq!(walk(&mut server, "", |_| ()), (50, 50, 1));
        assert_eq!(walk(&mut server, "TYPE hash", |_| ()), (0, 0, 1));
    }

    #[test]
    fn options_that_a_server_does_not_know_are_refused() {
        for mut server in TestLine::each() {
            let profile = server.profile();
            let syntax = "-ERR syntax error|";
            assert_eq!(server.run("SCAN a"), "-ERR invalid cursor|");
            assert_eq!(server.run("SCAN 0 COUNT 0"), syntax);
            assert_eq!(server.run("SCAN 0 MATCH"), syntax);
            assert_eq!(server.run("SCAN 20000"), "*2|$1|0|*0|");
            let unknown = server.run("SCAN 0 TYPE nope");
            let empty = "*2|$1|0|*0|";
            assert_eq!(unknown, if profile.is_valkey() { "-ERR unknown type name 'nope'|" } else { empty });
            let bare = server.run("SCAN 0 NOVALUES");
            let only = "-ERR NOVALUES option can only be used in HSCAN|";
            assert_eq!(bare, if profile.since_7_2() { only } else { syntax });
            // Before its options are read.
            assert_eq!(server.run("HSCAN none 0 FOO"), empty);
        }
    }
}
