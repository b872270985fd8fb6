//! [`PubSubEvent`]: what a subscriber is told.

use std::fmt;

use bytes::Bytes;

use crate::error::Error;
use crate::node::NodeAddr;

/// What one can subscribe to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SubscriptionKind {
    /// A channel of the whole cluster ([`SUBSCRIBE`](https://valkey.io/commands/subscribe/)).
    Channel,
    /// All channels of the whole cluster whose names match a pattern
    /// ([`PSUBSCRIBE`](https://valkey.io/commands/psubscribe/)).
    Pattern,
    /// A channel that belongs to a slot, as a key does ([`SSUBSCRIBE`](https://valkey.io/commands/ssubscribe/)).
    Shard,
}

/// One thing that was subscribed to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscription {
    /// Channel, pattern or shard channel.
    pub kind: SubscriptionKind,
    /// Its name, or the pattern.
    pub name: Bytes,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind, self.name.escape_ascii())
    }
}

/// A subscription and where it is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SubscriptionState {
    /// What was subscribed to.
    pub subscription: Subscription,
    /// The node that sends its messages; `None` while none does.
    pub node: Option<NodeAddr>,
}

/// A message that was published.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Which kind of subscription brought it. A message to a channel that is subscribed to by name and by a pattern comes
    /// once for each.
    pub kind: SubscriptionKind,
    /// The channel to which it was published.
    pub channel: Bytes,
    /// The pattern that matches; of [`SubscriptionKind::Pattern`] only.
    pub pattern: Option<Bytes>,
    /// What was published.
    pub payload: Bytes,
}

impl Message {
    /// What was published, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload).ok()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("kind", &self.kind);
        shown.field("channel", &format_args!("\"{}\"", self.channel.escape_ascii()));
        if let Some(pattern) = &self.pattern {
            shown.field("pattern", &format_args!("\"{}\"", pattern.escape_ascii()));
        }
        shown.field("payload", &format_args!("{} bytes", self.payload.len())).finish()
    }
}

/// Why messages may not have come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum GapCause {
    /// The connection to the node ended, or the node did not answer any more.
    ConnectionLost,
    /// The slot of the shard channel is served by another node now: it was moved, or its shard failed over.
    SlotMoved,
    /// The node failed or left the cluster, as its other nodes say.
    NodeGone,
    /// The reader was slower than the messages, and the buffer is full.
    Overflow,
}

impl GapCause {
    /// In one word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::SlotMoved => "slot_moved",
            Self::NodeGone => "node_gone",
            Self::Overflow => "overflow",
        }
    }
}

/// At this place messages may be missing; behind it they come again.
///
/// It stands behind the last message that was received before, and in front of the first one after. Whoever keeps a
/// state by these messages reads that state anew when he meets it: what changes later is told by messages that follow.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Gap {
    /// Whose messages: each has been confirmed again by a server, unless the cause is [`GapCause::Overflow`], which
    /// ends no subscription.
    pub subscriptions: Vec<Subscription>,
    /// Why.
    pub cause: GapCause,
    /// How many messages are missing, where this client knows: it has received them and had no room. `None`: nobody can
    /// tell, perhaps none.
    pub lost: Option<u64>,
}

/// No messages come for a while. A [`Gap`] with the same subscriptions follows as soon as they do again.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Interruption {
    /// Whose messages.
    pub subscriptions: Vec<Subscription>,
    /// Why.
    pub cause: GapCause,
}

/// A server refused to renew a subscription: it is none any more, and no messages come until it is subscribed to again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Which one.
    pub subscription: Subscription,
    /// What the server said.
    pub error: Error,
}

/// What a [`Subscriber`](crate::Subscriber) is told, in order.
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
/// subscriber.subscribe("prices").await?;
/// client.publish("prices", "tea 3").await?;
/// # let mut read = 0;
/// while let Some(event) = subscriber.next().await {
///     match event {
///         PubSubEvent::Message(message) => println!("{:?}", message.payload),
///         PubSubEvent::Gap(gap) => println!("read the state of {:?} anew", gap.subscriptions),
///         PubSubEvent::Interrupted(_) => println!("a gap will follow"),
///         PubSubEvent::Ended(ended) => println!("{:?}: {}", ended.subscription, ended.error),
///         _ => {} // what later versions may tell
///     }
/// #     read += 1;
///     break; // or go on for ever
/// }
/// # assert_eq!(read, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PubSubEvent {
    /// A message.
    Message(Message),
    /// Messages may be missing here. Whoever cares only for the messages may pass over all events but the first.
    Gap(Gap),
    /// No messages come for a while, and the subscriber is at work to change that.
    Interrupted(Interruption),
    /// A subscription is over.
    Ended(Ended),
}

impl PubSubEvent {
    /// The message, if it is one.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Gap(_) | Self::Interrupted(_) | Self::Ended(_) => None,
        }
    }
}
