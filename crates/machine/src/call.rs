//! Each call, made on a machine.

use crate::machine::PortMachine;
use ptelab_mm as mm;
use ptelab_mm::{Adopted, AdoptedAs, Destination, FaultError, FileId, Kernel, Mm, PmScan, Sharing, Split};
use ptelab_pgtable::{Arch, FolioSpan, Pfn, SoftleafRules, TableMemory, VirtAddr};
use ptelab_uapi::{
    Access, Advice, Call, CallError, Errno, MapFlags, Outcome, Pid, Prot, SigCode, SigInfo, Signal, ThpKey,
    ThpMode,
};

/// What a call returned, or why not.
type Returned = Result<u64, CallError>;

impl<A: Arch, H: TableMemory> PortMachine<A, H> {
    /// Makes a call in a process, and says what it came to.
    pub(crate) fn make(&mut self, pid: Pid, call: &Call) -> Outcome {
        if let Some(errno) = self.refuses(call) {
            return Outcome::Failed(CallError::Errno(errno));
        }
        self.kernel.pt.pages.alloc_node = self.processes.bound_to(pid);
        let returned = self.returned(pid, call);
        if let (Call::Check { byte, .. }, Ok(read)) = (call, returned)
            && read != u64::from(*byte)
        {
            return Outcome::Mismatch(read as u8);
        }
        returned.into()
    }

    /// What a call fails with for want of what the kernel was built without.
    fn refuses(&self, call: &Call) -> Option<Errno> {
        let for_devices = matches!(call, Call::DevicePrivate { .. } | Call::DeviceExclusive { .. });
        if for_devices && SoftleafRules::of(self.kernel.version).softleaf_without_devices {
            return Some(Errno::ENODEV);
        }
        self.kernel.config().absent.refuses(call)
    }

