//! [`Session`]: commands on one exclusive connection, for `WATCH` and `WAIT`.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::cluster::connect::Cluster;
use crate::cluster::executor::{learn_all, learn_one};
use crate::cluster::job::Deadline;
use crate::cluster::pinned::{Mark, Pinned, refuse_if_closed};
use crate::cluster::unit::Unit;
use crate::command::Command;
use crate::command::draft::{Said, known, push_to, whole};
use crate::commands::{all_commands, drafts, options, replies};
use crate::durable::{OnDisk, millis};
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::pipeline::queueing_methods;
use crate::protocol::from_value::FromValue;
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::protocol::value::Value;
use crate::request::{convert, deadline_of};
use crate::routing::plan::{TRANSACTION, refuse_in_session, refuse_strange_keys};
use crate::slot::Slot;
use crate::stats::operation::{Batch, error_of, observe_batch, observe_command};
use crate::transaction::read_replies;

/// One connection of the primary that serves one slot, for one caller: what the server remembers of a connection
/// holds from one command to the next.
///
/// Made by [`Client::session`](crate::Client::session), for what a shared connection cannot do: [`watch`](Self::watch)
/// keys, read them, and write only if nobody else has written in between; or [`wait`](Self::wait) for the replicas to
/// have what was written.
///
/// All keys must be in the slot of the session's key; others are refused before anything is sent.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// loop {
///     let mut session = client.session("{bank}:ann").await?;
///     session.watch(["{bank}:ann", "{bank}:bo"]).await?;
///     let ann: i64 = session.get::<Option<i64>>("{bank}:ann").await?.unwrap_or(0);
///     let mut transfer = session.transaction();
///     transfer.set("{bank}:ann", ann - 10).incrby("{bank}:bo", 10);
///     match transfer.run::<((), i64)>().await {
///         Ok(Some((_, bo))) => break println!("Bo has {bo} now"),
///         Ok(None) => {} // Somebody else has changed a balance: once more.
///         // Its slot has moved, or its node was failed over, and nothing was executed.
///         Err(error) if error.outcome() != keyslot::Outcome::MaybeExecuted => {}
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Redirects, failovers, lost connections
///
/// Until its first command is answered a session follows the cluster as any command does. From then on it has this
/// connection or none: a `WATCH` is worth nothing on another. When the slot moves, the node is failed over or the
/// connection is lost, the command fails with [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) and its
/// [`outcome`](Error::outcome), later ones fail the same way unsent, and the way on is a new session. Nothing is sent
/// twice. What the node refuses for a moment only (`TRYAGAIN`, `CLUSTERDOWN`) is asked again on the same connection,
/// transactions excepted.
///
/// # Cancel safety
///
/// Dropping the future of a command before it is answered ends the session, because what became of the command is not
/// known. Dropping the session gives the connection back, or closes it if something is still watched.
///
/// # Limits
///
/// Each session holds one of its node's [`exclusive_per_node`](crate::ClientBuilder::exclusive_per_node) connections
/// (64), which it shares with blocking commands. It waits for one when all are taken, at most for the client's command
/// time-out. Each command has the client's [`command_timeout`](crate::ClientBuilder::command_timeout), or its own.
pub struct Session {
    cluster: Arc<Cluster>,
    key: Bytes,
    pinned: Pinned,
    watched: Vec<Bytes>,
    /// A command that may write was sent.
    has_written: bool,
}

impl Session {
    pub(crate) async fn begin(cluster: Arc<Cluster>, key: Bytes) -> Result<Self> {
        let core = cluster.core();
        // Named in errors; never sent.
        let command = Command::new("SESSION");
        refuse_if_closed(core, &command)?;
        let deadline = Deadline::after(core.config.command_timeout);
        let pinned = Pinned::open(core, Slot::of_key(&key), &command, deadline).await?;
        Ok(Self { cluster, key, pinned, watched: Vec::new(), has_written: false })
    }

