//! Words of settings and accesses.

use std::fmt;

/// Words that a parameter may be.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$word_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$word_doc])* $variant,)* }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($name,)*];

            /// The one of this word.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }

            /// The word that a scenario knows it by.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

words! {
    /// When the kernel uses huge pages of a size: a word of sysfs.
    ThpMode {
        /// Wherever they fit.
        Always = "always",
        /// Where `MADV_HUGEPAGE` asked.
        Madvise = "madvise",
        /// As the global switch says; only for a size.
        Inherit = "inherit",
        /// Nowhere.
        Never = "never",
    }
}

words! {
    /// One access by user code.
    Access {
        /// A load.
        Read = "READ",
        /// A store.
        Write = "WRITE",
    }
}

words! {
    /// Which bound of the timed part a `time` call is.
    Timing {
        /// It begins.
        On = "on",
        /// It ends.
        Off = "off",
    }
}

words! {
    /// Whether something goes on or off.
    Switch {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

/// Which switch a `thp` call sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThpKey {
    /// `"enabled"`: the switch that sizes set to inherit follow.
    Enabled,
    /// `"64kB"`: one size, in units of 1024 bytes. Whether a machine has the size shows when the call runs.
    Kb(u64),
}

impl ThpKey {
    /// The key that `enabled` or `64kB` names: sysfs has powers of two only, and writes no zero in front.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "enabled" {
            return Some(Self::Enabled);
        }
        let digits = text.strip_suffix("kB").filter(|digits| !digits.starts_with(['0', '+']))?;
        digits.parse().ok().filter(|kb: &u64| kb.is_power_of_two()).map(Self::Kb)
    }

    /// The file under `/sys/kernel/mm/transparent_hugepage` that holds it.
    #[must_use]
    pub fn file(self) -> String {
        match self {
            Self::Enabled => "enabled".to_owned(),
            Self::Kb(_) => format!("hugepages-{self}/enabled"),
        }
    }
}

impl fmt::Display for ThpKey {
    /// The key without its quotes: `enabled`, `64kB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("enabled"),
            Self::Kb(size) => write!(f, "{size}kB"),
        }
    }
}