    /// Most calls are made by mm on the process's address space; what several spaces, or none, are about is made here.
    #[expect(clippy::too_many_lines, reason = "an arm for each call")]
    fn returned(&mut self, pid: Pid, call: &Call) -> Returned {
        let at = VirtAddr::new;
        match *call {
            Call::Mmap { addr, len, prot, flags, fd, offset } => {
                self.mmap(pid, (addr, len), prot, flags, (fd, offset))
            }
            Call::Munmap { addr, len } => self.done(pid, |k, mm| mm::munmap(k, mm, at(addr), len)),
            Call::Mprotect { addr, len, prot } => {
                self.done(pid, |k, mm| mm::mprotect(k, mm, at(addr), len, prot))
            }
            Call::Madvise { addr, len, advice } => {
                self.look_if_emulated(pid, &[(addr, len)], advice)?;
                self.advise(pid, |k, mm| mm::madvise(k, mm, at(addr), len, advice).map(zero))
            }
            Call::Mremap { old_addr, old_len, new_len, flags, new_addr } => self.value(pid, |k, mm| {
                Ok(mm::mremap(k, mm, at(old_addr), old_len, new_len, flags, at(new_addr))?.get())
            }),
            Call::Memset { addr, byte, len } => self.memset(pid, at(addr), byte, len),
            Call::ExplicitBzero { addr, len } => self.memset(pid, at(addr), 0, len),
            Call::Touch { addr, len, access } => self.touch(pid, at(addr), len, access),
            Call::Check { addr, .. } => {
                self.accessing(pid, |k, mm| mm::read_byte(k, mm, at(addr))).map(u64::from)
            }
            Call::Fork {} => self.fork(pid),
            Call::CloneVm {} => self.processes.share(pid).map(u64::from).ok_or(CallError::NoProcess(pid)),
            Call::Execve {} => self.execve(pid),
            Call::ExitGroup { .. } => self.exit(pid),
            Call::ClearRefs { what } => self.done(pid, |k, mm| mm::clear_refs(k, mm, what.into())),
            Call::Uffd { addr, len, features } => {
                self.done(pid, |k, mm| mm::uffd_register(k, mm, at(addr), len, features))
            }
            Call::UffdUnregister { addr, len } => {
                self.done(pid, |k, mm| mm::uffd_unregister(k, mm, at(addr), len))
            }
            Call::UffdWp { addr, len, how } => self.done(pid, |k, mm| mm::uffd_wp(k, mm, at(addr), len, how)),
            Call::UffdPoison { addr, len } => self.done(pid, |k, mm| mm::uffd_poison(k, mm, at(addr), len)),
            Call::PagemapScan { addr, len, flags, mask, returned, max_pages } => {
                let scan = PmScan { flags, mask, returned, max_pages, ..PmScan::default() };
                self.value(pid, |k, mm| {
                    Ok(mm::pagemap_scan(k, mm, at(addr), len, &scan)?.regions.len() as u64)
                })
            }
            Call::Reclaim { addr, len } => self.done(pid, |k, mm| mm::reclaim(k, mm, at(addr), len)),
            Call::SplitFolio { addr, order } => self.split_folio(pid, at(addr), order.into()),
            Call::MigrateBegin { addr, len } => self.migrate_begin(pid, at(addr), len),
            Call::MigrateEnd { addr, len } => self.migrate_end(pid, at(addr), len),
            Call::DevicePrivate { addr, len } => self.device_private(pid, at(addr), len),
            Call::DeviceExclusive { addr } => self.device_exclusive(pid, addr),
            Call::Hwpoison { addr } => self.hwpoison(pid, addr),
            Call::SoftOffline { addr } => self.soft_offline(pid, addr),
            Call::Thp { size, mode } => self.done(pid, |k, _| thp(k, size, mode)),
            Call::Numa { nodes } => self.done(pid, |k, _| numa(k, nodes)),
            Call::NumaAlloc { node } => self.numa_alloc(pid, (node < 64).then_some(node)),
            // How many pages were looked at is the kernel's own business.
            Call::NumaScan { addr, len } => self.done(pid, |k, mm| {
                if A::NUMA {
                    mm::numa_scan(k, mm, at(addr), len);
                }
                Ok(())
            }),
            Call::Swapon { size } => self.done(pid, |k, _| k.swap.swapon(&k.pt.arch, size)),
            Call::Dump { .. } | Call::Time { .. } => self.mm(pid).map(|_| 0),
            Call::Page { size } if size == A::PAGE_SIZE => self.mm(pid).map(|_| 0),
            Call::Page { .. } => Err(Errno::EINVAL.into()),
            Call::Brk { addr } => self.value(pid, |k, mm| Ok(mm::brk(k, mm, at(addr)).get())),
            Call::Mlock { addr, len } => self.done(pid, |k, mm| mm::mlock(k, mm, at(addr), len)),
            Call::Mlock2 { addr, len, flags } => {
                self.done(pid, |k, mm| mm::mlock2(k, mm, at(addr), len, flags))
            }
            Call::Munlock { addr, len } => self.done(pid, |k, mm| mm::munlock(k, mm, at(addr), len)),
            Call::Mlockall { flags } => self.done(pid, |k, mm| mm::mlockall(k, mm, flags)),
            Call::Munlockall {} => self.done(pid, |k, mm| {
                mm::munlockall(k, mm);
                Ok(())
            }),
            Call::Msync { addr, len, flags } => {
                self.done(pid, |_, mm| mm::msync::<A>(mm, at(addr), len, flags))
            }
            Call::Mincore { addr, len } => {
                self.done(pid, |k, mm| mm::mincore(k, mm, at(addr), len).map(drop))
            }
            Call::ProcessMadvise { ref ranges, advice, flags } => {
                self.look_if_emulated(pid, ranges, advice)?;
                self.advise(pid, |k, mm| mm::process_madvise(k, mm, ranges, advice, flags))
            }
            Call::PkeyAlloc { flags, rights } => {
                self.value(pid, |k, mm| mm::pkey_alloc(k, mm, flags, rights).map(u64::from))
            }
            Call::PkeyFree { pkey } => self.done(pid, |k, mm| mm::pkey_free(k, mm, pkey)),
            Call::PkeyMprotect { addr, len, prot, pkey } => {
                self.done(pid, |k, mm| mm::pkey_mprotect(k, mm, at(addr), len, prot, pkey))
            }
            Call::Mseal { addr, len, flags } => {
                self.done(pid, |k, mm| mm::mseal(k, mm, at(addr), len, flags))
            }
            Call::SetVmaAnonName { addr, len, ref name } => {
                self.done(pid, |k, mm| mm::set_anon_vma_name(k, mm, at(addr), len, name.as_deref()))
            }
            Call::SetThpDisable { on, flags } => {
                self.done(pid, |k, mm| mm::set_thp_disable(k, mm, on, flags))
            }
            Call::GetThpDisable {} => Ok(self.mm(pid)?.thp_disable()),
            Call::Shmget { key, size, flags } => {
                self.value(pid, |k, _| mm::shmget(k, key, size, flags).map(u64::from))
            }
            Call::Shmat { id, addr, flags } => {
                self.value(pid, |k, mm| Ok(mm::shmat(k, mm, segment(id)?, at(addr), flags)?.get()))
            }
            Call::Shmdt { addr } => self.done(pid, |k, mm| mm::shmdt(k, mm, at(addr))),
            Call::ShmRmid { id } => self.done(pid, |k, _| mm::shm_rmid(k, segment(id)?)),
            Call::Open { ref path, mode, size } => {
                self.value(pid, |k, _| Ok(mm::open(k, path, mode, size).into()))
            }
            Call::Pwrite { fd, byte, len, offset } => {
                self.done(pid, |k, _| mm::pwrite(k, file(fd)?, byte, len, offset))
            }
            Call::Adopt { addr, len, prot, flags, fd, offset, ref name } => {
                let adopted = || adopted((addr, len), prot, flags, (fd, offset), name.as_deref());
                self.done(pid, |k, mm| mm::adopt(k, mm, &adopted()?))
            }
            Call::SetBrk { start, end } => self.done(pid, |_, mm| {
                mm.set_brk(at(start), at(end));
                Ok(())
            }),
            Call::SetupStack { top, size } => self.done(pid, |k, mm| mm::setup_stack(k, mm, at(top), size)),
        }
    }

