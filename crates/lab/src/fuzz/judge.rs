//! One machine on trial: after every call its tables, page structs and memory are held against the model and against each
//! other.

use super::coverage::{Coverage, Kind};
use super::model::{Expected, Model, PLACES, Space};
use super::program::{BASE, ELSEWHERE, PAGE};
use super::{Check, Checks, Violation};
use crate::exec::{self, Outcome};
use ptelab_machine::mm::{Config, LeafEntry, Mm, Pagemap};
use ptelab_machine::pgtable::{
    Access, Arch, CpuConfig, FlushHw, KernelRules, Level, Mapping, Pfn, Pte, PteAttrs, PteView, Tlbi,
    VirtAddr, VmFlags, Walk,
};
use ptelab_machine::{Machine, Pid, Vm};
use ptelab_scenario::Line;

/// What a program's memory is on every machine: enough for it never to run out.
const CONFIG: Config = Config { memory: 1 << 30, max_map_count: 65530 };

/// An entry that a machine holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) pid: Pid,
    pub(super) entry: LeafEntry,
    pub(super) view: PteView,
}

impl Seen {
    pub(super) const fn mapping(&self) -> Option<&Mapping> {
        match &self.view {
            PteView::Present(m) => Some(m),
            _ => None,
        }
    }

    fn attrs(&self) -> PteAttrs {
        self.mapping().map_or(PteAttrs::empty(), |m| m.attrs)
    }

    const fn place(&self) -> (Pid, VirtAddr) {
        (self.pid, self.entry.addr)
    }

    pub(super) fn text(&self) -> String {
        let Self { pid, entry, view } = self;
        let shared = entry.page.map_or_else(String::new, |page| {
            format!(
                ", page {} mapped {}{}",
                page.pfn,
                page.mapcount,
                if page.exclusive { ", exclusive" } else { "" }
            )
        });
        format!("[pid {pid}] {} {}{shared}", entry.addr, crate::show::view_text(view))
    }
}

