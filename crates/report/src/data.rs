//! The data behind a report, as small as it can be: numbers stand for texts that occur more than once, addresses count
//! in pages, and only what a call changed is there.

use crate::cells::Piece;
use crate::events::TraceEvent;
use crate::trace::{CallTrace, Lane, NamedArea, RangeChange, Trace, VmaChange};
use crate::why::{Part, Reasoned, Reasons};
use crate::words::Word;
use ptelab::{Cause, Counter, PteAttrs, PteView, show};
use serde::Serialize;
use std::collections::HashMap;

/// Everything that a report shows.
#[derive(Debug, Serialize)]
pub(crate) struct Data<'a> {
    source: &'a str,
    recorded: bool,
    finished: bool,
    counters: Vec<&'static str>,
    attributes: Vec<&'static str>,
    /// Line, process, and number of the text.
    calls: Vec<(u64, u32, u32)>,
    machines: Vec<Machine>,
    texts: Vec<String>,
    /// What a call took: pairs of a counter and its sum.
    costs: Vec<Vec<(u8, u64)>>,
    /// Id, text and source.
    causes: Vec<(&'static str, &'static str, &'static str)>,
}

#[derive(Debug, Serialize)]
struct Machine {
    arch: &'static str,
    kernel: &'static str,
    page_shift: u32,
    /// Pages that one entry maps, by level from the last up.
    entry_pages: [u64; ptelab::Level::ALL.len()],
    cont: usize,
    /// Steps with every detail; those after are summarised.
    detailed: usize,
    /// Raw bits in hex, level, attributes, meaning, and number of the kind.
    words: Vec<(String, u8, u32, String, usize)>,
    /// Name, lowest bit and width of each field.
    kinds: Vec<Vec<(&'static str, u32, u32)>>,
    /// Causes of entries: twice their number, and one more where one only led to another.
    reasons: Vec<Vec<u32>>,
    steps: Vec<StepData>,
}

/// A step. Fields that say nothing are left out.
#[derive(Debug, Serialize)]
struct StepData {
    /// Number of the result's text.
    o: u32,
    /// The result is not the expected one.
    #[serde(skip_serializing_if = "is_false")]
    x: bool,
    /// Address space.
    s: Option<u32>,
    /// Changes: space, first page, and five numbers a piece.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    c: Vec<(u32, u64, Vec<u64>)>,
    /// VMAs: space, first that goes, how many go, and what comes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    v: Vec<(u32, usize, usize, Vec<AreaData>)>,
    /// Spaces that ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    e: Vec<u32>,
    /// Happenings: kind, first page, entries or pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    h: Vec<(u8, u64, u64)>,
    /// Happenings beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    m: usize,
    /// Why entries are what they are: space, first page, pages, number of the reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    w: Vec<(u32, u64, u64, u32)>,
    /// Numbers of the call's causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    y: Vec<u32>,
    /// Number of the costs.
    k: u32,
    /// Predicted instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<u64>,
}

/// First page, pages, and texts: permissions, flags as smaps has them, what it is of.
type AreaData = (u64, u64, u32, u32, u32);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
const fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Values that are kept once and named by number.
struct Table<T> {
    all: Vec<T>,
    known: HashMap<T, u32>,
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self { all: Vec::new(), known: HashMap::new() }
    }

    fn number(&mut self, value: &T) -> u32 {
        if let Some(&number) = self.known.get(value) {
            return number;
        }
        let number = self.all.len() as u32;
        self.all.push(value.clone());
        self.known.insert(value.clone(), number);
        number
    }
}

struct Tables {
    texts: Table<String>,
    costs: Table<Vec<(u8, u64)>>,
    causes: Table<&'static Cause>,
}

impl<'a> Data<'a> {
    pub(crate) fn of(trace: &'a Trace) -> Self {
        let mut tables = Tables { texts: Table::new(), costs: Table::new(), causes: Table::new() };
        let calls =
            trace.calls().iter().map(|call| (call.line, call.pid, tables.texts.number(&call.text))).collect();
        let machines = trace.lanes.iter().map(|lane| machine(lane, &mut tables)).collect();
        Self {
            source: &trace.source,
            recorded: trace.recorded,
            finished: trace.finished,
            counters: Counter::ALL.iter().map(|counter| counter.name()).collect(),
            attributes: PteAttrs::all().iter_names().map(|(name, _)| name).collect(),
            calls,
            machines,
            texts: tables.texts.all,
            costs: tables.costs.all,
            causes: tables.causes.all.iter().map(|cause| (cause.id, cause.text, cause.source)).collect(),
        }
    }
}

