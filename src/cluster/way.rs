//! [`Way`]: the way that one command has really taken; and how it is executed so that this is known.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::core::Core;
use crate::cluster::executor::{learn, plan_all, results_of, run, weave};
use crate::cluster::job::{Deadline, Job};
use crate::command::Command;
use crate::error::{Error, Redirect, Result};
use crate::node::NodeAddr;
use crate::protocol::value::Value;
use crate::slot::Slot;

/// The way that one command has taken, told beside its result by [`Request::traced`](crate::Request::traced).
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Commands, Slot};
///
/// let (reply, way) = client.set("k", "v").traced().await;
/// reply?;
/// let part = &way.parts[0];
/// assert_eq!(part.slot, Some(Slot::of_key(b"k")));
/// assert_eq!(part.node, client.slot_map().primary_of(Slot::of_key(b"k")).map(|node| node.addr.clone()));
/// assert_eq!((part.attempts, part.redirects.len()), (1, 0));
/// // In a line: slot 7629 at 127.0.0.1:7001; no redirect; 214.3µs
/// assert!(way.to_string().starts_with(&format!("slot {} at ", Slot::of_key(b"k"))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Way {
    /// One for most commands, several if it was split by slot or went to several nodes. None if it was refused before it was
    /// sent.
    pub parts: Vec<WayPart>,
    /// From the first poll to the result, over queueing, redirects, retries and reconnects.
    pub elapsed: Duration,
}

/// One destination of a command that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WayPart {
    /// The slot that it was routed by, if it was.
    pub slot: Option<Slot>,
    /// The node that answered, or that was asked last. `None`: nobody was asked.
    pub node: Option<NodeAddr>,
    /// How often it was tried, redirects and retries included.
    pub attempts: u32,
    /// The redirects that were followed, oldest first; of more than
    /// [`max_redirects`](crate::ClientBuilder::max_redirects), the last ones.
    pub redirects: Vec<Redirect>,
}

impl Way {
    /// The node that answered, or that was asked last, of a command that went to one place; `None` of all others.
    #[must_use]
    pub fn node(&self) -> Option<&NodeAddr> {
        match &*self.parts {
            [part] => part.node.as_ref(),
            _ => None,
        }
    }

    /// How often it was tried, all parts together.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.parts.iter().map(|part| part.attempts).sum()
    }

    /// The redirects that were followed, part by part, oldest first.
    pub fn redirects(&self) -> impl Iterator<Item = &Redirect> {
        self.parts.iter().flat_map(|part| &part.redirects)
    }
}

/// In a line: the first three parts, the redirects, the attempts if one was made again, and the time.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        if self.parts.is_empty() {
            return f.write_str("not sent");
        }
        for (place, part) in self.parts.iter().take(SHOWN).enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            write!(f, "{part}")?;
        }
        if let Some(more) = self.parts.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            write!(f, ", and {more} more")?;
        }
        let redirects: Vec<String> = self.redirects().map(ToString::to_string).collect();
        match redirects.as_slice() {
            [] => f.write_str("; no redirect")?,
            some => write!(f, "; {}", some.join(", "))?,
        }
        // One for each part is no news.
        if usize::try_from(self.attempts()) != Ok(self.parts.len()) {
            write!(f, "; {} attempts", self.attempts())?;
        }
        write!(f, "; {:.1?}", self.elapsed)
    }
}

/// `slot 7629 at 127.0.0.1:7001`.
impl fmt::Display for WayPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slot) = self.slot {
            write!(f, "slot {slot} at ")?;
        }
        match &self.node {
            Some(node) => write!(f, "{node}"),
            None => f.write_str("no node"),
        }
    }
}

/// Executes one command as [`execute`](crate::cluster::executor::execute) does, and tells its way.
pub(crate) async fn execute_traced(
    core: &Core,
    command: &Command,
    deadline: Deadline,
) -> (Result<Value>, Way) {
    let begin = Instant::now();
    let commands = &*learn(core, std::slice::from_ref(command), deadline).await;
    let (plain, specials) = plan_all(core, commands);
    let mut jobs: Vec<Job<'_>> = weave(core, plain, &specials).into_iter().map(Job::with_witness).collect();
    run(core, &mut jobs, deadline, None).await;
    let parts = jobs.iter().map(part_of).collect();
    let result = results_of(&specials, &mut jobs, 1).pop().unwrap_or_else(|| Err(Error::closed()));
    (result, Way { parts, elapsed: begin.elapsed() })
}

fn part_of(job: &Job<'_>) -> WayPart {
    let (attempts, redirects) = job.tries();
    // Who was only meant was not asked.
    let node = (attempts > 0).then(|| job.witness()).flatten();
    WayPart { slot: job.slot(), node, attempts, redirects: redirects.to_vec() }
}
