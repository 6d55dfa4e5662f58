//! Names of anonymous memory: `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)` (`mm/madvise.c`, 7.3, with `CONFIG_ANON_VMA_NAME`).

use crate::address_space::ObjectKind;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::vm_area::Vma;
use crate::vma::vma_modify;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::Errno;
use std::sync::Arc;

/// Bytes in the longest name, with the zero that ends it (`ANON_VMA_NAME_MAX_LEN`).
const MAX_LEN: usize = 80;

/// Names a range, in bytes, or takes its name away. VMAs split, and merge with those of the same name only.
///
/// # Errors
/// `EINVAL` for a bad name or range; `EBADF` for memory of a file; `ENOMEM` for a hole, after the rest was named.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn set_anon_vma_name<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    name: Option<&str>,
) -> Result<(), Errno> {
    if name.is_some_and(|name| name.len() >= MAX_LEN || !name.bytes().all(is_valid_name_char)) {
        return Err(Errno::EINVAL);
    }
    let rounded = len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::EINVAL)?;
    let end = start.checked_add(rounded).ok_or(Errno::EINVAL)?;
    if !start.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let name: Option<Arc<str>> = name.map(Into::into);
    let (mut at, mut hole) = (start, false);
    while at < end {
        let Some(vma) = mm.vmas.find_or_next(at).filter(|vma| vma.start < end).cloned() else {
            return Err(Errno::ENOMEM);
        };
        hole |= vma.start > at;
        let part = (vma.start.max(at), vma.end.min(end));
        name_vma(k, mm, &vma, part, name.as_ref())?;
        at = part.1;
    }
    if hole { Err(Errno::ENOMEM) } else { Ok(()) }
}

fn name_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    range: (VirtAddr, VirtAddr),
    name: Option<&Arc<str>>,
) -> Result<(), Errno> {
    match vma.object.map(|object| k.objects.kind(object)) {
        Some(ObjectKind::File(_) | ObjectKind::Sysv(_)) => return Err(Errno::EBADF),
        Some(ObjectKind::Anonymous | ObjectKind::Special(_)) | None => {}
    }
    if vma.anon_name.as_ref() != name {
        // Too many VMAs is the one way in which this fails; it is called EAGAIN.
        vma_modify(k, mm, range, |vma| vma.anon_name = name.cloned()).map_err(|_| Errno::EAGAIN)?;
    }
    Ok(())
}

/// Printable, and nothing that would confuse a reader of maps.
fn is_valid_name_char(c: u8) -> bool {
    (b' '..0x7f).contains(&c) && !b"\\`$[]".contains(&c)
}
