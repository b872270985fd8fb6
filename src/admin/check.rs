//! Looking at a cluster: [`Admin::check`].

use crate::admin::handle::Admin;
use crate::admin::report::{Report, examine};
use crate::admin::survey::survey;
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
        let survey = survey(self).await?;
        let problems = examine(&survey);
        Ok(Report { view: survey.view, problems })
    }
}
