//! `mincore`: which pages are in memory (`mm/mincore.c`, 7.3).

use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::tables::walk::PmdState;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Level, TableMemory, VirtAddr};
use ptelab_uapi::Errno;

/// The largest vector, in bytes.
const MAX_VECTOR: u64 = 1 << 30;

/// A byte for each page of a range of `len` bytes, as `mincore` fills its vector: 1 for what is present, or, where nothing is
/// mapped, in the page cache. Callers count as owners of every file.
///
/// # Errors
/// `EINVAL` for an unaligned address, `ENOMEM` for a hole or a range that is not one; `EFAULT` for a vector of more than a GiB, as
/// if the caller had none so large.
pub fn mincore<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    start: VirtAddr,
    len: u64,
) -> Result<Vec<u8>, Errno> {
    let start = A::untagged_addr(start);
    if !start.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = start.checked_add(len).filter(|end| end.get() <= mm.task_size).ok_or(Errno::ENOMEM)?;
    let end = end.align_up(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    if end.since(start) >> A::PAGE_SHIFT > MAX_VECTOR {
        return Err(Errno::EFAULT);
    }
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let vma = mm.vmas.find(at).ok_or(Errno::ENOMEM)?;
        let part_end = vma.end.min(end);
        while at < part_end {
            found.push(u8::from(page_in_core(k, mm, vma, at)));
            at = at.add(A::PAGE_SIZE);
        }
    }
    Ok(found)
}

fn page_in_core<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, vma: &Vma, addr: VirtAddr) -> bool {
    let mapped = match k.pt.pmd_at(mm, addr) {
        PmdState::None => false,
        PmdState::Huge(_) | PmdState::Soft(_) => true,
        PmdState::Table(table) => {
            let pte = k.pt.hw.peek(table.add(A::index(addr, Level::Pte)));
            match k.pt.soft_view(pte) {
                Some(leaf) if leaf.is_swap() => k.swap.cached(leaf).is_some(),
                Some(leaf) => !leaf.is_marker(0),
                None => !k.pt.arch.pte_none(pte),
            }
        }
    };
    let pgoff = vma.pgoff_of(addr, A::PAGE_SHIFT);
    let is_cached = |object| {
        let in_swap_cache = |slot| k.swap.cached(slot).is_some();
        k.objects.page(object, pgoff).is_some() || k.objects.swapped(object, pgoff).is_some_and(in_swap_cache)
    };
    mapped || vma.object.is_some_and(is_cached)
}
