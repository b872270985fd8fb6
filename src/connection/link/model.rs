//! A link under every order of its callers, its task and its peer that a scheduler can think of: the real queue, waiters,
//! conversation and budget, with `shuttle` in place of threads and a pipe in place of the socket.
//!
//! Whoever is never woken shows as a deadlock. Each command is the `ECHO` of a number of its own, so a reply that goes
//! to the wrong caller shows as well; and the peer writes down what it was asked, so a command that is said to be unsent
//! must not be among it.

use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use futures::channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::Link;
use crate::command::Command;
use crate::config::Config;
use crate::connection::budget::{Bound, Budget};
use crate::connection::clock::Clock;
use crate::connection::conversation::Conversation;
use crate::connection::dials::Dials;
use crate::connection::handshake::{Connection, Purpose};
use crate::connection::link_context::{LinkContext, LinkObserver};
use crate::connection::link_task::until_wanted;
use crate::connection::logins::Logins;
use crate::connection::loss::{Loss, LossCause};
use crate::connection::queue::LinkShared;
use crate::connection::unit::Piece;
use crate::connection::waiters::Waiters;
use crate::node::NodeAddr;
use crate::protocol::codec::Decoder;
use crate::protocol::value::Value;
use crate::stats::Counters;
use crate::stats::node_counters::OpenConnection;
use crate::transport::{Connector, Transport};

