//! The checker is shown histories that are well, and the same ones with one thing wrong: a checker that cannot fail
//! proves nothing.

use crate::checker::{Loss, Verdict, check, check_without_end};
use crate::history::{Action, Call, Fate, Group, Key, Kind, Last, Reply};

const CELLS: u32 = 3;
const TASKS: u32 = 4;

fn key(cell: u32, kind: Kind) -> Key {
    Key { round: 1, cell, kind }
}

/// A history with what the servers have behind it.
#[derive(Clone)]
struct Book {
    calls: Vec<Call>,
    last: Last,
}

/// A server that executes one command after the other, and callers that are told the truth.
struct World {
    random: fastrand::Rng,
    book: Book,
    now: u64,
    tag: u64,
    group: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut last = Last::default();
        for cell in 0..CELLS {
            let register = key(cell, Kind::Register);
            last.registers.insert(register, Some(register.text(0)));
            let counter = key(cell, Kind::Counter);
            last.counters.insert(counter, counter.base());
            last.lists.insert(key(cell, Kind::List), Vec::new());
            last.lists.insert(key(cell, Kind::Twin), Vec::new());
        }
        let book = Book { calls: Vec::new(), last };
        Self { random: fastrand::Rng::with_seed(seed), book, now: 10, tag: 0, group: 0 }
    }

    fn tag(&mut self) -> u64 {
        self.tag += 1;
        self.tag
    }

    /// Executes it, and tells the truth: mostly that it is done.
    fn call(&mut self, task: u32, key: Key, action: Action, group: Option<Group>) {
        let fate = match (action, group, self.random.u32(0..10)) {
            (Action::Get | Action::GetAny, _, _) | (_, Some(_), _) | (_, _, 0..7) => None,
            (_, _, 7) => Some(Fate::NotSent("down".to_owned())),
            (_, _, 8) => Some(Fate::Rejected("no".to_owned())),
            _ => Some(Fate::Maybe("lost".to_owned())),
        };
        let runs = match &fate {
            None => true,
            Some(Fate::Maybe(_)) => self.random.bool(),
            Some(_) => false,
        };
        let reply = if runs { self.execute(key, action) } else { Reply::Ok };
        let fate = fate.unwrap_or(Fate::Done { reply, durable: true });
        self.book.calls.push(Call {
            task,
            begin: self.now,
            end: self.now + 5,
            limit: 1000,
            key,
            action,
            fate,
            group,
            undisturbed: true,
        });
    }

    fn execute(&mut self, key: Key, action: Action) -> Reply {
        let last = &mut self.book.last;
        match action {
            Action::Set(tag) => {
                last.registers.insert(key, Some(key.text(tag)));
                Reply::Ok
            }
            Action::Get | Action::GetAny => Reply::Text(last.registers[&key].clone()),
            Action::Incr => {
                let counter = last.counters.get_mut(&key).unwrap();
                *counter += 1;
                Reply::Number(*counter)
            }
            Action::Push(tag) => {
                let list = last.lists.get_mut(&key).unwrap();
                list.push(key.text(tag));
                Reply::Number(list.len() as i64)
            }
        }
    }

    fn step(&mut self) {
        let (task, cell) = (self.random.u32(0..TASKS), self.random.u32(0..CELLS));
        match self.random.u32(0..6) {
            0 => self.call(task, key(cell, Kind::Counter), Action::Incr, None),
            1 => {
                let tag = self.tag();
                self.call(task, key(cell, Kind::List), Action::Push(tag), None);
            }
            2 if cell == task => {
                let tag = self.tag();
                self.call(task, key(cell, Kind::Register), Action::Set(tag), None);
            }
            2 => self.call(task, key(cell, Kind::Register), Action::GetAny, None),
            3 if cell == task => self.call(task, key(cell, Kind::Register), Action::Get, None),
            3 => self.call(task, key(cell, Kind::Counter), Action::Incr, None),
            4 => self.transaction(task, cell),
            _ => {
                self.group += 1;
                for place in 0..3 {
                    let group = Group { number: self.group, place, is_transaction: false };
                    let tag = self.tag();
                    self.call(task, key(cell, Kind::List), Action::Push(tag), Some(group));
                }
            }
        }
        self.now += 10;
    }

    fn transaction(&mut self, task: u32, cell: u32) {
        self.group += 1;
        let tag = self.tag();
        let mut actions = vec![(Kind::List, Action::Push(tag)), (Kind::Twin, Action::Push(tag))];
        if cell == task {
            let tag = self.tag();
            actions.push((Kind::Register, Action::Set(tag)));
            actions.push((Kind::Register, Action::Get));
        }
        for (place, (kind, action)) in actions.into_iter().enumerate() {
            let group = Group { number: self.group, place, is_transaction: true };
            self.call(task, key(cell, kind), action, Some(group));
        }
    }
}

