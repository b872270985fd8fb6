//! What each node of a cluster does for this client, as `top` shows processes.
//!
//! ```text
//! cargo run --release --example top
//! cargo run --release --example top -- --url redis://127.0.0.1:7000 --tasks 64
//! ```
//!
//! Without `--url` (or `REDIS_URL`) it starts a cluster of its own; there `k` kills a primary, to see what becomes of the
//! figures. `--tasks` says how many tasks read and write: 16 on its own cluster, none on yours unless you say so. It overwrites no
//! key of yours and leaves none behind, also when it is ended by `kill`; the terminal is given back then, and after a panic.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::iter;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyslot::{Client, Commands, NodeAddr, NodeStats, Role, RoundTrips, Stats};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Sparkline, Table};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Shows throughput, latency, redirects and what is in flight, for each node, every second.

  --tasks N    tasks that read and write keys of this example; default 16 on the
               example's own cluster, 0 on yours
  --url URL    the cluster, as redis://[user:password@]host[:port][,host[:port]...];
               REDIS_URL in the environment says the same; without either, a cluster
               of 3 primaries and 3 replicas is started and removed
  -h, --help   this text
";

/// Between two pictures.
const TICK: Duration = Duration::from_secs(1);

/// Heights in the picture: the sums, borders and header of the table of nodes, the throughput, the note.
const HEAD_LINES: u16 = 3;
const TABLE_LINES: u16 = 3;
const LINE_LINES: u16 = 6;
const FOOT_LINES: u16 = 1;

/// Keys of the load, with a common beginning.
const KEYS: usize = 500;
const PREFIX: &str = "keyslot:top:";

#[derive(Default)]
struct Options {
    url: Option<String>,
    tasks: Option<usize>,
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
            Long("tasks") => options.tasks = Some(parser.value()?.parse()?),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if !io::stdout().is_terminal() {
        return Err(
            "this is a view for a terminal; the example `observe` prints such figures as lines".into()
        );
    }
    let tasks = options.tasks.unwrap_or(if options.url.is_none() { 16 } else { 0 });
    let cluster = Cluster::at_url_or_new(options.url).await?;
    let client = cluster.connect().await?;
    // Makes a connection to each primary, so that there is something to see without a load.
    let _keys = client.dbsize().await?;
    if tasks > 0 && client.exists(keys()).await? > 0 {
        return Err(format!("there are keys {PREFIX}*, which this example would overwrite").into());
    }
    let mut load = JoinSet::new();
    (0..tasks).for_each(|task| drop(load.spawn(work(client.clone(), task))));
    let is_told_to_end = until_told_to_end()?;
    // Gives the terminal back when something panics, too.
    let mut terminal = ratatui::init();
    let has_panicked = until_panicked();
    let is_over = || is_told_to_end.load(Ordering::Relaxed) || has_panicked.load(Ordering::Relaxed);
    let mut watched = watch(&mut terminal, &cluster, &client, is_over).await;
    if has_panicked.load(Ordering::Relaxed) {
        // The terminal was given back by then; a second time would put this over the message.
        watched = Err("a task has panicked; its message is above".into());
    } else {
        // It fails if the terminal is gone; there are still keys to be removed.
        let _gone = ratatui::try_restore();
    }
    load.shutdown().await;
    if tasks > 0 {
        client.del(keys()).await?;
    }
    client.close().await;
    watched
}

/// Becomes true when the process is told to end (`kill`, or the terminal is closed), which would leave the terminal as the view
/// has it. Against `kill -9` only `reset` helps.
fn until_told_to_end() -> io::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let is_told = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_told);
    // Ends with the process.
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        told.store(true, Ordering::Relaxed);
    }));
    Ok(is_told)
}

/// Becomes true when a task panics. By then the terminal was given back, and the view would be drawn over what is told.
fn until_panicked() -> Arc<AtomicBool> {
    let has_panicked = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&has_panicked);
    let gives_back = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told.store(true, Ordering::Relaxed);
        gives_back(panic);
    }));
    has_panicked
}

fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("{PREFIX}{number}")).collect()
}

