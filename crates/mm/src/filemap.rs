//! Mapped files and their page cache (`mm/filemap.c`, 7.3).
//!
//! The cache holds order-0 folios, and only of pages that were touched: nothing is read ahead. A file that was never written holds
//! zeros. Nothing is written back.

use crate::kernel::Kernel;
use crate::shmem::shmem_swapin_folio;
use crate::vm_area::{FileId, ObjectId};
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, TableMemory};
use ptelab_uapi::{Errno, FileMode};

/// Opens a file by its path; the first to do so makes it. With a size in bytes, which replaces the one known before,
/// accesses past its last page end in `SIGBUS`; of a file of unknown size everything can be accessed.
pub fn open<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    path: &str,
    mode: FileMode,
    size: Option<u64>,
) -> FileId {
    k.objects.open(path, mode, size.map(|size| size.div_ceil(A::PAGE_SIZE)))
}

/// Writes `byte` to `len` bytes of a file from `offset` on, as `pwrite` does; a file of known size grows by it.
///
/// # Errors
/// `EBADF` for no file that is open for writing, `EOVERFLOW` past the largest offset, `ENOMEM`.
pub fn pwrite<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    file: FileId,
    byte: u8,
    len: u64,
    offset: u64,
) -> Result<(), Errno> {
    let file = k.objects.fget(file)?;
    if !file.mode.contains(FileMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let end = offset.checked_add(len).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EOVERFLOW)?;
    let mut at = offset;
    while at < end {
        let within = at % A::PAGE_SIZE;
        let here = (A::PAGE_SIZE - within).min(end - at);
        let pfn = object_page_or_new(k, file.object, at >> A::PAGE_SHIFT)?;
        k.pt.pages.write(pfn, within as usize, here as usize, byte);
        k.pt.pages.set_dirty(FolioSpan { head: pfn, order: 0 }, true);
        at += here;
    }
    let grown = |size: u64| size.max(end.div_ceil(A::PAGE_SIZE));
    let size = k.objects.size(file.object).map(grown);
    k.objects.set_size(file.object, size);
    Ok(())
}

/// The page at an offset of an object, read from swap or made if it is not there.
pub(crate) fn object_page_or_new<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    id: ObjectId,
    pgoff: u64,
) -> Result<Pfn, Errno> {
    if let Some(pfn) = k.objects.page(id, pgoff) {
        return Ok(pfn);
    }
    if let Some(slot) = k.objects.swapped(id, pgoff) {
        return shmem_swapin_folio(k, (id, pgoff), slot);
    }
    let span = k.pt.alloc_folio(0).ok_or(Errno::ENOMEM)?;
    let pfn = span.head;
    k.pt.hw.event(Event::PagesZeroed(1));
    k.pt.pages.fill(pfn, 1, 0);
    k.objects.add_page(&mut k.pt.pages, (id, pgoff), span);
    Ok(pfn)
}
