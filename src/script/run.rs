//! Sends a [`Script`]: apart from it, because a pipeline holds calls of scripts and a client makes pipelines.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::client::Client;
use crate::cluster::job::Deadline;
use crate::command::draft::known;
use crate::error::Result;
use crate::protocol::from_value::FromValue;
use crate::protocol::value::Value;
use crate::request::convert;
use crate::script::{Form, Script, ScriptCall, is_no_command, is_not_known};

impl Script {
    /// [SCRIPT LOAD](https://redis.io/docs/latest/commands/script-load/): makes it known to all nodes of today, replicas
    /// included, so that no call has to send the source. A node that is added later learns it by its first call.
    ///
    /// Since 2.6, O(n) in the length of the source.
    ///
    /// # Errors
    ///
    /// If one node could not be told, or refuses it (a mistake in the source); others may know it then, which does no harm.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request): some nodes may know it then.
    pub async fn load(&self, client: &Client) -> Result<()> {
        client.execute(known!("SCRIPT LOAD").arg(&self.source).into()).await
    }
}

impl ScriptCall<'_> {
    /// Runs it by the primary of its keys' slot and reads the reply as `R`.
    ///
    /// [EVALSHA](https://redis.io/docs/latest/commands/evalsha/), and
    /// [EVAL](https://redis.io/docs/latest/commands/eval/) if the node does not know the script.
    ///
    /// Since 2.6, as the script.
    ///
    /// # Errors
    ///
    /// As those of [`Request`](crate::Request). For an error that the script itself raises
    /// [`Error::outcome`](crate::Error::outcome) is `MaybeExecuted`: it may have written before.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request).
    pub async fn run<R: FromValue>(&self, client: &Client) -> Result<R> {
        let core = client.core();
        let deadline = Deadline::after(self.timeout.unwrap_or(core.config.command_timeout));
        let lacks_read_only = &core.lacks_read_only_scripts;
        let mut form = if self.script.is_read_only && !lacks_read_only.load(Ordering::Relaxed) {
            Form::ReadOnlyChecksum
        } else {
            Form::Checksum
        };
        let mut command = self.in_form(form);
        loop {
            let name = command.shared_name();
            let error = match client.execute::<Value>(command).await {
                Ok(value) => return convert(value, name),
                Err(error) => error,
            };
            form = match form {
                Form::Checksum if is_not_known(&error) => Form::Source,
                Form::ReadOnlyChecksum if is_not_known(&error) => Form::ReadOnlySource,
                Form::ReadOnlyChecksum if is_no_command(&error, &name) => {
                    lacks_read_only.store(true, Ordering::Relaxed);
                    Form::Checksum
                }
                Form::Checksum | Form::Source | Form::ReadOnlyChecksum | Form::ReadOnlySource => {
                    return Err(error);
                }
            };
            command = self.in_form(form);
            if let Some(end) = deadline.at {
                command = command.timeout(end.saturating_duration_since(Instant::now()));
            }
        }
    }
}
