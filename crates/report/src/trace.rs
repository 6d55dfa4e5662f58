//! What page tables went through, call by call, as plain data: only what changes is kept.

use crate::cells::{Cells, Piece};
use crate::events::{TraceEvent, events as events_of, primitives, written};
use crate::places::{Places, Stretches, WHOLE};
use crate::why::{Numbered, Reasoned, Reasons, causes, decided};
use crate::words::WordTable;
use ptelab::compare::Deciding;
use ptelab::cost::{Model, Models};
use ptelab::observe::{Observer, Seen};
use ptelab::{Area, Backend, Backing, Cause, Cell, Counter, Counters, Level, Pid, Record, Shape, VirtAddr};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Things that one call did that are kept; of those after, the number is.
pub const MAX_EVENTS: usize = 2048;

/// Pieces and events that are kept of one machine; of calls after those, only how much of each table is of each kind.
pub const MAX_DETAILS: usize = 150_000;

/// A call as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// Line of the source, from 1.
    pub line: u64,
    /// The process that made it, by the number that the source gives it.
    pub pid: Pid,
    /// Its text.
    pub text: String,
    /// Its name.
    pub name: String,
}

/// A range of an address space that a call changed, and what it holds from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeChange {
    /// The address space, by the process that first had it.
    pub space: Pid,
    /// First address.
    pub start: VirtAddr,
    /// What it holds.
    pub pieces: Vec<Piece>,
}

/// A VMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedArea {
    /// Where it lies, and its flags.
    pub area: Area,
    /// What it is of.
    pub backing: Backing,
}

/// VMAs that a call changed: in the list of an address space, so many from an index on are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmaChange {
    /// The address space.
    pub space: Pid,
    /// The first that goes.
    pub at: usize,
    /// How many go.
    pub removed: usize,
    /// What comes in their place.
    pub added: Vec<NamedArea>,
}

/// What a call came to on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// The address space it worked on, if it had one afterwards.
    pub space: Option<Pid>,
    /// Its result.
    pub outcome: String,
    /// Whether that is what the source expects.
    pub as_expected: bool,
    /// Entries that it changed.
    pub changes: Vec<RangeChange>,
    /// VMAs that it changed.
    pub vmas: Vec<VmaChange>,
    /// Address spaces that ended.
    pub ended: Vec<Pid>,
    /// What it did, in order, up to [`MAX_EVENTS`], each with the number of primitives before it.
    pub events: Vec<(u64, TraceEvent)>,
    /// Why entries changed, or stayed as they are.
    pub reasons: Vec<Reasoned>,
    /// What was done for which causes, in the order in which they first applied.
    pub causes: Vec<&'static Cause>,
    /// Primitives that were recorded.
    pub primitives: u64,
    /// How many things it did beyond those.
    pub more: usize,
    /// What it took: counters that are not zero.
    pub counters: Vec<(Counter, u64)>,
    /// Instructions that it is predicted to take, where there is a model of that: of an mprotect, on a port that was measured.
    pub instructions: Option<u64>,
    /// Simulated time, in what [`Lane::clock`] says.
    pub ticks: u64,
}

/// What simulated time is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceClock {
    /// Instructions at the costs of this kernel's mprotect. Of other calls only what an mprotect has too is known: no
    /// allocation, copying or zeroing is in it.
    Instructions(&'static str),
    /// Primitives: entries read and written, barriers, TLB invalidations, page look-ups.
    Primitives,
}

impl fmt::Display for TraceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instructions(kernel) => write!(
                f,
                "instructions, at the costs of mprotect in Linux {kernel} (other calls' allocation, copying and zeroing are not in them)"
            ),
            Self::Primitives => f.write_str(
                "primitives: entries read and written, barriers, TLB invalidations, page look-ups",
            ),
        }
    }
}

