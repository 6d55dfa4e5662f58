//! The data behind a report, as small as it can be: numbers stand for texts that occur more than once, addresses count
//! in pages, and only what a call changed is there.

use crate::cells::Piece;
use crate::events::TraceEvent;
use crate::trace::{CallRule, CallTrace, Lane, NamedArea, RangeChange, Trace, VmaChange};
use crate::why::{Part, Reasoned, Reasons};
use crate::words::Word;
use ptelab::compare::Deciding;
use ptelab::{Cause, Counter, PteAttrs, PteView, show};
use rustc_hash::FxHashMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Everything that a report shows.
#[derive(Debug, Serialize)]
pub(crate) struct Data<'a> {
    source: &'a str,
    recorded: bool,
    finished: bool,
    notes: &'a [String],
    counters: Vec<&'static str>,
    /// What each counts.
    meanings: Vec<&'static str>,
    attributes: Vec<&'static str>,
    calls: Calls,
    machines: Vec<Machine>,
    steps: Steps,
    texts: Vec<String>,
    /// What a call took: pairs of a counter and its sum.
    costs: Vec<Vec<(u8, u64)>>,
    /// Id, text and source.
    causes: Vec<(&'static str, &'static str, &'static str)>,
    /// Rules by which machines differ: call, the two machines, id, text, the kernel that has it, and the other.
    rules: Vec<RuleData>,
}

type RuleData = (usize, [usize; 2], &'static str, &'static str, &'static str, &'static str);

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
    /// Flags of VMAs as smaps has them. Machines have them in one order, so that steps which differ in them only are alike.
    flags: Vec<String>,
    /// Predicted instructions by the number of the costs.
    instructions: Vec<Option<u64>>,
}

/// The calls, thing by thing.
#[derive(Debug, Serialize)]
struct Calls {
    /// Lines, each from the one before it on.
    lines: Vec<i64>,
    pids: Vec<u32>,
    /// Numbers of the texts.
    texts: Vec<u32>,
}

/// A step. Pages of `c`, `v`, `h` and `w` count from `b`. What says nothing is as in [`StepData::default`].
#[derive(Clone, Debug, Default, PartialEq)]
struct StepData {
    /// The first page that the step names.
    b: u64,
    /// Number of the result's text: 0 for `0`.
    o: u32,
    /// The result is not the expected one.
    x: bool,
    /// Address space.
    s: Option<u32>,
    /// Changes: space, first page, and five numbers a piece; two, its entries and its word, where steps have no details.
    c: Vec<(u32, u64, Vec<u64>)>,
    /// VMAs: space, first that goes, how many go, and what comes.
    v: Vec<(u32, usize, usize, Vec<AreaData>)>,
    /// Spaces that ended.
    e: Vec<u32>,
    /// Happenings: kind, first page, entries or pages.
    h: Vec<(u8, u64, u64)>,
    /// Happenings beyond those.
    m: usize,
    /// Why entries are what they are: space, first page, pages, number of the reasons.
    w: Vec<(u32, u64, u64, u32)>,
    /// Numbers of the call's causes.
    y: Vec<u32>,
    /// Number of the costs.
    k: u32,
}

/// The steps of each machine; written call by call, as most are alike on all machines.
#[derive(Debug)]
struct Steps(Vec<Vec<StepData>>);

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let calls = self.0.first().map_or(0, Vec::len);
        serializer.collect_seq((0..calls).map(|call| Row { machines: &self.0, call }))
    }
}

/// The steps of one call.
struct Row<'a> {
    machines: &'a [Vec<StepData>],
    call: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let space = self.call.checked_sub(1).and_then(|before| self.machines[0][before].s);
        let nothing = StepData { s: space, ..StepData::default() };
        let mut before = &nothing;
        let steps = self.machines.iter().filter_map(|steps| steps.get(self.call));
        serializer
            .collect_seq(steps.map(|step| Differing { step, before: std::mem::replace(&mut before, step) }))
    }
}

