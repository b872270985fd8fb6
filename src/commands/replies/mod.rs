//! The replies of typed commands that are neither one value nor a plain list or map.
//!
//! Each is read from both versions of RESP, and from the answers of all server versions: what only newer ones say is an
//! `Option`.

mod facts;
mod geo;
mod scan;
mod server;
mod streams;
mod strings;

pub use geo::{GeoMatch, GeoPosition};
pub use scan::ScanPage;
pub use server::{Info, LogEntry};
pub use streams::{
    Autoclaim, ConsumerInfo, GroupInfo, PendingEntry, PendingSummary, StreamEntry, StreamInfo, StreamReads,
};
pub use strings::{LcsMatch, LcsMatches};
