//! The builds that a run is made of, found beside the running one by their names:
//!
//! | name | features |
//! |---|---|
//! | `keyslot-peers` | none |
//! | `keyslot-peers-counting` | `count-allocations` |
//! | `keyslot-peers-glide` | `glide` |
//! | `keyslot-peers-glide-counting` | both |
//!
//! valkey-glide has its own, because its large tree switches on features of crates that the others use too, and would
//! change what is measured of them. Where a build is missing, its figures are.

use std::path::PathBuf;

use crate::adapter::Result;

pub(crate) const GLIDE: &str = "glide";

/// The program that measures `client`.
pub(crate) fn timed(client: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    match client {
        GLIDE => beside("keyslot-peers-glide")?
            .ok_or_else(|| "there is no keyslot-peers-glide: scripts/bench-peers builds it".into()),
        _ => Ok(own),
    }
}

/// The one that counts its allocations.
pub(crate) fn counting(client: &str) -> Result<Option<PathBuf>> {
    beside(if client == GLIDE { "keyslot-peers-glide-counting" } else { "keyslot-peers-counting" })
}

fn beside(name: &str) -> Result<Option<PathBuf>> {
    Ok(Some(std::env::current_exe()?.with_file_name(name)).filter(|path| path.is_file()))
}
