//! [`FromValue`]: replies as the types of the caller.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Outcome};
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;

/// A type that a reply can be read as.
///
/// RESP2 and RESP3 forms of the same fact are read alike: a map may come as a flat array, a double as a text (so a double that
/// is a whole number is read as an integer too), a truth value as 0 or 1. A nil is read by `Option<T>` (and `Value`, `()`, `bool`) only, so an absent key is never
/// mistaken for an empty one.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Commands, ConversionError, FromValue, Value};
///
/// #[derive(PartialEq, Debug)]
/// struct Cents(i64);
///
/// impl FromValue for Cents {
///     fn from_value(value: Value) -> Result<Self, ConversionError> {
///         let euros: f64 = FromValue::from_value(value)?;
///         Ok(Self((euros * 100.0).round() as i64))
///     }
/// }
///
/// client.set("price", "12.5").await?;
/// assert_eq!(client.get::<Cents>("price").await?, Cents(1250));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a reply cannot be read as `{Self}`",
    note = "replies are read as numbers, `String`, `Vec<u8>`, `bytes::Bytes`, `bool`, `()`, `keyslot::Value`, and `Option`s, lists, sets, \
            maps, arrays and tuples (up to 12) of these; own types implement `FromValue`, or `serde::Deserialize` and are read as \
            `keyslot::Serde<T>` (feature `serde`)"
)]
pub trait FromValue: Sized {
    /// Reads `value`.
    ///
    /// # Errors
    ///
    /// If it is no `Self`; it becomes [`ErrorKind::Conversion`](crate::ErrorKind::Conversion) with the name of the command.
    fn from_value(value: Value) -> Result<Self, ConversionError>;

    /// Reads the elements of an array or set. Pairs override this: RESP2 sends them without their brackets.
    #[doc(hidden)]
    fn vec_from_items(items: Vec<Value>) -> Result<Vec<Self>, ConversionError> {
        items.into_iter().map(Self::from_value).collect()
    }

    /// Reads a string as a list. Only bytes can: this makes `Vec<u8>` the bytes of a string.
    #[doc(hidden)]
    fn vec_from_bytes(bytes: Bytes) -> Result<Vec<Self>, ConversionError> {
        Err(ConversionError::wrong_type(&Value::Bulk(bytes), "a list"))
    }
}

