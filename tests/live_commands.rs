//! Every typed command on real servers of every version, in RESP3 and in RESP2: that it is understood, and that its reply
//! can be read. What a version does not know is refused by it, and that is looked at too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

mod live_support;

#[path = "live_commands/acl.rs"]
mod acl;
#[path = "live_commands/bitmaps.rs"]
mod bitmaps;
#[path = "live_commands/cluster.rs"]
mod cluster;
#[path = "live_commands/functions.rs"]
mod functions;
#[path = "live_commands/geo.rs"]
mod geo;
#[path = "live_commands/hashes.rs"]
mod hashes;
#[path = "live_commands/hyperloglog.rs"]
mod hyperloglog;
#[path = "live_commands/json.rs"]
mod json;
#[path = "live_commands/keys.rs"]
mod keys;
#[path = "live_commands/lists.rs"]
mod lists;
#[path = "live_commands/pubsub.rs"]
mod pubsub;
#[path = "live_commands/scripting.rs"]
mod scripting;
#[path = "live_commands/server.rs"]
mod server;
#[path = "live_commands/sets.rs"]
mod sets;
#[path = "live_commands/sorted_sets.rs"]
mod sorted_sets;
#[path = "live_commands/streams.rs"]
mod streams;
#[path = "live_commands/strings.rs"]
mod strings;
#[path = "live_commands/support.rs"]
mod support;

use std::sync::Arc;

use keyslot::testkit::Server;
use live_support::{check_each, on_every_server};
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
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_commands");
    let called: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let table = include_str!("../src/commands/table.md");
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
