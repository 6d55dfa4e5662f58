//! Committed memory, and where memory begins (`mm/util.c`, `__vm_enough_memory`, 7.3).

use crate::kernel::Kernel;
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, TableMemory};
use ptelab_uapi::Errno;

/// Below it no hint is honoured and no stack grows (`vm.mmap_min_addr`), in bytes.
pub(crate) const MMAP_MIN_ADDR: u64 = 64 << 10;

/// Commits memory to a mapping. Refuses only what could never be had (`vm.overcommit_memory` 0).
#[inline]
pub(crate) fn charge<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, pages: u64) -> Result<(), Errno> {
    enough_memory(&k.pt, pages)?;
    k.committed += pages;
    Ok(())
}

#[inline]
pub(crate) fn enough_memory<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, pages: u64) -> Result<(), Errno> {
    if pages > pt.pages.total() { Err(Errno::ENOMEM) } else { Ok(()) }
}

#[inline]
pub(crate) const fn uncharge<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, pages: u64) {
    k.committed -= pages;
}
