//! Learning a kernel's rules from what it does.
//!
//! Each row of the tables of changes has a probe, which is played on the kernel. The emulator plays it too, with the row and without:
//! where that makes it do something else, the kernel does as one of the two, and that decides the row.

use super::VerifyError;
use crate::golden::GoldenError;
use ptelab_machine::pgtable::{Probe, Shows};
use ptelab_machine::{Builder, Change, KernelRules, Release, changes_of_all, port_named};
use ptelab_run::exec::Watch;
use ptelab_run::kernels;
use ptelab_scenario::Scenario;
use std::fmt::Write as _;

/// A kernel that plays probes.
pub trait Learned {
    /// What came of a probe.
    type Played;

    /// The port of its architecture.
    fn port(&self) -> &'static str;

    /// Plays the probe of the row of this name; or says why it cannot.
    ///
    /// # Errors
    /// Where the kernel does not come up, or is lost.
    fn probe(
        &mut self,
        id: &str,
        probe: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Result<Self::Played, Unplayed>, VerifyError>;

    /// Where the emulator does otherwise than the kernel did, by these rules; for people.
    ///
    /// # Errors
    /// Where what the kernel did makes no sense.
    fn differences(
        &self,
        played: &Self::Played,
        rules: &'static KernelRules,
    ) -> Result<Vec<String>, GoldenError>;

    /// What the kernel was built without that keeps a probe from deciding, if anything does; a sentence.
    fn lacks(&self, decides: &dyn Fn(&Builder) -> bool) -> Option<String>;
}

/// Why a probe was not played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplayed {
    /// It was stopped.
    Stopped,
    /// A sentence.
    Because(String),
}

/// What a kernel said of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowValue {
    /// Whether it holds; and where the emulator would do otherwise if it were not so.
    Decided(bool, String),
    /// Nothing, and why.
    Undecided(String),
}

/// A row, and what the kernel said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedRow {
    /// Whose row it is: mm's, or a port's.
    pub owner: &'static str,
    /// The row.
    pub change: &'static Change,
    /// What was said.
    pub value: RowValue,
}

/// What was learned of a kernel.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Row by row; fewer where it was stopped.
    pub rows: Vec<LearnedRow>,
    /// The release that is nearest: it has the same in most rows.
    pub nearest: &'static KernelRules,
    /// What was learned, under a name of its own: rows that nothing was said of are the nearest release's.
    pub rules: &'static KernelRules,
}

impl Lesson {
    /// The rows that are otherwise than in the nearest release.
    pub fn differing(&self) -> impl Iterator<Item = (&LearnedRow, bool)> {
        self.rows.iter().filter_map(|row| match row.value {
            RowValue::Decided(holds, _) if holds != self.nearest.has(row.change) => Some((row, holds)),
            _ => None,
        })
    }

    /// A file of rules that says the same.
    pub fn rules_file(&self, of: &str) -> String {
        let decided = self.rows.iter().filter(|row| matches!(row.value, RowValue::Decided(..))).count();
        let undecided: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| matches!(row.value, RowValue::Undecided(_)))
            .map(|row| row.change.id)
            .collect();
        let nearest = self.nearest.name;
        let mut text = format!("# {of}: {decided} rows learned from it\n");
        if !undecided.is_empty() {
            let _ = writeln!(text, "# not learned, as in {nearest}: {}", undecided.join(", "));
        }
        let _ = writeln!(text, "name = \"{}\"\nbase = \"{nearest}\"\n\n[changes]", self.rules.name);
        if self.differing().next().is_none() {
            let _ = writeln!(text, "# none: every row that was learned is as in {nearest}");
        }
        for (row, holds) in self.differing() {
            let _ = writeln!(text, "{} = {holds}", row.change.id);
        }
        text
    }
}

