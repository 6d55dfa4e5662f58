//! Page faults (`mm/memory.c`, `handle_mm_fault`, 7.3).

use crate::pages::MapLevel;
use crate::settings::MIN_THP_ORDER;
use crate::walk::PmdState;
use crate::{CPU_NODE, FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags, marker,
};
use ptelab_uapi::Signal;

/// The faulting address and access, and the entry that was met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) addr: VirtAddr,
    pub(crate) access: Access,
    /// A marker was met that says that the page is to be write-protected for userfaultfd.
    pub(crate) uffd_wp: bool,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Resolves a fault of user code at `addr`, or says how it ends.
    pub(crate) fn handle_mm_fault(
        &mut self,
        mm: &mut Mm,
        addr: VirtAddr,
        access: Access,
    ) -> Result<(), FaultError> {
        let segv = FaultError::Signal(Signal::SEGV);
        let vma = self.find_vma_or_expand(mm, addr).ok_or(segv)?;
        if !self.allows(vma.flags, access) || vma.flags.pkey() != 0 {
            return Err(segv);
        }
        let fault = Fault { addr: addr.align_down(A::PAGE_SIZE), access, uffd_wp: false };
        let pmdp = self.pmd_alloc(mm, addr)?;
        match self.pmd_state(pmdp) {
            PmdState::None if self.create_huge_pmd(mm, &vma, pmdp, fault)? => return Ok(()),
            PmdState::Huge(pmd) if self.huge_pmd_fault(mm, &vma, pmdp, pmd, fault)? => return Ok(()),
            PmdState::Soft(_) => return Err(FaultError::Migrating),
            _ => {}
        }
        let table = self.pte_alloc(mm, pmdp)?;
        self.handle_pte_fault(mm, &vma, table, fault)
    }

    fn handle_pte_fault(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        let p = table.add(Self::index(fault.addr, Level::Pte));
        let pte = self.arch.ptep_get(&mut self.hw, p);
        if self.arch.pte_none(pte) {
            return self.do_pte_missing(mm, vma, table, fault);
        }
        if !self.arch.pte_present(pte) {
            if !self.is_marker(pte, marker::UFFD_WP) {
                return self.do_swap_page(mm, vma, p, pte, fault);
            }
            if vma.uffd_wp() {
                return self.do_pte_missing(mm, vma, table, Fault { uffd_wp: true, ..fault });
            }
            // Left over from a registration that is gone.
            self.because(&cause::uffd_left_over, |kernel| {
                kernel.arch.pte_clear(&mut kernel.hw, fault.addr, p);
            });
            return Ok(());
        }
        if self.arch.pte_protnone(pte) {
            self.do_numa_page(mm, vma, p, pte, fault);
            return Ok(());
        }
        if fault.access == Access::Write && !self.arch.pte_write(pte) {
            return self.do_wp_page(mm, vma, p, pte, fault);
        }
        let write = fault.access == Access::Write;
        let entry = if write { self.arch.pte_mkdirty(pte) } else { pte };
        let entry = self.arch.pte_mkyoung(entry);
        self.because(&cause::fault_access_flags, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::AccessFlags));
            kernel.arch.ptep_set_access_flags(&mut kernel.hw, fault.addr, p, entry, write);
        });
        Ok(())
    }

    fn do_pte_missing(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        match vma.object {
            None => self.do_anonymous_page(mm, vma, table, fault),
            Some(object) => self.do_fault(mm, vma, object, table, fault),
        }
    }

    /// A new entry, write-protected where the marker in its place said so.
    pub(crate) fn marked(&self, fault: Fault, entry: Pte) -> Pte {
        if fault.uffd_wp { self.arch.pte_mkuffd_wp(entry) } else { entry }
    }

    /// A new folio on the node that new pages go to, if memory has one of this order.
    pub(crate) fn alloc_folio(&mut self, order: u32) -> Option<FolioSpan> {
        let node = self.alloc_node.unwrap_or(CPU_NODE);
        let Some(head) = self.pages.alloc(&mut self.hw, order, node) else {
            self.hw.event(Event::FolioFallback(order as u8));
            return None;
        };
        Some(FolioSpan { head, order })
    }

    /// Gives a VMA an anon_vma before its first own page: a neighbour's, where the two could merge but for their protection,
    /// else a new one (`__anon_vma_prepare`, `find_mergeable_anon_vma`).
    pub(crate) fn anon_vma_prepare(&mut self, mm: &mut Mm, vma: &Vma) -> u32 {
        if let Some(own) = vma.anon_vma {
            return own;
        }
        let next = mm.vmas.find(vma.end).filter(|next| self.anon_vma_compatible(vma, next));
        let prev = mm.vmas.before(vma.start).filter(|prev| self.anon_vma_compatible(prev, vma));
        let reusable =
            |near: Option<&Vma>| near.filter(|near| near.chain.len() == 1).and_then(|n| n.anon_vma);
        let own = reusable(next).or_else(|| reusable(prev));
        let own = own.unwrap_or_else(|| self.anon_vmas.alloc(None));
        let vma = mm.vmas.at_mut(vma.start);
        vma.anon_vma = Some(own);
        vma.chain = [own].into();
        self.anon_vmas.link(&vma.chain);
        own
    }

    fn anon_vma_compatible(&self, a: &Vma, b: &Vma) -> bool {
        let free = VmFlags::ACCESS | crate::vma::STICKY;
        a.end == b.start
            && (a.object, a.file) == (b.object, b.file)
            && (a.flags ^ b.flags).difference(free).is_empty()
            && b.pgoff == a.pgoff_of(b.start, A::PAGE_SHIFT)
    }

    fn do_anonymous_page(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        if fault.access == Access::Read {
            let p = table.add(Self::index(fault.addr, Level::Pte));
            let entry = self.marked(fault, self.zero_entry(vma));
            self.because(&cause::fault_zero, |kernel| {
                kernel.hw.event(Event::Fault(FaultKind::Zero));
                kernel.arch.set_pte_at(&mut kernel.hw, fault.addr, p, entry);
            });
            return Ok(());
        }
        let anon_vma = self.anon_vma_prepare(mm, vma);
        let folio = self.alloc_anon_folio(mm, vma, table, fault.addr).ok_or(FaultError::OutOfMemory)?;
        let nr = folio.nr_pages();
        let addr = fault.addr.align_down(nr as u64 * A::PAGE_SIZE);
        self.add_new_anon_folio(vma, anon_vma, folio, addr);
        self.pages.map(folio, folio.head, MapLevel::Ptes(nr), mm.id);
        self.pages.set_exclusive(folio.head, nr, true);
        let entry = self.marked(fault, self.new_anon_entry(vma, folio.head));
        let p = table.add(Self::index(addr, Level::Pte));
        self.because(&cause::fault_anon, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Anon));
            kernel.arch.set_ptes(&mut kernel.hw, addr, p, entry, nr);
        });
        Ok(())
    }

    /// Zeroes a new folio and makes it anonymous memory of `vma` at `addr`.
    pub(crate) fn add_new_anon_folio(&mut self, vma: &Vma, anon_vma: u32, folio: FolioSpan, addr: VirtAddr) {
        self.hw.event(Event::PagesZeroed(folio.nr_pages() as u32));
        self.pages.fill(folio.head, folio.nr_pages(), 0);
        self.pages.set_anon(folio, anon_vma, vma.pgoff_of(addr, A::PAGE_SHIFT));
    }

    /// The entry of a page that is about to be written: dirty, and writable where the VMA is.
    pub(crate) fn new_anon_entry(&self, vma: &Vma, pfn: Pfn) -> Pte {
        let entry = self.arch.pte_mkdirty(self.arch.pfn_pte(pfn, vma.page_prot));
        if vma.flags.contains(VmFlags::WRITE) { self.arch.pte_mkwrite(entry) } else { entry }
    }

    /// The orders that a fault in `vma` may use, as a mask (`thp_vma_allowable_orders`).
    pub(crate) fn allowed_orders(&self, mm: &Mm, vma: &Vma) -> u32 {
        if mm.thp_disable.disables(vma.flags) {
            return 0;
        }
        self.thp.allowed(vma.flags.contains(VmFlags::HUGEPAGE))
    }

    /// Whether the naturally aligned block of this order around `addr` lies in the VMA (`thp_vma_suitable_order`).
    pub(crate) fn suitable_order(vma: &Vma, addr: VirtAddr, order: u32) -> bool {
        let size = A::PAGE_SIZE << order;
        let base = addr.align_down(size);
        base >= vma.start && base.get() + size <= vma.end.get()
    }

    /// A folio for a write fault: of the largest order that is allowed, fits, and whose entries are all empty; smaller where
    /// memory has no such block (`alloc_anon_folio`).
    fn alloc_anon_folio(&mut self, mm: &Mm, vma: &Vma, table: Ptep, addr: VirtAddr) -> Option<FolioSpan> {
        // A userfaultfd is told of every page.
        let allowed = if vma.uffd.is_some() { 0 } else { self.allowed_orders(mm, vma) };
        let mut below_empty = false;
        for order in (MIN_THP_ORDER..A::PMD_ORDER).rev() {
            if allowed & 1 << order == 0 || !Self::suitable_order(vma, addr, order) {
                continue;
            }
            below_empty = below_empty || self.range_none(table, addr, order);
            if !below_empty {
                continue;
            }
            if let Some(folio) = self.alloc_folio(order) {
                return Some(folio);
            }
        }
        self.alloc_folio(0)
    }

    /// Whether the entries of the aligned block of this order around `addr` are all empty (`pte_range_none`).
    fn range_none(&self, table: Ptep, addr: VirtAddr, order: u32) -> bool {
        let n = 1 << order;
        let first = Self::index(addr, Level::Pte) & !(n - 1);
        self.hw.peek_table(table)[first..first + n].iter().all(|&word| self.arch.pte_none(Pte(word)))
    }

    /// A write to a page that is mapped read-only (`do_wp_page`).
    pub(crate) fn do_wp_page(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        p: Ptep,
        mut pte: Pte,
        fault: Fault,
    ) -> Result<(), FaultError> {
        if vma.uffd_wp() && self.arch.pte_uffd_wp(pte) {
            if !vma.uffd_wp_async() {
                return Err(FaultError::Signal(Signal::BUS));
            }
            pte = self.arch.pte_clear_uffd_wp(pte);
            self.because(&cause::uffd_async, |kernel| {
                kernel.arch.set_pte_at(&mut kernel.hw, fault.addr, p, pte);
            });
        }
        let folio = self.vm_normal_folio(pte);
        if vma.flags.contains(VmFlags::SHARED) {
            if let Some(folio) = folio {
                self.pages.set_dirty(folio, true);
            }
            self.because(&cause::fault_shared_write, |kernel| kernel.wp_page_reuse(vma, p, pte, fault));
            return Ok(());
        }
        let pfn = self.arch.pte_pfn(pte);
        if let Some(folio) = folio
            && self.pages.is_anon(folio)
            && (self.pages.is_exclusive(pfn) || self.pages.can_reuse(folio))
        {
            if !self.pages.is_exclusive(pfn) {
                self.take_over(vma, folio, pfn);
            }
            self.because(&cause::fault_reuse, |kernel| kernel.wp_page_reuse(vma, p, pte, fault));
            return Ok(());
        }
        self.wp_page_copy(mm, vma, p, pte, fault)
    }

    /// Makes a page that turned out to be nobody else's exclusive. An order-0 folio moves to the VMA's own anon_vma
    /// (`folio_move_anon_rmap`).
    fn take_over(&mut self, vma: &Vma, folio: FolioSpan, pfn: Pfn) {
        if folio.order == 0 {
            self.folio_move_anon_rmap(vma, folio);
        }
        self.pages.set_exclusive(pfn, 1, true);
    }

    /// A folio that nobody else has comes to belong to the VMA's own anon_vma.
    pub(crate) fn folio_move_anon_rmap(&mut self, vma: &Vma, folio: FolioSpan) {
        let (_, index) = self.pages.owner(folio);
        let own = vma.anon_vma.expect("a VMA that maps anonymous pages has an anon_vma");
        self.pages.set_anon(folio, own, index);
    }

    fn wp_page_reuse(&mut self, vma: &Vma, p: Ptep, pte: Pte, fault: Fault) {
        self.hw.event(Event::Fault(FaultKind::Reuse));
        let entry = self.arch.pte_mkdirty(self.arch.pte_mkyoung(pte));
        let entry = if vma.flags.contains(VmFlags::WRITE) { self.arch.pte_mkwrite(entry) } else { entry };
        self.arch.ptep_set_access_flags(&mut self.hw, fault.addr, p, entry, true);
    }

    fn wp_page_copy(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        p: Ptep,
        pte: Pte,
        fault: Fault,
    ) -> Result<(), FaultError> {
        let anon_vma = self.anon_vma_prepare(mm, vma);
        let span = self.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
        let new = span.head;
        let old_pfn = self.arch.pte_pfn(pte);
        let old_folio = (!self.arch.pte_special(pte)).then(|| self.hw.peek_folio(old_pfn));
        let copied = if old_folio.is_some() { Event::PagesCopied(1) } else { Event::PagesZeroed(1) };
        self.hw.event(copied);
        self.pages.copy(old_pfn, new);
        self.pages.set_anon(span, anon_vma, vma.pgoff_of(fault.addr, A::PAGE_SHIFT));
        self.pages.map(span, new, MapLevel::Ptes(1), mm.id);
        self.pages.set_exclusive(new, 1, true);
        let entry = self.new_anon_entry(vma, new);
        self.because(&cause::fault_copy, |kernel| {
            kernel.hw.event(Event::Fault(FaultKind::Copy));
            kernel.arch.ptep_clear_flush(&mut kernel.hw, fault.addr, p);
            kernel.arch.set_pte_at(&mut kernel.hw, fault.addr, p, entry);
        });
        if let Some(folio) = old_folio {
            self.pages.unmap(folio, old_pfn, MapLevel::Ptes(1), mm.id);
        }
        Ok(())
    }
}