/// What a step has otherwise than that of the machine before it; on the first, than one that does nothing in the address space
/// of the call before.
#[derive(Debug)]
struct Differing<'a> {
    step: &'a StepData,
    before: &'a StepData,
}

impl Serialize for Differing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        macro_rules! differing {
            ($($field:ident)*) => {
                $(if self.step.$field != self.before.$field {
                    map.serialize_entry(stringify!($field), &self.step.$field)?;
                })*
            };
        }
        differing!(b o x s c v e h m w y k);
        map.end()
    }
}

/// First page, pages, and by number: permissions, flags, what it is of.
type AreaData = (u64, u64, u32, u32, u32);

/// Values that are kept once and named by number.
struct Table<T> {
    all: Vec<T>,
    known: FxHashMap<T, u32>,
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self { all: Vec::new(), known: FxHashMap::default() }
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
    /// Whether instructions are predicted, and the counters.
    costs: Table<(bool, Vec<(u8, u64)>)>,
    causes: Table<&'static Cause>,
}

/// What only one machine's steps name by number.
struct Own {
    page_shift: u32,
    flags: Table<String>,
    instructions: Vec<Option<u64>>,
}

impl<'a> Data<'a> {
    pub(crate) fn of(trace: &'a Trace) -> Self {
        let mut tables = Tables { texts: Table::new(), costs: Table::new(), causes: Table::new() };
        tables.texts.number(&"0".to_owned());
        let calls = calls_data(trace, &mut tables.texts);
        let (machines, steps) = trace.lanes.iter().map(|lane| machine(lane, &mut tables)).unzip();
        Self {
            source: &trace.source,
            recorded: trace.recorded,
            finished: trace.finished,
            notes: &trace.notes,
            counters: Counter::ALL.iter().map(|counter| counter.name()).collect(),
            meanings: Counter::ALL.iter().map(|counter| counter.doc()).collect(),
            attributes: PteAttrs::all().iter_names().map(|(name, _)| name).collect(),
            calls,
            machines,
            steps: Steps(steps),
            texts: tables.texts.all,
            costs: tables.costs.all.into_iter().map(|(_, costs)| costs).collect(),
            causes: tables.causes.all.iter().map(|cause| (cause.id, cause.text, cause.source)).collect(),
            rules: trace.rules.iter().map(rule_data).collect(),
        }
    }
}

const fn rule_data(one: &CallRule) -> RuleData {
    let Deciding { id, what, holds_in, not_in } = one.rule;
    (one.call + 1, one.machines, id, what, holds_in, not_in)
}