/// What went on on one machine.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Its tables' shape.
    pub shape: Shape,
    /// What simulated time is counted in.
    pub clock: TraceClock,
    /// Call by call.
    pub steps: Vec<CallTrace>,
    /// So many of the steps have every detail. In the changes of the others, the entries of a table are in the order of their
    /// words, not of their addresses, and without folios; and nothing is said of what happened.
    pub detailed: usize,
    /// The words that occur.
    pub words: WordTable,
    /// The reasons that occur.
    pub reasons: Vec<Reasons>,
    /// The calls, as the source has them.
    pub calls: Vec<CallLine>,
}

impl Lane {
    /// The machine, as headings name it: `arm64 6.17`.
    pub fn machine(&self) -> String {
        format!("{} {}", self.arch, self.kernel)
    }

    /// Why the entry for an address is what it is after a step, or why it stayed so; nothing where the step had nothing to do with
    /// it.
    pub fn reasons_at(&self, step: &CallTrace, space: Pid, addr: VirtAddr) -> Reasons {
        let covers = |one: &&Reasoned| one.space == space && one.start <= addr && addr < one.end;
        let mut found = Reasons::default();
        for one in step.reasons.iter().filter(covers) {
            found.join(&self.reasons[one.reasons as usize]);
        }
        found
    }
}

/// A rule that makes a call differ between two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRule {
    /// The call, from 0.
    pub call: usize,
    /// The two machines, by their numbers.
    pub machines: [usize; 2],
    /// The rule.
    pub rule: Deciding,
}

/// What a source of calls came to on machines side by side.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Name of the source.
    pub source: String,
    /// The CPU features that were switched, as `arm64.hafdbs=off`.
    pub switches: Vec<String>,
    /// Machine by machine. All made the same calls.
    pub lanes: Vec<Lane>,
    /// Whether single steps were recorded; a run that is too large for that has sums only.
    pub recorded: bool,
    /// Whether it ran to its end.
    pub finished: bool,
    /// Of a log: so many of the calls are judged by their results, as `replay` counts them.
    pub judged: Option<u64>,
    /// The rules that make machines of one port differ, where they were looked for.
    pub rules: Vec<CallRule>,
    /// Of a log: what there is to know of how it was replayed, and what that rests on.
    pub notes: Vec<String>,
}

impl Trace {
    /// The calls.
    pub fn calls(&self) -> &[CallLine] {
        self.lanes.first().map_or(&[], |lane| &lane.calls)
    }

    /// How many of the calls have every detail on every machine.
    pub fn detailed(&self) -> usize {
        self.lanes.iter().map(|lane| lane.detailed.min(lane.steps.len())).min().unwrap_or(0)
    }
}

/// Makes a [`Lane`] while a machine runs.
#[derive(Clone, Debug)]
pub struct Tracer {
    lane: Lane,
    model: Option<&'static Model>,
    places: Places,
    /// What each table of page entries, or the huge leaf in its place, held last: by space and first address.
    states: FxHashMap<(Pid, VirtAddr), Cells>,
    /// Shared, as lists are long and change in their middle.
    vmas: BTreeMap<Pid, Vec<Arc<NamedArea>>>,
    recorded: bool,
    numbered: Numbered,
    /// Pieces, events and reasons that were kept.
    details: usize,
}

impl Tracer {
    /// A tracer of a machine that has just booted. Without records, it looks at everything after every call that may have
    /// changed something.
    pub fn new(vm: &dyn Backend) -> Self {
        let model = Models::built_in().choose(vm.arch(), vm.rules()).map(|chosen| chosen.model);
        let lane = Lane {
            arch: vm.arch(),
            kernel: vm.rules().name,
            shape: vm.shape(),
            clock: model.map_or(TraceClock::Primitives, |model| TraceClock::Instructions(&model.kernel)),
            steps: Vec::new(),
            detailed: 0,
            words: WordTable::new(vm),
            reasons: Vec::new(),
            calls: Vec::new(),
        };
        let recorded = vm.about().records;
        Self {
            lane,
            model,
            places: Places::new(vm),
            states: FxHashMap::default(),
            vmas: BTreeMap::new(),
            recorded,
            numbered: Numbered::default(),
            details: 0,
        }
    }