    /// What a call of mm on the process's address space returns.
    fn value(
        &mut self,
        pid: Pid,
        call: impl FnOnce(&mut Kernel<A, H>, &mut Mm) -> Result<u64, Errno>,
    ) -> Returned {
        Ok(self.lending(pid, false, call)??)
    }

    /// Does something in a process, to which the others' address spaces are lent, where it says so and where there are nodes: a hint
    /// fault moves what they map too.
    fn lending<T>(
        &mut self,
        pid: Pid,
        lends: bool,
        does: impl FnOnce(&mut Kernel<A, H>, &mut Mm) -> T,
    ) -> Result<T, CallError> {
        if lends || self.kernel.nodes > 1 {
            self.kernel.pt.others = self.processes.lend(pid);
        }
        let done = self.process(pid).map(|(kernel, mm)| does(kernel, mm));
        self.processes.take_back(std::mem::take(&mut self.kernel.pt.others));
        done
    }

    /// Refuses what kernels of the machine's rules do and it does not.
    fn look_if_emulated(&self, pid: Pid, ranges: &[(u64, u64)], advice: Advice) -> Result<(), CallError> {
        if advice != Advice::COLLAPSE {
            return Ok(());
        }
        let mm = self.processes.mm(pid).ok_or(CallError::NoProcess(pid))?;
        let shared = |&(addr, len): &(u64, u64)| {
            mm::collapses_shared(&self.kernel, mm, A::untagged_addr(VirtAddr::new(addr)), len)
        };
        if ranges.iter().any(shared) {
            return Err(CallError::NotEmulated("MADV_COLLAPSE of a block of shared memory"));
        }
        Ok(())
    }

    /// The same of advice, which concerns others where it splits folios that they map too, and where it punches holes.
    fn advise(
        &mut self,
        pid: Pid,
        call: impl FnOnce(&mut Kernel<A, H>, &mut Mm) -> Result<u64, Errno>,
    ) -> Returned {
        let lends = self.kernel.pt.guesses_mapped_shared();
        let advised = self.lending(pid, lends, call).and_then(|advised| Ok(advised?));
        self.punch_holes().and(advised)
    }

    /// The same of a call that returns 0.
    fn done(
        &mut self,
        pid: Pid,
        call: impl FnOnce(&mut Kernel<A, H>, &mut Mm) -> Result<(), Errno>,
    ) -> Returned {
        self.value(pid, |kernel, mm| call(kernel, mm).map(zero))
    }

    /// A given address is meant exactly.
    fn mmap(
        &mut self,
        pid: Pid,
        (addr, len): (u64, u64),
        prot: Prot,
        flags: MapFlags,
        (fd, offset): (i32, u64),
    ) -> Returned {
        let flags = flags.placed(addr);
        let addr = VirtAddr::new(addr);
        // No file has the last number.
        let from = (FileId::try_from(fd).unwrap_or(FileId::MAX), offset);
        // What is not reserved is mapped, whatever the pool has.
        let unreserved = MapFlags::ANONYMOUS | MapFlags::HUGETLB | MapFlags::NORESERVE;
        match self.value(pid, |kernel, mm| Ok(mm::mmap_file(kernel, mm, addr, len, prot, flags, from)?.get()))
        {
            Err(CallError::Errno(Errno::ENOMEM)) if flags.contains(unreserved) => {
                Err(CallError::NotEmulated("MAP_NORESERVE of set-aside huge pages"))
            }
            done => done,
        }
    }

