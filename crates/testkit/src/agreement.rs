//! What machines differ in, in the neutral view: found by name, and by right as `fixtures/agreement.toml` has it.

use crate::root;
use ptelab::compare::{Comparison, differing_entries, neutral};
use ptelab::pgtable::{SoftLeaf, swp_type};
use ptelab::scenario::Scenario;
use ptelab::{
    Change, KernelRules, PageRun, Pagemap, PteView, Run, RunReport, Snapshot, VmaFacts, changes, port_names,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Names of what differs: `result of mremap`, `vma rss`, `vma gu`, `dirty`, `nothing or page`, `mapcount`.
pub type DifferingWords = BTreeSet<String>;

/// All that differs by right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByRight {
    /// Why, cause by cause.
    #[serde(rename = "cause")]
    pub causes: Vec<Reason>,
}

/// Why some machines differ from the others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The reason, in a sentence.
    pub reason: String,
    /// Where Linux has it.
    pub linux: String,
    /// Ports that it is of; all, where none are named.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Changes that kernels have which it is of.
    #[serde(default)]
    pub with: Vec<String>,
    /// Changes that they have not.
    #[serde(default)]
    pub without: Vec<String>,
    /// What differs.
    pub what: DifferingWords,
    /// The scenarios that show it.
    pub scenarios: BTreeSet<String>,
    /// What else differs in one of them because of that.
    #[serde(default)]
    pub follows: BTreeMap<String, DifferingWords>,
}

impl ByRight {
    /// Reads the file.
    ///
    /// # Panics
    /// Where it cannot be read, or names what there is not.
    pub fn read() -> Self {
        let path = root().join("fixtures/agreement.toml");
        let text = std::fs::read_to_string(&path).expect("the file is part of the tests");
        let by_right: Self = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        for cause in &by_right.causes {
            let Reason { reason, ports, with, without, what, scenarios, follows, .. } = cause;
            assert!(ports.iter().all(|port| port_names().contains(&port.as_str())), "ports of {reason:?}");
            assert!(with.iter().chain(without).all(|id| row(id).is_some()), "changes of {reason:?}");
            assert!(!what.is_empty() && !scenarios.is_empty(), "{reason:?} is of nothing");
            assert!(follows.keys().all(|name| scenarios.contains(name)), "what follows from {reason:?}");
        }
        by_right
    }
}

impl Reason {
    /// What differs by it in a scenario; nothing where it does not show there.
    pub fn words(&self, scenario: &str) -> DifferingWords {
        if !self.scenarios.contains(scenario) {
            return DifferingWords::new();
        }
        self.what.iter().chain(self.follows.get(scenario).into_iter().flatten()).cloned().collect()
    }

    /// Whether it sets two machines apart.
    pub fn parts(&self, left: &RunReport, right: &RunReport) -> bool {
        self.is_of(left) != self.is_of(right)
    }

    fn is_of(&self, machine: &RunReport) -> bool {
        let rules = KernelRules::listed(machine.kernel).expect("a known kernel");
        let has = |id: &String| row(id).is_some_and(|change| rules.has(change));
        (self.ports.is_empty() || self.ports.iter().any(|port| port == machine.arch))
            && self.with.iter().all(has)
            && !self.without.iter().any(has)
    }
}

/// The row of the tables of changes that has this name.
fn row(id: &str) -> Option<&'static Change> {
    changes().map(|(_, change)| change).find(|change| change.id == id)
}

/// What two reports of one scenario differ in.
pub fn differing(scenario: &Scenario, left: &RunReport, right: &RunReport) -> DifferingWords {
    let mut words = DifferingWords::new();
    for (step, (a, b)) in scenario.steps().zip(left.results.iter().zip(&right.results)) {
        if a != b {
            words.insert(format!("result of {}", step.line.call.name()));
        }
    }
    for (a, b) in left.dumps.iter().zip(&right.dumps) {
        vmas(&a.snapshot, &b.snapshot, &mut words);
        for difference in differing_entries(&a.snapshot, &b.snapshot, Comparison::Neutral) {
            match (&difference.left, &difference.right) {
                (Some(a), Some(b)) => entries(a, b, &mut words),
                _ => drop(words.insert("range".to_owned())),
            }
        }
    }
    words
}

