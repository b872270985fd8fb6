//! So many GETs of 64 tasks through the whole client, for counting instructions: `scripts/instructions` runs it twice
//! under callgrind and takes the difference, so that neither start nor end counts.

mod fixed_peer;

use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use keyslot::{Client, Commands, Error};

use crate::fixed_peer::FixedPeer;

const TASKS: usize = 64;

/// The bytes of a value.
const VALUE: usize = 64;

fn main() -> ExitCode {
    // `cargo bench` starts it with an option and without a number: a short run, to see that it works.
    let gets = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    fastrand::seed(1);
    // On the paused clock no timer rings by the speed of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    match runtime.map(|runtime| runtime.block_on(run(gets))) {
        Ok(Ok(bytes)) if bytes == gets * VALUE => ExitCode::SUCCESS,
        other => {
            eprintln!("instructions: {other:?}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many bytes came.
async fn run(gets: usize) -> Result<usize, Error> {
    let client = FixedPeer::new(VALUE).client().await?;
    // As long as a uuid, over all nodes.
    let keys: Arc<[String]> = (0..1024).map(|number| format!("{number:036}")).collect();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let share = gets / TASKS + usize::from(task < gets % TASKS);
            tokio::spawn(get(client.clone(), Arc::clone(&keys), task * 16, share))
        })
        .collect();
    let mut bytes = 0;
    for task in tasks {
        bytes += task.await.unwrap_or(Ok(0))?;
    }
    Ok(bytes)
}

async fn get(client: Client, keys: Arc<[String]>, from: usize, count: usize) -> Result<usize, Error> {
    let mut bytes = 0;
    for key in keys.iter().cycle().skip(from).take(count) {
        bytes += client.get::<Bytes>(key).await?.len();
    }
    Ok(bytes)
}
