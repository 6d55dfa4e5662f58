//! Protection keys of a process (`mm/mprotect.c`, `arch/*/include/asm/pkeys.h`, 7.3).
//!
//! The rights are those that `pkey_alloc` gave: what a thread writes into its register after that no call shows.

use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, TableMemory};
use ptelab_uapi::{Errno, PkeyRights, Prot};

/// The key of this number, if the process has it (`mm_pkey_is_allocated`).
#[inline]
pub(crate) fn allocated_pkey<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    pkey: i32,
) -> Result<u8, Errno> {
    let count = pt.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
    let key = u8::try_from(pkey).ok().filter(|&key| key < count).ok_or(Errno::EINVAL)?;
    if mm.pkeys.has(key) { Ok(key) } else { Err(Errno::EINVAL) }
}

/// Takes a key for memory that may only be executed, if this is such memory, the CPU has keys, and the process has none for it
/// yet (`execute_only_pkey`).
#[inline]
pub(crate) fn prepare_execute_only<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, mm: &mut Mm, prot: Prot) {
    let wanted = only_exec(prot) && pt.arch.execute_only_pkey().is_some();
    if wanted && mm.pkeys.execute_only.is_none() {
        let count = pt.arch.arch_max_pkey().unwrap_or(0);
        mm.pkeys.execute_only = mm.pkeys.alloc(count, PkeyRights::DISABLE_ACCESS);
    }
}

/// Whether the key of a VMA permits an access of its process (`arch_vma_access_permitted`).
#[inline]
pub(crate) fn arch_vma_access_permitted(mm: &Mm, vma: &Vma, access: Access) -> bool {
    mm.pkeys.permit(vma.flags.pkey(), access)
}

#[inline]
fn only_exec(prot: Prot) -> bool {
    prot == Prot::EXEC
}

/// The protection key that memory gets where the call names none: the hidden one where it may only be executed, else that of
/// the VMA, unless it is the hidden one (`arch_override_mprotect_pkey`).
#[inline]
pub(crate) fn override_pkey(mm: &Mm, vma: Option<&Vma>, prot: Prot) -> u8 {
    let hidden = mm.pkeys.execute_only;
    if only_exec(prot)
        && let Some(hidden) = hidden
    {
        return hidden;
    }
    vma.map(|vma| vma.flags.pkey()).filter(|&key| Some(key) != hidden).unwrap_or(0)
}
