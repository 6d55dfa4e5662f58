//! The history of one entry, call by call: the word before and after, what changed it, and why.

use crate::by::By;
use crate::events::{TraceEvent, events, written};
use crate::places::{Place, Places};
use crate::why::{Part, Reasons, decided};
use ptelab::deciding::Between;
use ptelab::observe::{Observer, Seen};
use ptelab::{
    Backend, BitField, Cause, Event, FaultKind, Level, Pid, Pte, PteView, Record, Shape, VirtAddr, Why, show,
};
use std::fmt::Write as _;

/// An entry at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    level: Level,
    pte: Pte,
    view: PteView,
}

impl Entry {
    const NOTHING: Self = Self { level: Level::Pte, pte: Pte::NONE, view: PteView::None };

    /// An empty entry as a table of the level of `other` has it.
    fn beside(self, vm: &dyn Backend, other: Self) -> Self {
        match self.view {
            PteView::None => Self { level: other.level, pte: vm.words().empty(other.level), ..self },
            _ => self,
        }
    }
}

/// Tells what one entry goes through on one machine, up to a call.
#[derive(Debug)]
pub struct Explainer {
    heading: String,
    kernel: &'static str,
    shape: Shape,
    places: Places,
    pid: Pid,
    /// The number that the source gives it.
    number: Pid,
    va: VirtAddr,
    /// The last call that is told of, from 1, and its last line.
    at: u64,
    line: u64,
    calls: u64,
    /// The line of the last of all calls.
    last_line: u64,
    /// Of these, those up to there.
    within: u64,
    /// Who made the last of those: the emulated machine's number, and the source's.
    caller: (Pid, Pid),
    entry: Entry,
    /// What it was after each call that changed it, and what each call came to.
    history: Vec<(u64, Entry)>,
    outcomes: Vec<String>,
    /// What is told of calls.
    told: Vec<(u64, String)>,
    /// Whether the process was there, and whether it had memory at the address, after some call.
    seen: (bool, bool),
}

impl Explainer {
    /// An explainer of the entry for `va` of process `pid`, up to call `at`, counted from 1.
    pub fn new(vm: &dyn Backend, pid: Pid, va: VirtAddr, at: u64) -> Self {
        let (arch, kernel) = (vm.arch(), vm.rules().name);
        let va = va.align_down(vm.page_size());
        Self {
            heading: format!("{arch}, Linux {kernel}: {va} of process"),
            kernel,
            shape: vm.shape(),
            places: Places::new(vm),
            pid,
            number: pid,
            va,
            at,
            line: u64::MAX,
            calls: 0,
            last_line: 0,
            within: 0,
            caller: (pid, pid),
            entry: Entry::NOTHING,
            history: Vec::new(),
            outcomes: Vec::new(),
            told: Vec::new(),
            seen: (false, false),
        }
    }

    /// Told up to this line, not a call.
    #[must_use]
    pub fn up_to_line(self, line: u64) -> Self {
        Self { at: u64::MAX, line, ..self }
    }

    /// How many calls there were.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// The line of the last call.
    pub const fn last_line(&self) -> u64 {
        self.last_line
    }

    /// Whether there was a call to be told of.
    pub const fn has_calls(&self) -> bool {
        self.within > 0
    }

    /// The process that made the last call that is told of, by the source's number, where it is another than the entry's.
    pub fn other_caller(&self) -> Option<Pid> {
        Some(self.caller.1).filter(|_| self.caller.0 != self.pid)
    }

    /// Whether the process was there at any call that was told of.
    pub const fn has_process(&self) -> bool {
        self.seen.0
    }

    /// What the entry was after a call, and what that came to.
    fn after(&self, call: u64) -> (Entry, &str) {
        let changed = self.history.partition_point(|(at, _)| *at <= call);
        let entry = changed.checked_sub(1).map_or(Entry::NOTHING, |last| self.history[last].1);
        (entry, self.outcomes.get(call as usize - 1).map_or("", String::as_str))
    }

    /// The calls that are told of after which two machines begin to differ.
    fn parting(&self, other: &Self) -> Vec<u64> {
        let mut calls: Vec<u64> = self.told.iter().chain(&other.told).map(|(call, _)| *call).collect();
        calls.sort_unstable();
        calls.dedup();
        let mut known = (Entry::NOTHING, Entry::NOTHING);
        calls.retain(|&call| {
            let ((entry, outcome), (others, others_outcome)) = (self.after(call), other.after(call));
            let changed = std::mem::replace(&mut known, (entry, others)) != (entry, others);
            outcome != others_outcome || changed && entry != others
        });
        calls
    }

