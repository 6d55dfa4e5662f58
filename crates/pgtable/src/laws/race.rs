//! Hardware that interferes: what a walker on another CPU may do between any two steps of software.
//!
//! Before every primitive of an operation, the agent may make one access of a page: it fills its TLB from the entry, sets
//! accessed and dirty in it, and a store that it accepts is in memory from then on, also where it goes through a translation
//! that is stale. Every schedule with up to a bound of such accesses is tried, by running the operation again from its start.
//!
//! Held true: nothing that hardware recorded is lost; after the flush no cached translation allows what its entry forbids; and no
//! two translations of one address that must not be cached together are.

use super::board::{Board, Layout, attrs, block};
use super::trial::{PortFacts, Setting, word_text};
use crate::{
    Access, Barrier, FolioSpan, Hw, Level, MmuGather, Pfn, PgProt, Pte, PteAttrs, PteView, Ptep, RecordingHw,
    TableMemory, Tlbi, VmFlags, Walk,
};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Accesses that hardware makes in one schedule of a short operation, at most.
pub const BOUND: usize = 2;
/// Primitives above which an operation is long: then every schedule of one access is tried, and some of more at random.
pub const LONG: usize = 28;
/// Random schedules of each long operation.
pub const AT_RANDOM: usize = 200;

/// What software does, with the flush that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// A batched change of protection.
    Change,
    /// One entry at a time.
    ChangeSingly,
    /// A fork takes write permission.
    Fork,
    /// The entries go.
    Zap,
    /// Accessed is cleared.
    Age,
}

const OPS: [Op; 5] = [Op::Change, Op::ChangeSingly, Op::Fork, Op::Zap, Op::Age];

/// One exploration: an operation on a part of a layout.
#[derive(Clone, Copy, Debug)]
struct Try {
    op: Op,
    layout: usize,
    part: usize,
}

/// What accesses memory while software changes its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walker {
    /// Another CPU, whose walker sets accessed and dirty.
    Cpu,
    /// A device behind an SMMU without dirty management: its walker sets nothing, and faults where something is to be set.
    Device,
}

/// An access by hardware: the primitive that it precedes, the page (of two), the walker, and the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: usize,
    page: usize,
    walker: Walker,
    access: Access,
}

impl Step {
    /// Steps before one primitive: two walkers, two pages, two accesses.
    const CHOICES: usize = 8;

    const fn number(n: usize) -> Self {
        let access = if n.is_multiple_of(2) { Access::Write } else { Access::Read };
        let walker = if (n / 4).is_multiple_of(2) { Walker::Cpu } else { Walker::Device };
        Self { at: n / Self::CHOICES, page: n / 2 % 2, walker, access }
    }

    /// `5w0`: before which primitive, what, and of which page; in capitals where a device does it.
    fn id(self) -> String {
        let letter = match (self.walker, self.access) {
            (Walker::Cpu, Access::Write) => 'w',
            (Walker::Cpu, Access::Read) => 'r',
            (Walker::Device, Access::Write) => 'W',
            (Walker::Device, Access::Read) => 'R',
        };
        format!("{}{letter}{}", self.at, self.page)
    }

    fn of_id(id: &str) -> Option<Self> {
        let split = id.find(['w', 'r', 'W', 'R'])?;
        let letter = id[split..].chars().next()?;
        let page = id[split + 1..].parse().ok().filter(|page| *page < 2)?;
        let walker = if letter.is_uppercase() { Walker::Device } else { Walker::Cpu };
        let access = if letter.eq_ignore_ascii_case(&'w') { Access::Write } else { Access::Read };
        Some(Self { at: id[..split].parse().ok()?, page, walker, access })
    }
}

/// What was explored on one port, and what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaceReport {
    /// Schedules that were run.
    pub schedules: u64,
    /// States that they went through: one before each primitive.
    pub states: u64,
    /// Blocks that a batch joined while single translations of it were cached, as Linux does since 6.17.
    pub joined_live: u64,
    /// The first schedule that went wrong, for each operation and kind of fault.
    pub failures: Vec<RaceFailure>,
    /// Whether it was stopped before all were run.
    pub stopped: bool,
}

/// A schedule that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaceFailure {
    /// What it can be run again by.
    pub id: String,
    /// What went wrong.
    pub what: &'static str,
    /// The steps of both sides, numbered.
    pub steps: String,
}

