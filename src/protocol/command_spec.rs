//! The facts about each command: what it does to data, where its keys are, which nodes must see it, whether it blocks,
//! and whether it may be run twice.
//!
//! [`lookup`] and [`lookup_sub`] find a [`CommandSpec`] by name. The rest of this family is reached through this file:
//! `command_facts` has the types, `command_table` the generated facts of all known commands, `command_keys` finds keys
//! among the arguments.
//!
//! Sources: what `COMMAND` answers on the servers named in `command_table`, and
//! [command tips](https://redis.io/docs/latest/develop/reference/command-tips/),
//! [key specifications](https://redis.io/docs/latest/develop/reference/key-specs/).

use std::time::Duration;

use super::command_table::TABLE;
pub(crate) use crate::protocol::command_facts::{
    Access, Blocking, CommandSpec, Keys, RequestPolicy, ResponsePolicy,
};
use crate::protocol::command_keys::{number, stream_option};

/// The command of this name, in any case. `None` for a name that the table does not know (a module's, a newer server's)
/// and for `CONTAINER|SUBCOMMAND`, which no server takes as a name.
///
/// Each request asks for this, so it takes neither a lock nor memory: a multiplication a byte, and as a rule one name
/// to compare with. A binary search would compare with nine.
#[inline]
pub(crate) fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    let found = find(hash(HASH_START, name), |known| known.as_bytes().eq_ignore_ascii_case(name))?;
    if name.contains(&SEPARATOR) { None } else { Some(found) }
}

/// The subcommand `sub` of `container`, both in any case: `lookup_sub(b"object", b"encoding")`.
pub(crate) fn lookup_sub(container: &[u8], sub: &[u8]) -> Option<&'static CommandSpec> {
    find(hash(hash(hash(HASH_START, container), &[SEPARATOR]), sub), |known| {
        known.split_once(char::from(SEPARATOR)).is_some_and(|(known_container, known_sub)| {
            known_container.as_bytes().eq_ignore_ascii_case(container)
                && known_sub.as_bytes().eq_ignore_ascii_case(sub)
        })
    })
}

/// All commands that the table knows.
#[cfg(test)]
pub(crate) fn all_specs() -> &'static [CommandSpec] {
    TABLE
}

/// A command that is named in this crate's own code: its facts, and its name as it is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The words with a space between them, as users write it.
    pub(crate) name: &'static str,
    pub(crate) spec: &'static CommandSpec,
    /// The encoded words; so many bytes of it, so many arguments.
    pub(crate) start: [u8; START],
    pub(crate) length: u8,
    pub(crate) args: u8,
}

/// Room for the encoded words of any name in the table.
pub(crate) const START: usize = 48;

impl Known {
    /// Meant for `const`: then a name that is not in the table does not compile, and neither look-up nor encoding costs
    /// a request anything. Subcommands as in `OBJECT ENCODING`.
    pub(crate) const fn find(name: &'static str) -> Self {
        let mut entry = 0;
        #[expect(clippy::indexing_slicing, reason = "runs in the compiler, for which a panic is an error")]
        while entry < TABLE.len() {
            if is_name(TABLE[entry].name.as_bytes(), name.as_bytes()) {
                let (start, length, args) = encoded(name.as_bytes());
                return Self { name, spec: &TABLE[entry], start, length, args };
            }
            entry += 1;
        }
        #[expect(clippy::panic, reason = "runs in the compiler, for which a panic is an error")]
        {
            panic!("no server knows a command of this name")
        }
    }
}

/// Whether `name` is the table's name `known` with a space for the separator.
const fn is_name(mut known: &[u8], mut name: &[u8]) -> bool {
    while let ([a, known_rest @ ..], [b, name_rest @ ..]) = (known, name) {
        if !(*a == *b || (*a == SEPARATOR && *b == b' ')) {
            return false;
        }
        (known, name) = (known_rest, name_rest);
    }
    known.is_empty() && name.is_empty()
}

