//! Random schedules of migrations, failovers and faults against a random workload of 200 commands.
//!
//! What must hold for each: every command is answered or says what happened, by its deadline; an acknowledged write is
//! in the ledger exactly once, one that was not sent not at all, one that may have been executed at most once; and
//! replies belong to their commands, because each value carries its key.
//!
//! A schedule comes from one number. `KEYSLOT_SCHEDULE=1234` runs that one alone, with its shrunk form
//! and the effects in question if it fails. A hundred thousand take most of an hour on two cores, so they are run without
//! the runner that ends a test after five minutes:
//!
//! ```text
//! KEYSLOT_SCHEDULES=100000 cargo test --test sim tells_the_truth
//! ```

mod plan;
mod run;

use std::env;

use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// How many schedules there are by default, over all parts.
const SCHEDULES: u64 = 1000;

/// How long a shorter form of a failing schedule is looked for, in milliseconds.
const SHRINKING_MS: u32 = 20_000;

/// The tests among which they are shared, so that all cores have some.
const PARTS: u64 = 4;

#[test]
fn every_command_tells_the_truth_part_1() {
    run_part(0);
}

#[test]
fn every_command_tells_the_truth_part_2() {
    run_part(1);
}

#[test]
fn every_command_tells_the_truth_part_3() {
    run_part(2);
}

#[test]
fn every_command_tells_the_truth_part_4() {
    run_part(3);
}

#[test]
fn the_same_schedule_gives_the_same_run() {
    for number in 0..25 {
        let schedule = plan::of_number(number).current();
        let first = run::run(&schedule).map(|ledger| ledger.to_string());
        let second = run::run(&schedule).map(|ledger| ledger.to_string());
        let (first, second) = (first.unwrap(), second.unwrap());
        if first != second {
            let differs = first.lines().zip(second.lines()).position(|(a, b)| a != b).unwrap_or_default();
            let around = |text: &str| -> String {
                text.lines()
                    .skip(differs.saturating_sub(3))
                    .take(6)
                    .map(|line| format!("  {line}\n"))
                    .collect()
            };
            panic!(
                "schedule {number} runs differently from effect {differs} on:\n{}instead of\n{}",
                around(&second),
                around(&first)
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn run_part(part: u64) {
    if let Some(one) = number("KEYSLOT_SCHEDULE") {
        if one % PARTS == part {
            check(one);
        }
        return;
    }
    let count = number("KEYSLOT_SCHEDULES").unwrap_or(SCHEDULES);
    (0..count).filter(|schedule| schedule % PARTS == part).for_each(check);
}

/// Runs one schedule; a failure is shrunk and tells how it is run again.
fn check(number: u64) {
    let schedule = plan::of_number(number);
    let Err(first) = run::run(&schedule.current()) else { return };
    println!("schedule {number}: {first}\nLooking for a shorter form of it ...");
    let config = Config { max_shrink_iters: 3000, max_shrink_time: SHRINKING_MS, ..Config::default() };
    let result = TestRunner::new(config)
        .run_one(schedule, |schedule| run::run(&schedule).map(|_ledger| ()).map_err(TestCaseError::fail));
    match result {
        Err(TestError::Fail(why, schedule)) => panic!(
            "schedule {number}: {why}\n\nIts shortest form that was found:\n{schedule:#?}\n\nAgain: \
             KEYSLOT_SCHEDULE={number} cargo test --test sim tells_the_truth"
        ),
        // A run depends on nothing but its schedule.
        Ok(_) | Err(TestError::Abort(_)) => panic!("schedule {number} failed once and not again: {first}"),
    }
}

/// The generator of this schedule.
fn generator(number: u64) -> TestRng {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}