/// The machine: before each primitive, hardware may have its turn.
struct ChaosHw<'a, P> {
    port: &'a P,
    hw: RecordingHw,
    /// The two pages that hardware uses: entries, with their addresses.
    pages: [(Ptep, crate::VirtAddr); 2],
    schedule: &'a [Step],
    /// Primitives so far.
    at: usize,
    /// Cached translations: the walker, the page, and the word.
    tlb: Vec<(Walker, usize, Pte)>,
    accessed: [bool; 2],
    written: [bool; 2],
    resizes: bool,
    conflict: bool,
    joined: bool,
    log: Option<String>,
}

impl<P: PortFacts> ChaosHw<'_, P> {
    fn say(&mut self, side: &str, text: impl FnOnce(&P) -> String) {
        if let Some(log) = &mut self.log {
            let n = log.lines().count() + 1;
            let _ = writeln!(log, "{n:>3}. {side:8}  {}", text(self.port));
        }
    }

    /// The agent's turns before the next primitive.
    fn turn(&mut self) {
        let (schedule, now) = (self.schedule, self.at);
        for step in schedule.iter().filter(|step| step.at == now) {
            self.access(*step);
        }
        self.at += 1;
    }

    fn access(&mut self, Step { page, walker, access, .. }: Step) {
        let through = |word| self.port.walk(word, Level::Pte, access) == Walk::Allowed(word);
        let cached = self.tlb.iter().any(|&(by, of, word)| (by, of) == (walker, page) && through(word));
        if !cached {
            let (p, _) = self.pages[page];
            let old = self.hw.peek(p);
            let new = match self.port.walk(old, Level::Pte, access) {
                Walk::Allowed(new) if walker == Walker::Cpu || new == old => new,
                _ => {
                    self.say("hardware", |port| {
                        let word = word_text(port, old, Level::Pte);
                        let recorded = port.pte_mkyoung(port.pte_mkdirty(old));
                        let by_software = port.walk(recorded, Level::Pte, access) != Walk::Fault;
                        let why = if by_software { ", for software to set accessed or dirty" } else { "" };
                        format!("page {page}: {access:?} by {walker:?} faults on {word}{why}")
                    });
                    return;
                }
            };
            self.hw.hardware_store(p, new);
            self.fill(walker, page, new);
            self.accessed[page] = true;
        }
        self.written[page] |= access == Access::Write;
        let how = if cached { "by a cached translation" } else { "by walking the tables" };
        self.say("hardware", |_| format!("page {page}: {access:?} by {walker:?} goes through {how}"));
    }

    fn fill(&mut self, walker: Walker, page: usize, new: Pte) {
        let view = |word| match self.port.decode(word, Level::Pte) {
            PteView::Present(m) => (m.pfn, m.attrs.contains(PteAttrs::CONT)),
            _ => (Pfn::new(0), false),
        };
        for (.., old) in self.tlb.iter().filter(|(by, of, _)| (*by, *of) == (walker, page)) {
            let ((frame, cont), (new_frame, new_cont)) = (view(*old), view(new));
            self.joined |= !cont && new_cont;
            self.conflict |= frame != new_frame || cont && !new_cont && !self.resizes;
        }
        self.tlb.push((walker, page, new));
    }
}

impl<P: PortFacts> Hw for ChaosHw<'_, P> {
    fn load(&mut self, p: Ptep) -> Pte {
        self.turn();
        let pte = self.hw.load(p);
        self.say("software", |port| format!("load {}: {}", p.0, word_text(port, pte, Level::Pte)));
        pte
    }

    fn store(&mut self, p: Ptep, new: Pte) {
        self.turn();
        self.hw.store(p, new);
        self.say("software", |port| format!("store {}: {}", p.0, word_text(port, new, Level::Pte)));
    }

    fn swap(&mut self, p: Ptep, new: Pte) -> Pte {
        self.turn();
        let old = self.hw.swap(p, new);
        self.say("software", |port| format!("exchange {}: {}", p.0, word_text(port, old, Level::Pte)));
        old
    }

    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte> {
        self.turn();
        let done = self.hw.compare_swap(p, old, new);
        self.say("software", |port| {
            format!("compare-exchange {}, {}: {}", p.0, done.is_ok(), word_text(port, new, Level::Pte))
        });
        done
    }

    fn barrier(&mut self, _: Barrier) {}

    fn tlbi(&mut self, op: Tlbi) {
        self.turn();
        let pages = self.pages;
        self.tlb.retain(|(_, page, _)| !op.reaches::<P>(pages[*page].1, Level::Pte));
        self.say("software", |_| format!("invalidate {:?}", op.scope));
    }

    fn page_folio(&mut self, pfn: Pfn) -> FolioSpan {
        self.hw.page_folio(pfn)
    }
}

