//! What page tables went through, call by call, as plain data: only what changes is kept.

use crate::happen::{Happening, happenings, primitives, written};
use crate::places::Places;
use crate::words::Words;
use ptelab::observe::{Observer, Seen};
use ptelab::{AnyVm, Area, Backing, Counter, Counters, Level, Pid, Record, Run, Runs, Shape, VirtAddr};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Things that one call did that are kept; of those after, the number is.
pub const MAX_HAPPENINGS: usize = 2048;

/// A call as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLine {
    /// Line of the source, from 1.
    pub line: u64,
    /// The process that made it.
    pub pid: Pid,
    /// Its text.
    pub text: String,
    /// Its name.
    pub name: String,
}

/// Entries that are alike, as a call left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many entries; of nothing, how many pages.
    pub n: u64,
    /// Number of the first word, without its frame.
    pub word: u32,
    /// Pages in the folio of the first, and in those that follow it; 0 where no folio stands behind.
    pub folio_pages: u32,
    /// Where in its folio the first page lies.
    pub offset: u32,
    /// Every entry maps the same page.
    pub repeats: bool,
    /// `PageAnonExclusive`.
    pub exclusive: bool,
}

/// A range of an address space that a call changed, and what it holds from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
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
pub struct Step {
    /// The address space it worked on, if it had one afterwards.
    pub space: Option<Pid>,
    /// Its result.
    pub outcome: String,
    /// Whether that is what the source expects.
    pub as_expected: bool,
    /// Entries that it changed.
    pub changes: Vec<Change>,
    /// VMAs that it changed.
    pub vmas: Vec<VmaChange>,
    /// Address spaces that ended.
    pub ended: Vec<Pid>,
    /// What it did, in order, up to [`MAX_HAPPENINGS`], each with the number of primitives before it.
    pub happenings: Vec<(u64, Happening)>,
    /// Primitives that were recorded.
    pub primitives: u64,
    /// How many things it did beyond those.
    pub more: usize,
    /// What it took: counters that are not zero.
    pub counters: Vec<(Counter, u64)>,
    /// Instructions that it is predicted to take, where there is a model of that.
    pub instructions: Option<u64>,
}

/// What went on on one machine.
#[derive(Clone, Debug)]
pub struct Course {
    /// Port.
    pub arch: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// Its tables' shape.
    pub shape: Shape,
    /// Call by call.
    pub steps: Vec<Step>,
    /// The words that occur.
    pub words: Words,
    /// The calls, as the source has them.
    pub calls: Vec<CallLine>,
}

impl Course {
    /// The machine, as headings name it: `arm64 6.17`.
    pub fn machine(&self) -> String {
        format!("{} {}", self.arch, self.kernel)
    }
}

/// What a source of calls came to on machines side by side.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Name of the source.
    pub source: String,
    /// Machine by machine. All made the same calls.
    pub courses: Vec<Course>,
    /// Whether single steps were recorded; a run that is too large for that has sums only.
    pub recorded: bool,
    /// Whether it ran to its end.
    pub finished: bool,
}

impl Trace {
    /// The calls.
    pub fn calls(&self) -> &[CallLine] {
        self.courses.first().map_or(&[], |course| &course.calls)
    }
}

/// Makes a [`Course`] while a machine runs.
#[derive(Clone, Debug)]
pub struct Tracer {
    course: Course,
    places: Places,
    /// What each stretch of an address space held last: by space and first address.
    states: HashMap<(Pid, VirtAddr), Runs>,
    vmas: BTreeMap<Pid, Vec<NamedArea>>,
    recorded: bool,
}

impl Tracer {
    /// A tracer of a machine that has just booted. Without records, it looks at everything after every call that may have
    /// changed something.
    pub fn new(vm: &AnyVm) -> Self {
        let course = Course {
            arch: vm.arch(),
            kernel: vm.rules().name,
            shape: vm.shape(),
            steps: Vec::new(),
            words: Words::new(vm),
            calls: Vec::new(),
        };
        let recorded = vm.records();
        Self { course, places: Places::new(vm), states: HashMap::new(), vmas: BTreeMap::new(), recorded }
    }

    /// What was traced.
    pub fn into_course(self) -> Course {
        self.course
    }

    /// The stretches that a call may have changed: one table of page entries each, or all of it.
    fn stretches(&mut self, vm: &AnyVm, seen: &Seen<'_>) -> BTreeSet<(Pid, VirtAddr, u64)> {
        let entries: BTreeSet<_> = seen.records.iter().filter_map(entry_of).collect();
        let places = self.places.follow(vm, &entries);
        if !self.recorded {
            let spaces = self.places.spaces();
            let whole = spaces.keys().map(|&space| (space, VirtAddr::new(0), u64::MAX));
            return whole.filter(|_| may_change(seen)).collect();
        }
        let size = self.places.entry_size(Level::Pmd);
        let low = places.iter().filter(|place| place.level <= Level::Pmd);
        low.map(|place| (place.space, place.addr.align_down(size), size)).collect()
    }