    /// Takes what a call gave back of files and shared memory from everybody.
    fn punch_holes(&mut self) -> Result<(), CallError> {
        for hole in mm::take_holes(&mut self.kernel) {
            if mm::is_migrating(&self.kernel, &hole) {
                return Err(CallError::Migrating);
            }
            for mm in self.processes.mms_mut() {
                mm::unmap_hole(&mut self.kernel, mm, &hole);
            }
            mm::punch_hole(&mut self.kernel, &hole);
        }
        Ok(())
    }

    fn memset(&mut self, pid: Pid, addr: VirtAddr, byte: u8, len: u64) -> Returned {
        self.accessing(pid, |kernel, mm| mm::memset(kernel, mm, addr, byte, len)).map(zero)
    }

    fn touch(&mut self, pid: Pid, addr: VirtAddr, len: u64, access: Access) -> Returned {
        self.accessing(pid, |kernel, mm| mm::touch(kernel, mm, addr, len, access)).map(zero)
    }

    /// Makes accesses of a process. Pages in a device's memory that others map too come back for all of them on the way.
    fn accessing<T>(
        &mut self,
        pid: Pid,
        mut access: impl FnMut(&mut Kernel<A, H>, &mut Mm) -> Result<T, FaultError>,
    ) -> Result<T, CallError> {
        loop {
            return match self.lending(pid, false, &mut access)? {
                Ok(done) => Ok(done),
                Err(FaultError::InDevice(pfn)) => {
                    let page = FolioSpan { head: pfn, order: 0 };
                    self.begin_migration(page);
                    self.finish_migration(page, Destination::Memory, Destination::Device)?;
                    continue;
                }
                Err(FaultError::Signal(signal)) => Err(CallError::Signal(self.siginfo(signal))),
                Err(FaultError::Hwpoison) => Err(CallError::Signal(self.siginfo(Signal::BUS))),
                Err(FaultError::OutOfMemory) => Err(CallError::OutOfMemory),
                Err(FaultError::Migrating) => Err(CallError::Migrating),
            };
        }
    }

    /// What the handler of a signal is told that was just sent.
    fn siginfo(&self, signal: Signal) -> SigInfo {
        let last = self.kernel.last_signal.filter(|last| last.signal == signal);
        last.unwrap_or(SigInfo { signal, code: SigCode::KERNEL, addr: 0 })
    }

    /// Faults one page in, as a driver does that needs it.
    fn get_user_page(&mut self, pid: Pid, addr: u64, access: Access) -> Result<VirtAddr, CallError> {
        let addr = A::untagged_addr(VirtAddr::new(addr));
        if addr.get() >= self.mm(pid)?.task_size {
            return Err(Errno::EFAULT.into());
        }
        self.accessing(pid, |kernel, mm| mm::fault_in_page(kernel, mm, addr, access)).map_err(|error| {
            match error {
                CallError::Signal(_) => CallError::Errno(Errno::EFAULT),
                error => error,
            }
        })?;
        Ok(addr)
    }

    fn fork(&mut self, pid: Pid) -> Returned {
        let (kernel, mm) = self.process(pid)?;
        let child = mm::fork(kernel, mm)?;
        let child = self.processes.add(child);
        self.processes.inherit(pid, child);
        Ok(child.into())
    }

    fn numa_alloc(&mut self, pid: Pid, node: Option<u8>) -> Returned {
        self.mm(pid)?;
        if !A::NUMA {
            return Err(Errno::ENOSYS.into());
        }
        if node.is_some_and(|node| node >= self.kernel.nodes) {
            return Err(Errno::EINVAL.into());
        }
        self.processes.bind(pid, node);
        Ok(0)
    }

    fn execve(&mut self, pid: Pid) -> Returned {
        let (kernel, old) = self.process(pid)?;
        let new = mm::exec_mm(kernel, old)?;
        if let Some(old) = self.processes.replace(pid, new) {
            mm::exit_mmap(&mut self.kernel, old);
        }
        Ok(0)
    }

    fn exit(&mut self, pid: Pid) -> Returned {
        if let Some(mm) = self.processes.remove(pid)? {
            mm::exit_mmap(&mut self.kernel, mm);
        }
        Ok(0)
    }

