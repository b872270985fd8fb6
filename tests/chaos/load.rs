//! [`Load`]: tasks that use the client under test in all its ways, and write down what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyslot::{Client, ClientBuilder, Command, Commands, Error, Outcome, ReadFrom, Value};
use tokio::task::JoinSet;

use crate::history::{Action, Call, Fate, Group, Key, Kind, Reply};
use crate::stage::Done;

/// The tasks that write; each register belongs to one of them.
const WRITERS: u32 = 12;

/// The tasks that only read, where replicas are allowed.
const READERS: u32 = 4;

/// Some callers have little patience, others wait out a failover.
const SHORT: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(15);

/// How long a durable write waits for the replica.
const WAIT: Duration = Duration::from_millis(300);

/// For what must succeed: setting up, and everything once all is well again.
const SURELY: Duration = Duration::from_secs(30);

/// The clients of a run.
pub(crate) struct Clients {
    writers: Vec<(Client, Duration)>,
    readers: Vec<Client>,
}

impl Clients {
    /// `builder` makes one that finds the cluster.
    pub(crate) async fn connect(builder: impl Fn() -> ClientBuilder) -> Done<Self> {
        let patient = builder().command_timeout(LONG).links_per_node(2).connect().await?;
        let hasty = builder().command_timeout(SHORT).connect().await?;
        let mut readers = Vec::new();
        for from in [ReadFrom::PreferReplica, ReadFrom::Nearest] {
            readers.push(builder().command_timeout(SHORT).read_from(from).connect().await?);
        }
        Ok(Self { writers: vec![(patient, LONG), (hasty, SHORT)], readers })
    }

    /// What they saw off the usual path.
    pub(crate) fn tell(&self) -> String {
        let all = self.writers.iter().map(|(client, _)| client).chain(&self.readers);
        let (mut moved, mut asked, mut retries, mut disconnects, mut refreshes) = (0, 0, 0, 0, 0);
        for stats in all.map(Client::stats) {
            moved += stats.moved;
            asked += stats.asked;
            retries += stats.retries;
            disconnects += stats.disconnects;
            refreshes += stats.refreshes;
        }
        format!(
            "{moved} MOVED, {asked} ASK, {retries} retries, {disconnects} lost connections, {refreshes} refreshes"
        )
    }
}

/// What the tasks of a round have in common.
struct Shared {
    round: u32,
    cells: u32,
    is_durable: bool,
    begin: Instant,
    is_over: AtomicBool,
    tags: AtomicU64,
    groups: AtomicU64,
}

impl Shared {
    fn key(&self, cell: u32, kind: Kind) -> Key {
        Key { round: self.round, cell, kind }
    }

    fn tag(&self) -> u64 {
        self.tags.fetch_add(1, Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap()
    }
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<Vec<Call>>,
}

impl Load {
    /// Writes what the keys begin with, and starts the tasks.
    pub(crate) async fn start(
        clients: &Clients,
        (round, cells): (u32, u32),
        is_durable: bool,
        seed: u64,
        begin: Instant,
    ) -> Done<Self> {
        let shared = Arc::new(Shared {
            round,
            cells,
            is_durable,
            begin,
            is_over: AtomicBool::new(false),
            tags: AtomicU64::new(1),
            groups: AtomicU64::new(1),
        });
        let mut setup = clients.writers[0].0.pipeline();
        for cell in 0..cells {
            let (register, counter) = (shared.key(cell, Kind::Register), shared.key(cell, Kind::Counter));
            setup.set(register.to_string(), register.text(0));
            setup.set(counter.to_string(), counter.base());
        }
        let done = setup.timeout(SURELY).run_durable(1, SURELY).await?;
        done.read::<Vec<()>>()?;
        if done.replicas()? < Some(1) {
            return Err(format!("what keys begin with is on no replica: {done:?}").into());
        }
        let mut tasks = JoinSet::new();
        for task in 0..WRITERS {
            let (client, limit) = &clients.writers[task as usize % clients.writers.len()];
            tasks.spawn(Task::new(task, client, *limit, &shared, seed).write());
        }
        for task in WRITERS..WRITERS + READERS {
            let client = &clients.readers[task as usize % clients.readers.len()];
            tasks.spawn(Task::new(task, client, SHORT, &shared, seed).read());
        }
        Ok(Self { shared, tasks })
    }