fn vmas(left: &Snapshot, right: &Snapshot, words: &mut DifferingWords) {
    for (one, other) in [(left, right), (right, left)] {
        for vma in &one.vmas {
            let same = |twin: &&VmaFacts| (vma.start, vma.end) == (twin.start, twin.end);
            let Some(twin) = other.vmas.iter().find(same) else {
                words.insert("vma".to_owned());
                continue;
            };
            let facts = [
                ("rss", vma.rss != twin.rss),
                ("huge", vma.anon_huge != twin.anon_huge),
                ("swap", vma.swap != twin.swap),
            ];
            words.extend(named(&facts).map(|name| format!("vma {name}")));
            let flags = (vma.flags ^ twin.flags).smaps();
            let flags = flags.split_whitespace().filter(|flag| *flag != "sd");
            words.extend(flags.map(|flag| format!("vma {flag}")));
        }
    }
}

fn named<'a>(facts: &'a [(&'a str, bool)]) -> impl Iterator<Item = &'a str> {
    facts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name)
}

fn entries(a: &Run, b: &Run, words: &mut DifferingWords) {
    let (kind_a, kind_b) = (kind(a), kind(b));
    if kind_a != kind_b {
        words.insert(format!("{} or {}", kind_a.min(kind_b), kind_a.max(kind_b)));
        return;
    }
    if a.level != b.level {
        words.insert("level".to_owned());
        return;
    }
    match (a.view.map(neutral), b.view.map(neutral)) {
        (Some(PteView::Present(a)), Some(PteView::Present(b))) => flags(&(a.attrs ^ b.attrs), "", words),
        (Some(PteView::Soft(a)), Some(PteView::Soft(b))) => {
            flags(&(a.flags ^ b.flags), "", words);
            if (a.ty, a.offset) != (b.ty, b.offset) {
                words.insert(format!("{kind_a} itself"));
            }
        }
        _ => {}
    }
    if let (Some(a), Some(b)) = (&a.page, &b.page) {
        words.extend(page(a, b));
    }
    let pagemap = |run: &Run| run.pagemap.unwrap_or(Pagemap::empty()) - Pagemap::SOFT_DIRTY;
    flags(&(pagemap(a) ^ pagemap(b)), "pagemap ", words);
}

fn flags<B: bitflags::Flags>(differing: &B, of: &str, words: &mut DifferingWords) {
    words.extend(differing.iter_names().map(|(name, _)| format!("{of}{}", name.to_lowercase())));
}

fn page(a: &PageRun, b: &PageRun) -> Vec<String> {
    let facts = [
        ("folio", (a.folio, a.offset) != (b.folio, b.offset)),
        ("folio size", a.folio_pages != b.folio_pages),
        ("mapcount", a.mapcount != b.mapcount),
        ("exclusive", a.exclusive != b.exclusive),
        ("repeats", a.repeats != b.repeats),
    ];
    named(&facts).map(str::to_owned).collect()
}

fn kind(run: &Run) -> &'static str {
    match run.view {
        Some(PteView::Present(_)) => "page",
        Some(PteView::Soft(leaf)) => kind_of(leaf),
        Some(PteView::None | PteView::Table(_)) | None => "nothing",
    }
}

const fn kind_of(leaf: SoftLeaf) -> &'static str {
    match leaf.ty {
        swp_type::HWPOISON => "failed memory",
        swp_type::MIGRATION_READ..=swp_type::MIGRATION_WRITE => "migration",
        swp_type::DEVICE_WRITE..=swp_type::DEVICE_EXCLUSIVE => "device",
        swp_type::MARKER => "marker",
        _ => "swap",
    }
}
