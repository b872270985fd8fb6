//! Ten thousand sessions with peers that are broken or mean harm, at random from a number: bytes of no protocol, replies
//! that are cut, changed, doubled, of another type or to nobody's question, lengths without end, redirects to anywhere,
//! and, on the simulated cluster, the faults of the testkit. No call may panic, nor hang beyond its deadline, nor take more
//! memory than a client may.
//!
//! What is told about each kind of reply, `tests/hostile.rs` has. `KEYSLOT_HOSTILE=1234` runs that session alone, and
//! `KEYSLOT_HOSTILE_SESSIONS` says how many there are.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

#[allow(dead_code, reason = "these tests use a part of it")]
mod fake_node;

use std::env;
use std::pin::Pin;
use std::sync::{Mutex, Once};
use std::time::Duration;

use fake_node::{Answer, Call, FakeCluster};
use futures::future::join_all;
use keyslot::testkit::sim::{Fault, FaultKind, SimCluster};
use keyslot::{Client, Command, Commands, Error, Value};
use tokio::time::{Instant, timeout};

/// Sessions in all.
const SESSIONS: u64 = 10_000;

/// The tests among which they are shared, so that all cores have some.
const PARTS: u64 = 4;

/// One in so many is with a simulated cluster and its faults.
const SIMULATED: u64 = 10;

/// Of each call; the clock is paused, so it costs nothing.
const DEADLINE: Duration = Duration::from_secs(1);

/// What a timer's granularity adds, and what the greeting of another connection may.
const MARGIN: Duration = Duration::from_millis(100);

/// The time of a connect to a cluster that may lie about everything.
const CONNECT: Duration = Duration::from_secs(10);

/// The largest reply that a client takes here, and what a session may hold at its worst, the peers' own bytes included.
const MOST_REPLY: usize = 1 << 20;
const MOST_MEMORY: u64 = 16 << 20;

#[test]
fn no_peer_makes_a_client_panic_hang_or_grow_part_1() {
    run_part(0);
}

#[test]
fn no_peer_makes_a_client_panic_hang_or_grow_part_2() {
    run_part(1);
}

#[test]
fn no_peer_makes_a_client_panic_hang_or_grow_part_3() {
    run_part(2);
}

#[test]
fn no_peer_makes_a_client_panic_hang_or_grow_part_4() {
    run_part(3);
}

/// Panics of tasks, which nobody else would hear of.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LISTENING: Once = Once::new();

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn run_part(part: u64) {
    LISTENING.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.lock().unwrap().push(panic.to_string());
            usual(panic);
        }));
    });
    let only = number("KEYSLOT_HOSTILE");
    let count = number("KEYSLOT_HOSTILE_SESSIONS").unwrap_or(SESSIONS);
    let numbers = only.map_or(0..count, |only| only..only + 1);
    let (mut done, mut failed) = (0, 0);
    for number in numbers.filter(|number| number % PARTS == part) {
        let (calls, errors) = session(number);
        done += calls;
        failed += errors;
    }
    println!("{done} calls, of which {failed} ended with an error");
    // Otherwise the peers would be harmless, or nothing would ever come through.
    assert!(only.is_some() || count < 1000 || (failed > done / 10 && failed < done), "{failed} of {done}");
}

/// How many calls there were, and how many of them failed.
fn session(number: u64) -> (usize, usize) {
    let mut counts = (0, 0);
    let counted = allocation_counter::measure(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        counts = runtime.block_on(async {
            let session = async {
                if number.is_multiple_of(SIMULATED) { simulated(number).await } else { hostile(number).await }
            };
            timeout(Duration::from_secs(600), session)
                .await
                .unwrap_or_else(|_| panic!("session {number} hangs"))
        });
    });
    let panics = PANICS.lock().unwrap();
    assert!(panics.is_empty(), "session {number}: {panics:?}");
    assert!(counted.bytes_max < MOST_MEMORY, "session {number} held {} bytes at once", counted.bytes_max);
    counts
}

async fn hostile(number: u64) -> (usize, usize) {
    let mut random = fastrand::Rng::with_seed(number);
    let (cluster, a, b) = FakeCluster::of_two();
    for node in [&a, &b] {
        let (mut random, percent) = (random.fork(), *random.choice(&[0, 3, 20, 100]).unwrap());
        // Most are well at first: a peer that never says anything sensible is never connected to.
        let well = random.usize(0..12);
        if random.bool() {
            node.replies_in_chunks(random.usize(1..40));
        }
        let mut calls = 0;
        node.answers(move |call| {
            calls += 1;
            if calls <= well || random.u32(0..100) >= percent {
                Answer::Usual
            } else {
                evil(call, &mut random)
            }
        });
    }
    let builder = cluster.builder().seed(b.addr().clone()).max_reply(MOST_REPLY).command_timeout(DEADLINE);
    let builder = builder.connect_timeout(DEADLINE / 2).refresh_interval(DEADLINE);
    use_client(number, builder.connect(), &mut random).await
}

