//! [`Plan`]: what will be done, before it is; and how it is done.

use std::fmt;

use crate::admin::execute::run_step;
use crate::admin::handle::Admin;
use crate::admin::json::Json;
use crate::admin::progress::{Progress, Reporter, StopHandle};
use crate::admin::restart::Restarter;
use crate::admin::step::Step;
use crate::error::Result;

/// What will be done, step by step. Printed it is a table; nothing happens before [`Plan::run`].
///
/// A plan is made of what the cluster said at that time. One that was interrupted is not kept: the same request makes
/// the plan of what is left, whatever the interrupted one had done, also in another process; only
/// [`Admin::reshard`] asks for so many slots more, so go on with [`Admin::move_slots`] and the slots of the plan, or
/// with [`Admin::fix`], which brings every move that was begun to its end.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::Slot;
/// use keyslot::admin::Slots;
///
/// let map = client.slot_map();
/// let first = map.shards().next().ok_or("there is no shard")?.primary().addr.clone();
/// let slots = Slots::from_iter([Slot::of_key("foo")]); // 12182, which the third primary has
/// let plan = client.admin().move_slots(&slots, &first).await?;
/// println!("{plan}"); // nothing has happened yet
/// let done = plan.run(|progress| println!("{} of {}: {}", progress.step, progress.steps, progress.what)).await?;
/// assert_eq!(done.slots_done, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "a plan does nothing until it is run"]
pub struct Plan {
    admin: Admin,
    goal: String,
    steps: Vec<Step>,
    notes: Vec<String>,
    stop: StopHandle,
    restarter: Option<Restarter>,
}

impl Plan {
    pub(super) fn new(admin: &Admin, goal: impl Into<String>, steps: Vec<Step>, notes: Vec<String>) -> Self {
        let (admin, goal) = (admin.clone(), goal.into());
        Self { admin, goal, steps, notes, stop: StopHandle::default(), restarter: None }
    }

    pub(super) fn restarting_by(mut self, restarter: Restarter) -> Self {
        self.restarter = Some(restarter);
        self
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn goal(&self) -> &str {
        &self.goal
    }

    /// What is done, in this order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is worth knowing and not done: a score of anti-affinity, what could not be mended.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// By which another task stops the run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Does it. `progress` is called after each batch of keys, each slot and each step; it must not block.
    ///
    /// Returns how far it came: all of it, or until it was [stopped](StopHandle::stop).
    ///
    /// # Errors
    ///
    /// Of the first step that failed; the steps before it are done, and no other slot was begun. What is left is
    /// planned anew.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops between any two commands: slots that are under way stay open, and are served with
    /// `ASK`. The next plan brings them to their end. The [stop handle](Self::stop_handle) leaves none open.
    pub async fn run(&self, mut progress: impl FnMut(&Progress) + Send) -> Result<Progress> {
        let first = Progress {
            steps: self.steps.len(),
            slots: self.steps.iter().map(|step| step.moved().0).sum(),
            keys: self.steps.iter().map(|step| step.moved().1).sum(),
            ..Progress::default()
        };
        let reporter = Reporter::new(first, self.stop.clone(), &mut progress);
        for (place, step) in self.steps.iter().enumerate() {
            if self.stop.is_stopped() {
                break;
            }
            reporter.tell(|progress| {
                progress.step = place + 1;
                progress.what = step.to_string();
            });
            run_step(&self.admin, &reporter, step, self.restarter.as_ref()).await?;
        }
        reporter.tell(|progress| progress.stopped = self.stop.is_stopped());
        Ok(reporter.last())
    }

    /// As JSON: an object with `goal`, `steps` (each with `do` and what it is about) and `notes`.
    #[must_use]
    pub fn to_json(&self) -> String {
        Json::Object(vec![
            ("goal", Json::text(&self.goal)),
            ("steps", Json::list(self.steps.iter().map(Step::json))),
            ("notes", Json::list(self.notes.iter().map(Json::text))),
        ])
        .to_string()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.goal)?;
        if self.steps.is_empty() {
            writeln!(f, "  nothing to do")?;
        }
        for (place, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>4}  {step}", place + 1)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("goal", &self.goal).field("steps", &self.steps).finish_non_exhaustive()
    }
}
