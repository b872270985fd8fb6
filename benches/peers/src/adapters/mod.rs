//! One file for each client.

pub(crate) mod floor;
pub(crate) mod fred;
#[cfg(feature = "glide")]
pub(crate) mod glide;
pub(crate) mod keyslot;
pub(crate) mod redis;
pub(crate) mod rustis;
