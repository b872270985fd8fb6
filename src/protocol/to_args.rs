//! [`ToArgs`]: one argument or several, where a command takes both.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::to_arg::ToArg;

/// One argument, or an array, slice or vector of them: `del("a")` as well as `del(["a", "b"])`.
///
/// Bytes (`&[u8]`, `[u8; N]`, `Vec<u8>`) are one argument, never a list of small numbers. An iterator stands in [`Each`].
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use std::collections::HashSet;
///
/// use keyslot::{Commands, Each};
///
/// client.sadd("tags", "red").await?;
/// client.sadd("tags", ["green", "blue"]).await?;
/// client.sadd("tags", vec!["grey".to_owned()]).await?;
/// client.sadd("tags", Each(HashSet::from(["white"]))).await?;
/// assert_eq!(client.scard("tags").await?, 5);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither one argument of a command nor a list of them",
    label = "not a text, bytes, a number, or an array, slice or `Vec` of these",
    note = "an iterator, a set or a list of another type stands in `keyslot::Each(..)`; what has a text is written as one \
            (`uuid.to_string()`)"
)]
pub trait ToArgs {
    /// What stands as one argument.
    type Arg: ToArg;

    /// All of them, in order.
    fn into_args(self) -> impl Iterator<Item = Self::Arg>;
}

/// A type that may be an element of a list of arguments; `u8` is not one, because a list of it is bytes.
#[diagnostic::on_unimplemented(
    message = "a list of `{Self}` is no list of arguments",
    note = "lists are of texts (`&str`, `String`), bytes (`&[u8]`, `Vec<u8>`, `Bytes`) and numbers; a list of another type that is an \
            argument stands in `keyslot::Each(..)`"
)]
pub trait Element: ToArg {
    /// The same, lent.
    type Lent<'a>: ToArg
    where
        Self: 'a;

    /// Lends itself.
    fn lend(&self) -> Self::Lent<'_>;
}

macro_rules! single {
    ($($ty:ty, lent as $lent:ty: |$value:ident| $lend:expr;)*) => {$(
        impl ToArgs for $ty {
            type Arg = Self;

            fn into_args(self) -> impl Iterator<Item = Self> {
                std::iter::once(self)
            }
        }

        impl Element for $ty {
            type Lent<'l> = $lent where Self: 'l;

            fn lend(&self) -> Self::Lent<'_> {
                let $value = self;
                $lend
            }
        }
    )*};
}

single! {
    &str, lent as &'l str: |text| text;
    String, lent as &'l String: |text| text;
    &String, lent as &'l String: |text| text;
    Cow<'_, str>, lent as &'l str: |text| text;
    Bytes, lent as &'l Bytes: |bytes| bytes;
    &Bytes, lent as &'l Bytes: |bytes| bytes;
    Vec<u8>, lent as &'l Vec<u8>: |bytes| bytes;
    &[u8], lent as &'l [u8]: |bytes| bytes;
    &&str, lent as &'l str: |text| text;
    &&String, lent as &'l str: |text| text.as_str();
    &Cow<'_, str>, lent as &'l str: |text| text;
    Box<str>, lent as &'l str: |text| text;
    &Box<str>, lent as &'l str: |text| text;
    Arc<str>, lent as &'l str: |text| text;
    &Arc<str>, lent as &'l str: |text| text;
    &&[u8], lent as &'l [u8]: |bytes| bytes;
    Box<[u8]>, lent as &'l [u8]: |bytes| bytes;
    Arc<[u8]>, lent as &'l [u8]: |bytes| bytes;
    &Arc<[u8]>, lent as &'l [u8]: |bytes| bytes;
    bool, lent as bool: |flag| *flag;
    i8, lent as i8: |number| *number;
    i16, lent as i16: |number| *number;
    i32, lent as i32: |number| *number;
    i64, lent as i64: |number| *number;
    i128, lent as i128: |number| *number;
    isize, lent as isize: |number| *number;
    u16, lent as u16: |number| *number;
    u32, lent as u32: |number| *number;
    u64, lent as u64: |number| *number;
    u128, lent as u128: |number| *number;
    usize, lent as usize: |number| *number;
    f32, lent as f32: |number| *number;
    f64, lent as f64: |number| *number;
    &i32, lent as i32: |number| **number;
    &i64, lent as i64: |number| **number;
    &u32, lent as u32: |number| **number;
    &u64, lent as u64: |number| **number;
    &usize, lent as usize: |number| **number;
    &f64, lent as f64: |number| **number;
}