    /// The slot that all its keys are in.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot::of_key(&self.key)
    }

    /// The node that it is connected to; `None` if it has no connection any more.
    #[must_use]
    pub fn node(&self) -> Option<&NodeAddr> {
        self.pinned.node()
    }

    /// Sends any command. Its reply is read as `R`.
    ///
    /// Those that concern several nodes are refused, and so are those that change the connection's state: they have
    /// methods here.
    pub fn execute<R: FromValue>(&mut self, command: Command) -> SessionRequest<'_, R> {
        SessionRequest { session: self, command, reply: PhantomData }
    }

    fn request<R: FromValue>(&mut self, said: impl Said) -> SessionRequest<'_, R> {
        self.execute(whole(said))
    }

    /// [WATCH](https://redis.io/docs/latest/commands/watch/): the next [`transaction`](Self::transaction) is executed
    /// only if none of these keys has been changed by anybody from now on.
    ///
    /// Since 2.2, O(1) for each key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) without a key, and [`ErrorKind::CrossSlot`](crate::ErrorKind::CrossSlot) with one
    /// of another slot: nothing was sent. [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) if the session is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session, unless nothing was sent yet.
    pub async fn watch(&mut self, keys: impl ToArgs) -> Result<()> {
        let command: Command = known!("WATCH").keys(keys.into_args()).into();
        // As long as nothing was answered on the connection, a second one does no harm.
        let command = command.idempotent();
        if command.body().args() < 2 {
            return Err(Error::usage("there is no key to watch").with_command(command.shared_name()));
        }
        refuse_strange_keys(&command, &self.key)
            .map_err(|error| error.with_command(command.shared_name()))?;
        let () = self.run(Unit::Command(&command), Mark::Left, None).await?;
        self.watched.extend(command.body().iter().skip(1).map(Bytes::copy_from_slice));
        Ok(())
    }

    /// [UNWATCH](https://redis.io/docs/latest/commands/unwatch/): forgets what is watched. Spares closing the
    /// connection when a session ends without a transaction.
    ///
    /// Since 2.2, O(1).
    ///
    /// # Errors and cancel safety
    ///
    /// As of [`watch`](Self::watch).
    pub async fn unwatch(&mut self) -> Result<()> {
        let command = Command::from(known!("UNWATCH")).idempotent();
        let () = self.run(Unit::Command(&command), Mark::Wiped, None).await?;
        self.watched.clear();
        Ok(())
    }

    /// Commands that are executed as one, and only if nothing that is watched has changed. See
    /// [`SessionTransaction::run`].
    #[must_use]
    pub fn transaction(&mut self) -> SessionTransaction<'_> {
        let guard = (!self.watched.is_empty()).then(|| known!("EXISTS").keys(&self.watched).into());
        let guards = usize::from(guard.is_some());
        SessionTransaction { session: self, commands: Vec::from_iter(guard), guards, timeout: None }
    }

    /// [WAIT](https://redis.io/docs/latest/commands/wait/): waits until `replicas` replicas have all that this session
    /// has written, at most for `timeout` (in milliseconds, rounded up); how many have it then.
    ///
    /// Fewer than wanted is no error, and undoes nothing. The deadline is `timeout` and the client's command time-out on
    /// top. Refused if the session has written nothing: the number would mean nothing. It says nothing of what a failover
    /// does later: replicas that have the write are as a rule preferred, but not by guarantee.
    ///
    /// Since 3.0, O(1).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if nothing was written or `timeout` is zero (for ever, to the server) or longer than
    /// it can be told. [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) if the session is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session.
    pub async fn wait(&mut self, replicas: u32, timeout: Duration) -> Result<u64> {
        let command = known!("WAIT").arg(replicas).arg(millis(timeout)?).into();
        self.acknowledged(command, timeout).await
    }

    /// [WAITAOF](https://redis.io/docs/latest/commands/waitaof/): as [`wait`](Self::wait), for the append-only files: of
    /// the node itself if `local`, and of `replicas` replicas.
    ///
    /// Since 7.2 (Valkey 7.2), O(1). Older servers answer that they do not know it, and a node without an append-only file
    /// refuses `local`.
    ///
    /// # Errors and cancel safety
    ///
    /// As of [`wait`](Self::wait).
    pub async fn wait_aof(&mut self, local: bool, replicas: u32, timeout: Duration) -> Result<OnDisk> {
        let command = known!("WAITAOF").arg(u8::from(local)).arg(replicas).arg(millis(timeout)?).into();
        self.acknowledged(command, timeout).await
    }

    async fn acknowledged<R: FromValue>(&mut self, command: Command, timeout: Duration) -> Result<R> {
        if !self.has_written {
            let text = "this session has written nothing that replicas could acknowledge";
            return Err(Error::usage(text).with_command(command.shared_name()));
        }
        let limit = self.cluster.core().config.command_timeout.saturating_add(timeout);
        self.run(Unit::Command(&command), Mark::Stays, Some(Deadline::after(limit))).await
    }

    async fn run<R: FromValue>(
        &mut self,
        unit: Unit<'_>,
        mark: Mark,
        deadline: Option<Deadline>,
    ) -> Result<R> {
        match unit {
            Unit::Command(command) => {
                let (name, slot) = (command.shared_name(), Some(self.slot()));
                observe_command(name, slot, self.run_unobserved(unit, mark, deadline), error_of).await
            }
            Unit::Transaction { commands, .. } => {
                let names = commands.iter().map(Command::name);
                let work = self.run_unobserved(unit, mark, deadline);
                observe_batch(Batch::Transaction, names, work, error_of).await
            }
            // A session has one slot: it splits nothing.
            Unit::Part(_) => self.run_unobserved(unit, mark, deadline).await,
        }
    }

    async fn run_unobserved<R: FromValue>(
        &mut self,
        unit: Unit<'_>,
        mark: Mark,
        deadline: Option<Deadline>,
    ) -> Result<R> {
        let core = self.cluster.core();
        let (name, deadline) = match unit {
            Unit::Command(command) => {
                refuse_if_closed(core, command)?;
                (command.shared_name(), deadline.unwrap_or_else(|| deadline_of(core, command)))
            }
            Unit::Part(_) | Unit::Transaction { .. } => {
                if core.is_closed() {
                    return Err(Error::closed().with_command(TRANSACTION.into()));
                }
                let usual = || Deadline::after(core.config.command_timeout);
                (TRANSACTION.into(), deadline.unwrap_or_else(usual))
            }
        };
        convert(self.pinned.ask(core, unit, mark, deadline).await?, name)
    }
}

