//! Types of flags with the tables of their names.

/// The name of a constant: its own behind the table's prefix, unless another is given.
macro_rules! name {
    ($prefix:literal, $flag:ident) => {
        concat!($prefix, stringify!($flag))
    };
    ($prefix:literal, $flag:ident, $name:literal) => {
        $name
    };
}

/// A type of flags and the table of their names, from one list. Entries of fields that several bits make stand in `first` and
/// `last`, as they are to be printed.
macro_rules! flags {
    (
        $(#[$($doc:tt)*])*
        $type:ident, $table:ident: $what:literal, $prefix:literal, zero $zero:expr, hint $hint:literal;
        $(first [$($first:expr),* $(,)?])?
        { $($(#[$($flag_doc:tt)*])* $flag:ident $(as $name:literal)? = $value:expr;)* }
        $(last [$($last:expr),* $(,)?])?
    ) => {
        bitflags::bitflags! {
            $(#[$($doc)*])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
            pub struct $type: u64 {
                $($(#[$($flag_doc)*])* const $flag = $value;)*
                const _ = !0;
            }
        }

        #[doc = concat!("Names of [`", stringify!($type), "`].")]
        pub const $table: $crate::NameTable = $crate::NameTable {
            what: $what,
            prefix: $prefix,
            hint: $hint,
            zero: $zero,
            style: $crate::names::Style::Flags,
            entries: &[
                $($($first,)*)?
                $($crate::Named::flag($crate::named_flags::name!($prefix, $flag $(, $name)?), $value),)*
                $($($last,)*)?
            ],
        };

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $table.text(self.bits()).fmt(f)
            }
        }

        impl $crate::Param for $type {
            type Value = Self;
            const KIND: $crate::Kind = $crate::Kind::Flags(&$table);

            fn put(value: &Self) -> $crate::Value {
                $crate::Value::Number(value.bits())
            }

            fn take(value: $crate::Value) -> Option<Self> {
                value.number().map(Self::from_bits_retain)
            }
        }
    };
}

pub(crate) use {flags, name};
