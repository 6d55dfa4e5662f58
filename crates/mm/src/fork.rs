//! `fork`: a copy of an address space that shares its pages until they are written (`kernel/fork.c`, `mm/memory.c`, 7.3).

use crate::mlock::LOCKED_MASK;
use crate::pages::MapLevel;
use crate::softleaf::Forked;
use crate::walk::PmdState;
use crate::{Kernel, Mm, Userfaultfd, Vma, cause};
use ptelab_pgtable::{Arch, FolioSpan, Fpb, Level, Pte, Ptep, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// What is copied at one table: the VMA on both sides, and where.
pub(crate) struct Copy<'a> {
    src_mm: &'a Mm,
    pub(crate) vma: &'a Vma,
    /// The child keeps userfaultfd's write protection.
    pub(crate) keeps_uffd: bool,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A copy of an address space for a child (`dup_mmap`).
    ///
    /// # Errors
    /// `ENOMEM`; what was copied until then is given back.
    #[tracing::instrument(level = "trace", skip_all)]
    pub fn fork(&mut self, mm: &mut Mm) -> Result<Mm, Errno> {
        let mut child = self.new_mm()?;
        Self::inherit(&mut child, mm);
        let copied = self.dup_mmap(mm, &mut child);
        self.because(&cause::fork_flush, |kernel| kernel.arch.flush_tlb_mm(&mut kernel.hw));
        match copied {
            Ok(()) => Ok(child),
            Err(errno) => {
                self.exit_mmap(child);
                Err(errno)
            }
        }
    }

    fn dup_mmap(&mut self, mm: &mut Mm, child: &mut Mm) -> Result<(), Errno> {
        for vma in mm.vmas.iter().filter(|vma| !vma.flags.contains(VmFlags::DONTCOPY)) {
            if vma.flags.contains(VmFlags::ACCOUNT) {
                self.charge(vma.len() >> A::PAGE_SHIFT)?;
            }
            let mut copy = Vma { flags: vma.flags - LOCKED_MASK, ..vma.clone() };
            self.get_object(copy.object);
            let wipes = vma.flags.contains(VmFlags::WIPEONFORK);
            if wipes {
                copy.anon_vma = None;
                copy.chain = [].into();
            } else {
                self.anon_vma_fork(&mut copy);
            }
            let at = copy.start;
            let keeps_uffd = self.dup_userfaultfd(child, copy);
            if !wipes && needs_copy(vma, child.vmas.at(at)) {
                self.copy_page_range(child, &Copy { src_mm: mm, vma, keeps_uffd })?;
            }
        }
        Ok(())
    }

    /// Puts a VMA into the child's tree, registered with a userfaultfd of the child's own where the parent's follows forks.
    /// Says whether it is.
    fn dup_userfaultfd(&mut self, child: &mut Mm, vma: Vma) -> bool {
        let (at, registered) = (vma.start, vma.uffd);
        let inherited = registered.and_then(Userfaultfd::forked);
        child.vmas.insert(vma);
        match inherited {
            Some(uffd) => child.vmas.at_mut(at).uffd = Some(uffd),
            None if registered.is_some() => self.userfaultfd_reset(child, at),
            None => {}
        }
        inherited.is_some()
    }

    /// Gives a child's VMA its parent's anon_vmas, and one of its own for the pages to come (`anon_vma_fork`).
    fn anon_vma_fork(&mut self, vma: &mut Vma) {
        let Some(parent) = vma.anon_vma else { return };
        let own = self.anon_vmas.reusable(&vma.chain);
        let own = own.unwrap_or_else(|| self.anon_vmas.alloc(Some(parent)));
        let inherited = vma.chain.iter().copied().filter(|&id| id != own);
        vma.chain = inherited.chain([own]).collect();
        vma.anon_vma = Some(own);
        self.anon_vmas.link(&vma.chain);
    }

    fn copy_page_range(&mut self, child: &mut Mm, copy: &Copy<'_>) -> Result<(), Errno> {
        let mut addr = copy.vma.start;
        while let Some((src, from, next)) = self.next_pmd(copy.src_mm, addr, copy.vma.end) {
            addr = next;
            let dst = self.pmd_alloc(child, from)?;
            match self.pmd_state(src) {
                PmdState::None => {}
                PmdState::Huge(pmd) | PmdState::Soft(pmd) => {
                    self.because(&cause::fork_huge, |kernel| {
                        kernel.copy_huge_pmd(child, copy, (src, dst), pmd, from)
                    })?;
                }
                PmdState::Table(table) => {
                    let dst = self.pte_alloc(child, dst)?;
                    self.copy_pte_range(child, copy, (table, dst), (from, next));
                }
            }
        }
        Ok(())
    }

    /// Shares a huge page with the child (`copy_huge_pmd`).
    fn copy_huge_pmd(
        &mut self,
        child: &mut Mm,
        copy: &Copy<'_>,
        (src, dst): (Ptep, Ptep),
        pmd: Pte,
        addr: VirtAddr,
    ) -> Result<(), Errno> {
        if !copy.vma.is_anonymous() {
            return Ok(());
        }
        self.deposit_table(child)?;
        if !self.arch.pmd_present(pmd) {
            self.copy_softleaf_pmd(copy, (src, dst), pmd, addr);
            return Ok(());
        }
        if let Some(folio) = self.vm_normal_folio_pmd(pmd) {
            self.pages.set_exclusive(folio.head, 1, false);
            self.pages.map(folio, folio.head, MapLevel::Pmd, child.id);
        }
        self.arch.pmdp_set_wrprotect(&mut self.hw, addr, src);
        let pmd = self.arch.pte_mkold(self.arch.pte_wrprotect(pmd));
        let pmd = if copy.keeps_uffd { pmd } else { self.arch.pte_clear_uffd_wp(pmd) };
        self.arch.set_pmd_at(&mut self.hw, addr, dst, pmd);
        Ok(())
    }

    /// Shares the pages of `addr..end`, which lies under one table on either side.
    fn copy_pte_range(
        &mut self,
        child: &Mm,
        copy: &Copy<'_>,
        (src, dst): (Ptep, Ptep),
        (mut addr, end): (VirtAddr, VirtAddr),
    ) {
        let mut i = Self::index(addr, Level::Pte);
        while addr < end {
            let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
            let pte = self.arch.ptep_get(&mut self.hw, src.add(i));
            let nr = if self.arch.pte_none(pte) {
                1
            } else if self.arch.pte_present(pte) {
                let cow = copy.vma.flags.is_cow();
                let cause = if cow { &cause::fork_private } else { &cause::fork_shared };
                self.because(cause, |kernel| {
                    kernel.copy_present_ptes(child, copy, (src.add(i), dst.add(i)), pte, addr, max)
                })
            } else {
                let forked = self.because(&cause::fork_softleaf, |kernel| {
                    kernel.copy_nonpresent_pte(child, copy, (src.add(i), dst.add(i)), pte, addr)
                });
                match forked {
                    Forked::Done => 1,
                    Forked::Present => continue,
                }
            };
            i += nr;
            addr = addr.add(nr as u64 * A::PAGE_SIZE);
        }
    }

    /// Shares one batch of pages; returns its length.
    fn copy_present_ptes(
        &mut self,
        child: &Mm,
        copy: &Copy<'_>,
        (src, dst): (Ptep, Ptep),
        mut pte: Pte,
        addr: VirtAddr,
        max: usize,
    ) -> usize {
        let vma = copy.vma;
        let mut nr = 1;
        if let Some(folio) = self.vm_normal_folio(pte) {
            nr = self.folio_pte_batch(Some(folio), src, pte, max, self.fork_respects(vma));
            if (0..nr).any(|i| self.arch.pte_write(self.hw.peek(src.add(i)))) {
                pte = self.arch.pte_mkwrite(pte);
            }
            self.dup_rmap(child, folio, pte, nr);
        }
        if vma.flags.is_cow() && self.arch.pte_write(pte) {
            self.arch.wrprotect_ptes(&mut self.hw, addr, src, nr);
            pte = self.arch.pte_wrprotect(pte);
        }
        if vma.flags.contains(VmFlags::SHARED) {
            pte = self.arch.pte_mkclean(pte);
        }
        pte = self.arch.pte_mkold(pte);
        if !copy.keeps_uffd {
            pte = self.arch.pte_clear_uffd_wp(pte);
        }
        self.arch.set_ptes(&mut self.hw, addr, dst, pte, nr);
        nr
    }

    fn fork_respects(&self, vma: &Vma) -> Fpb {
        let mut respect = Fpb::empty();
        if !vma.flags.contains(VmFlags::SHARED) {
            respect |= Fpb::RESPECT_DIRTY;
        }
        if self.soft_dirty_enabled(vma) {
            respect |= Fpb::RESPECT_SOFT_DIRTY;
        }
        respect
    }

    /// The child maps these pages too; nobody has them for himself any more.
    fn dup_rmap(&mut self, child: &Mm, folio: FolioSpan, pte: Pte, nr: usize) {
        let pfn = self.arch.pte_pfn(pte);
        if self.pages.is_anon(folio) {
            self.pages.set_exclusive(pfn, nr, false);
        }
        self.pages.map(folio, pfn, MapLevel::Ptes(nr), child.id);
    }
}

/// Whether a child's page tables cannot be filled by faults alone (`vma_needs_copy`).
const fn needs_copy(parents: &Vma, childs: &Vma) -> bool {
    let special = VmFlags::PFNMAP.union(VmFlags::MIXEDMAP).union(VmFlags::MAYBE_GUARD);
    parents.flags.intersects(special) || parents.anon_vma.is_some() || childs.uffd_wp()
}
