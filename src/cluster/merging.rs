//! [`merge_parts`]: one result of the jobs of a command that went to several places.

use bytes::Bytes;

use crate::cluster::job::Job;
use crate::command::Command;
use crate::error::{Error, ErrorKind, KeyOutcomes, Outcome, Result};
use crate::protocol::command_spec::Access;
use crate::protocol::value::Value;
use crate::routing::gather::Merge;

/// One reply of all parts. An error says how many of them failed; a write that was done in part may have been
/// executed, whatever the failed part says.
pub(super) fn merge_parts(command: &Command, merge: &Merge, parts: &mut [Job<'_>]) -> Result<Value> {
    let count = parts.len();
    let failed = parts.iter().filter(|part| !matches!(part.result(), Some(Ok(_)))).count();
    let enough = match merge {
        Merge::AnySuccess => failed < count,
        Merge::InOrder(_)
        | Merge::Concatenate
        | Merge::First
        | Merge::Number(_)
        | Merge::Logic(_)
        | Merge::ByNode(_) => failed == 0,
    };
    if enough {
        let replies = parts.iter_mut().filter_map(|part| part.take_result().ok());
        return merge.merge(replies).ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                Outcome::MaybeExecuted,
                "the replies of its parts have different forms and cannot be put together",
            )
            .with_command(command.shared_name())
        });
    }
    let keys = key_outcomes(command, parts);
    let results: Vec<Result<Value>> = parts.iter_mut().map(Job::take_result).collect();
    let only_reads = command.spec().is_some_and(|spec| spec.access == Access::Read);
    let any_effect = results
        .iter()
        .any(|part| part.as_ref().map_or_else(|error| error.outcome() == Outcome::MaybeExecuted, |_| true));
    let mut errors = results.into_iter().filter_map(Result::err);
    let first = errors.next().unwrap_or_else(Error::closed);
    let others = errors.filter_map(|error| error.node().cloned()).collect();
    let outcome = if any_effect && !only_reads { Outcome::MaybeExecuted } else { first.outcome() };
    let error = first.of_parts(failed, count, others).with_outcome(outcome);
    Err(match keys {
        Some(keys) => error.with_keys(keys),
        None => error,
    })
}

/// What became of the keys of a command that went by slot.
fn key_outcomes(command: &Command, parts: &[Job<'_>]) -> Option<KeyOutcomes> {
    let args: Vec<&[u8]> = command.body().iter().collect();
    let mut outcomes = KeyOutcomes::default();
    for job in parts {
        let keys =
            job.part()?.keys().filter_map(|place| args.get(place)).map(|key| Bytes::copy_from_slice(key));
        match job.result().map(|result| result.as_ref().map_err(Error::outcome)) {
            Some(Ok(_)) => outcomes.done.extend(keys),
            Some(Err(Outcome::NotSent | Outcome::Rejected)) | None => outcomes.not_done.extend(keys),
            Some(Err(Outcome::MaybeExecuted)) => outcomes.unknown.extend(keys),
        }
    }
    Some(outcomes)
}
