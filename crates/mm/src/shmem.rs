//! Shared memory that is swapped out: its object keeps a slot in the place of a page (`mm/shmem.c`, 7.3).

use crate::kernel::Kernel;
use crate::vm_area::{ObjectId, Vma};
use ptelab_pgtable::{Arch, FolioSpan, Pfn, SoftLeaf, TableMemory, VirtAddr};
use ptelab_uapi::Errno;

/// Writes a page of shared memory that nobody maps to swap. It stays where there is no room (`shmem_writeout`).
pub(crate) fn shmem_writeout<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, page: FolioSpan) {
    let (object, pgoff) = k.pt.pages.owner(page);
    if let Some(slot) = k.swap.folio_alloc_swap(&k.pt.pages, page, &k.pt.rules) {
        k.swap.dup(slot);
        k.objects.drop_page(&mut k.pt.pages, object, pgoff);
        k.objects.set_swapped(object, pgoff, slot);
    }
}

/// Brings a page of shared memory back from swap, dirty as it is nowhere else (`shmem_swapin_folio`).
pub(crate) fn shmem_swapin_folio<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    (object, pgoff): (ObjectId, u64),
    slot: SoftLeaf,
) -> Result<Pfn, Errno> {
    let page = match k.swap.cached(slot) {
        Some(page) => FolioSpan { head: page, order: 0 },
        None => read_slot(k, slot)?,
    };
    k.swap.cache_take(&mut k.pt.pages, page);
    k.swap.put(&mut k.pt, slot);
    k.objects.add_page(&mut k.pt.pages, (object, pgoff), page);
    k.pt.pages.set_dirty(page, true);
    Ok(page.head)
}

fn read_slot<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, slot: SoftLeaf) -> Result<FolioSpan, Errno> {
    let page = k.pt.alloc_folio(0).ok_or(Errno::ENOMEM)?;
    k.pt.pages.load(page.head, k.swap.page(slot));
    Ok(page)
}

/// Reads what a range of shared memory has in swap into the swap cache, as far as memory goes (`shmem_swapin_range`).
pub(crate) fn shmem_swapin_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    vma: &Vma,
    object: ObjectId,
    (start, end): (VirtAddr, VirtAddr),
) {
    let pgoff = |at| vma.pgoff_of(at, A::PAGE_SHIFT);
    let swapped: Vec<SoftLeaf> = k.objects.swapped_in(object, pgoff(start)..pgoff(end)).collect();
    for slot in swapped {
        if k.swap.cached(slot).is_some() {
            continue;
        }
        let Ok(page) = read_slot(k, slot) else { return };
        k.swap.cache_add(&mut k.pt.pages, slot, page);
    }
}

/// One user less of an object; the last takes its pages and slots along.
pub(crate) fn put_object<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, object: Option<ObjectId>) {
    let swapped = k.objects.put(&mut k.pt.pages, object);
    shmem_free_swap(k, &swapped);
}

/// Frees slots of pages that an object had in swap (`shmem_free_swap`).
pub(crate) fn shmem_free_swap<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, slots: &[SoftLeaf]) {
    for &slot in slots {
        k.swap.put(&mut k.pt, slot);
    }
}
