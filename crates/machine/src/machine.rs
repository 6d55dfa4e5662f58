//! One machine of one port: its processes, and the calls they make.

use crate::backend::{About, Area, Backend, Usage};
use crate::processes::Processes;
use crate::shape::Shape;
use crate::snapshot::{Cell, Snapshot};
use crate::words::Words;
use ptelab_mm as mm;
use ptelab_mm::{Backing, Config, Destination, Kernel, Mm, Split, Table, Vma, VmaFacts};
use ptelab_pgtable::{
    Arch, Counters, FolioSpan, KernelRules, Level, Pfn, Pte, PteView, Record, TableMemory, VirtAddr,
};
use ptelab_uapi::{Advice, Call, CallError, Class, Errno, Outcome, Pid};

/// A machine of one port, with its processes.
#[derive(Clone, Debug)]
pub struct PortMachine<A, H> {
    /// The machine and its kernel.
    pub kernel: Kernel<A, H>,
    pub(crate) processes: Processes,
}

impl<A: Arch, H: TableMemory> PortMachine<A, H> {
    /// A machine that just booted, with process 1.
    ///
    /// # Panics
    /// Where the configured memory does not hold one page table; [`Builder`](crate::Builder) refuses that.
    pub fn new(arch: A, rules: &'static KernelRules, config: Config) -> Self {
        let mut kernel = Kernel::new(arch, rules, config);
        let init = kernel.new_mm().expect("memory holds the first table");
        Self { kernel, processes: Processes::new(init) }
    }

    /// The machine as far as one process sees it, with no page in use.
    fn without_pages(&self, pid: Pid) -> Result<Self, CallError> {
        let (kernel, mm) = self.kernel.without_pages(self.mm(pid)?)?;
        Ok(Self { kernel, processes: Processes::only(pid, mm) })
    }

    pub(crate) fn process(&mut self, pid: Pid) -> Result<(&mut Kernel<A, H>, &mut Mm), CallError> {
        let mm = self.processes.mm_mut(pid).ok_or(CallError::NoProcess(pid))?;
        Ok((&mut self.kernel, mm))
    }

    /// Does something in every address space.
    pub(crate) fn everywhere(&mut self, mut each: impl FnMut(&mut Kernel<A, H>, &mut Mm)) {
        for mm in self.processes.mms_mut() {
            each(&mut self.kernel, mm);
        }
    }

    pub(crate) fn begin_migration(&mut self, folio: FolioSpan) {
        self.begin_migration_with(folio, folio.head);
    }

    /// The same for a page of a folio that was split for it; `with` is the first that migrates.
    pub(crate) fn begin_migration_with(&mut self, folio: FolioSpan, with: Pfn) {
        mm::begin_migration_with(&mut self.kernel.pt, folio, with);
        self.everywhere(|kernel, mm| mm::try_to_migrate(&mut kernel.pt, mm, folio));
    }

    /// Splits a large folio, in every process that maps it; says whether that was done.
    pub(crate) fn split(&mut self, split: Split) -> bool {
        let mut mms: Vec<&mut Mm> = self.processes.mms_mut().collect();
        mm::split_mapped(&mut self.kernel, &mut mms, split)
    }

    /// Ends a migration at its destination; where memory has no room, the folio stays where it is, which is `from`.
    pub(crate) fn finish_migration(
        &mut self,
        folio: FolioSpan,
        to: Destination,
        from: Destination,
    ) -> Result<(), CallError> {
        let target = mm::migration_target(&mut self.kernel, folio, to);
        let (new, to) = target.map_or((folio, from), |new| (new, to));
        self.everywhere(|kernel, mm| mm::remove_migration_ptes(&mut kernel.pt, mm, folio, new, to));
        mm::end_migration(&mut self.kernel.pt, folio, new);
        if target.is_some() { Ok(()) } else { Err(Errno::ENOMEM.into()) }
    }

    /// The address space of a process.
    ///
    /// # Errors
    /// Where there is no such process.
    pub fn mm(&self, pid: Pid) -> Result<&Mm, CallError> {
        self.processes.mm(pid).ok_or(CallError::NoProcess(pid))
    }
}

/// Whether the pages in use decide what a call returns, not only the mappings.
fn pages_decide(call: &Call) -> bool {
    match call {
        Call::Madvise { advice, .. } | Call::ProcessMadvise { advice, .. } => *advice == Advice::COLLAPSE,
        other => other.form().class != Class::Memory,
    }
}

