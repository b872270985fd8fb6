//! [`Client`]: the handle that users hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::cluster::connect::Cluster;
use crate::cluster::core::Core;
use crate::cluster::pubsub::options::SubscriberOptions;
use crate::cluster::{executor, figures};
use crate::command::Command;
use crate::command::draft::{Said, whole};
use crate::commands::{all_commands, drafts, options, replies};
#[cfg(feature = "tls")]
use crate::config::tls::TlsConfig;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::pipeline::Pipeline;
use crate::protocol::from_value::FromValue;
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::pubsub::Subscriber;
use crate::request::{Request, convert, deadline_of};
use crate::routing::explain::{Explanation, Source, explain};
use crate::scan::Scan;
use crate::session::Session;
use crate::stats::hot_slots::HotSlot;
use crate::stats::operation::{error_of, observe_command};
use crate::stats::snapshot::Stats;
use crate::topology::slot_map::SlotMap;
use crate::transaction::Transaction;

/// A connection to a whole cluster. Cheap to clone; all clones share their links, and `&self` is enough for
/// everything.
///
/// Made by [`Client::connect`] or [`Client::builder`]. The typed commands are methods of [`Commands`].
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Commands;
///
/// let in_a_task = client.clone(); // one client for the program, a clone for each task
/// let task = tokio::spawn(async move { in_a_task.incr("visits").await });
/// assert_eq!(task.await??, 1);
/// assert_eq!(client.get::<i64>("visits").await?, 1);
/// client.close().await; // of all clones
/// # Ok(())
/// # }
/// ```
///
/// # Order
///
/// Commands on one key that one task submits, one after the other or in one pipeline, are executed in that order; a
/// redirect or a retry in between aside.
///
/// # Cancellation
///
/// Dropping the future of a command that was not written yet takes the command back: it is not sent. One that was
/// written runs on the server all the same; its reply is dropped.
#[derive(Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    pub(crate) fn core(&self) -> &Core {
        self.cluster.core()
    }

    /// Sends any command. Its reply is read as `R`; [`Value`](crate::Value) takes it as it is.
    ///
    /// ```no_run
    /// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
    /// use keyslot::{Command, Value};
    ///
    /// let value: Value = client.execute(Command::new("GEOPOS").key("places").arg("Rome")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute<R: FromValue>(&self, command: Command) -> Request<'_, R> {
        Request::new(self.cluster.core(), command)
    }

    /// Sends a copy of `command` to each node that it is for, and gives each node's own result, in the order of the
    /// [`slot_map`](Self::slot_map): where `execute` puts replies together, and one error is the error of the whole.
    ///
    /// Which nodes these are, [`Command::to`] says, or the servers' policy: for `INFO` all primaries, for `CONFIG SET` all
    /// nodes, for a command with a key its one node. The address is that of the node that answered, or that was asked last.
    ///
    /// ```no_run
    /// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
    /// use keyslot::{Command, Target};
    ///
    /// let memory = Command::new("INFO memory").to(Target::AllNodes);
    /// for (node, info) in client.execute_each::<String>(memory).await? {
    ///     match info {
    ///         Ok(info) => println!("{node}: {} lines", info.lines().count()),
    ///         Err(error) => println!("{node} does not tell: {error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Only if nothing was sent: a closed client, or a command that has no nodes to go to as a whole, such as `MGET` of
    /// keys in several slots.
    ///
    /// # Cancel safety
    ///
    /// As with [`Request`], for each node.
    pub async fn execute_each<R: FromValue>(&self, command: Command) -> Result<Vec<(NodeAddr, Result<R>)>> {
        let core = self.cluster.core();
        if core.is_closed() {
            return Err(Error::closed().with_command(command.shared_name()));
        }
        let deadline = deadline_of(core, &command);
        let (name, slot) = (command.shared_name(), command.marked_slot());
        let work = executor::execute_each(core, &command, deadline);
        let each = observe_command(name, slot, work, first_error_of_nodes).await?;
        let read = |value| convert(value, command.shared_name());
        Ok(each.into_iter().map(|(node, result)| (node, result.and_then(read))).collect())
    }

    /// All keys of the cluster, as a stream; see [`Scan`] for what it promises.
    pub fn scan(&self) -> Scan {
        Scan::new(Arc::clone(&self.cluster))
    }

    /// Commands that are sent together, to any slots, and answered in order.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(Arc::clone(&self.cluster))
    }

    /// Commands that are executed as one, by `MULTI` and `EXEC`. Their keys must be in one slot.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.cluster))
    }

    /// Receives what is published to channels, patterns and shard channels, with the default options. It connects when it
    /// is told to subscribe.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        self.subscriber_with(SubscriberOptions::new())
    }

    /// [`Client::subscriber`] with other options.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn subscriber_with(&self, options: SubscriberOptions) -> Subscriber {
        Subscriber::new(Arc::clone(&self.cluster), options)
    }

    /// One connection of the primary that serves the slot of `key`, for this caller alone: for `WATCH`, and for `WAIT`.
    ///
    /// Waits while all exclusive connections of the node are taken, and until the slot has an owner that can be reached, at
    /// most for the client's command time-out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) or [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it has none
    /// by then, [`ErrorKind::Connect`](crate::ErrorKind::Connect) or [`ErrorKind::Auth`](crate::ErrorKind::Auth) if the node could
    /// not be reached or refused the user, [`ErrorKind::Closed`](crate::ErrorKind::Closed) of a closed client.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no connection.
    pub async fn session(&self, key: impl ToArg) -> Result<Session> {
        let key = Bytes::copy_from_slice(Command::new("SESSION").key(key).arg_at(1));
        Session::begin(Arc::clone(&self.cluster), key).await
    }

    /// The topology as the client knows it now: a snapshot, read without a lock.
    #[must_use]
    pub fn slot_map(&self) -> Arc<SlotMap> {
        Arc::clone(self.cluster.core().routes().map())
    }

    /// The way that `command` would take now: its slots and nodes, and why. Nothing is sent.
    ///
    /// ```no_run
    /// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
    /// use keyslot::Command;
    ///
    /// println!("{}", client.explain(&Command::new("MGET").arg("a").arg("b"))?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// That with which the command would be refused before it is sent: keys of several slots, a command that needs a
    /// connection of its own.
    pub fn explain(&self, command: &Command) -> Result<Explanation> {
        let core = self.cluster.core();
        let mut command = command.clone();
        let source = match core.learned.facts_of(&command) {
            Some((spec, has_movable_keys)) => {
                command.learn(spec);
                if has_movable_keys { Source::ServerEachTime } else { Source::Server }
            }
            None => Source::Table,
        };
        explain(&command, source, core.routes().map(), core.may_ask_replicas(&command))
    }

    /// What has happened so far and what is under way now, of the whole client and of each node.
    ///
    /// Counting costs a command next to nothing: what concerns all commands is counted once for each batch that leaves in
    /// one write. The snapshot looks at each connection for a moment and copies 3 KiB for each node that has answered; once
    /// a second is fine.
    #[must_use]
    pub fn stats(&self) -> Stats {
        figures::stats(self.cluster.core())
    }

    /// The `most` slots that get the most commands, the hottest first, by a sample: one command in 1024 on average is in
    /// it, chosen at random, those of pipelines and split commands too.
    ///
    /// So it says little before some ten thousand commands, and each share has the error that [`HotSlot::samples`] tells.
    /// Older samples count less: whenever there are 65536 (some 67 million commands), all are halved.
    #[must_use]
    pub fn hot_slots(&self, most: usize) -> Vec<HotSlot> {
        figures::hot_slots(self.cluster.core(), most)
    }

    /// Makes new connections with another [`TlsConfig`](crate::TlsConfig), or with the same whose files have changed, which are
    /// read now. Live connections go on with what they were made with, so no command notices; those that are lost are made
    /// anew with this.
    ///
    /// To have all of them made anew after a key was stolen, make a new client and close this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if something cannot be read or is not valid: then the former stays in
    /// force. [`ErrorKind::Usage`](crate::ErrorKind::Usage) if this client was built without TLS.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the former in force.
    #[cfg(feature = "tls")]
    pub async fn reload_tls(&self, tls: TlsConfig) -> Result<()> {
        let connector = self.cluster.tls().ok_or_else(|| {
            Error::usage("this client was built without TLS (rediss:// or ClientBuilder::tls): there is nothing to reload")
        })?;
        connector.reload(tls.read_elsewhere().await?);
        Ok(())
    }

    /// Refuses new commands on all clones, waits until those under way have ended, but at most for the client's
    /// command time-out, and closes the connections.
    ///
    /// A command has ended when it is answered or its time is over, so a node that hangs holds this up only as long as one of its
    /// callers has time left. One whose future was dropped after it was written is waited for likewise. What the client asks
    /// for itself, and connections that are being made or serve nobody now, are not waited for.
    ///
    /// Dropping the last clone closes the connections too, without waiting: what was written is delivered and may be executed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, new commands are refused all the same; the connections are closed by another `close`, or when the
    /// last clone is dropped.
    pub async fn close(&self) {
        self.close_within(self.cluster.core().config.command_timeout).await;
    }

    /// [`Client::close`] with another limit. What is still under way then fails with its true outcome, and what of it has not
    /// left this machine is thrown away.
    ///
    /// # Cancel safety
    ///
    /// As of [`close`](Self::close).
    pub async fn close_within(&self, limit: Duration) {
        self.cluster.core().close(limit).await;
    }
}

