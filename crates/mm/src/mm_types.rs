//! An address space (`struct mm_struct`, `include/linux/mm_types.h`, 7.3).

use crate::pages::MmId;
use crate::vm_area::Vma;
use crate::vma_tree::VmaTree;
use ptelab_pgtable::{Access, Level, Ptep, VirtAddr, VmFlags};
use ptelab_uapi::PkeyRights;

/// `PR_THP_DISABLE_EXCEPT_ADVISED` (`include/uapi/linux/prctl.h`, 7.3).
pub(crate) const EXCEPT_ADVISED: u64 = 1 << 1;

/// One address space.
#[derive(Clone, Debug)]
pub struct Mm {
    /// The name by which page structs know it.
    pub id: MmId,
    /// Its VMAs.
    pub vmas: VmaTree,
    /// Root table.
    pub pgd: Ptep,
    /// Its level.
    pub root: Level,
    /// End of its addresses (`task_size`).
    pub task_size: u64,
    /// Tables below the root.
    pub(crate) tables: u64,
    /// Where the heap begins and ends.
    pub(crate) brk: Brk,
    /// An address in the first stack, if it has one.
    pub(crate) start_stack: VirtAddr,
    /// Flags that every new VMA gets (`def_flags`).
    pub(crate) def_flags: VmFlags,
    /// What `PR_SET_THP_DISABLE` said.
    pub(crate) thp_disable: ThpDisable,
    pub(crate) pkeys: Pkeys,
}

impl Mm {
    /// An empty address space.
    pub(crate) fn new(id: MmId, pgd: Ptep, root: Level, task_size: u64) -> Self {
        Self {
            id,
            vmas: VmaTree::default(),
            pgd,
            root,
            task_size,
            tables: 0,
            brk: Brk::default(),
            start_stack: VirtAddr::new(0),
            def_flags: VmFlags::empty(),
            thp_disable: ThpDisable::No,
            pkeys: Pkeys::default(),
        }
    }

    /// `prctl(PR_GET_THP_DISABLE)`: 1, with the flags that it was set with.
    pub const fn thp_disable(&self) -> u64 {
        match self.thp_disable {
            ThpDisable::No => 0,
            ThpDisable::Completely => 1,
            ThpDisable::ExceptAdvised => 1 | EXCEPT_ADVISED,
        }
    }

    /// Says where the heap of an address space begins, and ends for now: what `execve` does, and what the first `brk(NULL)` of a
    /// program returns. Nothing is mapped.
    pub fn set_brk(&mut self, start: VirtAddr, end: VirtAddr) {
        self.brk = Brk { start, end: end.max(start) };
    }

    /// Whether a VMA is the heap as /proc shows it (`vma_is_initial_heap`, `include/linux/mm.h`).
    pub(crate) fn is_initial_heap(&self, vma: &Vma) -> bool {
        vma.start < self.brk.end && vma.end > self.brk.start
    }

    /// Whether a VMA is the first stack as /proc shows it (`vma_is_initial_stack`).
    pub(crate) fn is_initial_stack(&self, vma: &Vma) -> bool {
        let stack = self.start_stack;
        stack.get() != 0 && vma.start <= stack && vma.end >= stack
    }
}

/// Where the heap begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brk {
    /// `mm->start_brk`.
    pub(crate) start: VirtAddr,
    /// `mm->brk`, which may lie inside a page.
    pub(crate) end: VirtAddr,
}

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
            Access::Read => PkeyRights::DISABLE_ACCESS.union(PkeyRights::DISABLE_READ),
            Access::Write => PkeyRights::DISABLE_ACCESS.union(PkeyRights::DISABLE_WRITE),
        };
        self.denied.get(usize::from(key)).is_some_and(|denied| !denied.intersects(denying))
    }

    pub(crate) const fn has(self, key: u8) -> bool {
        self.allocated & 1 << key != 0 && !matches!(self.execute_only, Some(hidden) if hidden == key)
    }
}