    fn split_folio(&mut self, pid: Pid, addr: VirtAddr, order: u32) -> Returned {
        let (kernel, mm) = self.process(pid)?;
        if let Some(folio) = mm::folio_to_split(&mut kernel.pt, mm, addr, order) {
            self.split(Split { folio, order, fails: None });
        }
        Ok(0)
    }

    fn migrate_begin(&mut self, pid: Pid, addr: VirtAddr, len: u64) -> Returned {
        let (kernel, mm) = self.process(pid)?;
        for folio in mm::isolate_folios(&mut kernel.pt, mm, addr, len)? {
            // What has no entry for a huge page on its way moves page by page (`thp_migration_supported`).
            let too_large = folio.order >= A::PMD_ORDER && !self.kernel.pt.arch.has_pmd_softleaves();
            if !too_large && !self.kernel.pt.pages.is_partially_mapped(folio) {
                self.begin_migration(folio);
                continue;
            }
            if !self.split(Split { folio, order: 0, fails: None }) {
                // It moves whole, if that can be (`migrate_pages_batch`).
                if !too_large {
                    self.begin_migration(folio);
                }
                continue;
            }
            let mapped = |page: &FolioSpan| self.kernel.pt.pages.folio_mapcount(*page) > 0;
            let parts: Vec<FolioSpan> = folio.parts(0).filter(mapped).collect();
            for &page in &parts {
                self.begin_migration_with(page, parts[0].head);
            }
        }
        Ok(0)
    }

    fn migrate_end(&mut self, pid: Pid, addr: VirtAddr, len: u64) -> Returned {
        let folios = mm::migrating_folios(&self.kernel.pt, self.mm(pid)?, addr, len)?;
        if folios.is_empty() {
            return Err(CallError::NotMigrating);
        }
        let ends = folios
            .into_iter()
            .map(|folio| self.finish_migration(folio, Destination::OtherNode, Destination::Memory));
        ends.fold(Ok(()), Result::and).map(zero)
    }

    fn device_private(&mut self, pid: Pid, addr: VirtAddr, len: u64) -> Returned {
        let (kernel, mm) = self.process(pid)?;
        for folio in mm::isolate_folios(&mut kernel.pt, mm, addr, len)? {
            if folio.order > 0 && self.kernel.pt.pages.is_anon(folio) {
                self.split(Split { folio, order: 0, fails: None });
            }
        }
        let (kernel, mm) = self.process(pid)?;
        for folio in mm::device_folios(&mut kernel.pt, mm, addr, len)? {
            self.begin_migration(folio);
            self.finish_migration(folio, Destination::Device, Destination::Memory)?;
        }
        Ok(0)
    }

    fn device_exclusive(&mut self, pid: Pid, addr: u64) -> Returned {
        let addr = self.get_user_page(pid, addr, Access::Write)?;
        self.done(pid, |kernel, mm| mm::make_device_exclusive(kernel, mm, addr))
    }

    /// The page that fails, or is to: it is faulted in. madvise looks at its arguments first (asked of 6.17.13).
    fn page_to_fail(&mut self, pid: Pid, addr: u64) -> Result<(VirtAddr, Pfn, FolioSpan), CallError> {
        self.mm(pid)?;
        if !A::MEMORY_FAILURE
            || !addr.is_multiple_of(A::PAGE_SIZE)
            || addr.checked_add(A::PAGE_SIZE).is_none()
        {
            return Err(Errno::EINVAL.into());
        }
        let addr = self.get_user_page(pid, addr, Access::Read)?;
        let (kernel, mm) = self.process(pid)?;
        let (page, folio) = mm::page_to_fail(kernel, mm, addr)?;
        Ok((addr, page, folio))
    }

    /// `soft_offline_in_use_page` (`mm/memory-failure.c`, 7.3). That the old frame stays out of use cannot be seen.
    fn soft_offline(&mut self, pid: Pid, addr: u64) -> Returned {
        let (_, page, folio) = self.page_to_fail(pid, addr)?;
        if self.kernel.pt.pages.is_hwpoison(page) {
            // It failed already (asked of 6.12.117).
            return Ok(0);
        }
        if self.kernel.pt.pages.is_zero_page(page) {
            return Err(mm::kernels_page_error(&self.kernel.pt).into());
        }
        if folio.order > 0 && !self.split(Split { folio, order: 0, fails: None }) {
            return Err(Errno::EBUSY.into());
        }
        let page = FolioSpan { head: page, order: 0 };
        if self.kernel.pt.pages.folio_mapcount(page) == 0 {
            // It held only zeros: the split has freed it.
            return Ok(0);
        }
        if self.kernel.pt.pages.is_batched(page) {
            return Err(Errno::EBUSY.into());
        }
        self.begin_migration(page);
        self.finish_migration(page, Destination::Memory, Destination::Memory).map(zero)
    }

