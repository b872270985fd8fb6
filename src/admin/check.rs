//! Looking at a cluster: [`Admin::check`].

use crate::admin::handle::Admin;
use crate::admin::report::{Problem, Report, examine};
use crate::admin::survey::survey_what_answers;
use crate::error::Result;

impl Admin {
    /// What is wrong with the cluster: slots that nobody or several serve, open slots, keys where nobody looks for them,
    /// nodes that do not answer, that disagree or that have the same epoch.
    ///
    /// All nodes are asked, not only one; if they disagree, gossip is given three seconds first. The keys of each slot
    /// are counted, which is one small command for each slot and primary.
    ///
    /// # Errors
    ///
    /// If no seed answers. What else goes wrong is in the report.
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn check(&self) -> Result<Report> {
        let (survey, uncounted) = survey_what_answers(self).await?;
        let uncounted = uncounted.into_iter().map(|(id, error)| Problem::Uncounted {
            node: survey.view.name_of(&id),
            error: error.to_string(),
        });
        // Errors come first, and it is one.
        let problems = uncounted.chain(examine(&survey)).collect();
        Ok(Report { view: survey.view, problems })
    }
}