/// Schedules for each test: a second or so. `KEYSLOT_SCHEDULES` asks for more.
fn schedules() -> usize {
    std::env::var("KEYSLOT_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

/// Every command is as long as this.
const COMMAND: usize = "*2\r\n$4\r\nECHO\r\n$2\r\n10\r\n".len();

fn echo(number: i64) -> Command {
    Command::new("ECHO").arg(number)
}

#[derive(Debug)]
struct Nobody;

impl Connector for Nobody {
    fn connect<'a>(&'a self, _: &'a NodeAddr) -> BoxFuture<'a, std::io::Result<Box<dyn Transport>>> {
        async { Err(std::io::ErrorKind::ConnectionRefused.into()) }.boxed()
    }
}

impl LinkObserver for Nobody {
    fn troubled(&self, _: &NodeAddr) {}
}

/// What the peers were asked, in order.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<Mutex<Vec<i64>>>);

impl Asked {
    fn add(&self, number: i64) {
        self.0.lock().unwrap().push(number);
    }

    fn count(&self, number: i64) -> usize {
        self.0.lock().unwrap().iter().filter(|asked| **asked == number).count()
    }
}

/// When a peer begins to read: at once, or when it is told to.
type Gate = Option<oneshot::Receiver<()>>;

/// Answers each `ECHO`, and closes the connection when it has read `left` of them.
async fn peer(mut stream: DuplexStream, asked: Asked, mut left: Option<usize>, gate: Gate) {
    if let Some(gate) = gate {
        gate.await.unwrap();
    }
    let mut frame = [0; COMMAND];
    while left != Some(0) && stream.read_exact(&mut frame).await.is_ok() {
        let text = std::str::from_utf8(&frame).unwrap();
        let number = text.strip_prefix("*2\r\n$4\r\nECHO\r\n$2\r\n").unwrap().trim_end();
        asked.add(number.parse().unwrap());
        left = left.map(|left| left - 1);
        if stream.write_all(format!(":{number}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What ended a command.
#[derive(Debug)]
enum End {
    Answered,
    /// Surely not executed.
    Unsent,
    MaybeSent,
    /// Its caller went away.
    Dropped,
}

struct Model {
    link: Arc<Link>,
    budget: Budget,
    asked: Asked,
    task: shuttle::future::JoinHandle<()>,
}

impl Model {
    /// `cuts` is how many commands each connection but the last is good for. `room` is the budget in commands.
    fn new(runtime: &tokio::runtime::Runtime, cuts: Vec<usize>, room: usize) -> Self {
        Self::gated(runtime, cuts, room, None)
    }

    /// The same, whose first peer does not read before it is told to; before that, less than a command can be written.
    fn gated(runtime: &tokio::runtime::Runtime, cuts: Vec<usize>, room: usize, gate: Gate) -> Self {
        let node = NodeAddr::new("h", 1);
        // Requests without a bound of their own.
        let bound = || Bound::new(room * COMMAND, usize::MAX);
        let budget = Budget::new(bound(), bound());
        let counters = Arc::new(Counters::default());
        let context = Arc::new(LinkContext {
            config: Arc::new(Config::default()),
            connector: Arc::new(Nobody),
            observer: Arc::new(Nobody),
            counters: Arc::clone(&counters),
            dials: Dials::default(),
            logins: Arc::new(Logins::new(None, Arc::default())),
        });
        let shared = Arc::new(LinkShared::new(node.clone(), budget.clone(), counters.node(&node)));
        let asked = Asked::default();
        let task = spawn(serve(Arc::clone(&shared), context, asked.clone(), cuts, gate));
        // The link's own handle is of tokio, which does not run here; ended with it is what the scheduler runs.
        let link = Arc::new(Link { shared, task: runtime.spawn(std::future::pending()) });
        Self { link, budget, asked, task }
    }

    /// Sends one command as the client does. `patience` is how often its caller looks before it goes away.
    fn caller(&self, number: i64, patience: Option<usize>) -> shuttle::future::JoinHandle<(i64, End)> {
        let (link, budget) = (Arc::clone(&self.link), self.budget.clone());
        spawn(async move {
            let mut turn = None;
            let room = budget.room_for(COMMAND, 1);
            if !budget.try_take(room) {
                let mut place = budget.line_up();
                budget.take_in_turn(&mut place, room).await;
                turn = Some(place);
            }
            let command = echo(number);
            let limit = Duration::from_secs(3600);
            let sent = poll_fn(|cx| Poll::Ready(link.send(&command, room, limit, cx.waker()))).await;
            drop(turn);
            // A caller holds its pool, not the link.
            drop(link);
            let Ok((mut pending, _)) = sent else { return (number, End::Unsent) };
            let answer = match patience {
                None => pending.await,
                Some(looks) => {
                    let mut answer = None;
                    for _ in 0..looks {
                        answer = (&mut pending).now_or_never();
                        if answer.is_some() {
                            break;
                        }
                        yield_now().await;
                    }
                    let Some(answer) = answer else { return (number, End::Dropped) };
                    answer
                }
            };
            let end = match answer {
                Ok(value) => {
                    assert_eq!(value, Value::Int(number), "the reply is another caller's");
                    End::Answered
                }
                Err(loss) => lost(&loss),
            };
            (number, end)
        })
    }

    /// Two commands in one unit, whose caller gives up after some looks.
    fn unit(
        &self,
        numbers: [i64; 2],
        patience: Option<usize>,
    ) -> shuttle::future::JoinHandle<([i64; 2], End)> {
        let (link, budget) = (Arc::clone(&self.link), self.budget.clone());
        spawn(async move {
            let room = budget.room_for(2 * COMMAND, 2);
            budget.take(room).await;
            let commands = numbers.map(echo);
            let sent = link.send_unit(commands.iter().map(Piece::Command), 2 * COMMAND, room, None);
            drop(link);
            let Ok(mut pending) = sent else { return (numbers, End::Unsent) };
            let reply = match patience {
                None => pending.await,
                Some(looks) => {
                    let mut reply = None;
                    for _ in 0..looks {
                        reply = (&mut pending).now_or_never();
                        if reply.is_some() {
                            break;
                        }
                        yield_now().await;
                    }
                    reply.unwrap_or_else(|| pending.give_up(LossCause::Expired))
                }
            };
            let expected = numbers.map(Value::Int);
            let end = match reply.loss {
                None => {
                    assert_eq!(reply.values, expected, "the replies are another caller's");
                    End::Answered
                }
                Some(loss) => {
                    assert!(expected.starts_with(&reply.values), "{:?} for {numbers:?}", reply.values);
                    lost(&loss)
                }
            };
            (numbers, end)
        })
    }

    fn check(&self, number: i64, end: &End) {
        let asked = self.asked.count(number);
        match end {
            End::Answered => assert_eq!(asked, 1, "{number} was answered"),
            End::Unsent => assert_eq!(asked, 0, "{number} was said to be unsent"),
            End::MaybeSent | End::Dropped => assert!(asked <= 1, "{number} was sent {asked} times"),
        }
    }

    /// Nothing is left of what callers have sent or given up.
    async fn until_nothing_is_left(&self) {
        while self.budget.taken() > 0 || !self.link.is_idle() {
            yield_now().await;
        }
        let mut queue = self.link.shared.lock();
        queue.waiters.shrink();
        assert_eq!(format!("{:?}", queue.waiters), format!("{:?}", Waiters::default()));
    }
}

fn lost(loss: &Loss) -> End {
    if loss.written == 0 { End::Unsent } else { End::MaybeSent }
}

/// As the task of a link serves one connection after the other, without what dialling takes.
async fn serve(
    shared: Arc<LinkShared>,
    context: Arc<LinkContext>,
    asked: Asked,
    cuts: Vec<usize>,
    mut gate: Gate,
) {
    let last = std::iter::repeat(None);
    for left in cuts.into_iter().map(Some).chain(last) {
        until_wanted(&shared).await;
        // Room for less than a command up to several of them: the socket is full now and then.
        let most = if gate.is_some() { COMMAND } else { 60 };
        let (near, far) = duplex(thread_rng().gen_range(5..most));
        let connection = Connection {
            stream: Box::new(near),
            decoder: Decoder::new(1 << 20),
            incoming: BytesMut::new(),
            open: OpenConnection::default(),
            speaks_resp3: true,
            renewals: None,
        };
        let _peer = spawn(peer(far, asked.clone(), left, gate.take()));
        Conversation::new(&shared, &context, connection, Some(Clock::new(Purpose::Commands))).run().await;
    }
}

fn some_patience() -> Option<usize> {
    thread_rng().gen_bool(0.5).then(|| thread_rng().gen_range(0..6))
}

/// Runs `scenario` under many schedules: at random, and with few changes of the thread, which finds other mistakes.
fn check(scenario: impl Fn(&tokio::runtime::Runtime) -> BoxFuture<'static, ()> + Send + Sync + 'static) {
    // Its clock stands still: nobody drives it. It is there because timers ask for one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let _entered = handle.enter();
    let runtime = Arc::new(runtime);
    let run = move || block_on(scenario(&runtime));
    let run = Arc::new(run);
    let at_random = Arc::clone(&run);
    shuttle::check_random(move || at_random(), schedules());
    shuttle::check_pct(move || run(), schedules(), 3);
}

#[test]
fn every_caller_gets_its_own_reply_and_is_woken_for_it() {
    check(|runtime| {
        let model = Model::new(runtime, Vec::new(), 2);
        async move {
            let callers = [10, 11, 12, 13].map(|number| model.caller(number, None));
            let unit = model.unit([20, 21], None);
            for caller in callers {
                let (number, end) = caller.await.unwrap();
                assert!(matches!(end, End::Answered), "{number}: {end:?}");
                model.check(number, &end);
            }
            assert!(matches!(unit.await.unwrap().1, End::Answered));
            model.until_nothing_is_left().await;
            model.task.abort();
        }
        .boxed()
    });
}

/// The task that looked for work in vain, as its one command was given up, lies down while the next one comes. Nothing is under
/// way then that would wake it later.
#[test]
fn the_task_never_sleeps_beside_a_command_that_came_while_it_lay_down() {
    check(|runtime| {
        let model = Model::new(runtime, Vec::new(), 6);
        async move {
            for round in [10, 20, 30] {
                let quitter = model.caller(round, Some(thread_rng().gen_range(0..2)));
                let (number, end) = model.caller(round + 1, None).await.unwrap();
                assert!(matches!(end, End::Answered), "{number}: {end:?}");
                let (number, end) = quitter.await.unwrap();
                model.check(number, &end);
            }
            model.until_nothing_is_left().await;
            model.task.abort();
        }
        .boxed()
    });
}

#[test]
fn what_is_given_up_while_the_socket_is_full_is_taken_back_before_the_peer_reads_on() {
    check(|runtime| {
        let (open, gate) = oneshot::channel();
        let model = Model::gated(runtime, Vec::new(), 6, Some(gate));
        async move {
            let first = model.caller(10, None);
            while model.link.shared.lock().unanswered == 0 {
                yield_now().await;
            }
            // It is written in part, so what comes behind it is not written at all.
            for pair in [[11, 12], [13, 14], [15, 16], [17, 18], [19, 20]] {
                let quitters = pair.map(|number| model.caller(number, Some(thread_rng().gen_range(0..3))));
                for quitter in quitters {
                    let (number, end) = quitter.await.unwrap();
                    assert!(matches!(end, End::Dropped), "{number}: {end:?}");
                }
                for _look in 0..500 {
                    if model.budget.taken() <= COMMAND {
                        break;
                    }
                    yield_now().await;
                }
                assert_eq!(model.budget.taken(), COMMAND, "what was given up waits for the peer");
            }
            open.send(()).unwrap();
            assert!(matches!(first.await.unwrap().1, End::Answered));
            model.until_nothing_is_left().await;
            assert_eq!(*model.asked.0.lock().unwrap(), [10]);
            model.task.abort();
        }
        .boxed()
    });
}

#[test]
fn callers_that_go_away_leave_nothing_and_take_nothing_from_the_others() {
    check(|runtime| {
        let model = Model::new(runtime, Vec::new(), 3);
        async move {
            let callers = [10, 11, 12, 13].map(|number| model.caller(number, some_patience()));
            let unit = model.unit([20, 21], some_patience());
            for caller in callers {
                let (number, end) = caller.await.unwrap();
                assert!(matches!(end, End::Answered | End::Dropped), "{number}: {end:?}");
                model.check(number, &end);
            }
            let (numbers, end) = unit.await.unwrap();
            model.until_nothing_is_left().await;
            numbers.iter().for_each(|number| model.check(*number, &end));
            // Places that were left are used again.
            let (number, end) = model.caller(30, None).await.unwrap();
            model.check(number, &end);
            model.until_nothing_is_left().await;
            model.task.abort();
        }
        .boxed()
    });
}

#[test]
fn what_a_lost_connection_leaves_has_its_true_outcome() {
    check(|runtime| {
        let cuts = vec![thread_rng().gen_range(0..3), thread_rng().gen_range(0..3)];
        let model = Model::new(runtime, cuts, 3);
        async move {
            let callers = [10, 11, 12, 13].map(|number| model.caller(number, some_patience()));
            let unit = model.unit([20, 21], some_patience());
            let mut ends = Vec::new();
            for caller in callers {
                ends.push(caller.await.unwrap());
            }
            let (numbers, end) = unit.await.unwrap();
            model.until_nothing_is_left().await;
            // Told before, and true to the end: nothing is sent later.
            ends.iter().for_each(|(number, end)| model.check(*number, end));
            numbers.iter().for_each(|number| model.check(*number, &end));
            model.task.abort();
        }
        .boxed()
    });
}

#[test]
fn a_link_that_is_dropped_ends_every_wait() {
    check(|runtime| {
        let model = Model::new(runtime, Vec::new(), 6);
        async move {
            let callers = [10, 11, 12, 13].map(|number| model.caller(number, None));
            let unit = model.unit([20, 21], None);
            for _ in 0..thread_rng().gen_range(0..8) {
                yield_now().await;
            }
            // What dropping the handle does, while callers hold it.
            model.task.abort();
            model.link.sever();
            let mut ends = Vec::new();
            for caller in callers {
                ends.push(caller.await.unwrap());
            }
            let (numbers, end) = unit.await.unwrap();
            while model.budget.taken() > 0 {
                yield_now().await;
            }
            ends.iter().for_each(|(number, end)| model.check(*number, end));
            numbers.iter().for_each(|number| model.check(*number, &end));
        }
        .boxed()
    });
}