/// Why a reply cannot be read as the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// The reply has another type.
    #[error("the reply is {got}, wanted {wanted}")]
    WrongType {
        /// What came.
        got: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The reply is a nil.
    #[error("the reply is nil, wanted {wanted}; ask for an Option to allow it")]
    Nil {
        /// What was asked for.
        wanted: &'static str,
    },
    /// The type fits, the content does not.
    #[error("the reply {text:?} is not {wanted}")]
    BadContent {
        /// The first bytes of the content.
        text: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A list has another number of elements than the tuple asked for.
    #[error("the reply has {got} elements, wanted {wanted}")]
    WrongLength {
        /// How many came.
        got: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// A fact that the reply should tell is not in it.
    #[error("the reply says nothing of {name:?}")]
    Missing {
        /// How the server calls it.
        name: &'static str,
    },
    /// The type that it was to be read as says why it does not fit.
    #[error("{text}")]
    Unfitting {
        /// In that type's words.
        text: String,
    },
    /// One element of the reply is an error of the server.
    #[error("the reply holds an error: {0}")]
    Server(ServerError),
}

impl ConversionError {
    fn wrong_type(got: &Value, wanted: &'static str) -> Self {
        match got {
            Value::Nil => Self::Nil { wanted },
            Value::Error(error) => Self::Server(error.clone()),
            Value::Int(_)
            | Value::Double(_)
            | Value::Bool(_)
            | Value::Simple(_)
            | Value::Bulk(_)
            | Value::BigNumber(_)
            | Value::Verbatim { .. }
            | Value::Array(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::Push(_) => Self::WrongType { got: got.kind().0, wanted },
        }
    }

    fn bad_content(content: &[u8], wanted: &'static str) -> Self {
        let shown = content.get(..content.len().min(32)).unwrap_or_default();
        Self::BadContent { text: String::from_utf8_lossy(shown).into_owned(), wanted }
    }
}

/// Of a reply that was read by hand, as those of [`Pipeline::run_each`](crate::Pipeline::run_each) are. Whatever it was the reply
/// to was executed, so the outcome is [`Outcome::MaybeExecuted`].
impl From<ConversionError> for Error {
    fn from(error: ConversionError) -> Self {
        Self::new(ErrorKind::Conversion, Outcome::MaybeExecuted, "a reply does not fit").with_source(error)
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        Ok(value)
    }
}

/// Anything but an error: for commands whose reply says no more than that they were executed.
impl FromValue for () {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        if let Value::Error(error) = value { Err(ConversionError::Server(error)) } else { Ok(()) }
    }
}

/// One element's error apart from the others', as in the reply of a transaction.
impl<T: FromValue> FromValue for Result<T, ServerError> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        if let Value::Error(error) = value { Ok(Err(error)) } else { T::from_value(value).map(Ok) }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        if value == Value::Nil { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

/// `OK` and 1 are true, nil (a condition such as `NX` was not met) and 0 are false; the numbers may be texts.
impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        match &value {
            Value::Bool(flag) => Ok(*flag),
            Value::Int(0) | Value::Nil => Ok(false),
            Value::Int(1) => Ok(true),
            Value::Simple(text) if text == "OK" => Ok(true),
            Value::Bulk(text) if text == "1" => Ok(true),
            Value::Bulk(text) if text == "0" => Ok(false),
            other => Err(ConversionError::wrong_type(other, "a truth value")),
        }
    }
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl FromValue for $ty {
            fn from_value(value: Value) -> Result<Self, ConversionError> {
                const WANTED: &str = concat!("an integer (", stringify!($ty), ")");
                match &value {
                    Value::Int(number) => <$ty>::try_from(*number)
                        .map_err(|_| ConversionError::bad_content(number.to_string().as_bytes(), WANTED)),
                    // RESP2 sends both as what can be read as a number.
                    Value::Bool(flag) => Ok(<$ty>::from(*flag)),
                    Value::Double(number) => whole(*number)
                        .and_then(|number| <$ty>::try_from(number).ok())
                        .ok_or_else(|| ConversionError::bad_content(number.to_string().as_bytes(), WANTED)),
                    other => parsed(other, WANTED),
                }
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 isize u16 u32 u64 u128 usize);

/// The integer that a double is exactly, if it is one: to 2^53 either way, beyond which doubles leave integers out.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // The cast is exact within these bounds.
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl FromValue for u8 {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let wide = u16::from_value(value)?;
        Self::try_from(wide)
            .map_err(|_| ConversionError::bad_content(wide.to_string().as_bytes(), "an integer (u8)"))
    }

    fn vec_from_bytes(bytes: Bytes) -> Result<Vec<Self>, ConversionError> {
        Ok(bytes.into())
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        match &value {
            Value::Double(number) => Ok(*number),
            // Exact up to 2^53, like every number that the servers keep as a double.
            Value::Int(number) => Ok(*number as Self),
            other => parsed(other, "a number"),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        f64::from_value(value).map(|number| number as Self)
    }
}

/// A number that came as text.
fn parsed<T: std::str::FromStr>(value: &Value, wanted: &'static str) -> Result<T, ConversionError> {
    let Some(bytes) = value.as_bytes() else { return Err(ConversionError::wrong_type(value, wanted)) };
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ConversionError::bad_content(bytes, wanted))
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        match value {
            Value::Bulk(bytes) | Value::Simple(bytes) | Value::BigNumber(bytes) => Ok(bytes),
            Value::Verbatim { text, .. } => Ok(text),
            Value::Int(number) => Ok(number.to_string().into()),
            Value::Double(number) => Ok(number.to_string().into()),
            Value::Bool(flag) => Ok(Bytes::from_static(if flag { b"1" } else { b"0" })),
            other => Err(ConversionError::wrong_type(&other, "a string")),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let bytes = Bytes::from_value(value)?;
        // A reply that nobody else holds gives its buffer away: no copy.
        Self::from_utf8(bytes.into())
            .map_err(|error| ConversionError::bad_content(error.as_bytes(), "a UTF-8 text"))
    }
}

impl FromValue for Box<str> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        String::from_value(value).map(Self::from)
    }
}

