//! All commands that the simulation knows, by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call};
use crate::testkit::sim::commands::{
    acl, bitmaps, client, client_tracking, cluster, config, connection, dump, expiry, hashes, info, keys,
    lists, migrate, moving_lists, numbers, object, pubsub, scan, server, set_algebra, sets, sort,
    sorted_set_algebra, sorted_set_pops, sorted_set_ranges, sorted_sets, stream_reads, streams, strings,
    substrings, transactions,
};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::spec::{Builtin, Keys, Run, Since, Spec};

/// What the dispatcher executes itself.
const BUILTINS: &[Spec] = &[
    builtin("exec", 1, "noscript loading stale skip_slowlog", Builtin::Exec),
    builtin("command", -1, "random loading stale", Builtin::Command),
    builtin("command|count", 2, "loading stale", Builtin::Command),
    builtin("command|info", -2, "loading stale", Builtin::Command),
    builtin("command|getkeys", -3, "loading stale", Builtin::Command),
    builtin("command|getkeysandflags", -3, "loading stale", Builtin::Command).since(Since::Redis70),
    builtin("command|list", -2, "loading stale", Builtin::Command).since(Since::Redis70),
    builtin("command|docs", -2, "loading stale", Builtin::Command).since(Since::Redis70),
];

const fn builtin(name: &'static str, arity: isize, flags: &'static str, builtin: Builtin) -> Spec {
    Spec { name, arity, flags, keys: Keys::None, since: Since::Always, run: Run::Dispatcher(builtin) }
}

/// Each with the category of its commands in ACL rules; none if they have several.
const FAMILIES: &[(&str, &[Spec])] = &[
    ("", BUILTINS),
    ("@string", strings::COMMANDS),
    ("@string", substrings::COMMANDS),
    ("@string", numbers::COMMANDS),
    ("@bitmap", bitmaps::COMMANDS),
    ("@keyspace", keys::COMMANDS),
    ("@keyspace", expiry::COMMANDS),
    ("@keyspace", scan::COMMANDS),
    ("@keyspace", object::COMMANDS),
    ("@keyspace", dump::COMMANDS),
    ("", sort::COMMANDS),
    ("@hash", hashes::COMMANDS),
    ("@list", lists::COMMANDS),
    ("@list", moving_lists::COMMANDS),
    ("@set", sets::COMMANDS),
    ("@set", set_algebra::COMMANDS),
    ("@sortedset", sorted_sets::COMMANDS),
    ("@sortedset", sorted_set_ranges::COMMANDS),
    ("@sortedset", sorted_set_pops::COMMANDS),
    ("@sortedset", sorted_set_algebra::COMMANDS),
    ("@stream", streams::COMMANDS),
    ("@stream", stream_reads::COMMANDS),
    ("@transaction", transactions::COMMANDS),
    ("@connection", connection::COMMANDS),
    ("@connection", client::COMMANDS),
    ("@connection", client_tracking::COMMANDS),
    ("@pubsub", pubsub::COMMANDS),
    ("", server::COMMANDS),
    ("", info::COMMANDS),
    ("", config::COMMANDS),
    ("", acl::COMMANDS),
    ("", cluster::COMMANDS),
    ("@keyspace", migrate::COMMANDS),
];

/// What a first word may mean.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) name: &'static str,
    /// The category of its family.
    pub(super) category: &'static str,
    /// The command of this name alone.
    pub(super) own: Option<&'static Spec>,
    /// By the second word.
    pub(super) subcommands: BTreeMap<&'static str, &'static Spec>,
    /// In whose name a command with an unknown second word goes its way where that is noticed last.
    stranger: Spec,
}

/// The commands of one profile, by their first words.
#[derive(Debug)]
struct Table(BTreeMap<&'static str, Word>);

static REDIS_62: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Redis62));
static REDIS_70: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Redis70));
static REDIS_82: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Redis82));
static REDIS_84: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Redis84));
static VALKEY_81: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Valkey81));
static VALKEY_91: LazyLock<Table> = LazyLock::new(|| Table::of(Profile::Valkey91));

impl Table {
    fn of(profile: Profile) -> Self {
        let mut words = BTreeMap::new();
        for (category, family) in FAMILIES {
            for spec in family.iter().filter(|spec| spec.since.has(profile)) {
                let (first, second) = spec.name.split_once('|').unwrap_or((spec.name, ""));
                let word = words.entry(first).or_insert_with(|| Word::new(first, category, profile));
                if second.is_empty() {
                    word.own = Some(spec);
                } else {
                    word.subcommands.insert(second, spec);
                }
            }
        }
        Self(words)
    }

    fn for_profile(profile: Profile) -> &'static Self {
        match profile {
            Profile::Redis62 => &REDIS_62,
            Profile::Redis70 => &REDIS_70,
            Profile::Redis82 => &REDIS_82,
            Profile::Redis84 => &REDIS_84,
            Profile::Valkey81 => &VALKEY_81,
            Profile::Valkey91 => &VALKEY_91,
        }
    }
}

