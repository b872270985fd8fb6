//! How fast slots with their keys go to another primary, beside `redis-cli --cluster reshard`: `scripts/bench-admin`.
//!
//! On a cluster that it starts by itself, a thousand slots with 100,000 small keys go from the first primary to the second,
//! by each way in turn, in interleaved rounds; between two they are taken back, which is not timed. Around each move the
//! number of keys and a checksum of all names and values must be the same, and all keys of the slots must be at their new
//! owner; if not, it fails. The time of `redis-cli` is that of its process, the time of keyslot is from before it connects.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use keyslot::admin::{Admin, AdminOptions, Slots};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Bytes, Client, Commands, NodeAddr, Slot};
use lexopt::prelude::{Long, ValueExt};

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const HELP: &str = "\
reshard: which servers? scripts/bench-admin, or with what it gives:
  --server NAME          may be said several times
  --rounds N             default 5
  --slots N              slots that move; default 1000
  --keys N               default 100000
  --spread               the keys lie in all slots, not only in those that move
  --replicas N           of each primary; default 0
  --slots-at-a-time N    of keyslot; default its own";

/// Bytes of each value.
const VALUE: usize = 32;

#[derive(Clone)]
struct Options {
    servers: Vec<String>,
    rounds: usize,
    slots: u16,
    keys: usize,
    is_spread: bool,
    replicas: usize,
    slots_at_a_time: Option<usize>,
}

