//! [`Subscriber`]: messages of channels, patterns and shard channels, through failovers and slot moves.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::connect::Cluster;
use crate::cluster::pubsub::driver::drive;
use crate::cluster::pubsub::event::{PubSubEvent, Subscription, SubscriptionKind, SubscriptionState};
use crate::cluster::pubsub::mailbox::Mailbox;
use crate::cluster::pubsub::options::SubscriberOptions;
use crate::cluster::pubsub::order::Order;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::to_args::ToArgs;

/// Receives what is published: a [`Stream`] of [`PubSubEvent`]s, made by [`Client::subscriber`](crate::Client::subscriber).
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Commands, PubSubEvent};
///
/// let mut subscriber = client.subscriber();
/// subscriber.subscribe(["news", "weather"]).await?;
/// subscriber.ssubscribe("orders:{eu}").await?;
/// client.spublish("orders:{eu}", "tea").await?;
/// while let Some(event) = subscriber.next().await {
///     match event {
///         PubSubEvent::Message(message) => {
///             assert_eq!((&*message.channel, message.text()), (&b"orders:{eu}"[..], Some("tea")));
///             break; // or go on for ever
///         }
///         PubSubEvent::Gap(gap) => println!("read anew what {:?} tell of", gap.subscriptions),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # What it promises
///
/// - A subscription that was confirmed stays until it is unsubscribed from, through lost connections, failovers, slot
///   moves and nodes that leave. Should a server refuse to renew it, [`PubSubEvent::Ended`] says so.
/// - Pub/sub delivers at most once: what is published while nobody listens is gone. Wherever that may have happened, a
///   [`Gap`](crate::Gap) stands between the messages before and behind; where none stands, the node sent nothing that
///   did not arrive. (What the servers lose between themselves, no client can see.)
/// - The messages of one channel come in the order in which its node sent them, each once. Soon behind a gap, some of those
///   from before it may come again: the node that serves the channel now hears of them from the old one, and later. There is
///   no order between channels of different nodes.
/// - What waits for a slow reader is bounded: see [`SubscriberOptions::buffer`].
///
/// # Connections
///
/// It has its own, apart from those for commands: one for all channels and patterns, at any node, and one at each
/// primary that has shard channels of it. They are made when they are needed. A node that dies without a word is noticed
/// by [`SubscriberOptions::keep_alive`].
///
/// Keyspace notifications are told only by the node that holds the key, so subscribing at any node does not bring
/// them all.
///
/// # Cancel safety
///
/// The next event may be waited for and dropped at any time; none is lost by that. Dropping the subscriber ends its task
/// and closes its connections.
pub struct Subscriber {
    mailbox: Arc<Mailbox>,
    handle: SubscriberHandle,
    task: JoinHandle<()>,
}

/// Changes and lists the subscriptions of a [`Subscriber`], while another task reads. Cheap to clone; it does not keep the
/// subscriber alive.
#[derive(Clone)]
pub struct SubscriberHandle {
    orders: mpsc::UnboundedSender<Order>,
    limit: Duration,
}

impl Subscriber {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(cluster: Arc<Cluster>, options: SubscriberOptions) -> Self {
        let mailbox = Arc::new(Mailbox::new(&options));
        let limit = options.timeout.unwrap_or(cluster.core().config.command_timeout);
        let (sender, orders) = mpsc::unbounded_channel();
        let task = tokio::spawn(drive(cluster, Arc::clone(&mailbox), options, orders));
        Self { mailbox, handle: SubscriberHandle { orders: sender, limit }, task }
    }

    /// The half that changes the subscriptions.
    #[must_use]
    pub fn handle(&self) -> SubscriberHandle {
        self.handle.clone()
    }

    /// The next event, waiting for it; `None` once the client is closed and everything was read.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no event is lost.
    pub async fn next(&mut self) -> Option<PubSubEvent> {
        StreamExt::next(self).await
    }

    /// As [`SubscriberHandle::subscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn subscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.handle.subscribe(channels).await
    }

    /// As [`SubscriberHandle::psubscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn psubscribe(&self, patterns: impl ToArgs) -> Result<()> {
        self.handle.psubscribe(patterns).await
    }

    /// As [`SubscriberHandle::ssubscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn ssubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.handle.ssubscribe(channels).await
    }

    /// As [`SubscriberHandle::unsubscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn unsubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.handle.unsubscribe(channels).await
    }

    /// As [`SubscriberHandle::punsubscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn punsubscribe(&self, patterns: impl ToArgs) -> Result<()> {
        self.handle.punsubscribe(patterns).await
    }

    /// As [`SubscriberHandle::sunsubscribe`].
    ///
    /// # Errors and cancel safety
    ///
    /// As there.
    pub async fn sunsubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.handle.sunsubscribe(channels).await
    }

    /// As [`SubscriberHandle::subscriptions`].
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn subscriptions(&self) -> Vec<SubscriptionState> {
        self.handle.subscriptions().await
    }
}

