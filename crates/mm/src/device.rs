//! Pages that devices have: in memory of their own, or lent to one alone (`mm/migrate_device.c`, `mm/memory.c`, `mm/rmap.c`,
//! 7.3).

use crate::fault::Fault;
use crate::migration::Destination;
use crate::walk::PmdState;
use crate::{FaultError, Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Arch, Event, FaultKind, FolioSpan, Pfn, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags,
    swp_type,
};
use ptelab_uapi::Errno;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The private pages of a range that can go to a device, where large folios were split; what is not mapped stays so
    /// (`migrate_vma_setup`).
    ///
    /// # Errors
    /// `EINVAL` for a range that is not aligned, `ENOENT` where it maps no such page.
    pub fn device_folios(&self, mm: &Mm, start: VirtAddr, len: u64) -> Result<Vec<FolioSpan>, Errno> {
        let mut folios = self.isolate_folios(mm, start, len)?;
        folios.retain(|&folio| folio.order == 0 && self.pages.is_anon(folio));
        if folios.is_empty() { Err(Errno::ENOENT) } else { Ok(folios) }
    }

    /// Lends a page to a device alone: the process has it back with its next access (`make_device_exclusive`).
    ///
    /// The page was faulted in for writing.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped, `EOPNOTSUPP` for memory that is not private.
    pub fn make_device_exclusive(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<(), Errno> {
        let addr = addr.align_down(A::PAGE_SIZE);
        let vma = mm.vmas.find(addr).ok_or(Errno::EFAULT)?.clone();
        self.because(&cause::device_exclusive, |kernel| kernel.lend_to_device(mm, &vma, addr))
    }

    fn lend_to_device(&mut self, mm: &mut Mm, vma: &Vma, addr: VirtAddr) -> Result<(), Errno> {
        if let PmdState::Huge(_) = self.pmd_at(mm, addr) {
            self.split_huge_pmd_address(mm, vma, addr);
        }
        let p = self.pte_offset(mm, addr).ok_or(Errno::EFAULT)?;
        let folio = self.vm_normal_folio(self.hw.peek(p)).ok_or(Errno::EFAULT)?;
        if !self.pages.is_anon(folio) {
            return Err(Errno::EOPNOTSUPP);
        }
        let old = self.arch.ptep_clear_flush(&mut self.hw, addr, p);
        if self.arch.pte_dirty(old) {
            self.pages.set_dirty(folio, true);
        }
        let mut flags = SoftFlags::empty();
        flags.set(SoftFlags::SOFT_DIRTY, self.arch.pte_soft_dirty(old));
        let leaf = SoftLeaf::of_page(swp_type::DEVICE_EXCLUSIVE, self.arch.pte_pfn(old), flags);
        let word = self.soft_word(leaf);
        self.arch.set_pte_at(&mut self.hw, addr, p, word);
        Ok(())
    }

    /// Maps a page again that was lent to a device (`restore_exclusive_pte`).
    pub(crate) fn restore_exclusive_pte(&mut self, vma: &Vma, p: Ptep, leaf: SoftLeaf, addr: VirtAddr) {
        let pfn = Pfn::new(leaf.offset);
        let folio = self.hw.page_folio(pfn);
        let mut pte = self.arch.pte_mkold(self.arch.pfn_pte(pfn, vma.page_prot));
        if leaf.flags.contains(SoftFlags::SOFT_DIRTY) {
            pte = self.arch.pte_mksoft_dirty(pte);
        }
        if leaf.flags.contains(SoftFlags::UFFD) {
            pte = self.arch.pte_mkuffd_wp(pte);
        }
        let writable = vma.flags.contains(VmFlags::WRITE);
        if writable && self.can_change_pte_writable(vma, pte).is_ok() {
            if self.pages.is_dirty(folio) {
                pte = self.arch.pte_mkdirty(pte);
            }
            pte = self.arch.pte_mkwrite(pte);
        }
        self.because(&cause::device_restore, |kernel| kernel.arch.set_pte_at(&mut kernel.hw, addr, p, pte));
    }

    /// A fault on a page that a device has. One that others map too comes back for all of them: that is the caller's to do.
    pub(crate) fn do_device_page(
        &mut self,
        mm: &Mm,
        vma: &Vma,
        p: Ptep,
        leaf: SoftLeaf,
        fault: Fault,
    ) -> Result<(), FaultError> {
        self.hw.event(Event::Fault(FaultKind::Soft));
        if leaf.ty == swp_type::DEVICE_EXCLUSIVE {
            self.restore_exclusive_pte(vma, p, leaf, fault.addr);
            return Ok(());
        }
        let folio = self.hw.page_folio(Pfn::new(leaf.offset));
        if self.pages.folio_mapcount(folio) > 1 {
            return Err(FaultError::InDevice(folio.head));
        }
        self.begin_migration(folio);
        self.try_to_migrate(mm, folio);
        let target = self.migration_target(folio);
        let (new, to) = target.map_or((folio, Destination::Device), |new| (new, Destination::Memory));
        self.remove_migration_ptes(mm, folio, new, to);
        self.end_migration(folio, new);
        target.map(|_| ()).ok_or(FaultError::OutOfMemory)
    }
}
