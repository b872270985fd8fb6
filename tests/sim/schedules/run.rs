//! Runs a schedule, and holds every outcome against the ledger.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, Ledger, Script, SimCluster, Step};
use keyslot::{Client, Command, Error, NodeAddr, Outcome, Slot, Value};
use tokio::time::timeout;

use super::plan::{Broken, Happening, Op, Schedule, TASKS, Work};

/// The deadline of each command; the clock is paused, so it costs nothing.
const DEADLINE: Duration = Duration::from_secs(4);

/// No call may take longer, whatever happens: its deadline, and what a timer's granularity adds.
const LIMIT: Duration = Duration::from_millis(4100);

/// How long a pop waits for its element; its deadline begins behind that.
const POP: Duration = Duration::from_millis(200);

/// What one write may look like in the ledger, by the token that it carries.
#[derive(Debug)]
struct Claim {
    token: String,
    least: usize,
    most: usize,
    why: String,
}

/// What came of the calls of one task.
#[derive(Default)]
struct Account {
    claims: Vec<Claim>,
    wrong: Vec<String>,
}

/// The ledger of the run, or what was not as it must be.
pub(super) fn run(schedule: &Schedule) -> Result<Ledger, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(play(schedule))
}

async fn play(schedule: &Schedule) -> Result<Ledger, String> {
    let cluster = SimCluster::builder()
        .primaries(schedule.primaries)
        .replicas(schedule.replicas)
        .profile(schedule.profile)
        .full_coverage(schedule.full_coverage)
        .gossip_delay(Duration::from_millis(schedule.gossip_ms))
        .node_timeout(Duration::from_millis(500))
        .seed(schedule.seed)
        .start_in_memory()
        .unwrap();
    let client = Client::builder()
        .url(&cluster.url())
        .connector(cluster.connector())
        .command_timeout(DEADLINE)
        .connect_timeout(Duration::from_millis(500))
        .links_per_node(schedule.links)
        .connect()
        .await
        .map_err(|error| format!("no connection to a healthy cluster: {error}"))?;
    cluster.play(script(schedule, &cluster.nodes()));

    let tasks = (0..TASKS).map(|task| {
        let client = client.clone();
        let work: Vec<(usize, Work)> =
            schedule.work.iter().cloned().enumerate().filter(|(_, work)| work.task == task).collect();
        async move {
            let mut account = Account::default();
            for (number, work) in work {
                tokio::time::sleep(Duration::from_millis(work.pause)).await;
                account.call(&client, number, &work).await;
            }
            account
        }
    });
    let accounts = join_all(tasks).await;
    if timeout(Duration::from_secs(60), client.close()).await.is_err() {
        return Err("the client did not close".to_owned());
    }
    let ledger = cluster.ledger();
    settle(&accounts, &ledger).map(|()| ledger)
}

/// The happenings as steps with their times.
fn script(schedule: &Schedule, nodes: &[NodeAddr]) -> Script {
    let node = |number: usize| nodes[number % nodes.len()].clone();
    let slot = |tag: &str| Slot::of_key(tag.as_bytes());
    schedule.happenings.iter().fold(Script::new(), |script, (at, happening)| {
        script.at(Duration::from_millis(*at)).step(match happening {
            Happening::OpenSlot(tag, to) => Step::OpenSlot(slot(tag), node(*to)),
            Happening::MigrateKeys(tag, most) => Step::MigrateKeys(slot(tag), *most),
            Happening::CloseSlot(tag) => Step::CloseSlot(slot(tag)),
            Happening::MoveSlot(tag, to) => Step::MoveSlot(slot(tag), node(*to)),
            Happening::Kill(number) => Step::Kill(node(*number)),
            Happening::Restart(number) => Step::Restart(node(*number)),
            Happening::Stop(number) => Step::Stop(node(*number)),
            Happening::Continue(number) => Step::Continue(node(*number)),
            Happening::Disconnect(number) => Step::Disconnect(node(*number)),
            Happening::Isolate(number) => Step::Isolate(node(*number)),
            Happening::Heal(number) => Step::Heal(node(*number)),
            Happening::Promote(number) => Step::Promote(node(*number)),
            Happening::LiftAll => Step::LiftAll,
            Happening::Fault { kind, node: at, command, times, percent } => {
                let mut fault = Fault::new(match kind {
                    Broken::Delay(ms) => FaultKind::Delay(Duration::from_millis(*ms)),
                    Broken::DelayReply(ms) => FaultKind::DelayReply(Duration::from_millis(*ms)),
                    Broken::CloseBefore => FaultKind::CloseBefore,
                    Broken::CloseAfter => FaultKind::CloseAfter,
                    Broken::Truncate(bytes) => FaultKind::Truncate(*bytes),
                    Broken::Error(text) => FaultKind::Error((*text).to_owned()),
                    Broken::Silence => FaultKind::Silence,
                    Broken::SlowReader(bytes) => FaultKind::SlowReader(*bytes),
                    Broken::Refuse => FaultKind::Refuse,
                    Broken::HangConnect => FaultKind::HangConnect,
                    Broken::StaleTopology => FaultKind::StaleTopology,
                    Broken::AnswerAs(other) => FaultKind::AnswerAs(node(*other)),
                })
                .times(*times)
                .probability(f64::from(*percent) / 100.0);
                if let Some(number) = at {
                    fault = fault.node(&node(*number));
                }
                if let Some(command) = command {
                    fault = fault.command(command);
                }
                Step::Inject(fault)
            }
        })
    })
}