/// A machine of any port on trial.
pub(super) trait Judged {
    /// Its port, kernel and rules.
    fn name(&self) -> String;
    /// The name of its port.
    fn port(&self) -> &'static str;
    /// Makes a call.
    fn call(&mut self, line: &Line) -> Outcome;
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
pub(super) struct OnTrial<A> {
    machine: Machine<A, FlushHw>,
    /// Bytes looked at, at either place.
    span: u64,
    before: Vec<Seen>,
    now: Vec<Seen>,
    /// Translations that may be cached, by place.
    cached: Vec<Seen>,
    /// How many entries map each frame.
    counts: Vec<u32>,
    had_huge: bool,
}

impl<A: Arch> OnTrial<A> {
    pub(super) fn new(arch: A, rules: &'static KernelRules, span: u64) -> Self {
        let machine = Machine::new(arch, rules, CONFIG);
        let (before, now, cached, counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { machine, span, before, now, cached, counts, had_huge: false }
    }

    pub(super) fn boxed(cpu: &CpuConfig, rules: &'static KernelRules, span: u64) -> Box<dyn Judged>
    where
        A: 'static,
    {
        Box::new(Self::new(A::new(cpu, rules), rules, span))
    }

    /// Reads all entries of all processes.
    fn look(&mut self) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        let kernel = &self.machine.kernel;
        self.counts.clear();
        self.counts.resize(kernel.pages.frames(), 0);
        for pid in self.machine.processes() {
            let Ok(mm) = self.machine.mm(pid) else { continue };
            for start in [BASE, ELSEWHERE] {
                let (start, end) = (VirtAddr::new(start), VirtAddr::new(start + self.span));
                kernel.walk_entries(mm, start, end, |entry| {
                    if entry.pte != Pte::NONE {
                        // Zero pages are nobody's, and not counted.
                        let page = entry.page.filter(|page| !kernel.pages.is_zero_page(page.pfn));
                        let entry = LeafEntry { page, ..entry };
                        let view = kernel.arch.decode(entry.pte, entry.level);
                        self.now.push(Seen { pid, entry, view });
                    }
                });
            }
        }
        for seen in &self.now {
            if let Some(page) = seen.entry.page {
                let pages = A::entry_size(seen.entry.level) / A::PAGE_SIZE;
                self.counts[page.pfn.index()..page.pfn.index() + pages as usize]
                    .iter_mut()
                    .for_each(|n| *n += 1);
                self.had_huge |= seen.entry.level == Level::Pmd;
            }
        }
    }

    /// Whether hardware lets an access through an entry, with flags set as need be.
    fn lets(&self, pte: Pte, level: Level, access: Access) -> bool {
        let arch = &self.machine.kernel.arch;
        arch.walk(arch.pte_mkyoung(pte), level, access) != Walk::Fault
    }

    fn entry_is_sound(&self, seen: &Seen, mm: &Mm, checks: Checks) -> Result<(), Violation> {
        let LeafEntry { addr, level, pte, page, .. } = seen.entry;
        let wrong = |check, what: &str| Err(Violation::new(check, format!("{}: {what}", seen.text())));
        let Some(vma) = mm.vmas.find(addr) else {
            return if checks.has(Check::Outside) { wrong(Check::Outside, "no VMA there") } else { Ok(()) };
        };
        let allowed = vma.flags & VmFlags::ACCESS;
        let writable = seen.attrs().contains(PteAttrs::WRITE);
        if checks.has(Check::Vma) {
            if writable && !allowed.contains(VmFlags::WRITE) {
                return wrong(Check::Vma, "its VMA is not writable");
            }
            if allowed.is_empty() && self.lets(pte, level, Access::Read) {
                return wrong(Check::Vma, "its VMA allows no access");
            }
        }
        let Some(page) = page else { return Ok(()) };
        let count = self.counts[page.pfn.index()];
        if checks.has(Check::Mapcount) && page.mapcount != count {
            return wrong(Check::Mapcount, &format!("{count} entries map it"));
        }
        if checks.has(Check::Exclusive) && page.exclusive && count != 1 {
            return wrong(Check::Exclusive, &format!("exclusive, and {count} entries map it"));
        }
        let private = !vma.flags.contains(VmFlags::SHARED);
        if checks.has(Check::Writable) && writable && private && (count != 1 || !page.exclusive) {
            return wrong(Check::Writable, "writable, and not its process's own");
        }
        Ok(())
    }

    fn contents_are_right(&self, pid: Pid, space: &Space, checks: Checks) -> Result<(), Violation> {
        let mut entries = self.now.iter().filter(|seen| seen.pid == pid).peekable();
        for (&at, page) in space {
            let addr = at * PAGE;
            let ends = |seen: &Seen| seen.entry.addr.get() + A::entry_size(seen.entry.level);
            while entries.next_if(|seen| ends(seen) <= addr).is_some() {}
            let here = entries.peek().filter(|seen| seen.entry.addr.get() <= addr);
            let wrong = |check, what: String| {
                let entry = here.map_or_else(|| format!("[pid {pid}] {addr:#x} empty"), |seen| seen.text());
                Err(Violation::new(check, format!("{entry}: {what}")))
            };
            let bytes = match here {
                None => Some([0; 4]),
                Some(seen) if self.is_zero(seen) => Some([0; 4]),
                Some(seen) => seen.entry.page.map(|facts| {
                    let pfn = facts.pfn.add((addr - seen.entry.addr.get()) / PAGE);
                    PLACES.map(|place| self.machine.kernel.pages.read(pfn, place as usize))
                }),
            };
            let known = !(page.is_shared() && here.is_none());
            if checks.has(Check::Contents) && known && bytes.is_some_and(|bytes| bytes != page.bytes()) {
                return wrong(Check::Contents, format!("holds {bytes:?}, was written {:?}", page.bytes()));
            }
            let Some(seen) = here.filter(|seen| seen.entry.page.is_some() && !page.is_shared()) else {
                continue;
            };
            let kept = self.machine.kernel.rules.pmd_modify_keeps_dirty || !self.had_huge;
            if checks.has(Check::Dirty) && page.dirty && kept && !self.is_dirty(seen) {
                return wrong(Check::Dirty, "was written, and nothing says so".to_owned());
            }
            let tracked = self.machine.kernel.arch.has_soft_dirty();
            let says = seen.entry.pagemap.contains(Pagemap::SOFT_DIRTY);
            if checks.has(Check::SoftDirty) && tracked && page.soft_dirty && !says {
                return wrong(Check::SoftDirty, "was written, and is not soft-dirty".to_owned());
            }
        }
        Ok(())
    }

    fn is_zero(&self, seen: &Seen) -> bool {
        seen.mapping().is_some_and(|m| self.machine.kernel.pages.is_zero_page(m.pfn))
    }

    fn is_dirty(&self, seen: &Seen) -> bool {
        let folio = seen.entry.page.is_some_and(|page| self.machine.kernel.pages.is_dirty(page.folio));
        folio || seen.attrs().contains(PteAttrs::DIRTY) || self.in_dirty_block(seen)
    }

    /// Whether any entry of a contiguous block is dirty: hardware may have noted it there.
    fn in_dirty_block(&self, seen: &Seen) -> bool {
        if !seen.attrs().contains(PteAttrs::CONT) {
            return false;
        }
        let start = seen.entry.addr.align_down(A::CONT_PTES as u64 * PAGE);
        let block = start..start.add(A::CONT_PTES as u64 * PAGE);
        let of_block = |other: &&Seen| other.pid == seen.pid && block.contains(&other.entry.addr);
        self.now.iter().filter(of_block).any(|other| other.attrs().contains(PteAttrs::DIRTY))
    }

    fn areas_are_right(&self, pid: Pid, mm: &Mm, space: &Space) -> Result<(), Violation> {
        let wrong = |text: String| Err(Violation::new(Check::Vma, format!("[pid {pid}] {text}")));
        let mut pages = 0;
        for vma in mm.vmas.iter() {
            for at in vma.start.get() / PAGE..vma.end.get() / PAGE {
                pages += 1;
                let prot = (vma.flags & VmFlags::ACCESS).bits();
                match space.get(&at) {
                    None => return wrong(format!("{:#x} is mapped and should not be", at * PAGE)),
                    Some(page) if page.prot != prot => {
                        return wrong(format!("{:#x} has protection {prot}, not {}", at * PAGE, page.prot));
                    }
                    Some(_) => {}
                }
            }
        }
        if pages == space.len() {
            Ok(())
        } else {
            wrong(format!("{pages} pages are mapped, not {}", space.len()))
        }
    }

    /// Every entry that says it is one of a contiguous block is.
    fn blocks_are_whole(&self) -> Result<(), Violation> {
        let n = A::CONT_PTES;
        let rules = self.machine.kernel.rules;
        let named = KernelRules::by_name(rules.name).unwrap_or(rules);
        let recorded = PteAttrs::YOUNG | PteAttrs::DIRTY;
        let mut i = 0;
        while i < self.now.len() {
            let seen = &self.now[i];
            let Some(m) = seen.mapping().filter(|m| m.attrs.contains(PteAttrs::CONT)) else {
                i += 1;
                continue;
            };
            let invalid = m.attrs.contains(PteAttrs::PROTNONE);
            if invalid && named.cont_on_invalid {
                // The bit means nothing there, and stays where a part of the block goes.
                i += 1;
                continue;
            }
            let aligned = seen.entry.addr.is_aligned(n as u64 * PAGE) && m.pfn.get() % n as u64 == 0;
            let alike = |(j, other): (usize, &Seen)| {
                other.place() == (seen.pid, seen.entry.addr.add(j as u64 * PAGE))
                    && other.mapping().is_some_and(|o| {
                        o.pfn == m.pfn.add(j as u64) && o.attrs - recorded == m.attrs - recorded
                    })
            };
            let block = self.now.get(i..i + n);
            let whole = block.is_some_and(|block| block.iter().enumerate().all(alike));
            let folio = seen.entry.page.is_some_and(|page| page.folio.end() >= m.pfn.add(n as u64));
            if invalid || !(aligned && whole && folio) {
                return Err(Violation::new(
                    Check::Blocks,
                    format!("{}: not one of a whole block", seen.text()),
                ));
            }
            i += n;
        }
        Ok(())
    }

    /// No translation that may be cached allows what its entry does not.
    fn nothing_is_stale(&mut self, flushes: &[Tlbi]) -> Result<(), Violation> {
        let alive = self.machine.processes();
        let mut cached = std::mem::take(&mut self.cached);
        cached.extend_from_slice(&self.before);
        cached.retain(|seen| {
            alive.contains(&seen.pid) && !flushes.iter().any(|op| op.reaches(seen.entry.addr))
        });
        cached.sort_by_key(|seen| (seen.place(), seen.entry.pte.0));
        cached.dedup_by_key(|seen| (seen.place(), seen.entry.pte.0));
        for old in &cached {
            let now = self.now.binary_search_by_key(&old.place(), Seen::place).ok().map(|i| &self.now[i]);
            if let Some(what) = self.outlives(old, now) {
                let now = now.map_or_else(|| "empty".to_owned(), Seen::text);
                let text = format!("{}: {what} and not flushed; now {now}", old.text());
                return Err(Violation::new(Check::Stale, text));
            }
        }
        self.cached = cached;
        Ok(())
    }

    /// What a cached translation allows that the entry there now does not.
    fn outlives(&self, old: &Seen, now: Option<&Seen>) -> Option<&'static str> {
        let (pte, level) = (old.entry.pte, old.entry.level);
        let arch = &self.machine.kernel.arch;
        let sees = |seen: &&Seen| {
            seen.entry.level == level
                && seen.mapping().map(|m| m.pfn) == old.mapping().map(|m| m.pfn)
                && self.lets(seen.entry.pte, level, Access::Read)
        };
        if !self.lets(pte, level, Access::Read) {
            return None;
        }
        let Some(now) = now.filter(sees) else { return Some("readable") };
        let through = |pte| {
            arch.walk(arch.pte_mkyoung(pte), level, Access::Write) == Walk::Allowed(arch.pte_mkyoung(pte))
        };
        (through(pte) && !self.lets(now.entry.pte, level, Access::Write)).then_some("writable")
    }

