//! [`TopologyEvents`]: the changes of the cluster as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};

use crate::client::Client;
use crate::cluster::topology_feed::TopologyChanges;
use crate::topology::changes::TopologyEvent;

/// The changes of the cluster as the client learns them: slots that move, failovers, nodes that come and go. Made by
/// [`Client::topology_events`].
///
/// It tells the way from the map at its making to [`Client::slot_map`] now, and when an event is told, that map has the
/// change already. Nothing is stored for a reader: when it comes, it is told how the newest map differs from the one that it
/// knows. So it needs no memory while nobody reads, and none is lost; but one who reads rarely is told of a slot that went
/// from A over B to C as one move from A to C, and of one that went and came back nothing.
///
/// The client learns of changes by redirects, by what its connections suffer (and then by looking again, more and more
/// rarely), and every [`refresh_interval`](crate::ClientBuilder::refresh_interval): a change that concerns neither is told
/// that late.
///
/// It ends when the client is [closed](Client::close) or its last handle is dropped: the stream is no handle.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Slot, TopologyEvent};
///
/// let mut events = client.topology_events();
/// # use keyslot::Commands;
/// let primary = cluster.primary_of(Slot::of_key("k")).ok_or("nobody serves it")?;
/// cluster.kill(&primary)?; // a simulated one
/// # client.set("k", 1).await?;
/// while let Some(event) = events.next().await {
///     match event {
///         TopologyEvent::PrimaryPromoted { node, replaced, .. } => {
///             println!("{node} in place of {replaced}");
///             assert_eq!(replaced, primary);
///             break; // or go on for ever
///         }
///         other => println!("{other}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct TopologyEvents {
    events: BoxStream<'static, TopologyEvent>,
}

impl TopologyEvents {
    fn new(changes: TopologyChanges) -> Self {
        let next = |mut changes: TopologyChanges| async move { Some((changes.next().await?, changes)) };
        Self { events: stream::unfold(changes, next).fuse().boxed() }
    }

    /// The next event; `None` once the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<TopologyEvent> {
        self.events.next().await
    }
}

impl Stream for TopologyEvents {
    type Item = TopologyEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TopologyEvent>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for TopologyEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyEvents").finish_non_exhaustive()
    }
}

impl Client {
    /// The changes of the cluster from now on. As many readers as wanted, each with its own stream.
    pub fn topology_events(&self) -> TopologyEvents {
        TopologyEvents::new(self.core().topology_feed.watch())
    }
}