impl FromValue for Arc<str> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        String::from_value(value).map(Self::from)
    }
}

/// The elements of an array or set; the pairs of a map as two-element arrays.
fn items(value: Value, wanted: &'static str) -> Result<Vec<Value>, ConversionError> {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => Ok(items),
        Value::Map(pairs) => {
            Ok(pairs.into_iter().map(|(key, value)| Value::Array(vec![key, value])).collect())
        }
        other => Err(ConversionError::wrong_type(&other, wanted)),
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        match value {
            Value::Bulk(bytes) | Value::Simple(bytes) => T::vec_from_bytes(bytes),
            other => T::vec_from_items(items(other, "a list")?),
        }
    }
}

impl<T: FromValue> FromValue for VecDeque<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        Vec::from_value(value).map(Self::from)
    }
}

/// A list of exactly `N` elements; bytes of that length for `u8`.
impl<T: FromValue, const N: usize> FromValue for [T; N] {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        Vec::<T>::from_value(value)?
            .try_into()
            .map_err(|items: Vec<T>| ConversionError::WrongLength { got: items.len(), wanted: N })
    }
}

impl<T: FromValue + Eq + Hash, S: BuildHasher + Default> FromValue for HashSet<T, S> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        items(value, "a set")?.into_iter().map(T::from_value).collect()
    }
}

impl<T: FromValue + Ord> FromValue for BTreeSet<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        items(value, "a set")?.into_iter().map(T::from_value).collect()
    }
}

/// The pairs of a map, of a flat array or of an array of pairs.
fn pairs<K: FromValue, V: FromValue>(value: Value) -> Result<Vec<(K, V)>, ConversionError> {
    match value {
        Value::Map(pairs) => {
            pairs.into_iter().map(|(key, value)| Ok((K::from_value(key)?, V::from_value(value)?))).collect()
        }
        other => <(K, V)>::vec_from_items(items(other, "a map")?),
    }
}

impl<K: FromValue + Eq + Hash, V: FromValue, S: BuildHasher + Default> FromValue for HashMap<K, V, S> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        Ok(pairs(value)?.into_iter().collect())
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        Ok(pairs(value)?.into_iter().collect())
    }
}

impl<A: FromValue, B: FromValue> FromValue for (A, B) {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let [a, b] = exactly(items(value, "a list of 2")?)?;
        Ok((A::from_value(a)?, B::from_value(b)?))
    }

    fn vec_from_items(items: Vec<Value>) -> Result<Vec<Self>, ConversionError> {
        if items.iter().all(|item| matches!(item, Value::Array(_))) {
            return items.into_iter().map(Self::from_value).collect();
        }
        if items.len() % 2 == 1 {
            return Err(ConversionError::WrongLength { got: items.len(), wanted: items.len() + 1 });
        }
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(a), Some(b)) = (items.next(), items.next()) {
            pairs.push((A::from_value(a)?, B::from_value(b)?));
        }
        Ok(pairs)
    }
}

fn exactly<const N: usize>(items: Vec<Value>) -> Result<[Value; N], ConversionError> {
    items.try_into().map_err(|items: Vec<Value>| ConversionError::WrongLength { got: items.len(), wanted: N })
}

macro_rules! tuples {
    ($($count:literal: $($ty:ident $value:ident),+;)*) => {$(
        impl<$($ty: FromValue),+> FromValue for ($($ty,)+) {
            fn from_value(value: Value) -> Result<Self, ConversionError> {
                let [$($value),+] = exactly(items(value, concat!("a list of ", $count))?)?;
                Ok(($($ty::from_value($value)?,)+))
            }
        }
    )*};
}