/// The words of `name` as RESP bulk strings, the bytes that they take, and how many they are.
#[expect(clippy::indexing_slicing, reason = "runs in the compiler, for which a panic is an error")]
const fn encoded(name: &[u8]) -> ([u8; START], u8, u8) {
    let (mut start, mut length, mut args) = ([0; START], 0, 0);
    let mut from = 0;
    while from < name.len() {
        let mut to = from;
        while to < name.len() && name[to] != b' ' {
            to += 1;
        }
        let digits = [b'0' + ((to - from) / 10) as u8, b'0' + ((to - from) % 10) as u8];
        let header = [b'$', digits[0], digits[1], b'\r', b'\n'];
        let mut at = 0;
        while at < header.len() {
            if at != 1 || digits[0] != b'0' {
                start[length] = header[at];
                length += 1;
            }
            at += 1;
        }
        while from < to {
            start[length] = name[from];
            (length, from) = (length + 1, from + 1);
        }
        start[length] = b'\r';
        start[length + 1] = b'\n';
        (length, args, from) = (length + 2, args + 1, to + 1);
    }
    (start, length as u8, args)
}

const SEPARATOR: u8 = b'|';

/// More than twice the number of names, so that the first bucket is mostly the right one.
const BUCKETS: usize = 1024;
const _: () = assert!(TABLE.len() * 2 < BUCKETS, "a look-up of an unknown name ends at an empty bucket");

/// An index that no entry of the table has.
const EMPTY: u16 = u16::MAX;

/// For each bucket the index of an entry of the table; one whose bucket is taken is in the next free one.
static INDEX: [u16; BUCKETS] = index();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, for which a panic is an error")]
const fn index() -> [u16; BUCKETS] {
    let mut buckets = [EMPTY; BUCKETS];
    let mut entry = 0;
    while entry < TABLE.len() {
        let mut bucket = hash(HASH_START, TABLE[entry].name.as_bytes()) % BUCKETS;
        while buckets[bucket] != EMPTY {
            bucket = (bucket + 1) % BUCKETS;
        }
        buckets[bucket] = entry as u16;
        entry += 1;
    }
    buckets
}

const HASH_START: usize = 0x811c_9dc5;

/// FNV-1a with letters in one case. The names are fixed, so nobody can choose them to collide.
const fn hash(start: usize, mut text: &[u8]) -> usize {
    let mut hash = start;
    while let [byte, rest @ ..] = text {
        hash = (hash ^ (*byte | 0x20) as usize).wrapping_mul(0x0100_0193);
        text = rest;
    }
    hash
}

