//! [`Pipeline`]: many commands in one go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cluster::batches::execute_in_batches;
use crate::cluster::connect::Cluster;
use crate::cluster::executor::execute_and_wait;
use crate::cluster::job::Deadline;
use crate::command::Command;
use crate::command::draft::{Said, known, push_to};
use crate::commands::{all_commands, drafts, options};
use crate::durable::{Durable, OnDisk, Worst, durable, millis};
use crate::error::{Error, Result};
use crate::protocol::from_value::FromValue;
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::protocol::value::Value;
use crate::request::convert;
use crate::script::{Again, ScriptCall, is_no_command, is_not_known};
use crate::stats::operation::{Batch, observe_batch};

/// How many commands there is room for from the first on.
const FIRST_ROOM: usize = 32;

/// What calls of scripts that only read are sent by.
const READ_ONLY: &str = "EVALSHA_RO";

/// Commands that are sent together and answered in order; their keys may be in any slots.
///
/// The commands for one node leave in one write. They are no transaction: others' commands may come in between, and
/// one that fails does not stop the rest. A redirect or a retry concerns its own command only.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// let mut pipe = client.pipeline();
/// pipe.set("{u:1}:name", "Ann").incr("{u:1}:visits").get("another slot");
/// let (_, visits, other): ((), i64, Option<String>) = pipe.run().await?;
/// assert_eq!((visits, other), (1, None));
/// # Ok(())
/// # }
/// ```
pub struct Pipeline {
    cluster: Arc<Cluster>,
    commands: Vec<Command>,
    /// Places of calls by checksum, and what to send if that is refused.
    scripts: Vec<(usize, Again)>,
    timeout: Option<Duration>,
}

