//! What one walk of `change_protection` is about (`MM_CP_*`, `include/linux/mm.h`, 7.3).

use crate::vm_area::Vma;
use bitflags::bitflags;
use ptelab_pgtable::PgProt;

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

/// What changes, and to what.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) vma: &'a Vma,
    pub(crate) newprot: PgProt,
    pub(crate) cp_flags: CpFlags,
}
