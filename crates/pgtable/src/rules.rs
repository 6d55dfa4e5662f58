//! Kernels by their releases. What they do otherwise stands in tables of changes ([`Change`](crate::Change)), mm's and the ports'.

use crate::Release;
use std::sync::{Mutex, PoisonError};

/// A kernel: a release that the tables of changes are applied to, and rows that were set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRules {
    /// Name as on the command line: `6.16`.
    pub name: &'static str,
    /// The release whose changes hold.
    pub release: Release,
    /// Rows that were set by hand.
    said: &'static [(&'static str, bool)],
    /// A row, or a fault of mm's, that is wrong in it: a check's business.
    planted: Option<(&'static str, bool)>,
}

/// What is known of a release beside the tables.
struct Known {
    name: &'static str,
    /// The stable release that real kernels were asked of, from which the rows are; `None` where there was none.
    asked: Option<&'static str>,
}

/// Every release whose rules are known, oldest first. This is the only list of them.
const KNOWN: [Known; 10] = [
    Known { name: "6.12", asked: Some("6.12.117") },
    Known { name: "6.16", asked: Some("6.16.12") },
    // The series as first merged, with its copy-on-write bug. No image: its rows are the patches'.
    Known { name: "6.17-rc1", asked: None },
    Known { name: "6.17", asked: Some("6.17.13") },
    Known { name: "6.18", asked: Some("6.18.15") },
    Known { name: "6.19", asked: Some("6.19.14") },
    Known { name: "7.0", asked: Some("7.0.13") },
    Known { name: "7.1", asked: Some("7.1.13") },
    Known { name: "7.2", asked: Some("7.2.12") },
    Known { name: "7.3", asked: Some("7.3.4") },
];

/// The kernel that a machine runs unless told otherwise.
const DEFAULT: &str = "7.3";

static RULES: [KernelRules; KNOWN.len()] = {
    let mut rules = [KernelRules::at(KNOWN[0].name, Release::new(KNOWN[0].name)); KNOWN.len()];
    let mut i = 0;
    while i < KNOWN.len() {
        let Known { name, asked } = KNOWN[i];
        let release = match asked {
            Some(asked) => asked,
            None => name,
        };
        rules[i] = KernelRules::at(name, Release::new(release));
        i += 1;
    }
    rules
};

impl KernelRules {
    /// Every known kernel, oldest first.
    pub const ALL: &'static [Self] = &RULES;

    /// The kernel a machine runs unless told otherwise.
    pub const DEFAULT: &'static Self = Self::listed(DEFAULT).expect("it is listed");

    /// Before this release, the tables say nothing.
    pub const OLDEST: Release = Release::new("6.12");

    /// A release by a name, with the changes that hold in it.
    pub const fn at(name: &'static str, release: Release) -> Self {
        Self { name, release, said: &[], planted: None }
    }