/// Three reads for a write. Errors are what the figures are for.
async fn work(client: Client, task: usize) {
    for (number, key) in keys().iter().cycle().enumerate().skip(task * 31) {
        let result = match number % 4 {
            0 => client.set(key, number).await,
            _ => client.get::<Option<u64>>(key).await.map(drop),
        };
        if result.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The figures of two moments, and what has been.
struct View {
    now: Stats,
    before: Stats,
    /// Between the two.
    time: Duration,
    begin: Instant,
    /// Requests of each second, the newest at the end.
    requests: Vec<u64>,
    /// What was done by a key.
    note: String,
}

async fn watch(
    terminal: &mut DefaultTerminal,
    cluster: &Cluster,
    client: &Client,
    is_over: impl Fn() -> bool,
) -> Result<(), Box<dyn Error>> {
    let stats = client.stats();
    let mut view = View {
        now: stats.clone(),
        before: stats,
        time: TICK,
        begin: Instant::now(),
        requests: Vec::new(),
        note: "q ends, k kills a primary of the example's own cluster".to_owned(),
    };
    let mut events = terminal_events();
    let mut last = Instant::now();
    while !is_over() {
        terminal.draw(|frame| view.draw(frame, client))?;
        let left = TICK.saturating_sub(last.elapsed());
        // Some terminals tell of the release, too.
        if let Ok(Some(event)) = timeout(left, events.recv()).await
            && let Event::Key(key) = event?
            && key.kind == KeyEventKind::Press
        {
            let is_interrupt =
                key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            match key.code {
                _ if is_interrupt => return Ok(()),
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('k') => view.note = kill(cluster, client)?,
                _ => {}
            }
        }
        if last.elapsed() >= TICK {
            view.step(client.stats(), last.elapsed());
            last = Instant::now();
        }
    }
    Ok(())
}

/// What is typed, and that the window has another size.
///
/// Read in a thread of its own, which ends with the process: of a terminal that is gone the end is read again and again, and the
/// call never comes back.
fn terminal_events() -> UnboundedReceiver<io::Result<Event>> {
    let (sender, events) = unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let has_failed = event.is_err();
            if sender.send(event).is_err() || has_failed {
                return;
            }
        }
    });
    events
}

fn kill(cluster: &Cluster, client: &Client) -> Result<String, Box<dyn Error>> {
    let map = client.slot_map();
    // One without a replica would take its slots with it.
    let victim = map.shards().find(|shard| shard.replicas().next().is_some());
    let Some(victim) = victim.map(|shard| shard.primary().addr.clone()) else {
        return Ok("no primary has a replica left to take over".to_owned());
    };
    Ok(match cluster.kill(&victim) {
        Ok(true) => format!("killed {victim}; q ends, k kills another"),
        Ok(false) => "the cluster is not this example's own: nothing is killed; q ends".to_owned(),
        Err(error) => format!("{victim} was not killed: {error}"),
    })
}

impl View {
    fn step(&mut self, stats: Stats, time: Duration) {
        self.before = std::mem::replace(&mut self.now, stats);
        self.time = time;
        let sum = |stats: &Stats| stats.nodes.values().map(|node| node.requests).sum::<u64>();
        self.requests.push(self.rate(sum(&self.now), sum(&self.before)));
    }

    /// For each second.
    fn rate(&self, now: u64, before: u64) -> u64 {
        (now.saturating_sub(before) as f64 / self.time.as_secs_f64()).round() as u64
    }

