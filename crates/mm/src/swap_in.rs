//! Faults on software entries (`mm/memory.c`, `do_swap_page`, 7.3).

use crate::fault::Fault;
use crate::pages::MapLevel;
use crate::{FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VmFlags, marker,
    swp_type,
};
use ptelab_uapi::Signal;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Resolves a fault on an entry that is neither empty nor present, or says how it ends.
    pub(crate) fn do_swap_page(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        p: Ptep,
        pte: Pte,
        fault: Fault,
    ) -> Result<(), FaultError> {
        let Some(leaf) = self.soft_view(pte) else { return Err(FaultError::Signal(Signal::SEGV)) };
        match leaf.ty {
            swp_type::HWPOISON => Err(FaultError::Signal(Signal::BUS)),
            swp_type::MARKER if leaf.is_marker(marker::POISONED) => Err(FaultError::Signal(Signal::BUS)),
            swp_type::MARKER => Err(FaultError::Signal(Signal::SEGV)),
            swp_type::DEVICE_WRITE | swp_type::DEVICE_READ | swp_type::DEVICE_EXCLUSIVE => {
                self.because(&cause::fault_device, |kernel| kernel.do_device_page(mm, vma, p, leaf, fault))
            }
            _ if leaf.is_migration() => Err(FaultError::Migrating),
            _ => self.because(&cause::fault_swap, |kernel| kernel.swap_in(mm, vma, p, leaf, fault)),
        }
    }

    /// Brings a page back from swap. It is writable at once where it is the process's own; the first of several that share its
    /// slot leaves it in the swap cache for the others.
    fn swap_in(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        p: Ptep,
        leaf: SoftLeaf,
        fault: Fault,
    ) -> Result<(), FaultError> {
        self.hw.event(Event::Fault(FaultKind::Soft));
        let cached = self.swap.cached(leaf).map(|head| FolioSpan { head, order: 0 });
        let shared = self.swap.count(leaf) > 1;
        // The last entry's page need not go through the swap cache, and then nobody else can have it.
        let own = self.rules.swapin_bypasses_cache && cached.is_none() && !shared;
        let exclusive = own || leaf.flags.contains(SoftFlags::EXCLUSIVE);
        let page = match cached {
            Some(page) => page,
            None => self.read_swap(mm, vma, leaf, exclusive, fault)?,
        };
        if shared && cached.is_none() {
            self.swap_cache_add(leaf, page);
        }
        self.pages.map(page, page.head, MapLevel::Ptes(1), mm.id);
        self.pages.set_exclusive(page.head, 1, exclusive);
        self.swap_put(leaf);
        let pte = self.swapped_in_pte(vma, leaf, page, exclusive, fault.access);
        self.arch.set_pte_at(&mut self.hw, fault.addr, p, pte);
        if fault.access == Access::Write && !self.arch.pte_write(pte) {
            return self.do_wp_page(mm, vma, p, pte, fault);
        }
        Ok(())
    }

    /// A new page with what a slot holds.
    fn read_swap(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        leaf: SoftLeaf,
        exclusive: bool,
        fault: Fault,
    ) -> Result<FolioSpan, FaultError> {
        let page = self.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
        self.pages.load(page.head, self.swap.page(leaf));
        let own = self.anon_vma_prepare(mm, vma);
        // What may be shared belongs to the whole family.
        let owner = if exclusive { own } else { vma.chain.first().copied().unwrap_or(own) };
        self.pages.set_anon(page, owner, vma.pgoff_of(fault.addr, A::PAGE_SHIFT));
        self.pages.set_dirty(page, true);
        Ok(page)
    }

    fn swapped_in_pte(
        &self,
        vma: &Vma,
        leaf: SoftLeaf,
        page: FolioSpan,
        exclusive: bool,
        access: Access,
    ) -> Pte {
        let mut pte = self.arch.pfn_pte(page.head, vma.page_prot);
        if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
            pte = self.arch.pte_mksoft_dirty(pte);
        }
        if leaf.flags.contains(SoftFlags::UFFD) {
            pte = self.arch.pte_mkuffd_wp(pte);
        }
        let unnoticed_write = self.soft_dirty_enabled(vma) && !self.arch.pte_soft_dirty(pte);
        let watched = vma.flags.contains(VmFlags::UFFD_WP) && self.arch.pte_uffd_wp(pte);
        if exclusive && vma.flags.contains(VmFlags::WRITE) && !unnoticed_write && !watched {
            pte = self.arch.pte_mkwrite(pte);
            if access == Access::Write {
                pte = self.arch.pte_mkdirty(pte);
            }
        }
        pte
    }
}