/// Parts of a board that are tried.
const PARTS: usize = 5;

/// Parts of a board: the first entry and how many.
fn part<P: PortFacts>(i: usize) -> Option<(usize, usize)> {
    let b = block::<P>();
    [(0, 1), (3, 1), (b - 2, 2), (1, 4), (0, b)].get(i).copied()
}

/// What came of one schedule.
struct Ran {
    primitives: usize,
    joined: bool,
    fault: Option<&'static str>,
    log: String,
}

/// What a page must allow in the end for a cached translation to be fine.
fn outlives<P: PortFacts>(port: &P, cached: Pte, now: Pte) -> bool {
    let lets = |word, access| port.walk(port.pte_mkyoung(word), Level::Pte, access) != Walk::Fault;
    let frame = |word| match port.decode(word, Level::Pte) {
        PteView::Present(m) => Some(m.pfn),
        _ => None,
    };
    let writes = port.walk(cached, Level::Pte, Access::Write) == Walk::Allowed(cached);
    frame(cached) != frame(now) || !lets(now, Access::Read) || writes && !lets(now, Access::Write)
}

fn run<P: PortFacts>(setup: &Setup<'_, P>, schedule: &[Step], keep_log: bool) -> Ran {
    let Setup { port, on, ref board, part: (at, nr), prot, t } = *setup;
    let last = at + nr - 1;
    let pages = [at, last].map(|i| (board.at(i), board.addr(i)));
    let mut chaos = ChaosHw {
        port,
        hw: board.hw.clone(),
        pages,
        schedule,
        at: 0,
        tlb: Vec::new(),
        accessed: [false; 2],
        written: [false; 2],
        resizes: P::resizes_live(on),
        conflict: false,
        joined: false,
        log: keep_log.then(String::new),
    };
    let taken = operate(t.op, port, &mut chaos, (board, at, nr), prot);
    let after = board.with_machine(chaos.hw.clone());
    let meaning = after.meaning(port);
    let fault = [at, last].into_iter().enumerate().find_map(|(page, i)| {
        let says = attrs(&meaning[i]) | taken;
        let now = after.hw.peek(after.at(i));
        let stale = chaos.tlb.iter().any(|&(_, of, word)| of == page && outlives(port, word, now));
        match () {
            () if chaos.conflict => {
                Some("two translations of one address that exclude each other are cached")
            }
            () if chaos.written[page] && !says.contains(PteAttrs::DIRTY) => {
                Some("a write is lost: nothing is dirty")
            }
            () if t.op != Op::Age && chaos.accessed[page] && !says.contains(PteAttrs::YOUNG) => {
                Some("an access is lost: nothing is accessed")
            }
            () if t.op != Op::Age && stale => Some("a cached translation allows what its entry forbids"),
            () => None,
        }
    });
    Ran { primitives: chaos.at, joined: chaos.joined, fault, log: chaos.log.unwrap_or_default() }
}

/// An operation on a part of a table, ready to be run again and again.
struct Setup<'a, P> {
    port: &'a P,
    on: &'a Setting,
    board: Board,
    /// The first entry, and how many.
    part: (usize, usize),
    prot: PgProt,
    t: Try,
}

impl<'a, P: PortFacts> Setup<'a, P> {
    fn new(t: Try, port: &'a P, on: &'a Setting) -> Option<Self> {
        let board = Board::new(port, Layout::all(port).get(t.layout)?);
        let prot = port.vm_get_page_prot(VmFlags::READ);
        Some(Self { port, on, board, part: part::<P>(t.part)?, prot, t })
    }
}

