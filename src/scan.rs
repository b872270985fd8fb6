//! [`Scan`]: all keys of the cluster, as a stream.

mod walk;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use futures_util::Stream;

use crate::cluster::connect::Cluster;
use crate::error::{Error, Result};
use crate::routing::scan_filter::ScanFilter;
use crate::routing::scan_plan::ScanPlan;
use crate::routing::scan_token;
use crate::scan::walk::{Arrived, Manner, Walk};

/// How many keys a node looks through for a page, if the caller does not say.
const COUNT: usize = 250;

/// How many nodes are scanned side by side, if the caller does not say.
const PARALLEL: usize = 4;

/// A scan that is about to begin, made by [`Client::scan`](crate::Client::scan): all keys of the cluster, page by page or
/// key by key, by [SCAN](https://redis.io/docs/latest/commands/scan/) at each primary.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Commands;
///
/// client.mset((0..500).map(|number| (format!("session:{number}"), number))).await?;
/// let mut pages = client.scan().pattern("session:*").count(1000).pages();
/// while let Some(page) = pages.next().await {
///     client.unlink(page?).await?;
/// }
/// assert_eq!(client.dbsize().await?, 0);
/// # Ok(())
/// # }
/// ```
///
/// # What is promised
///
/// Every key that is there from the begin to the end of the scan is given at least once, through moves of slots, with keys
/// on both sides of a move, through failovers and restarts of servers. A key may be given more than once, and one that comes,
/// goes or is renamed meanwhile may be given or not. Keys are given again only for slots that moved or changed their primary
/// while they were scanned.
///
/// A cursor of `SCAN` is good for one process of one node. So each node is asked before and after, and once a second in
/// between, who it is and which slots it has (`CLUSTER NODES`, `CLUSTER INFO`, `INFO`; a user with restricted rights needs
/// these), and the cluster for its topology at the end: a slot counts as seen only if nothing has happened to it meanwhile.
/// Others are scanned again, at the nodes that have them then; of a slot that is open, first the node that it leaves and then
/// the one that it goes to.
///
/// The promise is as good as the servers' words: keys that a failover loses are lost for the scan too, and the move of a slot
/// that is undone (keys brought back to the node that they came from) has to take a second at least, or not to be begun again, to be noticed.
///
/// # Errors
///
/// Each request has the client's [`command_timeout`](crate::ClientBuilder::command_timeout), and a scan that sees no slot
/// to its end for as long says so. An error ends nothing: polled again, the stream goes on where it was, other nodes first. To
/// stop at the first one, keep the token and [resume](Self::resume) later.
///
/// # Resources
///
/// Nothing is sent unless the stream is polled, and no task runs: a stream that is dropped leaves nothing behind. It holds
/// one page for each node that is scanned at the time, and some KiB for the slots.
#[must_use = "a scan begins when its stream is polled"]
pub struct Scan {
    cluster: Arc<Cluster>,
    filter: ScanFilter,
    manner: Manner,
    resumed: Option<ScanPlan>,
    fault: Option<Error>,
}

impl Scan {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let manner = Manner { count: COUNT, parallel: PARALLEL };
        Self { cluster, filter: ScanFilter::default(), manner, resumed: None, fault: None }
    }

    /// Only keys that match this glob pattern (`MATCH`). With a hash tag in front of the first wildcard, as in `{user:1}:*`,
    /// only the node of that slot is asked.
    pub fn pattern(self, pattern: impl AsRef<[u8]>) -> Self {
        let pattern = Some(Bytes::copy_from_slice(pattern.as_ref()));
        self.filtered(|filter| filter.pattern = pattern)
    }

    /// Only keys of this type (`TYPE`): `string`, `list`, `set`, `zset`, `hash`, `stream`, or one of a module.
    pub fn of_type(self, name: impl Into<String>) -> Self {
        let name = Some(name.into().into_boxed_str());
        self.filtered(|filter| filter.of_type = name)
    }

    /// How many keys a node looks through for one page (`COUNT`): the longer, the fewer round trips, and the longer other
    /// commands of the node wait. 250 by default. A page may have more keys or fewer.
    pub fn count(mut self, count: usize) -> Self {
        self.manner.count = count.max(1);
        self
    }

    /// How many nodes are scanned side by side; 4 by default. Their pages come in any order.
    pub fn parallel(mut self, nodes: usize) -> Self {
        self.manner.parallel = nodes.max(1);
        self
    }

    /// Goes on with a scan that was stopped, in this process or another, where its [token](ScanPages::token) was taken: both
    /// together give every key that is there all the time. The pattern and the type are those of the token; `count` and
    /// `parallel` may be others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if this is no token, or one that was cut or changed, or if another
    /// pattern or type was given to this scan than the token has.
    pub fn resume(mut self, token: &str) -> Result<Self> {
        let (filter, plan) = scan_token::decode(token)?;
        if self.filter != ScanFilter::default() && self.filter != filter {
            return Err(other_filter());
        }
        self.filter = filter;
        self.resumed = Some(plan);
        Ok(self)
    }

    /// The stream of pages, in the order in which they come. No page is empty.
    pub fn pages(self) -> ScanPages {
        let plan = self.resumed.unwrap_or_else(|| ScanPlan::of(&self.filter.slots()));
        ScanPages { walk: Walk::new(self.cluster, self.filter, self.manner, plan), fault: self.fault }
    }

    /// The stream of keys.
    pub fn keys(self) -> ScanKeys {
        ScanKeys { pages: self.pages(), page: None }
    }

    fn filtered(mut self, change: impl FnOnce(&mut ScanFilter)) -> Self {
        let before = self.filter.clone();
        change(&mut self.filter);
        // What was left out before would stay left out.
        if self.resumed.is_some() && self.filter != before {
            self.fault = Some(other_filter());
        }
        self
    }
}

