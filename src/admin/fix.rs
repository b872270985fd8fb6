//! Mending a cluster: [`Admin::fix`].

use crate::admin::handle::Admin;
use crate::admin::mend::mend;
use crate::admin::plan::Plan;
use crate::admin::step::{Member, Step};
use crate::admin::survey::{Survey, survey};
use crate::error::Result;

/// What [`Admin::fix`] may do. What is not set has the default that its method names.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are given to fix()"]
pub struct Fix {
    takes_from_unreachable: bool,
}

impl Fix {
    /// All at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether slots of a node that does not answer are given to others, empty: **its data is lost**, also when it comes
    /// back. Default: false.
    pub fn take_from_unreachable(mut self, take: bool) -> Self {
        self.takes_from_unreachable = take;
        self
    }
}

impl Admin {
    /// Brings moves that were begun to their ends, gives slots without an owner one, settles who owns a slot that several
    /// claim, takes keys home that nobody looks for, and separates epochs that collide.
    ///
    /// A move is taken back only if it has moved nothing. Of two values of the same key that of the owner stays, because
    /// it is the one that clients have seen; the other is lost. What cannot be mended is in [`Plan::notes`].
    ///
    /// # Errors
    ///
    /// If no seed answers.
    pub async fn fix(&self, how: Fix) -> Result<Plan> {
        let survey = survey(self).await?;
        let mending = mend(&survey, how.takes_from_unreachable);
        let mut steps = mending.steps(&survey);
        let mut notes = Vec::new();
        for (id, slots) in mending.left() {
            notes.push(format!(
                "slots {slots} belong to {}, which does not answer: bring it back, let a replica of it take its place \
                 (failover, by force), or give them to others and lose its keys (take_from_unreachable)",
                survey.view.name_of(id)
            ));
        }
        steps.extend(epochs(&survey, &steps));
        if !steps.is_empty() {
            steps.push(Step::Agree);
        }
        Ok(Plan::new(self, "Mend the cluster", steps, notes))
    }
}

/// New epochs for those whose word is not believed, or who share one.
fn epochs(survey: &Survey, before: &[Step]) -> Vec<Step> {
    let view = &survey.view;
    let mut bumped: Vec<Member> = Vec::new();
    for nodes in view.colliding_epochs().into_values() {
        bumped.extend(nodes.iter().skip(1).filter_map(|id| view.node(id)).map(Member::from));
    }
    bumped.extend(view.doubted().map(Member::from));
    bumped.sort();
    bumped.dedup();
    let already = |node: &Member| before.contains(&Step::BumpEpoch { node: node.clone() });
    bumped.retain(|node| !already(node));
    bumped.into_iter().map(|node| Step::BumpEpoch { node }).collect()
}
