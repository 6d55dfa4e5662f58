//! What pages of shared memory and of files are kept in: objects whose pages outlive any one mapping
//! (`mm/shmem.c`, `struct address_space`, 7.3).

use crate::Kernel;
use crate::vma::ObjectId;
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, TableMemory};
use ptelab_uapi::Errno;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose pages an object keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// A shared anonymous mapping's.
    Anonymous,
    /// A file's, by its path.
    File(Arc<str>),
    /// A System V segment's, by its key.
    Sysv(u32),
    /// The kernel's own, shown by this name.
    Special(Arc<str>),
}

/// One object: its pages by page offset, and how many hold on to it.
#[derive(Clone, Debug)]
struct Object {
    kind: ObjectKind,
    pages: BTreeMap<u64, Pfn>,
    /// Its size, in pages; `None` where nobody knows. A mapping may be larger, but nothing is there.
    size: Option<u64>,
    /// VMAs that map it; a file or a segment that can be mapped again counts one.
    users: u32,
}

/// All objects of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    all: Vec<Object>,
    free: Vec<ObjectId>,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A new object of so many pages, that one user has.
    pub(crate) fn new_object(&mut self, kind: ObjectKind, size: Option<u64>) -> ObjectId {
        let object = Object { kind, pages: BTreeMap::new(), size, users: 1 };
        if let Some(id) = self.objects.free.pop() {
            self.objects.all[id as usize] = object;
            return id;
        }
        self.objects.all.push(object);
        self.objects.all.len() as ObjectId - 1
    }

    /// One more user of the object.
    pub(crate) fn get_object(&mut self, id: Option<ObjectId>) {
        if let Some(id) = id {
            self.objects.all[id as usize].users += 1;
        }
    }

    /// One user less of the object; the last takes its pages along.
    pub(crate) fn put_object(&mut self, id: Option<ObjectId>) {
        let Some(id) = id else { return };
        let object = &mut self.objects.all[id as usize];
        object.users -= 1;
        if object.users > 0 {
            return;
        }
        let pages = std::mem::take(&mut object.pages);
        self.objects.free.push(id);
        self.segments.forget(id);
        for pfn in pages.into_values() {
            let span = FolioSpan { head: pfn, order: 0 };
            self.pages.uncache(span);
            if self.pages.folio_ref_count(span) == 0 {
                self.pages.free(span);
            }
        }
    }

    /// Whose pages an object keeps.
    pub(crate) fn object_kind(&self, id: ObjectId) -> &ObjectKind {
        &self.objects.all[id as usize].kind
    }

    /// The size of an object in pages, where it is known.
    pub(crate) fn object_size(&self, id: ObjectId) -> Option<u64> {
        self.objects.all[id as usize].size
    }

    /// Gives an object another size, in pages.
    pub(crate) fn set_object_size(&mut self, id: ObjectId, size: Option<u64>) {
        self.objects.all[id as usize].size = size;
    }

    /// Whether an offset lies in an object, as far as that is known.
    pub(crate) fn object_has(&self, id: ObjectId, pgoff: u64) -> bool {
        self.object_size(id).is_none_or(|size| pgoff < size)
    }

    /// The page at an offset of an object, if it is there.
    pub(crate) fn object_page(&self, id: ObjectId, pgoff: u64) -> Option<Pfn> {
        self.objects.all[id as usize].pages.get(&pgoff).copied()
    }

    /// Puts another page in the place of one that an object keeps.
    pub(crate) fn set_object_page(&mut self, id: ObjectId, pgoff: u64, pfn: Pfn) {
        self.objects.all[id as usize].pages.insert(pgoff, pfn);
    }

    /// The page at an offset of an object, made if it is not there.
    pub(crate) fn object_page_or_new(&mut self, id: ObjectId, pgoff: u64) -> Result<Pfn, Errno> {
        if let Some(pfn) = self.object_page(id, pgoff) {
            return Ok(pfn);
        }
        let span = self.alloc_folio(0).ok_or(Errno::ENOMEM)?;
        let pfn = span.head;
        self.hw.event(Event::PagesZeroed(1));
        self.pages.fill(pfn, 1, 0);
        self.pages.set_cached(span, id, pgoff);
        self.objects.all[id as usize].pages.insert(pgoff, pfn);
        Ok(pfn)
    }
}
