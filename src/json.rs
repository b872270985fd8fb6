//! JSON as arguments and replies, for `JSON.SET` and its like as well as for strings that hold JSON.
//!
//! The methods `json_get`, `json_set` and so on of [`Commands`](crate::Commands) are for servers with a JSON module. Anything
//! that takes an argument takes JSON:
//!
//! ```no_run
//! # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
//! use keyslot::Commands;
//! use keyslot::json::{Json, to_json};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! client.set("user:1", to_json(&User { name: "Ann".into() })?).await?;
//! let user: Option<Json<User>> = client.get("user:1").await?;
//! # Ok(())
//! # }
//! ```

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::to_arg::{ArgWriter, ToArg, WrittenArg};
use crate::protocol::to_args::{Element, ToArgs};
use crate::protocol::value::Value;

/// A value that is, or becomes, a text of JSON.
///
/// As a reply it is read by `T`'s `Deserialize`, from a text or from a list of numbers and nils: what RESP2 has as a text such as
/// `[3,null]`, the RESP3 of a JSON module has as a list (`JSON.NUMINCRBY`). As an argument it may be a [`serde_json::Value`], which can always be
/// written; of other types [`to_json`] makes one, and tells if it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// JSON as an argument, made by [`to_json`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

/// Writes `value` as JSON.
///
/// # Errors
///
/// If its `Serialize` fails, or it has a map whose keys are no texts.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<JsonText> {
    match serde_json::to_vec(value) {
        Ok(text) => Ok(JsonText(text.into())),
        Err(error) => Err(Error::usage("the value cannot be written as JSON").with_source(error)),
    }
}

impl<T: DeserializeOwned> FromValue for Json<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let read = match numbers(&value) {
            Some(list) => serde_json::from_value(list),
            None => serde_json::from_slice(&Bytes::from_value(value)?),
        };
        read.map(Self).map_err(|error| ConversionError::Unfitting { text: error.to_string() })
    }
}

/// As JSON, if it is a list of nothing but numbers and nils.
fn numbers(value: &Value) -> Option<serde_json::Value> {
    let Value::Array(list) = value else { return None };
    let number = |element: &Value| match element {
        Value::Int(number) => Some(serde_json::Value::from(*number)),
        Value::Double(number) => Some(serde_json::Value::from(*number)),
        Value::Nil => Some(serde_json::Value::Null),
        _no_number => None,
    };
    list.iter().map(number).collect::<Option<Vec<_>>>().map(serde_json::Value::Array)
}

impl ToArg for Json<serde_json::Value> {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        self.0.to_string().write_arg(arg)
    }
}

impl ToArg for &Json<serde_json::Value> {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        self.0.to_string().write_arg(arg)
    }
}

impl ToArg for JsonText {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        self.0.write_arg(arg)
    }
}

impl ToArg for &JsonText {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        (&self.0).write_arg(arg)
    }
}

macro_rules! elements {
    ($($ty:ty)*) => {$(
        impl ToArgs for $ty {
            type Arg = Self;

            fn into_args(self) -> impl Iterator<Item = Self> {
                std::iter::once(self)
            }
        }

        impl Element for $ty {
            type Lent<'a> = &'a Self;

            fn lend(&self) -> &Self {
                self
            }
        }
    )*};
}

elements!(Json<serde_json::Value> JsonText);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde::{Deserialize, Serialize};

    use super::{Json, to_json};
    use crate::command::Command;
    use crate::error::{ErrorKind, Outcome};
    use crate::protocol::from_value::FromValue;
    use crate::protocol::value::Value;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct User {
        name: String,
        visits: u32,
    }

    #[test]
    fn what_is_written_is_read_again() {
        let ann = User { name: "Ann".to_owned(), visits: 7 };
        let text = to_json(&ann).unwrap();
        let command = Command::new("JSON.SET").key("k").arg("$").arg(&text);
        assert_eq!(command.arg_at(3), br#"{"name":"Ann","visits":7}"#);
        let reply = Value::Bulk(bytes::Bytes::copy_from_slice(command.arg_at(3)));
        assert_eq!(Json::<User>::from_value(reply).unwrap().0, ann);
        let command = Command::new("SET").key("k").arg(Json(serde_json::json!([1, null])));
        assert_eq!(command.arg_at(2), b"[1,null]");
        let several = Vec::<Option<Json<Vec<i64>>>>::from_value(Value::Array(vec![
            Value::Bulk("[1]".into()),
            Value::Nil,
        ]));
        assert_eq!(several.unwrap(), [Some(Json(vec![1])), None]);
    }

    #[test]
    fn a_list_of_numbers_is_the_same_as_its_text() {
        type Numbers = Json<Vec<Option<f64>>>;
        let list = Value::Array(vec![Value::Int(4), Value::Nil, Value::Double(2.5)]);
        let read = Numbers::from_value(list).unwrap();
        assert_eq!(read, Json(vec![Some(4.0), None, Some(2.5)]));
        assert_eq!(Numbers::from_value(Value::Bulk("[4,null,2.5]".into())).unwrap(), read);
        let texts = Value::Array(vec![Value::Int(4), Value::Bulk("5".into())]);
        assert!(Numbers::from_value(texts).is_err());
    }

    #[test]
    fn what_is_no_json_is_told() {
        let error = to_json(&BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected));
        assert_eq!(error.to_string(), "the value cannot be written as JSON: key must be a string");
        let error = Json::<HashMap<String, i64>>::from_value(Value::Bulk("{".into())).unwrap_err();
        assert!(error.to_string().starts_with("EOF while parsing"), "{error}");
    }
}