impl Account {
    async fn call(&mut self, client: &Client, number: usize, work: &Work) {
        let longest = if matches!(work.op, Op::Pop(_)) { LIMIT + POP } else { LIMIT };
        let limit = work.gives_up.map_or(longest, Duration::from_millis);
        let before = self.claims.len();
        if timeout(limit, self.perform(client, number, &work.op)).await.is_ok() {
            return;
        }
        if work.gives_up.is_none() {
            self.wrong.push(format!("call {number} took longer than its deadline: {:?}", work.op));
        }
        // It was dropped: what it wrote may have happened, and not twice.
        self.claims.truncate(before);
        for token in tokens(number, &work.op) {
            let most = if is_repeatable(&work.op) { usize::MAX } else { 1 };
            self.claims.push(Claim { token, least: 0, most, why: format!("call {number} was given up") });
        }
    }

    async fn perform(&mut self, client: &Client, number: usize, op: &Op) {
        let token = |place: usize| token(number, op, place);
        match op {
            Op::Get(tag) => {
                let value = client.execute::<Option<String>>(Command::new("GET").key(text(tag))).await;
                self.read(number, tag, value);
            }
            Op::Mget(tags) => {
                let keys = tags.iter().map(|tag| text(tag));
                match client.execute::<Vec<Option<String>>>(Command::new("MGET").keys(keys)).await {
                    Ok(values) if values.len() != tags.len() => {
                        self.wrong
                            .push(format!("call {number}: MGET of {} keys gave {values:?}", tags.len()));
                    }
                    Ok(values) => {
                        for (tag, value) in tags.iter().zip(values) {
                            self.read(number, tag, Ok(value));
                        }
                    }
                    Err(error) => self.failed_read(number, &error),
                }
            }
            Op::Set(tag) => {
                let result = client.execute::<()>(Command::new("SET").key(text(tag)).arg(token(0))).await;
                self.wrote(number, token(0), true, &result);
            }
            Op::Mset(tags) => {
                let pairs = tags.iter().enumerate().map(|(place, tag)| (text(tag), token(place)));
                let result = client.execute::<()>(Command::new("MSET").key_values(pairs)).await;
                for place in 0..tags.len() {
                    // The parts have one outcome together, so a part that failed says nothing of the others.
                    if result.is_ok() {
                        self.wrote(number, token(place), true, &result);
                    }
                }
            }
            Op::Append(tag) => {
                let result = client.execute::<i64>(Command::new("APPEND").key(text(tag)).arg(token(0))).await;
                self.wrote(number, token(0), false, &result);
            }
            Op::Push(tag) => {
                let result = client.execute::<i64>(push(tag, token(0))).await;
                self.wrote(number, token(0), false, &result);
            }
            Op::Count(tag) => {
                let command = Command::new("INCRBY").key(format!("{tag}count")).arg(token(0));
                let result = client.execute::<i64>(command).await;
                self.wrote(number, token(0), false, &result);
            }
            Op::Pop(tag) => {
                let command = Command::new("BLPOP").key(format!("{tag}list")).arg(POP.as_secs_f64());
                match client.execute::<Option<(String, String)>>(command).await {
                    Ok(Some((key, element))) if key != format!("{tag}list") || !element.starts_with(tag) => {
                        self.wrong
                            .push(format!("call {number}: BLPOP {tag}list gave {element:?} of {key:?}"));
                    }
                    Ok(_) => {}
                    Err(error) => self.failed_read(number, &error),
                }
            }
            Op::Pipeline(parts) => {
                let mut pipe = client.pipeline();
                for (place, (tag, writes)) in parts.iter().enumerate() {
                    pipe.push(if *writes {
                        push(tag, token(place))
                    } else {
                        Command::new("GET").key(text(tag))
                    });
                }
                let results = match pipe.run_each().await {
                    Ok(results) => results,
                    Err(error) => parts.iter().map(|_| Err(error.clone())).collect(),
                };
                for (place, ((tag, writes), result)) in parts.iter().zip(results).enumerate() {
                    if *writes {
                        self.wrote(number, token(place), false, &result);
                    } else {
                        let value = result.map(|value| value.as_str().map(str::to_owned));
                        self.read(number, tag, value);
                    }
                }
            }
            Op::Transaction(tag, commands) => {
                let mut transaction = client.transaction();
                transaction.push(Command::new("GET").key(text(tag)));
                for place in 0..*commands {
                    transaction.push(push(tag, token(place)));
                }
                let result = transaction.run::<Vec<Value>>().await;
                if let Ok(values) = &result {
                    let value = values.first().and_then(Value::as_str).map(str::to_owned);
                    self.read(number, tag, Ok(value));
                }
                for place in 0..*commands {
                    self.wrote(number, token(place), false, &result);
                }
            }
        }
    }

