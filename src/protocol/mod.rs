//! Bytes and values: what travels on a connection. Pure; imports floor 0 only.

pub(crate) mod body;
pub(crate) mod codec;
mod command_facts;
mod command_keys;
pub(crate) mod command_spec;
mod command_table;
pub(crate) mod decode_error;
pub(crate) mod from_value;
pub(crate) mod info_text;
mod long_string;
mod scalar;
pub(crate) mod server_error;
#[cfg(feature = "serde")]
pub(crate) mod structs;
pub(crate) mod to_arg;
pub(crate) mod to_args;
pub(crate) mod value;
pub(crate) mod word;