impl Pipeline {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, commands: Vec::new(), scripts: Vec::new(), timeout: None }
    }

    /// Adds any command.
    pub fn push(&mut self, command: Command) -> &mut Self {
        self.make_room();
        self.commands.push(command);
        self
    }

    /// Adds a call of a script, by its checksum.
    ///
    /// A node that does not know the script refuses the call and goes on with the pipeline; then the call is sent once more
    /// with the source, behind all others. Where that order matters, [`Script::load`](crate::Script::load) it before, or
    /// [`push`](Self::push) the [`ScriptCall::command`].
    ///
    /// A script that is marked as [`read_only`](crate::Script::read_only) goes by `EVALSHA_RO`, to a replica if the policy for reads
    /// says so. Redis 6.2, which has no such command, is sent the source by `EVAL` instead, in the same way; the client's
    /// later calls know.
    pub fn script(&mut self, call: &ScriptCall<'_>) -> &mut Self {
        let lacks_read_only = self.cluster.core().lacks_read_only_scripts.load(Ordering::Relaxed);
        let (command, again) = call.for_pipeline(lacks_read_only);
        self.scripts.push((self.commands.len(), again));
        self.push(command)
    }

    #[inline]
    fn queue(&mut self, said: impl Said) -> &mut Self {
        self.make_room();
        push_to(&mut self.commands, said);
        self
    }

    #[inline]
    fn make_room(&mut self) {
        if self.commands.len() == self.commands.capacity() {
            self.grow();
        }
    }

    /// By more than a list does by itself, as long as it is short: to move the commands at each doubling takes a tenth of
    /// all that a pipeline of a hundred costs.
    #[cold]
    fn grow(&mut self) {
        const SHORT: usize = 1024;
        let more = if self.commands.len() < SHORT { 3 * self.commands.len() } else { self.commands.len() };
        self.commands.reserve(more.max(FIRST_ROOM));
    }

    /// The deadline of a run, for all its commands together, in place of the client's.
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

    /// Forgets all commands and keeps their memory for the next ones.
    pub fn clear(&mut self) -> &mut Self {
        self.commands.clear();
        self.scripts.clear();
        self
    }

    /// Sends all commands and reads the replies as one `T`: a tuple with a type for each, or a `Vec`.
    ///
    /// The first error is the result, and what became of the other commands is not told then: for that, run it by
    /// [`Pipeline::run_each`] in the first place. The commands stay, so a second run of either kind sends them again.
    ///
    /// # Errors
    ///
    /// As those of [`Request`](crate::Request): that of the first command in order that failed, or
    /// [`ErrorKind::Conversion`](crate::ErrorKind::Conversion) for replies that are no `T`; then all were executed.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request), for each command.
    pub async fn run<T: FromValue>(&self) -> Result<T> {
        let values: Vec<Value> = self.run_each().await?.into_iter().collect::<Result<_>>()?;
        convert(Value::Array(values), "pipeline".into())
    }

    /// Sends all commands; each has its own result, in order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a pipeline with a command that would hold up the others (`BLPOP`, `XREAD
    /// BLOCK`, ...), [`ErrorKind::Closed`](crate::ErrorKind::Closed) of a closed client: nothing was sent. All else is told of
    /// each command.
    ///
    /// # Memory
    ///
    /// All results are held until the last one has come. What else a run takes is bounded, however long the pipeline is: the
    /// commands go in batches of at most 16,384, or of 4 MiB if they are more than 1,024, and the next batch leaves when all of
    /// the one before are answered or have failed. A batch takes some 200 bytes for each command and up to twice what they
    /// are on the wire, values that are sent from where they lie excepted; what goes to one node waits for room in the
    /// [`byte_budget`](crate::ClientBuilder::byte_budget) as a whole.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request), for each command.
    pub async fn run_each(&self) -> Result<Vec<Result<Value>>> {
        let first_error = |result: &Result<Vec<Result<Value>>>| match result {
            Ok(each) => each.iter().find_map(|result| result.as_ref().err().cloned()),
            Err(error) => Some(error.clone()),
        };
        observe_batch(Batch::Pipeline, self.names(), self.run_unobserved(), first_error).await
    }

    async fn run_unobserved(&self) -> Result<Vec<Result<Value>>> {
        self.refuse_what_blocks()?;
        let deadline = Deadline::after(self.limit());
        let mut results = execute_in_batches(self.cluster.core(), &self.commands, deadline).await;
        let (places, unknown) = self.not_known(&results);
        if !unknown.is_empty() {
            let again = execute_in_batches(self.cluster.core(), &unknown, deadline).await;
            replace(&mut results, &places, again);
        }
        Ok(results)
    }

    /// The calls of scripts that their nodes do not know, with their places, in the form that they do know.
    fn not_known(&self, results: &[Result<Value>]) -> (Vec<usize>, Vec<Command>) {
        let again = self.scripts.iter().filter_map(|(place, again)| {
            let Some(Err(error)) = results.get(*place) else { return None };
            if is_not_known(error) {
                return Some((*place, again.source.clone()));
            }
            let usual = again.usual.as_ref().filter(|_| is_no_command(error, READ_ONLY))?;
            self.cluster.core().lacks_read_only_scripts.store(true, Ordering::Relaxed);
            Some((*place, usual.clone()))
        });
        again.unzip()
    }

    /// Sends all commands and waits until `replicas` replicas of each node have its writes, at most for `timeout` (in
    /// milliseconds, rounded up). The result says how many have them then; fewer than wanted is no error, and undoes
    /// nothing.
    ///
    /// The commands of one node leave as one unit on one exclusive connection, with
    /// [WAIT](https://redis.io/docs/latest/commands/wait/) behind them, because that counts the writes of its own connection.
    /// One that is redirected has a `WAIT` of its own at the node that executes it: no number is told for a write that
    /// was executed elsewhere. All results come when all nodes have answered.
    ///
    /// A copy on a replica makes a write outlive its primary as a rule, not by guarantee: under a partition another
    /// replica may be elected.
    ///
    /// The deadline is `timeout` and the client's command time-out (or [`timeout`](Self::timeout)) on top. Since 3.0.
    ///
    /// ```no_run
    /// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
    /// use std::time::Duration;
    ///
    /// let mut pipe = client.pipeline();
    /// pipe.set("order:1", "paid").set("order:2", "sent");
    /// let durable = pipe.run_durable(1, Duration::from_millis(500)).await?;
    /// let ((), ()) = durable.read()?;
    /// if durable.replicas()?.unwrap_or(0) < 1 {
    ///     println!("so far only the primaries have it");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if `timeout` is zero (for ever, to the server) or longer than it can be told, or
    /// if a command blocks; [`ErrorKind::Closed`](crate::ErrorKind::Closed) of a closed client. All else is told in
    /// [`Durable::replies`] and [`Durable::acknowledged`].
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`](crate::Request), for each command.
    pub async fn run_durable(&self, replicas: u32, timeout: Duration) -> Result<Durable<u64>> {
        let wait = known!("WAIT").arg(replicas).arg(millis(timeout)?).into();
        self.run_and_wait(&wait, timeout).await
    }

    /// As [`run_durable`](Self::run_durable), by [WAITAOF](https://redis.io/docs/latest/commands/waitaof/): for the
    /// append-only files of the node itself if `local`, and of `replicas` replicas.
    ///
    /// Since 7.2 (Valkey 7.2). Older servers execute the writes and say for each node that they do not know `WAITAOF`; a
    /// node without an append-only file refuses `local`.
    ///
    /// # Errors and cancel safety
    ///
    /// As of [`run_durable`](Self::run_durable).
    pub async fn run_durable_on_disk(
        &self,
        local: bool,
        replicas: u32,
        timeout: Duration,
    ) -> Result<Durable<OnDisk>> {
        let wait = known!("WAITAOF").arg(u8::from(local)).arg(replicas).arg(millis(timeout)?).into();
        self.run_and_wait(&wait, timeout).await
    }

    async fn run_and_wait<A: Worst>(&self, wait: &Command, timeout: Duration) -> Result<Durable<A>> {
        let first_error = |result: &Result<Durable<A>>| match result {
            Ok(durable) => durable.replies.iter().find_map(|result| result.as_ref().err().cloned()),
            Err(error) => Some(error.clone()),
        };
        let work = self.run_and_wait_unobserved(wait, timeout);
        observe_batch(Batch::Pipeline, self.names(), work, first_error).await
    }

    fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.commands.iter().map(Command::name)
    }

    async fn run_and_wait_unobserved<A: Worst>(
        &self,
        wait: &Command,
        timeout: Duration,
    ) -> Result<Durable<A>> {
        self.refuse_what_blocks()?;
        let deadline = Deadline::after(self.limit().saturating_add(timeout));
        let core = self.cluster.core();
        let (mut replies, mut told) = execute_and_wait(core, &self.commands, Some(wait), deadline).await;
        let (places, unknown) = self.not_known(&replies);
        if !unknown.is_empty() {
            let (again, more) = execute_and_wait(core, &unknown, Some(wait), deadline).await;
            replace(&mut replies, &places, again);
            told.extend(more);
        }
        Ok(durable(replies, told, wait))
    }

    fn limit(&self) -> Duration {
        self.timeout.unwrap_or(self.cluster.core().config.command_timeout)
    }

    fn refuse_what_blocks(&self) -> Result<()> {
        if self.cluster.core().is_closed() {
            return Err(Error::closed());
        }
        if let Some(command) = self.commands.iter().find(|command| command.blocks()) {
            return Err(Error::usage("it blocks, and would hold up the pipeline: send it by itself")
                .with_command(command.shared_name()));
        }
        Ok(())
    }
}

fn replace(results: &mut [Result<Value>], places: &[usize], others: Vec<Result<Value>>) {
    for (place, other) in places.iter().zip(others) {
        if let Some(result) = results.get_mut(*place) {
            *result = other;
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

impl Extend<Command> for Pipeline {
    fn extend<I: IntoIterator<Item = Command>>(&mut self, commands: I) {
        self.commands.extend(commands);
    }
}

/// Renders a list of commands to methods that queue; also for transactions.
macro_rules! queueing_methods {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
    )*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, $($arg: $ty),*) -> &mut Self {
            self.queue(drafts::$name($($arg),*))
        }
    )*};
}

pub(crate) use queueing_methods;

/// The typed commands; each is queued and answered by the run.
impl Pipeline {
    all_commands!(queueing_methods);
}
