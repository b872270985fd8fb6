//! Subscriptions and what keeps them through failovers and slot moves. One task for each subscriber, in `driver`, which
//! owns all its connections; it takes part in the loop of attempts of no command.
//!
//! Imports floors 0 to 4 and the core; never a handle.

mod book;
mod buffer;
pub(crate) mod driver;
pub(crate) mod event;
mod frame;
mod line;
mod lines;
pub(crate) mod mailbox;
pub(crate) mod options;
pub(crate) mod order;
mod refusal;