fn other_filter() -> Error {
    Error::usage("a scan cannot be resumed with another pattern or type than it had")
        .with_command("SCAN".into())
}

/// The stream of a scan's pages; see [`Scan`] for what is promised.
#[must_use = "a stream does nothing unless it is polled"]
pub struct ScanPages {
    walk: Walk,
    fault: Option<Error>,
}

impl ScanPages {
    /// The next page, as of `StreamExt`; `None` when every key was given.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, nothing is lost: the next call goes on with the same page.
    pub async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What it takes to go on after the pages that were given so far, with [`Scan::resume`]: a line of printable ASCII
    /// without blanks, of some hundred bytes for each node. It has no secrets, but the pattern.
    #[must_use]
    pub fn token(&self) -> String {
        self.walk.token()
    }

    /// Of how many slots (of [`Slot::COUNT`](crate::Slot::COUNT)) all keys were given. It grows when a node is done, and may
    /// shrink when one changes at that moment.
    #[must_use]
    pub fn slots_done(&self) -> usize {
        self.walk.slots_done()
    }

    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Arrived>>> {
        match &self.fault {
            Some(fault) => Poll::Ready(Some(Err(fault.clone()))),
            None => self.walk.poll_page(cx),
        }
    }
}

impl Stream for ScanPages {
    type Item = Result<Vec<Bytes>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_arrived(cx).map_ok(|arrived| {
            self.walk.commit(&arrived);
            arrived.keys
        })
    }
}

impl fmt::Debug for ScanPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanPages").field("slots_done", &self.slots_done()).finish_non_exhaustive()
    }
}

/// The stream of a scan's keys; see [`Scan`] for what is promised.
#[must_use = "a stream does nothing unless it is polled"]
pub struct ScanKeys {
    pages: ScanPages,
    /// The keys of a page that are not given yet, and what is to be committed then.
    page: Option<(vec::IntoIter<Bytes>, Arrived)>,
}

impl ScanKeys {
    /// The next key, as of `StreamExt`; `None` when every key was given.
    ///
    /// # Cancel safety
    ///
    /// As of [`ScanPages::next`].
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// As of [`ScanPages::token`]. The keys that come with the last one in a page are given again after it is resumed.
    #[must_use]
    pub fn token(&self) -> String {
        self.pages.token()
    }

    /// As of [`ScanPages::slots_done`].
    #[must_use]
    pub fn slots_done(&self) -> usize {
        self.pages.slots_done()
    }
}

impl Stream for ScanKeys {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(key) = self.page.as_mut().and_then(|(keys, _)| keys.next()) {
                return Poll::Ready(Some(Ok(key)));
            }
            if let Some((_, arrived)) = self.page.take() {
                self.pages.walk.commit(&arrived);
            }
            match std::task::ready!(self.pages.poll_arrived(cx)) {
                Some(Ok(mut arrived)) => {
                    let keys = std::mem::take(&mut arrived.keys).into_iter();
                    self.page = Some((keys, arrived));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for ScanKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanKeys").field("slots_done", &self.slots_done()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("filter", &self.filter)
            .field("manner", &self.manner)
            .finish_non_exhaustive()
    }
}
