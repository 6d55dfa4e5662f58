//! What a line of /proc/PID/maps says a mapping is of (`fs/proc/task_mmu.c`, `get_vma_name`, 7.3).

use crate::address_space::ObjectKind;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use std::fmt;
use std::sync::Arc;

/// What a mapping is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Private memory without a name.
    Anonymous,
    /// Private memory with the name that `PR_SET_VMA_ANON_NAME` gave it.
    AnonName(Arc<str>),
    /// Shared memory without a name.
    Shared,
    /// Shared memory with such a name.
    SharedName(Arc<str>),
    /// A file, by its path.
    File(Arc<str>),
    /// A System V segment, by its key.
    Sysv(u32),
    /// The heap, a stack, or memory of the kernel's own: `[heap]`, `[stack]`, `[vdso]`.
    Special(Arc<str>),
}

impl Backing {
    /// Whether maps shows an offset, a device and an inode for it (`vma->vm_file`).
    pub const fn has_file(&self) -> bool {
        matches!(self, Self::Shared | Self::SharedName(_) | Self::File(_) | Self::Sysv(_))
    }
}

impl fmt::Display for Backing {
    /// The last column of maps; nothing for memory without a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => Ok(()),
            Self::AnonName(name) => write!(f, "[anon:{name}]"),
            Self::Shared => f.write_str("/dev/zero (deleted)"),
            Self::SharedName(name) => write!(f, "[anon_shmem:{name}]"),
            Self::File(name) | Self::Special(name) => f.write_str(name),
            Self::Sysv(key) => write!(f, "/SYSV{key:08x} (deleted)"),
        }
    }
}

/// The address at which a page of a file is mapped, by the file's path.
pub fn find_file<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    path: &str,
    pgoff: u64,
) -> Option<VirtAddr> {
    let of_file = |vma: &&Vma| {
        let kind = vma.object.map(|object| k.objects.kind(object));
        matches!(kind, Some(ObjectKind::File(own)) if **own == *path)
    };
    let place = |vma: &Vma| {
        let page = pgoff.checked_sub(vma.pgoff)?;
        (page < vma.end.since(vma.start) >> A::PAGE_SHIFT).then(|| vma.start.add(page << A::PAGE_SHIFT))
    };
    mm.vmas.iter().filter(of_file).find_map(place)
}

/// What every VMA that intersects a range is of, in address order.
pub fn backings<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Vec<Backing> {
    mm.vmas.range(start, end).map(|vma| backing(k, mm, vma)).collect()
}

/// What a VMA is of.
pub(crate) fn backing<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, vma: &Vma) -> Backing {
    let name = vma.anon_name.clone();
    match vma.object.map(|object| k.objects.kind(object)) {
        Some(ObjectKind::File(path)) => Backing::File(path.clone()),
        Some(ObjectKind::Sysv(key)) => Backing::Sysv(*key),
        Some(ObjectKind::Special(name)) => Backing::Special(name.clone()),
        Some(ObjectKind::Anonymous) => name.map_or(Backing::Shared, Backing::SharedName),
        None if mm.is_initial_heap(vma) => Backing::Special("[heap]".into()),
        None if mm.is_initial_stack(vma) => Backing::Special("[stack]".into()),
        None => name.map_or(Backing::Anonymous, Backing::AnonName),
    }
}