    /// Ends the tasks; what they have written down.
    pub(crate) async fn end(mut self) -> Done<Vec<Call>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut calls = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            calls.extend(ended?);
        }
        Ok(calls)
    }

    /// The same where all is well again.
    pub(crate) async fn finish(self, clients: &Clients) -> Done<Vec<Call>> {
        let shared = Arc::clone(&self.shared);
        let mut calls = self.end().await?;
        // All is well again, so everything must succeed soon, by each client that there is. A connection that is still half
        // open fails first, and with it what was sent on it meanwhile.
        let deadline = Instant::now() + SURELY;
        for (place, (client, limit)) in clients.writers.iter().enumerate() {
            let mut task = Task::new(WRITERS + READERS + place as u32, client, *limit, &shared, 0);
            for cell in 0..shared.cells {
                task.until_done(cell, deadline).await?;
            }
            calls.extend(task.calls);
        }
        Ok(calls)
    }
}

type Step = (Key, Action);

/// One caller.
struct Task {
    number: u32,
    client: Client,
    limit: Duration,
    shared: Arc<Shared>,
    random: fastrand::Rng,
    calls: Vec<Call>,
}

/// A call that has begun.
struct Begun {
    at: u64,
    path: [u64; 4],
}

impl Task {
    fn new(number: u32, client: &Client, limit: Duration, shared: &Arc<Shared>, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ (u64::from(number) << 32));
        Self { number, client: client.clone(), limit, shared: Arc::clone(shared), random, calls: Vec::new() }
    }

    /// What the client has met with off the usual path.
    fn path(&self) -> [u64; 4] {
        let stats = self.client.stats();
        [stats.moved, stats.asked, stats.retries, stats.disconnects]
    }

    fn begin(&self) -> Begun {
        Begun { at: self.shared.now(), path: self.path() }
    }

    fn note(
        &mut self,
        begun: &Begun,
        extra: Duration,
        fates: impl IntoIterator<Item = (Step, Option<Group>, Fate)>,
    ) {
        let (end, undisturbed) = (self.shared.now(), begun.path == self.path());
        let limit = u64::try_from((self.limit + extra).as_micros()).unwrap();
        self.calls.extend(fates.into_iter().map(|((key, action), group, fate)| Call {
            task: self.number,
            begin: begun.at,
            end,
            limit,
            key,
            action,
            fate,
            group,
            undisturbed,
        }));
    }

    async fn write(mut self) -> Vec<Call> {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            match self.random.u32(0..20) {
                // Most is durable where that is what is proven.
                _ if self.shared.is_durable && self.random.u32(0..3) > 0 => self.durable().await,
                0..7 => {
                    let step = self.step();
                    self.one(step).await;
                }
                7..11 => self.pipeline().await,
                11..15 => self.transaction().await,
                15 => self.set_many().await,
                16..18 => self.get_many().await,
                _ => self.give_up().await,
            }
            self.rest().await;
        }
        self.calls
    }

    async fn read(mut self) -> Vec<Call> {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            match self.random.u32(0..3) {
                0 => {
                    let key = self.any(Kind::Register);
                    self.one((key, Action::GetAny)).await;
                }
                1 => self.get_many().await,
                _ => {
                    let steps: Vec<Step> =
                        (0..10).map(|_| (self.any(Kind::Register), Action::GetAny)).collect();
                    self.run(steps).await;
                }
            }
            self.rest().await;
        }
        self.calls
    }

    /// Two cores serve the callers, the proxies and six servers.
    async fn rest(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(1..8))).await;
    }

    fn any(&mut self, kind: Kind) -> Key {
        let cell = self.random.u32(0..self.shared.cells);
        self.shared.key(cell, kind)
    }

    /// A register that this task alone writes.
    fn own(&mut self) -> Key {
        let cell = self.random.u32(0..self.shared.cells / WRITERS) * WRITERS + self.number;
        self.shared.key(cell, Kind::Register)
    }

    fn step(&mut self) -> Step {
        match self.random.u32(0..8) {
            0..2 => (self.any(Kind::Counter), Action::Incr),
            2..4 => (self.any(Kind::List), Action::Push(self.shared.tag())),
            4 => (self.own(), Action::Set(self.shared.tag())),
            5..7 => (self.own(), Action::Get),
            _ => (self.any(Kind::Register), Action::GetAny),
        }
    }

    /// Steps with at most one write of each register, as a pipeline.
    fn steps(&mut self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..self.random.usize(2..12) {
            let step = self.step();
            let is_again = steps.iter().any(|(key, _)| *key == step.0 && key.kind == Kind::Register);
            if !is_again {
                steps.push(step);
                // The order of two on one key is what a pipeline promises.
                if let (_, Action::Push(_)) = step {
                    steps.push((step.0, Action::Push(self.shared.tag())));
                }
            }
        }
        steps
    }

    async fn one(&mut self, step: Step) {
        let begun = self.begin();
        let result = self.client.execute::<Value>(command(step)).timeout(self.limit).await;
        self.note(&begun, Duration::ZERO, [(step, None, fate(step.1, result, false))]);
    }

    /// Uses all of a cell until that succeeds.
    async fn until_done(&mut self, cell: u32, deadline: Instant) -> Done {
        for kind in [Kind::List, Kind::Counter, Kind::Register] {
            loop {
                let action = match kind {
                    Kind::List | Kind::Twin => Action::Push(self.shared.tag()),
                    Kind::Counter => Action::Incr,
                    Kind::Register => Action::GetAny,
                };
                self.one((self.shared.key(cell, kind), action)).await;
                match self.calls.last() {
                    Some(call) if !call.is_done() && Instant::now() > deadline => {
                        return Err(format!("the client has not recovered in {SURELY:?}: {call}").into());
                    }
                    Some(call) if !call.is_done() => {}
                    _ => break,
                }
            }
        }
        Ok(())
    }

    async fn pipeline(&mut self) {
        let steps = self.steps();
        self.run(steps).await;
    }

    async fn run(&mut self, steps: Vec<Step>) {
        let mut pipe = self.client.pipeline();
        pipe.extend(steps.iter().copied().map(command));
        let begun = self.begin();
        let results = pipe.run_each().await.unwrap();
        assert_eq!(results.len(), steps.len(), "a result for each command");
        let groups = self.grouped(&steps, false);
        let fates =
            groups.zip(results).map(|((step, group), result)| (step, group, fate(step.1, result, false)));
        let fates: Vec<_> = fates.collect();
        self.note(&begun, Duration::ZERO, fates);
    }

    fn grouped(
        &self,
        steps: &[Step],
        is_transaction: bool,
    ) -> impl Iterator<Item = (Step, Option<Group>)> + use<> {
        let number = self.shared.groups.fetch_add(1, Ordering::Relaxed);
        let steps = steps.to_vec();
        steps
            .into_iter()
            .enumerate()
            .map(move |(place, step)| (step, Some(Group { number, place, is_transaction })))
    }

    async fn durable(&mut self) {
        let steps = self.steps();
        let mut pipe = self.client.pipeline();
        pipe.extend(steps.iter().copied().map(command));
        let begun = self.begin();
        let done = pipe.run_durable(1, WAIT).await.unwrap();
        assert_eq!(done.replies.len(), steps.len(), "a result for each command");
        let is_durable = matches!(done.replicas(), Ok(Some(1..)));
        let groups = self.grouped(&steps, false);
        let fates = groups.zip(done.replies);
        let fates: Vec<_> =
            fates.map(|((step, group), result)| (step, group, fate(step.1, result, is_durable))).collect();
        self.note(&begun, WAIT, fates);
    }

    /// All keys of a cell at once.
    async fn transaction(&mut self) {
        let own = self.own();
        let cell = if self.random.bool() { own.cell } else { self.random.u32(0..self.shared.cells) };
        let key = |kind| self.shared.key(cell, kind);
        let tag = self.shared.tag();
        let mut steps = vec![
            (key(Kind::List), Action::Push(tag)),
            (key(Kind::Counter), Action::Incr),
            (key(Kind::Twin), Action::Push(tag)),
        ];
        if cell == own.cell {
            steps.push((own, Action::Set(self.shared.tag())));
        }
        steps.push((key(Kind::Register), Action::GetAny));
        let mut transaction = self.client.transaction();
        for step in &steps {
            transaction.push(command(*step));
        }
        let begun = self.begin();
        let result: Result<Vec<Value>, Error> = transaction.run().await;
        let groups = self.grouped(&steps, true);
        let fates: Vec<_> = match result {
            Ok(values) => {
                assert_eq!(values.len(), steps.len(), "a reply for each command");
                groups
                    .zip(values)
                    .map(|((step, group), value)| (step, group, fate(step.1, Ok(value), false)))
                    .collect()
            }
            Err(error) => groups.map(|(step, group)| (step, group, failed(&error))).collect(),
        };
        self.note(&begun, Duration::ZERO, fates);
    }

    /// A split over several slots, which may fail in part.
    async fn set_many(&mut self) {
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..4 {
            let key = self.own();
            if steps.iter().all(|(other, _)| *other != key) {
                steps.push((key, Action::Set(self.shared.tag())));
            }
        }
        let pairs = steps.iter().filter_map(|(key, action)| match action {
            Action::Set(tag) => Some((key.to_string(), key.text(*tag))),
            Action::Get | Action::GetAny | Action::Incr | Action::Push(_) => None,
        });
        let begun = self.begin();
        let result = self.client.mset(pairs).await;
        let fates: Vec<_> = steps
            .into_iter()
            .map(|step| {
                let fate = match &result {
                    Ok(()) => Fate::Done { reply: Reply::Ok, durable: false },
                    Err(error) => fate_of_key(&step.0.to_string(), error),
                };
                (step, None, fate)
            })
            .collect();
        self.note(&begun, Duration::ZERO, fates);
    }

    async fn get_many(&mut self) {
        let keys: Vec<Key> = (0..12).map(|_| self.any(Kind::Register)).collect();
        let begun = self.begin();
        let result: Result<Vec<Option<String>>, Error> =
            self.client.mget(keys.iter().map(Key::to_string)).await;
        let fates: Vec<_> = match result {
            Ok(values) => {
                assert_eq!(values.len(), keys.len(), "a value for each key");
                let done = |text| Fate::Done { reply: Reply::Text(text), durable: false };
                keys.iter()
                    .zip(values)
                    .map(|(key, text)| ((*key, Action::GetAny), None, done(text)))
                    .collect()
            }
            Err(error) => keys.iter().map(|key| ((*key, Action::GetAny), None, failed(&error))).collect(),
        };
        self.note(&begun, Duration::ZERO, fates);
    }

    /// Drops the future after a moment.
    async fn give_up(&mut self) {
        let step = self.step();
        let patience = Duration::from_micros(self.random.u64(0..3000));
        let begun = self.begin();
        let result = tokio::time::timeout(patience, self.client.execute::<Value>(command(step))).await;
        let fate = match result {
            Ok(result) => fate(step.1, result, false),
            Err(_elapsed) => Fate::Maybe("given up".to_owned()),
        };
        self.note(&begun, Duration::ZERO, [(step, None, fate)]);
    }
}

