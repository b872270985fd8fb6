//! The picture and the table of imports in `docs/architecture.md`, drawn from the same floors and the same reading of the
//! sources as the rules are held by. `scripts/import-graph` writes them; otherwise they are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::{FLOORS, Source, files_for_tests, read_folder};

/// Set by `scripts/import-graph`.
const WRITE: &str = "KEYSLOT_DRAW";

const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- drawn by scripts/import-graph: do not edit by hand -->\n";
const END: &str = "<!-- drawn until here -->";

/// What a reader calls a floor.
const NAMES: &[(u8, &str)] = &[
    (0, "vocabulary"),
    (1, "bytes and values, pure"),
    (2, "one request, encoded once"),
    (3, "typed commands, slot map (pure), links and pools (I/O)"),
    (4, "decisions, pure"),
    (5, "where the columns meet"),
    (6, "handles"),
    (7, "puts it together"),
    (8, "builds and changes clusters; behind deadpool"),
    (9, "for benches and fuzzing"),
];

/// One top-level module: the others that its files import from.
#[derive(Default)]
struct Room {
    sees: BTreeSet<String>,
}

type House = BTreeMap<String, Room>;

fn house(sources: &[Source]) -> House {
    let left_out = files_for_tests(sources);
    let mut house = House::new();
    for source in sources {
        let Some(module) = source.module.first() else { continue };
        if left_out.iter().any(|module| source.module.starts_with(module)) {
            continue;
        }
        let room = house.entry(module.clone()).or_default();
        let seen = source.imports().into_iter().filter_map(|import| import.path.into_iter().next());
        room.sees.extend(seen.filter(|seen| seen != module));
    }
    let known: BTreeSet<String> = house.keys().cloned().collect();
    for room in house.values_mut() {
        room.sees.retain(|seen| known.contains(seen));
    }
    house
}

fn reached_from(house: &House, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(module) = open.pop() {
        for seen in house.get(&module).into_iter().flat_map(|room| &room.sees) {
            if reached.insert(seen.clone()) {
                open.push(seen.clone());
            }
        }
    }
    reached
}

/// The arrows that do not follow from others: with all of them nothing could be read.
fn telling_arrows(house: &House) -> Vec<(&str, &str)> {
    let reached: BTreeMap<&str, BTreeSet<String>> =
        house.keys().map(|module| (module.as_str(), reached_from(house, module))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|seen| seen.contains(to));
    let mut arrows = Vec::new();
    for (from, room) in house {
        for to in &room.sees {
            let follows = room.sees.iter().any(|by| by != to && reaches(by, to) && !reaches(to, by));
            if !follows {
                arrows.push((from.as_str(), to.as_str()));
            }
        }
    }
    arrows
}

fn picture(house: &House) -> String {
    let mut drawn = String::from("```mermaid\nflowchart TD\n");
    for (floor, modules) in FLOORS.iter().rev() {
        let (_, name) = NAMES.iter().find(|(known, _)| known == floor).unwrap_or_else(|| {
            panic!("floor {floor} has no name in tests/architecture/drawing.rs");
        });
        writeln!(drawn, "  subgraph floor{floor}[\"{floor}: {name}\"]").unwrap();
        for module in *modules {
            writeln!(drawn, "    {module}").unwrap();
        }
        drawn.push_str("  end\n");
    }
    drawn.push_str("  subgraph beside[\"beside the house\"]\n    testkit\n  end\n");
    for (from, to) in telling_arrows(house) {
        writeln!(drawn, "  {from} --> {to}").unwrap();
    }
    drawn + "```\n"
}

fn table(house: &House) -> String {
    let mut drawn = String::from("| floor | module | imports from |\n|---|---|---|\n");
    let mut row = |floor: &str, module: &str| {
        let Some(room) = house.get(module) else { return };
        let seen: Vec<String> = room.sees.iter().map(|seen| format!("`{seen}`")).collect();
        let seen = if seen.is_empty() { "-".to_owned() } else { seen.join(", ") };
        writeln!(drawn, "| {floor} | `{module}` | {seen} |").unwrap();
    };
    for (floor, modules) in FLOORS.iter().rev() {
        modules.iter().for_each(|module| row(&floor.to_string(), module));
    }
    row("-", "testkit");
    drawn
}

#[test]
fn the_architecture_page_shows_the_imports_of_today() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    read_folder(&root.join("src"), "", &mut sources);
    let house = house(&sources);
    let drawn = format!("{}\n{}", picture(&house), table(&house));

    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os(WRITE).is_some() {
        fs::write(root.join(PAGE), format!("{before}{BEGIN}{drawn}{END}{after}")).unwrap();
    } else {
        assert!(shown == drawn, "{PAGE} shows other imports than the sources have: run scripts/import-graph");
    }
}

#[test]
fn an_arrow_that_follows_from_others_is_not_drawn() {
    let room = |sees: &[&str]| Room { sees: sees.iter().map(|seen| (*seen).to_owned()).collect() };
    let house = House::from([
        ("client".to_owned(), room(&["cluster", "error"])),
        ("cluster".to_owned(), room(&["error"])),
        ("error".to_owned(), room(&[])),
    ]);
    assert_eq!(telling_arrows(&house), [("client", "cluster"), ("cluster", "error")]);
}