    /// Names the rules that make two machines differ from some calls on; `played` is what was told of each machine that lies
    /// between them.
    pub fn name_rules(left: &mut Self, right: &mut Self, between: &Between, played: &[Self]) {
        for call in left.parting(right) {
            let is = |one: &Self, side: &Self| one.after(call) == side.after(call);
            let rules = between.deciding(played, |one| is(one, left), |one| is(one, right));
            for side in [&mut *left, &mut *right] {
                let told = side.told.iter_mut().filter(|(at, _)| *at == call);
                for (_, text) in told {
                    text.extend(rules.iter().map(|rule| format!("  rule    {rule}\n")));
                }
            }
        }
    }

    /// Whether two machines differ somewhere.
    pub fn differs(&self, other: &Self) -> bool {
        !self.parting(other).is_empty()
    }

    /// The whole story.
    pub fn text(&self) -> String {
        let mut text = format!("{} {}, up to call {}\n", self.heading, self.number, self.within);
        if self.told.is_empty() {
            text.push_str(match self.seen {
                (false, _) => "\nThere is no such process.\n",
                (true, false) => "\nNothing is mapped there.\n",
                (true, true) => "\nNo call up to there changed it.\n",
            });
        }
        text.extend(self.told.iter().map(|(_, told)| told.as_str()));
        text
    }

    /// Whether a place is on the way to the entry for the address.
    fn covers(&self, place: &Place, space: Option<Pid>) -> bool {
        Some(place.space) == space
            && place.addr <= self.va
            && self.va < place.addr.add(self.places.entry_size(place.level))
    }

    /// What wrote the entry, in order and each once.
    fn hands(&self, records: &[Record], space: Option<Pid>, before: Entry, now: Entry) -> Vec<By> {
        let mut hands = Vec::new();
        let mut note = |by: By| {
            if !hands.contains(&by) {
                hands.push(by);
            }
        };
        if before.level != now.level && now != Entry::NOTHING {
            note(if now.level == Level::Pte { By::Split } else { By::Huge });
        }
        let mut why = Why::default();
        let mut fault: Option<(FaultKind, Option<&Cause>)> = None;
        for record in records {
            match *record {
                Record::Why(cause) => why = cause,
                Record::Event(Event::Fault(kind)) => fault = Some((kind, why.causes().next())),
                Record::Hardware(p, old, new) if self.touches(p, space) => {
                    note(By::Hardware(old.0 ^ new.0));
                }
                _ => {
                    let touched = written(record).is_some_and(|p| self.touches(p, space));
                    if let Some((kind, Some(cause))) = fault
                        && touched
                        && why.causes().any(|other| other == cause)
                    {
                        note(By::Fault(kind));
                    }
                }
            }
        }
        let found = events(&self.places, self.shape.cont_ptes, records);
        for event in found.into_iter().filter(|found| found.space == space).map(|found| found.event) {
            let covers =
                |addr: VirtAddr, n: u64| addr <= self.va && self.va < addr.add(n << self.shape.page_shift());
            let index = |addr: VirtAddr| self.va.since(addr) >> self.shape.page_shift();
            let block = self.shape.cont_ptes as u64;
            match event {
                TraceEvent::Batch(addr, n) if covers(addr, n) => note(By::Batch(addr, n, index(addr))),
                TraceEvent::Write(addr, n) if covers(addr, n) => note(By::Write(addr, n, index(addr))),
                TraceEvent::Fold(addr) if covers(addr, block) => note(By::Fold(addr)),
                TraceEvent::Unfold(addr) if covers(addr, block) => note(By::Unfold(addr)),
                _ => {}
            }
        }
        hands
    }

    fn touches(&self, p: ptelab::Ptep, space: Option<Pid>) -> bool {
        self.places.find(p).is_some_and(|place| place.level <= Level::Pmd && self.covers(&place, space))
    }

    /// Why the entry is what it is after a call.
    fn reasons(&self, vm: &dyn Backend, records: &[Record], space: Option<Pid>) -> Reasons {
        let mut reasons = Reasons::default();
        for one in decided(vm, &self.places, records) {
            if self.covers(&one.place, space) {
                reasons.add(one.why);
            }
        }
        reasons
    }

