//! Every typed command on real servers of every version, in RESP3 and in RESP2: that it is understood, and that its reply
//! can be read. What a version does not know is refused by it, and that is looked at too.

mod acl;
mod bitmaps;
mod cluster;
mod functions;
mod geo;
mod hashes;
mod hyperloglog;
mod json;
mod keys;
mod lists;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod support;

use std::sync::Arc;

use crate::live_support::{check_each, on_every_server};
use keyslot::testkit::Server;
use support::Fixture;

on_every_server! {
    all: every_typed_command_is_answered ;
    since_7_0: ;
    valkey_9_1: ;
}

macro_rules! families {
    ($($family:ident)*) => {
        async fn every_typed_command_is_answered(tried: Server) {
            $(
                async fn $family(fixture: Arc<Fixture>) {
                    for side in fixture.sides(stringify!($family)) {
                        $family::answer(&side).await;
                    }
                }
            )*
            check_each! { Fixture::start(tried).await; $($family)* }
        }
    };
}

families! {
    strings bitmaps keys hashes lists sets sorted_sets streams geo hyperloglog scripting functions pubsub json acl cluster
    server
}

#[test]
fn no_typed_command_is_forgotten_here() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/commands");
    let called: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let table = include_str!("../../src/commands/table.md");
    let is_method = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !["execute", "json"].contains(word)
    };
    let methods = table.split('`').filter(is_method);
    let forgotten: Vec<&str> = methods
        .filter(|method| {
            !called.contains(&format!(".{method}(")) && !called.contains(&format!(".{method}::<"))
        })
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
