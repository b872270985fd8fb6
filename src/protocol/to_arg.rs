//! [`ToArg`]: what may stand as one argument of a command.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::body::{Body, SEGMENT};
use crate::slot::Slot;

/// A value that is written as exactly one argument.
///
/// Arguments are sent with their length in front, so no content can end an argument early or begin another command.
/// Owned values of 4 KiB and more (`Bytes`, `Vec<u8>`, `String`) are sent from where they lie; borrowed ones of that
/// size are copied once.
///
/// ```
/// use keyslot::{ArgWriter, ToArg, WrittenArg};
///
/// struct UserId(u64);
///
/// impl ToArg for UserId {
///     fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
///         format!("user:{}", self.0).write_arg(arg)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a command",
    label = "not one argument: neither text, nor bytes, nor a number",
    note = "an argument is a text (`&str`, `String`), bytes (`&[u8]`, `Vec<u8>`, `Bytes`), a number or a `bool`; lend another form \
            of them (`&*text`), write what has a text as one (`uuid.to_string()`), or implement `ToArg`",
    note = "several arguments go to methods that take them: `Command::args`, `Command::keys`, or a list where a method has `impl \
            ToArgs`; an `Option` is no argument: leave it out, or say what stands for it"
)]
pub trait ToArg {
    /// Writes `self` as one argument.
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg;
}

/// The place for one argument; each of its methods fills it.
#[derive(Debug)]
pub struct ArgWriter<'a> {
    body: &'a mut Body,
    is_key: bool,
}

/// The proof that one argument was written.
#[derive(Debug)]
pub struct WrittenArg {
    /// Of a key only.
    slot: Option<Slot>,
}

impl<'a> ArgWriter<'a> {
    pub(crate) fn value(body: &'a mut Body) -> Self {
        Self { body, is_key: false }
    }

    pub(crate) fn key(body: &'a mut Body) -> Self {
        Self { body, is_key: true }
    }

    /// Writes these bytes.
    pub fn bytes(self, bytes: &[u8]) -> WrittenArg {
        let slot = self.slot_of(bytes);
        self.body.push(bytes);
        WrittenArg { slot }
    }

    /// Writes these bytes, without a copy if they are many.
    pub fn owned(self, bytes: Bytes) -> WrittenArg {
        let slot = self.slot_of(&bytes);
        self.body.push_owned(bytes);
        WrittenArg { slot }
    }

    fn slot_of(&self, bytes: &[u8]) -> Option<Slot> {
        self.is_key.then(|| Slot::of_key(bytes))
    }
}

impl WrittenArg {
    pub(crate) fn slot(self) -> Option<Slot> {
        self.slot
    }
}

/// The arguments that lend their bytes.
macro_rules! borrowed {
    ($($ty:ty => |$value:ident| $bytes:expr;)*) => {$(
        impl ToArg for $ty {
            fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
                let $value = self;
                arg.bytes($bytes)
            }
        }
    )*};
}

borrowed! {
    &str => |text| text.as_bytes();
    &&str => |text| text.as_bytes();
    &&String => |text| text.as_bytes();
    &&&str => |text| text.as_bytes();
    Box<str> => |text| text.as_bytes();
    &Box<str> => |text| text.as_bytes();
    Arc<str> => |text| text.as_bytes();
    &Arc<str> => |text| text.as_bytes();
    &String => |text| text.as_bytes();
    Cow<'_, str> => |text| text.as_bytes();
    &Cow<'_, str> => |text| text.as_bytes();
    &[u8] => |bytes| bytes;
    &&[u8] => |bytes| bytes;
    &Vec<u8> => |bytes| bytes;
    &mut str => |text| text.as_bytes();
    &mut String => |text| text.as_bytes();
    Box<[u8]> => |bytes| &bytes;
    &Box<[u8]> => |bytes| bytes;
    Arc<[u8]> => |bytes| &bytes;
    &Arc<[u8]> => |bytes| bytes;
}

impl<const N: usize> ToArg for [u8; N] {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.bytes(&self)
    }
}

impl<const N: usize> ToArg for &[u8; N] {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.bytes(self)
    }
}

impl ToArg for Bytes {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.owned(self)
    }
}

impl ToArg for &Bytes {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.owned(self.clone())
    }
}

impl ToArg for String {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        self.into_bytes().write_arg(arg)
    }
}

impl ToArg for Vec<u8> {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        // `Bytes` of a vector with room to spare costs an allocation.
        if self.len() < SEGMENT { arg.bytes(&self) } else { arg.owned(self.into()) }
    }
}

/// Numbers in decimal, as the servers read them. Floats are written with the digits that bring the same number back.
macro_rules! numbers {
    ($($ty:ty)*, |$value:ident, $arg:ident| $write:expr) => {$(
        impl ToArg for $ty {
            fn write_arg(self, $arg: ArgWriter<'_>) -> WrittenArg {
                let $value = self;
                $write
            }
        }

        impl ToArg for &$ty {
            fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
                (*self).write_arg(arg)
            }
        }
    )*};
}

numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize, |value, arg| {
    arg.bytes(itoa::Buffer::new().format(value).as_bytes())
});
numbers!(f32 f64, |value, arg| arg.bytes(value.to_string().as_bytes()));

/// 1 or 0, as [`FromValue`](crate::FromValue) reads it.
impl ToArg for bool {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.bytes(if self { b"1" } else { b"0" })
    }
}

impl ToArg for &bool {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        (*self).write_arg(arg)
    }
}

impl ToArg for Slot {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        self.get().write_arg(arg)
    }
}