fn options() -> Done<Options> {
    let mut options = Options {
        servers: Vec::new(),
        rounds: 5,
        slots: 1000,
        keys: 100_000,
        is_spread: false,
        replicas: 0,
        slots_at_a_time: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("server") => options.servers.push(parser.value()?.string()?),
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("slots") => options.slots = parser.value()?.parse()?,
            Long("keys") => options.keys = parser.value()?.parse()?,
            Long("spread") => options.is_spread = true,
            Long("replicas") => options.replicas = parser.value()?.parse()?,
            Long("slots-at-a-time") => options.slots_at_a_time = Some(parser.value()?.parse()?),
            // `cargo bench` says so to every bench.
            Long("bench") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn main() -> Done {
    let options = options()?;
    if options.servers.is_empty() {
        println!("{HELP}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for name in &options.servers {
        runtime.block_on(compare(Server::named(name)?, &options))?;
    }
    Ok(())
}

/// By what the slots are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// `redis-cli` with this `--cluster-pipeline`: how many keys it sends in one `MIGRATE`.
    Tool(u32),
    /// As an `Admin` does by itself.
    Keyslot,
    /// Without `CLUSTER MIGRATESLOTS`, where the server has it.
    KeyByKey,
}

impl Way {
    fn name(self) -> String {
        match self {
            Self::Tool(10) => "redis-cli, pipeline 10 (its default)".to_owned(),
            Self::Tool(pipeline) => format!("redis-cli, pipeline {pipeline}"),
            Self::Keyslot => "keyslot".to_owned(),
            Self::KeyByKey => "keyslot, key by key".to_owned(),
        }
    }
}

/// What must not change: keys of all primaries, and a sum over their names and values.
#[derive(PartialEq, Eq, Debug)]
struct Contents {
    keys: i64,
    checksum: u64,
}

struct Stage<'a> {
    options: &'a Options,
    cluster: LocalCluster,
    client: Client,
    cli: PathBuf,
    slots: Slots,
    names: Vec<String>,
    /// How many of the keys lie in the slots that move.
    moving: u64,
}

async fn compare(server: Server, options: &Options) -> Done {
    let has_atomic = server.version().product() == "Valkey" && server.version().is_at_least(9, 0);
    let cli = cli_of(&server)?;
    let cluster = LocalCluster::builder().server(server).replicas(options.replicas).start().await?;
    let client = Client::connect(cluster.url()).await?;
    let slots: Slots = Slot::all().take(options.slots.into()).collect();
    let names = names(options);
    let moving = names.iter().filter(|name| slots.contains(Slot::of_key(name.as_bytes()))).count();
    let stage = Stage { options, cluster, client, cli, slots, names, moving: u64::try_from(moving)? };
    stage.fill().await?;
    let mut ways = vec![Way::Tool(10), Way::Tool(1000), Way::Keyslot];
    ways.extend(has_atomic.then_some(Way::KeyByKey));
    println!(
        "{}: {} slots with {} of {} keys of {VALUE} bytes, {} replicas",
        stage.cluster.server().version(),
        options.slots,
        stage.moving,
        options.keys,
        options.replicas,
    );
    let mut times: Vec<(Way, Vec<Duration>)> = ways.iter().map(|way| (*way, Vec::new())).collect();
    for round in 0..options.rounds {
        // Whoever comes first has it neither better nor worse.
        let count = times.len();
        for place in 0..count {
            if let Some((way, taken)) = times.get_mut((place + round) % count) {
                taken.push(stage.measure(*way).await?);
            }
        }
    }
    report(&times);
    Ok(())
}

fn report(times: &[(Way, Vec<Duration>)]) {
    let seconds = |taken: &[Duration]| taken.iter().map(Duration::as_secs_f64).collect::<Vec<f64>>();
    let first = times.first().map(|(_, taken)| seconds(taken)).unwrap_or_default();
    println!("{:<38} {:>8} {:>8} {:>8} {:>14}", "seconds", "least", "median", "most", "times as fast");
    for (way, taken) in times {
        let own = seconds(taken);
        let ratios = first.iter().zip(&own).map(|(first, own)| first / own).collect();
        let (least, middle, most) = spread_of(own);
        let (_, ratio, _) = spread_of(ratios);
        println!("{:<38} {least:>8.3} {middle:>8.3} {most:>8.3} {ratio:>14.2}", way.name());
    }
    println!("times as fast: the median over the rounds of what the first took in the same round");
}

/// The least, the median and the most.
fn spread_of(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}

/// Names that lie in the slots that move, the same number in each; or anywhere.
fn names(options: &Options) -> Vec<String> {
    if options.is_spread {
        return (0..options.keys).map(|number| format!("key:{number}")).collect();
    }
    let mut tags: Vec<Option<String>> = vec![None; options.slots.into()];
    let mut missing = tags.len();
    for number in 0_u64.. {
        if missing == 0 {
            break;
        }
        let tag = format!("t{number}");
        if let Some(place @ None) = tags.get_mut(usize::from(Slot::of_key(tag.as_bytes()).get())) {
            *place = Some(tag);
            missing -= 1;
        }
    }
    let tags: Vec<String> = tags.into_iter().flatten().collect();
    tags.iter().cycle().zip(0..options.keys).map(|(tag, number)| format!("{{{tag}}}:{number}")).collect()
}

impl Stage<'_> {
    async fn fill(&self) -> Done {
        for some in self.names.chunks(1000) {
            let mut pipe = self.client.pipeline();
            for name in some {
                pipe.set(name, format!("{name:VALUE$}"));
            }
            let _done: Vec<()> = pipe.run().await?;
        }
        Ok(())
    }

    async fn measure(&self, way: Way) -> Done<Duration> {
        let nodes = self.cluster.nodes();
        let [first, second, ..] = nodes.as_slice() else { return Err("there are not two primaries".into()) };
        let before = self.contents().await?;
        let begin = Instant::now();
        match way {
            Way::Tool(pipeline) => self.by_tool(first, second, pipeline).await?,
            Way::Keyslot => self.by_keyslot(second, true).await?,
            Way::KeyByKey => self.by_keyslot(second, false).await?,
        }
        let taken = begin.elapsed();
        self.cluster.wait_until_ok().await?;
        let after = self.contents().await?;
        if after != before {
            return Err(format!("{way:?} has changed what is there: {before:?} became {after:?}").into());
        }
        let counted: u64 = self.admin().await?.count_keys(&self.slots).await?.values().sum();
        let slot = self.slots.iter().next().ok_or("no slots")?;
        let owner = self.cluster.primary_of(slot).await?;
        if counted != self.moving || owner != *second {
            return Err(format!("{way:?}: {counted} of {} keys have arrived, at {owner}", self.moving).into());
        }
        self.by_keyslot(first, true).await?;
        self.cluster.wait_until_ok().await?;
        Ok(taken)
    }

    async fn admin(&self) -> Done<Admin> {
        Ok(Client::builder().url(&self.cluster.url()).admin().await?)
    }

    async fn by_keyslot(&self, to: &NodeAddr, atomic: bool) -> Done {
        let mut options = AdminOptions::new().atomic(atomic);
        if let Some(slots) = self.options.slots_at_a_time {
            options = options.slots_at_a_time(slots);
        }
        let admin = self.admin().await?.with(options);
        let end = admin.move_slots(&self.slots, to).await?.run(|_| {}).await?;
        if end.slots_done != self.slots.len() {
            return Err(format!("not all slots have arrived: {end:?}").into());
        }
        Ok(())
    }

    /// It takes the lowest slots.
    async fn by_tool(&self, from: &NodeAddr, to: &NodeAddr, pipeline: u32) -> Done {
        let mut program = Program::new(&self.cli);
        program.args(["--cluster", "reshard", &from.to_string(), "--cluster-yes"]);
        program.args(["--cluster-from", &self.cluster.node_id(from).await?]);
        program.args(["--cluster-to", &self.cluster.node_id(to).await?]);
        program.args(["--cluster-slots", &self.options.slots.to_string()]);
        program.args(["--cluster-pipeline", &pipeline.to_string()]);
        program.stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output()).await??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            return Err(format!("redis-cli: {}: {last:?}", output.status).into());
        }
        Ok(())
    }

    async fn contents(&self) -> Done<Contents> {
        let mut checksum = 0_u64;
        for some in self.names.chunks(2000) {
            let values: Vec<Option<Bytes>> = self.client.mget(some).await?;
            for pair in some.iter().zip(values) {
                let mut hasher = DefaultHasher::new();
                pair.hash(&mut hasher);
                checksum = checksum.wrapping_add(hasher.finish());
            }
        }
        Ok(Contents { keys: self.client.dbsize().await?, checksum })
    }
}

/// The tool beside the server, or that of an earlier version.
fn cli_of(server: &Server) -> Done<PathBuf> {
    let (name, other) = match server.version().product() {
        "Valkey" => ("valkey-cli", "valkey-8.1"),
        _ => ("redis-cli", "redis-7.0"),
    };
    let folder = server.path().parent().ok_or("the server has no folder")?;
    let beside = folder.join(name);
    let elsewhere = folder.with_file_name(other).join(name);
    [beside, elsewhere]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| format!("there is no {name} beside {}", server.path().display()).into())
}
