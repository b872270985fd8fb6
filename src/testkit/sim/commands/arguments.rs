//! Arguments that several families read alike.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::testkit::sim::call::{self, DataCall};
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;

/// The timeout of a blocking command in seconds; none is for ever.
pub(in crate::testkit::sim) fn seconds(
    call: &DataCall<'_>,
    place: usize,
) -> Result<Option<Duration>, Refused> {
    let no_float = || Refused::new("ERR timeout is not a float or out of range");
    // Read in 80 bits by a server: what overflows a double is a number, and too long.
    let seconds: f64 = std::str::from_utf8(&call.arg(place))
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|seconds: &f64| !seconds.is_nan())
        .ok_or_else(no_float)?;
    let millis = match seconds * 1000.0 {
        millis if call.profile.since_7_0() => millis.ceil(),
        // Redis 6.2 rounds down, in digits that are just too few for 0.001: up to a millisecond is for ever.
        millis if (0.0..=1.0).contains(&millis) => 0.0,
        millis => millis.floor(),
    };
    if millis >= i64::MAX as f64 {
        return Err(too_long(call));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the largest was refused, and `as` stops at the least"
    )]
    wait(call, millis as i64)
}

/// The timeout of `XREAD` in milliseconds; none is for ever.
pub(in crate::testkit::sim) fn milliseconds(
    call: &DataCall<'_>,
    arg: &[u8],
) -> Result<Option<Duration>, Refused> {
    let millis = call::int(arg).map_err(|_| Refused::new("ERR timeout is not an integer or out of range"))?;
    wait(call, millis)
}