    /// What was traced.
    pub fn into_lane(self) -> Lane {
        self.lane
    }

    /// What a call may have changed.
    fn stretches(&mut self, vm: &dyn Backend, seen: &Seen<'_>, space: Option<Pid>) -> Stretches {
        let known = self.places.spaces();
        let mut stretches = self.places.follow(vm, seen.records.iter().filter_map(entry_of));
        let spaces = self.places.spaces();
        if !self.recorded && may_change(seen) {
            for (&space, &user) in &spaces {
                stretches.extend(self.mapped(vm, user).into_iter().map(|addr| ((space, addr), WHOLE)));
            }
            stretches.extend(self.states.keys().map(|&stretch| (stretch, WHOLE)));
        } else if spaces.keys().any(|space| !known.contains_key(space)) {
            // A fork takes AnonExclusive from pages whose entries it need not write.
            let of_parent = self.states.keys().filter(|(of, _)| Some(*of) == space);
            stretches.extend(of_parent.map(|&stretch| (stretch, WHOLE)));
        }
        stretches
    }

    /// Where a process has tables of page entries, or may have huge leaves.
    fn mapped(&self, vm: &dyn Backend, user: Pid) -> Vec<VirtAddr> {
        let size = self.places.entry_size(Level::Pmd);
        let tables = vm.tables(user).unwrap_or_default();
        let directories = tables.iter().filter(|table| table.level == Level::Pmd);
        let entries = self.lane.shape.entries(Level::Pmd) as u64;
        directories.flat_map(|table| (0..entries).map(|i| table.addr.add(i * size))).collect()
    }

    /// Whether there is room for the next step's details.
    const fn is_detailed(&self) -> bool {
        self.details < MAX_DETAILS
    }

    /// Looks at a stretch again; says what changed in it.
    fn look(&mut self, vm: &dyn Backend, user: Pid, (space, start): (Pid, VirtAddr)) -> Vec<RangeChange> {
        let is_detailed = self.is_detailed();
        let entries = self.lane.shape.entries(Level::Pte);
        let Some(new) = self.cells(vm, user, start, 0..entries) else { return Vec::new() };
        let known = self.states.entry((space, start)).or_default();
        let old = std::mem::replace(known, new);
        if known.is_empty() && old.is_empty() {
            self.states.remove(&(space, start));
            return Vec::new();
        }
        if !is_detailed {
            return summary((space, start), &old.shares(entries), known.shares(entries));
        }
        let ranges = old.differing(known, entries);
        let page_shift = self.lane.shape.page_shift();
        let change = |(from, to): (usize, usize)| RangeChange {
            space,
            start: start.add((from as u64) << page_shift),
            pieces: known.pieces(from, to),
        };
        ranges.into_iter().map(change).collect()
    }

    /// Looks again only at entries that may be others, where nothing is kept of them but their words; not where there was no table
    /// of page entries before, or is none now.
    fn look_at_words(
        &mut self,
        vm: &dyn Backend,
        user: Pid,
        stretch: (Pid, VirtAddr),
        range: Range<usize>,
    ) -> Option<Vec<RangeChange>> {
        let entries = self.lane.shape.entries(Level::Pte);
        if self.is_detailed() || range.end > entries || !self.states.get(&stretch)?.is_table_of(entries) {
            return None;
        }
        let new = self.cells(vm, user, stretch.1, range.clone())?;
        if !new.is_table_of(range.len()) {
            return None;
        }
        let known = self.states.get_mut(&stretch)?;
        if known.has_words_of(&new, range.start) {
            return Some(Vec::new());
        }
        let before = known.shares(entries);
        known.take_over(&new, range.start);
        Some(summary(stretch, &before, known.shares(entries)))
    }

