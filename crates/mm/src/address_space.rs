//! What pages of shared memory, files and segments are kept in: objects whose pages outlive any one mapping (`struct
//! address_space`, 7.3).

use crate::pages::Pages;
use crate::vm_area::{FileId, ObjectId, Vma};
use ptelab_pgtable::{FolioSpan, Pfn, SoftLeaf};
use ptelab_uapi::{Errno, FileMode};
use std::collections::BTreeMap;
use std::ops::Range;
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
    /// Pages of shared memory that are in swap, by page offset; they are not among the others.
    swapped: BTreeMap<u64, SoftLeaf>,
    /// Its size, in pages; `None` where it is unknown. A mapping may be larger, but nothing is there.
    size: Option<u64>,
    /// VMAs that map it; a file or a segment that can be mapped again counts one.
    users: u32,
}

/// Pages of an object that are to go, from one page offset to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub(crate) object: ObjectId,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// All objects of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    /// What calls asked for that the machine has not done yet.
    pub(crate) holes: Vec<Hole>,
    all: Vec<Object>,
    free: Vec<ObjectId>,
    files: Files,
    pub(crate) segments: Segments,
}

impl Objects {
    /// A new object of so many pages, that one user has.
    pub(crate) fn new_object(&mut self, kind: ObjectKind, size: Option<u64>) -> ObjectId {
        let object = Object { kind, pages: BTreeMap::new(), swapped: BTreeMap::new(), size, users: 1 };
        if let Some(id) = self.free.pop() {
            self.all[id as usize] = object;
            return id;
        }
        self.all.push(object);
        self.all.len() as ObjectId - 1
    }

    /// The same objects with no page kept.
    pub(crate) fn without_pages(&self) -> Self {
        let empty = |object: &Object| {
            let (pages, swapped) = (BTreeMap::new(), BTreeMap::new());
            Object { pages, swapped, kind: object.kind.clone(), ..*object }
        };
        let Self { all, holes, free, files, segments } = self;
        Self {
            all: all.iter().map(empty).collect(),
            holes: holes.clone(),
            free: free.clone(),
            files: files.clone(),
            segments: segments.clone(),
        }
    }

    /// One more user of an object.
    pub(crate) fn get(&mut self, id: Option<ObjectId>) {
        if let Some(id) = id {
            self.all[id as usize].users += 1;
        }
    }

    /// One user less of an object; the last takes its pages along. The slots of those that are in swap are for the caller to free.
    #[must_use]
    pub(crate) fn put(&mut self, pages: &mut Pages, id: Option<ObjectId>) -> Vec<SoftLeaf> {
        let Some(id) = id else { return Vec::new() };
        let object = &mut self.all[id as usize];
        object.users -= 1;
        if object.users > 0 {
            return Vec::new();
        }
        self.free.push(id);
        self.segments.forget(id);
        let object = &mut self.all[id as usize];
        for head in std::mem::take(&mut object.pages).into_values() {
            let_go(pages, head);
        }
        std::mem::take(&mut object.swapped).into_values().collect()
    }

    /// An object forgets the page at an offset.
    pub(crate) fn drop_page(&mut self, pages: &mut Pages, id: ObjectId, pgoff: u64) {
        if let Some(head) = self.all[id as usize].pages.remove(&pgoff) {
            let_go(pages, head);
        }
    }

    /// The pages that are there in a hole.
    pub(crate) fn pages_in(&self, hole: &Hole) -> impl Iterator<Item = Pfn> {
        self.all[hole.object as usize].pages.range(hole.start..hole.end).map(|(_, &page)| page)
    }

    /// Frees the pages of a hole. The slots of those that are in swap are for the caller to free.
    #[must_use]
    pub(crate) fn punch(&mut self, pages: &mut Pages, hole: &Hole) -> Vec<SoftLeaf> {
        let Object { pages: kept, swapped, .. } = &mut self.all[hole.object as usize];
        for head in cut_out(kept, hole).into_values() {
            let_go(pages, head);
        }
        cut_out(swapped, hole).into_values().collect()
    }

    /// Whether an object is shared memory, which goes to swap (`shmem_mapping`).
    pub(crate) fn is_shmem(&self, id: ObjectId) -> bool {
        matches!(self.kind(id), ObjectKind::Anonymous | ObjectKind::Sysv(_))
    }

    /// The slot of a page of an object that is in swap.
    pub(crate) fn swapped(&self, id: ObjectId, pgoff: u64) -> Option<SoftLeaf> {
        self.all[id as usize].swapped.get(&pgoff).copied()
    }

    /// Whether an object has any page of a range, in memory or in swap.
    pub(crate) fn has_any(&self, id: ObjectId, pgoffs: Range<u64>) -> bool {
        let Object { pages, swapped, .. } = &self.all[id as usize];
        pages.range(pgoffs.clone()).next().is_some() || swapped.range(pgoffs).next().is_some()
    }

    /// The slots of an object's pages in a range that are in swap.
    pub(crate) fn swapped_in(&self, id: ObjectId, pgoffs: Range<u64>) -> impl Iterator<Item = SoftLeaf> {
        self.all[id as usize].swapped.range(pgoffs).map(|(_, &slot)| slot)
    }

    /// A page of an object is in swap from now on.
    pub(crate) fn set_swapped(&mut self, id: ObjectId, pgoff: u64, slot: SoftLeaf) {
        self.all[id as usize].swapped.insert(pgoff, slot);
    }

    /// Whose pages an object keeps.
    pub(crate) fn kind(&self, id: ObjectId) -> &ObjectKind {
        &self.all[id as usize].kind
    }

    /// The size of an object in pages, where it is known.
    pub(crate) fn size(&self, id: ObjectId) -> Option<u64> {
        self.all[id as usize].size
    }