fn wait(call: &DataCall<'_>, millis: i64) -> Result<Option<Duration>, Refused> {
    let Ok(millis) = u64::try_from(millis) else { return Err(Refused::new("ERR timeout is negative")) };
    let is_too_long = millis.saturating_add(call.keys.now()) > i64::MAX.unsigned_abs();
    if is_too_long && call.profile.since_7_2() {
        return Err(too_long(call));
    }
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// Older servers overflowed and then found it negative.
fn too_long(call: &DataCall<'_>) -> Refused {
    if call.profile.since_7_2() {
        Refused::new("ERR timeout is out of range")
    } else {
        Refused::new("ERR timeout is negative")
    }
}

/// How many to pop: zero or more.
pub(in crate::testkit::sim) fn amount(arg: &[u8]) -> Result<usize, Refused> {
    let amount = call::int(arg).ok().and_then(|amount| usize::try_from(amount).ok());
    amount.ok_or_else(|| Refused::new("ERR value is out of range, must be positive"))
}

/// How many of a collection at random; negative is with repetitions. A server cannot negate the least number.
pub(in crate::testkit::sim) fn sample(arg: &[u8]) -> Result<i64, Refused> {
    match call::int(arg)? {
        i64::MIN => Err(out_of_range()),
        count => Ok(count),
    }
}

pub(in crate::testkit::sim) fn out_of_range() -> Refused {
    let largest = i64::MAX;
    Refused::new(format!("ERR value is out of range, value must between -{largest} and {largest}"))
}

/// The reply to a number of arguments that the table allows and the command does not.
pub(in crate::testkit::sim) fn wrong_number(command: &str) -> Refused {
    Refused::new(format!("ERR wrong number of arguments for '{command}' command"))
}

/// A count, as `numkeys` and `COUNT`, that must be more than zero.
fn at_least_one(arg: Option<&Bytes>, name: &str) -> Result<usize, Refused> {
    let number = arg.and_then(|arg| call::int(arg).ok()).and_then(|number| usize::try_from(number).ok());
    let number = number.filter(|number| *number > 0);
    number.ok_or_else(|| Refused::new(format!("ERR {name} should be greater than 0")))
}

/// `numkeys key ... word [COUNT count]`, as in `LMPOP` and `ZMPOP`.
#[derive(Debug)]
pub(in crate::testkit::sim) struct MultiPop<W> {
    pub(in crate::testkit::sim) keys: Vec<Bytes>,
    pub(in crate::testkit::sim) word: W,
    pub(in crate::testkit::sim) count: usize,
}

impl<W> MultiPop<W> {
    /// `place` is where `numkeys` stands, and `word` reads what stands behind the keys.
    pub(in crate::testkit::sim) fn parse(
        args: &[Bytes],
        place: usize,
        word: impl Fn(&[u8]) -> Result<W, Refused>,
    ) -> Result<Self, Refused> {
        let number = at_least_one(args.get(place), "numkeys")?;
        let behind = args.get(place + 1..).unwrap_or_default();
        let (keys, rest) = behind.split_at_checked(number).ok_or_else(Refused::syntax)?;
        let (first, options) = rest.split_first().ok_or_else(Refused::syntax)?;
        let word = word(first)?;
        let count = match options {
            [] => 1,
            [name, count] if name.eq_ignore_ascii_case(b"COUNT") => at_least_one(Some(count), "count")?,
            // A server reads one after the other.
            [name, count, ..] if name.eq_ignore_ascii_case(b"COUNT") => {
                at_least_one(Some(count), "count")?;
                return Err(Refused::syntax());
            }
            _ => return Err(Refused::syntax()),
        };
        Ok(Self { keys: keys.to_vec(), word, count })
    }
}

/// The keys behind `numkeys`, and what stands behind them; for commands of sets.
pub(in crate::testkit::sim) fn counted_sets(
    args: &[Bytes],
    place: usize,
) -> Result<(&[Bytes], &[Bytes]), Refused> {
    let number = at_least_one(args.get(place), "numkeys")?;
    let behind = args.get(place + 1..).unwrap_or_default();
    behind
        .split_at_checked(number)
        .ok_or_else(|| Refused::new("ERR Number of keys can't be greater than number of args"))
}

/// `[LIMIT limit]`; 0 is no limit.
pub(in crate::testkit::sim) fn limit(options: &[Bytes]) -> Result<usize, Refused> {
    let mut limit = 0;
    for option in options.chunks(2) {
        match option {
            [name, value] if name.eq_ignore_ascii_case(b"LIMIT") => {
                let value = call::int(value).ok().and_then(|value| usize::try_from(value).ok());
                limit = value.ok_or_else(|| Refused::new("ERR LIMIT can't be negative"))?;
            }
            _ => return Err(Refused::syntax()),
        }
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}

/// From `start` to `end`, both included and negative from the end on, in a sequence of this length.
pub(in crate::testkit::sim) fn span(start: i64, end: i64, length: usize) -> Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |from: i64| if from < 0 { from.saturating_add(length) } else { from };
    let start = place(start).max(0);
    let end = place(end).saturating_add(1).min(length);
    let place = |at: i64| usize::try_from(at).unwrap_or_default();
    if start < end { place(start)..place(end) } else { 0..0 }
}

/// Elements at random: some of them, or with repetitions if `count` is negative.
pub(in crate::testkit::sim) fn choose<T: Clone>(all: Vec<T>, count: i64, rng: &mut fastrand::Rng) -> Vec<T> {
    let Ok(wanted) = usize::try_from(count) else {
        let draws = if all.is_empty() { 0 } else { count.unsigned_abs() };
        return (0..draws).filter_map(|_| rng.choice(&all).cloned()).collect();
    };
    if wanted >= all.len() { all } else { rng.choose_multiple(all, wanted) }
}

/// A score as this server writes it.
pub(in crate::testkit::sim) fn score(call: &DataCall<'_>, score: f64) -> Reply {
    if call.profile.since_7_2() { Reply::Double(score) } else { Reply::LongDouble(score) }
}

#[cfg(test)]
mod tests {
    use super::{choose, span};

    #[test]
    fn a_span_ends_at_the_sequence_it_is_in() {
        for (start, end, found) in [
            (0, -1, 0..3),
            (-100, 100, 0..3),
            (1, 1, 1..2),
            (-2, -1, 1..3),
            (2, 1, 0..0),
            (3, 5, 0..0),
            (0, i64::MIN, 0..0),
        ] {
            assert_eq!(span(start, end, 3), found, "{start} {end}");
        }
        assert_eq!(span(0, i64::MAX, 0), 0..0);
    }

    #[test]
    fn a_positive_count_chooses_each_once_and_a_negative_one_draws() {
        let mut rng = fastrand::Rng::with_seed(1);
        let all = vec![1, 2, 3];
        let mut some = choose(all.clone(), 2, &mut rng);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 2);
        assert_eq!(choose(all.clone(), 9, &mut rng), all);
        assert_eq!(choose(all, -7, &mut rng).len(), 7);
        assert_eq!(choose(Vec::<u8>::new(), -7, &mut rng), Vec::<u8>::new());
    }
}
