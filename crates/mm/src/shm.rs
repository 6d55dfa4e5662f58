//! System V shared memory (`ipc/shm.c`, 7.3).

use crate::mmap::Request;
use crate::shmem::ObjectKind;
use crate::vma::ObjectId;
use crate::{FileId, Kernel, Mm, Vma};
use ptelab_pgtable::{Arch, TableMemory, VirtAddr};
use ptelab_uapi::{Errno, FileMode, MapFlags, Prot, ShmFlags};
use std::collections::BTreeMap;

/// A segment, as `shmget` numbers them.
pub type ShmId = u32;

/// Key of a segment that nobody finds by its key.
const IPC_PRIVATE: u32 = 0;

#[derive(Clone, Copy, Debug)]
struct Segment {
    key: u32,
    object: ObjectId,
    /// As asked for, in bytes.
    size: u64,
    /// It goes with its last mapping (`SHM_DEST`).
    removed: bool,
}

/// All segments of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    all: BTreeMap<ShmId, Segment>,
    next: ShmId,
}

impl Segments {
    /// The object of a segment is gone, and so is the segment.
    pub(crate) fn forget(&mut self, object: ObjectId) {
        self.all.retain(|_, segment| segment.object != object);
    }
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Finds or makes a segment of `size` bytes (`shmget`). There are no limits on their number and size, and no permissions.
    ///
    /// # Errors
    /// `EINVAL` for a size of 0 or above the segment's, `ENOENT`, `EEXIST`, and `ENOMEM` for huge pages and more than could be.
    pub fn shmget(&mut self, key: u32, size: u64, flags: ShmFlags) -> Result<ShmId, Errno> {
        let found = self.segments.all.iter().find(|(_, it)| key != IPC_PRIVATE && it.key == key);
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
        if flags.contains(ShmFlags::HUGETLB) || pages > self.pages.total() {
            return Err(Errno::ENOMEM);
        }
        let object = self.new_object(ObjectKind::Sysv(key), Some(pages));
        let id = self.segments.next;
        self.segments.next += 1;
        self.segments.all.insert(id, Segment { key, object, size, removed: false });
        Ok(id)
    }

    /// Maps a segment and returns the address (`shmat`).
    ///
    /// # Errors
    /// `EINVAL` for no such segment, an address that is unaligned, or one that is taken; as `mmap` otherwise.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn shmat(
        &mut self,
        mm: &mut Mm,
        id: ShmId,
        addr: VirtAddr,
        flags: ShmFlags,
    ) -> Result<VirtAddr, Errno> {
        let segment = *self.segments.all.get(&id).ok_or(Errno::EINVAL)?;
        let len = segment.size.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let addr = Self::shmat_address(addr, flags)?;
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
        let file = self.open_object(segment.object, mode);
        self.do_mmap(mm, &Request { addr, len, prot, flags: map, file: Some((file, 0)) })
    }

    fn shmat_address(addr: VirtAddr, flags: ShmFlags) -> Result<VirtAddr, Errno> {
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
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn shmdt(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<(), Errno> {
        if !addr.is_aligned(A::PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let first = mm.vmas.range(addr, VirtAddr::new(A::TASK_SIZE)).find(|vma| self.attached_at(vma, addr));
        let first = first.ok_or(Errno::EINVAL)?;
        let (file, object): (Option<FileId>, _) = (first.file, first.object);
        let pages = object.and_then(|object| self.object_size(object)).unwrap_or(0);
        let end = addr.add(pages << A::PAGE_SHIFT);
        let parts: Vec<(VirtAddr, VirtAddr)> = mm
            .vmas
            .range(addr, end)
            .filter(|vma| self.attached_at(vma, addr) && vma.file == file)
            .map(|vma| (vma.start, vma.end))
            .collect();
        for (start, end) in parts {
            self.unmap_range(mm, start, end)?;
        }
        Ok(())
    }

    /// Whether a VMA is a piece of a segment that was mapped at `addr`.
    fn attached_at(&self, vma: &Vma, addr: VirtAddr) -> bool {
        vma.start >= addr && vma.start.since(addr) >> A::PAGE_SHIFT == vma.pgoff && self.has_close(vma)
    }

    /// Removes a segment: it goes with its last mapping (`shmctl(IPC_RMID)`). Until then who has its number can map it, but
    /// nobody finds it by its key.
    ///
    /// # Errors
    /// `EINVAL` for no such segment.
    pub fn shm_rmid(&mut self, id: ShmId) -> Result<(), Errno> {
        let segment = self.segments.all.get_mut(&id).ok_or(Errno::EINVAL)?;
        segment.key = IPC_PRIVATE;
        if !std::mem::replace(&mut segment.removed, true) {
            let object = segment.object;
            self.put_object(Some(object));
        }
        Ok(())
    }
}
