//! The typed commands: one flat list a family, and the one description of each command.
//!
//! An entry reads like a function. `fn name<R>(arguments) -> R` is a command whose reply type the caller chooses;
//! others have theirs in the list. What stands behind `=` is the [`Draft`](crate::command::draft::Draft) of the command,
//! beginning with [`known`](crate::command::draft::known). Each handle
//! renders every list once, with the same documentation: `Client` to methods that send, `Pipeline` and `Transaction`
//! to methods that queue. To add a command is to add an entry here.
//!
//! `options` are the arguments and `replies` the answers that no plain type says. In tests, `encoding` holds every entry
//! against its words, and `catalogue` draws from the entries the table that the documentation shows.

mod acl;
mod bitmaps;
#[cfg(test)]
mod catalogue;
mod clients;
mod cluster;
pub(crate) mod drafts;
#[cfg(test)]
mod encoding;
mod functions;
mod geo;
mod hashes;
mod hyperloglog;
#[cfg(feature = "json")]
mod json;
mod keys;
mod lists;
mod monitoring;
pub mod options;
mod pubsub;
pub mod replies;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;

pub(crate) use acl::acl_commands;
pub(crate) use bitmaps::bitmap_commands;
pub(crate) use clients::client_commands;
pub(crate) use cluster::cluster_commands;
pub(crate) use functions::function_commands;
pub(crate) use geo::geo_commands;
pub(crate) use hashes::hash_commands;
pub(crate) use hyperloglog::hyperloglog_commands;
#[cfg(feature = "json")]
pub(crate) use json::json_commands;
pub(crate) use keys::key_commands;
pub(crate) use lists::list_commands;
pub(crate) use monitoring::monitoring_commands;
pub(crate) use pubsub::pubsub_commands;
pub(crate) use scripting::scripting_commands;
pub(crate) use server::server_commands;
pub(crate) use sets::set_commands;
pub(crate) use sorted_sets::sorted_set_commands;
pub(crate) use streams::stream_commands;
pub(crate) use strings::string_commands;

/// Renders every family by `$render`.
macro_rules! all_commands {
    ($render:ident) => {
        crate::commands::string_commands!($render);
        crate::commands::bitmap_commands!($render);
        crate::commands::key_commands!($render);
        crate::commands::hash_commands!($render);
        crate::commands::list_commands!($render);
        crate::commands::set_commands!($render);
        crate::commands::sorted_set_commands!($render);
        crate::commands::stream_commands!($render);
        crate::commands::geo_commands!($render);
        crate::commands::hyperloglog_commands!($render);
        crate::commands::scripting_commands!($render);
        crate::commands::function_commands!($render);
        crate::commands::pubsub_commands!($render);
        #[cfg(feature = "json")]
        crate::commands::json_commands!($render);
        crate::commands::server_commands!($render);
        crate::commands::monitoring_commands!($render);
        crate::commands::client_commands!($render);
        crate::commands::acl_commands!($render);
        crate::commands::cluster_commands!($render);
    };
}

pub(crate) use all_commands;
