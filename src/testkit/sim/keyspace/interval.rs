//! [`ScoreInterval`] and [`LexInterval`]: which members of a sorted set a command is about.

use bytes::Bytes;

use crate::testkit::sim::refused::Refused;

/// A score, or what lies just beside it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct ScoreBound {
    score: f64,
    is_exclusive: bool,
}

impl ScoreBound {
    fn parse(arg: &[u8]) -> Result<Self, Refused> {
        let (text, is_exclusive) = match arg.strip_prefix(b"(") {
            Some(text) => (text, true),
            None => (arg, false),
        };
        // A server takes `(` alone for zero.
        let text = if is_exclusive && text.is_empty() { b"0" } else { text };
        let score: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        match score.filter(|score| !score.is_nan()) {
            Some(score) => Ok(Self { score, is_exclusive }),
            None => Err(Refused::new("ERR min or max is not a float")),
        }
    }
}

/// From one score to another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::testkit::sim) struct ScoreInterval {
    low: ScoreBound,
    high: ScoreBound,
}

impl ScoreInterval {
    /// `5` is included, `(5` is not.
    pub(in crate::testkit::sim) fn parse(low: &[u8], high: &[u8]) -> Result<Self, Refused> {
        Ok(Self { low: ScoreBound::parse(low)?, high: ScoreBound::parse(high)? })
    }

    pub(in crate::testkit::sim) fn contains(&self, score: f64) -> bool {
        let Self { low, high } = self;
        let is_above = if low.is_exclusive { score > low.score } else { score >= low.score };
        let is_below = if high.is_exclusive { score < high.score } else { score <= high.score };
        is_above && is_below
    }
}

/// A member, what lies just beside it, or an end of all members.
#[derive(Clone, PartialEq, Eq, Debug)]
enum LexBound {
    Least,
    Greatest,
    Included(Bytes),
    Excluded(Bytes),
}

impl LexBound {
    fn parse(arg: &Bytes) -> Result<Self, Refused> {
        match arg.as_ref() {
            b"-" => Ok(Self::Least),
            b"+" => Ok(Self::Greatest),
            [b'[', ..] => Ok(Self::Included(arg.slice(1..))),
            [b'(', ..] => Ok(Self::Excluded(arg.slice(1..))),
            _ => Err(Refused::new("ERR min or max not valid string range item")),
        }
    }
}

/// From one member to another, in the order of their bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) struct LexInterval {
    low: LexBound,
    high: LexBound,
}

impl LexInterval {
    /// `[a` is included, `(a` is not, `-` and `+` are the ends.
    pub(in crate::testkit::sim) fn parse(low: &Bytes, high: &Bytes) -> Result<Self, Refused> {
        Ok(Self { low: LexBound::parse(low)?, high: LexBound::parse(high)? })
    }

    pub(in crate::testkit::sim) fn contains(&self, member: &Bytes) -> bool {
        let is_above = match &self.low {
            LexBound::Least => true,
            LexBound::Greatest => false,
            LexBound::Included(low) => member >= low,
            LexBound::Excluded(low) => member > low,
        };
        is_above
            && match &self.high {
                LexBound::Least => false,
                LexBound::Greatest => true,
                LexBound::Included(high) => member <= high,
                LexBound::Excluded(high) => member < high,
            }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{LexInterval, ScoreInterval};

    #[test]
    fn a_bound_is_in_unless_it_is_marked() {
        let interval = ScoreInterval::parse(b"(1", b"3").unwrap();
        assert_eq!([1.0, 1.5, 3.0, 3.1].map(|score| interval.contains(score)), [false, true, true, false]);
        assert!(ScoreInterval::parse(b"-inf", b"+inf").unwrap().contains(f64::INFINITY));
        for wrong in ["nan", "x", "(x", ""] {
            assert!(ScoreInterval::parse(b"1", wrong.as_bytes()).is_err(), "{wrong}");
        }
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let interval = LexInterval::parse(&bytes("[b"), &bytes("(d")).unwrap();
        assert_eq!(
            ["a", "b", "c", "d"].map(|member| interval.contains(&bytes(member))),
            [false, true, true, false]
        );
        assert!(!LexInterval::parse(&bytes("+"), &bytes("-")).unwrap().contains(&bytes("a")));
        assert!(LexInterval::parse(&bytes("a"), &bytes("+")).is_err());
    }
}
