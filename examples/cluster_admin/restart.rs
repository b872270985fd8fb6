//! A node is restarted by a command of the operator's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use keyslot::admin::Member;
use tokio::process::Command;
use tokio::time::timeout;

/// How much of the end of what the command wrote to standard error is read for its last line.
const TAIL: u64 = 4096;

/// Runs the command for this node, for `limit` at most: then it is killed, itself but not what it has started. Dropped, it lets
/// the command go on: half a restart helps nobody.
///
/// # Errors
///
/// That it could not be started, did not end in time, or ended with another status than 0, with the last line that it
/// wrote to standard error.
pub(crate) async fn restart(command: Vec<String>, node: Member, limit: Duration) -> Result<(), String> {
    let (host, port) = (node.addr.host(), node.addr.port().to_string());
    let words: Vec<String> = command
        .iter()
        .map(|word| word.replace("{host}", host).replace("{port}", &port).replace("{id}", &node.id))
        .collect();
    let line = words.join(" ");
    let (program, arguments) = words.split_first().ok_or("there is no command to restart it by")?;
    // A file and no pipe: a server that the command leaves behind keeps it open, and would be waited for.
    let mut said =
        tempfile::tempfile().map_err(|error| format!("no temporary file for its words: {error}"))?;
    let ended = run(program, arguments, &said, limit).await;
    let last = last_line(&mut said);
    let last = last.as_deref().unwrap_or("it wrote nothing to standard error");
    match ended.map_err(|error| format!("`{line}` could not be started: {error}"))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("`{line}` ended with {status}: {last}")),
        None => Err(format!(
            "`{line}` did not end within {limit:?} and was killed (--command-timeout gives it longer): {last}"
        )),
    }
}

/// How it ended; `None` if it was killed because it did not.
async fn run(
    program: &str,
    arguments: &[String],
    said: &File,
    limit: Duration,
) -> io::Result<Option<ExitStatus>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
    // Ctrl-C is for this program, which lets what is under way come to its end; the terminal sends it to the whole group.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    match timeout(limit, child.wait()).await {
        Ok(ended) => ended.map(Some),
        Err(_elapsed) => child.kill().await.map(|()| None),
    }
}

fn last_line(said: &mut File) -> Option<String> {
    let length = said.metadata().ok()?.len();
    said.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    said.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
}