fn healthy(seed: u64) -> Book {
    let mut world = World::new(seed);
    (0..400).for_each(|_| world.step());
    world.book
}

impl Book {
    fn check(&self, loss: Loss) -> Verdict {
        check(&self.calls, &self.last, loss, &[])
    }

    fn place(&self, is_it: impl Fn(&Call) -> bool) -> usize {
        self.calls.iter().position(is_it).unwrap()
    }

    /// The place of the first list element whose push ended so.
    fn element(&self, is_it: impl Fn(&Call) -> bool) -> (Key, usize, usize) {
        let call = self.place(|call| {
            let Action::Push(tag) = call.action else { return false };
            is_it(call) && self.last.lists[&call.key].contains(&call.key.text(tag))
        });
        let Action::Push(tag) = self.calls[call].action else { unreachable!() };
        let key = self.calls[call].key;
        (key, self.last.lists[&key].iter().position(|text| *text == key.text(tag)).unwrap(), call)
    }

    fn list(&mut self, key: Key) -> &mut Vec<String> {
        self.last.lists.get_mut(&key).unwrap()
    }
}

#[test]
fn a_history_that_is_well_passes() {
    for seed in 0..50 {
        for loss in [Loss::Counted, Loss::OfTheDurableExcluded] {
            let verdict = healthy(seed).check(loss);
            assert_eq!(verdict.violations, [], "seed {seed}");
            assert_eq!((verdict.lost, verdict.stale, verdict.late.len()), (0, 0, 0), "seed {seed}");
            let Verdict { acknowledged, durable, maybe, not_sent, rejected, .. } = verdict;
            assert!(
                acknowledged > 100 && durable == acknowledged && maybe > 0 && not_sent > 0 && rejected > 0
            );
        }
    }
}

#[test]
fn without_its_end_a_history_is_judged_by_its_replies() {
    for seed in 0..50 {
        for loss in BOTH {
            let mut book = healthy(seed);
            assert_eq!(check_without_end(&book.calls, loss, &[]).violations, [], "seed {seed}");
            let place = book.place(|call| call.action == Action::Incr && call.is_done());
            let base = book.calls[place].key.base();
            book.calls[place].fate = Fate::Done { reply: Reply::Number(base - 1), durable: true };
            assert_eq!(check_without_end(&book.calls, loss, &[]).violations.len(), 1, "seed {seed}");
        }
    }
}

/// Each of 50 histories, with `spoil` done to it, must be refused for this reason.
#[track_caller]
fn refused(loss: &[Loss], reason: &str, spoil: impl Fn(&mut Book)) {
    for seed in 0..50 {
        for loss in loss {
            let mut book = healthy(seed);
            spoil(&mut book);
            let verdict = book.check(*loss);
            let found = verdict.violations.iter().any(|violation| violation.what.contains(reason));
            assert!(found, "seed {seed}, {loss:?}: {:#?}", verdict.violations);
        }
    }
}

const BOTH: [Loss; 2] = [Loss::Counted, Loss::OfTheDurableExcluded];
const STRICT: [Loss; 1] = [Loss::OfTheDurableExcluded];

fn is_single(call: &Call) -> bool {
    call.group.is_none()
}

#[test]
fn an_increment_too_many_is_seen() {
    refused(&BOTH, "at most", |book| {
        let counter = key(0, Kind::Counter);
        let maybe = book.calls.iter().filter(|call| call.key == counter && !call.is_done()).count();
        *book.last.counters.get_mut(&counter).unwrap() += maybe as i64 + 1;
    });
}

