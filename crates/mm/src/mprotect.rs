//! `mprotect`, from the call down to the entries (`mm/mprotect.c`, 7.3).

use crate::repeat::Repeat;
use crate::walk::PmdState;
use crate::{Kernel, Mm, Vma, cause};
use bitflags::bitflags;
use ptelab_pgtable::{
    Arch, Cause, Event, FolioSpan, Fpb, Level, MmuGather, Pfn, PgProt, Pte, Ptep, TableMemory, VirtAddr,
    VmFlags,
};
use ptelab_uapi::{Errno, Prot};

bitflags! {
    /// Why protections change (`MM_CP_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct CpFlags: u8 {
        /// Entries that may be writable without a fault become so.
        const TRY_CHANGE_WRITABLE = 1 << 0;
        /// NUMA hinting: entries become inaccessible for the next access to be noticed.
        const PROT_NUMA = 1 << 1;
        /// userfaultfd write protection goes on.
        const UFFD_WP = 1 << 2;
        /// userfaultfd write protection goes off.
        const UFFD_WP_RESOLVE = 1 << 3;
    }
}

/// What one walk of `change_protection` is about.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) vma: &'a Vma,
    pub(crate) prot: PgProt,
    pub(crate) flags: CpFlags,
}

/// One walk of `change_protection`, as far as it has come.
pub(crate) struct Walk<'a> {
    pub(crate) tlb: &'a mut MmuGather,
    pub(crate) change: &'a Change<'a>,
    /// Pages looked at.
    pub(crate) pages: u64,
    pub(crate) repeat: Repeat,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Changes the protection of a range, in bytes (`do_mprotect_pkey`).
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM`, `EACCES` in the order in which Linux checks. VMAs before the one that failed stay changed.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn mprotect(&mut self, mm: &mut Mm, start: VirtAddr, len: u64, prot: Prot) -> Result<(), Errno> {
        self.do_mprotect_pkey(mm, start, len, prot, None)
    }

    pub(crate) fn do_mprotect_pkey(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        len: u64,
        prot: Prot,
        pkey: Option<i32>,
    ) -> Result<(), Errno> {
        let grows = prot & (Prot::GROWSDOWN | Prot::GROWSUP);
        let prot = prot - grows;
        if grows == Prot::GROWSDOWN | Prot::GROWSUP || !start.is_aligned(A::PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let end = Self::page_end(start, len).ok_or(Errno::ENOMEM)?;
        if !self.valid_prot(prot) {
            return Err(Errno::EINVAL);
        }
        self.hw.event(Event::MmapLock);
        let pkey = pkey.map(|pkey| self.allocated_pkey(mm, pkey)).transpose()?;
        let start = self.mprotect_start(mm, start, end, grows)?;
        if pkey.is_none() {
            self.prepare_execute_only(mm, prot);
        }
        let mut tlb = MmuGather::default();
        self.hw.event(Event::GatherOpened);
        let done = self.mprotect_vmas(mm, (start, end), prot, pkey, &mut tlb);
        self.tlb_finish(&mut tlb);
        done
    }

    /// `start + len` rounded up to a page, if that is above `start`.
    pub(crate) fn page_end(start: VirtAddr, len: u64) -> Option<VirtAddr> {
        let len = len.wrapping_add(A::PAGE_SIZE - 1) & !(A::PAGE_SIZE - 1);
        let end = start.checked_add(len)?;
        (end > start).then_some(end)
    }

    fn valid_prot(&self, prot: Prot) -> bool {
        let known = (Prot::READ | Prot::WRITE | Prot::EXEC | Prot::SEM).bits() | self.arch.arch_prot_bits();
        prot.bits() & !known == 0
    }

    /// Where the change begins: the range must begin in a VMA, or reach down into a stack.
    fn mprotect_start(
        &self,
        mm: &Mm,
        start: VirtAddr,
        end: VirtAddr,
        grows: Prot,
    ) -> Result<VirtAddr, Errno> {
        let vma = mm.vmas.find_or_next(start).filter(|vma| vma.start < end).ok_or(Errno::ENOMEM)?;
        if grows == Prot::GROWSDOWN {
            return if vma.flags.contains(VmFlags::GROWSDOWN) { Ok(vma.start) } else { Err(Errno::EINVAL) };
        }
        if vma.start > start {
            return Err(Errno::ENOMEM);
        }
        // No architecture here has stacks that grow up.
        if grows == Prot::GROWSUP { Err(Errno::EINVAL) } else { Ok(start) }
    }

    fn mprotect_vmas(
        &mut self,
        mm: &mut Mm,
        (mut start, end): (VirtAddr, VirtAddr),
        prot: Prot,
        pkey: Option<u8>,
        tlb: &mut MmuGather,
    ) -> Result<(), Errno> {
        while start < end {
            let Some(vma) = mm.vmas.find(start) else {
                self.hw.event(Event::HoleMet);
                return Err(Errno::ENOMEM);
            };
            self.hw.event(Event::VmaVisit);
            let key = pkey.unwrap_or_else(|| self.override_pkey(mm, Some(vma), prot));
            let flags = self.new_flags(vma, prot).with_pkey(key);
            let part_end = vma.end.min(end);
            // The MAY bits stand four places above the bits that they allow.
            let wanted = flags & VmFlags::ACCESS;
            if !flags.contains(VmFlags::from_bits_retain(wanted.bits() << 4)) {
                return Err(Errno::EACCES);
            }
            self.mprotect_fixup(mm, start, part_end, flags, tlb)?;
            start = part_end;
        }
        Ok(())
    }

    fn new_flags(&self, vma: &Vma, prot: Prot) -> VmFlags {
        let asked = VmFlags::from_bits_retain((prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits());
        let arch = self.arch.arch_calc_vm_prot_bits(prot.bits());
        let kept = vma.flags - (VmFlags::ACCESS | VmFlags::PKEY | A::VM_ARCH_CLEAR);
        asked | arch | kept
    }

    /// Gives `start..end`, which lies in one VMA, new flags: accounts, splits or merges, then changes the entries
    /// (`mprotect_fixup`).
    fn mprotect_fixup(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        end: VirtAddr,
        mut flags: VmFlags,
        tlb: &mut MmuGather,
    ) -> Result<(), Errno> {
        let vma = mm.vmas.find(start).expect("the caller found it");
        let old = vma.flags;
        if flags == old {
            return Ok(());
        }
        let pages = end.since(start) >> A::PAGE_SHIFT;
        let exempt =
            VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::HUGETLB | VmFlags::SHARED | VmFlags::NORESERVE;
        let mut charged = 0;
        if flags.contains(VmFlags::WRITE) {
            if !old.intersects(exempt) {
                self.hw.event(Event::Charge);
                charged = pages;
                flags |= VmFlags::ACCOUNT;
            }
        } else if old.contains(VmFlags::ACCOUNT) && vma.is_anonymous() && vma.anon_vma.is_none() {
            flags -= VmFlags::ACCOUNT;
        }
        self.charge(charged)?;
        let at = match self.vma_modify(mm, start, end, flags) {
            Ok(at) => at,
            Err(errno) => {
                self.uncharge(charged);
                return Err(errno);
            }
        };
        if old.contains(VmFlags::ACCOUNT) && !flags.contains(VmFlags::ACCOUNT) {
            self.uncharge(pages);
        }
        self.vma_set_page_prot(mm, at);
        let vma = mm.vmas.at(at).clone();
        let cp = if self.wants_write_upgrade(&vma) { CpFlags::TRY_CHANGE_WRITABLE } else { CpFlags::empty() };
        let change = Change { vma: &vma, prot: vma.page_prot, flags: cp };
        self.hw.event(Event::VmaChange);
        self.change_protection(mm, tlb, &change, start, end);
        self.tlb_end_vma(tlb);
        let locked = VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED;
        if old & locked == VmFlags::LOCKED && flags.contains(VmFlags::WRITE) {
            // As mmap of locked memory does, it ignores what cannot be faulted in.
            let _ = self.populate_vma_page_range(mm, &vma, (start, end));
        }
        Ok(())
    }

    /// Takes access from the entries of a range for NUMA balancing to notice the next one (`change_prot_numa`).
    pub(crate) fn change_prot_numa(&mut self, mm: &mut Mm, vma: &Vma, start: VirtAddr, end: VirtAddr) -> u64 {
        let none = self.arch.vm_get_page_prot(VmFlags::empty());
        let change = Change { vma, prot: none, flags: CpFlags::PROT_NUMA };
        let mut tlb = MmuGather::default();
        self.because(&cause::numa_hint, |kernel| {
            let pages = kernel.change_protection(mm, &mut tlb, &change, start, end);
            kernel.tlb_finish(&mut tlb);
            pages
        })
    }

    /// Walks the PMDs of a range; returns the number of pages looked at (`change_protection_range`, `change_pmd_range`).
    pub(crate) fn change_protection(
        &mut self,
        mm: &mut Mm,
        tlb: &mut MmuGather,
        change: &Change<'_>,
        start: VirtAddr,
        end: VirtAddr,
    ) -> u64 {
        let mut walk = Walk { tlb, change, pages: 0, repeat: Repeat::default() };
        let mut addr = start;
        loop {
            let (empty, pmd) = self.next_pmd_after(mm, addr, end);
            self.hw.event(Event::EmptyDirectories(empty));
            let Some((pmdp, from, next)) = pmd else { break };
            addr = next;
            if let PmdState::Huge(pmd) | PmdState::Soft(pmd) = self.pmd_state(pmdp) {
                if next.since(from) == A::entry_size(Level::Pmd) {
                    self.change_huge_pmd(&mut walk, pmdp, pmd, from);
                    continue;
                }
                self.split_huge_pmd(mm, change.vma, pmdp, from);
            }
            if let PmdState::Table(table) = self.pmd_state(pmdp) {
                self.change_pte_range(&mut walk, table, from, next);
            }
        }
        walk.pages
    }

    /// Changes the entries of `addr..end`, which lies under one table.
    ///
    /// This is the loop of the series. The entries of a large folio usually differ in nothing but their frame, so they
    /// are taken in batches: one look at the page struct, one transaction and one flush request for all of them. On
    /// arm64 that pays twice, as a batch that covers a contiguous block needs not unfold it.
    ///
    /// Where a table goes on as it began, what was done to its beginning is done to the rest at once: that is the emulator's
    /// own shortcut, see [`Repeat`].
    fn change_pte_range(&mut self, walk: &mut Walk<'_>, table: Ptep, mut addr: VirtAddr, end: VirtAddr) {
        self.hw.event(Event::TableWalk);
        let mut p = table.add(Self::index(addr, Level::Pte));
        while addr < end {
            let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
            let nr = match self.repeat_change(walk, addr, p, max) {
                0 => self.change_next(walk, addr, p, max),
                repeated => repeated,
            };
            p = p.add(nr);
            addr = addr.add(nr as u64 * A::PAGE_SIZE);
        }
    }

    /// Changes the entry at `p`, and with it those of its batch. Returns how many entries it is done with.
    #[inline]
    pub(crate) fn change_next(&mut self, walk: &mut Walk<'_>, addr: VirtAddr, p: Ptep, max: usize) -> usize {
        let pte = self.arch.ptep_get(&mut self.hw, p);
        if !self.arch.pte_present(pte) {
            let empty = self.arch.pte_none(pte);
            self.hw.event(if empty { Event::EmptyEntry } else { Event::NotPresent });
            if !empty || walk.change.flags.intersects(CpFlags::UFFD_WP) {
                self.change_nonpresent_pte(walk, addr, p, pte);
            }
            return 1;
        }
        let nr = if self.rules.mprotect_batches {
            self.change_present_batch(walk, addr, p, pte, max)
        } else {
            self.change_present_entry(walk, addr, p, pte)
        };
        walk.pages += nr as u64;
        nr
    }

    /// One entry, as before the series. Returns how many entries it is done with.
    #[inline]
    fn change_present_entry(&mut self, walk: &mut Walk<'_>, addr: VirtAddr, p: Ptep, pte: Pte) -> usize {
        let Change { vma, prot, flags } = *walk.change;
        if flags.contains(CpFlags::PROT_NUMA) && self.prot_numa_skip(vma, pte).0 {
            self.hw.keeps(p, 1, &cause::numa_skip);
            return 1;
        }
        self.because(&cause::mprotect_entry, |kernel| {
            let old = kernel.arch.ptep_modify_prot_start(&mut kernel.hw, addr, p);
            let mut new = kernel.uffd_changed(kernel.arch.pte_modify(old, prot), flags);
            let mut cause = &cause::mprotect_entry;
            if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !kernel.arch.pte_write(new) {
                (new, cause) = match kernel.can_change_pte_writable(vma, new) {
                    Ok(()) => (kernel.pte_upgrade(new), &cause::write_upgrade),
                    Err(stays) => (new, stays),
                };
            }
            kernel.note_commit(vma, old);
            kernel.because(cause, |kernel| {
                kernel.arch.ptep_modify_prot_commit(&mut kernel.hw, addr, p, old, new);
            });
            if kernel.arch.pte_needs_flush(old, new) {
                kernel.request_flush(walk.tlb, addr, A::PAGE_SIZE, Level::Pte);
            }
        });
        1
    }

    /// One batch. Returns its length.
    #[inline]
    fn change_present_batch(
        &mut self,
        walk: &mut Walk<'_>,
        addr: VirtAddr,
        p: Ptep,
        pte: Pte,
        max: usize,
    ) -> usize {
        let Change { vma, prot, flags } = *walk.change;
        let mut folio = None;
        if flags.contains(CpFlags::PROT_NUMA) {
            let skip;
            (skip, folio) = self.prot_numa_skip(vma, pte);
            if skip {
                let skipped = self.folio_pte_batch(folio, p, pte, max, Fpb::empty());
                self.hw.keeps(p, skipped, &cause::numa_skip);
                return skipped;
            }
        }
        let folio = folio.or_else(|| self.vm_normal_folio(pte));
        let respect = Fpb::RESPECT_SOFT_DIRTY | Fpb::RESPECT_WRITE;
        let nr = self.folio_pte_batch(folio, p, pte, max, respect);
        self.hw.event(Event::Batch(nr as u32));
        self.because(&cause::mprotect_batch, |kernel| {
            let old = kernel.arch.modify_prot_start_ptes(&mut kernel.hw, addr, p, nr);
            if kernel.arch.pte_dirty(old) && nr > 1 {
                kernel.hw.event(Event::DirtyGathered(nr as u32 - 1));
            }
            let new = kernel.uffd_changed(kernel.arch.pte_modify(old, prot), flags);
            let batch = Batch { addr, p, old, new, nr };
            if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !kernel.arch.pte_write(new) {
                kernel.set_write_prot_commit_flush_ptes(walk.tlb, vma, folio, batch);
            } else {
                kernel.prot_commit_flush_ptes(walk.tlb, vma, batch);
            }
        });
        nr
    }

    /// Closes the transaction on a batch and requests the flush it needs.
    #[inline]
    fn prot_commit_flush_ptes(&mut self, tlb: &mut MmuGather, vma: &Vma, b: Batch) {
        self.note_commit(vma, b.old);
        self.arch.modify_prot_commit_ptes(&mut self.hw, b.addr, b.p, b.old, b.new, b.nr);
        if self.arch.pte_needs_flush(b.old, b.new) {
            self.request_flush(tlb, b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
        }
    }

    /// Takes note of a transaction that is closed; start had returned `old`.
    #[inline]
    fn note_commit(&mut self, vma: &Vma, old: Pte) {
        self.hw.event(Event::Commit);
        if !self.arch.pte_protnone(old) {
            self.hw.event(Event::FlushCheck);
        }
        if vma.flags.contains(VmFlags::EXEC) {
            self.hw.event(Event::ExecCommit);
        }
    }

    #[inline]
    fn request_flush(&mut self, tlb: &mut MmuGather, addr: VirtAddr, len: u64, level: Level) {
        self.hw.event(Event::FlushRequest);
        tlb.flush_range(addr, len, level);
    }

    /// Commits a batch of a mapping that became writable: each page that may be written without a fault becomes
    /// writable at once.
    #[inline]
    fn set_write_prot_commit_flush_ptes(
        &mut self,
        tlb: &mut MmuGather,
        vma: &Vma,
        folio: Option<FolioSpan>,
        b: Batch,
    ) {
        self.hw.event(Event::WriteCheck);
        let maybe = self.maybe_change_pte_writable(vma, b.new);
        if vma.flags.contains(VmFlags::SHARED) {
            let (new, cause) = match maybe.and_then(|()| self.can_change_shared_pte_writable(b.new)) {
                Ok(()) => (self.pte_upgrade(b.new), &cause::write_upgrade),
                Err(stays) => (b.new, stays),
            };
            return self.because(cause, |kernel| kernel.prot_commit_flush_ptes(tlb, vma, Batch { new, ..b }));
        }
        match (maybe, folio.filter(|&folio| self.pages.is_anon(folio))) {
            (Ok(()), Some(folio)) => self.commit_anon_folio_batch(tlb, vma, folio, b),
            (Ok(()), None) => {
                self.because(&cause::write_not_anon, |kernel| kernel.prot_commit_flush_ptes(tlb, vma, b));
            }
            (Err(stays), _) => self.because(stays, |kernel| kernel.prot_commit_flush_ptes(tlb, vma, b)),
        }
    }

    /// Commits a batch of private pages in runs of those that are exclusive to the process, which become writable, and
    /// those that are not.
    #[inline]
    fn commit_anon_folio_batch(&mut self, tlb: &mut MmuGather, vma: &Vma, folio: FolioSpan, b: Batch) {
        let from_head = self.rules.exclusive_from_folio_head;
        let first = if from_head { folio.head } else { self.arch.pte_pfn(b.old) };
        self.hw.event(Event::ExclusiveReads(b.nr as u32));
        let mut done = 0;
        while done < b.nr {
            let (exclusive, nr) =
                self.pages.page_anon_exclusive_sub_batch(first.add(done as u64), b.nr - done);
            let new = self.arch.pte_advance_pfn(b.new, done);
            let (new, cause) = if exclusive {
                (self.pte_upgrade(new), &cause::write_upgrade)
            } else {
                (new, &cause::write_not_exclusive)
            };
            let run = Batch {
                addr: b.addr.add(done as u64 * A::PAGE_SIZE),
                p: b.p.add(done),
                old: self.arch.pte_advance_pfn(b.old, done),
                new,
                nr,
            };
            self.because(cause, |kernel| kernel.prot_commit_flush_ptes(tlb, vma, run));
            done += nr;
        }
    }

    /// An entry that may be written without a fault, writable.
    #[inline]
    fn pte_upgrade(&mut self, pte: Pte) -> Pte {
        self.hw.event(Event::WriteUpgrade);
        self.arch.pte_mkwrite(pte)
    }

    /// Whether an entry's own state allows making it writable without a fault, or why not.
    fn maybe_change_pte_writable(&self, vma: &Vma, pte: Pte) -> Result<(), &'static Cause> {
        if self.arch.pte_protnone(pte) {
            Err(&cause::write_numa_hint)
        } else if self.soft_dirty_enabled(vma) && !self.arch.pte_soft_dirty(pte) {
            Err(&cause::write_soft_dirty)
        } else if vma.uffd_wp() && self.arch.pte_uffd_wp(pte) {
            Err(&cause::write_uffd_wp)
        } else {
            Ok(())
        }
    }

    /// Whether a page that is mapped read-only may be mapped writable without a fault: shared memory that is dirty
    /// already, or a private page that nobody else has; or why not.
    pub(crate) fn can_change_pte_writable(&mut self, vma: &Vma, pte: Pte) -> Result<(), &'static Cause> {
        self.hw.event(Event::WriteCheck);
        self.maybe_change_pte_writable(vma, pte)?;
        if vma.flags.contains(VmFlags::SHARED) {
            return self.can_change_shared_pte_writable(pte);
        }
        let folio = self.vm_normal_folio(pte).ok_or(&cause::write_not_anon)?;
        self.can_change_private_pte_writable(folio, self.arch.pte_pfn(pte))
    }

    fn can_change_shared_pte_writable(&self, pte: Pte) -> Result<(), &'static Cause> {
        if self.arch.pte_dirty(pte) { Ok(()) } else { Err(&cause::write_shared_clean) }
    }

    fn can_change_private_pte_writable(&mut self, folio: FolioSpan, page: Pfn) -> Result<(), &'static Cause> {
        self.hw.event(Event::ExclusiveReads(1));
        if !self.pages.is_anon(folio) {
            Err(&cause::write_not_anon)
        } else if self.pages.is_exclusive(page) {
            Ok(())
        } else {
            Err(&cause::write_not_exclusive)
        }
    }

    /// The folio that a present entry maps, or `None` for zero pages and raw frames (`vm_normal_folio`).
    #[inline]
    pub(crate) fn vm_normal_folio(&mut self, pte: Pte) -> Option<FolioSpan> {
        if self.arch.pte_special(pte) {
            self.hw.event(Event::SpecialEntry);
            return None;
        }
        Some(self.hw.page_folio(self.arch.pte_pfn(pte)))
    }

    /// How many entries from `p` on, at most `max`, map consecutive pages of `folio` and are alike in everything that
    /// `respect` asks for (`folio_pte_batch_flags`, `mm/internal.h`, 7.3). `pte` is the entry at `p`.
    #[inline]
    pub(crate) fn folio_pte_batch(
        &mut self,
        folio: Option<FolioSpan>,
        p: Ptep,
        pte: Pte,
        max: usize,
        respect: Fpb,
    ) -> usize {
        let Some(folio) = folio.filter(|folio| folio.order > 0) else { return 1 };
        let max = max.min(folio.end().since(self.arch.pte_pfn(pte)) as usize);
        let hint = self.arch.pte_batch_hint(p, pte);
        if hint == 1 && self.arch.batch_by_mask(respect) {
            let (next, step) = (self.arch.pte_advance_pfn(pte, 1), self.arch.pfn_step(pte));
            let nr = 1 + self.hw.match_run(p.add(1), next, step, self.arch.batch_ignore(respect), max - 1);
            self.hw.event(Event::BatchSteps((nr.min(max - 1)) as u32));
            return nr;
        }
        let first = self.arch.batch_clean(pte, respect);
        let (mut nr, mut steps) = (hint, 0);
        while nr < max {
            steps += 1;
            let next = self.arch.ptep_get(&mut self.hw, p.add(nr));
            if self.arch.batch_clean(next, respect) != self.arch.pte_advance_pfn(first, nr) {
                break;
            }
            nr += self.arch.pte_batch_hint(p.add(nr), next);
        }
        self.hw.event(Event::BatchSteps(steps));
        nr.min(max)
    }

    /// Changes a huge page whole (`change_huge_pmd`, `mm/huge_memory.c`).
    fn change_huge_pmd(&mut self, walk: &mut Walk<'_>, pmdp: Ptep, pmd: Pte, addr: VirtAddr) {
        let Change { vma, prot, flags } = *walk.change;
        walk.pages += A::PTRS_PER_TABLE as u64;
        if !self.arch.pmd_present(pmd) {
            return self.change_nonpresent_pmd(walk, addr, pmdp, pmd);
        }
        self.hw.event(Event::HugeChange);
        if flags.contains(CpFlags::PROT_NUMA) && self.numa_skip_huge(vma, pmdp) {
            return self.hw.keeps(pmdp, 1, &cause::numa_skip);
        }
        self.because(&cause::mprotect_huge, |kernel| {
            let old = kernel.arch.pmdp_invalidate_ad(&mut kernel.hw, addr, pmdp);
            let mut new = kernel.uffd_changed(kernel.arch.pmd_modify(old, prot), flags);
            let mut cause = &cause::mprotect_huge;
            if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !kernel.arch.pte_write(new) {
                (new, cause) = match kernel.can_change_pmd_writable(vma, new) {
                    Ok(()) => (kernel.pte_upgrade(new), &cause::write_upgrade),
                    Err(stays) => (new, stays),
                };
            }
            kernel.because(cause, |kernel| kernel.arch.set_pmd_at(&mut kernel.hw, addr, pmdp, new));
            if kernel.arch.huge_pmd_needs_flush(old, new) {
                kernel.request_flush(walk.tlb, addr, A::entry_size(Level::Pmd), Level::Pmd);
            }
        });
    }

    pub(crate) fn can_change_pmd_writable(&mut self, vma: &Vma, pmd: Pte) -> Result<(), &'static Cause> {
        self.hw.event(Event::WriteCheck);
        self.maybe_change_pte_writable(vma, pmd)?;
        if vma.flags.contains(VmFlags::SHARED) {
            return self.can_change_shared_pte_writable(pmd);
        }
        let folio = self.vm_normal_folio_pmd(pmd).ok_or(&cause::write_not_anon)?;
        self.can_change_private_pte_writable(folio, folio.head)
    }
}

/// Entries in a transaction. `old` and `new` are those of the first.
#[derive(Clone, Copy, Debug)]
struct Batch {
    addr: VirtAddr,
    p: Ptep,
    old: Pte,
    new: Pte,
    nr: usize,
}