fn machine(lane: &Lane, tables: &mut Tables) -> Machine {
    let fields = |kind: &Vec<ptelab::BitField>| {
        kind.iter().map(|f| (f.name, f.mask.trailing_zeros(), f.mask.count_ones())).collect()
    };
    Machine {
        arch: lane.arch,
        kernel: lane.kernel,
        page_shift: lane.shape.page_shift(),
        entry_pages: ptelab::Level::ALL.map(|level| lane.shape.pages_per_entry(level)),
        cont: lane.shape.cont_ptes,
        detailed: lane.detailed.min(lane.steps.len()),
        words: lane.words.all.iter().map(word).collect(),
        kinds: lane.words.kinds.iter().map(fields).collect(),
        reasons: lane.reasons.iter().map(|reasons| reasons_data(reasons, tables)).collect(),
        steps: lane.steps.iter().map(|s| step(s, lane.shape.page_shift(), tables)).collect(),
    }
}

/// Attributes of what is no page, beside those of [`PteAttrs`].
const SOFT: u32 = 1 << 16;

fn word(word: &Word) -> (String, u8, u32, String, usize) {
    let attrs = match word.view {
        PteView::Present(mapping) => mapping.attrs.bits().into(),
        PteView::Soft(_) => SOFT,
        PteView::None | PteView::Table(_) => 0,
    };
    (format!("{:x}", word.bits), word.level as u8, attrs, show::view_text(&word.view), word.kind)
}

fn step(step: &CallTrace, page_shift: u32, tables: &mut Tables) -> StepData {
    let costs = step.counters.iter().map(|&(counter, n)| (counter as u8, n)).collect();
    StepData {
        o: tables.texts.number(&step.outcome),
        x: !step.as_expected,
        s: step.space,
        c: step.changes.iter().map(|change| change_data(change, page_shift)).collect(),
        v: step.vmas.iter().map(|change| vma_data(change, page_shift, tables)).collect(),
        e: step.ended.clone(),
        h: events_data(step, page_shift),
        m: step.more,
        w: step.reasons.iter().map(|reasoned| reasoned_data(reasoned, page_shift)).collect(),
        y: step.causes.iter().map(|cause| tables.causes.number(cause)).collect(),
        k: tables.costs.number(&costs),
        i: step.instructions,
    }
}

fn reasons_data(reasons: &Reasons, tables: &mut Tables) -> Vec<u32> {
    reasons
        .iter()
        .map(|(cause, part)| 2 * tables.causes.number(&cause) + u32::from(part == Part::Behind))
        .collect()
}

fn reasoned_data(one: &Reasoned, page_shift: u32) -> (u32, u64, u64, u32) {
    let page = one.start.get() >> page_shift;
    (one.space, page, (one.end.get() >> page_shift) - page, one.reasons)
}

fn change_data(change: &RangeChange, page_shift: u32) -> (u32, u64, Vec<u64>) {
    let piece = |p: &Piece| {
        let flags = u64::from(p.repeats) | u64::from(p.exclusive) << 1;
        [p.n, p.word.into(), p.folio_pages.into(), p.offset.into(), flags]
    };
    (change.space, change.start.get() >> page_shift, change.pieces.iter().flat_map(piece).collect())
}

fn vma_data(change: &VmaChange, page_shift: u32, tables: &mut Tables) -> (u32, usize, usize, Vec<AreaData>) {
    let mut area = |named: &NamedArea| {
        let area = &named.area;
        let backing = tables.texts.number(&named.backing.to_string());
        let (start, end) = (area.start.get() >> page_shift, area.end.get() >> page_shift);
        let (perms, flags) = (area.flags.perms(), area.flags.smaps());
        (start, end - start, tables.texts.number(&perms), tables.texts.number(&flags), backing)
    };
    (change.space, change.at, change.removed, change.added.iter().map(&mut area).collect())
}

/// Happenings; single writes of neighbouring entries in a row are one of kind 6.
fn events_data(step: &CallTrace, page_shift: u32) -> Vec<(u8, u64, u64)> {
    let mut found: Vec<(u8, u64, u64)> = Vec::new();
    for (_, event) in &step.events {
        let (kind, page, n) = event_data(event, page_shift);
        match found.last_mut() {
            Some((SINGLES, first, count)) if (kind, n) == (1, 1) && *first + *count == page => *count += 1,
            _ if (kind, n) == (1, 1) => found.push((SINGLES, page, 1)),
            _ => found.push((kind, page, n)),
        }
    }
    found
}

/// Entries written one by one.
const SINGLES: u8 = 6;

fn event_data(event: &TraceEvent, page_shift: u32) -> (u8, u64, u64) {
    let page = |addr: ptelab::VirtAddr| addr.get() >> page_shift;
    match *event {
        TraceEvent::Batch(addr, n) => (0, page(addr), n),
        TraceEvent::Write(addr, n) => (1, page(addr), n),
        TraceEvent::Fold(addr) => (2, page(addr), 0),
        TraceEvent::Unfold(addr) => (3, page(addr), 0),
        TraceEvent::Flush(start, end, _) => (4, page(start), page(end) - page(start)),
        TraceEvent::FlushAll => (5, 0, 0),
    }
}