impl SubscriberHandle {
    /// Subscribes to channels, one or several; resolves when a server has confirmed all of them.
    /// See [`SUBSCRIBE`](https://valkey.io/commands/subscribe/).
    ///
    /// Each message that is published to one of them from then on is told. To subscribe again to what there is does
    /// no harm and changes nothing.
    ///
    /// # Errors
    ///
    /// All are subscribed to, or none that was not before. [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if a
    /// confirmation did not come within [`SubscriberOptions::timeout`], over redirects, retries and reconnects;
    /// the error of the server if it refuses one ([`ErrorKind::Auth`](crate::ErrorKind::Auth) for want of a permission);
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) if the subscriber is gone or its client closed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what it would have added is taken back.
    pub async fn subscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.begin(SubscriptionKind::Channel, channels).await
    }

    /// Subscribes to all channels whose names match patterns such as `news.*`; otherwise as
    /// [`subscribe`](Self::subscribe). See [`PSUBSCRIBE`](https://valkey.io/commands/psubscribe/).
    ///
    /// # Errors and cancel safety
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn psubscribe(&self, patterns: impl ToArgs) -> Result<()> {
        self.begin(SubscriptionKind::Pattern, patterns).await
    }

    /// Subscribes to shard channels, in any slots; otherwise as [`subscribe`](Self::subscribe). Such a channel is served
    /// by the shard that serves the slot of its name, and costs the other nodes nothing. Redis 7.0 and newer, all of
    /// Valkey. See [`SSUBSCRIBE`](https://valkey.io/commands/ssubscribe/).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); [`ErrorKind::Server`](crate::ErrorKind::Server) if the server is too old to
    /// have them.
    ///
    /// # Cancel safety
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn ssubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.begin(SubscriptionKind::Shard, channels).await
    }

    /// Ends subscriptions to channels; resolves when the server has confirmed it, or the connection is gone. From the
    /// first poll on no further message of them is taken; those that wait in the buffer stay there. What was not
    /// subscribed to is passed over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed) if the subscriber is gone or its client closed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, it is done even if the future is dropped.
    pub async fn unsubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.end(SubscriptionKind::Channel, channels).await
    }

    /// Ends subscriptions to patterns; otherwise as [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors and cancel safety
    ///
    /// As [`unsubscribe`](Self::unsubscribe).
    pub async fn punsubscribe(&self, patterns: impl ToArgs) -> Result<()> {
        self.end(SubscriptionKind::Pattern, patterns).await
    }

    /// Ends subscriptions to shard channels; otherwise as [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors and cancel safety
    ///
    /// As [`unsubscribe`](Self::unsubscribe).
    pub async fn sunsubscribe(&self, channels: impl ToArgs) -> Result<()> {
        self.end(SubscriptionKind::Shard, channels).await
    }

    /// All subscriptions with the node that sends the messages of each, sorted; those too that are asked for and not
    /// confirmed. Empty if the subscriber is gone.
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn subscriptions(&self) -> Vec<SubscriptionState> {
        let (done, answer) = oneshot::channel();
        // Who is gone has dropped `done`, which the answer tells.
        drop(self.orders.send(Order::List(done)));
        answer.await.unwrap_or_default()
    }

    async fn begin(&self, kind: SubscriptionKind, names: impl ToArgs) -> Result<()> {
        let subscriptions = subscriptions(kind, names);
        let deadline = Instant::now().checked_add(self.limit);
        self.order(|done| Order::Subscribe { subscriptions, deadline, done }).await
    }

    async fn end(&self, kind: SubscriptionKind, names: impl ToArgs) -> Result<()> {
        let subscriptions = subscriptions(kind, names);
        self.order(|done| Order::Unsubscribe { subscriptions, done }).await
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<Result<()>>) -> Order) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.orders.send(order(done)).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, Outcome::NotSent, "the subscriber was dropped, or its client was closed")
}

/// The names as they are sent.
fn subscriptions(kind: SubscriptionKind, names: impl ToArgs) -> Vec<Subscription> {
    let command = Command::new("SUBSCRIBE").args(names.into_args());
    let names = command.body().iter().skip(1).map(Bytes::copy_from_slice);
    names.map(|name| Subscription { kind, name }).collect()
}

impl Stream for Subscriber {
    type Item = PubSubEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PubSubEvent>> {
        self.mailbox.poll_pop(cx)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

impl fmt::Debug for SubscriberHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberHandle").finish_non_exhaustive()
    }
}
