//! What must hold for whatever bytes come from outside. `fuzz/` looks for bytes that break it, and
//! `tests/fuzz_corpus.rs` holds it for those that are kept.

pub(crate) mod decode;
pub(crate) mod node_lines;
pub(crate) mod nodes;
pub(crate) mod redirect;
pub(crate) mod topology;
pub(crate) mod url;
