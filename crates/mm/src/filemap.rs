//! Files that are mapped: which there are, and their page cache (`mm/filemap.c`, 7.3).
//!
//! The cache holds order-0 folios, and those that were touched only: nothing is read ahead. A file that nobody wrote to holds
//! zeros. Nothing is written back.

use crate::shmem::ObjectKind;
use crate::vma::ObjectId;
use crate::{Kernel, Vma};
use ptelab_pgtable::{Arch, FolioSpan, TableMemory};
use ptelab_uapi::{Errno, FileMode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An open file (`struct file`): what `open` returned. Two of one path share their pages, but their mappings never merge.
pub type FileId = u32;

/// One open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFile {
    pub(crate) object: ObjectId,
    pub(crate) mode: FileMode,
}

/// All files of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    by_path: BTreeMap<Arc<str>, ObjectId>,
    open: Vec<OpenFile>,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Opens a file by its path; the first to do so makes it. With a size in bytes, which replaces the one known before,
    /// accesses past its last page end in `SIGBUS`; of a file of unknown size everything can be accessed.
    pub fn open(&mut self, path: &str, mode: FileMode, size: Option<u64>) -> FileId {
        let pages = size.map(|size| size.div_ceil(A::PAGE_SIZE));
        let known = self.files.by_path.get(path).copied();
        let object = known.unwrap_or_else(|| {
            let path: Arc<str> = path.into();
            let object = self.new_object(ObjectKind::File(path.clone()), pages);
            self.files.by_path.insert(path, object);
            object
        });
        if pages.is_some() {
            self.set_object_size(object, pages);
        }
        self.open_object(object, mode)
    }

    /// An open file on an object that is there.
    pub(crate) fn open_object(&mut self, object: ObjectId, mode: FileMode) -> FileId {
        self.files.open.push(OpenFile { object, mode });
        self.files.open.len() as FileId - 1
    }

    /// The open file of this number, if there is one.
    pub(crate) fn fget(&self, file: FileId) -> Result<OpenFile, Errno> {
        self.files.open.get(file as usize).copied().ok_or(Errno::EBADF)
    }

    /// Writes `byte` to `len` bytes of a file from `offset` on, as `pwrite` does; a file of known size grows by it.
    ///
    /// # Errors
    /// `EBADF` for no file that is open for writing, `EOVERFLOW` past the largest offset, `ENOMEM`.
    pub fn pwrite(&mut self, file: FileId, byte: u8, len: u64, offset: u64) -> Result<(), Errno> {
        let file = self.fget(file)?;
        if !file.mode.contains(FileMode::WRITE) {
            return Err(Errno::EBADF);
        }
        let end =
            offset.checked_add(len).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EOVERFLOW)?;
        let mut at = offset;
        while at < end {
            let within = at % A::PAGE_SIZE;
            let here = (A::PAGE_SIZE - within).min(end - at);
            let pfn = self.object_page_or_new(file.object, at >> A::PAGE_SHIFT)?;
            self.pages.write(pfn, within as usize, here as usize, byte);
            self.pages.set_dirty(FolioSpan { head: pfn, order: 0 }, true);
            at += here;
        }
        let grown = |size: u64| size.max(end.div_ceil(A::PAGE_SIZE));
        let size = self.object_size(file.object).map(grown);
        self.set_object_size(file.object, size);
        Ok(())
    }

    /// Whether the first write to a page of a shared mapping is told to its file system (`vm_ops->page_mkwrite`).
    pub(crate) fn has_page_mkwrite(&self, vma: &Vma) -> bool {
        vma.object.is_some_and(|object| matches!(self.object_kind(object), ObjectKind::File(_)))
    }

    /// Whether the end of a VMA has to be told to somebody (`vm_ops->close`).
    pub(crate) fn has_close(&self, vma: &Vma) -> bool {
        vma.object.is_some_and(|object| matches!(self.object_kind(object), ObjectKind::Sysv(_)))
    }
}