    fn hwpoison(&mut self, pid: Pid, addr: u64) -> Returned {
        let (addr, page, folio) = self.page_to_fail(pid, addr)?;
        let signal = SigInfo { signal: Signal::BUS, code: SigCode::MCEERR_AR, addr: addr.get() };
        let is_zero_page = self.kernel.pt.pages.is_zero_page(page);
        if self.kernel.pt.pages.is_hwpoison(page) {
            // It stays where it is, and who maps it gets the signal (asked of 6.12.117, 6.16.12 and 7.3.4).
            return Err(CallError::Signal(signal));
        }
        if folio.order > 0 && !is_zero_page {
            mm::fail_in_use(&mut self.kernel.pt, page);
            if !self.split(Split { folio, order: 0, fails: Some(page) }) {
                return Err(CallError::Signal(signal));
            }
        }
        let (kernel, mm) = self.process(pid)?;
        let is_found = mm::page_to_fail(kernel, mm, addr).is_ok_and(|(found, _)| found == page);
        let page = FolioSpan { head: page, order: 0 };
        self.kernel.pt.pages.lru_add_drain();
        mm::fail_page(&mut self.kernel.pt, page);
        if is_zero_page {
            return Err(mm::zero_page_error(&self.kernel.pt, folio).into());
        }
        self.everywhere(|kernel, mm| mm::unmap_poisoned_swapcache(kernel, mm, page));
        if mm::me_swapcache_clean(&mut self.kernel, page) {
            return Ok(0);
        }
        self.everywhere(|kernel, mm| mm::unmap_poisoned(&mut kernel.pt, mm, page));
        // The process that reported the page gets SIGBUS where it maps it, but not for a clean page (asked of 6.12.117, 6.16.12, 6.17.13
        // and 7.3.4). Page entries of a large folio's page were taken down when that was split.
        if is_found && self.kernel.pt.pages.is_dirty(page) { Err(CallError::Signal(signal)) } else { Ok(0) }
    }
}

fn thp<A: Arch, H: TableMemory>(kernel: &mut Kernel<A, H>, size: ThpKey, mode: ThpMode) -> Result<(), Errno> {
    match size {
        ThpKey::Enabled => kernel.thp.set_enabled(mode),
        ThpKey::Kb(kb) => {
            let bytes = kb.saturating_mul(1024);
            let pages = bytes >> A::PAGE_SHIFT;
            if !bytes.is_power_of_two() || pages == 0 {
                return Err(Errno::ENOENT);
            }
            kernel.thp.set_order(pages.ilog2(), mode)
        }
    }
}

const fn numa<A: Arch, H: TableMemory>(kernel: &mut Kernel<A, H>, nodes: u8) -> Result<(), Errno> {
    if nodes == 0 || nodes > 64 || nodes > 1 && !A::NUMA {
        return Err(Errno::EINVAL);
    }
    kernel.nodes = nodes;
    Ok(())
}

const fn zero((): ()) -> u64 {
    0
}

fn file(fd: i32) -> Result<FileId, Errno> {
    FileId::try_from(fd).map_err(|_| Errno::EBADF)
}

fn segment(id: i32) -> Result<ptelab_mm::ShmId, Errno> {
    id.try_into().map_err(|_| Errno::EINVAL)
}

fn adopted(
    (addr, len): (u64, u64),
    prot: Prot,
    flags: MapFlags,
    (fd, offset): (i32, u64),
    name: Option<&str>,
) -> Result<Adopted, Errno> {
    let of = match name {
        Some(name) => AdoptedAs::Special(name.into()),
        None if flags.contains(MapFlags::GROWSDOWN) => AdoptedAs::Stack,
        None if flags.contains(MapFlags::ANONYMOUS) => AdoptedAs::Anonymous,
        None => AdoptedAs::File(file(fd)?, offset),
    };
    let shared = flags.bits() & MapFlags::TYPE == MapFlags::SHARED.bits();
    let sharing = if shared { Sharing::Shared } else { Sharing::Private };
    let end = addr.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok(Adopted { start: VirtAddr::new(addr), end: VirtAddr::new(end), prot, sharing, of })
}
