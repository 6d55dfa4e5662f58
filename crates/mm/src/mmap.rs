//! `mmap`, `munmap`, exit, and the accounts they keep (`mm/mmap.c`, `mm/vma.c`, 7.3).

use crate::zap::Zap;
use crate::{Errno, Kernel, MapFlags, Mm, Prot, Vma};
use ptelab_pgtable::{Access, Arch, Level, MmuGather, TableMemory, VirtAddr, VmFlags};

/// No hint is honoured below (`vm.mmap_min_addr`), in bytes.
const MMAP_MIN_ADDR: u64 = 64 << 10;
/// What is left free above the first mapping, for a stack to grow into (`mmap_base`), in bytes.
const STACK_GAP: u64 = 128 << 20;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Maps anonymous memory and returns its address (`do_mmap`).
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM`, `EEXIST`, as Linux has them. A file cannot be mapped.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn mmap(
        &mut self,
        mm: &mut Mm,
        addr: VirtAddr,
        len: u64,
        prot: Prot,
        flags: MapFlags,
    ) -> Result<VirtAddr, Errno> {
        if len == 0 || !flags.contains(MapFlags::ANONYMOUS) {
            return Err(Errno::Einval);
        }
        let len = len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::Enomem)?;
        if mm.vmas.len() as u64 > self.config().max_map_count {
            return Err(Errno::Enomem);
        }
        let addr = self.mmap_address(mm, addr, len, flags)?;
        let vm_flags = self.mmap_vm_flags(prot, flags)?;
        let end = addr.add(len);
        self.mmap_region(mm, addr, end, vm_flags)?;
        if flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK) {
            self.mm_populate(mm, addr, end);
        }
        Ok(addr)
    }

    /// Where a mapping goes: exactly there, at the hint, or top-down (`__get_unmapped_area`).
    fn mmap_address(&self, mm: &Mm, addr: VirtAddr, len: u64, flags: MapFlags) -> Result<VirtAddr, Errno> {
        if len > A::TASK_SIZE {
            return Err(Errno::Enomem);
        }
        if flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) {
            Self::check_fixed(addr, len)?;
            let taken = mm.vmas.intersects(addr, addr.add(len));
            return if flags.contains(MapFlags::FIXED_NOREPLACE) && taken {
                Err(Errno::Eexist)
            } else {
                Ok(addr)
            };
        }
        let shared = flags.bits() & MapFlags::TYPE == MapFlags::SHARED.bits();
        self.get_unmapped_area(mm, addr, len, !shared)
    }

    fn check_fixed(addr: VirtAddr, len: u64) -> Result<(), Errno> {
        if len > A::TASK_SIZE || addr.get() > A::TASK_SIZE - len {
            return Err(Errno::Enomem);
        }
        if addr.is_aligned(A::PAGE_SIZE) { Ok(()) } else { Err(Errno::Einval) }
    }

    /// A free range: at the hint, else the highest. Private memory in whole huge pages is placed for huge pages.
    pub(crate) fn get_unmapped_area(
        &self,
        mm: &Mm,
        hint: VirtAddr,
        len: u64,
        private: bool,
    ) -> Result<VirtAddr, Errno> {
        let hint = hint.align_up(A::PAGE_SIZE).unwrap_or_default();
        if hint.get() != 0 {
            let hint = VirtAddr::new(hint.get().max(MMAP_MIN_ADDR));
            let fits = hint.get() <= A::TASK_SIZE.saturating_sub(len);
            if fits && !mm.vmas.intersects(hint, hint.add(len)) {
                return Ok(hint);
            }
        }
        let huge = A::entry_size(Level::Pmd);
        if private && hint.get() == 0 && len.is_multiple_of(huge) {
            let padded = len.checked_add(huge).and_then(|padded| Self::highest_gap(mm, padded));
            if let Some(base) = padded {
                return Ok(base.align_down(huge).add(huge));
            }
        }
        Self::highest_gap(mm, len).ok_or(Errno::Enomem)
    }

    /// The start of the highest free range of `len` bytes below the stack's gap.
    fn highest_gap(mm: &Mm, len: u64) -> Option<VirtAddr> {
        let mut top = (A::TASK_SIZE - STACK_GAP) & !(A::PAGE_SIZE - 1);
        for vma in mm.vmas.iter().rev() {
            if vma.end.get() <= top && top - vma.end.get() >= len {
                break;
            }
            top = top.min(vma.start.get());
        }
        let start = top.checked_sub(len)?;
        (start >= MMAP_MIN_ADDR).then(|| VirtAddr::new(start))
    }

    /// The flags of a new VMA.
    fn mmap_vm_flags(&self, prot: Prot, flags: MapFlags) -> Result<VmFlags, Errno> {
        let may = VmFlags::MAYREAD | VmFlags::MAYWRITE | VmFlags::MAYEXEC;
        let access = VmFlags::from_bits_retain((prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits());
        let mut vm = access | may | self.arch.arch_calc_vm_prot_bits(prot.bits());
        for (asked, gets) in [
            (MapFlags::GROWSDOWN, VmFlags::GROWSDOWN),
            (MapFlags::LOCKED, VmFlags::LOCKED),
            (MapFlags::NORESERVE, VmFlags::NORESERVE),
            (MapFlags::STACK, VmFlags::NOHUGEPAGE),
        ] {
            if flags.contains(asked) {
                vm |= gets;
            }
        }
        match flags.bits() & MapFlags::TYPE {
            kind if kind == MapFlags::PRIVATE.bits() => {}
            kind if kind == MapFlags::SHARED.bits() => {
                if vm.contains(VmFlags::GROWSDOWN) {
                    return Err(Errno::Einval);
                }
                vm |= VmFlags::SHARED | VmFlags::MAYSHARE;
            }
            _ => return Err(Errno::Einval),
        }
        if self.arch.has_soft_dirty() {
            vm |= VmFlags::SOFTDIRTY;
        }
        Ok(vm.with_pkey(self.override_pkey(None, prot)))
    }

    /// Makes room, accounts, and puts the VMA there (`mmap_region`).
    fn mmap_region(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        end: VirtAddr,
        mut flags: VmFlags,
    ) -> Result<(), Errno> {
        let pages = end.since(start) >> A::PAGE_SHIFT;
        self.unmap_range(mm, start, end)?;
        let shared = flags.contains(VmFlags::SHARED);
        let reserves = flags & (VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE) == VmFlags::WRITE;
        if reserves {
            self.charge(pages)?;
            flags |= VmFlags::ACCOUNT;
        } else if shared && !flags.contains(VmFlags::NORESERVE) {
            self.enough_memory(pages)?;
        }
        let object = shared.then(|| self.new_object(pages));
        let pgoff = if shared { 0 } else { start.get() >> A::PAGE_SHIFT };
        let vma = Vma {
            start,
            end,
            flags,
            page_prot: self.arch.vm_get_page_prot(flags),
            anon_vma: None,
            chain: [].into(),
            pgoff,
            object,
        };
        let soft_dirty = flags & VmFlags::SOFTDIRTY;
        let at = self.insert_vma(mm, vma);
        mm.vmas.at_mut(at).flags |= soft_dirty;
        self.vma_set_page_prot(mm, at);
        Ok(())
    }

    /// Faults in what was just mapped, as far as it goes (`mm_populate`).
    pub(crate) fn mm_populate(&mut self, mm: &mut Mm, start: VirtAddr, end: VirtAddr) {
        let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
        for vma in vmas.iter().filter(|vma| vma.flags.intersects(VmFlags::ACCESS)) {
            let private_write = vma.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
            let access = if private_write { Access::Write } else { Access::Read };
            if self.populate_range(mm, vma.start.max(start), vma.end.min(end), access).is_err() {
                return;
            }
        }
    }

    /// Unmaps a range, in bytes (`do_vmi_munmap`).
    ///
    /// # Errors
    /// `EINVAL` for a range that is not one, `ENOMEM` where splitting would make too many VMAs.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn munmap(&mut self, mm: &mut Mm, start: VirtAddr, len: u64) -> Result<(), Errno> {
        let past = start.get() > A::TASK_SIZE || len > A::TASK_SIZE - start.get();
        if !start.is_aligned(A::PAGE_SIZE) || past || len == 0 {
            return Err(Errno::Einval);
        }
        let end = VirtAddr::new(start.get() + len.next_multiple_of(A::PAGE_SIZE));
        self.unmap_range(mm, start, end)
    }

    /// Unmaps an aligned range.
    pub(crate) fn unmap_range(&mut self, mm: &mut Mm, start: VirtAddr, end: VirtAddr) -> Result<(), Errno> {
        let Some(first) = mm.vmas.range(start, end).next() else { return Ok(()) };
        let punches = first.start < start && end < first.end;
        if punches && mm.vmas.len() as u64 >= self.config().max_map_count {
            return Err(Errno::Enomem);
        }
        self.isolate(mm, start, end)?;
        let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
        let floor = mm.vmas.before(start).map_or(VirtAddr::new(0), |vma| vma.end);
        let ceiling = mm.vmas.find_or_next(end).map_or(VirtAddr::new(A::TASK_SIZE), |vma| vma.start);
        let mut tlb = MmuGather::default();
        for vma in &vmas {
            self.zap_page_range(mm, &mut tlb, vma, (vma.start, vma.end), Zap::Unmap);
            self.drop_vma(mm, vma);
        }
        let (first, last) = (&vmas[0], &vmas[vmas.len() - 1]);
        tlb.freed_tables |= self.free_pgtables(mm, (first.start, last.end), (floor, ceiling));
        self.tlb_finish(&mut tlb);
        Ok(())
    }

    /// Takes a VMA out of the tree, with all that it holds on to.
    fn drop_vma(&mut self, mm: &mut Mm, vma: &Vma) {
        mm.vmas.remove(vma.start);
        self.release(vma);
        if vma.flags.contains(VmFlags::ACCOUNT) {
            self.uncharge(vma.len() >> A::PAGE_SHIFT);
        }
    }

    /// Ends an address space: everything is unmapped, its tables are freed (`exit_mmap`).
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn exit_mmap(&mut self, mut mm: Mm) {
        let vmas: Vec<Vma> = mm.vmas.iter().cloned().collect();
        let mut tlb = MmuGather::default();
        for vma in &vmas {
            self.zap_page_range(&mut mm, &mut tlb, vma, (vma.start, vma.end), Zap::Unmap);
            self.drop_vma(&mut mm, vma);
        }
        let whole = (VirtAddr::new(0), VirtAddr::new(A::TASK_SIZE.next_power_of_two()));
        tlb.freed_tables |= self.free_pgtables(&mut mm, whole, whole);
        self.tlb_finish(&mut tlb);
        self.hw.free_table(mm.pgd);
        self.pages.uncharge_table();
        debug_assert_eq!(mm.tables, 0, "tables leaked");
    }

    /// Promises memory to a mapping. Only what could never be had is refused (`vm.overcommit_memory` 0).
    pub(crate) fn charge(&mut self, pages: u64) -> Result<(), Errno> {
        self.enough_memory(pages)?;
        self.committed += pages;
        Ok(())
    }

    fn enough_memory(&self, pages: u64) -> Result<(), Errno> {
        if pages > self.pages.total() { Err(Errno::Enomem) } else { Ok(()) }
    }

    pub(crate) const fn uncharge(&mut self, pages: u64) {
        self.committed -= pages;
    }
}
