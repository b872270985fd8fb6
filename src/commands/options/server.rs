//! Options of commands for servers.

use crate::commands::options::render::keywords;

keywords! {
    /// What `client_pause` holds up.
    pub enum PauseMode {
        /// Every command.
        All = "ALL",
        /// Commands that may write.
        Write = "WRITE",
    }

    /// Which commands Valkey's command log is asked for.
    pub enum CommandLog {
        /// Those that took long.
        Slow = "SLOW",
        /// Those that came with many bytes.
        LargeRequest = "LARGE-REQUEST",
        /// Those that were answered with many bytes.
        LargeReply = "LARGE-REPLY",
    }
}
