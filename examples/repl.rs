//! What `redis-cli -c` does: type commands, and see with each answer where it came from.
//!
//! ```text
//! cargo run --example repl
//! cargo run --example repl -- --url redis://127.0.0.1:7000
//! echo 'GET greeting' | cargo run --example repl -- --url redis://127.0.0.1:7000
//! ```
//!
//! Tab completes names of commands, arrows go through what was typed. `explain COMMAND` says where a command would go, and why,
//! and sends nothing. Without `--url` (or `REDIS_URL`) it starts a cluster of its own, whose keys go with it.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use keyslot::{Client, Command, Value};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/shown.rs"]
mod shown;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;
use shown::shown;

const HELP: &str = "\
Sends the commands that you type, and shows slot, node, redirects and time of each.
";

/// Completes the first word by the names that the servers know.
struct Names(Vec<String>);

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let client = cluster.connect().await?;
    let mut names = names(&client).await?;
    names.extend(["explain".to_owned(), "quit".to_owned()]);
    let mut editor: Editor<Names, MemHistory> =
        Editor::with_history(rustyline::Config::default(), MemHistory::new())?;
    editor.set_helper(Some(Names(names)));
    if io::stdin().is_terminal() {
        println!("Tab completes, `explain COMMAND` tells its way, `quit` or Ctrl-D ends.");
    }
    loop {
        // The client's tasks go on in other threads while this one waits for a line.
        let line = match tokio::task::block_in_place(|| editor.readline("keyslot> ")) {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
            Err(error) => return Err(error.into()),
        };
        let Some(words) = shlex::split(&line) else {
            println!("(error) a quote is open");
            continue;
        };
        match words.split_first() {
            None => continue,
            Some((word, _)) if ["quit", "exit"].contains(&word.as_str()) => break,
            Some((word, rest)) if word.eq_ignore_ascii_case("explain") => explain(&client, rest),
            Some(_) => send(&client, &words).await,
        }
        // Passwords are not kept.
        if !line.trim_start().to_ascii_uppercase().starts_with("AUTH") {
            editor.add_history_entry(&line)?;
        }
    }
    client.close().await;
    Ok(())
}

/// The first element of each entry of `COMMAND`.
async fn names(client: &Client) -> keyslot::Result<Vec<String>> {
    let entries: Vec<Value> = client.execute(Command::new("COMMAND")).await?;
    let name = |entry: &Value| match entry {
        Value::Array(facts) => facts.first().and_then(Value::as_str).map(str::to_ascii_uppercase),
        _ => None,
    };
    Ok(entries.iter().filter_map(name).collect())
}

/// The words as they are: what their keys are, the client finds out.
fn command(words: &[String]) -> Option<Command> {
    let (name, arguments) = words.split_first()?;
    Some(arguments.iter().fold(Command::new(name.clone()), |command, argument| command.arg(argument)))
}

fn explain(client: &Client, words: &[String]) {
    match command(words).map(|command| client.explain(&command)) {
        None => println!("explain what? A command with its arguments: explain MGET a b"),
        Some(Ok(way)) => println!("{way}"),
        Some(Err(error)) => println!("(error) {error}"),
    }
}

async fn send(client: &Client, words: &[String]) {
    let Some(command) = command(words) else { return };
    let (reply, way) = client.execute::<Value>(command).traced().await;
    match reply {
        Ok(value) => println!("{}", shown(&value)),
        // The error names the command, the node and the outcome.
        Err(error) => println!("(error) {error}"),
    }
    println!("  [{way}]");
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..at).unwrap_or_default();
        let (begin, word) =
            typed.strip_prefix("explain ").map_or((0, typed), |rest| ("explain ".len(), rest));
        let fits = |name: &&String| !word.is_empty() && name.to_lowercase().starts_with(&word.to_lowercase());
        Ok((begin, self.0.iter().filter(fits).map(|name| format!("{name} ")).collect()))
    }
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}

impl Validator for Names {}

impl Helper for Names {}
