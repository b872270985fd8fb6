//! [`Serde`]: replies as types that serde can read.

use std::fmt::Display;

use bytes::Bytes;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::{Deserializer, de, forward_to_deserialize_any};

use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

/// A reply that is read by serde's `Deserialize`: a hash as a struct, above all.
///
/// Numbers and truth values may come as texts, as they lie in a hash; a nil is an `Option`'s `None`; a map may come as a
/// flat list, as RESP2 sends it. The key of a hash that does not exist is an empty one: its fields are missing.
///
/// ```
/// use keyslot::{FromValue, Serde, Value};
///
/// #[derive(serde::Deserialize)]
/// struct User {
///     name: String,
///     visits: u32,
///     email: Option<String>,
/// }
///
/// # fn bulk(text: &str) -> Value { Value::Bulk(text.to_owned().into()) }
/// # let reply = Value::Array(vec![bulk("name"), bulk("Ann"), bulk("visits"), bulk("7")]);
/// // let Serde(user): Serde<User> = client.hgetall("user:1").await?;
/// let Serde(user): Serde<User> = FromValue::from_value(reply)?;
/// assert_eq!((user.name.as_str(), user.visits, user.email), ("Ann", 7, None));
/// # Ok::<(), keyslot::ConversionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serde<T>(pub T);

impl<T: DeserializeOwned> FromValue for Serde<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        T::deserialize(Reply(value)).map(Self)
    }
}

impl de::Error for ConversionError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Unfitting { text: message.to_string() }
    }
}

/// One reply, or a part of it, on its way into a type.
struct Reply(Value);

impl IntoDeserializer<'_, ConversionError> for Reply {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Reply {
    /// The elements of a list; the pairs of a map are lists of two.
    fn seq<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        let mut items = SeqDeserializer::new(Vec::<Value>::from_value(self.0)?.into_iter().map(Reply));
        let read = visitor.visit_seq(&mut items)?;
        items.end()?;
        Ok(read)
    }

    fn map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        let pairs = match self.0 {
            Value::Map(pairs) => pairs,
            flat_or_nested => Vec::<(Value, Value)>::from_value(flat_or_nested)?,
        };
        let pairs = pairs.into_iter().map(|(key, value)| (Self(key), Self(value)));
        let mut pairs = MapDeserializer::new(pairs);
        let read = visitor.visit_map(&mut pairs)?;
        pairs.end()?;
        Ok(read)
    }

    fn text<'de, V: Visitor<'de>>(bytes: Bytes, visitor: V) -> Result<V::Value, ConversionError> {
        match String::from_utf8(bytes.into()) {
            Ok(text) => visitor.visit_string(text),
            Err(error) => visitor.visit_byte_buf(error.into_bytes()),
        }
    }
}

/// Numbers, from wherever they stand.
macro_rules! numbers {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
            visitor.$visit(FromValue::from_value(self.0)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reply {
    type Error = ConversionError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        match self.0 {
            Value::Nil => visitor.visit_unit(),
            Value::Int(number) => visitor.visit_i64(number),
            Value::Double(number) => visitor.visit_f64(number),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Simple(text)
            | Value::Bulk(text)
            | Value::BigNumber(text)
            | Value::Verbatim { text, .. } => Self::text(text, visitor),
            Value::Array(_) | Value::Set(_) | Value::Push(_) => self.seq(visitor),
            Value::Map(_) => self.map(visitor),
            Value::Error(error) => Err(ConversionError::Server(error)),
        }
    }

    numbers! {
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        match self.0.as_bytes() {
            Some(b"true") => visitor.visit_bool(true),
            Some(b"false") => visitor.visit_bool(false),
            Some(_) | None => visitor.visit_bool(bool::from_value(self.0)?),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        visitor.visit_string(String::from_value(self.0)?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        visitor.visit_byte_buf(Vec::<u8>::from_value(self.0)?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        if self.0 == Value::Nil { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConversionError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, ConversionError> {
        self.seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, ConversionError> {
        self.seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConversionError> {
        self.map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConversionError> {
        visitor.visit_enum(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        <()>::from_value(self.0)?;
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { unit_struct }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConversionError> {
        self.deserialize_bytes(visitor)
    }
}

/// A text is a variant without content.
impl<'de> EnumAccess<'de> for Reply {
    type Error = ConversionError;
    type Variant = Unit;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Unit), ConversionError> {
        Ok((seed.deserialize(self)?, Unit))
    }
}

/// The content of a variant: none, because a text has none.
struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = ConversionError;

    fn unit_variant(self) -> Result<(), ConversionError> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(
        self,
        _seed: S,
    ) -> Result<S::Value, ConversionError> {
        Err(no_content())
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        _visitor: V,
    ) -> Result<V::Value, ConversionError> {
        Err(no_content())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ConversionError> {
        Err(no_content())
    }
}

fn no_content() -> ConversionError {
    ConversionError::Unfitting { text: "a text is a variant without content".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::Serde;
    use crate::protocol::from_value::{ConversionError, FromValue};
    use crate::protocol::value::Value;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
        High,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct User {
        name: String,
        visits: u32,
        ratio: f64,
        active: bool,
        level: Level,
        email: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.to_owned().into())
    }

    fn fields() -> Vec<(Value, Value)> {
        let texts = [("name", "Ann"), ("visits", "7"), ("ratio", "0.5"), ("active", "1"), ("level", "high")];
        let texts = texts.into_iter().chain([("not asked for", "x")]);
        texts.map(|(name, value)| (bulk(name), bulk(value))).collect()
    }

    #[test]
    fn a_struct_is_read_from_a_hash_in_both_versions_of_resp() {
        let ann = User {
            name: "Ann".to_owned(),
            visits: 7,
            ratio: 0.5,
            active: true,
            level: Level::High,
            email: None,
            tags: vec![],
        };
        let flat = fields().into_iter().flat_map(|(name, value)| [name, value]).collect();
        for reply in [Value::Map(fields()), Value::Array(flat)] {
            assert_eq!(Serde::<User>::from_value(reply).unwrap().0, ann);
        }
    }

    #[test]
    fn parts_may_be_lists_maps_nils_and_numbers() {
        let reply = Value::Array(vec![
            Value::Map(vec![(bulk("a"), Value::Int(1))]),
            Value::Array(vec![bulk("x"), Value::Nil]),
            Value::Double(1.5),
        ]);
        type Parts = (BTreeMap<String, i64>, Vec<Option<char>>, f32);
        let Serde((map, list, number)) = Serde::<Parts>::from_value(reply).unwrap();
        assert_eq!((map["a"], list, number), (1, vec![Some('x'), None], 1.5));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut some = fields();
        some.truncate(1);
        let error = Serde::<User>::from_value(Value::Map(some)).unwrap_err();
        assert_eq!(error.to_string(), "missing field `visits`");
        let error = Serde::<User>::from_value(Value::Array(vec![])).unwrap_err();
        assert_eq!(error.to_string(), "missing field `name`");
        let error = Serde::<Vec<u8>>::from_value(Value::Array(vec![bulk("x")])).unwrap_err();
        assert!(matches!(error, ConversionError::BadContent { .. }), "{error}");
        assert!(
            Serde::<Level>::from_value(bulk("middle")).unwrap_err().to_string().contains("unknown variant")
        );
    }
}
