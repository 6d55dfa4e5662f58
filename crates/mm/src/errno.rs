//! How accesses fail.

use ptelab_pgtable::Pfn;
use ptelab_uapi::{Errno, Signal};

/// Why a memory access did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FaultError {
    /// It got a signal.
    #[error("{0}")]
    Signal(Signal),
    /// The page failed, or userfaultfd says that it did (`VM_FAULT_HWPOISON`): `SIGBUS`.
    #[error("SIGBUS")]
    Hwpoison,
    /// The machine has no memory left for the page. Linux would call its OOM killer.
    #[error("ENOMEM")]
    OutOfMemory,
    /// The page migrates: Linux would let the process sleep until that is over (`migration_entry_wait`).
    #[error("the page migrates")]
    Migrating,
    /// The page is in a device's memory and mapped by others too: it comes back for all of them (`migrate_to_ram`).
    #[error("page {0} is in a device's memory")]
    InDevice(Pfn),
}

impl From<Errno> for FaultError {
    /// A fault path that meets an error number has run out of memory for a page or a table.
    fn from(_: Errno) -> Self {
        Self::OutOfMemory
    }
}
