//! A node is restarted by a command of the operator's.

use std::process::Stdio;

use keyslot::admin::Member;
use tokio::process::Command;

/// Runs the command for this node. Dropped, it lets the command go on: half a restart helps nobody.
///
/// # Errors
///
/// That it could not be started, or ended with another status than 0, with the last line that it wrote to standard error.
pub(crate) async fn restart(command: Vec<String>, node: Member) -> Result<(), String> {
    let (host, port) = (node.addr.host(), node.addr.port().to_string());
    let words: Vec<String> = command
        .iter()
        .map(|word| word.replace("{host}", host).replace("{port}", &port).replace("{id}", &node.id))
        .collect();
    let line = words.join(" ");
    let (program, arguments) = words.split_first().ok_or("there is no command to restart it by")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("`{line}` could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said =
        said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it wrote nothing to standard error");
    Err(format!("`{line}` ended with {}: {said}", output.status))
}
