//! Who serves which slots: drawn in the terminal and as SVG, and followed while it changes.
//!
//! ```text
//! cargo run --example topology
//! cargo run --example topology -- --url redis://127.0.0.1:7000 --svg slots.svg
//! ```
//!
//! Without `--url` (or `REDIS_URL`) it starts a cluster of its own and kills one of its primaries, so that there is something
//! to follow, and ends when the replica has taken over. A cluster of yours is followed until you stop it, and nothing is written to it.

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use keyslot::{Commands, Health, Slot, SlotMap, TopologyEvent};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use slot_svg::{Shard, svg};
use tokio::time::{Instant, sleep, timeout};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/slot_svg.rs"]
#[allow(dead_code, reason = "heat is for the example that counts keys")]
mod slot_svg;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Draws who serves which slots, and follows the changes.

  --svg FILE   the picture as SVG too, written anew with each change
  --once       draws and ends
  --url URL    the cluster, as redis://[user:password@]host[:port][,host[:port]...];
               REDIS_URL in the environment says the same; without either, a cluster
               of 3 primaries and 3 replicas is started, loses a primary, and is removed
  -h, --help   this text
";

/// Slots of one cell, and cells of one row.
const SLOTS: usize = 16;
const CELLS: usize = 64;

/// Colours of the terminal's palette that differ on dark and on light ground; letters where there are no colours.
const COLOURS: [u8; 8] = [33, 208, 35, 170, 99, 142, 37, 160];
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Events that come together are drawn together.
const TOGETHER: Duration = Duration::from_millis(100);

/// How long the example's own cluster is looked at before a primary dies, and has time to recover then.
const BEFORE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Options {
    url: Option<String>,
    svg: Option<PathBuf>,
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, parse, run).await
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { url: url_option::from_environment(), ..Options::default() };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("svg") => options.svg = Some(parser.value()?.into()),
            Long("once") => options.once = true,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(options.url).await?;
    let client = cluster.connect().await?;
    let svg = options.svg.as_deref();
    let mut events = client.topology_events();
    // With a connection to each primary the client notices at once when one of them dies.
    println!("Keys: {}.", client.dbsize().await?);
    show(&client.slot_map(), svg)?;
    if options.once {
        return Ok(());
    }
    let begin = Instant::now();
    let victim = client.slot_map().shards().map(|shard| shard.primary().addr.clone()).next();
    let is_own = async {
        sleep(BEFORE).await;
        victim.map_or(Ok(false), |victim| cluster.kill(&victim))
    };
    let is_own = is_own.await?;
    println!("{}\n", if is_own { "Killed the first primary." } else { "Following; Ctrl-C ends it." });
    loop {
        let next = events.next();
        let first = if is_own {
            timeout(PATIENCE, next).await.map_err(|_| "nobody has taken over; look at the nodes' logs")?
        } else {
            next.await
        };
        let Some(mut event) = first else { return Ok(()) };
        let mut is_promoted = false;
        loop {
            println!("{:>8.1} s  {event}", begin.elapsed().as_secs_f64());
            is_promoted |= matches!(event, TopologyEvent::PrimaryPromoted { .. });
            let Ok(Some(another)) = timeout(TOGETHER, events.next()).await else { break };
            event = another;
        }
        show(&client.slot_map(), svg)?;
        if is_own && is_promoted {
            return Ok(());
        }
    }
}

fn show(map: &SlotMap, file: Option<&Path>) -> io::Result<()> {
    draw(map);
    if let Some(file) = file {
        fs::write(file, svg("Who serves which slots", &shards(map), None))?;
        println!("The picture is in {}.", file.display());
    }
    Ok(())
}

fn shards(map: &SlotMap) -> Vec<Shard> {
    let shards = map.shards().map(|shard| Shard {
        name: shard.primary().addr.to_string(),
        slots: shard.ranges().iter().map(|range| range.first.get()..=range.last.get()).collect(),
        replicas: shard.replicas().map(|node| node.addr.to_string()).collect(),
    });
    shards.collect()
}

/// Each cell has the colour, or the letter, of whom most of its slots belong to.
fn draw(map: &SlotMap) {
    let has_colours = io::stdout().is_terminal();
    let cell = |owner: Option<usize>| match owner {
        None => "·".to_owned(),
        Some(place) if has_colours => {
            let colour = COLOURS.get(place % COLOURS.len()).copied().unwrap_or_default();
            format!("\x1b[38;5;{colour}m█\x1b[0m")
        }
        Some(place) => {
            LETTERS.get(place % LETTERS.len()).map_or('?', |letter| char::from(*letter)).to_string()
        }
    };
    let mut owners = vec![None; usize::from(Slot::COUNT)];
    for (place, shard) in map.shards().enumerate() {
        for slot in shard.slots() {
            if let Some(owner) = owners.get_mut(usize::from(slot.get())) {
                *owner = Some(place);
            }
        }
    }
    println!();
    for (row, of_row) in owners.chunks(SLOTS * CELLS).enumerate() {
        let cells = of_row.chunks(SLOTS).map(|of_cell| cell(most_frequent(of_cell)));
        println!("{:>6} {}", row * SLOTS * CELLS, cells.collect::<String>());
    }
    println!();
    for (place, shard) in map.shards().enumerate() {
        let count = shard.slots().count();
        let share = 100.0 * count as f64 / f64::from(Slot::COUNT);
        println!("     {} {}  {count} slots ({share:.1} %)", cell(Some(place)), described(shard.primary()));
        for replica in shard.replicas() {
            println!("          replica {}", described(replica));
        }
    }
    let without = usize::from(Slot::COUNT) - map.assigned_slots();
    if without > 0 {
        println!("     {} nobody  {without} slots", cell(None));
    }
    println!();
}

fn described(node: &keyslot::Node) -> String {
    match node.health {
        Health::Online => node.addr.to_string(),
        other => format!("{} ({other:?})", node.addr),
    }
}

fn most_frequent(owners: &[Option<usize>]) -> Option<usize> {
    let count = |owner: &Option<usize>| owners.iter().filter(|other| *other == owner).count();
    owners.iter().max_by_key(|owner| count(owner)).copied().flatten()
}