fn refuse(command: &Command, key: &[u8]) -> Result<()> {
    refuse_in_session(command, key).map_err(|error| error.with_command(command.shared_name()))
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("slot", &self.slot())
            .field("node", &self.node())
            .finish_non_exhaustive()
    }
}

/// Renders a list of commands to methods that send on the session's connection.
macro_rules! session_methods {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
    )*) => {$(
        $(#[$doc])*
        pub fn $name $(<$reply: FromValue>)? (&mut self, $($arg: $ty),*) -> SessionRequest<'_, $out> {
            self.request(drafts::$name($($arg),*))
        }
    )*};
}

/// The typed commands, on the session's connection. Those that concern several nodes are refused here.
impl Session {
    all_commands!(session_methods);
}

/// One command of a [`Session`], sent when it is awaited; resolves to its reply, read as `R`.
///
/// # Cancel safety
///
/// Dropping the future that it becomes ends the session, unless it was not sent yet.
#[must_use = "a command is sent when it is awaited"]
pub struct SessionRequest<'a, R> {
    session: &'a mut Session,
    command: Command,
    reply: PhantomData<fn() -> R>,
}

impl<R> SessionRequest<'_, R> {
    /// Gives this command its own deadline; see [`Command::timeout`]. One that passes ends the session.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.command = self.command.timeout(timeout);
        self
    }
}

