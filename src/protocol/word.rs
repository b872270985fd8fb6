//! [`Word`] and [`Words`]: the arguments that an option of a command becomes.

use bytes::Bytes;

use crate::protocol::body::Body;
use crate::protocol::to_arg::{ArgWriter, ToArg, WrittenArg};

/// One argument that an option of a command becomes: a keyword, a number or a text.
#[derive(Clone, Debug)]
pub struct Word(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Keyword(&'static str),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Bytes),
}

impl Word {
    /// Keeps what `arg` writes.
    pub(crate) fn of(arg: impl ToArg) -> Self {
        let mut body = Body::default();
        arg.write_arg(ArgWriter::value(&mut body));
        Self(Kind::Text(body.iter().next().map(Bytes::copy_from_slice).unwrap_or_default()))
    }
}

impl ToArg for Word {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        match self.0 {
            Kind::Keyword(word) => word.write_arg(arg),
            Kind::Int(number) => number.write_arg(arg),
            Kind::Uint(number) => number.write_arg(arg),
            Kind::Float(number) => number.write_arg(arg),
            Kind::Text(text) => text.write_arg(arg),
        }
    }
}

impl From<&'static str> for Word {
    fn from(keyword: &'static str) -> Self {
        Self(Kind::Keyword(keyword))
    }
}

impl From<i64> for Word {
    fn from(number: i64) -> Self {
        Self(Kind::Int(number))
    }
}

impl From<u64> for Word {
    fn from(number: u64) -> Self {
        Self(Kind::Uint(number))
    }
}

impl From<f64> for Word {
    fn from(number: f64) -> Self {
        Self(Kind::Float(number))
    }
}

/// The arguments of several options, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(Vec<Word>);

impl Words {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// These words.
    pub(crate) fn words<const N: usize>(mut self, words: [Word; N]) -> Self {
        self.0.extend(words);
        self
    }

    /// `keyword` if it is set.
    pub(crate) fn flag(mut self, is_set: bool, keyword: &'static str) -> Self {
        self.0.extend(is_set.then(|| Word::from(keyword)));
        self
    }

    /// What the option is called, if there is one.
    pub(crate) fn word(mut self, word: Option<impl Into<Word>>) -> Self {
        self.0.extend(word.map(Into::into));
        self
    }

    /// `keyword` and the value behind it, if there is one.
    pub(crate) fn pair(mut self, keyword: &'static str, value: Option<impl Into<Word>>) -> Self {
        if let Some(value) = value {
            self.0.extend([Word::from(keyword), value.into()]);
        }
        self
    }

    /// `keyword` and each value, the keyword before every one of them.
    pub(crate) fn each(mut self, keyword: &'static str, values: Vec<Word>) -> Self {
        self.0.extend(values.into_iter().flat_map(|value| [Word::from(keyword), value]));
        self
    }

    /// The arguments of another option.
    pub(crate) fn then(mut self, more: impl IntoIterator<Item = Word>) -> Self {
        self.0.extend(more);
        self
    }
}

impl IntoIterator for Words {
    type Item = Word;
    type IntoIter = std::vec::IntoIter<Word>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
