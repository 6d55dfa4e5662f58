//! The parameters that calls have.

use crate::kind::{Bounds, Kind, Param, Value};
use crate::{Access, SHMGET, ShmFlags, Switch, ThpKey, ThpMode, Timing};

macro_rules! bounded {
    ($what:literal, $expected:literal, $min:expr, $max:expr) => {
        Kind::Number(&Bounds { what: $what, expected: $expected, min: $min, max: $max })
    };
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($value:ty) = $kind:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Param for $name {
                type Value = $value;
                const KIND: Kind = $kind;

                fn put(value: &$value) -> Value {
                    Value::Number((*value).into())
                }

                fn take(value: Value) -> Option<$value> {
                    value.number()?.try_into().ok()
                }
            }
        )*
    };
}

numbers! {
    /// [`Kind::Addr`]
    Addr(u64) = Kind::Addr;
    /// [`Kind::Len`]
    Len(u64) = Kind::Len;
    /// [`Kind::NewAddr`]
    NewAddr(u64) = Kind::NewAddr;
    /// [`Kind::NewLen`]
    NewLen(u64) = Kind::NewLen;
    /// [`Kind::Offset`]
    Offset(u64) = Kind::Offset;
    /// [`Kind::Bytes`]
    Bytes(u64) = Kind::Bytes;
    /// A byte of memory.
    Byte(u8) = bounded!("a byte", "a byte, 0 to 255", 0, 255);
    /// What is written to clear_refs.
    ClearRefs(u8) = bounded!("what clear_refs knows", "1 to 5, of which 4 clears soft-dirty", 1, 5);
    /// A number of NUMA nodes.
    Nodes(u8) = bounded!("a number of nodes", "a number of nodes, 1 to 64", 1, 64);
    /// A NUMA node.
    Node(u8) = bounded!("a node", "a node, 0 to 63, or 64 for the local one", 0, 64);
    /// The order of a folio.
    Order(u8) = bounded!("an order", "the order of a folio, as in `2` for four pages", 0, 63);
    /// A limit of pages.
    MaxPages(u64) = bounded!("a number of pages", "a number of pages, or 0 for no limit", 0, u64::MAX);
    /// A number that means what the kernel says it means.
    Plain(u64) = bounded!("a number", "a number, as in `0`", 0, u64::MAX);
    /// The key of a System V segment.
    Key(u32) = bounded!("a key", "the key of a segment, or 0 for one of its own", 0, u32::MAX as u64);
}

macro_rules! words {
    ($($name:ident: $word:ident = $kind:ident;)*) => {
        $(
            #[doc = concat!("[`", stringify!($word), "`]")]
            #[derive(Debug)]
            pub enum $name {}

            impl Param for $name {
                type Value = $word;
                const KIND: Kind = Kind::$kind($word::WORDS);

                fn put(value: &$word) -> Value {
                    Value::Number(*value as u64)
                }

                fn take(value: Value) -> Option<$word> {
                    $word::ALL.get(usize::try_from(value.number()?).ok()?).copied()
                }
            }
        )*
    };
}

words! {
    AccessWord: Access = Word;
    SwitchWord: Switch = Word;
    TimingWord: Timing = Quoted;
    ModeWord: ThpMode = Quoted;
}

macro_rules! others {
    ($($(#[$doc:meta])* $name:ident($value:ty) = $kind:expr, $variant:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Param for $name {
                type Value = $value;
                const KIND: Kind = $kind;

                fn put(value: &$value) -> Value {
                    Value::$variant(value.clone())
                }

                fn take(value: Value) -> Option<$value> {
                    if let Value::$variant(value) = value { Some(value) } else { None }
                }
            }
        )*
    };
}

others! {
    /// A file descriptor.
    Fd(i32) = Kind::Int("a file descriptor, as in `-1`"), Int;
    /// An exit status.
    Status(i32) = Kind::Int("an exit status, as in `0`"), Int;
    /// A protection key.
    Pkey(i32) = Kind::Int("a protection key, or `-1` for none"), Int;
    /// A System V segment.
    Segment(i32) = Kind::Int("the number of a segment, as shmget returns it"), Int;
    /// The name of a dump.
    Name(String) = Kind::Text("a name in quotes, as in `\"after\"`"), Text;
    /// A path.
    Path(String) = Kind::Text("a path in quotes, as in `\"/tmp/file\"`"), Text;
    /// A size of huge pages, or the switch of all.
    ThpSize(ThpKey) = Kind::ThpKey, ThpKey;
    /// Ranges of memory.
    Ranges(Vec<(u64, u64)>) = Kind::Ranges, Ranges;
}

/// A parameter that may be left out at the end; then it is 0.
#[derive(Debug)]
pub struct OrZero<P>(P);

impl<P: Param<Value = u64>> Param for OrZero<P> {
    type Value = u64;
    const KIND: Kind = P::KIND;
    const OPTIONAL: bool = true;

    fn put(value: &u64) -> Value {
        if *value == 0 { Value::Missing } else { Value::Number(*value) }
    }

    fn take(value: Value) -> Option<u64> {
        value.number()
    }
}

/// A parameter that may be left out at the end; then there is none.
#[derive(Debug)]
pub struct OrNone<P>(P);

impl<P: Param> Param for OrNone<P> {
    type Value = Option<P::Value>;
    const KIND: Kind = P::KIND;
    const OPTIONAL: bool = true;

    fn put(value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Missing, P::put)
    }

    fn take(value: Value) -> Option<Self::Value> {
        if value == Value::Missing { Some(None) } else { P::take(value).map(Some) }
    }
}

/// [`ShmFlags`] of shmget, which have names of their own.
#[derive(Debug)]
pub enum ShmgetFlags {}

impl Param for ShmgetFlags {
    type Value = ShmFlags;
    const KIND: Kind = Kind::Flags(&SHMGET);

    fn put(value: &ShmFlags) -> Value {
        ShmFlags::put(value)
    }

    fn take(value: Value) -> Option<ShmFlags> {
        ShmFlags::take(value)
    }
}
