//! Waiting until all nodes say the same: before a slot changes hands and after.
//!
//! A slot whose new owner has no newer epoch than everyone else is taken away from it again by gossip, with its keys.
//! Redis gives the target of a move an epoch that is newer than all that *it has heard of*; so nothing is moved to
//! another target before all have heard of the last one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::step::Member;
use crate::admin::view::ClusterView;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};

/// Between two looks: gossip takes milliseconds where it is told at once, and a second where it is not.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(250);

/// After this time gossip alone is not believed to help.
const REMEDY_AFTER: Duration = Duration::from_secs(3);

/// Waits until `complaint` has nothing to say of the view, for as long as the options allow.
///
/// Dropped at any time, nothing was changed.
pub(super) async fn until(
    admin: &Admin,
    what: &str,
    mut complaint: impl FnMut(&ClusterView) -> Option<String>,
) -> Result<ClusterView> {
    let limit = admin.options().agreement_timeout;
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    loop {
        let said = match admin.view().await {
            Ok(view) => match complaint(&view) {
                None => return Ok(view),
                Some(said) => said,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            let text = format!("waited {limit:?} until {what}: {said}");
            return Err(Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Waits until all nodes agree on slots, roles and epochs.
///
/// `bumped` is who got slots last: if the others do not believe it after some seconds, it is given a newer epoch, once.
pub(super) async fn agreed(admin: &Admin, bumped: Option<&Member>) -> Result<ClusterView> {
    if let Some(target) = bumped {
        let early = until_or(admin, REMEDY_AFTER).await?;
        if early.disagreement().is_none() {
            return Ok(early);
        }
        // Harmless if it has the newest epoch already: it keeps it then.
        admin.peer(&target.addr).order(&Command::new("CLUSTER BUMPEPOCH")).await?;
    }
    until(admin, "all nodes agree", ClusterView::disagreement).await
}

/// The view when all agree, or at the latest after `limit`.
async fn until_or(admin: &Admin, limit: Duration) -> Result<ClusterView> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_LOOK;
    loop {
        match admin.view().await {
            Ok(view) if view.disagreement().is_none() => return Ok(view),
            result if Instant::now() >= deadline => return result,
            _not_yet => sleep(pause).await,
        }
        pause = (pause * 2).min(LAST_LOOK);
    }
}
