//! One scenario on several machines, side by side: what differs between ports and between kernels.

use crate::report::{MAX_RESULTS, RunReport};
use crate::show;
use ptelab_machine::uapi::ByteSize;
use ptelab_machine::{
    Difference, Level, Outcome, PageRun, Pagemap, PteAttrs, PteView, Run, Snapshot, SoftFlags, VmaFacts,
};
use ptelab_scenario::Scenario;
use std::fmt;

/// How two machines are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// In what every architecture has: between ports.
    Neutral,
    /// In VMAs, and in what pages that both have may be used for: between ports whose pages or huge pages are of other sizes.
    ByAddress,
    /// Word for word: between kernels of one port.
    Raw,
}

/// A rule that makes two kernels differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct Deciding {
    /// The row's name.
    pub id: &'static str,
    /// What is so where it holds.
    pub what: &'static str,
    /// The kernel in which it holds.
    pub holds_in: &'static str,
    /// The one in which it does not.
    pub not_in: &'static str,
}

impl fmt::Display for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, what, holds_in, not_in } = self;
        write!(f, "{id} (in {holds_in}, not in {not_in}): {what}")
    }
}

/// Two machines that differ, and in what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct Differing {
    /// The machine compared with.
    pub left: String,
    /// The machine compared.
    pub right: String,
    /// Calls and entries that differ, for people.
    pub differences: Vec<String>,
    /// How many differ in all.
    pub count: usize,
    /// The rules that make kernels differ, where they were looked for.
    pub rules: Vec<Deciding>,
}

/// Differences of one pair that are kept.
const MAX_SHOWN: usize = 12;

/// Compares reports of one scenario: each port with the first, kernel by kernel; and each kernel with the one before it, port
/// by port. Pairs without differences are left out.
pub fn compare(scenario: &Scenario, reports: &[RunReport]) -> (Vec<Differing>, Vec<Differing>) {
    let (mut ports, mut kernels) = (Vec::new(), Vec::new());
    for (i, right) in reports.iter().enumerate() {
        let earlier = &reports[..i];
        let first_port = earlier.iter().find(|left| left.kernel == right.kernel);
        let last_kernel = earlier.iter().rfind(|left| left.arch == right.arch);
        ports.extend(first_port.and_then(|left| compare_pair(scenario, left, right, Comparison::Neutral)));
        kernels.extend(last_kernel.and_then(|left| compare_pair(scenario, left, right, Comparison::Raw)));
    }
    (ports, kernels)
}

/// Compares two reports of one scenario; `None` where nothing differs.
pub fn compare_pair(
    scenario: &Scenario,
    left: &RunReport,
    right: &RunReport,
    comparison: Comparison,
) -> Option<Differing> {
    let mut all = Differences::default();
    compare_calls(scenario, left, right, &mut all);
    for (a, b) in left.dumps.iter().zip(&right.dumps) {
        let unlike = comparison == Comparison::Neutral && !has_pages_like(&a.snapshot, &b.snapshot);
        let comparison = if unlike { Comparison::ByAddress } else { comparison };
        for text in compare_snapshots(&a.snapshot, &b.snapshot, comparison) {
            all.push(|| format!("dump {:?}: {text}", a.name));
        }
    }
    if left.dumps.len() != right.dumps.len() {
        all.push(|| format!("{} dumps against {}", left.dumps.len(), right.dumps.len()));
    }
    let Differences { shown: differences, count } = all;
    (count > 0).then(|| Differing {
        left: left.machine(),
        right: right.machine(),
        differences,
        count,
        rules: Vec::new(),
    })
}

#[derive(Default)]
struct Differences {
    shown: Vec<String>,
    count: usize,
}

impl Differences {
    fn push(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= MAX_SHOWN {
            self.shown.push(text());
        }
    }
}

fn compare_calls(scenario: &Scenario, left: &RunReport, right: &RunReport, all: &mut Differences) {
    let differing = |(_, (a, b)): &(usize, (&Outcome, &Outcome))| a != b;
    let pairs = left.results.iter().zip(&right.results).enumerate().filter(differing);
    let mut steps = scenario.steps().enumerate();
    for (at, (a, b)) in pairs {
        let step = steps.find(|(i, _)| *i == at).map(|(_, step)| step.line);
        let text = step.map_or_else(String::new, |line| format!("line {}, {}", line.line, line.call));
        all.push(|| format!("{text}: {a}, then {b}"));
    }
    if left.lines == right.lines && left.rest_digest != right.rest_digest {
        all.push(|| format!("results after the first {MAX_RESULTS} lines"));
    }
}

/// What differs between two states of one range, for people.
pub fn compare_snapshots(left: &Snapshot, right: &Snapshot, comparison: Comparison) -> Vec<String> {
    let mut texts = Vec::new();
    let vmas = |s: &Snapshot| -> Vec<String> {
        let text = |vma: &VmaFacts| match comparison {
            Comparison::Raw => show::vma_line(vma),
            Comparison::Neutral => show::vma_line(vma).replace(" sd", ""),
            Comparison::ByAddress => {
                let bare = VmaFacts { rss: 0, anon_huge: 0, swap: 0, ..vma.clone() };
                show::vma_line(&bare).replace(" sd", "")
            }
        };
        s.vmas.iter().map(text).collect()
    };
    let (a, b) = (vmas(left), vmas(right));
    let (on_left, on_right) = names(left, right);
    texts.extend(a.iter().filter(|vma| !b.contains(vma)).map(|vma| format!("VMA {vma} only on {on_left}")));
    texts.extend(b.iter().filter(|vma| !a.contains(vma)).map(|vma| format!("VMA {vma} only on {on_right}")));
    let differing = differing_entries(left, right, comparison);
    texts.extend(differing.iter().map(|difference| entry_text(left, right, difference)));
    texts
}

