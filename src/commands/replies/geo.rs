//! Replies about places.

use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

/// A place on earth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoPosition {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

impl FromValue for GeoPosition {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let (longitude, latitude) = FromValue::from_value(value)?;
        Ok(Self { longitude, latitude })
    }
}

/// A member that `geosearch_options` found, with what was asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct GeoMatch {
    /// Its name.
    pub member: bytes::Bytes,
    /// How far from the origin it is, in the unit of the area.
    pub distance: Option<f64>,
    /// Its geohash as a number.
    pub hash: Option<i64>,
    /// Where it is.
    pub position: Option<GeoPosition>,
}

impl FromValue for GeoMatch {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let parts = match value {
            Value::Array(parts) => parts,
            member => vec![member],
        };
        let mut parts = parts.into_iter();
        let member = FromValue::from_value(parts.next().unwrap_or(Value::Nil))?;
        let mut found = Self { member, distance: None, hash: None, position: None };
        for part in parts {
            match part {
                Value::Int(hash) => found.hash = Some(hash),
                position @ Value::Array(_) => found.position = Some(GeoPosition::from_value(position)?),
                distance => found.distance = Some(f64::from_value(distance)?),
            }
        }
        Ok(found)
    }
}
