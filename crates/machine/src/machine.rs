//! One machine of one port: its processes, and the calls they make.

use crate::processes::Processes;
use crate::snapshot::{Cell, Snapshot, frameless};
use crate::vm::{Area, Shape, Vm};
use ptelab_mm::{
    Adopted, Backing, Config, Destination, Errno, FaultError, FileId, FileMode, Kernel, MapFlags, MclFlags,
    Mm, MremapFlags, MsFlags, PmScan, Prot, Scanned, SettingError, ShmFlags, ShmId, SigInfo, Signal, Split,
    Table, ThpDisable, ThpMode, UffdFeatures, Vma, VmaFacts, WriteProtect,
};
use ptelab_pgtable::{
    Access, Arch, BitField, Counters, FolioSpan, KernelRules, Level, Pte, PteView, Record, TableMemory,
    VirtAddr,
};

/// A process: 1 is the first, children count on in the order of their forks.
pub type Pid = u32;

/// Why a call did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CallError {
    /// It returned an error number.
    #[error("{0}")]
    Errno(Errno),
    /// The access got a signal.
    #[error("{}", .0.name())]
    Signal(Signal),
    /// The access found no memory for its page. Linux would call its OOM killer.
    #[error("ENOMEM (the OOM killer)")]
    OutOfMemory,
    /// The page that it needs migrates: Linux would wait until that is over.
    #[error("the page migrates: this waits for migrate_end")]
    Migrating,
    /// Nothing there migrates.
    #[error("nothing there migrates: migrate_begin comes first")]
    NotMigrating,
    /// There is no such process, or it has ended.
    #[error("no process {0}")]
    NoProcess(Pid),
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<FaultError> for CallError {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Signal(signal) => Self::Signal(signal),
            FaultError::OutOfMemory => Self::OutOfMemory,
            FaultError::Migrating => Self::Migrating,
            // Machines bring such a page back and try again.
            FaultError::InDevice(_) => Self::Errno(Errno::Efault),
        }
    }
}

impl From<SettingError> for CallError {
    fn from(error: SettingError) -> Self {
        Self::Errno(match error {
            SettingError::NoSuchSize => Errno::Enoent,
            SettingError::BadMode => Errno::Einval,
        })
    }
}

/// A machine of one port, with its processes.
#[derive(Clone, Debug)]
pub struct Machine<A, H> {
    /// The machine and its kernel.
    pub kernel: Kernel<A, H>,
    processes: Processes,
}

impl<A: Arch, H: TableMemory> Machine<A, H> {
    /// A machine that just booted, with process 1.
    ///
    /// # Panics
    /// Where the configured memory does not hold one page table; [`Builder`](crate::Builder) refuses that.
    pub fn new(arch: A, rules: &'static KernelRules, config: Config) -> Self {
        let mut kernel = Kernel::new(arch, rules, config);
        let init = kernel.new_mm().expect("memory holds the first table");
        Self { kernel, processes: Processes::new(init) }
    }

    fn process(&mut self, pid: Pid) -> Result<(&mut Kernel<A, H>, &mut Mm), CallError> {
        let mm = self.processes.mm_mut(pid).ok_or(CallError::NoProcess(pid))?;
        Ok((&mut self.kernel, mm))
    }

    /// Does something in every address space.
    fn everywhere(&mut self, mut each: impl FnMut(&mut Kernel<A, H>, &mut Mm)) {
        for mm in self.processes.mms_mut() {
            each(&mut self.kernel, mm);
        }
    }

