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

use keyslot::{Client, Command, Value, Way};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

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
        Ok(value) => println!("{}", shown(&value, 0)),
        // The error names the command, the node and the outcome.
        Err(error) => println!("(error) {error}"),
    }
    println!("  [{}]", taken(&way));
}

/// The way that a command has taken, in a line.
fn taken(way: &Way) -> String {
    const SHOWN: usize = 3;
    let mut told: Vec<String> = way
        .parts
        .iter()
        .take(SHOWN)
        .map(|part| {
            let node = part.node.as_ref().map_or_else(|| "no node".to_owned(), ToString::to_string);
            part.slot.map_or_else(|| node.clone(), |slot| format!("slot {slot} at {node}"))
        })
        .collect();
    if let Some(more) = way.parts.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        told.push(format!("and {more} more"));
    }
    if told.is_empty() {
        return "not sent".to_owned();
    }
    let redirects: Vec<String> = way.redirects().map(ToString::to_string).collect();
    let redirects = if redirects.is_empty() { "no redirect".to_owned() } else { redirects.join(", ") };
    // One for each part is no news.
    let attempts = match way.attempts() {
        attempts if usize::try_from(attempts) == Ok(way.parts.len()) => String::new(),
        attempts => format!("; {attempts} attempts"),
    };
    format!("{}; {redirects}{attempts}; {:.1?}", told.join(", "), way.elapsed)
}

/// As `redis-cli` does: numbered, and what is nested is set in by `margin`.
fn shown(value: &Value, margin: usize) -> String {
    match value {
        Value::Nil => "(nil)".to_owned(),
        Value::Int(number) => format!("(integer) {number}"),
        Value::Double(number) => format!("(double) {number}"),
        Value::Bool(is_true) => format!("({is_true})"),
        Value::Simple(text) | Value::BigNumber(text) | Value::Verbatim { text, .. } => {
            String::from_utf8_lossy(text).into_owned()
        }
        Value::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Value::Error(error) => format!("(error) {error}"),
        Value::Array(list) | Value::Push(list) => numbered("array", ')', list, margin, shown),
        Value::Set(list) => numbered("set", '~', list, margin, shown),
        Value::Map(pairs) => numbered("hash", '#', pairs, margin, |(key, value), at| {
            let below = match value {
                Value::Array(list) | Value::Set(list) if !list.is_empty() => format!("\n{:at$}", ""),
                Value::Map(pairs) if !pairs.is_empty() => format!("\n{:at$}", ""),
                _ => " ".to_owned(),
            };
            format!("{} =>{below}{}", shown(key, at), shown(value, at))
        }),
        other => format!("{other:?}"),
    }
}

/// An element a line, with its number and the mark of what it is in; `shown` is told where it begins.
fn numbered<T>(
    kind: &str,
    mark: char,
    list: &[T],
    margin: usize,
    shown: impl Fn(&T, usize) -> String,
) -> String {
    if list.is_empty() {
        return format!("(empty {kind})");
    }
    let width = list.len().to_string().len();
    let line = |(place, element)| format!("{place:>width$}{mark} {}", shown(element, margin + width + 2));
    (1..=list.len()).zip(list).map(line).collect::<Vec<String>>().join(&format!("\n{:margin$}", ""))
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