    /// The known kernel of exactly this name, also in constants.
    pub const fn listed(name: &str) -> Option<&'static Self> {
        let mut i = 0;
        while i < RULES.len() {
            if is_same(RULES[i].name, name) {
                return Some(&RULES[i]);
            }
            i += 1;
        }
        None
    }

    /// The known kernel of this name, or the one whose stable release it is: `6.16`, `6.16.12`, `v6.16.12-1-cloud`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::of_series(Release::parse(name)?)
    }

    /// The known kernel that a release is, or whose stable release it is.
    pub fn of_series(release: Release) -> Option<&'static Self> {
        let is_like = |known: &&Self| {
            known.release == release
                || known.release.series() == release.series()
                    && !known.release.is_candidate()
                    && !release.is_candidate()
        };
        Self::ALL.iter().find(is_like)
    }

    /// The known kernels that a real kernel was asked for.
    pub fn asked() -> impl DoubleEndedIterator<Item = &'static Self> + Clone {
        KNOWN.iter().zip(Self::ALL).filter(|(known, _)| known.asked.is_some()).map(|(_, rules)| rules)
    }

    /// Whether this is a known release that real kernels were asked for, as it is.
    pub fn is_asked(&self) -> bool {
        Self::asked().any(|known| known == self)
    }

    /// Of the known kernels that a real one was asked for, the last before something came to be so, and the first where it is.
    pub fn turn(holds: impl Fn(&Self) -> bool) -> Option<(&'static Self, &'static Self)> {
        let pairs = Self::asked().zip(Self::asked().skip(1));
        pairs.clone().find(|(old, new)| !holds(old) && holds(new))
    }

    /// A release as the tables have it, known or not.
    pub fn of_release(release: Release) -> &'static Self {
        Self::at("", release).but_for(&release.to_string(), &[])
    }

    /// This kernel under a name of one's own, but for some rows. A kernel that was made once is made no second time.
    #[must_use]
    pub fn but_for(&self, name: &str, rows: &[(&'static str, bool)]) -> &'static Self {
        let said = [rows, self.said].concat();
        made(
            |made| {
                (made.name, made.release, made.said, made.planted)
                    == (name, self.release, &said, self.planted)
            },
            || Self { name: String::from(name).leak(), said: said.clone().leak(), ..*self },
        )
    }

    /// This kernel with a row, or a fault of mm's, that is wrong in it. What judges it goes by [`sound`](Self::sound).
    #[must_use]
    pub const fn planted(self, id: &'static str, holds: bool) -> Self {
        Self { planted: Some((id, holds)), ..self }
    }

    /// What this kernel would be without what was planted in it.
    pub fn sound(&'static self) -> &'static Self {
        let sound = Self { planted: None, ..*self };
        if sound == *self { self } else { made(|made| *made == sound, || sound) }
    }

    /// Whether this fault was planted in it.
    pub fn plants(&self, id: &str) -> bool {
        self.planted == Some((id, true))
    }

    /// How a row was set by hand.
    pub(crate) fn says(&self, id: &str) -> Option<bool> {
        let said = self.planted.iter().chain(self.said).find(|(row, _)| *row == id);
        said.map(|(_, holds)| *holds)
    }
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The kernel that `is` the one wanted, made now if it was not made before.
fn made(is: impl Fn(&KernelRules) -> bool, make: impl FnOnce() -> KernelRules) -> &'static KernelRules {
    static MADE: Mutex<Vec<&'static KernelRules>> = Mutex::new(Vec::new());
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = KernelRules::ALL.iter().chain(all.iter().copied()).find(|known| is(known)) {
        return known;
    }
    let new: &'static KernelRules = Box::leak(Box::new(make()));
    all.push(new);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_releases_find_their_series() {
        let named = |name: &str| KernelRules::by_name(name).map(|rules| rules.name);
        for rules in KernelRules::ALL {
            assert_eq!(named(rules.name), Some(rules.name));
            assert_eq!(KernelRules::listed(rules.name), Some(rules));
            assert_eq!(named(&rules.release.to_string()), Some(rules.name), "as it was asked");
        }
        assert_eq!(named("v6.16.3-1-cloud"), Some("6.16"));
        for other in ["7", "6.15.1", "6.17-rc2", "6.17-rc1.2", ""] {
            assert_eq!(named(other), None, "{other}");
        }
        assert!(KernelRules::ALL.is_sorted_by(|a, b| a.release < b.release), "oldest first");
    }

    #[test]
    fn a_kernel_is_made_once_and_judged_without_its_faults() {
        static BROKEN: KernelRules = KernelRules::DEFAULT.planted("a", true);
        let own = KernelRules::DEFAULT.but_for("mine", &[("a", true)]);
        assert!(std::ptr::eq(own, KernelRules::DEFAULT.but_for("mine", &[("a", true)])));
        assert_eq!((own.says("a"), own.says("b")), (Some(true), None));
        let over = own.but_for("mine", &[("a", false)]);
        assert_eq!(over.says("a"), Some(false), "what is said last holds");
        assert!(BROKEN.plants("a") && BROKEN.says("a") == Some(true));
        assert!(std::ptr::eq(BROKEN.sound(), KernelRules::DEFAULT));
        assert!(std::ptr::eq(over.sound(), over), "what is said of a kernel is no fault");
    }

    #[test]
    fn a_turn_is_found_between_kernels_that_were_asked() {
        let from = Release::new("6.17");
        let turn = KernelRules::turn(|rules| rules.release >= from).map(|(old, new)| (old.name, new.name));
        assert_eq!(turn, Some(("6.16", "6.17")));
        assert_eq!(KernelRules::turn(|_| true), None);
    }
}
