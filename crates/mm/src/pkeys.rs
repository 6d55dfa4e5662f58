//! Protection keys of a process (`mm/mprotect.c`, `arch/*/include/asm/pkeys.h`, 7.3).
//!
//! The rights are those that `pkey_alloc` gave: what a thread writes into its register after that no call shows.

use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, TableMemory};
use ptelab_uapi::{Errno, PkeyRights, Prot};

/// Which keys a process has, and what they permit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pkeys {
    /// A bit for each key.
    pub(crate) allocated: u16,
    /// The hidden one for memory that may only be executed, of those allocated.
    pub(crate) execute_only: Option<u8>,
    /// What the register of rights denies, by key (PKRU of x86).
    denied: [PkeyRights; PKEYS],
}

/// As many as any port has.
const PKEYS: usize = 16;

impl Default for Pkeys {
    /// Key 0 is there from the start, and all others deny everything (`init_pkru_value`, `arch/x86/mm/pkeys.c`).
    fn default() -> Self {
        let mut denied = [PkeyRights::DISABLE_ACCESS; PKEYS];
        denied[0] = PkeyRights::empty();
        Self { allocated: 1, execute_only: None, denied }
    }
}

impl Pkeys {
    pub(crate) fn alloc(&mut self, count: u8, denied: PkeyRights) -> Option<u8> {
        let key = (0..count.min(PKEYS as u8)).find(|key| self.allocated & 1 << key == 0)?;
        self.allocated |= 1 << key;
        self.denied[usize::from(key)] = denied;
        Some(key)
    }

    /// Whether data under a key may be accessed so (`__pkru_allows_pkey`). Keys that no port has deny.
    #[inline]
    pub(crate) fn permit(&self, key: u8, access: Access) -> bool {
        let denying = match access {
            Access::Read => PkeyRights::DISABLE_ACCESS,
            Access::Write => PkeyRights::DISABLE_ACCESS.union(PkeyRights::DISABLE_WRITE),
        };
        self.denied.get(usize::from(key)).is_some_and(|denied| !denied.intersects(denying))
    }

    pub(crate) const fn has(self, key: u8) -> bool {
        self.allocated & 1 << key != 0 && !matches!(self.execute_only, Some(hidden) if hidden == key)
    }
}

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
