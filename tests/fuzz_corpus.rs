//! What a fuzzer has found and what it started from, run through the same checks in a moment.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

mod fuzz_checks;

use std::fs;
use std::path::Path;

use fuzz_checks::{decode, node_lines, nodes, redirect, topology, url};

/// Runs `check` with each file that is kept for `target`, and tells which one it was that failed.
fn hold(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        println!("{}", path.display());
        // Cut short it is another input, and what a connection that ends leaves behind.
        check(&bytes);
        for part in 0..16 {
            check(bytes.get(..bytes.len() * part / 16).unwrap_or_default());
        }
        count += 1;
    }
    assert!(count > 0, "nothing is kept for {target}");
}

#[test]
fn replies_are_the_same_at_every_split_and_within_their_limit() {
    hold("decode", decode::check);
}

#[test]
fn redirects_lead_to_nodes_that_can_be_asked() {
    hold("redirect", redirect::check);
}

#[test]
fn topologies_do_not_contradict_themselves() {
    hold("topology", topology::check);
}

#[test]
fn lines_of_cluster_nodes_are_read_as_what_they_say() {
    hold("nodes", nodes::check);
}

#[test]
fn lines_of_cluster_nodes_are_the_same_when_they_are_written_anew() {
    hold("node_lines", node_lines::check);
}

#[test]
fn urls_name_nodes_and_show_no_password() {
    hold("url", url::check);
}
