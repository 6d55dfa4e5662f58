//! Rules of known releases, and of those that are not.

use ptelab_machine::mm::Rules;
use ptelab_machine::{Change, KernelRules, Release, changes};

/// A kernel that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKernel {
    /// Its rules.
    pub rules: &'static KernelRules,
    /// Where these are not its own: whose they are.
    pub note: Option<String>,
}

/// What is known of a release: its rules, or those that are nearest. `None` before the tables begin.
pub fn of_release(release: Release) -> Option<NamedKernel> {
    if let Some(rules) = KernelRules::of_series(release) {
        let is_it = rules.release == release || rules.name == release.to_string();
        return Some(if is_it { NamedKernel { rules, note: None } } else { of_stable(release, rules) });
    }
    if release < KernelRules::OLDEST {
        return None;
    }
    let rules = KernelRules::of_release(release);
    let known = KernelRules::ALL.iter().rev();
    let nearest = known.min_by_key(|known| differences(known, rules).count())?;
    let but_for: Vec<&str> = differences(nearest, rules).map(|(_, change)| change.id).collect();
    let note = format!("{release} is not known; taking the rules of {}", nearest.name);
    Some(if but_for.len() > MAX_NAMED {
        let listed = format!("`ptelab kernels {} {release}` lists them", nearest.name);
        NamedKernel { rules, note: Some(format!("{note} but for {} changes: {listed}", but_for.len())) }
    } else if but_for.is_empty() {
        NamedKernel { rules: nearest, note: Some(note) }
    } else {
        NamedKernel { rules, note: Some(format!("{note} but for {}", but_for.join(", "))) }
    })
}

/// The same of a release that somebody named, who may have slipped: `None` for one that cannot be, too.
pub(super) fn of_named(release: Release) -> Option<NamedKernel> {
    of_release(release).filter(|_| may_exist(release))
}

/// Changes that are named one by one.
const MAX_NAMED: usize = 4;

/// The most releases that the series of a major number went to: 4.20, 5.19, 6.19.
const LAST_MINOR: u32 = 20;

/// Whether there is a release of this number, or may be one before the next major number: 7.4, but neither 6.20 nor 7.33.
fn may_exist(release: Release) -> bool {
    let (major, minor) = release.series();
    let known = || KernelRules::ALL.iter().map(|rules| rules.release.series());
    let last = known().filter(|known| known.0 == major).map(|known| known.1).max();
    let is_over = known().any(|known| known.0 > major);
    last.is_some_and(|last| minor <= if is_over { last } else { LAST_MINOR })
}

/// What is known of another stable release of a known series: it may be too old for what later ones of it have.
fn of_stable(release: Release, series: &'static KernelRules) -> NamedKernel {
    let rules = KernelRules::of_release(release);
    let not_yet: Vec<&str> = differences(series, rules).map(|(_, change)| change.id).collect();
    let note = format!("{release} is not known; taking the rules of {}, as {}", series.name, series.release);
    if not_yet.is_empty() {
        return NamedKernel { rules: series, note: Some(note) };
    }
    let but_for = format!("{note}, but for what came after it: {}", not_yet.join(", "));
    NamedKernel { rules, note: Some(but_for) }
}

/// The changes that hold in one of two kernels only, with whose they are.
pub fn differences(
    a: &KernelRules,
    b: &KernelRules,
) -> impl Iterator<Item = (&'static str, &'static Change)> {
    changes().filter(|(_, change)| a.has(change) != b.has(change))
}

/// The known kernels on either side of the change that `bench`, `cost` and examples are about: mprotect in batches.
pub fn before_and_after() -> [&'static KernelRules; 2] {
    let turn = KernelRules::turn(|rules| rules.has(Rules::mprotect_batches));
    turn.map_or([KernelRules::DEFAULT; 2], |(old, new)| [old, new])
}

/// The last kernel before that change, and the default one: what tracing and replaying compare.
pub fn before_and_default() -> [&'static KernelRules; 2] {
    [before_and_after()[0], KernelRules::DEFAULT]
}

/// The kernels from the last before that change to the first with it, and the default one: what is compared unless told otherwise.
pub fn compared() -> impl Iterator<Item = &'static KernelRules> {
    let [before, after] = before_and_after().map(|rules| rules.release);
    let is_one = move |rules: &&KernelRules| {
        (before..=after).contains(&rules.release) || rules.name == KernelRules::DEFAULT.name
    };
    KernelRules::ALL.iter().filter(is_one)
}

/// Those of them that were asked: what random programs run on unless told otherwise.
pub fn usual() -> impl Iterator<Item = &'static KernelRules> {
    compared().filter(|rules| rules.is_asked())
}

/// Names as `Matrix::kernels` takes them.
pub fn listed(kernels: impl IntoIterator<Item = &'static KernelRules>) -> String {
    kernels.into_iter().map(|rules| rules.name).collect::<Vec<_>>().join(",")
}