    fn draw(&self, frame: &mut Frame<'_>, client: &Client) {
        // In a small window the nodes matter more than what has been.
        let others = HEAD_LINES + TABLE_LINES + LINE_LINES + FOOT_LINES;
        let has_room = usize::from(frame.area().height) >= self.shown().count() + usize::from(others);
        let [head, nodes, line, foot] = Layout::vertical([
            Constraint::Length(HEAD_LINES),
            Constraint::Min(TABLE_LINES),
            Constraint::Length(if has_room { LINE_LINES } else { 0 }),
            Constraint::Length(FOOT_LINES),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(client), head);
        frame.render_widget(self.nodes(client, nodes.width), nodes);
        let width = usize::from(line.width.saturating_sub(2));
        let newest = self.requests.get(self.requests.len().saturating_sub(width)..).unwrap_or_default();
        let requests = Sparkline::default().data(newest).style(Style::new().cyan());
        frame.render_widget(requests.block(Block::bordered().title(" requests a second ")), line);
        frame.render_widget(Line::from(self.note.as_str()).dim(), foot);
    }

    fn head(&self, client: &Client) -> ratatui::widgets::Paragraph<'_> {
        let (now, map) = (&self.now, client.slot_map());
        let minutes = self.begin.elapsed().as_secs();
        let slots = map.assigned_slots();
        ratatui::widgets::Paragraph::new(vec![
            Line::from(format!(
                "keyslot top  {:02}:{:02}   {slots} of 16384 slots served   {} requests/s",
                minutes / 60,
                minutes % 60,
                self.requests.last().unwrap_or(&0)
            ))
            .bold(),
            Line::from(format!(
                "retries {}   MOVED {}   ASK {}   reconnects {}   refreshes {}   maps {}",
                now.retries, now.moved, now.asked, now.reconnects, now.refreshes, now.map_changes
            )),
            Line::from(format!(
                "errors: {} not sent, {} perhaps executed, {} rejected",
                now.errors.not_sent, now.errors.maybe_executed, now.errors.rejected
            )),
        ])
    }

    /// Nodes that this client never talked to are of no interest.
    fn shown(&self) -> impl Iterator<Item = (&NodeAddr, &NodeStats)> {
        self.now.nodes.iter().filter(|(_, now)| now.requests > 0)
    }

    /// In a narrow window without the columns on the right.
    fn nodes(&self, client: &Client, width: u16) -> Table<'_> {
        const HEAD: [&str; 12] = [
            "node", "role", "slots", "req/s", "a write", "p50 µs", "p99 µs", "flight", "KiB", "moved",
            "reconn", "errors",
        ];
        /// Of all columns but the first.
        const WIDTHS: [u16; 11] = [8, 6, 9, 8, 8, 8, 7, 7, 6, 7, 7];
        let places = places(client);
        let none = NodeStats::default();
        let rows = self.shown().map(|(addr, now)| {
            let before = self.before.nodes.get(addr).unwrap_or(&none);
            let (requests, writes) =
                (self.rate(now.requests, before.requests), self.rate(now.writes, before.writes));
            let trips = now.round_trips.since(&before.round_trips);
            let (role, slots) = places.get(addr).copied().unwrap_or(("gone", 0));
            let errors = now.errors.not_sent + now.errors.maybe_executed + now.errors.rejected;
            let row = Row::new([
                addr.to_string(),
                role.to_owned(),
                slots.to_string(),
                requests.to_string(),
                if writes > 0 { format!("{:.1}", requests as f64 / writes as f64) } else { "-".to_owned() },
                micros(&trips, 50.0),
                micros(&trips, 99.0),
                now.in_flight.to_string(),
                (now.queued_bytes >> 10).to_string(),
                (now.moved + now.asked).to_string(),
                now.reconnects.to_string(),
                errors.to_string(),
            ]);
            if role == "gone" || now.connections == 0 { row.dim() } else { row }
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let longest = self.shown().map(|(addr, _)| addr.to_string().len()).max().unwrap_or_default();
        let first = u16::try_from(longest).unwrap_or(u16::MAX);
        let mut used = first.saturating_add(2);
        let others = WIDTHS.into_iter().take_while(|next| {
            used = used.saturating_add(next + 1);
            used <= width
        });
        let widths = iter::once(first).chain(others).map(Constraint::Length);
        Table::new(rows, widths).header(Row::new(HEAD).bold()).block(Block::bordered())
    }
}

/// What each node is now, and how many slots it serves.
fn places(client: &Client) -> BTreeMap<NodeAddr, (&'static str, usize)> {
    let map = client.slot_map();
    let primaries =
        map.shards().map(|shard| (shard.primary().addr.clone(), ("primary", shard.slots().count())));
    let others = map.nodes().iter().filter(|node| node.role == Role::Replica);
    others.map(|node| (node.addr.clone(), ("replica", 0))).chain(primaries).collect()
}

fn micros(trips: &RoundTrips, percent: f64) -> String {
    trips.percentile(percent).map_or_else(|| "-".to_owned(), |time| time.as_micros().to_string())
}