    /// Gives an object another size, in pages.
    pub(crate) fn set_size(&mut self, id: ObjectId, size: Option<u64>) {
        self.all[id as usize].size = size;
    }

    /// Whether an offset lies in an object, as far as that is known.
    pub(crate) fn has(&self, id: ObjectId, pgoff: u64) -> bool {
        self.size(id).is_none_or(|size| pgoff < size)
    }

    /// The page at an offset of an object, if it is there.
    pub(crate) fn page(&self, id: ObjectId, pgoff: u64) -> Option<Pfn> {
        self.all[id as usize].pages.get(&pgoff).copied()
    }

    /// Puts a page at an offset of an object, in the place of the one or of the slot that is there.
    pub(crate) fn set_page(&mut self, id: ObjectId, pgoff: u64, pfn: Pfn) {
        let Object { pages, swapped, .. } = &mut self.all[id as usize];
        swapped.remove(&pgoff);
        pages.insert(pgoff, pfn);
    }

    /// Keeps a page at an offset of an object from now on.
    pub(crate) fn add_page(&mut self, pages: &mut Pages, (id, pgoff): (ObjectId, u64), page: FolioSpan) {
        pages.set_cached(page, id, pgoff);
        self.set_page(id, pgoff, page.head);
    }

    /// Opens a file by its path; the first to do so makes it. A size, in pages, replaces the one known before.
    pub(crate) fn open(&mut self, path: &str, mode: FileMode, size: Option<u64>) -> FileId {
        let object = self.files.by_path.get(path).copied().unwrap_or_else(|| {
            let path: Arc<str> = path.into();
            let object = self.new_object(ObjectKind::File(path.clone()), size);
            self.files.by_path.insert(path, object);
            object
        });
        if size.is_some() {
            self.set_size(object, size);
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

    /// Whether the first write to a page of a shared mapping is told to its file system (`vm_ops->page_mkwrite`).
    pub(crate) fn has_page_mkwrite(&self, vma: &Vma) -> bool {
        vma.object.is_some_and(|object| matches!(self.kind(object), ObjectKind::File(_)))
    }

    /// Whether something has to learn of the end of a VMA (`vm_ops->close`).
    pub(crate) fn has_close(&self, vma: &Vma) -> bool {
        vma.object.is_some_and(|object| matches!(self.kind(object), ObjectKind::Sysv(_)))
    }
}

/// Takes out what lies in a hole.
fn cut_out<T>(all: &mut BTreeMap<u64, T>, hole: &Hole) -> BTreeMap<u64, T> {
    let mut gone = all.split_off(&hole.start);
    all.append(&mut gone.split_off(&hole.end));
    gone
}

/// A page is kept by its object no more.
fn let_go(pages: &mut Pages, head: Pfn) {
    let span = FolioSpan { head, order: 0 };
    pages.uncache(span);
    pages.free_unused(span);
}

/// One open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFile {
    pub(crate) object: ObjectId,
    pub(crate) mode: FileMode,
}

/// All files of a machine.
#[derive(Clone, Debug, Default)]
struct Files {
    by_path: BTreeMap<Arc<str>, ObjectId>,
    open: Vec<OpenFile>,
}

/// A segment, as `shmget` numbers them.
pub type ShmId = u32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) key: u32,
    pub(crate) object: ObjectId,
    /// As asked for, in bytes.
    pub(crate) size: u64,
    /// It goes with its last mapping (`SHM_DEST`).
    pub(crate) removed: bool,
}

/// All segments of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    pub(crate) all: BTreeMap<ShmId, Segment>,
    pub(crate) next: ShmId,
}

impl Segments {
    /// The object of a segment is gone, and so is the segment.
    pub(crate) fn forget(&mut self, object: ObjectId) {
        self.all.retain(|_, segment| segment.object != object);
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectKind, Objects};
    use crate::tables::tests::machine;
    use ptelab_pgtable::{SoftFlags, SoftLeaf};
    use ptelab_uapi::{Errno, FileMode};

    #[test]
    fn the_last_user_takes_the_pages_along() {
        let (mut pt, _) = machine();
        let mut objects = Objects::default();
        let object = objects.new_object(ObjectKind::Anonymous, Some(4));
        let page = pt.alloc_folio(0).expect("there is memory");
        pt.pages.set_cached(page, object, 2);
        objects.set_page(object, 2, page.head);
        objects.get(Some(object));
        let slot = SoftLeaf { ty: 0, offset: 7, flags: SoftFlags::empty() };
        objects.set_swapped(object, 3, slot);
        assert_eq!(objects.put(&mut pt.pages, Some(object)), []);
        assert_eq!((objects.page(object, 2), pt.pages.used()), (Some(page.head), 1));
        assert_eq!(objects.put(&mut pt.pages, Some(object)), [slot]);
        assert_eq!((objects.page(object, 2), pt.pages.used()), (None, 0));
        assert_eq!(objects.new_object(ObjectKind::Anonymous, None), object, "its number is used again");
    }

    #[test]
    fn a_path_is_one_object_however_often_it_is_opened() {
        let mut objects = Objects::default();
        let one = objects.open("/a", FileMode::READ, None);
        let two = objects.open("/a", FileMode::WRITE, Some(3));
        let other = objects.open("/b", FileMode::READ, None);
        let object = |file| objects.fget(file).expect("open").object;
        assert!(one != two && object(one) == object(two) && object(one) != object(other));
        assert!(objects.has(object(one), 2) && !objects.has(object(one), 3), "the size is known now");
        assert!(objects.has(object(other), u64::MAX), "of unknown size, all is there");
        assert_eq!(objects.fget(9).err(), Some(Errno::EBADF));
    }
}