/// The items of any iterator, where a command takes one argument or several.
///
/// ```no_run
/// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
/// use keyslot::{Commands, Each};
///
/// client.del(Each((0..10).map(|number| format!("job:{number}")))).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Each<I>(pub I);

impl<I: IntoIterator<Item: ToArg>> ToArgs for Each<I> {
    type Arg = I::Item;

    fn into_args(self) -> impl Iterator<Item = Self::Arg> {
        self.0.into_iter()
    }
}

impl<const N: usize> Element for &[u8; N] {
    type Lent<'l>
        = &'l [u8; N]
    where
        Self: 'l;

    fn lend(&self) -> Self::Lent<'_> {
        self
    }
}

impl<const N: usize> ToArgs for [u8; N] {
    type Arg = Self;

    fn into_args(self) -> impl Iterator<Item = Self> {
        std::iter::once(self)
    }
}

impl<const N: usize> ToArgs for &[u8; N] {
    type Arg = Self;

    fn into_args(self) -> impl Iterator<Item = Self> {
        std::iter::once(self)
    }
}

impl<'a> ToArgs for &'a Vec<u8> {
    type Arg = &'a Vec<u8>;

    fn into_args(self) -> impl Iterator<Item = Self::Arg> {
        std::iter::once(self)
    }
}

impl<T: Element, const N: usize> ToArgs for [T; N] {
    type Arg = T;

    fn into_args(self) -> impl Iterator<Item = T> {
        self.into_iter()
    }
}

impl<T: Element> ToArgs for Vec<T> {
    type Arg = T;

    fn into_args(self) -> impl Iterator<Item = T> {
        self.into_iter()
    }
}

impl<'a, T: Element, const N: usize> ToArgs for &'a [T; N] {
    type Arg = T::Lent<'a>;

    fn into_args(self) -> impl Iterator<Item = Self::Arg> {
        self.iter().map(|item: &'a T| item.lend())
    }
}

impl<'a, T: Element> ToArgs for &'a [T] {
    type Arg = T::Lent<'a>;

    fn into_args(self) -> impl Iterator<Item = Self::Arg> {
        self.iter().map(|item: &'a T| item.lend())
    }
}

impl<'a, T: Element> ToArgs for &'a Vec<T> {
    type Arg = T::Lent<'a>;

    fn into_args(self) -> impl Iterator<Item = Self::Arg> {
        self.iter().map(|item: &'a T| item.lend())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::{Each, ToArgs};
    use crate::protocol::body::Body;
    use crate::protocol::to_arg::{ArgWriter, ToArg};

    fn written(args: impl ToArgs) -> Vec<String> {
        let mut body = Body::default();
        for arg in args.into_args() {
            arg.write_arg(ArgWriter::value(&mut body));
        }
        body.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
    }

    #[test]
    fn one_argument_or_a_list_of_them() {
        assert_eq!(written("a"), ["a"]);
        assert_eq!(written(["a", "b"]), ["a", "b"]);
        let strings = vec!["a".to_owned(), "b".to_owned()];
        let texts = ["a", "b"];
        assert_eq!(written(texts.as_slice()), texts);
        assert_eq!(written(strings.as_slice()), texts);
        assert_eq!(written(strings), texts);
        assert_eq!(written([1_i64, 2]), ["1", "2"]);
        assert_eq!(written(7_u64), ["7"]);
        assert_eq!(written(vec![Arc::<str>::from("a"), Arc::from("b")]), ["a", "b"]);
        assert_eq!(written(Each(texts.iter())), texts);
        assert_eq!(written(Each(BTreeSet::from(["b", "a"]))), ["a", "b"]);
        assert_eq!(written(Each((0..3).map(|number| number * 2))), ["0", "2", "4"]);
    }

    #[test]
    fn bytes_are_one_argument() {
        assert_eq!(written(b"abc"), ["abc"]);
        assert_eq!(written(*b"abc"), ["abc"]);
        assert_eq!(written(&b"abc"[..]), ["abc"]);
        assert_eq!(written(b"abc".to_vec()), ["abc"]);
        assert_eq!(written([b"a", b"b"]), ["a", "b"]);
    }
}