tuples! {
    1: A a;
    3: A a, B b, C c;
    4: A a, B b, C c, D d;
    5: A a, B b, C c, D d, E e;
    6: A a, B b, C c, D d, E e, F f;
    7: A a, B b, C c, D d, E e, F f, G g;
    8: A a, B b, C c, D d, E e, F f, G g, H h;
    9: A a, B b, C c, D d, E e, F f, G g, H h, I i;
    10: A a, B b, C c, D d, E e, F f, G g, H h, I i, J j;
    11: A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k;
    12: A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k, L l;
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{ConversionError, FromValue};
    use crate::protocol::server_error::ServerError;
    use crate::protocol::value::Value;

    fn bulk(text: &str) -> Value {
        Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn scalars_are_read_from_both_versions_of_resp() {
        assert_eq!(i64::from_value(bulk("-7")), Ok(-7));
        assert_eq!(u8::from_value(Value::Int(255)), Ok(255));
        assert_eq!(f64::from_value(bulk("1.5")), f64::from_value(Value::Double(1.5)));
        assert_eq!(f64::from_value(bulk("inf")), Ok(f64::INFINITY));
        assert_eq!(String::from_value(bulk("a")), Ok("a".to_owned()));
        assert_eq!(Vec::<u8>::from_value(bulk("a")), Ok(b"a".to_vec()));
        assert_eq!(bool::from_value(Value::OK), Ok(true));
        assert_eq!(bool::from_value(Value::Nil), Ok(false));
        assert_eq!(Option::<String>::from_value(Value::Nil), Ok(None));
        assert_eq!(Arc::<str>::from_value(bulk("a")), Ok("a".into()));
    }

    #[test]
    fn what_resp3_sends_as_another_type_is_read_as_what_resp2_sends() {
        for (resp3, resp2) in [
            (Value::Double(3.0), bulk("3")),
            (Value::Double(-0.0), bulk("-0")),
            (Value::Bool(true), Value::Int(1)),
            (Value::Bool(false), Value::Int(0)),
        ] {
            assert_eq!(i64::from_value(resp3.clone()), i64::from_value(resp2.clone()));
            assert_eq!(bool::from_value(resp3.clone()).ok(), bool::from_value(resp2.clone()).ok());
            assert_eq!(String::from_value(resp3), String::from_value(resp2));
        }
        let scores = Value::Array(vec![Value::Array(vec![bulk("ann"), Value::Double(7.0)])]);
        assert_eq!(Vec::from_value(scores), Ok(vec![("ann".to_owned(), 7_u32)]));
        for (number, text) in [(1.5, "1.5"), (1e300, "1"), (f64::NAN, "NaN"), (-1.0, "-1")] {
            let error = u64::from_value(Value::Double(number)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the reply \"{text}")), "{error}");
        }
    }

    #[test]
    fn an_array_has_the_length_that_it_says() {
        let list = || Value::Array(vec![bulk("a"), Value::Nil]);
        assert_eq!(<[Option<String>; 2]>::from_value(list()), Ok([Some("a".to_owned()), None]));
        let error = <[Option<String>; 3]>::from_value(list()).unwrap_err();
        assert_eq!(error, ConversionError::WrongLength { got: 2, wanted: 3 });
        assert_eq!(<[u8; 3]>::from_value(bulk("abc")), Ok(*b"abc"));
        assert_eq!(VecDeque::from_value(list()), Ok(VecDeque::from([Some("a".to_owned()), None])));
    }

    #[test]
    fn maps_and_pairs_may_be_flat_or_nested() {
        let flat = Value::Array(vec![bulk("a"), Value::Int(1), bulk("b"), Value::Int(2)]);
        let nested = Value::Array(vec![
            Value::Array(vec![bulk("a"), Value::Int(1)]),
            Value::Array(vec![bulk("b"), Value::Int(2)]),
        ]);
        let map = Value::Map(vec![(bulk("a"), Value::Int(1)), (bulk("b"), Value::Int(2))]);
        let wanted = BTreeMap::from([("a".to_owned(), 1_i64), ("b".to_owned(), 2)]);
        for value in [flat, nested, map] {
            assert_eq!(BTreeMap::from_value(value.clone()), Ok(wanted.clone()));
            assert_eq!(
                Vec::from_value(value),
                Ok(wanted.clone().into_iter().collect::<Vec<(String, i64)>>())
            );
        }
        assert!(HashMap::<String, i64>::from_value(Value::Array(vec![bulk("a")])).is_err());
        assert_eq!(Vec::<(String, String)>::from_value(Value::Array(vec![])), Ok(vec![]));
    }

    #[test]
    fn parts_may_be_nested_and_absent() {
        let reply = Value::Array(vec![
            Value::Array(vec![bulk("a"), Value::Nil]),
            Value::Nil,
            Value::Set(vec![bulk("b")]),
        ]);
        let read = Vec::<Option<Vec<Option<String>>>>::from_value(reply);
        assert_eq!(read, Ok(vec![Some(vec![Some("a".into()), None]), None, Some(vec![Some("b".into())])]));
        let set = BTreeSet::from_value(Value::Set(vec![Value::Int(2), Value::Int(1)]));
        assert_eq!(set, Ok(BTreeSet::from([1_u8, 2])));
        let lists = Value::Map(vec![(bulk("k"), Value::Array(vec![bulk("1"), bulk("2")]))]);
        assert_eq!(HashMap::from_value(lists), Ok(HashMap::from([("k".to_owned(), vec![1_i64, 2])])));
        let popped = Value::Array(vec![bulk("key"), Value::Array(vec![bulk("m"), bulk("1.5")])]);
        let read = Option::<(String, Vec<(String, f64)>)>::from_value(popped);
        assert_eq!(read, Ok(Some(("key".to_owned(), vec![("m".to_owned(), 1.5)]))));
        assert_eq!(Option::<(String, i64)>::from_value(Value::Nil), Ok(None));
        assert_eq!(Vec::<Vec<u8>>::from_value(Value::Array(vec![bulk("a")])), Ok(vec![b"a".to_vec()]));
        assert_eq!(Vec::<bool>::from_value(Value::Array(vec![bulk("1"), bulk("0")])), Ok(vec![true, false]));
    }

    #[test]
    fn a_wrong_type_says_what_came_and_what_was_wanted() {
        for (error, text) in [
            (i64::from_value(bulk("x")).unwrap_err(), "the reply \"x\" is not an integer (i64)"),
            (u16::from_value(Value::Int(-1)).unwrap_err(), "the reply \"-1\" is not an integer (u16)"),
            (
                String::from_value(Value::Nil).unwrap_err(),
                "the reply is nil, wanted a string; ask for an Option to allow it",
            ),
            (Vec::<String>::from_value(Value::Int(1)).unwrap_err(), "the reply is an integer, wanted a list"),
            (
                <(i64, i64)>::from_value(Value::Array(vec![])).unwrap_err(),
                "the reply has 0 elements, wanted 2",
            ),
            (
                Vec::<i64>::from_value(Value::Array(vec![Value::Error(ServerError::new("WRONGTYPE no"))]))
                    .unwrap_err(),
                "the reply holds an error: WRONGTYPE no",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn each_command_of_a_transaction_may_have_its_own_error() {
        let error = ServerError::new("WRONGTYPE no");
        let reply = Value::Array(vec![Value::Int(1), Value::Error(error.clone())]);
        let read = Vec::<Result<i64, ServerError>>::from_value(reply.clone());
        assert_eq!(read, Ok(vec![Ok(1), Err(error.clone())]));
        assert_eq!(<(i64, i64)>::from_value(reply), Err(ConversionError::Server(error)));
    }
}
