//! What changed between kernels, as rows of tables.
//!
//! mm has such a table, and so has each port that needs one: [`changes!`](crate::changes) makes it, and with it the struct that
//! code reads where a change decides.

use crate::{KernelRules, Release};

/// One thing in which kernels differ: it holds in some releases and not in others.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name, in files too.
    pub id: &'static str,
    /// What is so where it holds.
    what: &'static str,
    /// From when on it holds; `None` where it always did.
    pub since: Option<Turn>,
    /// From when on it holds no more.
    pub until: Option<Turn>,
    /// Linux's file, and where that helps, the function.
    pub file: &'static str,
    /// How a kernel shows whether it holds.
    pub probe: Probe,
}

/// When a kernel came to be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The first release that is known to be so. `7.3` means its candidates too, as most changes come before the first of them.
    pub first: Release,
    /// The last release before that is known not to be so. What lies between was not asked, and counts as not so.
    pub last_without: Option<Release>,
    /// Stable releases of older series that are known to be so, with those after them.
    pub backports: &'static [&'static str],
    /// The commit, where it is known.
    pub commit: Option<&'static str>,
}

impl Turn {
    /// At this release, and not at the one before it.
    pub const fn at(first: &str) -> Self {
        Self { first: Release::new(first), last_without: None, backports: &[], commit: None }
    }

    /// At this release or one before it, but not at `last_without` yet.
    pub const fn between(last_without: &str, first: &str) -> Self {
        Self { last_without: Some(Release::new(last_without)), ..Self::at(first) }
    }

    /// By this commit.
    #[must_use]
    pub const fn by(self, commit: &'static str) -> Self {
        Self { commit: Some(commit), ..self }
    }

    /// Also in these stable releases, and those after them.
    ///
    /// # Panics
    /// Where one is no release, as [`Release::new`].
    #[must_use]
    pub const fn also_in(self, backports: &'static [&'static str]) -> Self {
        let mut i = 0;
        while i < backports.len() {
            Release::new(backports[i]);
            i += 1;
        }
        Self { backports, ..self }
    }

    /// Whether a release is past the turn. A series stands for its newest stable release, as `6.12` for the last of 6.12.
    pub fn is_past(&self, release: Release) -> bool {
        let reached = if self.first.is_whole_series() {
            release.series() >= self.first.series()
        } else {
            release >= self.first
        };
        let has = |from: Release| {
            from.series() == release.series() && (release.is_whole_series() || from <= release)
        };
        reached || self.backports.iter().filter_map(|from| Release::parse(from)).any(has)
    }
}

/// How a kernel shows whether a change holds in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It plays a scenario, and what it shows differs.
    Plays {
        /// The scenario.
        scenario: &'static str,
        /// Where the difference shows.
        shows: Shows,
    },
    /// No scenario shows it; why.
    Unseen(&'static str),
}

/// Where the difference shows that decides a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// What calls return.
    Results,
    /// The words of the entries that are dumped, and which there are.
    Words,
    /// The pages behind them: how large their folios are, what pagemap says of them.
    Pages,
    /// The areas that are mapped, and their flags in smaps.
    Areas,
    /// Counts of what calls take. No real kernel says them.
    Counts,
}

impl Change {
    /// A row of a table. Which fields there are is said by [`changes!`](crate::changes).
    #[doc(hidden)]
    pub const fn new(
        id: &'static str,
        what: &'static str,
        (since, until): (Option<Turn>, Option<Turn>),
        file: &'static str,
        probe: Probe,
    ) -> Self {
        Self { id, what, since, until, file, probe }
    }

    /// What is so where it holds, in one line.
    pub const fn what(&self) -> &'static str {
        self.what.trim_ascii()
    }

    /// Whether it holds in a release.
    pub fn holds_in(&self, release: Release) -> bool {
        let past = |turn: &Turn| turn.is_past(release);
        self.since.as_ref().is_none_or(past) && !self.until.as_ref().is_some_and(past)
    }
}

