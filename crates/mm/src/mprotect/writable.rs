//! What may become writable without a fault (`mm/mprotect.c`, `can_change_pte_writable`, 7.3).

use crate::cause;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use crate::vma::vma_soft_dirty_enabled;
use ptelab_pgtable::{Arch, Cause, Event, FolioSpan, Pfn, Pte, TableMemory, VmFlags};

/// Whether an entry's own state allows making it writable without a fault, or why not.
#[inline]
pub(crate) fn maybe_change_pte_writable<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    pte: Pte,
) -> Result<(), &'static Cause> {
    if pt.arch.pte_protnone(pte) {
        Err(&cause::write_numa_hint)
    } else if vma_soft_dirty_enabled(pt, vma) && !pt.arch.pte_soft_dirty(pte) {
        Err(&cause::write_soft_dirty)
    } else if vma.uffd_wp() && pt.arch.pte_uffd_wp(pte) {
        Err(&cause::write_uffd_wp)
    } else {
        Ok(())
    }
}

/// Whether an entry that is read-only may be made writable without a fault, or why not.
#[inline]
pub(crate) fn can_change_pte_writable<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    pte: Pte,
) -> Result<(), &'static Cause> {
    pt.hw.event(Event::WriteCheck);
    if vma.flags.contains(VmFlags::SHARED) {
        return can_change_shared_pte_writable(pt, vma, pte);
    }
    maybe_change_pte_writable(pt, vma, pte)?;
    let folio = pt.vm_normal_folio(pte).ok_or(&cause::write_not_anon)?;
    can_change_private_pte_writable(pt, folio, pt.arch.pte_pfn(pte))
}

/// Shared memory must be dirty already, because its first write must fault.
#[inline]
pub(crate) fn can_change_shared_pte_writable<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    pte: Pte,
) -> Result<(), &'static Cause> {
    maybe_change_pte_writable(pt, vma, pte)?;
    if pt.arch.pte_dirty(pte) { Ok(()) } else { Err(&cause::write_shared_clean) }
}

/// A private page must be exclusive. The state of the entry was checked before.
#[inline]
pub(crate) fn can_change_private_pte_writable<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    folio: FolioSpan,
    page: Pfn,
) -> Result<(), &'static Cause> {
    pt.hw.event(Event::ExclusiveReads(1));
    if !pt.pages.is_anon(folio) {
        Err(&cause::write_not_anon)
    } else if pt.pages.is_exclusive(page) {
        Ok(())
    } else {
        Err(&cause::write_not_exclusive)
    }
}

/// Whether entries become writable without a fault, or why they stay read-only.
#[derive(Clone, Copy)]
pub(crate) enum SetWrite {
    /// Not asked: the mapping wants no upgrade, or the entry is writable already.
    NotAsked,
    Yes,
    No(&'static Cause),
}

impl From<Result<(), &'static Cause>> for SetWrite {
    #[inline]
    fn from(can: Result<(), &'static Cause>) -> Self {
        can.map_or_else(Self::No, |()| Self::Yes)
    }
}

impl SetWrite {
    /// The entry, writable where it may be.
    #[inline]
    pub(crate) fn mkwrite<A: Arch, H: TableMemory>(self, pt: &mut PageTables<A, H>, pte: Pte) -> Pte {
        if !matches!(self, Self::Yes) {
            return pte;
        }
        pt.hw.event(Event::WriteUpgrade);
        pt.arch.pte_mkwrite(pte)
    }

    /// The same for a huge leaf.
    pub(crate) fn mkwrite_pmd<A: Arch, H: TableMemory>(self, pt: &mut PageTables<A, H>, pmd: Pte) -> Pte {
        let pte = self.mkwrite(pt, pt.arch.pmd_pte(pmd));
        pt.arch.pte_pmd(pte)
    }

    /// Why the entry became writable or not, where that was asked.
    #[inline]
    pub(crate) const fn cause(self) -> Option<&'static Cause> {
        match self {
            Self::NotAsked => None,
            Self::Yes => Some(&cause::write_upgrade),
            Self::No(why) => Some(why),
        }
    }
}
