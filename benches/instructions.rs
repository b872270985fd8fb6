//! So many operations through the whole client, for counting instructions: `scripts/instructions` runs it twice under
//! callgrind and takes the difference, so that neither start nor end counts.
//!
//! The first argument is how many, the second what they are: `get-64` for single `GET`s of 64 tasks, which is the default,
//! `pipeline-8` for pipelines of 100 `GET`s of 8 tasks, `tag-1` for pipelines of 50 in one slot, `mget-8` for `MGET`s of 100
//! keys. An operation is a command of a pipeline, a key of an `MGET`.

mod fixed_peer;

use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use keyslot::{Client, Commands, Error};

use crate::fixed_peer::FixedPeer;

/// The bytes of a value.
const VALUE: usize = 64;

/// What one request of a task is.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Get,
    Pipeline(usize),
    Mget(usize),
}

impl Shape {
    /// Operations of one request.
    fn operations(self) -> usize {
        match self {
            Self::Get => 1,
            Self::Pipeline(many) | Self::Mget(many) => many,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Workload {
    shape: Shape,
    tasks: usize,
    /// All keys are in one slot.
    tagged: bool,
}

impl Workload {
    fn named(name: &str) -> Option<Self> {
        let (shape, tasks) = name.split_once('-')?;
        let (shape, tagged) = match shape {
            "get" => (Shape::Get, false),
            "pipeline" => (Shape::Pipeline(100), false),
            "tag" => (Shape::Pipeline(50), true),
            "mget" => (Shape::Mget(100), false),
            _unknown => return None,
        };
        Some(Self { shape, tasks: tasks.parse().ok().filter(|tasks| *tasks > 0)?, tagged })
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // `cargo bench` starts it with an option and without a number: a short run, to see that it works.
    let operations = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let Some(workload) = Workload::named(&arguments.next().unwrap_or_else(|| "get-64".to_owned())) else {
        eprintln!("instructions: the second argument is get-N, pipeline-N, tag-N or mget-N, for N tasks");
        return ExitCode::FAILURE;
    };
    fastrand::seed(1);
    // On the paused clock no timer rings by the speed of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let requests = operations / workload.shape.operations();
    match runtime.map(|runtime| runtime.block_on(run(workload, requests))) {
        Ok(Ok(bytes)) if bytes == requests * workload.shape.operations() * VALUE => ExitCode::SUCCESS,
        other => {
            eprintln!("instructions: {other:?}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many bytes came.
async fn run(workload: Workload, requests: usize) -> Result<usize, Error> {
    let client = FixedPeer::new(VALUE).client().await?;
    // As long as a uuid, over all nodes.
    let key = |number| if workload.tagged { format!("{{tag}}{number:031}") } else { format!("{number:036}") };
    let keys: Arc<[String]> = (0..1024).map(key).collect();
    let tasks: Vec<_> = (0..workload.tasks)
        .map(|task| {
            let share = requests / workload.tasks + usize::from(task < requests % workload.tasks);
            let (client, keys, from) = (client.clone(), Arc::clone(&keys), task * 16);
            match workload.shape {
                Shape::Get => tokio::spawn(get(client, keys, from, share)),
                Shape::Pipeline(many) => tokio::spawn(pipeline(client, keys, many, from, share)),
                Shape::Mget(many) => tokio::spawn(mget(client, keys, many, from, share)),
            }
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

async fn pipeline(
    client: Client,
    keys: Arc<[String]>,
    many: usize,
    from: usize,
    count: usize,
) -> Result<usize, Error> {
    let mut bytes = 0;
    let mut keys = keys.iter().cycle().skip(from);
    for _ in 0..count {
        let mut pipeline = client.pipeline();
        for key in keys.by_ref().take(many) {
            pipeline.get(key);
        }
        bytes += sum(pipeline.run().await?);
    }
    Ok(bytes)
}

async fn mget(
    client: Client,
    keys: Arc<[String]>,
    many: usize,
    from: usize,
    count: usize,
) -> Result<usize, Error> {
    let mut bytes = 0;
    let mut keys = keys.iter().cycle().skip(from);
    for _ in 0..count {
        bytes += sum(client.mget(keys.by_ref().take(many)).await?);
    }
    Ok(bytes)
}

fn sum(values: Vec<Option<Bytes>>) -> usize {
    values.iter().flatten().map(Bytes::len).sum()
}