/// The testkit's faults, those included of which no client could know: a reply that is lost or doubled on a connection that
/// goes on.
async fn simulated(number: u64) -> (usize, usize) {
    let mut random = fastrand::Rng::with_seed(number);
    let cluster = SimCluster::builder().primaries(2).replicas(1).seed(number).start_in_memory().unwrap();
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector()).max_reply(MOST_REPLY);
    let builder = builder.command_timeout(DEADLINE).connect_timeout(DEADLINE / 2);
    for _ in 0..random.usize(1..8) {
        let kind = match random.u32(0..9) {
            0 => FaultKind::LoseReply,
            1 => FaultKind::DuplicateReply,
            2 => FaultKind::Truncate(random.usize(0..20)),
            3 => FaultKind::CloseAfter,
            4 => FaultKind::CloseBefore,
            5 => FaultKind::Silence,
            6 => FaultKind::DelayReply(Duration::from_millis(random.u64(1..1500))),
            7 => FaultKind::SlowReader(random.usize(1..50)),
            _ => FaultKind::Error((*random.choice(&ERRORS).unwrap()).to_owned()),
        };
        cluster.inject(Fault::new(kind).times(random.usize(1..20)).probability(random.f64()));
    }
    use_client(number, builder.connect(), &mut random).await
}

type Calls<'a> = Vec<Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>>;

async fn use_client(
    number: u64,
    connect: impl Future<Output = keyslot::Result<Client>>,
    random: &mut fastrand::Rng,
) -> (usize, usize) {
    let begin = Instant::now();
    let connected = connect.await;
    assert!(begin.elapsed() <= CONNECT, "session {number}: a connect took {:?}", begin.elapsed());
    let Ok(client) = connected else { return (1, 1) };
    let (mut done, mut failed) = (0, 0);
    for _ in 0..random.usize(1..4) {
        let calls: Calls<'_> = (0..random.usize(1..6)).map(|_| call(&client, random)).collect();
        for (kind, took, result) in join_all(calls.into_iter().enumerate().map(timed)).await {
            assert!(took <= DEADLINE + MARGIN, "session {number}: call {kind} took {took:?}: {result:?}");
            done += 1;
            failed += usize::from(result.is_err());
        }
    }
    // Nobody waits for it, and it may come from anybody.
    let _map = format!("{:?} {:?}", client.slot_map(), client.stats());
    let begin = Instant::now();
    client.close().await;
    assert!(begin.elapsed() <= DEADLINE + MARGIN, "session {number}: close() took {:?}", begin.elapsed());
    (done, failed)
}

async fn timed<T>((place, call): (usize, impl Future<Output = T>)) -> (usize, Duration, T) {
    let begin = Instant::now();
    let result = call.await;
    (place, begin.elapsed(), result)
}

fn call<'a>(
    client: &'a Client,
    random: &mut fastrand::Rng,
) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>> {
    let keys: Vec<String> = (0..random.usize(1..6)).map(|_| format!("key{}", random.u32(..))).collect();
    let key = keys[0].clone();
    match random.u32(0..11) {
        0 => Box::pin(async move { client.get::<Option<String>>(key).await.map(drop) }),
        1 => Box::pin(async move { client.incr(key).await.map(drop) }),
        2 => Box::pin(async move { client.mget::<Vec<Value>>(keys).await.map(drop) }),
        3 => Box::pin(async move { client.del(keys).await.map(drop) }),
        4 => Box::pin(async move {
            let mut pipe = client.pipeline();
            for key in &keys {
                pipe.set(key, "value").incr(key);
            }
            pipe.run_each().await.map(drop)
        }),
        5 => Box::pin(async move {
            let mut transaction = client.transaction();
            transaction.set(&key, "value").get(&key);
            transaction.run::<Vec<Value>>().await.map(drop)
        }),
        6 => Box::pin(async move {
            let mut pipe = client.pipeline();
            pipe.set(&key, "value").timeout(DEADLINE / 2);
            pipe.run_durable(1, DEADLINE / 2).await.map(drop)
        }),
        7 => Box::pin(async move {
            let pop = Command::new("BLPOP").key(key).arg(0.2).timeout(DEADLINE);
            client.execute::<Value>(pop).await.map(drop)
        }),
        8 => Box::pin(async move { client.dbsize().await.map(drop) }),
        9 => Box::pin(async move { client.session(key).await.map(drop) }),
        _ => Box::pin(async move { client.subscriber().subscribe("news").await }),
    }
}