    /// A value of another key is a swapped reply.
    fn read(&mut self, number: usize, tag: &str, value: Result<Option<String>, Error>) {
        match value {
            Ok(Some(value)) if !value.starts_with(tag) => {
                self.wrong.push(format!("call {number}: GET {tag}text gave {value:?}"));
            }
            Ok(_) => {}
            Err(error) => self.failed_read(number, &error),
        }
    }

    /// A failure of a read is fine if it says where it came from.
    fn failed_read(&mut self, number: usize, error: &Error) {
        if error.to_string().is_empty() || error.command().is_none() {
            self.wrong.push(format!("call {number} failed and does not say what: {error:?}"));
        }
    }

    fn wrote<T>(&mut self, number: usize, token: String, is_repeatable: bool, result: &Result<T, Error>) {
        let (least, most) = match result {
            Ok(_) if is_repeatable => (1, usize::MAX),
            Ok(_) => (1, 1),
            Err(error) => match error.outcome() {
                Outcome::NotSent | Outcome::Rejected => (0, 0),
                Outcome::MaybeExecuted if is_repeatable => (0, usize::MAX),
                Outcome::MaybeExecuted => (0, 1),
            },
        };
        let why = match result {
            Ok(_) => format!("call {number} was acknowledged"),
            Err(error) => format!("call {number} is {:?}: {error}", error.outcome()),
        };
        self.claims.push(Claim { token, least, most, why });
    }
}

fn text(tag: &str) -> String {
    format!("{tag}text")
}

fn push(tag: &str, token: String) -> Command {
    Command::new("RPUSH").key(format!("{tag}list")).arg(token)
}

/// What one write of one call carries, and nobody else's does. It begins with the tag of its key.
fn token(number: usize, op: &Op, place: usize) -> String {
    let tag = match op {
        // The amount itself tells the calls apart.
        Op::Count(_) => return (1_000_000 + number).to_string(),
        Op::Get(tag)
        | Op::Set(tag)
        | Op::Append(tag)
        | Op::Push(tag)
        | Op::Pop(tag)
        | Op::Transaction(tag, _) => tag,
        Op::Mget(tags) | Op::Mset(tags) => tags[place],
        Op::Pipeline(parts) => parts[place].0,
    };
    format!("{tag}#{number}.{place};")
}

fn tokens(number: usize, op: &Op) -> Vec<String> {
    let places = match op {
        Op::Get(_) | Op::Mget(_) | Op::Pop(_) => 0,
        Op::Set(_) | Op::Append(_) | Op::Push(_) | Op::Count(_) => 1,
        Op::Pipeline(parts) => parts.len(),
        Op::Transaction(_, commands) => *commands,
        Op::Mset(tags) => tags.len(),
    };
    (0..places).map(|place| token(number, op, place)).collect()
}

fn is_repeatable(op: &Op) -> bool {
    matches!(op, Op::Set(_) | Op::Mset(_))
}

/// Holds all claims against the ledger.
fn settle(accounts: &[Account], ledger: &Ledger) -> Result<(), String> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for effect in ledger.iter() {
        for arg in effect.command.iter().skip(1) {
            if let Ok(text) = std::str::from_utf8(arg) {
                *found.entry(text).or_default() += 1;
            }
        }
    }
    let mut problems = String::new();
    for account in accounts {
        for wrong in &account.wrong {
            writeln!(problems, "{wrong}").unwrap();
        }
        for claim in &account.claims {
            let count = found.get(claim.token.as_str()).copied().unwrap_or_default();
            if count < claim.least || count > claim.most {
                writeln!(problems, "{}, and took effect {count} times:", claim.why).unwrap();
                for effect in ledger.with_key(&claim.token) {
                    writeln!(problems, "  {effect:?}").unwrap();
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