    /// What entries of a stretch hold.
    fn cells(&mut self, vm: &dyn Backend, user: Pid, start: VirtAddr, range: Range<usize>) -> Option<Cells> {
        let page_shift = self.lane.shape.page_shift();
        let first = start.add((range.start as u64) << page_shift);
        let mut cells = Cells::with_room_for(range.len());
        let words = &mut self.lane.words;
        let add = &mut |cell: Cell| cells.push(cell, words.number(vm, cell.bits, cell.level));
        vm.cells(user, first.get(), (range.len() as u64) << page_shift, add).ok()?;
        Some(cells)
    }

    /// How the VMAs of an address space differ from those that it had when last looked at: everywhere, or only where ranges
    /// say that they may.
    fn look_at_vmas(
        &mut self,
        vm: &dyn Backend,
        user: Pid,
        space: Pid,
        ranges: Option<&[(u64, u64)]>,
    ) -> Vec<VmaChange> {
        let old = self.vmas.entry(space).or_default();
        let everywhere = [(0, u64::MAX)];
        let ranges = if old.is_empty() { None } else { ranges };
        let changes = ranges.unwrap_or(&everywhere).iter().filter_map(|&range| {
            let (first, areas) = around(vm, user, old, range)?;
            let window = &old[first.0..first.1];
            let same = |(old, new): &(&Arc<NamedArea>, &Area)| old.area == **new;
            let kept_before = window.iter().zip(&areas).take_while(same).count();
            let rest = (&window[kept_before..], &areas[kept_before..]);
            let kept = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(same).count();
            let (at, removed) = (first.0 + kept_before, rest.0.len() - kept);
            let changed = &rest.1[..rest.1.len() - kept];
            if removed == 0 && changed.is_empty() {
                return None;
            }
            let added = named(vm, user, changed)?;
            old.splice(at..at + removed, added.iter().cloned().map(Arc::new));
            Some(VmaChange { space, at, removed, added })
        });
        changes.collect()
    }

    /// Forgets address spaces that have ended.
    fn forget(&mut self, spaces: &BTreeMap<Pid, Pid>) -> Vec<Pid> {
        let ended: Vec<Pid> = self.vmas.keys().filter(|space| !spaces.contains_key(space)).copied().collect();
        for space in &ended {
            self.vmas.remove(space);
        }
        if !ended.is_empty() {
            self.states.retain(|(space, _), _| !ended.contains(space));
        }
        ended
    }
}

/// How many entries of a stretch have each word, where those are others than before.
fn summary((space, start): (Pid, VirtAddr), before: &[Piece], pieces: Vec<Piece>) -> Vec<RangeChange> {
    if before == pieces { Vec::new() } else { vec![RangeChange { space, start, pieces }] }
}

/// Areas with what they are of.
fn named(vm: &dyn Backend, user: Pid, areas: &[Area]) -> Option<Vec<NamedArea>> {
    let (Some(first), Some(last)) = (areas.first(), areas.last()) else { return Some(Vec::new()) };
    let backings = vm.backings(user, first.start.get(), last.end.since(first.start)).ok()?;
    Some(areas.iter().zip(backings).map(|(&area, backing)| NamedArea { area, backing }).collect())
}

/// The VMAs at a range and beside it, as they were, by their places in the list, and as they are: so many that both begin and end
/// at the same addresses.
fn around(
    vm: &dyn Backend,
    user: Pid,
    old: &[Arc<NamedArea>],
    (addr, len): (u64, u64),
) -> Option<((usize, usize), Vec<Area>)> {
    let (mut from, mut to) = (addr.saturating_sub(1), addr.saturating_add(len).saturating_add(1));
    let mut first = old.partition_point(|known| known.area.end.get() <= from);
    let mut last = first;
    loop {
        let areas = vm.areas(user, from, to - from).ok()?;
        first -= old[..first].iter().rev().take_while(|known| known.area.end.get() > from).count();
        last += old[last..].iter().take_while(|known| known.area.start.get() < to).count();
        let known = old[first..last].iter().map(|known| &known.area);
        let (lowest, highest) = known
            .chain(&areas)
            .fold((from, to), |(low, high), area| (low.min(area.start.get()), high.max(area.end.get())));
        if (lowest, highest) == (from, to) {
            return Some(((first, last), areas));
        }
        (from, to) = (lowest, highest);
    }
}