const ERRORS: [&str; 10] = [
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down",
    "READONLY You can't write against a read only replica.",
    "NOAUTH Authentication required.",
    "EXECABORT Transaction discarded because of previous errors.",
    "UNBLOCKED force unblock from blocking operation",
    "BUSY Redis is busy running a script.",
    "NOSCRIPT No matching script.",
];

/// Whole replies of all types, most of them to another question.
const SAMPLES: [&str; 22] = [
    "+OK\r\n",
    ":1\r\n",
    "$3\r\nabc\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "_\r\n",
    "#t\r\n",
    ",1.5\r\n",
    ",inf\r\n",
    "(3492890328409238509324850943850943825024385\r\n",
    "=7\r\ntxt:abc\r\n",
    "!5\r\nERR x\r\n",
    "*2\r\n:1\r\n$1\r\na\r\n",
    "%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n",
    "~1\r\n+a\r\n",
    ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
    ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n",
    ">3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n",
    "|1\r\n+ttl\r\n:3600\r\n:1\r\n",
    "+QUEUED\r\n",
    "*0\r\n",
    "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\na\r\n:1\r\n$1\r\nx\r\n",
];

const ENDLESS: [&str; 8] = [
    "$4611686018427387904\r\n",
    "*2147483648\r\n",
    "%2147483647\r\n",
    "=9223372036854775807\r\n",
    ">1000000000\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n",
    "~-5\r\n",
    "*99999999999999999999\r\n",
];

/// What a node that means harm does about a command.
fn evil(call: &Call, random: &mut fastrand::Rng) -> Answer {
    match random.u32(0..16) {
        0 => Answer::Swallow,
        1 => Answer::Close(bytes(call, random)),
        2 => Answer::Late(Duration::from_millis(random.u64(1..3000)), bytes(call, random)),
        _ => Answer::Reply(bytes(call, random)),
    }
}

fn bytes(call: &Call, random: &mut fastrand::Rng) -> Vec<u8> {
    let sample = |random: &mut fastrand::Rng| random.choice(&SAMPLES).unwrap().as_bytes().to_vec();
    match random.u32(0..10) {
        0 => (0..random.usize(0..300)).map(|_| random.u8(..)).collect(),
        // Of the letters that RESP is made of.
        1 => (0..random.usize(0..100))
            .map(|_| *random.choice(b"+-:$*%~>|_#,(=!0123456789\r\n").unwrap())
            .collect(),
        2 => (0..random.usize(1..5)).flat_map(|_| sample(random)).collect(),
        3 | 4 => changed(sample(random), random),
        5 => random.choice(&ENDLESS).unwrap().repeat(random.usize(1..2000)).into_bytes(),
        6 => format!("-{}\r\n", random.choice(&ERRORS).unwrap()).into_bytes(),
        7 => redirect(random),
        8 => topology(random),
        // Its own words.
        _ => format!("+{}\r\n", call.line().replace(['\r', '\n'], " ")).into_bytes(),
    }
}

/// With some bytes changed, left out, put in or cut off.
fn changed(mut reply: Vec<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    for _ in 0..random.usize(1..4) {
        let place = random.usize(0..reply.len().max(1));
        match (random.u32(0..4), reply.get_mut(place)) {
            (0, Some(byte)) => *byte = random.u8(..),
            (1, Some(_)) => drop(reply.remove(place)),
            (2, Some(_)) => reply.truncate(place),
            _ => reply.insert(place.min(reply.len()), random.u8(..)),
        }
    }
    reply
}

fn redirect(random: &mut fastrand::Rng) -> Vec<u8> {
    let kind = *random.choice(&["MOVED", "ASK", "MOVED ", "ASK ASK"]).unwrap();
    let slot = *random.choice(&["0", "5000", "16383", "16384", "-1", "x", ""]).unwrap();
    let node =
        *random.choice(&["a:1", "b:2", "c:3", ":1", "?:2", "a:0", "a:99999", "a", "", "[::1]:1"]).unwrap();
    format!("-{kind} {slot} {node}\r\n").into_bytes()
}

/// A reply to `CLUSTER SLOTS` that is well formed and seldom true.
fn topology(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", 3);
    for _ in 0..3 {
        let first = random.i32(-2..17000);
        let last = first + random.i32(-3..9000);
        let host = *random.choice(&["a", "b", "c", "", "?", "a b"]).unwrap();
        let port = *random.choice(&[1, 2, 3, 0, 70000, -1]).unwrap();
        let id = random.u32(0..4);
        reply += &format!(
            "*3\r\n:{first}\r\n:{last}\r\n*3\r\n${}\r\n{host}\r\n:{port}\r\n$1\r\n{id}\r\n",
            host.len()
        );
    }
    reply.into_bytes()
}
