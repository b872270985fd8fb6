//! The options of typed commands: small builders and enums that say by name what the servers' keywords say.
//!
//! Each stands as arguments of a hand-made [`Command`](crate::Command) too, by [`ToArgs`](crate::ToArgs):
//!
//! ```no_run
//! # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
//! use keyslot::Commands;
//! use keyslot::options::SetOptions;
//!
//! let is_ours: bool = client.set_options("lock", "me", SetOptions::new().nx().px(30_000)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Where two options exclude each other, the one that is named last counts.

mod bitmaps;
mod expiry;
mod geo;
mod keys;
mod lists;
mod render;
mod scripting;
mod server;
mod sorted_sets;
mod streams;
mod strings;

pub use crate::protocol::word::Word;
pub use bitmaps::{BitOperation, BitType, BitUnit, Bitfield, BitfieldReads, Overflow};
pub use expiry::{ExpireCondition, Expiry, HsetexOptions, MsetexOptions};
pub use geo::{GeoArea, GeoOrigin, GeoSearchOptions, GeoStoreOptions, GeoUnit, GeoaddOptions};
pub use keys::{RestoreOptions, ScanOptions, SortOptions};
pub use lists::{LposOptions, Side};
pub use scripting::{FlushMode, FunctionListOptions, RestorePolicy};
pub use server::{CommandLog, PauseMode};
pub use sorted_sets::{Aggregate, ScoreEnd, ZaddOptions, ZrangeOptions, ZstoreOptions};
pub use streams::{
    References, XaddOptions, XclaimOptions, XgroupCreateOptions, XpendingOptions, XreadOptions,
    XreadgroupOptions, Xtrim,
};
pub use strings::{LcsOptions, SetOptions};
