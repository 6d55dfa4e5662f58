//! What `change_protection` is asked to do (`MM_CP_*`, `include/linux/mm.h`, 7.3).

use bitflags::bitflags;

bitflags! {
    /// `MM_CP_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct CpFlags: u8 {
        /// Entries that may be writable without a fault become so.
        const TRY_CHANGE_WRITABLE = 1 << 0;
        /// NUMA hinting: entries become inaccessible, so that the next access faults.
        const PROT_NUMA = 1 << 1;
        /// userfaultfd's write protection is applied.
        const UFFD_WP = 1 << 2;
        /// userfaultfd's write protection is lifted.
        const UFFD_WP_RESOLVE = 1 << 3;
    }
}