    /// Makes accesses of a process. Pages in a device's memory that others map too come back for all of them on the way.
    fn accessing<T>(
        &mut self,
        pid: Pid,
        mut access: impl FnMut(&mut Kernel<A, H>, &mut Mm) -> Result<T, FaultError>,
    ) -> Result<T, CallError> {
        loop {
            let (kernel, mm) = self.process(pid)?;
            match access(kernel, mm) {
                Err(FaultError::InDevice(pfn)) => {
                    let page = FolioSpan { head: pfn, order: 0 };
                    self.begin_migration(page);
                    self.finish_migration(page, Destination::Memory, Destination::Device)?;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Faults one page in, as a driver does that needs it.
    fn get_user_page(&mut self, pid: Pid, addr: u64, access: Access) -> Result<VirtAddr, CallError> {
        if addr >= A::TASK_SIZE {
            return Err(Errno::Efault.into());
        }
        let addr = VirtAddr::new(addr);
        self.accessing(pid, |kernel, mm| kernel.fault_in_page(mm, addr, access)).map_err(
            |error| match error {
                CallError::Signal(_) => CallError::Errno(Errno::Efault),
                error => error,
            },
        )?;
        Ok(addr)
    }

    fn begin_migration(&mut self, folio: FolioSpan) {
        self.kernel.begin_migration(folio);
        self.everywhere(|kernel, mm| kernel.try_to_migrate(mm, folio));
    }

    /// Takes a large folio apart, whoever maps it.
    fn split(&mut self, split: Split) {
        let mut mms: Vec<&mut Mm> = self.processes.mms_mut().collect();
        self.kernel.split_mapped(&mut mms, split);
    }

    /// Ends a migration at its destination; where memory has no room, the folio stays where it is, which is `from`.
    fn finish_migration(
        &mut self,
        folio: FolioSpan,
        to: Destination,
        from: Destination,
    ) -> Result<(), CallError> {
        let target = self.kernel.migration_target(folio);
        let (new, to) = target.map_or((folio, from), |new| (new, to));
        self.everywhere(|kernel, mm| kernel.remove_migration_ptes(mm, folio, new, to));
        self.kernel.end_migration(folio, new);
        if target.is_some() { Ok(()) } else { Err(Errno::Enomem.into()) }
    }

    /// The address space of a process.
    pub fn mm(&self, pid: Pid) -> Result<&Mm, CallError> {
        self.processes.mm(pid).ok_or(CallError::NoProcess(pid))
    }
}

impl<A: Arch, H: TableMemory> Vm for Machine<A, H> {
    fn arch(&self) -> &'static str {
        A::NAME
    }

    fn rules(&self) -> &'static KernelRules {
        self.kernel.version
    }

    fn page_size(&self) -> u64 {
        A::PAGE_SIZE
    }

    fn processes(&self) -> Vec<Pid> {
        self.processes.pids()
    }

    fn mmap(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mmap(mm, VirtAddr::new(addr), len, prot, flags)?.get())
    }

    fn munmap(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.munmap(mm, VirtAddr::new(addr), len)?)
    }

