//! Protection keys of a process (`mm/mprotect.c`, `arch/*/include/asm/pkeys.h`, 7.3).
//!
//! Which rights a thread has given itself by a key lies in a register that no call shows, so nobody here can access memory
//! with another key than 0.

use crate::{Kernel, Mm, Vma};
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::{Errno, PkeyRights, Prot};

/// Which keys a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pkeys {
    /// A bit for each key.
    allocated: u16,
    /// The hidden one for memory that may only be executed, of those allocated.
    execute_only: Option<u8>,
}

impl Default for Pkeys {
    /// Key 0 is there from the start.
    fn default() -> Self {
        Self { allocated: 1, execute_only: None }
    }
}

/// `PKEY_ACCESS_MASK`
const PKEY_ACCESS_MASK: PkeyRights = PkeyRights::DISABLE_ACCESS.union(PkeyRights::DISABLE_WRITE);

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A new key (`pkey_alloc`). `rights` are checked, and belong to a register that is not modelled.
    ///
    /// # Errors
    /// `ENOSYS` where the architecture has no keys, `EINVAL` for flags, other rights, and on x86 a CPU without keys; `ENOSPC` where
    /// none is left.
    pub fn pkey_alloc(&mut self, mm: &mut Mm, flags: u64, rights: PkeyRights) -> Result<u8, Errno> {
        let count = self.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
        if flags != 0 || !PKEY_ACCESS_MASK.contains(rights) || count == 0 {
            return Err(Errno::EINVAL);
        }
        mm.pkeys.alloc(count).ok_or(Errno::ENOSPC)
    }

    /// Gives a key back; memory that has it keeps it (`pkey_free`).
    ///
    /// # Errors
    /// `ENOSYS`, or `EINVAL` for a key that the process does not have.
    pub fn pkey_free(&mut self, mm: &mut Mm, pkey: i32) -> Result<(), Errno> {
        let key = self.allocated_pkey(mm, pkey)?;
        mm.pkeys.allocated &= !(1 << key);
        Ok(())
    }

    /// Changes the protection of a range, in bytes, and its key; -1 is no key of the caller's choice (`pkey_mprotect`).
    ///
    /// # Errors
    /// Those of [`mprotect`](Self::mprotect), `EINVAL` for a key that the process does not have, `ENOSYS` where the architecture has
    /// none.
    pub fn pkey_mprotect(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        len: u64,
        prot: Prot,
        pkey: i32,
    ) -> Result<(), Errno> {
        self.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
        self.do_mprotect_pkey(mm, start, len, prot, (pkey != -1).then_some(pkey))
    }

    /// The key of this number, if the process has it (`mm_pkey_is_allocated`).
    pub(crate) fn allocated_pkey(&self, mm: &Mm, pkey: i32) -> Result<u8, Errno> {
        let count = self.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
        let key = u8::try_from(pkey).ok().filter(|&key| key < count).ok_or(Errno::EINVAL)?;
        if mm.pkeys.has(key) { Ok(key) } else { Err(Errno::EINVAL) }
    }

    /// Takes a key for memory that may only be executed, if this is such memory, the CPU has keys, and the process has none for it
    /// yet (`execute_only_pkey`).
    pub(crate) fn prepare_execute_only(&self, mm: &mut Mm, prot: Prot) {
        let wanted = Self::only_exec(prot) && self.arch.execute_only_pkey().is_some();
        if wanted && mm.pkeys.execute_only.is_none() {
            let count = self.arch.arch_max_pkey().unwrap_or(0);
            mm.pkeys.execute_only = mm.pkeys.alloc(count);
        }
    }

    fn only_exec(prot: Prot) -> bool {
        prot & (Prot::READ | Prot::WRITE | Prot::EXEC) == Prot::EXEC
    }

    /// The protection key that memory gets where the call names none: the hidden one where it may only be executed, else that of
    /// the VMA, unless it is the hidden one (`arch_override_mprotect_pkey`).
    pub(crate) fn override_pkey(&self, mm: &Mm, vma: Option<&Vma>, prot: Prot) -> u8 {
        let hidden = mm.pkeys.execute_only;
        if Self::only_exec(prot)
            && let Some(hidden) = hidden
        {
            return hidden;
        }
        vma.map(|vma| vma.flags.pkey()).filter(|&key| Some(key) != hidden).unwrap_or(0)
    }
}

impl Pkeys {
    fn alloc(&mut self, count: u8) -> Option<u8> {
        let key = (0..count.min(16)).find(|key| self.allocated & 1 << key == 0)?;
        self.allocated |= 1 << key;
        Some(key)
    }

    const fn has(self, key: u8) -> bool {
        self.allocated & 1 << key != 0 && !matches!(self.execute_only, Some(hidden) if hidden == key)
    }
}