#[test]
fn an_increment_that_was_not_sent_and_ran_is_seen() {
    refused(&BOTH, "at most", |book| {
        let counter = key(1, Kind::Counter);
        for call in book.calls.iter_mut().filter(|call| call.key == counter && !call.is_done()) {
            call.fate = Fate::NotSent(String::new());
        }
        let done = book.calls.iter().filter(|call| call.key == counter && call.is_done()).count();
        book.last.counters.insert(counter, counter.base() + done as i64 + 1);
    });
}

#[test]
fn a_durable_increment_that_is_lost_is_seen_and_another_is_counted() {
    let spoil = |book: &mut Book| {
        let counter = key(1, Kind::Counter);
        let done = book.calls.iter().filter(|call| call.key == counter && call.is_done()).count();
        book.last.counters.insert(counter, counter.base() + done as i64 - 2);
    };
    refused(&STRICT, "durable increments are lost", spoil);
    let mut book = healthy(7);
    spoil(&mut book);
    let verdict = book.check(Loss::Counted);
    assert_eq!((verdict.violations, verdict.lost), (Vec::new(), 2));
}

#[test]
fn a_number_that_belongs_to_another_counter_is_seen() {
    refused(&BOTH, "is not among the", |book| {
        let place = book.place(|call| call.action == Action::Incr && call.is_done());
        let other = key((book.calls[place].key.cell + 1) % CELLS, Kind::Counter);
        book.calls[place].fate = Fate::Done { reply: Reply::Number(other.base() + 1), durable: true };
    });
}

#[test]
fn a_number_from_the_future_is_seen() {
    refused(&BOTH, "is not among the", |book| {
        let place = book.place(|call| call.action == Action::Incr && call.is_done());
        let key = book.calls[place].key;
        book.calls[place].fate = Fate::Done { reply: Reply::Number(key.base() + 3), durable: true };
    });
}

#[test]
fn two_durable_increments_with_one_number_are_seen() {
    refused(&STRICT, "one number for two", |book| {
        let counter = key(0, Kind::Counter);
        let done: Vec<usize> = (0..book.calls.len())
            .filter(|place| book.calls[*place].key == counter && book.calls[*place].is_done())
            .collect();
        book.calls[done[1]].fate = book.calls[done[0]].fate.clone();
    });
}

#[test]
fn a_value_of_another_key_is_seen_in_a_reply_and_in_the_end() {
    refused(&BOTH, "has another key's value", |book| {
        let place = book.place(|call| call.action == Action::GetAny);
        let other = key((book.calls[place].key.cell + 1) % CELLS, Kind::Register);
        book.calls[place].fate = Fate::Done { reply: Reply::Text(Some(other.text(0))), durable: false };
    });
    refused(&BOTH, "has another key's value", |book| {
        let other = key(1, Kind::Register).text(0);
        book.last.registers.insert(key(0, Kind::Register), Some(other));
    });
}

#[test]
fn a_false_nil_is_seen() {
    refused(&BOTH, "is missing", |book| {
        let place = book.place(|call| call.action == Action::GetAny);
        book.calls[place].fate = Fate::Done { reply: Reply::Text(None), durable: false };
    });
    refused(&BOTH, "is missing", |book| {
        book.last.registers.insert(key(2, Kind::Register), None);
    });
}

#[test]
fn a_value_from_nowhere_and_one_before_its_time_are_seen() {
    refused(&BOTH, "nobody has written", |book| {
        let register = key(2, Kind::Register);
        book.last.registers.insert(register, Some(register.text(999_999)));
    });
    refused(&BOTH, "before it was written", |book| {
        let set =
            book.place(|call| matches!(call.action, Action::Set(_)) && call.is_done() && is_single(call));
        let Action::Set(tag) = book.calls[set].action else { unreachable!() };
        let get = book.place(|call| call.action == Action::GetAny);
        let register = book.calls[set].key;
        book.calls[get].key = register;
        (book.calls[get].begin, book.calls[get].end) = (1, 2);
        book.calls[get].fate = Fate::Done { reply: Reply::Text(Some(register.text(tag))), durable: false };
    });
}