    fn tell(
        &mut self,
        vm: &dyn Backend,
        seen: &Seen<'_>,
        (before, now): (Entry, Entry),
        by: &[By],
        why: &Reasons,
    ) {
        let (before, now) = (before.beside(vm, now), now.beside(vm, before));
        let who = if seen.number == 1 { String::new() } else { format!("[pid {}] ", seen.number) };
        let mut text = String::new();
        let outcome = if seen.outcome.is_empty() { String::new() } else { format!(" = {}", seen.outcome) };
        let _ = writeln!(text, "\ncall {}, line {}: {who}{}{outcome}", self.calls, seen.line, seen.text);
        let _ = writeln!(text, "  before  {}", entry_text(&before));
        let _ = writeln!(text, "  after   {}", entry_text(&now));
        let bits =
            if before.pte == now.pte { "the same in the end".to_owned() } else { bits_text(vm, before, now) };
        let _ = writeln!(text, "  bits    {bits}");
        for hand in by {
            let _ = writeln!(text, "  by      {}", hand.text(vm, now.level));
        }
        for (cause, part) in why.iter() {
            let label = match part {
                Part::Own => "why",
                Part::Behind => "as ",
            };
            let source = cause.cited(self.kernel);
            let _ = writeln!(text, "  {label}     {}\n          ({source})", cause.text);
        }
        self.told.push((self.calls, text));
    }
}

impl Observer for Explainer {
    fn seen(&mut self, vm: &dyn Backend, seen: Seen<'_>) {
        self.calls += 1;
        self.last_line = self.last_line.max(seen.line);
        if self.calls > self.at || seen.line > self.line {
            return;
        }
        self.within = self.calls;
        self.caller = (seen.pid, seen.number);
        if seen.pid == self.pid {
            self.number = seen.number;
        }
        let space = self.places.space_of(vm, self.pid);
        self.places.follow(vm, seen.records.iter().filter_map(written));
        let space = self.places.space_of(vm, self.pid).or(space);
        if let Ok(areas) = vm.areas(self.pid, self.va.get(), 1) {
            self.seen = (true, self.seen.1 || !areas.is_empty());
        }
        let now = match vm.entry(self.pid, self.va) {
            Ok((level, pte, view)) if view != PteView::None => Entry { level, pte, view },
            _ => Entry::NOTHING,
        };
        let before = std::mem::replace(&mut self.entry, now);
        if before != now {
            self.history.push((self.calls, now));
        }
        self.outcomes.push(seen.outcome.clone());
        let why = self.reasons(vm, &seen.records, space);
        let is_mapped = before != Entry::NOTHING || now != Entry::NOTHING;
        if before != now || is_mapped && !why.is_empty() {
            let by = self.hands(&seen.records, space, before, now);
            self.tell(vm, &seen, (before, now), &by, &why);
        }
    }
}

fn entry_text(entry: &Entry) -> String {
    let huge = if entry.level == Level::Pmd && entry.view != PteView::None { "  (PMD leaf)" } else { "" };
    format!("{:016x}  {}{huge}", entry.pte.0, show::view_text(&entry.view))
}

/// The bits that changed, by name, with the fields' values; of a word of another kind, all that are set.
fn bits_text(vm: &dyn Backend, before: Entry, now: Entry) -> String {
    let fields = vm.words().fields(now.pte, now.level);
    if before.view != PteView::None
        && now.view != PteView::None
        && fields != vm.words().fields(before.pte, before.level)
    {
        let set = fields.into_iter().filter(|field| field.mask & now.pte.0 != 0);
        let set: Vec<String> = set.map(|field| field_text(field, Pte::NONE, now.pte)).collect();
        return format!("another kind of word: {}", set.join(" "));
    }
    let mut parts = Vec::new();
    let mut unnamed = before.pte.0 ^ now.pte.0;
    let kind = if now.view == PteView::None { before } else { now };
    for field in vm.words().fields(kind.pte, kind.level) {
        if unnamed & field.mask == 0 {
            continue;
        }
        unnamed &= !field.mask;
        parts.push(field_text(field, before.pte, now.pte));
    }
    if unnamed != 0 {
        parts.push(format!("{unnamed:#x} of another kind of word"));
    }
    parts.join(" ")
}

fn field_text(field: BitField, before: Pte, now: Pte) -> String {
    let (old, new) = (field.value(before), field.value(now));
    match field.mask.count_ones() {
        1 if new == 1 => format!("+{}", field.name),
        1 => format!("-{}", field.name),
        _ => format!("{} {old:#x}->{new:#x}", field.name),
    }
}
