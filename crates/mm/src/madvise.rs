//! `madvise` (`mm/madvise.c`, 7.3).

use crate::fault::Fault;
use crate::pages::{MapLevel, ZERO_PFN};
use crate::prctl::ThpDisable;
use crate::walk::PmdState;
use crate::zap::Zap;
use crate::{FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Access, Arch, Cause, Cydp, Event, FolioSpan, Fpb, Level, MmuGather, Pfn, Pte, Ptep, SoftLeaf,
    TableMemory, VirtAddr, VmFlags, marker, swp_type,
};
use ptelab_uapi::{Advice, Errno};

/// Part of a VMA that advice is about.
type Range = (VirtAddr, VirtAddr);

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Gives advice on a range, in bytes (`do_madvise`).
    ///
    /// # Errors
    /// As Linux has them. A hole in the range does not stop the rest: `ENOMEM` comes at the end.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn madvise(&mut self, mm: &mut Mm, start: VirtAddr, len: u64, advice: Advice) -> Result<(), Errno> {
        // What takes pages out of use is not a matter of one address space (`madvise_inject_error`); files keep their blocks.
        let elsewhere = matches!(advice, Advice::REMOVE | Advice::HWPOISON | Advice::SOFT_OFFLINE);
        if elsewhere || !advice.is_known() {
            return Err(Errno::EINVAL);
        }
        let end = Self::madvise_end(start, len)?;
        if len == 0 {
            return Ok(());
        }
        match advice {
            Advice::POPULATE_READ => self.madvise_populate(mm, (start, end), Access::Read),
            Advice::POPULATE_WRITE => self.madvise_populate(mm, (start, end), Access::Write),
            _ => self.walk_vmas(mm, (start, end), |kernel, mm, vma, part| {
                kernel.madvise_vma(mm, vma, part, advice)
            }),
        }
    }

    /// The end of a range that begins with a page, rounded up to pages.
    pub(crate) fn madvise_end(start: VirtAddr, len: u64) -> Result<VirtAddr, Errno> {
        let rounded = len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(rounded).ok_or(Errno::EINVAL)?;
        if start.is_aligned(A::PAGE_SIZE) { Ok(end) } else { Err(Errno::EINVAL) }
    }

    /// Does something to each VMA's part of a range; a hole does not stop it, and fails at the end (`madvise_walk_vmas`).
    pub(crate) fn walk_vmas(
        &mut self,
        mm: &mut Mm,
        (start, end): Range,
        mut each: impl FnMut(&mut Self, &mut Mm, &Vma, Range) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut at = start;
        let mut hole = false;
        while at < end {
            let Some(vma) = mm.vmas.find_or_next(at).filter(|vma| vma.start < end).cloned() else {
                hole = true;
                break;
            };
            hole |= vma.start > at;
            let part = (vma.start.max(at), vma.end.min(end));
            each(self, mm, &vma, part)?;
            at = part.1;
        }
        if hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn madvise_vma(&mut self, mm: &mut Mm, vma: &Vma, range: Range, advice: Advice) -> Result<(), Errno> {
        match advice {
            Advice::WILLNEED => Ok(()),
            Advice::DONTNEED => self.madvise_dontneed(mm, vma, range, VmFlags::LOCKED),
            Advice::DONTNEED_LOCKED => self.madvise_dontneed(mm, vma, range, VmFlags::empty()),
            Advice::FREE => self.madvise_free(mm, vma, range),
            Advice::COLD => self.madvise_cold(mm, vma, range, Cold::Deactivate),
            Advice::PAGEOUT => self.madvise_cold(mm, vma, range, Cold::Pageout),
            Advice::COLLAPSE => self.madvise_collapse(mm, vma, range),
            Advice::GUARD_INSTALL => self.madvise_guard_install(mm, vma, range),
            Advice::GUARD_REMOVE => self.madvise_guard_remove(mm, vma, range),
            _ => {
                let flags = self.advised_flags(vma, advice)?;
                self.madvise_update_vma(mm, vma, range, flags)
            }
        }
    }

    /// The flags of a VMA after advice that is only about flags.
    fn advised_flags(&self, vma: &Vma, advice: Advice) -> Result<VmFlags, Errno> {
        let old = vma.flags;
        let sequence = VmFlags::RAND_READ | VmFlags::SEQ_READ;
        let special = old.intersects(VmFlags::SPECIAL);
        let unmergeable = VmFlags::SHARED | VmFlags::MAYSHARE | VmFlags::DROPPABLE;
        Ok(match advice {
            Advice::NORMAL => old - sequence,
            Advice::RANDOM => (old - sequence) | VmFlags::RAND_READ,
            Advice::SEQUENTIAL => (old - sequence) | VmFlags::SEQ_READ,
            Advice::DONTFORK => old | VmFlags::DONTCOPY,
            Advice::DOFORK if !special => old - VmFlags::DONTCOPY,
            Advice::WIPEONFORK if vma.is_anonymous() => old | VmFlags::WIPEONFORK,
            Advice::KEEPONFORK if !old.contains(VmFlags::DROPPABLE) => old - VmFlags::WIPEONFORK,
            Advice::DONTDUMP => old | VmFlags::DONTDUMP,
            Advice::DODUMP if !special && !old.contains(VmFlags::DROPPABLE) => old - VmFlags::DONTDUMP,
            Advice::MERGEABLE if !special && !old.intersects(unmergeable) => old | VmFlags::MERGEABLE,
            Advice::MERGEABLE => old,
            Advice::UNMERGEABLE => old - VmFlags::MERGEABLE,
            Advice::HUGEPAGE => (old - VmFlags::NOHUGEPAGE) | VmFlags::HUGEPAGE,
            Advice::NOHUGEPAGE => (old - VmFlags::HUGEPAGE) | VmFlags::NOHUGEPAGE,
            _ => return Err(Errno::EINVAL),
        })
    }

    fn madvise_update_vma(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        (start, end): Range,
        flags: VmFlags,
    ) -> Result<(), Errno> {
        if flags == vma.flags {
            return Ok(());
        }
        // Too many VMAs is the one way in which this fails; madvise calls it EAGAIN.
        self.vma_modify(mm, start, end, flags).map_err(|_| Errno::EAGAIN)?;
        Ok(())
    }

    fn madvise_dontneed(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        range: Range,
        refused: VmFlags,
    ) -> Result<(), Errno> {
        if vma.flags.intersects(refused | VmFlags::PFNMAP | VmFlags::HUGETLB) {
            return Err(Errno::EINVAL);
        }
        let mut tlb = MmuGather::default();
        self.because(&cause::dontneed, |kernel| {
            kernel.zap_page_range(mm, &mut tlb, vma, range, Zap::Dontneed);
            kernel.tlb_finish(&mut tlb);
        });
        Ok(())
    }

    /// Faults a range in (`madvise_populate`).
    fn madvise_populate(&mut self, mm: &mut Mm, (start, end): Range, access: Access) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let vma = mm.vmas.find(at).ok_or(Errno::ENOMEM)?.clone();
            let needs = if access == Access::Write { VmFlags::WRITE } else { VmFlags::READ };
            if vma.flags.intersects(VmFlags::IO | VmFlags::PFNMAP) || !vma.flags.contains(needs) {
                return Err(Errno::EINVAL);
            }
            let part_end = vma.end.min(end);
            self.populate_range(mm, at, part_end, access).map_err(|error| match error {
                FaultError::Signal(_) | FaultError::Migrating | FaultError::InDevice(_) => Errno::EFAULT,
                FaultError::OutOfMemory => Errno::ENOMEM,
            })?;
            at = part_end;
        }
        Ok(())
    }

    /// Faults pages in as the kernel does for user code: nothing is written, and what is there already stays as it is.
    pub(crate) fn populate_range(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        end: VirtAddr,
        access: Access,
    ) -> Result<(), FaultError> {
        let mut at = start;
        while at < end {
            if self.populated(mm, at, access) {
                at = at.add(A::PAGE_SIZE);
            } else {
                self.because(&cause::populate, |kernel| kernel.handle_mm_fault(mm, at, access))?;
            }
        }
        Ok(())
    }

    /// Faults one page in, unless it is there already.
    ///
    /// # Errors
    /// The signal that an access would get.
    pub fn fault_in_page(&mut self, mm: &mut Mm, addr: VirtAddr, access: Access) -> Result<(), FaultError> {
        let at = addr.align_down(A::PAGE_SIZE);
        self.populate_range(mm, at, at.add(A::PAGE_SIZE), access)
    }

    /// Whether an access of the kernel for user code finds its page (`follow_page_mask`).
    fn populated(&self, mm: &Mm, addr: VirtAddr, access: Access) -> bool {
        let pte = match self.pmd_at(mm, addr) {
            PmdState::None | PmdState::Soft(_) => return false,
            PmdState::Huge(pmd) => pmd,
            PmdState::Table(table) => self.hw.peek(table.add(Self::index(addr, Level::Pte))),
        };
        self.arch.pte_present(pte)
            && !self.arch.pte_protnone(pte)
            && (access == Access::Read || self.arch.pte_write(pte))
    }

    // MADV_FREE, MADV_COLD, MADV_PAGEOUT.

    fn madvise_free(&mut self, mm: &mut Mm, vma: &Vma, (start, end): Range) -> Result<(), Errno> {
        if !vma.is_anonymous() || vma.flags.intersects(VmFlags::LOCKED | VmFlags::PFNMAP) {
            return Err(Errno::EINVAL);
        }
        let mut tlb = MmuGather::default();
        let mut addr = start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, end) {
            addr = next;
            if let PmdState::Huge(pmd) = self.pmd_state(pmdp)
                && self.free_huge_pmd(mm, &mut tlb, pmdp, pmd, (from, next))
            {
                continue;
            }
            self.because(&cause::free_swap, |kernel| kernel.free_nonpresent(mm, (from, next)));
            self.for_each_batch(mm, (from, next), |kernel, batch| kernel.free_batch(&mut tlb, batch));
        }
        self.tlb_end_vma(&mut tlb);
        self.tlb_finish(&mut tlb);
        Ok(())
    }

    /// Says whether the huge leaf was dealt with; otherwise its folio was split (`madvise_free_huge_pmd`).
    fn free_huge_pmd(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        pmdp: Ptep,
        pmd: Pte,
        (from, next): Range,
    ) -> bool {
        let Some(folio) = self.vm_normal_folio_pmd(pmd) else { return true };
        if self.pages.maybe_mapped_shared(folio) {
            self.hw.keeps(pmdp, 1, &cause::folio_shared);
            return true;
        }
        if next.since(from) != A::entry_size(Level::Pmd) {
            self.because(&cause::folio_in_part, |kernel| kernel.split_folio(mm, folio));
            return false;
        }
        self.pages.set_dirty(folio, false);
        if self.arch.pte_young(pmd) || self.arch.pte_dirty(pmd) {
            self.because(&cause::free, |kernel| {
                let old = kernel.arch.pmdp_invalidate(&mut kernel.hw, from, pmdp);
                let new = kernel.arch.pte_mkclean(kernel.arch.pte_mkold(old));
                kernel.arch.set_pmd_at(&mut kernel.hw, from, pmdp, new);
            });
            tlb.flush_range(from, A::entry_size(Level::Pmd), Level::Pmd);
        }
        self.pages.set_lazyfree(folio);
        true
    }

    /// Pages in swap and failed memory are as good as gone.
    fn free_nonpresent(&mut self, mm: &Mm, (mut addr, end): Range) {
        while addr < end {
            let Some(p) = self.pte_offset(mm, addr) else { return };
            let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
            let mut nr = 1;
            if let Some(leaf) = self.soft_view(self.hw.peek(p)) {
                if leaf.is_swap() {
                    nr = self.swap_pte_batch(p, leaf, max);
                    self.swap_put_batch(leaf, nr);
                    self.clear_nonpresent_ptes(addr, p, nr);
                } else if leaf.ty == swp_type::HWPOISON || leaf.is_marker(marker::POISONED) {
                    self.clear_nonpresent_ptes(addr, p, 1);
                }
            }
            addr = addr.add(nr as u64 * A::PAGE_SIZE);
        }
    }

    fn free_batch(&mut self, tlb: &mut MmuGather, b: MappedBatch) {
        if self.pages.is_dirty(b.folio) {
            if self.pages.folio_mapcount(b.folio) as usize != b.folio.nr_pages() {
                return self.hw.keeps(b.p, b.nr, &cause::free_not_alone);
            }
            self.pages.set_dirty(b.folio, false);
        }
        if b.young || b.dirty {
            let flags = Cydp::CLEAR_YOUNG | Cydp::CLEAR_DIRTY;
            self.because(&cause::free, |kernel| {
                kernel.arch.clear_young_dirty_ptes(&mut kernel.hw, b.addr, b.p, b.nr, flags);
            });
            tlb.flush_range(b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
        }
        self.pages.set_lazyfree(b.folio);
    }

    /// Paging out takes what is not shared, and leaves accessed bits (`madvise_cold_or_pageout_pte_range`).
    pub(crate) fn madvise_cold(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        (start, end): Range,
        cold: Cold,
    ) -> Result<(), Errno> {
        if vma.flags.intersects(VmFlags::LOCKED | VmFlags::PFNMAP | VmFlags::HUGETLB) {
            return Err(Errno::EINVAL);
        }
        let mut tlb = MmuGather::default();
        self.because(cold.cause(), |kernel| {
            kernel.madvise_cold_or_pageout(mm, &mut tlb, (start, end), cold);
            kernel.tlb_end_vma(&mut tlb);
            kernel.tlb_finish(&mut tlb);
        });
        Ok(())
    }

    fn madvise_cold_or_pageout(&mut self, mm: &mut Mm, tlb: &mut MmuGather, (start, end): Range, cold: Cold) {
        let mut addr = start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, end) {
            addr = next;
            if let PmdState::Huge(pmd) = self.pmd_state(pmdp)
                && self.cold_huge_pmd(mm, tlb, (pmdp, pmd), (from, next), cold)
            {
                continue;
            }
            let mut isolated = Vec::new();
            self.for_each_batch(mm, (from, next), |kernel, b| {
                let alone = kernel.pages.folio_mapcount(b.folio) as usize == b.folio.nr_pages();
                if alone && kernel.pages_out(cold, b.folio) {
                    isolated.push(b.folio);
                }
                if !alone {
                    kernel.hw.keeps(b.p, b.nr, &cause::folio_shared);
                }
                if alone && b.young && cold == Cold::Deactivate {
                    kernel.arch.clear_young_dirty_ptes(&mut kernel.hw, b.addr, b.p, b.nr, Cydp::CLEAR_YOUNG);
                    tlb.flush_range(b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
                }
            });
            self.reclaim_pages(mm, &isolated);
        }
    }

    fn cold_huge_pmd(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        (pmdp, pmd): (Ptep, Pte),
        (from, next): Range,
        cold: Cold,
    ) -> bool {
        let Some(folio) = self.vm_normal_folio_pmd(pmd) else { return true };
        if self.pages.maybe_mapped_shared(folio) {
            self.hw.keeps(pmdp, 1, &cause::folio_shared);
            return true;
        }
        if next.since(from) != A::entry_size(Level::Pmd) {
            self.because(&cause::folio_in_part, |kernel| kernel.split_folio(mm, folio));
            return false;
        }
        if cold == Cold::Deactivate && self.arch.pte_young(pmd) {
            self.arch.set_pmd_at(&mut self.hw, from, pmdp, self.arch.pte_mkold(pmd));
            tlb.flush_range(from, A::entry_size(Level::Pmd), Level::Pmd);
        }
        if self.pages_out(cold, folio) {
            self.reclaim_pages(mm, &[folio]);
        }
        true
    }

    fn pages_out(&self, cold: Cold, folio: FolioSpan) -> bool {
        match cold {
            Cold::Deactivate => false,
            Cold::Pageout => true,
            Cold::PageoutLazyfree => self.pages.is_lazyfree(folio),
        }
    }

    /// Does something to each folio that is mapped in a range under one table, batch by batch. A large folio that lies only
    /// partly in the range is split first, unless others map it too: then its entries are passed over.
    pub(crate) fn for_each_batch(
        &mut self,
        mm: &mut Mm,
        (mut addr, end): Range,
        mut each: impl FnMut(&mut Self, MappedBatch),
    ) {
        while addr < end {
            let Some(p) = self.pte_offset(mm, addr) else { return };
            let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
            let pte = self.arch.ptep_get(&mut self.hw, p);
            let folio = if self.arch.pte_present(pte) { self.vm_normal_folio(pte) } else { None };
            let Some(folio) = folio else {
                addr = addr.add(A::PAGE_SIZE);
                continue;
            };
            let nr = self.folio_pte_batch(Some(folio), p, pte, max, Fpb::empty());
            if nr < folio.nr_pages() {
                if self.pages.maybe_mapped_shared(folio) {
                    self.hw.keeps(p, nr, &cause::folio_shared);
                    addr = addr.add(nr as u64 * A::PAGE_SIZE);
                } else {
                    self.because(&cause::folio_in_part, |kernel| kernel.split_folio(mm, folio));
                }
                continue;
            }
            let (young, dirty) = self.merged_young_dirty(p, pte, nr);
            each(self, MappedBatch { addr, p, nr, folio, young, dirty });
            addr = addr.add(nr as u64 * A::PAGE_SIZE);
        }
    }

    /// Whether any entry of a batch is young, or dirty.
    fn merged_young_dirty(&self, p: Ptep, pte: Pte, nr: usize) -> (bool, bool) {
        let all = (0..nr).map(|i| self.hw.peek(p.add(i)));
        all.fold((self.arch.pte_young(pte), self.arch.pte_dirty(pte)), |(young, dirty), pte| {
            (young || self.arch.pte_young(pte), dirty || self.arch.pte_dirty(pte))
        })
    }

    // MADV_GUARD_INSTALL, MADV_GUARD_REMOVE.

    fn madvise_guard_install(&mut self, mm: &mut Mm, vma: &Vma, range: Range) -> Result<(), Errno> {
        let refused = VmFlags::SPECIAL | VmFlags::HUGETLB | VmFlags::LOCKED;
        if vma.flags.intersects(refused) {
            return Err(Errno::EINVAL);
        }
        if self.rules.guard_vma_flag {
            mm.vmas.at_mut(vma.start).flags |= VmFlags::MAYBE_GUARD;
        }
        // Before guards had a flag, only an anon_vma made fork copy them, so shared memory got one too.
        if vma.is_anonymous() || !self.rules.guard_vma_flag {
            self.anon_vma_prepare(mm, vma);
        }
        self.because(&cause::guard_install, |kernel| kernel.install_guards(mm, vma, range))
    }

    fn install_guards(&mut self, mm: &mut Mm, vma: &Vma, range: Range) -> Result<(), Errno> {
        let mut tlb = MmuGather::default();
        self.zap_page_range(mm, &mut tlb, vma, range, Zap::Replace);
        self.tlb_finish(&mut tlb);
        let guard = self.soft_word(SoftLeaf::GUARD);
        let (mut addr, end) = range;
        while addr < end {
            let pmdp = self.pmd_alloc(mm, addr)?;
            let table = self.pte_alloc(mm, pmdp)?;
            let p = table.add(Self::index(addr, Level::Pte));
            if self.arch.pte_none(self.hw.peek(p)) {
                self.arch.set_pte_at(&mut self.hw, addr, p, guard);
            }
            addr = addr.add(A::PAGE_SIZE);
        }
        Ok(())
    }

    fn madvise_guard_remove(&mut self, mm: &mut Mm, vma: &Vma, (start, end): Range) -> Result<(), Errno> {
        if vma.flags.intersects(VmFlags::SPECIAL | VmFlags::HUGETLB) {
            return Err(Errno::EINVAL);
        }
        let mut addr = start;
        while let Some((pmdp, from, next)) = self.next_pmd(mm, addr, end) {
            addr = next;
            let PmdState::Table(table) = self.pmd_state(pmdp) else { continue };
            let first = Self::index(from, Level::Pte);
            for i in 0..(next.since(from) >> A::PAGE_SHIFT) as usize {
                let p = table.add(first + i);
                let pte = self.hw.load(p);
                if self.is_marker(pte, marker::GUARD) {
                    let addr = from.add((i as u64) << A::PAGE_SHIFT);
                    self.because(&cause::guard_remove, |kernel| {
                        kernel.arch.pte_clear(&mut kernel.hw, addr, p);
                    });
                }
            }
        }
        Ok(())
    }

    // MADV_COLLAPSE.

    /// Makes huge pages of the whole aligned blocks in a range (`madvise_collapse`, `mm/khugepaged.c`).
    fn madvise_collapse(&mut self, mm: &mut Mm, vma: &Vma, (start, end): Range) -> Result<(), Errno> {
        let size = A::entry_size(Level::Pmd);
        let fits = Self::suitable_order(vma, VirtAddr::new(vma.end.get().saturating_sub(size)), A::PMD_ORDER);
        if !vma.is_anonymous() || self.collapse_disabled(mm, vma) || !fits {
            return Err(Errno::EINVAL);
        }
        let mut failed = Ok(());
        let mut base = start.align_up(size).ok_or(Errno::EINVAL)?;
        if self.rules.collapse_inside_block_fails && base > end.align_down(size) {
            return Err(Errno::EINVAL);
        }
        while base.get() + size <= end.get() {
            let done = self.because(&cause::collapse, |kernel| kernel.collapse_huge_page(mm, vma, base));
            if let Err(errno) = done {
                failed = Err(errno);
                if errno == Errno::ENOMEM {
                    break;
                }
            }
            base = base.add(size);
        }
        failed
    }

    /// `MADV_COLLAPSE` is advice enough for a process that has huge pages only where advised (`vma_thp_disabled`).
    const fn collapse_disabled(&self, mm: &Mm, vma: &Vma) -> bool {
        vma.flags.contains(VmFlags::NOHUGEPAGE) || matches!(mm.thp_disable, ThpDisable::Completely)
    }

    fn collapse_huge_page(&mut self, mm: &mut Mm, vma: &Vma, base: VirtAddr) -> Result<(), Errno> {
        let pmdp = self.pmd_offset(mm, base).map_err(|_| Errno::EINVAL)?;
        let table = match self.pmd_state(pmdp) {
            PmdState::Huge(_) => return Ok(()),
            PmdState::None | PmdState::Soft(_) => return Err(Errno::EINVAL),
            PmdState::Table(table) => table,
        };
        let anon_vma = vma.anon_vma.ok_or(Errno::EINVAL)?;
        self.collapse_swapin(mm, vma, table, base)?;
        let sources = self.collapse_scan(vma, table)?;
        let folio = self.alloc_folio(A::PMD_ORDER).ok_or(Errno::ENOMEM)?;
        let head = folio.head;
        self.pages.set_anon(folio, anon_vma, vma.pgoff_of(base, A::PAGE_SHIFT));
        for (from, i) in sources.into_iter().zip(0..) {
            self.pages.copy(from.unwrap_or(ZERO_PFN), head.add(i));
        }
        self.hw.event(Event::PagesCopied(folio.nr_pages() as u32));
        // The table goes, and with it walk caches: one flush for it and all its entries (`pmdp_collapse_flush`).
        let end = base.add(A::entry_size(Level::Pmd));
        self.zap_pte_range(mm, &mut MmuGather::default(), vma, table, (base, end), Zap::Unmap);
        self.arch.flush_tlb_range(&mut self.hw, base, end, Level::Pte);
        self.pages.map(folio, head, MapLevel::Pmd, mm.id);
        self.pages.set_exclusive(head, 1, true);
        self.hw.free_table(table);
        let entry = self.new_huge_entry(vma, head);
        self.arch.set_pmd_at(&mut self.hw, base, pmdp, entry);
        Ok(())
    }

    /// Brings back from swap what a block has there (`__collapse_huge_page_swapin`).
    fn collapse_swapin(&mut self, mm: &mut Mm, vma: &Vma, table: Ptep, base: VirtAddr) -> Result<(), Errno> {
        for i in 0..A::PTRS_PER_TABLE {
            let pte = self.hw.peek(table.add(i));
            if self.soft_view(pte).is_some_and(SoftLeaf::is_swap) {
                let addr = base.add(i as u64 * A::PAGE_SIZE);
                let fault = Fault { addr, access: Access::Read, uffd_wp: false };
                self.do_swap_page(mm, vma, table.add(i), pte, fault).map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }

    /// The pages that a table maps, if all of them can be moved into one; `None` for what is empty. A userfaultfd keeps
    /// what is empty, and what it protects, as it is.
    fn collapse_scan(&self, vma: &Vma, table: Ptep) -> Result<Vec<Option<Pfn>>, Errno> {
        let page = |&word: &u64| {
            let pte = Pte(word);
            let empty = self.arch.pte_none(pte) || self.arch.pte_present(pte) && self.arch.pte_special(pte);
            if empty && vma.uffd.is_none() {
                Ok(None)
            } else if !empty && self.arch.pte_present(pte) && !self.arch.pte_uffd_wp(pte) {
                Ok(Some(self.arch.pte_pfn(pte)))
            } else {
                Err(Errno::EINVAL)
            }
        };
        self.hw.peek_table(table).iter().map(page).collect()
    }
}

/// What to do with memory that is not needed soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    /// It is to be reclaimed before other memory.
    Deactivate,
    /// It is reclaimed now.
    Pageout,
    /// So much of it as `MADV_FREE` gave up is reclaimed now.
    PageoutLazyfree,
}

impl Cold {
    const fn cause(self) -> &'static Cause {
        match self {
            Self::Deactivate => &cause::cold,
            Self::Pageout | Self::PageoutLazyfree => &cause::pageout,
        }
    }
}

/// Entries that map all pages of a folio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappedBatch {
    pub(crate) addr: VirtAddr,
    pub(crate) p: Ptep,
    pub(crate) nr: usize,
    pub(crate) folio: FolioSpan,
    young: bool,
    dirty: bool,
}
