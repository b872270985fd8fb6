//! The typed commands: one flat list a family, and the one description of each command.
//!
//! An entry reads like a function. `fn name<R>(arguments) -> R` is a command whose reply type the caller chooses;
//! others have theirs in the list. What stands behind `=` is the [`Draft`](crate::command::draft::Draft) of the command,
//! beginning with [`known`](crate::command::draft::known). Each handle
//! renders every list once, with the same documentation: `Client` to methods that send, `Pipeline` and `Transaction`
//! to methods that queue. To add a command is to add an entry here.

mod connection;
mod hashes;
mod keys;
mod lists;
mod sets;
mod sorted_sets;
mod strings;

pub(crate) use connection::connection_commands;
pub(crate) use hashes::hash_commands;
pub(crate) use keys::key_commands;
pub(crate) use lists::list_commands;
pub(crate) use sets::set_commands;
pub(crate) use sorted_sets::sorted_set_commands;
pub(crate) use strings::string_commands;

/// Renders every family by `$render`.
macro_rules! all_commands {
    ($render:ident) => {
        crate::commands::string_commands!($render);
        crate::commands::key_commands!($render);
        crate::commands::hash_commands!($render);
        crate::commands::list_commands!($render);
        crate::commands::set_commands!($render);
        crate::commands::sorted_set_commands!($render);
        crate::commands::connection_commands!($render);
    };
}

pub(crate) use all_commands;
