//! A session that retries: tasks move money between accounts, each only if nobody else has changed the two meanwhile.
//!
//! ```text
//! cargo run --release --example watch_session
//! cargo run --release --example watch_session -- --url redis://127.0.0.1:7000 --tasks 32 --transfers 200
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own, as `bulk_load` does. Elsewhere it leaves no key behind and touches
//! none that exists.
//!
//! `WATCH` is optimistic: read, decide, and write by `EXEC`, which is refused if a watched key has changed since. Then
//! one reads again. The sum of all accounts is what it was before, however many tasks get in each other's way.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::try_join_all;
use keyslot::{Client, Commands, Outcome};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Moves money between accounts by WATCH, MULTI and EXEC with retries, on keys that it creates and deletes.

  --url URL      the cluster, as redis://[user:password@]host[:port][,host[:port]...];
                 REDIS_URL in the environment says the same;
                 without either, one of 3 primaries and 3 replicas is started and removed
  --tasks N      how many tasks transfer at a time (16)
  --transfers N  how many transfers each of them makes (100)
  -h, --help     this text
";

/// All in one slot by their tag: a transaction is possible.
const ACCOUNTS: usize = 8;
const DEPOSIT: i64 = 1000;

struct Options {
    url: Option<String>,
    tasks: usize,
    transfers: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, parse, run).await
}

async fn run(Options { url, tasks, transfers }: Options) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let client = cluster.connect().await?;
    let accounts: Vec<String> = (0..ACCOUNTS).map(account).collect();
    if client.exists(&accounts).await? > 0 {
        return Err(
            "keys of the name {keyslot:bank}:account:* exist already, and this would overwrite them".into()
        );
    }
    client.mset(accounts.iter().map(|account| (account, DEPOSIT))).await?;
    let shown = show(&client, &accounts, tasks, transfers).await;
    client.del(&accounts).await?;
    shown?;
    client.close().await;
    Ok(())
}

async fn show(
    client: &Client,
    accounts: &[String],
    tasks: usize,
    transfers: usize,
) -> Result<(), Box<dyn Error>> {
    println!("{ACCOUNTS} accounts with {DEPOSIT} each; {tasks} tasks make {transfers} transfers each ...");
    let begin = Instant::now();
    let tallies = try_join_all((0..tasks).map(|_| teller(client, transfers))).await?;
    let (retries, unknown) =
        tallies.iter().fold((0, 0), |(r, u), tally| (r + tally.retries, u + tally.unknown));
    println!(
        "Done in {:.1?}: {retries} times somebody else was faster, {unknown} unknown outcomes.",
        begin.elapsed()
    );

    let balances: Vec<i64> = client.mget(accounts).await?;
    let sum: i64 = balances.iter().sum();
    println!("Balances: {balances:?}, {sum} in all.");
    if sum == DEPOSIT * ACCOUNTS as i64 { Ok(()) } else { Err("the sum has changed".into()) }
}

#[derive(Default)]
struct Tally {
    retries: usize,
    unknown: usize,
}

async fn teller(client: &Client, transfers: usize) -> keyslot::Result<Tally> {
    let mut tally = Tally::default();
    for _ in 0..transfers {
        let from = fastrand::usize(..ACCOUNTS);
        let to = (from + fastrand::usize(1..ACCOUNTS)) % ACCOUNTS;
        loop {
            match transfer(client, &account(from), &account(to), fastrand::i64(1..100)).await {
                Ok(true) => break,
                Ok(false) => tally.retries += 1,
                // The transfer may have been made, as a whole: making it once more would be wrong, the sum is right.
                Err(error) if error.outcome() == Outcome::MaybeExecuted => {
                    tally.unknown += 1;
                    break;
                }
                // The slot has moved, or its node was failed over: nothing was executed, and a new session finds its way.
                Err(error) if error.kind() == keyslot::ErrorKind::SessionLost => tally.retries += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(tally)
}

/// False: a balance was changed by somebody else meanwhile, and nothing was done.
async fn transfer(client: &Client, from: &str, to: &str, most: i64) -> keyslot::Result<bool> {
    let mut session = client.session(from).await?;
    session.watch([from, to]).await?;
    let (has, has_other): (i64, i64) = session.mget([from, to]).await?;
    // Never below zero: this is why the balance is read first.
    let amount = most.min(has);
    let mut transaction = session.transaction();
    transaction.set(from, has - amount).set(to, has_other + amount);
    Ok(transaction.run::<((), ())>().await?.is_some())
}

fn account(number: usize) -> String {
    format!("{{keyslot:bank}}:account:{number}")
}

/// `None` if help is wanted.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { url: url_option::from_environment(), tasks: 16, transfers: 100 };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("tasks") => options.tasks = parser.value()?.parse()?,
            Long("transfers") => options.transfers = parser.value()?.parse()?,
            Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}
