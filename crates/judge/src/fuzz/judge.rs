//! One machine on trial: after every call its tables, page structs and memory are held against the model and against each
//! other.

use super::checks::{Check, Checks, Violation};
use super::coverage::Coverage;
use super::model::{Expected, Model};
use super::program::{BASE, ELSEWHERE};
use super::state::{Seen, named};
use ptelab_machine::mm::{Config, LeafEntry};
use ptelab_machine::pgtable::laws::{PortFacts, Setting};
use ptelab_machine::pgtable::{
    Access, CpuConfig, FlushHw, KernelRules, Level, Pte, PteView, Ptep, Tlbi, VirtAddr, Walk, swp_type,
};
use ptelab_machine::{Backend, Call, CallError, Outcome, Pid, PortMachine};
use ptelab_run::exec;
use ptelab_scenario::Line;
use std::collections::BTreeMap;

/// What a program's memory is on every machine: enough for it never to run out.
const CONFIG: Config = Config { memory: 1 << 30, ..Config::DEFAULT };

/// A machine of any port on trial.
pub(crate) trait Judged {
    /// Its port, kernel and rules.
    fn name(&self) -> String;
    /// The rules that it runs under.
    fn rules(&self) -> &'static KernelRules;
    /// The name of its port.
    fn port(&self) -> &'static str;
    /// Bytes in a page.
    fn page_size(&self) -> u64;
    /// Whether its architecture has what a call is about.
    fn makes(&self, call: &Call) -> bool;
    /// Makes a call, and reads all entries.
    fn call(&mut self, line: &Line) -> Outcome;
    /// What stands for a page.
    fn word(&self, pid: Pid, page: u64) -> PteView;
    /// Looks at everything, and says what is wrong.
    fn judge(
        &mut self,
        name: &'static str,
        model: &Model,
        checks: Checks,
        coverage: &mut Coverage,
    ) -> Result<(), Violation>;
    /// What it holds now.
    fn seen(&self) -> &[Seen];
    /// Whether an address is mapped.
    fn is_mapped(&self, pid: Pid, addr: u64) -> bool;
    /// Entries in its contiguous blocks, and whether it tracks soft-dirty.
    fn shape(&self) -> (usize, bool);
    /// Ends all processes, and says what is left.
    fn end(&mut self, checks: Checks) -> Result<(), Violation>;
}

/// A machine, with what it held after the last call.
pub(crate) struct OnTrial<A> {
    pub(super) machine: PortMachine<A, FlushHw>,
    /// Whether its kernel, with nothing planted in it, has contiguous blocks that are not valid.
    pub(super) cont_on_invalid: bool,
    /// Whether its huge leaves stay dirty where their permissions change.
    pub(super) keeps_dirty: bool,
    /// Bytes looked at, at either place.
    span: u64,
    pub(super) before: Vec<Seen>,
    pub(super) now: Vec<Seen>,
    /// Translations that may be cached, by place.
    pub(super) cached: Vec<Seen>,
    /// How many entries map each frame.
    pub(super) counts: Vec<u32>,
    /// How many entries name each slot, or page that migrates.
    pub(super) named: BTreeMap<(u8, u64), u32>,
    pub(super) had_huge: bool,
    pub(super) flushes: Vec<Tlbi>,
    /// Tables of page entries, before the last call and after it.
    pub(super) tables: [Vec<(Pid, VirtAddr, Ptep)>; 2],
}

impl<A: PortFacts> OnTrial<A> {
    pub(crate) fn new(arch: A, cpu: &CpuConfig, rules: &'static KernelRules, span: u64) -> Self {
        let machine = PortMachine::new(arch, rules, CONFIG);
        let setting = Setting::of::<A>(cpu.clone(), rules);
        Self {
            machine,
            cont_on_invalid: A::has_cont_on_invalid(&setting.sound()),
            keeps_dirty: A::pmd_modify_keeps_dirty(&setting),
            span,
            before: Vec::new(),
            now: Vec::new(),
            cached: Vec::new(),
            counts: Vec::new(),
            named: BTreeMap::new(),
            had_huge: false,
            flushes: Vec::new(),
            tables: Default::default(),
        }
    }

    /// Reads all entries of all processes.
    fn look(&mut self) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        self.tables.swap(0, 1);
        self.tables[1].clear();
        let kernel = &self.machine.kernel;
        self.counts.clear();
        self.counts.resize(kernel.pt.pages.frames(), 0);
        for pid in self.machine.processes() {
            let Ok(mm) = self.machine.mm(pid) else { continue };
            for start in [BASE, ELSEWHERE] {
                let (start, end) = (VirtAddr::new(start), VirtAddr::new(start + self.span));
                let mut base = start;
                while base < end {
                    self.tables[1].extend(kernel.pt.page_table(mm, base).map(|table| (pid, base, table)));
                    base = base.add(A::entry_size(Level::Pmd));
                }
                kernel.pt.walk_entries(mm, start, end, |entry| {
                    if !kernel.pt.arch.is_none(entry.pte, entry.level) {
                        // Zero pages are nobody's, and not counted.
                        let page = entry.page.filter(|page| !kernel.pt.pages.is_zero_page(page.pfn));
                        let entry = LeafEntry { page, ..entry };
                        let view = kernel.pt.arch.decode(entry.pte, entry.level);
                        self.now.push(Seen { pid, entry, view });
                    }
                });
            }
        }
        self.count();
    }

    fn count(&mut self) {
        self.named.clear();
        for seen in &self.now {
            if let PteView::Soft(leaf) = seen.view {
                *self.named.entry(named(leaf)).or_default() += 1;
                if !leaf.is_device_private() && leaf.ty != swp_type::DEVICE_EXCLUSIVE {
                    continue;
                }
            }
            if let Some(page) = seen.entry.page {
                let pages = (A::entry_size(seen.entry.level) / A::PAGE_SIZE) as usize;
                let first = page.pfn.index();
                self.counts[first..first + pages].iter_mut().for_each(|n| *n += 1);
                self.had_huge |= seen.entry.level == Level::Pmd;
            }
        }
    }

    /// Whether hardware lets an access through an entry, with flags set as need be.
    pub(super) fn lets(&self, pte: Pte, level: Level, access: Access) -> bool {
        self.machine.kernel.pt.arch.walk(self.young(pte, level), level, access) != Walk::Fault
    }

    /// An entry made young.
    pub(super) fn young(&self, pte: Pte, level: Level) -> Pte {
        let arch = &self.machine.kernel.pt.arch;
        if level == Level::Pmd { arch.pmd_mkyoung(pte) } else { arch.pte_mkyoung(pte) }
    }
}