/// The error of the whole, or of the first node that has one.
fn first_error_of_nodes<T>(result: &Result<Vec<(NodeAddr, Result<T>)>>) -> Option<Error> {
    match result {
        Ok(each) => each.iter().find_map(|(_, result)| error_of(result)),
        Err(error) => Some(error.clone()),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("slot_map", &self.slot_map()).finish_non_exhaustive()
    }
}

/// Renders a list of commands to methods that send.
macro_rules! sending_methods {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
    )*) => {$(
        $(#[$doc])*
        fn $name $(<$reply: FromValue>)? (&self, $($arg: $ty),*) -> Request<'_, $out> {
            self.request(drafts::$name($($arg),*))
        }
    )*};
}

/// The typed commands of a [`Client`].
///
/// Each returns a [`Request`]: a future that sends when it is first polled. Where the reply type is `R`, the caller
/// chooses it: `Option<String>`, `Vec<u8>`, `HashMap<String, i64>`, [`Value`](crate::Value), ...
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use std::collections::HashMap;
///
/// use keyslot::Commands; // brings the methods
///
/// client.hset("basket:1", [("tea", 2), ("cups", 4)]).await?;
/// let basket: HashMap<String, u32> = client.hgetall("basket:1").await?; // chosen by the type of what takes it
/// let cups = client.hget::<Option<u32>>("basket:1", "cups").await?; // or by name
/// assert_eq!((basket["tea"], cups), (2, Some(4)));
/// # Ok(())
/// # }
/// ```
///
/// [`typed_commands`](crate::typed_commands) lists them by the names on the wire.
///
/// Any error may come from any of them: see [`ErrorKind`](crate::ErrorKind), and [`Error::outcome`](crate::Error::outcome)
/// for what became of the command.
pub trait Commands {
    /// Sends any command; see [`Client::execute`].
    fn execute<R: FromValue>(&self, command: Command) -> Request<'_, R>;

    /// For the methods below only.
    #[doc(hidden)]
    fn request<R: FromValue>(&self, said: impl Said) -> Request<'_, R> {
        self.execute(whole(said))
    }

    all_commands!(sending_methods);
}

impl Commands for Client {
    fn execute<R: FromValue>(&self, command: Command) -> Request<'_, R> {
        Self::execute(self, command)
    }

    #[inline]
    fn request<R: FromValue>(&self, said: impl Said) -> Request<'_, R> {
        Request::of(self.cluster.core(), said)
    }
}