    fn frames_left(&self) -> (u64, u64) {
        (self.machine.kernel.pages.used(), self.machine.kernel.pages.tables())
    }
}

impl<A: Arch> Judged for OnTrial<A> {
    fn name(&self) -> String {
        format!("{}, Linux {}", A::NAME, self.machine.kernel.rules.name)
    }

    fn port(&self) -> &'static str {
        A::NAME
    }

    fn call(&mut self, line: &Line) -> Outcome {
        exec::run_line(&mut self.machine, line).0
    }

    fn judge(
        &mut self,
        name: &'static str,
        model: &Model,
        checks: Checks,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        let flushes = self.machine.kernel.hw.take_flushes();
        self.look();
        coverage.note(name, &self.before, &self.now);
        for pid in self.machine.processes() {
            let (Ok(mm), Some(space)) = (self.machine.mm(pid), model.space(pid)) else { continue };
            for seen in self.now.iter().filter(|seen| seen.pid == pid) {
                self.entry_is_sound(seen, mm, checks)?;
            }
            if checks.has(Check::Vma) {
                self.areas_are_right(pid, mm, space)?;
            }
            self.contents_are_right(pid, space, checks)?;
        }
        if checks.has(Check::Blocks) && A::CONT_PTES > 1 {
            self.blocks_are_whole()?;
        }
        if checks.has(Check::Stale) { self.nothing_is_stale(&flushes) } else { Ok(()) }
    }

