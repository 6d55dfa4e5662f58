//! System V shared memory (`ipc/shm.c`, 7.3).

use crate::address_space::{ObjectKind, Segment, ShmId};
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mmap::{Request, do_mmap, unmap_range};
use crate::shmem::put_object;
use crate::vm_area::{FileId, Vma};
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::{Errno, FileMode, MapFlags, Prot, ShmFlags};

/// The key of a segment that cannot be found by its key.
const IPC_PRIVATE: u32 = 0;

/// Finds or makes a segment of `size` bytes (`shmget`). There are no limits on their number and size, and no permissions.
///
/// # Errors
/// `EINVAL` for a size of 0 or above the segment's, `ENOENT`, `EEXIST`, and `ENOMEM` for huge pages and more than could be.
pub fn shmget<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    key: u32,
    size: u64,
    flags: ShmFlags,
) -> Result<ShmId, Errno> {
    let found = k.objects.segments.all.iter().find(|(_, it)| key != IPC_PRIVATE && it.key == key);
    if let Some((&id, segment)) = found {
        if flags.contains(ShmFlags::CREAT | ShmFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        return if size > segment.size { Err(Errno::EINVAL) } else { Ok(id) };
    }
    if key != IPC_PRIVATE && !flags.contains(ShmFlags::CREAT) {
        return Err(Errno::ENOENT);
    }
    if size == 0 {
        return Err(Errno::EINVAL);
    }
    let pages = size.div_ceil(A::PAGE_SIZE);
    if flags.contains(ShmFlags::HUGETLB) || pages > k.pt.pages.total() {
        return Err(Errno::ENOMEM);
    }
    let object = k.objects.new_object(ObjectKind::Sysv(key), Some(pages));
    let id = k.objects.segments.next;
    k.objects.segments.next += 1;
    k.objects.segments.all.insert(id, Segment { key, object, size, removed: false });
    Ok(id)
}

/// Maps a segment and returns the address (`shmat`).
///
/// # Errors
/// `EINVAL` for no such segment, an address that is unaligned, or one that is taken; as `mmap` otherwise.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn shmat<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    id: ShmId,
    addr: VirtAddr,
    flags: ShmFlags,
) -> Result<VirtAddr, Errno> {
    let segment = *k.objects.segments.all.get(&id).ok_or(Errno::EINVAL)?;
    let len = segment.size.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    let addr = shmat_address::<A>(addr, flags)?;
    let mut map = MapFlags::SHARED;
    if addr.get() != 0 {
        map |= MapFlags::FIXED;
        let end = addr.checked_add(len).ok_or(Errno::EINVAL)?;
        if !flags.contains(ShmFlags::REMAP) && mm.vmas.intersects(addr, end) {
            return Err(Errno::EINVAL);
        }
    }
    let (mut prot, mut mode) = (Prot::READ, FileMode::READ);
    if !flags.contains(ShmFlags::RDONLY) {
        prot |= Prot::WRITE;
        mode |= FileMode::WRITE;
    }
    if flags.contains(ShmFlags::EXEC) {
        prot |= Prot::EXEC;
    }
    let file = k.objects.open_object(segment.object, mode);
    do_mmap(k, mm, &Request { addr, len, prot, flags: map, file: Some((file, 0)) })
}

fn shmat_address<A: Arch>(addr: VirtAddr, flags: ShmFlags) -> Result<VirtAddr, Errno> {
    if addr.get() == 0 {
        return if flags.contains(ShmFlags::REMAP) { Err(Errno::EINVAL) } else { Ok(addr) };
    }
    if addr.is_aligned(A::PAGE_SIZE) {
        return Ok(addr);
    }
    let down = addr.align_down(A::PAGE_SIZE);
    let senseless = down.get() == 0 && flags.contains(ShmFlags::REMAP);
    if flags.contains(ShmFlags::RND) && !senseless { Ok(down) } else { Err(Errno::EINVAL) }
}

/// Unmaps what is left of the segment that was mapped at `addr` (`shmdt`).
///
/// # Errors
/// `EINVAL` where none was.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn shmdt<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
) -> Result<(), Errno> {
    if !addr.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let first = mm.vmas.range(addr, VirtAddr::new(mm.task_size)).find(|vma| attached_at(k, vma, addr));
    let first = first.ok_or(Errno::EINVAL)?;
    let (file, object): (Option<FileId>, _) = (first.file, first.object);
    let pages = object.and_then(|object| k.objects.size(object)).unwrap_or(0);
    let end = addr.add(pages << A::PAGE_SHIFT);
    let parts: Vec<(VirtAddr, VirtAddr)> = mm
        .vmas
        .range(addr, end)
        .filter(|vma| attached_at(k, vma, addr) && vma.file == file)
        .map(|vma| (vma.start, vma.end))
        .collect();
    for (start, end) in parts {
        unmap_range(k, mm, start, end)?;
    }
    Ok(())
}

/// Whether a VMA is a piece of a segment that was mapped at `addr`.
fn attached_at<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma, addr: VirtAddr) -> bool {
    vma.start >= addr && vma.start.since(addr) >> A::PAGE_SHIFT == vma.pgoff && k.objects.has_close(vma)
}

/// Removes a segment: it goes with its last mapping (`shmctl(IPC_RMID)`). Until then it can still be mapped by its number, but
/// it is no longer found by its key.
///
/// # Errors
/// `EINVAL` for no such segment.
pub fn shm_rmid<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, id: ShmId) -> Result<(), Errno> {
    let segment = k.objects.segments.all.get_mut(&id).ok_or(Errno::EINVAL)?;
    segment.key = IPC_PRIVATE;
    if !std::mem::replace(&mut segment.removed, true) {
        let object = segment.object;
        put_object(k, Some(object));
    }
    Ok(())
}