impl Observer for Tracer {
    fn seen(&mut self, vm: &dyn Backend, seen: Seen<'_>) {
        let known: BTreeSet<Pid> = self.vmas.keys().copied().collect();
        let space = self.places.space_of(vm, seen.pid);
        let stretches = self.stretches(vm, &seen, space);
        let spaces = self.places.spaces();
        let space = self.places.space_of(vm, seen.pid);
        let ended = self.forget(&spaces);
        let mut changes = Vec::new();
        for (stretch, range) in stretches {
            if let Some(&user) = spaces.get(&stretch.0) {
                let seen = self.look_at_words(vm, user, stretch, range);
                changes.extend(seen.unwrap_or_else(|| self.look(vm, user, stretch)));
            }
        }
        let looked_at = spaces.iter().filter(|(label, _)| Some(**label) == space || !known.contains(label));
        let ranges = seen.ranges.as_deref();
        let vmas = looked_at.flat_map(|(&label, &user)| self.look_at_vmas(vm, user, label, ranges)).collect();
        let (mut events, mut reasons) = (Vec::new(), Vec::new());
        if self.is_detailed() {
            self.lane.detailed += 1;
            let found = events_of(&self.places, self.lane.shape.cont_ptes, &seen.records);
            events = found.iter().map(|found| (found.at, found.event)).collect();
            let decided = decided(vm, &self.places, &seen.records);
            reasons = self.numbered.group(&self.places, decided, &mut self.lane.reasons);
        }
        let more = events.len().saturating_sub(MAX_EVENTS);
        events.truncate(MAX_EVENTS);
        self.details +=
            events.len() + reasons.len() + changes.iter().map(|change| change.pieces.len()).sum::<usize>();
        let predicted = self.model.map(|model| model.predict(1, &seen.counters).round() as u64);
        self.lane.steps.push(CallTrace {
            space,
            outcome: seen.outcome,
            as_expected: seen.as_expected,
            changes,
            vmas,
            ended,
            events,
            reasons,
            causes: causes(&seen.records),
            primitives: seen.records.iter().map(primitives).sum(),
            more,
            counters: nonzero(&seen.counters),
            instructions: predicted.filter(|_| seen.name == "mprotect"),
            ticks: predicted.unwrap_or_else(|| counted_primitives(&seen.counters)),
        });
        self.lane.calls.push(CallLine {
            line: seen.line,
            pid: seen.number,
            text: seen.text.to_owned(),
            name: seen.name.to_owned(),
        });
    }
}

/// The entry that a record changes, by software or hardware.
fn entry_of(record: &Record) -> Option<ptelab::Ptep> {
    match *record {
        Record::Hardware(p, ..) => Some(p),
        _ => written(record),
    }
}

/// Whether a call that was only counted can have changed an entry: hardware's own updates are not counted.
fn may_change(seen: &Seen<'_>) -> bool {
    let writes = [Counter::Stores, Counter::Exchanges, Counter::CompareExchanges];
    let accesses = ["memset", "explicit_bzero", "touch", "check"];
    writes.iter().any(|&counter| seen.counters.get(counter) > 0) || accesses.contains(&seen.name)
}

/// What a call did to tables and TLBs, where nothing is known of costs.
fn counted_primitives(counters: &Counters) -> u64 {
    let counted = [
        Counter::Loads,
        Counter::Stores,
        Counter::Exchanges,
        Counter::CompareExchanges,
        Counter::DsbIshst,
        Counter::DsbIsh,
        Counter::DsbNsh,
        Counter::Isb,
        Counter::TlbiOps,
        Counter::PageLookups,
    ];
    counted.iter().map(|&counter| counters.get(counter)).sum()
}

fn nonzero(counters: &Counters) -> Vec<(Counter, u64)> {
    counters.nonzero().collect()
}
