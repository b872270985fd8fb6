//! What a schedule is: a cluster, what happens to it and when, and who sends which commands meanwhile. Data only.

use keyslot::testkit::sim::Profile;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// Commands in one schedule.
pub(super) const COMMANDS: usize = 200;

/// Tasks that send them.
pub(super) const TASKS: usize = 8;

/// Over which time things happen, in milliseconds.
const SPAN: u64 = 4000;

/// The hash tags of all keys; each has a slot of its own.
pub(super) const TAGS: [&str; 6] = ["{a}", "{b}", "{c}", "{d}", "{e}", "{f}"];

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) primaries: usize,
    pub(super) replicas: usize,
    pub(super) profile: Profile,
    pub(super) full_coverage: bool,
    pub(super) gossip_ms: u64,
    pub(super) links: usize,
    /// With the time of each, in milliseconds.
    pub(super) happenings: Vec<(u64, Happening)>,
    pub(super) work: Vec<Work>,
}

/// Something that happens to the cluster. Nodes are meant by their number, modulo how many there are.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    OpenSlot(&'static str, usize),
    MigrateKeys(&'static str, usize),
    CloseSlot(&'static str),
    MoveSlot(&'static str, usize),
    Kill(usize),
    Restart(usize),
    Stop(usize),
    Continue(usize),
    Disconnect(usize),
    Isolate(usize),
    Heal(usize),
    Promote(usize),
    Fault { kind: Broken, node: Option<usize>, command: Option<&'static str>, times: usize, percent: u8 },
    LiftAll,
}

/// The kinds of faults that a client can be truthful about. Replies that are lost or doubled on a connection that goes on
/// are not among them: no client could know.
#[derive(Clone, Debug)]
pub(super) enum Broken {
    Delay(u64),
    DelayReply(u64),
    CloseBefore,
    CloseAfter,
    Truncate(usize),
    Error(&'static str),
    Silence,
    SlowReader(usize),
    Refuse,
    HangConnect,
    StaleTopology,
    AnswerAs(usize),
}

/// One command, by one of the tasks.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) task: usize,
    /// Milliseconds before it.
    pub(super) pause: u64,
    pub(super) op: Op,
    /// The caller gives up after so many milliseconds.
    pub(super) gives_up: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Get(&'static str),
    Mget(Vec<&'static str>),
    /// Repeating it does no harm.
    Set(&'static str),
    Append(&'static str),
    Push(&'static str),
    Count(&'static str),
    /// Waits for an element that is there or not.
    Pop(&'static str),
    Pipeline(Vec<(&'static str, bool)>),
    Transaction(&'static str, usize),
    Mset(Vec<&'static str>),
}

/// The schedule of this number, as the tests run it.
pub(super) fn of_number(number: u64) -> impl ValueTree<Value = Schedule> {
    let mut runner = TestRunner::new_with_rng(Config::default(), super::generator(number));
    schedules().new_tree(&mut runner).unwrap()
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let shape = (
        any::<u64>(),
        1_usize..=4,
        0_usize..=1,
        select(&Profile::ALL),
        any::<bool>(),
        select(&[0_u64, 2, 30]),
        1_usize..=2,
    );
    (shape, vec((0..SPAN, happenings()), 0..14), vec(work(), COMMANDS)).prop_map(
        |(shape, happenings, work)| {
            let (seed, primaries, replicas, profile, full_coverage, gossip_ms, links) = shape;
            Schedule { seed, primaries, replicas, profile, full_coverage, gossip_ms, links, happenings, work }
        },
    )
}

fn tags() -> impl Strategy<Value = &'static str> {
    select(&TAGS)
}

fn nodes() -> impl Strategy<Value = usize> {
    0_usize..8
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (tags(), nodes()).prop_map(|(tag, to)| Happening::OpenSlot(tag, to)),
        4 => (tags(), 1_usize..4).prop_map(|(tag, most)| Happening::MigrateKeys(tag, most)),
        3 => tags().prop_map(Happening::CloseSlot),
        4 => (tags(), nodes()).prop_map(|(tag, to)| Happening::MoveSlot(tag, to)),
        2 => nodes().prop_map(Happening::Kill),
        3 => nodes().prop_map(Happening::Restart),
        2 => nodes().prop_map(Happening::Stop),
        3 => nodes().prop_map(Happening::Continue),
        3 => nodes().prop_map(Happening::Disconnect),
        1 => nodes().prop_map(Happening::Isolate),
        1 => nodes().prop_map(Happening::Heal),
        3 => nodes().prop_map(Happening::Promote),
        8 => faults(),
        2 => Just(Happening::LiftAll),
    ]
}

fn faults() -> impl Strategy<Value = Happening> {
    let kinds = prop_oneof![
        (1_u64..700).prop_map(Broken::Delay),
        (1_u64..700).prop_map(Broken::DelayReply),
        Just(Broken::CloseBefore),
        Just(Broken::CloseAfter),
        (0_usize..40).prop_map(Broken::Truncate),
        select(&[
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        ])
        .prop_map(Broken::Error),
        Just(Broken::Silence),
        (1_usize..200).prop_map(Broken::SlowReader),
        Just(Broken::Refuse),
        Just(Broken::HangConnect),
        Just(Broken::StaleTopology),
        nodes().prop_map(Broken::AnswerAs),
    ];
    let commands = select(&[
        None,
        None,
        Some("GET"),
        Some("APPEND"),
        Some("RPUSH"),
        Some("EXEC"),
        Some("CLUSTER SLOTS"),
    ]);
    (kinds, proptest::option::of(nodes()), commands, 1_usize..8, 20_u8..=100).prop_map(
        |(kind, node, command, times, percent)| Happening::Fault { kind, node, command, times, percent },
    )
}

fn work() -> impl Strategy<Value = Work> {
    let several = || vec(tags(), 1..6);
    let ops = prop_oneof![
        4 => tags().prop_map(Op::Get),
        2 => several().prop_map(Op::Mget),
        3 => tags().prop_map(Op::Set),
        4 => tags().prop_map(Op::Append),
        4 => tags().prop_map(Op::Push),
        3 => tags().prop_map(Op::Count),
        1 => tags().prop_map(Op::Pop),
        2 => vec((tags(), any::<bool>()), 1..8).prop_map(Op::Pipeline),
        2 => (tags(), 1_usize..4).prop_map(|(tag, commands)| Op::Transaction(tag, commands)),
        1 => several().prop_map(Op::Mset),
    ];
    let gives_up = prop_oneof![9 => Just(None), 1 => (0_u64..300).prop_map(Some)];
    (0..TASKS, select(&[0_u64, 0, 1, 20, 120, 400]), ops, gives_up)
        .prop_map(|(task, pause, op, gives_up)| Work { task, pause, op, gives_up })
}
