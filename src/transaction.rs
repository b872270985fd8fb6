//! [`Transaction`]: `MULTI`, commands, `EXEC`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::connect::Cluster;
use crate::cluster::executor::{execute_transaction, learn};
use crate::cluster::job::Deadline;
use crate::command::Command;
use crate::command::draft::{Said, push_to};
use crate::commands::{all_commands, drafts, options};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pipeline::queueing_methods;
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::protocol::value::Value;
use crate::request::{convert, unfitting};
use crate::routing::plan::{TRANSACTION, transaction_place};
use crate::stats::operation::{Batch, error_of, observe_batch};

/// Commands that are executed one after the other with nothing in between, or not at all. All keys in one slot.
///
/// The whole leaves in one write and takes one round trip. The server runs every command even if one before it fails;
/// it refuses all of them if one cannot be queued, and then the error is that command's. A redirect sends the whole
/// again: nothing of it had been executed.
///
/// Source: [transactions](https://redis.io/docs/latest/develop/using-commands/transactions/).
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// let mut tx = client.transaction();
/// tx.incr("{u:1}:visits").expire("{u:1}:visits", 60);
/// let (visits, is_there): (i64, bool) = tx.run().await?;
/// assert_eq!((visits, is_there), (1, true));
/// # Ok(())
/// # }
/// ```
pub struct Transaction {
    cluster: Arc<Cluster>,
    commands: Vec<Command>,
    timeout: Option<Duration>,
}

impl Transaction {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, commands: Vec::new(), timeout: None }
    }

    /// Adds any command.
    pub fn push(&mut self, command: Command) -> &mut Self {
        self.commands.push(command);
        self
    }

    fn queue(&mut self, said: impl Said) -> &mut Self {
        push_to(&mut self.commands, said);
        self
    }

    /// The deadline of a run in place of the client's.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Executes all commands and reads the replies as one `T`: a tuple with a type for each, or a `Vec`. For the error
    /// of one command apart from the others', read it as `Result<_, ServerError>`; a [`Value`] takes an error as it is.
    ///
    /// Keys of different slots are refused before anything is sent, with an error that names them; so are commands that concern
    /// several nodes (`DBSIZE`, `FLUSHALL`), and those with a [target](Command::to): a transaction has the one node of its keys.
    ///
    /// # Errors
    ///
    /// As those of [`Request`](crate::Request), of the whole. If one command failed while the others were executed, that of the
    /// first that did, unless `T` reads it as a value; servers undo nothing.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request), for the whole.
    pub async fn run<T: FromValue>(&self) -> Result<T> {
        let names = self.commands.iter().map(Command::name);
        observe_batch(Batch::Transaction, names, self.run_unobserved(), error_of).await
    }

    async fn run_unobserved<T: FromValue>(&self) -> Result<T> {
        if self.cluster.core().is_closed() {
            return Err(Error::closed().with_command(TRANSACTION.into()));
        }
        let core = self.cluster.core();
        let deadline = Deadline::after(self.timeout.unwrap_or(core.config.command_timeout));
        let commands = learn(core, &self.commands, deadline).await;
        let Some(place) = transaction_place(&commands)? else {
            return convert(Value::Array(Vec::new()), TRANSACTION.into());
        };
        let value = execute_transaction(core, &commands, place, deadline).await?;
        read_replies(&self.commands, value)
    }
}

/// Reads what `EXEC` has replied to `commands`.
pub(crate) fn read_replies<T: FromValue>(commands: &[Command], replies: Value) -> Result<T> {
    let failure = first_failure(commands, &replies);
    match T::from_value(replies) {
        Err(ConversionError::Server(_)) if failure.is_some() => Err(failure.unwrap_or_else(Error::closed)),
        Err(error) => Err(unfitting(error, TRANSACTION.into())),
        Ok(replies) => Ok(replies),
    }
}

/// What is told of the first command that failed while the others were executed.
fn first_failure(commands: &[Command], replies: &Value) -> Option<Error> {
    let Value::Array(replies) = replies else { return None };
    let (place, error) = replies.iter().enumerate().find_map(|(place, reply)| match reply {
        Value::Error(error) => Some((place, error)),
        _executed => None,
    })?;
    let name = commands.get(place)?.name();
    let text = format!("{name}, command {} of {}, failed: {error}", place + 1, replies.len());
    let told = Error::new(ErrorKind::Server, Outcome::MaybeExecuted, text);
    Some(told.with_code(error.code()).with_command(TRANSACTION.into()))
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

/// The typed commands; each is queued and answered by the run.
impl Transaction {
    all_commands!(queueing_methods);
}