#[test]
fn a_write_that_was_not_sent_or_was_rejected_and_is_there_is_seen() {
    for fate in [Fate::NotSent(String::new()), Fate::Rejected(String::new())] {
        refused(&BOTH, "a write that was not executed was", |book| {
            let register = key(0, Kind::Register);
            let set = book.place(|call| matches!(call.action, Action::Set(_)) && call.key == register);
            let Action::Set(tag) = book.calls[set].action else { unreachable!() };
            book.calls[set].fate = fate.clone();
            book.last.registers.insert(register, Some(register.text(tag)));
        });
        refused(&BOTH, "a push that was not executed was", |book| {
            let (_, _, call) = book.element(is_single);
            book.calls[call].fate = fate.clone();
        });
    }
}

#[test]
fn a_durable_value_that_is_replaced_by_an_older_one_is_seen_and_another_is_counted() {
    let spoil = |book: &mut Book| {
        let register = key(1, Kind::Register);
        book.last.registers.insert(register, Some(register.text(0)));
    };
    refused(&STRICT, "a durable write is lost", spoil);
    let mut book = healthy(3);
    spoil(&mut book);
    let verdict = book.check(Loss::Counted);
    assert_eq!((verdict.violations, verdict.stale), (Vec::new(), 1));
}

#[test]
fn an_older_value_that_may_have_been_sent_twice_is_late_and_not_lost() {
    for loss in BOTH {
        let mut book = healthy(3);
        let register = key(1, Kind::Register);
        let set = book
            .place(|call| matches!(call.action, Action::Set(_)) && call.key == register && call.is_done());
        let Action::Set(tag) = book.calls[set].action else { unreachable!() };
        book.calls[set].undisturbed = false;
        book.last.registers.insert(register, Some(register.text(tag)));
        let mut verdict = book.check(loss);
        assert_eq!((&verdict.violations, verdict.stale, verdict.late.len()), (&Vec::new(), 0, 1));
        let (from, to) = verdict.late[0].between;
        assert!(from < to);
        verdict.lost_between(|_| false);
        assert_eq!((verdict.stale, verdict.late.len()), (0, 1), "nothing took the newer away");
        verdict.lost_between(|times| times == (from, to));
        assert_eq!((verdict.stale, verdict.late.len()), (1, 0), "servers may have lost it");
    }
}

#[test]
fn a_push_that_ran_twice_is_seen() {
    refused(&BOTH, "was executed twice", |book| {
        let (key, place, _) = book.element(is_single);
        let text = book.list(key)[place].clone();
        book.list(key).push(text);
    });
}

#[test]
fn a_durable_push_that_is_lost_is_seen_and_another_is_counted() {
    let spoil = |book: &mut Book| {
        let list = key(0, Kind::List);
        let whole = |text: &String| {
            let tag = list.tag(text).unwrap();
            book.calls
                .iter()
                .any(|call| call.action == Action::Push(tag) && call.is_done() && is_single(call))
        };
        let place = book.last.lists[&list].iter().rposition(whole).unwrap();
        // With all behind it, as servers lose them.
        book.list(list).truncate(place);
    };
    refused(&STRICT, "a durable push is lost", spoil);
    let mut book = healthy(5);
    let list = key(0, Kind::List);
    let single = Call { group: None, ..book.calls[book.element(|call| call.key == list).2].clone() };
    let length = book.list(list).len() as i64;
    let fate = Fate::Done { reply: Reply::Number(length + 1), durable: false };
    book.calls.push(Call { action: Action::Push(888_888), fate, ..single });
    for loss in BOTH {
        let verdict = book.check(loss);
        assert_eq!((verdict.violations, verdict.lost), (Vec::new(), 1), "it was on no replica");
    }
}

#[test]
fn a_length_that_belongs_to_another_push_is_seen() {
    refused(&BOTH, "of the list", |book| {
        let (_, place, call) = book.element(Call::is_done);
        book.calls[call].fate = Fate::Done { reply: Reply::Number(place as i64 + 2), durable: true };
    });
}