/// A machine and its steps.
fn machine(lane: &Lane, tables: &mut Tables) -> (Machine, Vec<StepData>) {
    let fields = |kind: &Vec<ptelab::BitField>| {
        kind.iter().map(|f| (f.name, f.mask.trailing_zeros(), f.mask.count_ones())).collect()
    };
    let mut own = Own { page_shift: lane.shape.page_shift(), flags: Table::new(), instructions: Vec::new() };
    let numbers = |i| if i < lane.detailed { full_piece } else { share };
    let steps =
        lane.steps.iter().enumerate().map(|(i, one)| step(one, numbers(i), &mut own, tables)).collect();
    let machine = Machine {
        arch: lane.arch,
        kernel: lane.kernel,
        page_shift: lane.shape.page_shift(),
        entry_pages: ptelab::Level::ALL.map(|level| lane.shape.pages_per_entry(level)),
        cont: lane.shape.cont_ptes,
        detailed: lane.detailed.min(lane.steps.len()),
        words: lane.words.all.iter().map(word).collect(),
        kinds: lane.words.kinds.iter().map(fields).collect(),
        reasons: lane.reasons.iter().map(|reasons| reasons_data(reasons, tables)).collect(),
        flags: own.flags.all,
        instructions: own.instructions,
    };
    (machine, steps)
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

fn calls_data(trace: &Trace, texts: &mut Table<String>) -> Calls {
    let calls = trace.calls();
    let before = [0].into_iter().chain(calls.iter().map(|call| call.line));
    Calls {
        lines: calls.iter().zip(before).map(|(call, before)| call.line.wrapping_sub(before) as i64).collect(),
        pids: calls.iter().map(|call| call.pid).collect(),
        texts: calls.iter().map(|call| texts.number(&call.text)).collect(),
    }
}

impl StepData {
    /// Counts pages from the first that is named.
    fn starting_at_first_page(mut self) -> Self {
        let named = || {
            let changes = self.c.iter().map(|change| change.1);
            let areas = self.v.iter().flat_map(|change| &change.3).map(|area| area.0);
            let reasons = self.w.iter().map(|reason| reason.1);
            let happenings = self.h.iter().filter(|(kind, ..)| *kind != FLUSH_ALL).map(|event| event.1);
            changes.chain(areas).chain(reasons).chain(happenings)
        };
        let Some(first) = named().min() else { return self };
        self.c.iter_mut().for_each(|change| change.1 -= first);
        self.v.iter_mut().flat_map(|change| &mut change.3).for_each(|area| area.0 -= first);
        self.w.iter_mut().for_each(|reason| reason.1 -= first);
        self.h.iter_mut().filter(|(kind, ..)| *kind != FLUSH_ALL).for_each(|event| event.1 -= first);
        Self { b: first, ..self }
    }
}

fn step(
    step: &CallTrace,
    numbers: fn(&Piece, &mut Vec<u64>),
    own: &mut Own,
    tables: &mut Tables,
) -> StepData {
    let page_shift = own.page_shift;
    let counters = step.counters.iter().map(|&(counter, n)| (counter as u8, n)).collect();
    let costs = tables.costs.number(&(step.instructions.is_some(), counters));
    if step.instructions.is_some() {
        let known = &mut own.instructions;
        known.resize(known.len().max(costs as usize + 1), None);
        known[costs as usize] = step.instructions;
    }
    let data = StepData {
        b: 0,
        o: tables.texts.number(&step.outcome),
        x: !step.as_expected,
        s: step.space,
        c: step.changes.iter().map(|change| change_data(change, page_shift, numbers)).collect(),
        v: step.vmas.iter().map(|change| vma_data(change, own, tables)).collect(),
        e: step.ended.clone(),
        h: events_data(step, page_shift),
        m: step.more,
        w: step.reasons.iter().map(|reasoned| reasoned_data(reasoned, page_shift)).collect(),
        y: step.causes.iter().map(|cause| tables.causes.number(cause)).collect(),
        k: costs,
    };
    data.starting_at_first_page()
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

fn change_data(
    change: &RangeChange,
    page_shift: u32,
    numbers: fn(&Piece, &mut Vec<u64>),
) -> (u32, u64, Vec<u64>) {
    let mut flat = Vec::new();
    change.pieces.iter().for_each(|piece| numbers(piece, &mut flat));
    (change.space, change.start.get() >> page_shift, flat)
}

fn full_piece(p: &Piece, to: &mut Vec<u64>) {
    let flags = u64::from(p.repeats) | u64::from(p.exclusive) << 1;
    to.extend([p.n, p.word.into(), p.folio_pages.into(), p.offset.into(), flags]);
}

fn share(p: &Piece, to: &mut Vec<u64>) {
    to.extend([p.n, p.word.into()]);
}

fn vma_data(change: &VmaChange, own: &mut Own, tables: &mut Tables) -> (u32, usize, usize, Vec<AreaData>) {
    let page_shift = own.page_shift;
    let mut area = |named: &NamedArea| {
        let area = &named.area;
        let backing = tables.texts.number(&named.backing.to_string());
        let (start, end) = (area.start.get() >> page_shift, area.end.get() >> page_shift);
        let (perms, flags) = (area.flags.perms(), own.flags.number(&area.flags.smaps()));
        (start, end - start, tables.texts.number(&perms), flags, backing)
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

/// All translations are flushed, which names no page.
const FLUSH_ALL: u8 = 5;
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
        TraceEvent::FlushAll => (FLUSH_ALL, 0, 0),
    }
}