    fn mprotect(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mprotect(mm, VirtAddr::new(addr), len, prot)?)
    }

    fn madvise(&mut self, pid: Pid, addr: u64, len: u64, advice: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.madvise(mm, VirtAddr::new(addr), len, advice)?)
    }

    fn mremap(
        &mut self,
        pid: Pid,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new_addr: u64,
    ) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        let (addr, new_addr) = (VirtAddr::new(addr), VirtAddr::new(new_addr));
        Ok(kernel.mremap(mm, addr, old_len, new_len, flags, new_addr)?.get())
    }

    fn open(&mut self, path: &str, mode: FileMode, size: Option<u64>) -> FileId {
        self.kernel.open(path, mode, size)
    }

    fn pwrite(&mut self, file: FileId, byte: u8, len: u64, offset: u64) -> Result<(), CallError> {
        Ok(self.kernel.pwrite(file, byte, len, offset)?)
    }

    fn mmap_file(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        prot: Prot,
        flags: MapFlags,
        from: (FileId, u64),
    ) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mmap_file(mm, VirtAddr::new(addr), len, prot, flags, from)?.get())
    }

    fn adopt(&mut self, pid: Pid, adopted: &Adopted) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.adopt(mm, adopted)?)
    }

    fn set_brk(&mut self, pid: Pid, start: u64, end: u64) -> Result<(), CallError> {
        let (_, mm) = self.process(pid)?;
        mm.set_brk(VirtAddr::new(start), VirtAddr::new(end));
        Ok(())
    }

    fn brk(&mut self, pid: Pid, addr: u64) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.brk(mm, VirtAddr::new(addr)).get())
    }

    fn setup_stack(&mut self, pid: Pid, top: u64, size: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.setup_stack(mm, VirtAddr::new(top), size)?)
    }

    fn mlock(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mlock(mm, VirtAddr::new(addr), len)?)
    }

    fn mlock2(&mut self, pid: Pid, addr: u64, len: u64, flags: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mlock2(mm, VirtAddr::new(addr), len, flags)?)
    }

    fn munlock(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.munlock(mm, VirtAddr::new(addr), len)?)
    }

    fn mlockall(&mut self, pid: Pid, flags: MclFlags) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.mlockall(mm, flags)?)
    }

    fn munlockall(&mut self, pid: Pid) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        kernel.munlockall(mm);
        Ok(())
    }

    fn msync(&mut self, pid: Pid, addr: u64, len: u64, flags: MsFlags) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.msync(mm, VirtAddr::new(addr), len, flags)?)
    }

    fn mincore(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<u8>, CallError> {
        Ok(self.kernel.mincore(self.mm(pid)?, VirtAddr::new(addr), len)?)
    }

    fn process_madvise(
        &mut self,
        pid: Pid,
        ranges: &[(u64, u64)],
        advice: u64,
        flags: u64,
    ) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        let ranges: Vec<_> = ranges.iter().map(|&(addr, len)| (VirtAddr::new(addr), len)).collect();
        Ok(kernel.process_madvise(mm, &ranges, advice, flags)?)
    }

    fn pkey_alloc(&mut self, pid: Pid, flags: u64, rights: u64) -> Result<u8, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.pkey_alloc(mm, flags, rights)?)
    }

    fn pkey_free(&mut self, pid: Pid, pkey: i32) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.pkey_free(mm, pkey)?)
    }

    fn pkey_mprotect(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        prot: Prot,
        pkey: i32,
    ) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.pkey_mprotect(mm, VirtAddr::new(addr), len, prot, pkey)?)
    }

    fn set_anon_vma_name(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        name: Option<&str>,
    ) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.set_anon_vma_name(mm, VirtAddr::new(addr), len, name)?)
    }

    fn set_thp_disable(&mut self, pid: Pid, disable: ThpDisable) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.set_thp_disable(mm, disable)?)
    }

    fn thp_disable(&self, pid: Pid) -> Result<ThpDisable, CallError> {
        Ok(self.mm(pid)?.thp_disable())
    }

    fn shmget(&mut self, key: u32, size: u64, flags: ShmFlags) -> Result<ShmId, CallError> {
        Ok(self.kernel.shmget(key, size, flags)?)
    }

    fn shmat(&mut self, pid: Pid, id: ShmId, addr: u64, flags: ShmFlags) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.shmat(mm, id, VirtAddr::new(addr), flags)?.get())
    }

    fn shmdt(&mut self, pid: Pid, addr: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.shmdt(mm, VirtAddr::new(addr))?)
    }

    fn shm_rmid(&mut self, id: ShmId) -> Result<(), CallError> {
        Ok(self.kernel.shm_rmid(id)?)
    }

    fn fork(&mut self, pid: Pid) -> Result<Pid, CallError> {
        let (kernel, mm) = self.process(pid)?;
        let child = kernel.fork(mm)?;
        Ok(self.processes.add(child))
    }

    fn clone_vm(&mut self, pid: Pid) -> Result<Pid, CallError> {
        self.processes.share(pid).ok_or(CallError::NoProcess(pid))
    }

    fn execve(&mut self, pid: Pid) -> Result<(), CallError> {
        let (kernel, old) = self.process(pid)?;
        let new = kernel.exec_mm(old)?;
        if let Some(old) = self.processes.replace(pid, new) {
            self.kernel.exit_mmap(old);
        }
        Ok(())
    }

    fn exit(&mut self, pid: Pid) -> Result<(), CallError> {
        if let Some(mm) = self.processes.remove(pid)? {
            self.kernel.exit_mmap(mm);
        }
        Ok(())
    }

    fn touch(&mut self, pid: Pid, addr: u64, len: u64, access: Access) -> Result<(), CallError> {
        self.accessing(pid, |kernel, mm| kernel.touch(mm, VirtAddr::new(addr), len, access))
    }

    fn memset(&mut self, pid: Pid, addr: u64, byte: u8, len: u64) -> Result<(), CallError> {
        self.accessing(pid, |kernel, mm| kernel.memset(mm, VirtAddr::new(addr), byte, len))
    }

    fn read_byte(&mut self, pid: Pid, addr: u64) -> Result<u8, CallError> {
        self.accessing(pid, |kernel, mm| kernel.read_byte(mm, VirtAddr::new(addr)))
    }

    fn uffd_register(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        features: UffdFeatures,
    ) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.uffd_register(mm, VirtAddr::new(addr), len, features)?)
    }

    fn uffd_unregister(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.uffd_unregister(mm, VirtAddr::new(addr), len)?)
    }

    fn uffd_wp(&mut self, pid: Pid, addr: u64, len: u64, how: WriteProtect) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.uffd_wp(mm, VirtAddr::new(addr), len, how)?)
    }

    fn uffd_poison(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.uffd_poison(mm, VirtAddr::new(addr), len)?)
    }

    fn reclaim(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.reclaim(mm, VirtAddr::new(addr), len)?)
    }

    fn split_folio(&mut self, pid: Pid, addr: u64, order: u32) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        if let Some(folio) = kernel.folio_to_split(mm, VirtAddr::new(addr), order) {
            self.split(Split { folio, order, fails: None });
        }
        Ok(())
    }

    fn pagemap_scan(&mut self, pid: Pid, addr: u64, len: u64, scan: &PmScan) -> Result<Scanned, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.pagemap_scan(mm, VirtAddr::new(addr), len, scan)?)
    }

    fn last_signal(&self) -> Option<SigInfo> {
        self.kernel.last_signal
    }

    fn clear_refs(&mut self, pid: Pid, what: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.clear_refs(mm, what)?)
    }

    fn swapon(&mut self, size: u64) -> Result<(), CallError> {
        Ok(self.kernel.swapon(size)?)
    }

    fn swap_used(&self) -> u64 {
        self.kernel.swap_used()
    }

    fn migrate_begin(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        for folio in kernel.isolate_folios(mm, VirtAddr::new(addr), len)? {
            if !self.kernel.pages.is_partially_mapped(folio) {
                self.begin_migration(folio);
                continue;
            }
            self.split(Split { folio, order: 0, fails: None });
            for page in folio.parts(0) {
                if self.kernel.pages.folio_mapcount(page) > 0 {
                    self.begin_migration(page);
                }
            }
        }
        Ok(())
    }

    fn migrate_end(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let folios = self.kernel.migrating_folios(self.mm(pid)?, VirtAddr::new(addr), len)?;
        if folios.is_empty() {
            return Err(CallError::NotMigrating);
        }
        let ends = folios
            .into_iter()
            .map(|folio| self.finish_migration(folio, Destination::Memory, Destination::Memory));
        ends.fold(Ok(()), Result::and)
    }

    fn device_private(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError> {
        let (kernel, mm) = self.process(pid)?;
        for folio in kernel.isolate_folios(mm, VirtAddr::new(addr), len)? {
            if folio.order > 0 && self.kernel.pages.is_anon(folio) {
                self.split(Split { folio, order: 0, fails: None });
            }
        }
        for folio in self.kernel.device_folios(self.mm(pid)?, VirtAddr::new(addr), len)? {
            self.begin_migration(folio);
            self.finish_migration(folio, Destination::Device, Destination::Memory)?;
        }
        Ok(())
    }

    fn device_exclusive(&mut self, pid: Pid, addr: u64) -> Result<(), CallError> {
        let addr = self.get_user_page(pid, addr, Access::Write)?;
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.make_device_exclusive(mm, addr)?)
    }

    fn hwpoison(&mut self, pid: Pid, addr: u64) -> Result<(), CallError> {
        let addr = self.get_user_page(pid, addr, Access::Read)?;
        let (kernel, mm) = self.process(pid)?;
        let (page, folio) = kernel.page_to_fail(mm, addr)?;
        if folio.order > 0 {
            self.split(Split { folio, order: 0, fails: Some(page) });
        }
        let page = FolioSpan { head: page, order: 0 };
        self.kernel.fail_page(page);
        self.everywhere(|kernel, mm| kernel.unmap_poisoned(mm, page));
        // The process that reported a single page gets SIGBUS for it, as it maps it; splitting a large folio takes the page
        // away without a signal (asked of 6.16.12, 6.17.13 and 7.3.4).
        if folio.order == 0 { Err(CallError::Signal(Signal::Bus)) } else { Ok(()) }
    }

    fn numa(&mut self, nodes: u8) -> Result<(), CallError> {
        if nodes == 0 || nodes > 64 {
            return Err(Errno::Einval.into());
        }
        self.kernel.nodes = nodes;
        Ok(())
    }

    fn numa_alloc(&mut self, node: Option<u8>) -> Result<(), CallError> {
        if node.is_some_and(|node| node >= self.kernel.nodes) {
            return Err(Errno::Einval.into());
        }
        self.kernel.alloc_node = node;
        Ok(())
    }

    fn numa_scan(&mut self, pid: Pid, addr: u64, len: u64) -> Result<u64, CallError> {
        let (kernel, mm) = self.process(pid)?;
        Ok(kernel.numa_scan(mm, VirtAddr::new(addr), len))
    }

    fn thp_enabled(&mut self, mode: ThpMode) -> Result<(), CallError> {
        Ok(self.kernel.thp.set_enabled(mode)?)
    }

    fn thp_size(&mut self, bytes: u64, mode: ThpMode) -> Result<(), CallError> {
        let pages = bytes >> A::PAGE_SHIFT;
        if !bytes.is_power_of_two() || pages == 0 {
            return Err(Errno::Enoent.into());
        }
        Ok(self.kernel.thp.set_order(pages.ilog2(), mode)?)
    }

    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError> {
        let end = VirtAddr::new(addr.saturating_add(len));
        Ok(self.kernel.smaps(self.mm(pid)?, VirtAddr::new(addr), end))
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
        Ok(self.kernel.backings(self.mm(pid)?, start, end))
    }

    fn mapped(&self, pid: Pid) -> Result<u64, CallError> {
        Ok(self.mm(pid)?.vmas.bytes())
    }

    fn find_file(&self, pid: Pid, path: &str, offset: u64) -> Result<Option<u64>, CallError> {
        let found = self.kernel.find_file(self.mm(pid)?, path, offset >> A::PAGE_SHIFT);
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
        let leaf = self.kernel.entry_at(self.mm(pid)?, addr);
        Ok((leaf.level, leaf.pte, self.kernel.arch.decode(leaf.pte, leaf.level)))
    }

    fn tables(&self, pid: Pid) -> Result<Vec<Table>, CallError> {
        Ok(self.kernel.tables(self.mm(pid)?))
    }

    fn shape(&self) -> Shape {
        Shape {
            page_shift: A::PAGE_SHIFT,
            table_shift: A::TABLE_SHIFT,
            cont_ptes: A::CONT_PTES,
            pfn_mask: self.kernel.arch.pfn_mask(),
        }
    }

    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField> {
        self.kernel.arch.fields(pte, level)
    }

    fn without_frame(&self, pte: Pte, level: Level) -> Pte {
        match self.kernel.arch.decode(pte, level) {
            PteView::Soft(leaf) => self.kernel.arch.soft_leaf(frameless(leaf)).unwrap_or(pte),
            _ => pte,
        }
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        self.kernel.arch.describe(pte, level)
    }

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        self.kernel.arch.decode(pte, level)
    }

    fn memory_used(&self) -> u64 {
        (self.kernel.pages.used() + self.kernel.pages.tables()) << A::PAGE_SHIFT
    }

    fn counters(&self) -> Option<Counters> {
        self.kernel.hw.counters().copied()
    }

    fn take_records(&mut self) -> Vec<Record> {
        self.kernel.hw.take_records()
    }
}
