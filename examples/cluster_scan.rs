//! All keys of a cluster, counted while they come; stopped and gone on with by a token.
//!
//! ```text
//! cargo run --release --example cluster_scan
//! cargo run --release --example cluster_scan -- --url redis://127.0.0.1:7000 --pattern 'user:*' --pages 100
//! cargo run --release --example cluster_scan -- --url redis://127.0.0.1:7000 --resume "$TOKEN"
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own (simulated in this process where no server is installed), writes 20,000
//! keys, stops half-way, goes on by the token with another client, and checks that every key was given.
//!
//! It exits with 0 if the scan came to its end or was stopped as asked, with 1 if not, with 2 if an option is wrong.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use keyslot::{Bytes, Client, Commands, Scan, Slot};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Scans all keys of a cluster and counts them by the part before the first colon.

  --url URL        the cluster, as redis://[user:password@]host[:port][,host[:port]...];
                   REDIS_URL in the environment says the same;
                   without either, one of 3 primaries and 3 replicas is started, filled and removed
                   (simulated in this process if no server is installed)
  --pattern GLOB   only keys like this
  --type NAME      only keys of this type
  --count N        keys that a node looks through for one page; default 250
  --parallel N     nodes side by side; default 4
  --pages N        stop after so many pages and print the token
  --resume TOKEN   go on where this token was printed
  -h, --help       this text
";

/// Keys of the example's own cluster.
const KEYS: usize = 20_000;

#[derive(Default)]
struct Options {
    url: Option<String>,
    pattern: Option<String>,
    of_type: Option<String>,
    count: Option<usize>,
    parallel: Option<usize>,
    pages: Option<usize>,
    resume: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, Options::parse, run).await
}

async fn run(mut options: Options) -> Result<(), Box<dyn Error>> {
    let is_own = options.url.is_none();
    let cluster = Cluster::at_url_or_new(options.url.take()).await?;
    let client = cluster.connect().await?;
    let mut tally = Tally::default();
    if !is_own {
        let token = scan(options.scan(&client)?, options.pages, &mut tally).await?;
        tally.report();
        if let Some(token) = token {
            println!("Stopped. To go on: --resume '{token}'");
        }
        return Ok(());
    }

    let keys: Vec<String> =
        KINDS.iter().cycle().zip(0..KEYS).map(|(kind, number)| format!("{kind}:{number}")).collect();
    for some in keys.chunks(1000) {
        client.mset(some.iter().map(|key| (key, "v"))).await?;
    }
    println!("Wrote {KEYS} keys. Scanning the first half ...");
    let pages = options.pages.unwrap_or(KEYS / 250 / 2);
    let token = scan(options.scan(&client)?, Some(pages), &mut tally).await?;
    client.close().await;
    if let Some(token) = token {
        println!("Stopped with a token of {} bytes. Going on by another client ...", token.len());
        let other = Client::connect(&cluster.url).await?;
        options.resume = Some(token);
        scan(options.scan(&other)?, None, &mut tally).await?;
        other.close().await;
    }
    tally.report();
    let is_wanted = options.pattern.is_none() && options.of_type.is_none();
    let missing = keys.iter().filter(|key| !tally.keys.contains(key.as_bytes())).count();
    match missing {
        _ if !is_wanted => Ok(()),
        0 => {
            println!("Every key was given.");
            Ok(())
        }
        _ => Err(format!("{missing} of {KEYS} keys were not given").into()),
    }
}

const KINDS: [&str; 3] = ["user", "session", "order"];

/// Scans to the end, or so many pages; then the token.
async fn scan(scan: Scan, most: Option<usize>, tally: &mut Tally) -> Result<Option<String>, Box<dyn Error>> {
    let mut pages = scan.pages();
    let mut count = 0;
    while most.is_none_or(|most| count < most) {
        let Some(page) = pages.next().await else { return Ok(None) };
        count += 1;
        tally.add(page?);
        if count % 20 == 0 {
            let done = pages.slots_done() * 100 / usize::from(Slot::COUNT);
            print!("\r{} keys in {count} pages, {done} % of the slots done ", tally.given);
            std::io::stdout().flush()?;
        }
    }
    println!();
    Ok(Some(pages.token()))
}

#[derive(Default)]
struct Tally {
    given: usize,
    /// To tell which came twice; a program for more keys than fit would do without.
    keys: HashSet<Bytes>,
    by_kind: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, page: Vec<Bytes>) {
        for key in page {
            self.given += 1;
            if self.keys.insert(key.clone()) {
                let kind = String::from_utf8_lossy(&key).split(':').next().unwrap_or_default().to_owned();
                *self.by_kind.entry(kind).or_default() += 1;
            }
        }
    }

    fn report(&self) {
        println!(
            "\r{} keys, {} of them given more than once.    ",
            self.keys.len(),
            self.given - self.keys.len()
        );
        for (kind, count) in self.by_kind.iter().take(20) {
            println!("  {kind:20} {count}");
        }
    }
}

impl Options {
    /// `None` if only help is wanted.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { url: url_option::from_environment(), ..Self::default() };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("url") => options.url = Some(parser.value()?.string()?),
                Long("pattern") => options.pattern = Some(parser.value()?.string()?),
                Long("type") => options.of_type = Some(parser.value()?.string()?),
                Long("count") => options.count = Some(parser.value()?.parse()?),
                Long("parallel") => options.parallel = Some(parser.value()?.parse()?),
                Long("pages") => options.pages = Some(parser.value()?.parse()?),
                Long("resume") => options.resume = Some(parser.value()?.string()?),
                Short('h') | Long("help") => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }

    fn scan(&self, client: &Client) -> keyslot::Result<Scan> {
        let mut scan = client.scan().count(self.count.unwrap_or(250)).parallel(self.parallel.unwrap_or(4));
        if let Some(pattern) = &self.pattern {
            scan = scan.pattern(pattern);
        }
        if let Some(of_type) = &self.of_type {
            scan = scan.of_type(of_type);
        }
        match &self.resume {
            Some(token) => scan.resume(token),
            None => Ok(scan),
        }
    }
}
