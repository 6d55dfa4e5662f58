//! Shared anonymous memory: objects whose pages outlive any one mapping (`mm/shmem.c`, 7.3).

use crate::vma::ObjectId;
use crate::{Errno, Kernel};
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, TableMemory};
use std::collections::BTreeMap;

/// One object: its pages by page offset, and how many VMAs map it.
#[derive(Clone, Debug, Default)]
struct Object {
    pages: BTreeMap<u64, Pfn>,
    /// Its size, in pages. A mapping may be larger, but nothing is there.
    size: u64,
    mappings: u32,
}

/// All objects of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    all: Vec<Object>,
    free: Vec<ObjectId>,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A new object of so many pages, that one VMA maps.
    pub(crate) fn new_object(&mut self, size: u64) -> ObjectId {
        let object = Object { mappings: 1, size, ..Object::default() };
        if let Some(id) = self.objects.free.pop() {
            self.objects.all[id as usize] = object;
            return id;
        }
        self.objects.all.push(object);
        self.objects.all.len() as ObjectId - 1
    }

    /// One more VMA maps the object.
    pub(crate) fn get_object(&mut self, id: Option<ObjectId>) {
        if let Some(id) = id {
            self.objects.all[id as usize].mappings += 1;
        }
    }

    /// One VMA less maps the object; the last takes its pages along.
    pub(crate) fn put_object(&mut self, id: Option<ObjectId>) {
        let Some(id) = id else { return };
        let object = &mut self.objects.all[id as usize];
        object.mappings -= 1;
        if object.mappings > 0 {
            return;
        }
        let pages = std::mem::take(&mut object.pages);
        self.objects.free.push(id);
        for pfn in pages.into_values() {
            let span = FolioSpan { head: pfn, order: 0 };
            self.pages.uncache(span);
            if self.pages.folio_ref_count(span) == 0 {
                self.pages.free(span);
            }
        }
    }

    /// Whether an offset lies in an object.
    pub(crate) fn object_has(&self, id: ObjectId, pgoff: u64) -> bool {
        pgoff < self.objects.all[id as usize].size
    }

    /// The page at an offset of an object, if it is there.
    pub(crate) fn object_page(&self, id: ObjectId, pgoff: u64) -> Option<Pfn> {
        self.objects.all[id as usize].pages.get(&pgoff).copied()
    }

    /// The page at an offset of an object, made if it is not there.
    pub(crate) fn object_page_or_new(&mut self, id: ObjectId, pgoff: u64) -> Result<Pfn, Errno> {
        if let Some(pfn) = self.object_page(id, pgoff) {
            return Ok(pfn);
        }
        let span = self.alloc_folio(0).ok_or(Errno::Enomem)?;
        let pfn = span.head;
        self.hw.event(Event::PagesZeroed(1));
        self.pages.fill(pfn, 1, 0);
        self.pages.set_cached(span, id, pgoff);
        self.objects.all[id as usize].pages.insert(pgoff, pfn);
        Ok(pfn)
    }
}