impl<A: Arch, H: TableMemory + Clone + Send> Backend for PortMachine<A, H> {
    fn about(&self) -> About {
        let arch = &self.kernel.pt.arch;
        let shape = Shape { root: arch.root(), task_size: arch.task_size(), ..Shape::of::<A>() };
        About { arch: A::NAME, rules: self.kernel.version, shape, records: self.kernel.pt.hw.keeps_order() }
    }

    fn call(&mut self, pid: Pid, call: &Call) -> Outcome {
        self.make(pid, call)
    }

    fn foresee(&self, pid: Pid, call: &Call) -> Outcome {
        let hollow = if pages_decide(call) { None } else { self.without_pages(pid).ok() };
        hollow.unwrap_or_else(|| self.clone()).make(pid, call)
    }

    fn processes(&self) -> Vec<Pid> {
        self.processes.pids()
    }

    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError> {
        let end = VirtAddr::new(addr.saturating_add(len));
        Ok(mm::smaps(&self.kernel, self.mm(pid)?, VirtAddr::new(addr), end))
    }

    fn areas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Area>, CallError> {
        let vmas = &self.mm(pid)?.vmas;
        let area = |vma: &Vma| Area { start: vma.start, end: vma.end, flags: vma.flags };
        if (addr, len) == (0, u64::MAX) {
            // A tree is walked whole in a third of the time that a range of it takes.
            return Ok(vmas.iter().map(area).collect());
        }
        Ok(vmas.range(VirtAddr::new(addr), VirtAddr::new(addr.saturating_add(len))).map(area).collect())
    }

    fn backings(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Backing>, CallError> {
        let (start, end) = (VirtAddr::new(addr), VirtAddr::new(addr.saturating_add(len)));
        Ok(mm::backings(&self.kernel, self.mm(pid)?, start, end))
    }

    fn mapped(&self, pid: Pid) -> Result<u64, CallError> {
        Ok(self.mm(pid)?.vmas.bytes())
    }

    fn map_count(&self, pid: Pid) -> Result<u64, CallError> {
        Ok(self.mm(pid)?.vmas.len() as u64)
    }

    fn find_file(&self, pid: Pid, path: &str, offset: u64) -> Result<Option<u64>, CallError> {
        let found = mm::find_file(&self.kernel, self.mm(pid)?, path, offset >> A::PAGE_SHIFT);
        Ok(found.map(|addr| addr.get() + offset % A::PAGE_SIZE))
    }

    fn snapshot(&self, pid: Pid, addr: u64, len: u64) -> Result<Snapshot, CallError> {
        Ok(Snapshot::take(&self.kernel, self.mm(pid)?, VirtAddr::new(addr), len))
    }

    fn cells(&self, pid: Pid, addr: u64, len: u64, each: &mut dyn FnMut(Cell)) -> Result<(), CallError> {
        Cell::each(&self.kernel, self.mm(pid)?, VirtAddr::new(addr), len, each);
        Ok(())
    }

    fn entry(&self, pid: Pid, addr: VirtAddr) -> Result<(Level, Pte, PteView), CallError> {
        let leaf = self.kernel.pt.entry_at(self.mm(pid)?, addr);
        Ok((leaf.level, leaf.pte, self.kernel.pt.arch.decode(leaf.pte, leaf.level)))
    }

    fn tables(&self, pid: Pid) -> Result<Vec<Table>, CallError> {
        Ok(self.kernel.pt.tables(self.mm(pid)?))
    }

    fn mincore(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<u8>, CallError> {
        Ok(mm::mincore(&self.kernel, self.mm(pid)?, VirtAddr::new(addr), len)?)
    }

    fn words(&self) -> &dyn Words {
        &self.kernel.pt.arch
    }

    fn usage(&self) -> Usage {
        let frames = self.kernel.pt.pages.used() + self.kernel.pt.pages.tables();
        Usage { memory: frames << A::PAGE_SHIFT, swap: self.kernel.swap.used() }
    }

    fn counters(&self) -> Option<Counters> {
        self.kernel.pt.hw.counters().copied()
    }

    fn take_records(&mut self) -> Vec<Record> {
        self.kernel.pt.hw.take_records()
    }
}