fn find(hash: usize, is: impl Fn(&str) -> bool) -> Option<&'static CommandSpec> {
    let mut bucket = hash % BUCKETS;
    loop {
        let spec = TABLE.get(usize::from(*INDEX.get(bucket)?))?;
        if is(spec.name) {
            return Some(spec);
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

/// How long the server may hold back the reply of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockTimeout {
    /// It answers as soon as the command has run.
    NotBlocking,
    /// It answers after this time at the latest.
    After(Duration),
    /// It may never answer.
    Forever,
}

impl CommandSpec {
    /// How long the server may hold back the reply to these arguments (position 0 is the name). `None` if the timeout
    /// is missing or no timeout: the server refuses such a command at once.
    ///
    /// A [`Blocking::Stream`] or [`Blocking::Session`] answers at once, what comes later is no reply. Redis 6 reads a timeout below a millisecond
    /// as [`Forever`](BlockTimeout::Forever).
    pub(crate) fn block_timeout<'a>(
        &self,
        argc: usize,
        arg: impl Fn(usize) -> &'a [u8],
    ) -> Option<BlockTimeout> {
        let argument = |at: usize| (at > 0 && at < argc).then(|| arg(at));
        match self.blocking {
            Blocking::Never | Blocking::Stream | Blocking::Session => Some(BlockTimeout::NotBlocking),
            Blocking::SecondsLast => seconds(argument(argc.checked_sub(1)?)?),
            Blocking::SecondsFirst => seconds(argument(1)?),
            Blocking::OwnWrites => millis(argument(argc.checked_sub(1)?)?),
            Blocking::MillisOption => {
                let options = stream_option(b"STREAMS", argc, &arg).unwrap_or(argc);
                match stream_option(b"BLOCK", options, &arg) {
                    Some(at) => millis(argument(at + 1)?),
                    None => Some(BlockTimeout::NotBlocking),
                }
            }
        }
    }

    /// Whether these arguments (position 0 is the name) may be sent again though the first may have been executed:
    /// [`idempotent`](CommandSpec::idempotent), and no option that makes the second reply another than the first.
    ///
    /// Options that are not known here are taken for harmful.
    pub(crate) fn repeat_is_safe<'a>(&self, argc: usize, arg: impl Fn(usize) -> &'a [u8]) -> bool {
        let is = |at: usize, word: &[u8]| at < argc && arg(at).eq_ignore_ascii_case(word);
        let any_is = |from: usize, word: &[u8]| (from..argc).any(|at| is(at, word));
        let only = |from: usize, end: usize, allowed: &[&[u8]]| {
            let mut at = from;
            while at < end {
                let Some(option) = allowed.iter().find(|option| is(at, option)) else { return false };
                at += if option == &PERSIST { 1 } else { 2 };
            }
            true
        };
        let fields = || (2..argc).find(|&at| is(at, b"FIELDS")).unwrap_or(argc);

        self.idempotent
            && match self.name {
                "SET" => only(3, argc, EXPIRY),
                "HSETEX" => only(2, fields(), EXPIRY),
                "MSETEX" => self
                    .key_positions(argc, &arg)
                    .is_ok_and(|keys| keys.last().is_some_and(|last| only(last + 2, argc, EXPIRY))),
                "GETEX" => only(2, argc, NEW_EXPIRY),
                "HGETEX" => only(2, fields(), NEW_EXPIRY),
                // A time of 0 removes the key, and there is none to remove the second time.
                "EXPIRE" | "PEXPIRE" => argc == 3 && is_positive(arg(2)),
                "HEXPIRE" | "HPEXPIRE" => is(3, b"FIELDS") && is_positive(arg(2)),
                "LTRIM" => argc == 4 && trims_to_a_length(arg(2), arg(3)),
                "COPY" => any_is(3, b"REPLACE"),
                "RESTORE" | "RESTORE-ASKING" => any_is(4, b"REPLACE"),
                "FUNCTION|LOAD" => is(2, b"REPLACE"),
                "FUNCTION|RESTORE" => is(3, b"REPLACE") || is(3, b"FLUSH"),
                // `$` is what is new by then: entries that the lost reply brought would be skipped.
                "XREAD" => !any_is(1, b"$"),
                "BITOP" | "GEORADIUS" | "GEORADIUSBYMEMBER" | "GEOSEARCHSTORE" | "SDIFFSTORE"
                | "SINTERSTORE" | "SORT" | "SUNIONSTORE" | "ZDIFFSTORE" | "ZINTERSTORE" | "ZRANGESTORE"
                | "ZUNIONSTORE" => self.key_positions(argc, &arg).is_ok_and(|mut keys| {
                    // With a source that is the destination, the second run starts from the first one's result.
                    keys.next().is_some_and(|first| keys.all(|other| arg(other) != arg(first)))
                }),
                _ => true,
            }
    }
}

const PERSIST: &[u8] = b"PERSIST";
/// Options with a value. `KEEPTTL` is not among them: the key may have expired in between.
const EXPIRY: &[&[u8]] = &[b"EX", b"PX", b"EXAT", b"PXAT"];
/// Options of a read that changes the time to live. `EXAT` is not among them: in the past, it removes what is read.
const NEW_EXPIRY: &[&[u8]] = &[b"EX", b"PX", PERSIST];