    /// Looks at a stretch again; says what changed in it.
    fn look(&mut self, vm: &AnyVm, user: Pid, (space, start, len): (Pid, VirtAddr, u64)) -> Vec<Change> {
        let Ok(snapshot) = vm.snapshot(user, start.get(), len) else { return Vec::new() };
        let new = snapshot.runs;
        let nothing = || {
            let mut runs = new.emptied();
            let pages = snapshot.end.since(snapshot.start) >> self.course.shape.page_shift;
            let none = new.iter().find(|run| run.is_none()).copied();
            if let Some(none) = none {
                runs.push(Run { addr: snapshot.start, n: pages, ..none }, snapshot.end);
            }
            runs
        };
        let old = self.states.remove(&(space, start)).unwrap_or_else(nothing);
        let ranges = self.differing(&old, &new);
        let mut change = |(start, end): (VirtAddr, VirtAddr)| {
            let parts = new.iter().filter_map(|run| self.part(vm, run, new.end_of(run), (start, end)));
            Change { space, start, pieces: parts.collect() }
        };
        let changes = ranges.into_iter().map(&mut change).collect();
        self.states.insert((space, start), new);
        changes
    }

    /// Where two states of a stretch differ, in whole entries of the second.
    fn differing(&self, old: &Runs, new: &Runs) -> Vec<(VirtAddr, VirtAddr)> {
        let mut ranges: Vec<(VirtAddr, VirtAddr)> = Vec::new();
        for difference in old.differences(new, alike) {
            let level = difference.right.map_or(Level::Pte, |run| run.level);
            let size = self.places.entry_size(level);
            let start = difference.start.align_down(size);
            let end = difference.end.align_up(size).unwrap_or(difference.end);
            match ranges.last_mut() {
                Some((_, last)) if *last >= start => *last = end.max(*last),
                _ => ranges.push((start, end)),
            }
        }
        ranges
    }

    /// The part of a run that lies in a range, if any does.
    fn part(
        &mut self,
        vm: &AnyVm,
        run: &Run,
        run_end: VirtAddr,
        (start, end): (VirtAddr, VirtAddr),
    ) -> Option<Piece> {
        let (start, end) = (start.max(run.addr), end.min(run_end));
        if start >= end {
            return None;
        }
        let skipped = start.since(run.addr) >> self.course.shape.page_shift;
        let word = self.course.words.number(vm, run.bits, run.level);
        let page = run.page;
        let moved = |page: &ptelab::PageRun| {
            let by = if page.repeats { 0 } else { skipped };
            ((u64::from(page.offset) + by) % u64::from(page.folio_pages)) as u32
        };
        Some(Piece {
            n: end.since(start).div_ceil(self.places.entry_size(run.level)),
            word,
            folio_pages: page.map_or(0, |page| page.folio_pages),
            offset: page.as_ref().map_or(0, moved),
            repeats: page.is_some_and(|page| page.repeats),
            exclusive: page.is_some_and(|page| page.exclusive == Some(true)),
        })
    }

    /// How the VMAs of an address space differ from those that it had when last looked at.
    fn look_at_vmas(&mut self, vm: &AnyVm, space: Pid, user: Pid) -> Option<VmaChange> {
        let areas = vm.areas(user, 0, u64::MAX).ok()?;
        let old = self.vmas.entry(space).or_default();
        if old.iter().map(|named| &named.area).eq(&areas) {
            return None;
        }
        let named = areas.into_iter().zip(vm.backings(user).ok()?);
        let new: Vec<NamedArea> = named.map(|(area, backing)| NamedArea { area, backing }).collect();
        let at = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let rest = old[at..].iter().rev().zip(new[at..].iter().rev());
        let kept = rest.take_while(|(a, b)| a == b).count();
        let change = VmaChange {
            space,
            at,
            removed: old.len() - at - kept,
            added: new[at..new.len() - kept].to_vec(),
        };
        *old = new;
        Some(change)
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

impl Observer for Tracer {
    fn seen(&mut self, vm: &AnyVm, seen: Seen<'_>) {
        let known: BTreeSet<Pid> = self.vmas.keys().copied().collect();
        let stretches = self.stretches(vm, &seen);
        let spaces = self.places.spaces();
        let space = self.places.space_of(vm, seen.pid);
        let ended = self.forget(&spaces);
        let mut changes = Vec::new();
        for stretch in stretches {
            if let Some(&user) = spaces.get(&stretch.0) {
                changes.extend(self.look(vm, user, stretch));
            }
        }
        let looked_at = spaces.iter().filter(|(label, _)| Some(**label) == space || !known.contains(label));
        let vmas = looked_at.filter_map(|(&label, &user)| self.look_at_vmas(vm, label, user)).collect();
        let mut happenings = happenings(&self.places, self.course.shape.cont_ptes, &seen.records);
        let more = happenings.len().saturating_sub(MAX_HAPPENINGS);
        happenings.truncate(MAX_HAPPENINGS);
        self.course.steps.push(Step {
            space,
            outcome: seen.outcome,
            as_expected: seen.as_expected,
            changes,
            vmas,
            ended,
            happenings,
            primitives: seen.records.iter().map(primitives).sum(),
            more,
            counters: nonzero(&seen.counters),
            instructions: None,
        });
        self.course.calls.push(CallLine {
            line: seen.line,
            pid: seen.pid,
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

fn nonzero(counters: &Counters) -> Vec<(Counter, u64)> {
    counters.nonzero().collect()
}

/// Whether two runs are the same to who looks: how often a page is mapped elsewhere is not theirs.
fn alike(a: &Run, b: &Run) -> bool {
    let page = |run: &Run| run.page.map(|page| (page.folio_pages, page.offset, page.exclusive));
    a.level == b.level && a.bits == b.bits && page(a) == page(b)
}
