//! `prctl`: transparent huge pages of a process (`kernel/sys.c`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::{EXCEPT_ADVISED, Mm, ThpDisable};
use ptelab_pgtable::{Arch, TableMemory, VmFlags};
use ptelab_uapi::Errno;

/// `prctl(PR_SET_THP_DISABLE)`: whether the process may have huge pages from now on. What it has stays.
///
/// # Errors
/// `EINVAL` for flags that the kernel does not know, or does not know yet.
pub fn set_thp_disable<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &mut Mm,
    on: u64,
    flags: u64,
) -> Result<(), Errno> {
    mm.thp_disable = match (on, flags) {
        (0, 0) => ThpDisable::No,
        (1.., 0) => ThpDisable::Completely,
        (1.., EXCEPT_ADVISED) if k.pt.rules.thp_disable_except_advised => ThpDisable::ExceptAdvised,
        _ => return Err(Errno::EINVAL),
    };
    Ok(())
}

/// A new, empty address space for a process that executes another program: of the old one, it inherits what
/// `PR_SET_THP_DISABLE` said (`bprm_mm_init`, `fs/exec.c`).
///
/// # Errors
/// `ENOMEM`.
pub fn exec_mm<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, old: &Mm) -> Result<Mm, Errno> {
    let mut mm = k.new_mm()?;
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