impl<'a, R: FromValue + 'a> IntoFuture for SessionRequest<'a, R> {
    type Output = Result<R>;
    type IntoFuture = BoxFuture<'a, Result<R>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { session, command, .. } = self;
        Box::pin(async move {
            let core = session.cluster.core();
            let deadline = deadline_of(core, &command);
            let command = learn_one(core, command, deadline).await;
            refuse(&command, &session.key)?;
            session.has_written |= command.may_write();
            session.run(Unit::Command(&command), Mark::Stays, Some(deadline)).await
        })
    }
}

impl<R> fmt::Debug for SessionRequest<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRequest").field("command", &self.command.name()).finish_non_exhaustive()
    }
}

/// `MULTI`, commands, `EXEC` on the connection of a [`Session`]; made by [`Session::transaction`].
pub struct SessionTransaction<'a> {
    session: &'a mut Session,
    /// Behind the guard, if there is one.
    commands: Vec<Command>,
    guards: usize,
    timeout: Option<Duration>,
}

impl SessionTransaction<'_> {
    /// Adds any command.
    pub fn push(&mut self, command: Command) -> &mut Self {
        self.commands.push(command);
        self
    }

    fn queue(&mut self, said: impl Said) -> &mut Self {
        push_to(&mut self.commands, said);
        self
    }

    /// The deadline of the run in place of the client's. One that passes ends the session.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len() - self.guards
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Executes all commands if nothing that the session watches has changed, and reads the replies as one `T`: a tuple
    /// with a type for each, or a `Vec`. `None`: something has changed, and nothing was executed. Either way nothing is
    /// watched any more.
    ///
    /// A server does not notice a change of a watched key that it does not have, if the key is made on the node that its
    /// slot moves to. So an `EXISTS` of the watched keys goes in front of the commands: while a watched key may be
    /// elsewhere, the server refuses it and the whole transaction with it. A user needs the permission for `EXISTS`.
    ///
    /// # Errors
    ///
    /// [`Error::outcome`] says whether the commands may have been executed. After
    /// [`ErrorKind::SessionLost`](crate::ErrorKind::SessionLost) a new session is needed, after another error a new
    /// `watch`.
    ///
    /// Source: [transactions](https://redis.io/docs/latest/develop/using-commands/transactions/).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session; the commands may be executed, as one, or not.
    pub async fn run<T: FromValue>(self) -> Result<Option<T>> {
        let Self { session, commands, guards, timeout } = self;
        let core = session.cluster.core();
        let deadline = Deadline::after(timeout.unwrap_or(core.config.command_timeout));
        let mut commands = learn_all(core, commands, deadline).await;
        for command in &commands {
            refuse(command, &session.key)?;
        }
        session.watched.clear();
        if commands.is_empty() {
            return Ok(Some(convert(Value::Array(Vec::new()), TRANSACTION.into())?));
        }
        session.has_written |= commands.iter().any(Command::may_write);
        let unit = Unit::Transaction { commands: &commands, slot: Some(session.slot()) };
        let replies = match session.run(unit, Mark::Wiped, Some(deadline)).await? {
            Value::Nil => return Ok(None),
            Value::Array(mut replies) => {
                drop(replies.drain(..guards.min(replies.len())));
                Value::Array(replies)
            }
            other => other,
        };
        drop(commands.drain(..guards));
        read_replies(&commands, replies).map(Some)
    }
}

impl fmt::Debug for SessionTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTransaction").field("commands", &self.len()).finish_non_exhaustive()
    }
}

/// The typed commands; each is queued and answered by the run.
impl SessionTransaction<'_> {
    all_commands!(queueing_methods);
}