/// Learns a kernel's rules under this name. `known` are the releases that it may be near to; `release` is its own number, which breaks
/// ties. `tick` is told of every row.
///
/// # Errors
/// Where the kernel does not come up.
///
/// # Panics
/// Where a row's probe is no scenario, which a test rules out.
pub fn learn<K: Learned>(
    kernel: &mut K,
    (name, release): (&str, Option<Release>),
    known: &[&'static KernelRules],
    watch: Watch<'_>,
    tick: &dyn Fn(usize),
) -> Result<Lesson, VerifyError> {
    let port = kernel.port();
    let of_port = port_named(port).map_or(&[][..], |port| port.changes).iter().map(|change| (port, *change));
    let mut asked = Vec::new();
    for (n, (owner, change)) in changes_of_all().chain(of_port).enumerate() {
        let row = |said| Asked { owner, change, said };
        match ask(kernel, change, watch)? {
            Said::Stopped => break,
            said => asked.push(row(said)),
        }
        tick(n + 1);
    }
    let start = nearest(known, release, &[]);
    let mut rules = start;
    let mut values = Vec::new();
    // A probe may show other rows, too, of which more is known each time.
    for _ in 0..ROUNDS {
        values = asked.iter().map(|row| row.value(kernel, rules)).collect::<Result<Vec<_>, _>>()?;
        let decided = decided(&asked, &values);
        let next = nearest(known, release, &decided).but_for(name, &by_name(&decided));
        if same_in(&asked, next, rules) {
            break;
        }
        rules = next;
    }
    let decided = decided(&asked, &values);
    let nearest = nearest(known, release, &decided);
    let differing: Vec<_> =
        decided.into_iter().filter(|(change, holds)| nearest.has(change) != *holds).collect();
    let row = |(row, value): (Asked<K::Played>, RowValue)| LearnedRow {
        owner: row.owner,
        change: row.change,
        value,
    };
    let rows = asked.into_iter().zip(values).map(row).collect();
    Ok(Lesson { rows, nearest, rules: nearest.but_for(name, &by_name(&differing)) })
}

/// Rounds in which rows are looked at again, at most: each has more of the others right.
const ROUNDS: usize = 4;

/// A row and what its probe came to.
struct Asked<P> {
    owner: &'static str,
    change: &'static Change,
    said: Said<P>,
}

enum Said<P> {
    Played(Scenario, P),
    Nothing(String),
    Stopped,
}

fn ask<K: Learned>(
    kernel: &mut K,
    change: &'static Change,
    watch: Watch<'_>,
) -> Result<Said<K::Played>, VerifyError> {
    let (scenario, shows) = match change.probe {
        Probe::Unseen(why) => return Ok(Said::Nothing(why.to_owned())),
        Probe::Plays { scenario, shows } => (scenario, shows),
    };
    if shows == Shows::Counts {
        return Ok(Said::Nothing("visible only in counters, which a kernel does not expose".to_owned()));
    }
    let probe = ptelab_scenario::parse(scenario).expect("a test parses every probe");
    Ok(match kernel.probe(change.id, &probe, watch) {
        Ok(Ok(played)) => Said::Played(probe, played),
        Ok(Err(Unplayed::Stopped)) => Said::Stopped,
        Ok(Err(Unplayed::Because(why))) => Said::Nothing(why),
        Err(lost) if lost.is_loss() => Said::Nothing(format!("the kernel was lost: {lost}")),
        Err(error) => return Err(error),
    })
}

impl<P> Asked<P> {
    /// What the kernel said of the row, where the other rows are these.
    fn value<K: Learned<Played = P>>(
        &self,
        kernel: &K,
        rules: &'static KernelRules,
    ) -> Result<RowValue, VerifyError> {
        let (probe, played) = match &self.said {
            Said::Played(probe, played) => (probe, played),
            Said::Nothing(why) => return Ok(RowValue::Undecided(why.clone())),
            Said::Stopped => return Ok(RowValue::Undecided("it was stopped".to_owned())),
        };
        let with = kernel.differences(played, rules.with(self.change, true))?;
        let without = kernel.differences(played, rules.with(self.change, false))?;
        let only = |a: &[String], b: &[String]| a.iter().find(|text| !b.contains(text)).cloned();
        Ok(match (only(&with, &without), only(&without, &with)) {
            (None, Some(otherwise)) => RowValue::Decided(true, otherwise),
            (Some(otherwise), None) => RowValue::Decided(false, otherwise),
            (Some(with), Some(without)) => RowValue::Undecided(format!(
                "it does neither what kernels with it do nor what others do: with it, {with}; without, {without}"
            )),
            (None, None) => {
                let decides = |machine: &Builder| self.decides(machine, probe, rules);
                let lacks = kernel.lacks(&decides);
                let nothing = || "its probe cannot tell, given this kernel's other rows".to_owned();
                RowValue::Undecided(lacks.unwrap_or_else(nothing))
            }
        })
    }

    /// Whether the probe sets two emulated machines of this kind apart.
    fn decides(&self, machine: &Builder, probe: &Scenario, rules: &'static KernelRules) -> bool {
        let report = |holds| {
            let mut vm = machine.clone().kernel(rules.with(self.change, holds)).build().ok()?;
            let report = ptelab_run::RunReport::of(&mut *vm, probe, Watch::nobody());
            Some((report.results, report.dumps))
        };
        report(true) != report(false)
    }
}

fn decided<P>(asked: &[Asked<P>], values: &[RowValue]) -> Vec<(&'static Change, bool)> {
    let decided = |(row, value): (&Asked<P>, &RowValue)| match value {
        RowValue::Decided(holds, _) => Some((row.change, *holds)),
        RowValue::Undecided(_) => None,
    };
    asked.iter().zip(values).filter_map(decided).collect()
}

fn by_name(decided: &[(&'static Change, bool)]) -> Vec<(&'static str, bool)> {
    decided.iter().map(|(change, holds)| (change.id, *holds)).collect()
}

fn same_in<P>(asked: &[Asked<P>], a: &KernelRules, b: &KernelRules) -> bool {
    asked.iter().all(|row| a.has(row.change) == b.has(row.change))
}

/// Of these kernels the one that differs in the fewest of these rows; of several, the one whose number is next, then the newest.
fn nearest(
    known: &[&'static KernelRules],
    release: Option<Release>,
    decided: &[(&'static Change, bool)],
) -> &'static KernelRules {
    let differing =
        |rules: &KernelRules| decided.iter().filter(|(change, holds)| rules.has(change) != *holds).count();
    let between = |rules: &KernelRules| {
        let number = |at: Release| known.iter().filter(|other| other.release < at).count();
        release.map_or(0, |release| number(release).abs_diff(number(rules.release)))
    };
    let all = known.iter().rev().copied();
    all.min_by_key(|rules| (differing(rules), between(rules))).unwrap_or(KernelRules::DEFAULT)
}

/// The releases that a kernel may be near to: those that were asked, but for some.
///
/// # Errors
/// A name that is no release that was asked.
pub fn known_but_for(forgotten: &[String]) -> Result<Vec<&'static KernelRules>, String> {
    let mut known: Vec<&'static KernelRules> = KernelRules::asked().collect();
    for name in forgotten {
        let before = known.len();
        known.retain(|rules| rules.name != name);
        if known.len() == before {
            let names = kernels::listed(KernelRules::asked());
            return Err(format!("`{name}` is no release to forget: {names}"));
        }
    }
    Ok(known)
}