/// Makes the operation and its flush; returns what it took out of the tables.
fn operate<P: PortFacts>(
    op: Op,
    port: &P,
    hw: &mut ChaosHw<'_, P>,
    (board, at, nr): (&Board, usize, usize),
    prot: PgProt,
) -> PteAttrs {
    let (addr, p) = (board.addr(at), board.at(at));
    let mut gather = MmuGather::default();
    let mut taken = PteAttrs::empty();
    match op {
        Op::Change => {
            let old = port.modify_prot_start_ptes(hw, addr, p, nr);
            let new = port.pte_modify(old, prot);
            port.modify_prot_commit_ptes(hw, addr, p, old, new, nr);
            if port.pte_needs_flush(old, new) {
                gather.flush_range(addr, nr as u64 * P::PAGE_SIZE, Level::Pte);
            }
        }
        Op::ChangeSingly => {
            for i in at..at + nr {
                let (addr, p) = (board.addr(i), board.at(i));
                let old = port.ptep_modify_prot_start(hw, addr, p);
                let new = port.pte_modify(old, prot);
                port.ptep_modify_prot_commit(hw, addr, p, old, new);
                if port.pte_needs_flush(old, new) {
                    gather.flush_range(addr, P::PAGE_SIZE, Level::Pte);
                }
            }
        }
        Op::Fork => {
            port.wrprotect_ptes(hw, addr, p, nr);
            port.flush_tlb_mm(hw);
        }
        Op::Zap => {
            taken = attrs(&port.decode(port.get_and_clear_ptes(hw, addr, p, nr), Level::Pte));
            gather.flush_range(addr, nr as u64 * P::PAGE_SIZE, Level::Pte);
        }
        Op::Age => port.clear_young_dirty_ptes(hw, addr, p, nr, crate::Cydp::CLEAR_YOUNG),
    }
    if gather.range().is_some() {
        port.tlb_flush(hw, &gather);
    }
    taken
}

/// Explores every schedule of every operation on a port in one setting, until it is stopped.
pub fn explore<P: PortFacts>(port: &P, on: &Setting, stop: &AtomicBool) -> RaceReport {
    let mut report = RaceReport::default();
    for layout in 0..Layout::all(port).len() {
        for part in 0..PARTS {
            for op in OPS {
                if let Some(setup) = Setup::new(Try { op, layout, part }, port, on) {
                    explore_one(&setup, &mut report, stop);
                }
            }
        }
    }
    report
}

fn explore_one<P: PortFacts>(setup: &Setup<'_, P>, report: &mut RaceReport, stop: &AtomicBool) {
    let n = run(setup, &[], false).primitives;
    let turns = n * Step::CHOICES;
    for first in (0..turns).map(Step::number) {
        report.stopped |= stop.load(Ordering::Relaxed);
        if report.stopped {
            return;
        }
        judge(setup, &[first], report);
        let seconds = (first.at * Step::CHOICES..turns).map(Step::number);
        // Devices are tried alone: they change nothing that others could meet.
        let both = |second: &Step| n <= LONG && (first.walker, second.walker) == (Walker::Cpu, Walker::Cpu);
        for second in seconds.filter(both) {
            judge(setup, &[first, second], report);
        }
    }
    if n > LONG {
        let mut random = fastrand::Rng::with_seed(turns as u64);
        for _ in 0..AT_RANDOM {
            let mut schedule: Vec<Step> = (0..4).map(|_| Step::number(random.usize(..turns))).collect();
            schedule.sort_by_key(|step| step.at);
            judge(setup, &schedule, report);
        }
    }
}

fn judge<P: PortFacts>(setup: &Setup<'_, P>, schedule: &[Step], report: &mut RaceReport) {
    let ran = run(setup, schedule, false);
    report.schedules += 1;
    report.states += ran.primitives as u64;
    report.joined_live += u64::from(ran.joined);
    let Some(what) = ran.fault else { return };
    let id = id(setup.t, schedule);
    let of_op = |known: &RaceFailure| known.id.split('.').next() == id.split('.').next();
    if !report.failures.iter().any(|known| known.what == what && of_op(known)) {
        report.failures.push(RaceFailure { id, what, steps: run(setup, schedule, true).log });
    }
}

/// `Change.12.3.5w0-9r1`: operation, layout, part, and hardware's accesses.
fn id(t: Try, schedule: &[Step]) -> String {
    let steps: Vec<String> = schedule.iter().map(|step| step.id()).collect();
    format!("{:?}.{}.{}.{}", t.op, t.layout, t.part, steps.join("-"))
}

/// Runs one schedule again, by its id: what went wrong, if anything, and the steps. Nothing where there is no such schedule.
pub fn replay<P: PortFacts>(port: &P, on: &Setting, id: &str) -> Option<(Option<&'static str>, String)> {
    let mut parts = id.splitn(4, '.');
    let name = parts.next()?;
    let op = OPS.into_iter().find(|op| format!("{op:?}") == name)?;
    let (layout, part) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let schedule: Vec<Step> = parts.next()?.split('-').map(Step::of_id).collect::<Option<_>>()?;
    let ran = run(&Setup::new(Try { op, layout, part }, port, on)?, &schedule, true);
    Some((ran.fault, ran.log))
}
