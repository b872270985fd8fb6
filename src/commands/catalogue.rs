//! The list of all typed commands, drawn from their entries: how many there are, that each is documented as the others,
//! and the table that the documentation shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use crate::commands::all_commands;
use crate::protocol::command_spec::{Blocking, all_specs};

/// One entry of a list.
struct Entry {
    method: &'static str,
    docs: Vec<&'static str>,
    /// What builds the command.
    source: &'static str,
}

impl Entry {
    /// The name on the wire: `OBJECT ENCODING`.
    fn name(&self) -> &'static str {
        self.source.split('"').nth(1).unwrap()
    }
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    macro_rules! entering {
        ($(
            $(#[doc = $doc:literal])*
            fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
        )*) => {$(
            entries.push(Entry {
                method: stringify!($name),
                docs: vec![$($doc),*],
                source: stringify!($command),
            });
        )*};
    }
    all_commands!(entering);
    entries
}

/// The typed methods of each command.
fn by_name() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in entries() {
        names.entry(entry.name()).or_default().push(entry.method);
    }
    names
}

/// Text of `src/commands/table.md`.
fn table() -> String {
    let typed = by_name();
    let mut names: BTreeSet<String> =
        all_specs().iter().filter(|spec| !spec.container).map(|spec| spec.name.replace('|', " ")).collect();
    names.extend(typed.keys().map(|name| (*name).to_owned()));
    let refused: BTreeSet<String> = all_specs()
        .iter()
        .filter(|spec| matches!(spec.blocking, Blocking::Session | Blocking::Stream | Blocking::OwnWrites))
        .map(|spec| spec.name.replace('|', " "))
        .collect();
    let mut text = format!(
        "Which commands have typed methods in [`Commands`](crate::Commands), [`Pipeline`](crate::Pipeline) and\n\
         [`Transaction`](crate::Transaction).\n\n\
         Generated from the lists of typed commands and the command table: of {} commands {} are typed. The others go by\n\
         [`Client::execute`](crate::Client::execute), which routes them just as well; those that would harm a connection \
         that\n\
         others share, or tell nothing there, are refused with an error that says so.\n\n\
         | command | methods |\n|---|---|\n",
        names.len(),
        typed.len(),
    );
    for name in &names {
        let methods = match typed.get(name.as_str()) {
            Some(methods) => {
                let links = methods.iter().map(|method| link(method));
                links.collect::<Vec<_>>().join(", ")
            }
            None if refused.contains(name) => "refused on shared connections".to_owned(),
            None => "`execute` only".to_owned(),
        };
        writeln!(text, "| {name} | {methods} |").unwrap();
    }
    text
}

/// Methods behind a feature are not there to be linked to when it is off.
fn link(method: &str) -> String {
    if method.starts_with("json_") {
        format!("`{method}` (feature `json`)")
    } else {
        format!("[`{method}`](crate::Commands::{method})")
    }
}

#[test]
fn at_least_250_commands_are_typed() {
    let names = by_name();
    println!("{} commands by {} methods", names.len(), entries().len());
    assert!(names.len() >= 250, "{}", names.len());
}

#[test]
fn no_method_is_there_twice() {
    let entries = entries();
    let methods: BTreeSet<&str> = entries.iter().map(|entry| entry.method).collect();
    assert_eq!(methods.len(), entries.len());
}

#[test]
fn each_entry_names_its_page_its_version_and_its_cost() {
    for entry in entries() {
        let name = entry.name();
        let page = name.to_ascii_lowercase().replace(' ', "-");
        let pages = ["redis.io/docs/latest/commands", "valkey.io/commands"]
            .map(|site| format!(" [{name}](https://{site}/{page}/): "));
        let first = entry.docs.first().unwrap();
        assert!(pages.iter().any(|page| first.starts_with(page)), "{}: {first}", entry.method);
        let text = entry.docs.join("");
        let (_, since) =
            text.split_once(" Since ").unwrap_or_else(|| panic!("{}: since when?", entry.method));
        assert!(since.contains(", O(") || since.contains(", as the "), "{}: {since}", entry.method);
    }
}

/// `KEYSLOT_WRITE_TABLE=1 cargo nextest run --lib the_table_of_typed_commands` writes it anew.
#[test]
fn the_table_of_typed_commands_is_that_of_the_entries() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/table.md");
    let table = table();
    if std::env::var_os("KEYSLOT_WRITE_TABLE").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == table, "src/commands/table.md is stale: run this test with KEYSLOT_WRITE_TABLE=1");
}
