//! What pages say of the package is what the package says.

use std::collections::BTreeSet;
use std::path::Path;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The names on the left of `=` in a section of `Cargo.toml`.
fn names_in(manifest: &str, section: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_table_of_features_has_them_all() {
    let mut features = names_in(&read("Cargo.toml"), "[features]");
    features.remove("default");
    let library = read("src/lib.rs");
    let shown = library.lines().skip_while(|line| *line != "//! # Features");
    let rows =
        shown.take_while(|line| line.starts_with("//!")).filter_map(|line| line.strip_prefix("//! | `"));
    let rows: BTreeSet<String> = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    assert_eq!(rows, features, "left: the table in src/lib.rs, right: Cargo.toml");
}

#[test]
fn the_pages_name_the_rust_that_the_package_asks_for() {
    let manifest = read("Cargo.toml");
    let rust =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    for page in ["README.md", "README.ru.md"] {
        assert!(read(page).contains(&format!("Rust {rust}")), "{page} names another Rust than {rust}");
    }
}

/// The CPU of a client in the table of a workload in `benches/README.md`, as it is written there.
fn measured(figures: &str, workload: &str, client: &str) -> String {
    let table = figures.split_once(&format!("### {workload}\n")).unwrap().1;
    let rows = table.lines().take_while(|line| !line.starts_with("### "));
    let row = rows.filter_map(|line| line.strip_prefix(&format!("| {client} | "))).next().unwrap();
    row.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_figures_beside_other_clients_are_those_of_the_published_run() {
    let (readme, figures) = (read("README.md"), read("benches/README.md"));
    for (shown, workload) in [("(mix-64)", "mix-64, current"), ("(get-1)", "get-1, current")] {
        let row = readme.lines().find(|line| line.starts_with('|') && line.contains(shown)).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).skip(2).take(4).collect();
        let run = ["keyslot", "redis", "fred", "rustis"].map(|client| measured(&figures, workload, client));
        assert_eq!(cells, run, "left: README.md, right: benches/README.md ({workload})");
    }
}