impl<A: PortFacts> Judged for OnTrial<A> {
    fn name(&self) -> String {
        format!("{}, Linux {}", A::NAME, self.machine.kernel.version.name)
    }

    fn rules(&self) -> &'static KernelRules {
        self.machine.kernel.version
    }

    fn port(&self) -> &'static str {
        A::NAME
    }

    fn page_size(&self) -> u64 {
        A::PAGE_SIZE
    }

    fn makes(&self, call: &Call) -> bool {
        match call {
            Call::Uffd { .. }
            | Call::UffdWp { .. }
            | Call::UffdUnregister { .. }
            | Call::UffdPoison { .. } => self.machine.kernel.pt.arch.pgtable_supports_uffd_wp(),
            Call::Numa { .. } | Call::NumaAlloc { .. } | Call::NumaScan { .. } => A::NUMA,
            Call::Hwpoison { .. } | Call::SoftOffline { .. } => A::MEMORY_FAILURE,
            _ => true,
        }
    }

    fn call(&mut self, line: &Line) -> Outcome {
        let got = exec::run_line(&mut self.machine, line).0;
        self.flushes = self.machine.kernel.pt.hw.take_flushes();
        self.look();
        got
    }

    fn word(&self, pid: Pid, page: u64) -> PteView {
        let addr = VirtAddr::new(page * A::PAGE_SIZE);
        let past = self.now.partition_point(|seen| seen.place() <= (pid, addr));
        let last = past.checked_sub(1).map(|i| &self.now[i]).filter(|seen| seen.pid == pid);
        let covers = |seen: &&Seen| addr.since(seen.entry.addr) < A::entry_size(seen.entry.level);
        last.filter(covers).map_or(PteView::None, |seen| seen.view)
    }

    fn judge(
        &mut self,
        name: &'static str,
        model: &Model,
        checks: Checks,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        coverage.note(name, &self.before, &self.now);
        for pid in self.machine.processes() {
            let (Ok(mm), Some(space)) = (self.machine.mm(pid), model.space(pid)) else { continue };
            self.entries_are_sound(pid, mm, checks)?;
            if checks.has(Check::Vma) {
                self.areas_are_right(pid, mm, space)?;
            }
            self.contents_are_right(pid, space, checks)?;
        }
        if checks.has(Check::Blocks) && A::CONT_PTES > 1 {
            self.blocks_are_whole()?;
        }
        if checks.has(Check::Stale) { self.nothing_is_stale() } else { Ok(()) }
    }

    fn seen(&self) -> &[Seen] {
        &self.now
    }

    fn is_mapped(&self, pid: Pid, addr: u64) -> bool {
        self.machine.mm(pid).is_ok_and(|mm| mm.vmas.find(VirtAddr::new(addr)).is_some())
    }

    fn shape(&self) -> (usize, bool) {
        (A::CONT_PTES, self.machine.kernel.pt.arch.has_soft_dirty())
    }

    fn end(&mut self, checks: Checks) -> Result<(), Violation> {
        if checks.has(Check::Mapcount) {
            self.sizes_add_up()?;
        }
        for pid in self.machine.processes() {
            // They are those that live.
            let _ = self.machine.call(pid, &Call::ExitGroup { status: 0 });
        }
        let kernel = &mut self.machine.kernel;
        // A folio that waits in a batch is freed with the batch's next move.
        kernel.pt.pages.lru_add_drain();
        let failed = kernel.pt.pages.failed();
        let left = (kernel.pt.pages.used(), kernel.pt.pages.tables(), kernel.swap.used() / A::PAGE_SIZE);
        if checks.has(Check::Leaks) && left != (failed, 0, 0) {
            let (frames, tables, slots) = left;
            let text = format!(
                "{frames} frames, {tables} tables and {slots} slots of swap are left in the end, where {failed} pages failed"
            );
            return Err(Violation::new(Check::Leaks, text));
        }
        Ok(())
    }
}

/// Whether what a call came to is what the model expects.
pub(crate) fn result_is_right(expected: Expected, got: Outcome) -> Result<(), Violation> {
    match expected {
        Expected::Is(outcome) if outcome != got => {
            Err(Violation::new(Check::Results, format!("returned {got}, should return {outcome}")))
        }
        Expected::Signal(signal) if !matches!(got, Outcome::Failed(CallError::Signal(info)) if info.signal == signal) => {
            Err(Violation::new(Check::Results, format!("ended in {got}, should end in {signal}")))
        }
        Expected::Is(_) | Expected::Signal(_) | Expected::Unknown => Ok(()),
    }
}