#[test]
fn an_element_of_another_list_and_one_from_nowhere_are_seen() {
    refused(&BOTH, "has another key's element", |book| {
        let text = key(1, Kind::List).text(1);
        book.list(key(0, Kind::List)).push(text);
    });
    refused(&BOTH, "nobody has pushed", |book| {
        let list = key(0, Kind::List);
        book.list(list).push(list.text(777_777));
    });
}

#[test]
fn pushes_in_another_order_than_they_were_acknowledged_are_seen() {
    refused(&BOTH, "behind what began later", |book| {
        let list = key(2, Kind::List);
        let done = |text: &String| {
            let tag = list.tag(text).unwrap();
            book.calls
                .iter()
                .any(|call| call.action == Action::Push(tag) && call.is_done() && is_single(call))
        };
        let places: Vec<usize> =
            (0..book.last.lists[&list].len()).filter(|place| done(&book.last.lists[&list][*place])).collect();
        book.list(list).swap(places[0], places[1]);
    });
}

#[test]
fn a_pipeline_in_another_order_is_seen_unless_something_was_sent_again() {
    let swap = |book: &mut Book| {
        let (list, place, _) =
            book.element(|call| call.group.is_some_and(|group| group.place == 0 && !group.is_transaction));
        book.list(list).swap(place, place + 1);
        // Their lengths fit, so that the order alone is wrong.
        for place in [place, place + 1] {
            let tag = list.tag(&book.last.lists[&list][place]).unwrap();
            let call = book.place(|call| call.key == list && call.action == Action::Push(tag));
            book.calls[call].fate = Fate::Done { reply: Reply::Number(place as i64 + 1), durable: true };
        }
    };
    refused(&BOTH, "behind the next of its pipeline", swap);
    let mut book = healthy(1);
    swap(&mut book);
    book.calls.iter_mut().for_each(|call| call.undisturbed = false);
    assert_eq!(book.check(Loss::OfTheDurableExcluded).violations, []);
}

#[test]
fn half_of_a_transaction_is_seen() {
    refused(&BOTH, "executed in part", |book| {
        let (twin, place, _) = book.element(|call| call.key.kind == Kind::Twin);
        book.list(twin).truncate(place);
    });
}

#[test]
fn a_transaction_with_another_caller_in_between_is_seen() {
    refused(&BOTH, "came between", |book| {
        let get = book
            .place(|call| call.action == Action::Get && call.group.is_some_and(|group| group.is_transaction));
        let text = book.calls[get].key.text(0);
        book.calls[get].fate = Fate::Done { reply: Reply::Text(Some(text)), durable: true };
    });
}

#[test]
fn a_strange_reply_a_late_one_and_a_key_that_was_not_read_are_seen() {
    refused(&BOTH, "answered with", |book| {
        book.calls[0].fate = Fate::Done { reply: Reply::Strange("[]".to_owned()), durable: false };
    });
    refused(&BOTH, "behind its deadline", |book| {
        book.calls[0].end = book.calls[0].begin + 60_000_000;
    });
    refused(&BOTH, "was not read in the end", |book| {
        let key = book.calls[0].key;
        book.last.registers.remove(&key);
        book.last.counters.remove(&key);
        book.last.lists.remove(&key);
    });
}

#[test]
fn who_did_not_run_is_not_late_for_as_long() {
    let mut book = healthy(3);
    let begin = book.calls[0].begin;
    let end = begin + 60_000_000;
    book.calls[0].end = end;
    let of_deadlines = |stalls: &[(u64, u64)]| {
        let found = check(&book.calls, &book.last, Loss::Counted, stalls).violations;
        found.iter().filter(|violation| violation.what.contains("behind its deadline")).count()
    };
    assert_eq!(of_deadlines(&[]), 1);
    assert_eq!(of_deadlines(&[(0, begin), (end, u64::MAX)]), 1, "before and after it");
    assert_eq!(of_deadlines(&[(begin, begin + 20_000_000)]), 1, "for a part of it");
    assert_eq!(of_deadlines(&[(begin, begin + 30_000_000), (begin + 31_000_000, end + 9)]), 0);
}
