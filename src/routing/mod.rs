//! Decisions. Pure: values in, values out; no clock, socket, task or lock. Imports floors 0 to 3 (of floor 3 only
//! `topology`); never `connection` or `cluster`.

pub(crate) mod explain;
pub(crate) mod gather;
pub(crate) mod plan;
pub(crate) mod read_policy;
pub(crate) mod redirect;
pub(crate) mod scan_filter;
pub(crate) mod scan_plan;
pub(crate) mod scan_token;