    fn seen(&self) -> &[Seen] {
        &self.now
    }

    fn is_mapped(&self, pid: Pid, addr: u64) -> bool {
        self.machine.mm(pid).is_ok_and(|mm| mm.vmas.find(VirtAddr::new(addr)).is_some())
    }

    fn shape(&self) -> (usize, bool) {
        (A::CONT_PTES, self.machine.kernel.arch.has_soft_dirty())
    }

    fn end(&mut self, checks: Checks) -> Result<(), Violation> {
        for pid in self.machine.processes() {
            // They are those that live.
            let _ = self.machine.exit(pid);
        }
        let (frames, tables) = self.frames_left();
        if checks.has(Check::Leaks) && (frames, tables) != (0, 0) {
            let text = format!("{frames} frames and {tables} tables are left after all processes ended");
            return Err(Violation::new(Check::Leaks, text));
        }
        Ok(())
    }
}

/// Whether what a call came to is what the model expects.
pub(super) fn result_is_right(expected: Expected, got: Outcome) -> Result<(), Violation> {
    match expected {
        Expected::Is(outcome) if outcome != got => {
            Err(Violation::new(Check::Results, format!("came to {got}, should come to {outcome}")))
        }
        _ => Ok(()),
    }
}

/// What kind of state an entry is in, for the coverage of transitions.
pub(super) fn kind_of(seen: Option<&Seen>) -> Kind {
    let Some(seen) = seen else { return Kind::Empty };
    let Some(m) = seen.mapping() else { return Kind::Software };
    let is = |attr| m.attrs.contains(attr);
    let own = seen.entry.page.is_some_and(|page| page.exclusive);
    match () {
        () if m.level == Level::Pmd => Kind::Huge,
        () if is(PteAttrs::PROTNONE) => Kind::NoAccess,
        () if is(PteAttrs::SPECIAL) => Kind::Zero,
        () if is(PteAttrs::WRITE) && is(PteAttrs::CONT) => Kind::WritableCont,
        () if is(PteAttrs::WRITE) => Kind::Writable,
        () if own && is(PteAttrs::CONT) => Kind::ReadOwnCont,
        () if own => Kind::ReadOwn,
        () if is(PteAttrs::CONT) => Kind::ReadSharedCont,
        () => Kind::ReadShared,
    }
}

/// A frame's number means nothing between machines of other kernels; between twins it does.
pub(super) fn frame_of(seen: &Seen) -> Option<Pfn> {
    seen.mapping().map(|m| m.pfn)
}