/// Where the entries of two states of one range differ.
pub fn differing_entries(left: &Snapshot, right: &Snapshot, comparison: Comparison) -> Vec<Difference> {
    match comparison {
        Comparison::Raw => left.runs.differences(&right.runs, same_raw),
        Comparison::Neutral => left.runs.differences(&right.runs, same_neutral),
        Comparison::ByAddress => left.runs.differences(&right.runs, same_use),
    }
}

/// Whether the pages and huge pages of two machines are of the same sizes.
fn has_pages_like(left: &Snapshot, right: &Snapshot) -> bool {
    let sizes = |snapshot: &Snapshot| [Level::Pte, Level::Pmd].map(|l| snapshot.runs.shape.entry_size(l));
    sizes(left) == sizes(right)
}

/// A line for each port whose pages or huge pages are not of the first one's sizes: what of it is compared.
pub fn unlike_pages(reports: &[RunReport]) -> Vec<String> {
    let sized = |report: &RunReport| Some((report.arch, report.dumps.first()?.snapshot.clone()));
    let Some((_, first)) = reports.first().and_then(sized) else { return Vec::new() };
    let mut lines: Vec<String> = Vec::new();
    for (arch, snapshot) in
        reports.iter().filter_map(sized).filter(|(_, other)| !has_pages_like(&first, other))
    {
        let [page, huge] = [Level::Pte, Level::Pmd].map(|l| ByteSize(snapshot.runs.shape.entry_size(l)));
        let line = format!(
            "{arch} has pages of {page} and huge pages of {huge}: compared are results, VMAs, and what pages that both have allow"
        );
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn entry_text(left: &Snapshot, right: &Snapshot, d: &Difference) -> String {
    let side = |snapshot: &Snapshot, run: &Option<Run>| match run {
        None => "nothing".to_owned(),
        Some(run) if run.is_none() => "empty".to_owned(),
        // The address and the count are those of the range that differs.
        Some(run) => {
            let line = show::run_line(snapshot, run);
            line.split_once(" x ").map_or_else(|| line.clone(), |(_, rest)| rest.to_owned())
        }
    };
    let (mut a, mut b) = (side(left, &d.left), side(right, &d.right));
    if a == b {
        // What the entries do not say, /proc/PID/pagemap does.
        let pagemap = |run: &Option<Run>| run.and_then(|run| run.pagemap).unwrap_or_default().bits();
        a = format!("{a}  pagemap {:#x}", pagemap(&d.left));
        b = format!("{b}  pagemap {:#x}", pagemap(&d.right));
    }
    let (on_left, on_right) = names(left, right);
    let width = on_left.len().max(on_right.len());
    format!("{}..{}\n        {on_left:width$}  {a}\n        {on_right:width$}  {b}", d.start, d.end)
}

/// What tells two snapshots apart: their kernels, or else their ports.
fn names(left: &Snapshot, right: &Snapshot) -> (&'static str, &'static str) {
    if left.arch == right.arch { (left.kernel, right.kernel) } else { (left.arch, right.arch) }
}

fn same_place(a: Option<PageRun>, b: Option<PageRun>) -> bool {
    let place = |page: PageRun| PageRun { repeats: false, ..page };
    a.map(place) == b.map(place)
}

/// Whether two runs that begin at the same address begin alike, word for word.
pub fn same_raw(a: &Run, b: &Run) -> bool {
    a.bits == b.bits && a.level == b.level && same_place(a.page, b.page) && a.pagemap == b.pagemap
}

/// Attributes that ports may have or lack by their nature.
const OWN: PteAttrs = PteAttrs::CONT.union(PteAttrs::SOFT_DIRTY);
/// Of an entry that allows no access, the rest is nobody's business.
const OF_PROTNONE: PteAttrs = PteAttrs::PROTNONE
    .union(PteAttrs::YOUNG)
    .union(PteAttrs::DIRTY)
    .union(PteAttrs::SPECIAL)
    .union(PteAttrs::UFFD);

fn same_neutral(a: &Run, b: &Run) -> bool {
    let pagemap = |run: &Run| run.pagemap.map(|bits| bits - Pagemap::SOFT_DIRTY);
    a.level == b.level
        && a.view.map(neutral) == b.view.map(neutral)
        && same_place(a.page, b.page)
        && pagemap(a) == pagemap(b)
}

/// Whether two runs may be used for the same, as far as both have pages there.
fn same_use(a: &Run, b: &Run) -> bool {
    const USE: PteAttrs = PteAttrs::PROTNONE.union(PteAttrs::USER).union(PteAttrs::WRITE);
    match (a.view.map(neutral), b.view.map(neutral)) {
        (Some(PteView::Present(a)), Some(PteView::Present(b))) => a.attrs & USE == b.attrs & USE,
        _ => true,
    }
}

/// A view without frame number and without what is a port's own.
pub fn neutral(view: PteView) -> PteView {
    match view {
        PteView::Present(mut mapping) => {
            mapping.pfn = ptelab_machine::Pfn::new(0);
            mapping.pkey = 0;
            mapping.attrs -= OWN;
            if mapping.attrs.contains(PteAttrs::PROTNONE) {
                mapping.attrs &= OF_PROTNONE;
            }
            PteView::Present(mapping)
        }
        PteView::Soft(mut leaf) => {
            leaf.flags -= SoftFlags::SOFT_DIRTY;
            PteView::Soft(leaf)
        }
        other => other,
    }
}
