//! How builders and enums become arguments.

/// Makes arguments of builders: `SetOptions: |options| words;`
macro_rules! written {
    ($($ty:ty: |$value:ident| $words:expr;)*) => {$(
        impl crate::protocol::to_args::ToArgs for $ty {
            type Arg = crate::protocol::word::Word;

            fn into_args(self) -> impl Iterator<Item = Self::Arg> {
                let $value = self;
                $words.into_iter()
            }
        }
    )*};
}

/// Enums of which each variant is one keyword.
macro_rules! keywords {
    ($(
        $(#[$about:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $keyword:literal,)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl From<$name> for crate::protocol::word::Word {
            fn from(value: $name) -> Self {
                Self::from(match value { $($name::$variant => $keyword,)* })
            }
        }

        impl crate::protocol::to_arg::ToArg for $name {
            fn write_arg(
                self,
                arg: crate::protocol::to_arg::ArgWriter<'_>,
            ) -> crate::protocol::to_arg::WrittenArg {
                crate::protocol::word::Word::from(self).write_arg(arg)
            }
        }
    )*};
}

pub(super) use {keywords, written};