fn command((key, action): Step) -> Command {
    let new = |name: &'static str| Command::new(name).key(key.to_string());
    match action {
        Action::Set(tag) => new("SET").arg(key.text(tag)),
        Action::Get | Action::GetAny => new("GET"),
        Action::Incr => new("INCR"),
        Action::Push(tag) => new("RPUSH").arg(key.text(tag)),
    }
}

fn fate(action: Action, result: Result<Value, Error>, durable: bool) -> Fate {
    let value = match result {
        Ok(value) => value,
        Err(error) => return failed(&error),
    };
    let reply = match (action, &value) {
        (Action::Set(_), value) if value.as_str() == Some("OK") => Some(Reply::Ok),
        (Action::Get | Action::GetAny, Value::Nil) => Some(Reply::Text(None)),
        (Action::Get | Action::GetAny, Value::Bulk(_)) => {
            value.as_str().map(|text| Reply::Text(Some(text.to_owned())))
        }
        (Action::Incr | Action::Push(_), Value::Int(number)) => Some(Reply::Number(*number)),
        (Action::Set(_) | Action::Get | Action::GetAny | Action::Incr | Action::Push(_), _strange) => None,
    };
    Fate::Done { reply: reply.unwrap_or_else(|| Reply::Strange(format!("{value:?}"))), durable }
}

fn failed(error: &Error) -> Fate {
    let text = error.to_string();
    match error.outcome() {
        Outcome::MaybeExecuted => Fate::Maybe(text),
        Outcome::NotSent => Fate::NotSent(text),
        Outcome::Rejected => Fate::Rejected(text),
    }
}

/// What the error of a split says of one of its keys.
fn fate_of_key(key: &str, error: &Error) -> Fate {
    let Some(keys) = error.keys() else { return failed(error) };
    let has = |keys: &[keyslot::Bytes]| keys.iter().any(|other| other.as_ref() == key.as_bytes());
    let text = error.to_string();
    match (has(&keys.done), has(&keys.not_done), has(&keys.unknown)) {
        (true, false, false) => Fate::Done { reply: Reply::Ok, durable: false },
        (false, true, false) => Fate::NotSent(text),
        (false, false, true) => Fate::Maybe(text),
        strange => {
            let reply = Reply::Strange(format!("done, not done, unknown: {strange:?}; {text}"));
            Fate::Done { reply, durable: false }
        }
    }
}