impl Word {
    fn new(name: &'static str, category: &'static str, profile: Profile) -> Self {
        let run = Run::World(refuse_stranger);
        let flags = "noscript loading stale";
        // Redis 6.2 looks for the key before it looks at the second word.
        let has_key = matches!(name, "object" | "xgroup" | "xinfo") && !profile.since_7_0();
        let keys = if has_key { Keys::Range(2, 2, 1) } else { Keys::None };
        let stranger = Spec { name, arity: -2, flags, keys, since: Since::Always, run };
        Self { name, category, own: None, subcommands: BTreeMap::new(), stranger }
    }
}

/// Every first word that a server of this profile lists, in the order of the alphabet.
pub(super) fn words(profile: Profile) -> impl Iterator<Item = &'static Word> {
    let is_listed = move |word: &&Word| match word.name {
        // No commands any more, but still the end of a connection that speaks HTTP.
        "host:" | "post" => !profile.since_7_0(),
        "quit" => profile.since_7_0(),
        _ => true,
    };
    Table::for_profile(profile).0.values().filter(is_listed)
}

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Command(&'static Spec),
    /// The first word is known and the second is not. On Redis 6.2 the command is executed all the same, to say so.
    NoSubcommand(&'static Spec),
    /// The first word needs a second.
    Incomplete(&'static str),
    Nothing,
}

/// The command that these arguments name.
pub(super) fn find(args: &[Bytes], profile: Profile) -> Found {
    let Some(word) = args.first().and_then(|name| word(name, profile)) else { return Found::Nothing };
    match (word.own, args.get(1)) {
        (Some(own), None) => Found::Command(own),
        (Some(own), Some(_)) if word.subcommands.is_empty() => Found::Command(own),
        (None, None) => Found::Incomplete(word.name),
        (_, Some(second)) => {
            let known = lower(second, &mut [0; LONGEST], |second| word.subcommands.get(second).copied());
            known.map_or(Found::NoSubcommand(&word.stranger), Found::Command)
        }
    }
}

/// What the name means as a first word.
pub(super) fn word(name: &[u8], profile: Profile) -> Option<&'static Word> {
    lower(name, &mut [0; LONGEST], |name| Table::for_profile(profile).0.get(name))
}

/// The command that is named by one word, as `get` or `config|get`.
pub(super) fn named(name: &[u8], profile: Profile) -> Option<&'static Spec> {
    let mut parts = name.splitn(2, |byte| *byte == b'|').map(Bytes::copy_from_slice);
    let args: Vec<Bytes> = parts.by_ref().collect();
    match find(&args, profile) {
        Found::Command(spec) if spec.name.len() == name.len() => Some(spec),
        _ => None,
    }
}

/// `CLIENT FOO` where such a command is executed before it is found out.
pub(super) fn stranger(first: &str, profile: Profile) -> Option<&'static Spec> {
    Table::for_profile(profile).0.get(first).map(|word| &word.stranger)
}

fn refuse_stranger(call: &mut Call<'_>) -> Answered {
    Err(Refused::unknown_subcommand(&call.arg(0), &call.arg(1), call.world.node(call.node).profile))
}

/// No name has more letters.
const LONGEST: usize = 32;

/// Asks with the word in lower case, without an allocation: every command comes here, more than once.
fn lower<T>(word: &[u8], room: &mut [u8; LONGEST], ask: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let room = room.get_mut(..word.len())?;
    room.copy_from_slice(word);
    room.make_ascii_lowercase();
    std::str::from_utf8(room).ok().and_then(ask)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{FAMILIES, Found, LONGEST, find, named};
    use crate::testkit::sim::profile::Profile;

    fn find_words(words: &str, profile: Profile) -> Found {
        let args: Vec<Bytes> = words.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        find(&args, profile)
    }

    #[test]
    fn no_command_is_there_twice_and_no_name_is_too_long() {
        for profile in Profile::ALL {
            let specs = FAMILIES.iter().flat_map(|(_, family)| family.iter());
            let mut names: Vec<_> =
                specs.filter(|spec| spec.since.has(profile)).map(|spec| spec.name).collect();
            assert!(names.iter().all(|name| name.len() <= LONGEST));
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn a_command_is_found_by_its_words_in_any_case_from_its_version_on() {
        let is = |words, profile, name| matches!(find_words(words, profile), Found::Command(spec) if spec.name == name);
        assert!(is("gEt k", Profile::Redis82, "get"));
        assert!(is("Client iD", Profile::Redis62, "client|id"));
        assert!(is("command", Profile::Redis70, "command"));
        assert!(is("command count", Profile::Redis70, "command|count"));
        assert!(is("client setinfo lib-name x", Profile::Valkey81, "client|setinfo"));
        assert!(matches!(find_words("client setinfo lib-name x", Profile::Redis70), Found::NoSubcommand(_)));
        assert!(matches!(find_words("client", Profile::Redis70), Found::Incomplete("client")));
        assert!(matches!(find_words("nosuch", Profile::Redis70), Found::Nothing));
        assert!(matches!(find_words("spublish a b", Profile::Redis62), Found::Nothing));
        assert!(named(b"client|id", Profile::Valkey91).is_some());
        assert!(named(b"client|nosuch", Profile::Valkey91).is_none());
        assert!(named(b"client", Profile::Valkey91).is_none());
    }
}