/// A table of changes, and the struct of bools that says which of them hold in a kernel.
///
/// ```
/// ptelab_pgtable::changes! {
///     /// What this port does otherwise from one kernel to the next.
///     pub struct Rules;
///
///     /// Clean entries become dirty where they become writable.
///     mkwrite_dirties_clean {
///         until: Turn::between("6.16", "6.18").also_in(&["6.17.13"]),
///         file: "include/asm/pgtable.h, pte_mkwrite",
///         probe: Probe::Unseen("this is an example"),
///     }
/// }
/// use ptelab_pgtable::KernelRules;
/// assert!(!Rules::of(KernelRules::DEFAULT).mkwrite_dirties_clean);
/// assert_eq!(Rules::CHANGES[0].id, "mkwrite_dirties_clean");
/// ```
///
/// Each row has a doc comment that says in one line what is so where it holds, then `since:` or `until:` or both, `file:` and
/// `probe:`. The row itself is a constant of the struct, by the same name.
#[macro_export]
macro_rules! changes {
    (
        $(#[$attr:meta])*
        $vis:vis struct $rules:ident;
        $(
            $(#[doc = $what:literal])+
            $id:ident {
                $(since: $since:expr,)?
                $(until: $until:expr,)?
                file: $file:expr,
                probe: $probe:expr $(,)?
            }
        )*
    ) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::struct_excessive_bools, reason = "one for each row of the table")]
        $vis struct $rules {
            $($(#[doc = $what])+ $vis $id: bool,)*
        }

        #[allow(non_upper_case_globals, reason = "a row is named as the field that it decides")]
        impl $rules {
            $($(#[doc = $what])+ $vis const $id: &'static $crate::Change = &{
                #[allow(unused_imports, reason = "rows need some of them")]
                use $crate::{Probe, Shows, Turn};
                #[allow(unused_mut, unused_assignments, reason = "a row has one turn or two")]
                let (mut since, mut until) = (None, None);
                $(since = Some($since);)?
                $(until = Some($until);)?
                $crate::Change::new(
                    stringify!($id), concat!($($what),+), (since, until), $file, $probe,
                )
            };)*

            /// The table.
            $vis const CHANGES: &'static [&'static $crate::Change] = &[$(Self::$id),*];

            /// Which of the changes hold in a kernel.
            $vis fn of(kernel: &$crate::KernelRules) -> Self {
                let _ = kernel;
                Self { $($id: kernel.has(Self::$id)),* }
            }
        }
    };
}

impl KernelRules {
    /// Whether a change holds in this kernel.
    pub fn has(&self, change: &Change) -> bool {
        self.says(change.id).unwrap_or_else(|| change.holds_in(self.release))
    }

    /// This kernel, by the same name, as it would be with or without a change.
    #[must_use]
    pub fn with(&self, change: &Change, holds: bool) -> &'static Self {
        self.but_for(self.name, &[(change.id, holds)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(change: &Change, releases: &[&str]) -> Vec<bool> {
        releases.iter().map(|release| change.holds_in(Release::new(release))).collect()
    }

    const fn row(since: Option<Turn>, until: Option<Turn>) -> Change {
        Change::new("row", " It holds.", (since, until), "mm/x.c", Probe::Unseen("it is a test"))
    }

    #[test]
    fn a_series_means_its_candidates_and_a_candidate_itself() {
        let change = row(Some(Turn::at("6.17")), Some(Turn::at("7.3-rc2")));
        let releases = ["6.16.99", "6.17-rc1", "6.17.1", "7.2.9", "7.3-rc1", "7.3-rc2", "7.3"];
        assert_eq!(holds(&change, &releases), [false, true, true, true, true, false, false]);
        assert_eq!(change.what(), "It holds.");
    }

    #[test]
    fn backports_reach_their_series_from_their_release_on() {
        let change = row(None, Some(Turn::at("6.18").also_in(&["6.12.117"])));
        let releases = ["6.12", "6.12.116", "6.12.117", "6.12.118", "6.13", "6.17.13", "6.18"];
        assert_eq!(holds(&change, &releases), [false, true, false, false, true, true, false]);
    }

    #[test]
    fn what_was_not_asked_counts_as_not_so() {
        let change = row(Some(Turn::between("6.17", "7.2").by("0123456789ab")), None);
        assert_eq!(holds(&change, &["6.17", "7.1", "7.2-rc1"]), [false, false, true]);
    }
}
