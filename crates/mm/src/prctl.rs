//! `prctl`: transparent huge pages of a process (`kernel/sys.c`, 7.3).

use crate::{Kernel, Mm};
use ptelab_pgtable::{Arch, TableMemory, VmFlags};
use ptelab_uapi::Errno;

/// `PR_THP_DISABLE_EXCEPT_ADVISED` (`include/uapi/linux/prctl.h`, 7.3).
const EXCEPT_ADVISED: u64 = 1 << 1;

/// What `PR_SET_THP_DISABLE` said (`MMF_DISABLE_THP_*`). Children and what they execute inherit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum ThpDisable {
    /// Huge pages as the settings say.
    #[default]
    No,
    /// None at all.
    Completely,
    /// Only where `MADV_HUGEPAGE` asked (`PR_THP_DISABLE_EXCEPT_ADVISED`).
    ExceptAdvised,
}

impl ThpDisable {
    /// Whether memory with these flags may have no huge pages (`vma_thp_disabled`, `include/linux/huge_mm.h`).
    pub(crate) const fn disables(self, flags: VmFlags) -> bool {
        flags.contains(VmFlags::NOHUGEPAGE)
            || match self {
                Self::No => false,
                Self::Completely => true,
                Self::ExceptAdvised => !flags.contains(VmFlags::HUGEPAGE),
            }
    }
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// `prctl(PR_SET_THP_DISABLE)`: whether the process may have huge pages from now on. What it has stays.
    ///
    /// # Errors
    /// `EINVAL` for flags that the kernel does not know, or does not know yet.
    pub fn set_thp_disable(&self, mm: &mut Mm, on: u64, flags: u64) -> Result<(), Errno> {
        mm.thp_disable = match (on, flags) {
            (0, 0) => ThpDisable::No,
            (1.., 0) => ThpDisable::Completely,
            (1.., EXCEPT_ADVISED) if self.rules.thp_disable_except_advised => ThpDisable::ExceptAdvised,
            _ => return Err(Errno::EINVAL),
        };
        Ok(())
    }

    /// A new, empty address space for a process that executes another program: of the old one, it inherits what
    /// `PR_SET_THP_DISABLE` said (`bprm_mm_init`, `fs/exec.c`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn exec_mm(&mut self, old: &Mm) -> Result<Mm, Errno> {
        let mut mm = self.new_mm()?;
        mm.thp_disable = old.thp_disable;
        mm.def_flags = old.def_flags & VmFlags::NOHUGEPAGE;
        Ok(mm)
    }

    /// What a child's address space inherits apart from its mappings (`dup_mm`, `kernel/fork.c`).
    pub(crate) const fn inherit(child: &mut Mm, parent: &Mm) {
        child.brk = parent.brk;
        child.start_stack = parent.start_stack;
        child.thp_disable = parent.thp_disable;
        child.def_flags = parent.def_flags.intersection(VmFlags::NOHUGEPAGE);
        child.pkeys = parent.pkeys;
    }
}

impl Mm {
    /// `prctl(PR_GET_THP_DISABLE)`: 1, with the flags that it was set with.
    pub const fn thp_disable(&self) -> u64 {
        match self.thp_disable {
            ThpDisable::No => 0,
            ThpDisable::Completely => 1,
            ThpDisable::ExceptAdvised => 1 | EXCEPT_ADVISED,
        }
    }
}
