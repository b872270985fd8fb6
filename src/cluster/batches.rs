//! [`execute_in_batches`]: any number of commands, and what is held for those under way is bounded.

use crate::cluster::core::Core;
use crate::cluster::executor::execute_all;
use crate::cluster::job::Deadline;
use crate::command::Command;
use crate::error::Result;
use crate::protocol::value::Value;

/// Of so many commands each node has thousands, so that the moment in which the last of a batch are answered and the next
/// are not sent yet does not count.
const MOST_COMMANDS: usize = 16 << 10;

/// A batch with large arguments ends earlier.
const MOST_BYTES: usize = 4 << 20;

/// Lists up to this go whole, whatever their size: only those who send thousands pay for a look at the lengths.
const ALWAYS_WHOLE: usize = 1 << 10;

/// Executes commands side by side, at most a batch of them at a time; each gets its own result, in order.
pub(crate) async fn execute_in_batches(
    core: &Core,
    commands: &[Command],
    deadline: Deadline,
) -> Vec<Result<Value>> {
    let (first, mut rest) = split(commands);
    let mut results = execute_all(core, first, deadline).await;
    results.reserve_exact(rest.len());
    while !rest.is_empty() {
        let (batch, later) = split(rest);
        results.extend(execute_all(core, batch, deadline).await);
        rest = later;
    }
    results
}

/// The next batch and what comes after it.
fn split(commands: &[Command]) -> (&[Command], &[Command]) {
    if commands.len() <= ALWAYS_WHOLE {
        return (commands, &[]);
    }
    let mut bytes = 0;
    let fits = |command: &&Command| {
        bytes += command.body().wire_length();
        bytes <= MOST_BYTES
    };
    let count = commands.iter().take(MOST_COMMANDS).take_while(fits).count();
    commands.split_at(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::{ALWAYS_WHOLE, MOST_BYTES, MOST_COMMANDS, split};
    use crate::command::Command;

    fn lengths(mut commands: &[Command]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !commands.is_empty() {
            let (batch, rest) = split(commands);
            lengths.push(batch.len());
            commands = rest;
        }
        lengths
    }

    #[test]
    fn a_batch_ends_by_its_number_of_commands_or_by_their_bytes() {
        let small = vec![Command::new("GET").key("k"); 2 * MOST_COMMANDS + 5000];
        assert_eq!(lengths(&small), [MOST_COMMANDS, MOST_COMMANDS, 5000]);
        assert_eq!(lengths(&small[..ALWAYS_WHOLE]), [ALWAYS_WHOLE]);
        let large = vec![Command::new("SET").key("k").arg(vec![0; MOST_BYTES / 4]); ALWAYS_WHOLE + 7];
        assert_eq!(lengths(&large)[..3], [3, 3, 3], "its name and key count too");
        let huge = vec![Command::new("SET").key("k").arg(vec![0; MOST_BYTES]); ALWAYS_WHOLE + 2];
        assert_eq!(lengths(&huge), [1, 1, ALWAYS_WHOLE], "alone, until few are left");
        assert!(lengths(&[]).is_empty());
    }
}
