//! CPU features as data.

use std::collections::BTreeMap;
use std::fmt;

/// Something that a CPU of an architecture, or its kernel's configuration, may have or lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFeature {
    /// Name, as on the command line.
    pub name: &'static str,
    /// Whether it is there unless told otherwise.
    pub default: bool,
    /// The word that switches it on, beside `on`: what is tried, where it is an experiment.
    pub on: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
}

impl CpuFeature {
    /// What a state on the command line says: `on`, or the feature's own word for it, or `off`.
    pub fn state(&self, word: &str) -> Option<bool> {
        match word {
            "off" => Some(false),
            _ => (word == "on" || word == self.on).then_some(true),
        }
    }
}

/// Features switched on or off by name; the others have their port's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuConfig {
    set: BTreeMap<String, bool>,
}

/// A feature that the port does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFeature {
    /// The name that was asked for.
    pub name: String,
    /// The names there are.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        write!(f, "no CPU feature `{}` on this architecture (it has: {known})", self.name)
    }
}

impl std::error::Error for UnknownFeature {}

impl CpuConfig {
    /// This configuration with one feature switched.
    #[must_use]
    pub fn with(mut self, name: &str, on: bool) -> Self {
        self.set.insert(name.to_owned(), on);
        self
    }

    /// Whether `feature` is on.
    ///
    /// # Panics
    /// Where `name` is not in `features`: a port asks for its own features only.
    pub fn has(&self, features: &[CpuFeature], name: &str) -> bool {
        let feature = features.iter().find(|f| f.name == name).expect("a port asks for its own features");
        self.set.get(name).copied().unwrap_or(feature.default)
    }

    /// Checks that every name set is one of `features`.
    ///
    /// # Errors
    /// The first name that is none of them, with those that there are.
    pub fn validate(&self, features: &[CpuFeature]) -> Result<(), UnknownFeature> {
        match self.set.keys().find(|name| features.iter().all(|f| f.name != **name)) {
            None => Ok(()),
            Some(name) => {
                Err(UnknownFeature { name: name.clone(), known: features.iter().map(|f| f.name).collect() })
            }
        }
    }
}

/// The table of a port's CPU features, and the struct of bools that says which of them a CPU has: each line is a feature's name, its
/// default, and what it is. An experiment has a word of its own that switches it on: `napot = "contpte", false, "…";`.
///
/// ```
/// ptelab_pgtable::cpu_features! {
///     /// What a CPU may have or lack.
///     pub struct Cpu;
///
///     hafdbs, true, "hardware sets the access flag and dirty state";
/// }
/// use ptelab_pgtable::CpuConfig;
/// assert!(!Cpu::of(&CpuConfig::default().with("hafdbs", false)).hafdbs);
/// assert_eq!(Cpu::FEATURES[0].name, "hafdbs");
/// ```
#[macro_export]
macro_rules! cpu_features {
    (
        $(#[$attr:meta])*
        $vis:vis struct $cpu:ident;
        $($name:ident $(= $on:literal)?, $default:literal, $doc:literal;)*
    ) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::struct_excessive_bools, reason = "one for each feature that a CPU has or lacks")]
        $vis struct $cpu {
            $(#[doc = $doc] $vis $name: bool,)*
        }

        impl $cpu {
            /// The table.
            $vis const FEATURES: &'static [$crate::CpuFeature] = &[
                $($crate::CpuFeature {
                    name: stringify!($name),
                    default: $default,
                    on: [$($on,)? "on"][0],
                    doc: $doc,
                },)*
            ];

            /// Which of the features a CPU has.
            $vis fn of(config: &$crate::CpuConfig) -> Self {
                let _ = config;
                Self { $($name: config.has(Self::FEATURES, stringify!($name)),)* }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: &[CpuFeature] = &[CpuFeature { name: "hafdbs", default: true, on: "on", doc: "" }];

    #[test]
    fn names_are_checked_and_defaults_hold() {
        assert!(CpuConfig::default().has(FEATURES, "hafdbs"));
        assert!(!CpuConfig::default().with("hafdbs", false).has(FEATURES, "hafdbs"));
        assert_eq!(CpuConfig::default().with("hafdbs", false).validate(FEATURES), Ok(()));
        let wrong = CpuConfig::default().with("hafbds", true).validate(FEATURES).unwrap_err();
        assert_eq!(wrong.to_string(), "no CPU feature `hafbds` on this architecture (it has: hafdbs)");
    }
}
