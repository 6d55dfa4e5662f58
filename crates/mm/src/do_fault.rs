//! Faults on pages of objects, that is of files and shared memory, where nothing is mapped (`mm/memory.c`, `do_fault`, 7.3).

use crate::fault::Fault;
use crate::pages::MapLevel;
use crate::vma::ObjectId;
use crate::{FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, FolioSpan, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::Signal;

/// Pages around a read fault that are mapped along with it (`fault_around_bytes`).
const FAULT_AROUND_BYTES: u64 = 64 << 10;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A read maps the object's page, a write to private memory a copy of it, a write to shared memory the page, dirty.
    pub(crate) fn do_fault(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        object: ObjectId,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        if fault.access == Access::Read {
            self.because(&cause::fault_object, |kernel| kernel.do_read_fault(mm, vma, object, table, fault))
        } else if vma.flags.contains(VmFlags::SHARED) {
            self.because(&cause::fault_object, |kernel| kernel.do_shared_fault(mm, vma, object, table, fault))
        } else {
            self.because(&cause::fault_cow, |kernel| kernel.do_cow_fault(mm, vma, object, table, fault))
        }
    }

    fn do_read_fault(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        object: ObjectId,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        self.hw.event(Event::Fault(FaultKind::Shared));
        // Where userfaultfd protects, every page has a fault of its own (`uffd_disable_fault_around`).
        if !vma.uffd_wp() {
            self.because(&cause::fault_around, |kernel| {
                kernel.do_fault_around(mm, vma, object, table, fault.addr);
            });
            let p = table.add(Self::index(fault.addr, Level::Pte));
            if !self.arch.pte_none(self.hw.peek(p)) {
                return Ok(());
            }
        }
        let pfn = self.fault_page(vma, object, fault.addr)?;
        let entry = self.marked(fault, self.object_read_entry(vma, pfn));
        self.map_object_page(mm, table, fault.addr, pfn, entry);
        Ok(())
    }

    fn do_shared_fault(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        object: ObjectId,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        self.hw.event(Event::Fault(FaultKind::Shared));
        let pfn = self.fault_page(vma, object, fault.addr)?;
        self.pages.set_dirty(FolioSpan { head: pfn, order: 0 }, true);
        let entry = self.marked(fault, self.new_anon_entry(vma, pfn));
        self.map_object_page(mm, table, fault.addr, pfn, entry);
        Ok(())
    }

    fn do_cow_fault(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        object: ObjectId,
        table: Ptep,
        fault: Fault,
    ) -> Result<(), FaultError> {
        let anon_vma = self.anon_vma_prepare(mm, vma);
        let from = self.fault_page(vma, object, fault.addr)?;
        let copy = self.alloc_folio(0).ok_or(FaultError::OutOfMemory)?;
        self.hw.event(Event::Fault(FaultKind::Copy));
        self.hw.event(Event::PagesCopied(1));
        self.pages.copy(from, copy.head);
        self.pages.set_anon(copy, anon_vma, vma.pgoff_of(fault.addr, A::PAGE_SHIFT));
        self.pages.set_exclusive(copy.head, 1, true);
        let entry = self.marked(fault, self.new_anon_entry(vma, copy.head));
        self.map_object_page(mm, table, fault.addr, copy.head, entry);
        Ok(())
    }

    /// The object's page for an address (`filemap_fault`). One that migrates is locked: who wants it waits.
    fn fault_page(&mut self, vma: &Vma, object: ObjectId, addr: VirtAddr) -> Result<Pfn, FaultError> {
        let pgoff = vma.pgoff_of(addr, A::PAGE_SHIFT);
        if !self.object_has(object, pgoff) {
            return Err(FaultError::Signal(Signal::BUS));
        }
        let pfn = self.object_page_or_new(object, pgoff)?;
        if self.migrations.contains_key(&pfn) { Err(FaultError::Migrating) } else { Ok(pfn) }
    }

    /// The entry of an object's page that is mapped for reading: where it is writable at once, and the page is dirty already, it
    /// is dirty from the start (`set_pte_range`).
    fn object_read_entry(&self, vma: &Vma, pfn: Pfn) -> Pte {
        let entry = self.arch.pfn_pte(pfn, vma.page_prot);
        let dirty = self.pages.is_dirty(FolioSpan { head: pfn, order: 0 });
        if dirty && self.arch.pte_write(entry) { self.arch.pte_mkdirty(entry) } else { entry }
    }

    fn map_object_page(&mut self, mm: &Mm, table: Ptep, addr: VirtAddr, pfn: Pfn, entry: Pte) {
        let span = FolioSpan { head: pfn, order: 0 };
        self.pages.map(span, pfn, MapLevel::Ptes(1), mm.id);
        let p = table.add(Self::index(addr, Level::Pte));
        self.arch.set_pte_at(&mut self.hw, addr, p, entry);
    }

    /// Maps the pages around a read fault that are there already and do not migrate.
    fn do_fault_around(&mut self, mm: &Mm, vma: &Vma, object: ObjectId, table: Ptep, addr: VirtAddr) {
        let window = FAULT_AROUND_BYTES.max(A::PAGE_SIZE);
        let mut at = addr.align_down(window).max(vma.start);
        // The window is as long where the VMA begins inside it, but never leaves the table.
        let end = Self::entry_end(addr, vma.end, Level::Pmd).min(at.add(window));
        while at < end {
            let p = table.add(Self::index(at, Level::Pte));
            let pgoff = vma.pgoff_of(at, A::PAGE_SHIFT);
            if self.object_has(object, pgoff)
                && let Some(pfn) = self.object_page(object, pgoff)
                && !self.migrations.contains_key(&pfn)
                && self.arch.pte_none(self.hw.peek(p))
            {
                let mut entry = self.object_read_entry(vma, pfn);
                if at != addr && self.arch.wants_old_prefaulted_pte() {
                    entry = self.arch.pte_mkold(entry);
                }
                self.map_object_page(mm, table, at, pfn, entry);
            }
            at = at.add(A::PAGE_SIZE);
        }
    }
}
