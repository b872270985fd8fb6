//! What a node says of its own commands: `COMMAND`, and the errors for those that it does not have.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, reply};
use crate::testkit::sim::command_info;
use crate::testkit::sim::glob;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::table::{self, Found};

/// The command that these arguments name, if they are as many as it takes.
pub(super) fn look_up(args: &[Bytes], profile: Profile) -> Result<&'static Spec, Refused> {
    match table::find(args, profile) {
        Found::Command(spec) if spec.takes(args.len()) => Ok(spec),
        // Redis 6.2 knows only the first word; the second is the business of the command itself.
        Found::Command(spec) => match spec.name.split_once('|').filter(|_| !profile.since_7_0()) {
            Some((first, _)) => table::stranger(first, profile).ok_or_else(Refused::syntax),
            None => Err(Refused::wrong_number(spec.name)),
        },
        Found::NoSubcommand(stranger) if !profile.since_7_0() => Ok(stranger),
        Found::NoSubcommand(_) => {
            let word = |place: usize| args.get(place).map(Bytes::as_ref).unwrap_or_default();
            Err(Refused::unknown_subcommand(word(0), word(1), profile))
        }
        Found::Incomplete(first) => Err(Refused::wrong_number(first)),
        Found::Nothing => Err(Refused::unknown_command(args, profile)),
    }
}

/// `COMMAND` and its subcommands.
pub(super) fn command(args: &[Bytes], profile: Profile) -> Answered {
    let rest = args.get(2..).unwrap_or_default();
    let is = |name: &str| args.get(1).is_some_and(|second| second.eq_ignore_ascii_case(name.as_bytes()));
    reply(if is("count") {
        Reply::int(table::words(profile).count())
    } else if is("getkeys") {
        Reply::Array(keys(args, profile)?.1.into_iter().map(Reply::Bulk).collect())
    } else if is("getkeysandflags") {
        let (spec, keys) = keys(args, profile)?;
        let flags = || command_info::key_flags(spec);
        Reply::Array(keys.into_iter().map(|key| Reply::Array(vec![Reply::Bulk(key), flags()])).collect())
    } else if is("list") {
        list(rest, profile)?
    } else if is("docs") {
        Reply::Map(Vec::new())
    } else if is("info") && !(rest.is_empty() && profile.since_7_0()) {
        Reply::Array(rest.iter().map(|name| command_info::of_name(name, profile)).collect())
    } else {
        Reply::Array(table::words(profile).map(|word| command_info::of_word(word, profile)).collect())
    })
}

/// The keys of the command behind `COMMAND GETKEYS`.
fn keys(args: &[Bytes], profile: Profile) -> Result<(&'static Spec, Vec<Bytes>), Refused> {
    if profile == Profile::Redis70 && args.len() < 4 {
        let name = args.get(1).map(|name| String::from_utf8_lossy(name).to_lowercase()).unwrap_or_default();
        return Err(Refused::wrong_number(&format!("command|{name}")));
    }
    let of = args.get(2..).unwrap_or_default();
    let Found::Command(spec) = table::find(of, profile) else {
        return Err(Refused::new("ERR Invalid command specified"));
    };
    if spec.keys == Keys::None {
        return Err(Refused::new("ERR The command has no key arguments"));
    }
    if !spec.takes(of.len()) {
        return Err(Refused::new("ERR Invalid number of arguments specified for command"));
    }
    let keys = spec.keys.of(of);
    if keys.is_empty() || spec.keys.counts(of).is_some_and(|count| count > keys.len()) {
        return Err(Refused::new("ERR Invalid arguments specified for command"));
    }
    Ok((spec, keys))
}

/// `COMMAND LIST`, all or filtered.
fn list(options: &[Bytes], profile: Profile) -> Result<Reply, Refused> {
    let is = |place: usize, word: &str| {
        options.get(place).is_some_and(|option: &Bytes| option.eq_ignore_ascii_case(word.as_bytes()))
    };
    let all = || table::words(profile).map(|word| word.name);
    let names: Vec<&str> = match options {
        [] => all().collect(),
        [_, _, _] if !is(0, "filterby") => return Err(Refused::syntax()),
        [_, _, _] if is(1, "module") => Vec::new(),
        [_, _, category] if is(1, "aclcat") => {
            let category = format!("@{}", String::from_utf8_lossy(category).to_lowercase());
            let has = |name: &&str| {
                table::word(name.as_bytes(), profile)
                    .is_some_and(|word| command_info::categories(word, word.own).contains(&category.as_str()))
            };
            all().filter(has).collect()
        }
        [_, _, pattern] if is(1, "pattern") => {
            all().filter(|name| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())).collect()
        }
        _ => return Err(Refused::syntax()),
    };
    Ok(Reply::Array(names.into_iter().map(Reply::bulk).collect()))
}