fn seconds(text: &[u8]) -> Option<BlockTimeout> {
    let seconds: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    if seconds == 0.0 {
        return Some(BlockTimeout::Forever);
    }
    Duration::try_from_secs_f64(seconds).ok().map(BlockTimeout::After)
}

fn millis(text: &[u8]) -> Option<BlockTimeout> {
    Some(match number(text)? {
        0 => BlockTimeout::Forever,
        millis => BlockTimeout::After(Duration::from_millis(millis)),
    })
}

fn is_positive(text: &[u8]) -> bool {
    number(text).is_some_and(|number| number > 0)
}

/// Whether `LTRIM` with these ends keeps the first or the last elements: with others, the second run trims again.
fn trims_to_a_length(start: &[u8], stop: &[u8]) -> bool {
    let number = |text: &[u8]| str::from_utf8(text).ok()?.parse::<i64>().ok();
    match (number(start), number(stop)) {
        (Some(0), Some(stop)) => stop >= -1,
        (Some(start), Some(-1)) => start < 0,
        (Some(_) | None, Some(_) | None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits at spaces; `""` is an empty argument.
    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().map(|word| if word == "\"\"" { "" } else { word }).collect()
    }

    fn spec_of(args: &[&str]) -> &'static CommandSpec {
        let spec = lookup(args[0].as_bytes()).unwrap();
        if !spec.container {
            return spec;
        }
        args.get(1).and_then(|sub| lookup_sub(args[0].as_bytes(), sub.as_bytes())).unwrap_or(spec)
    }

    fn keys_of(line: &str) -> Result<Vec<usize>, String> {
        let args = words(line);
        let keys = spec_of(&args).key_positions(args.len(), |at| args[at].as_bytes());
        keys.map(Iterator::collect).map_err(|bad| bad.to_string())
    }

    fn timeout_of(line: &str) -> Option<BlockTimeout> {
        let args = words(line);
        spec_of(&args).block_timeout(args.len(), |at| args[at].as_bytes())
    }

    fn repeats(line: &str) -> bool {
        let args = words(line);
        spec_of(&args).repeat_is_safe(args.len(), |at| args[at].as_bytes())
    }

    #[test]
    fn the_table_is_sorted_and_no_name_is_in_it_twice() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
        }
    }

    #[test]
    fn every_name_is_found_in_any_case() {
        for spec in TABLE {
            let name = spec.name.to_ascii_lowercase();
            let found = match name.split_once('|') {
                Some((container, sub)) => lookup_sub(container.as_bytes(), sub.as_bytes()),
                None => lookup(name.as_bytes()),
            };
            assert_eq!(found, Some(spec));
        }
        assert_eq!(lookup(b"GeT"), lookup(b"GET"));
    }

    #[test]
    fn a_name_that_no_server_takes_is_not_found() {
        for name in ["", "GE", "GETS", "OBJECT|ENCODING", "|", "G\u{6}T", "\0", "POST", "HOST:"] {
            assert_eq!(lookup(name.as_bytes()), None, "{name:?}");
        }
        for (container, sub) in [("OBJECT", ""), ("", "ENCODING"), ("GET", "K"), ("OBJECT|ENCODING", "")] {
            assert_eq!(lookup_sub(container.as_bytes(), sub.as_bytes()), None, "{container:?} {sub:?}");
        }
    }

    #[test]
    fn a_known_name_has_the_facts_that_the_look_up_finds() {
        const KNOWN: [Known; 2] = [Known::find("GET"), Known::find("CLUSTER COUNTKEYSINSLOT")];
        let [get, count] = &KNOWN;
        assert_eq!((&get.start[..usize::from(get.length)], get.args), (&b"$3\r\nGET\r\n"[..], 1));
        assert_eq!(Some(get.spec), lookup(b"GET"));
        let words = b"$7\r\nCLUSTER\r\n$15\r\nCOUNTKEYSINSLOT\r\n";
        assert_eq!((&count.start[..usize::from(count.length)], count.args), (&words[..], 2));
        assert_eq!(Some(count.spec), lookup_sub(b"CLUSTER", b"COUNTKEYSINSLOT"));
    }

    #[test]
    fn a_subcommand_has_a_container_and_a_container_has_no_keys() {
        for spec in TABLE {
            match spec.name.split_once('|') {
                Some((container, _)) => assert!(lookup(container.as_bytes()).unwrap().container),
                None if spec.container => assert_eq!(spec.keys, Keys::None, "{}", spec.name),
                None => {}
            }
        }
    }

    #[test]
    fn keys_are_where_the_servers_find_them() {
        for (line, expected) in [
            ("PING", &[][..]),
            ("GET a", &[1]),
            ("get a", &[1]),
            ("DEL a b c", &[1, 2, 3]),
            ("MSET a 1 b 2", &[1, 3]),
            ("BITOP AND d a b", &[2, 3, 4]),
            ("BLPOP a b 0", &[1, 2]),
            ("LMOVE a b LEFT RIGHT", &[1, 2]),
            ("OBJECT ENCODING a", &[2]),
            ("OBJECT HELP", &[]),
            ("XGROUP CREATE a g $", &[2]),
            ("XINFO STREAM a FULL", &[2]),
            ("MEMORY USAGE a", &[2]),
            ("EVAL script 2 a b x", &[3, 4]),
            ("EVAL script 0 x", &[]),
            ("ZUNION 2 a b WITHSCORES", &[2, 3]),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &[1, 3, 4]),
            ("BLMPOP 0 2 a b LEFT", &[3, 4]),
            ("SINTERCARD 2 a b LIMIT 1", &[2, 3]),
            ("MSETEX 2 a 1 b 2 EX 10", &[2, 4]),
            ("XREAD COUNT 2 STREAMS a b 0 0", &[4, 5]),
            ("XREADGROUP GROUP g c STREAMS a >", &[5]),
            ("MIGRATE host 1 a 0 10", &[3]),
            ("MIGRATE host 1 \"\" 0 10 REPLACE KEYS a b", &[8, 9]),
            ("GEORADIUS a 1 1 1 m", &[1]),
            ("GEORADIUS a 1 1 1 m COUNT 1 STOREDIST d", &[1, 9]),
            ("GEORADIUSBYMEMBER a m 1 km STORE d", &[1, 6]),
            ("SPUBLISH a m", &[1]),
            ("SUNSUBSCRIBE", &[]),
            ("STRALGO LCS KEYS a b", &[3, 4]),
            ("STRALGO LCS STRINGS x y", &[]),
        ] {
            assert_eq!(keys_of(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_sort_with_store_has_two_keys() {
        assert_eq!(keys_of("SORT a LIMIT 0 5 GET # ALPHA STORE d"), Ok(vec![1, 9]));
        assert_eq!(keys_of("SORT a STORE x STORE d"), Ok(vec![1, 5]));
    }

    #[test]
    fn the_value_of_an_option_is_not_taken_for_the_option() {
        assert_eq!(keys_of("SORT a BY store GET store DESC"), Ok(vec![1]));
        assert_eq!(keys_of("XREADGROUP GROUP STREAMS STREAMS COUNT 1 STREAMS a >"), Ok(vec![7]));
        assert_eq!(keys_of("MIGRATE h 1 \"\" 0 10 AUTH KEYS KEYS a"), Ok(vec![9]));
        assert_eq!(keys_of("MIGRATE h 1 \"\" 0 10 AUTH2 KEYS KEYS KEYS a"), Ok(vec![10]));
        assert_eq!(timeout_of("XREADGROUP GROUP BLOCK 5 STREAMS a >"), Some(BlockTimeout::NotBlocking));
        assert_eq!(timeout_of("XREAD STREAMS BLOCK 5"), Some(BlockTimeout::NotBlocking));
    }

    #[test]
    fn missing_arguments_of_a_fixed_position_are_left_to_the_server() {
        for line in ["GET", "RENAME", "BITOP AND", "BLPOP 0", "OBJECT ENCODING", "SORT", "MIGRATE"] {
            assert_eq!(keys_of(line), Ok(vec![]), "{line}");
        }
        assert_eq!(keys_of("RENAME a"), Ok(vec![1]));
        assert_eq!(keys_of("SORT a STORE"), Ok(vec![1]));
    }

    #[test]
    fn a_wrong_number_of_keys_is_said_in_words() {
        for (line, words) in [
            ("ZUNIONSTORE d x a", "ZUNIONSTORE: argument 2 (\"x\") should be the number of keys"),
            ("EVAL s -1", "EVAL: argument 2 (\"-1\") should be the number of keys"),
            ("ZUNION", "ZUNION: argument 1 should be the number of keys, and is missing"),
            ("LMPOP 3 a LEFT", "LMPOP: argument 1 announces 3 keys, and only 2 arguments follow"),
            ("MSETEX 2 a 1 b", "MSETEX: argument 1 announces 2 keys, and only 3 arguments follow"),
            (
                "EVAL s 18446744073709551615 a",
                "EVAL: argument 2 announces 18446744073709551615 keys, and only 1 arguments follow",
            ),
            ("XREAD COUNT 1", "XREAD: the word STREAMS is missing"),
            ("XREAD STREAMS a b 0", "XREAD: 3 arguments follow STREAMS, it should be as many ids as streams"),
            (
                "FCALL f a-very-long-argument-in-the-wrong-place 1",
                "FCALL: argument 2 (\"a-very-long-argument-in-...\") should be the number of keys",
            ),
        ] {
            assert_eq!(keys_of(line), Err(words.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_timeout_is_read_where_the_command_has_it() {
        let after = |millis| Some(BlockTimeout::After(Duration::from_millis(millis)));
        for (line, expected) in [
            ("GET a", Some(BlockTimeout::NotBlocking)),
            ("SUBSCRIBE a", Some(BlockTimeout::NotBlocking)),
            ("BLPOP a b 0.5", after(500)),
            ("BLPOP a 0", Some(BlockTimeout::Forever)),
            ("BLPOP a x", None),
            ("BLPOP a -1", None),
            ("BLPOP a inf", None),
            ("BLPOP", None),
            ("BLMPOP 2 1 a LEFT", after(2000)),
            ("XREAD COUNT 1 block 30 STREAMS a $", after(30)),
            ("XREAD BLOCK 0 STREAMS a $", Some(BlockTimeout::Forever)),
            ("XREAD BLOCK", None),
            ("XREAD STREAMS a 0", Some(BlockTimeout::NotBlocking)),
            ("WAIT 1 100", after(100)),
            ("WAITAOF 1 1 0", Some(BlockTimeout::Forever)),
        ] {
            assert_eq!(timeout_of(line), expected, "{line}");
        }
    }

    #[test]
    fn a_repeat_with_the_same_reply_is_safe() {
        for line in [
            "GET a",
            "EVAL_RO s 1 a",
            "SET a 1",
            "SET a 1 px 100",
            "MSET a 1 b 2",
            "MSETEX 1 a 1 EX 5",
            "HSETEX a EX 5 FIELDS 1 f v",
            "GETEX a PERSIST",
            "HGETEX a EX 5 FIELDS 1 f",
            "EXPIRE a 10",
            "HEXPIRE a 10 FIELDS 1 f",
            "LTRIM a 0 99",
            "LTRIM a -100 -1",
            "COPY a b DB 1 REPLACE",
            "RESTORE a 0 x REPLACE",
            "SINTERSTORE d a b",
            "SORT a BY x STORE d",
            "XREAD STREAMS a 5-0",
            "SCRIPT LOAD s",
            "CONFIG SET a b",
        ] {
            assert!(repeats(line), "{line}");
        }
    }

    #[test]
    fn a_repeat_with_another_reply_or_effect_is_not_safe() {
        for line in [
            "INCR a",
            "FLUSHALL",
            "EXPIREAT a 1",
            "XGROUP SETID a g $",
            "DEL a",
            "SADD a b",
            "HSET a f v",
            "SET a 1 NX",
            "SET a 1 EX 5 GET",
            "SET a 1 IFEQ 0",
            "SET a 1 KEEPTTL",
            "SET a 1 SOMETHING-NEW",
            "MSETEX 1 a 1 NX",
            "HSETEX a FNX FIELDS 1 f v",
            "GETEX a EXAT 1",
            "EXPIRE a 10 GT",
            "EXPIRE a 0",
            "EXPIRE a -1",
            "HEXPIRE a 10 NX FIELDS 1 f",
            "LTRIM a 1 -1",
            "LTRIM a 0 -2",
            "COPY a b",
            "RESTORE a 0 x",
            "RENAME a b",
            "SINTERSTORE a a b",
            "ZUNIONSTORE a 2 b a",
            "BITOP NOT a a",
            "SORT a STORE a",
            "XREAD BLOCK 0 STREAMS a $",
            "FUNCTION LOAD code",
            "EVAL s 1 a",
            "PUBLISH a b",
            "WAIT 1 0",
        ] {
            assert!(!repeats(line), "{line}");
        }
    }

    #[test]
    fn every_read_is_idempotent_and_nothing_that_blocks_or_runs_code_is_unless_it_reads() {
        for spec in TABLE {
            match spec.access {
                Access::Read => assert!(spec.idempotent, "{}", spec.name),
                Access::Write | Access::Neither => {
                    let risky = match spec.blocking {
                        Blocking::Never | Blocking::Session => spec.scripted,
                        Blocking::SecondsLast
                        | Blocking::SecondsFirst
                        | Blocking::MillisOption
                        | Blocking::OwnWrites
                        | Blocking::Stream => true,
                    };
                    assert!(!(risky && spec.idempotent), "{}", spec.name);
                }
            }
        }
    }

    #[test]
    fn a_command_that_sets_all_keys_or_none_is_never_split() {
        for name in ["MSETNX", "MSETEX", "JSON.MSET"] {
            assert_eq!(lookup(name.as_bytes()).unwrap().request, RequestPolicy::ByKey);
        }
        let split: Vec<_> = TABLE.iter().filter(|spec| spec.request == RequestPolicy::MultiShard).collect();
        assert!(!split.is_empty());
        for spec in split {
            // Only a path may be behind the keys.
            assert!(matches!(spec.keys, Keys::Range { first: 1, last: -1 | -2, .. }), "{}", spec.name);
        }
    }

    #[test]
    fn no_arguments_make_it_panic_and_no_position_is_out_of_range() {
        let some = words(
            "\"\" a 0 1 2 -1 9999999999999999999999 1.5 inf \u{fffd} KEYS STREAMS STORE STOREDIST BY GET LIMIT \
             GROUP BLOCK COUNT AUTH AUTH2 REPLACE FIELDS EX PERSIST",
        );
        let mut random = 1_u64;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % limit
        };
        for spec in TABLE {
            for _ in 0..2000 {
                let args: Vec<&str> = (0..below(12)).map(|_| some[below(some.len())]).collect();
                let arg = |at: usize| args[at].as_bytes();
                spec.block_timeout(args.len(), arg);
                spec.repeat_is_safe(args.len(), arg);
                let Ok(keys) = spec.key_positions(args.len(), arg) else { continue };
                let announced = keys.len();
                let positions: Vec<usize> = keys.collect();
                assert_eq!(positions.len(), announced, "{} {args:?}", spec.name);
                assert!(positions.iter().all(|&at| 0 < at && at < args.len()), "{} {args:?}", spec.name);
                assert!(positions.is_sorted_by(|a, b| a < b), "{} {args:?}", spec.name);
            }
        }
    }
}
