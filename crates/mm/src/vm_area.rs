//! A mapping of an address space (`struct vm_area_struct`, `include/linux/mm_types.h`, 7.3).

use ptelab_pgtable::{PgProt, VirtAddr, VmFlags};
use ptelab_uapi::UffdFeatures;
use std::sync::Arc;

/// An anon_vma: what ties anonymous folios to the VMAs that may map them. Numbers are used again.
pub type AnonVmaId = u32;

/// What pages of mappings come from: a shared memory object or a file (`struct address_space`).
pub type ObjectId = u32;

/// An open file (`struct file`): what `open` returned. Two of one path share their pages, but their mappings never merge.
pub type FileId = u32;

/// `VM_LOCKED_MASK`.
pub(crate) const LOCKED_MASK: VmFlags = VmFlags::LOCKED.union(VmFlags::LOCKONFAULT);

/// The flags of memory that programs get without saying which (`VM_DATA_DEFAULT_FLAGS`).
pub(crate) const DATA_DEFAULT: VmFlags = VmFlags::READ
    .union(VmFlags::WRITE)
    .union(VmFlags::MAYREAD)
    .union(VmFlags::MAYWRITE)
    .union(VmFlags::MAYEXEC);

/// Flags that do not keep VMAs from merging (`VM_STICKY`).
pub(crate) const STICKY: VmFlags = VmFlags::SOFTDIRTY.union(VmFlags::MAYBE_GUARD);

/// Pages that stay free below a stack that grows (`stack_guard_gap`).
pub(crate) const STACK_GUARD_PAGES: u64 = 256;

/// One mapping of an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Flags.
    pub flags: VmFlags,
    /// The protection its new entries get (`vm_page_prot`).
    pub page_prot: PgProt,
    /// The anon_vma that its own new pages belong to, once it has any.
    pub anon_vma: Option<AnonVmaId>,
    /// All anon_vmas whose pages it may map: those of its forebears too.
    pub chain: Arc<[AnonVmaId]>,
    /// When it was last put into the trees of its anon_vmas ([`Rmap::insert`](crate::rmap::Rmap::insert)).
    pub(crate) rmap_seq: u64,
    /// Offset in pages of its first page: in the object, or where it was first mapped.
    pub pgoff: u64,
    /// What its pages come from: a shared object or a file. Private anonymous memory has none.
    pub object: Option<ObjectId>,
    /// The open file it was mapped from. Two of them map one file apart.
    pub file: Option<FileId>,
    /// The name that `PR_SET_VMA_ANON_NAME` gave it.
    pub anon_name: Option<Arc<str>>,
    /// The userfaultfd that it is registered with.
    pub uffd: Option<Userfaultfd>,
}

impl Vma {
    /// Private memory of no file, as it was first mapped; pages are of `1 << page_shift` bytes.
    pub(crate) fn anonymous(
        start: VirtAddr,
        end: VirtAddr,
        flags: VmFlags,
        page_prot: PgProt,
        page_shift: u32,
    ) -> Self {
        let pgoff = start.get() >> page_shift;
        let (chain, object, file, anon_name) = ([].into(), None, None, None);
        let (anon_vma, uffd) = (None, None);
        let rmap_seq = 0;
        Self { start, end, flags, page_prot, anon_vma, chain, rmap_seq, pgoff, object, file, anon_name, uffd }
    }

    /// Registers it for write protection, or ends that.
    pub(crate) fn set_uffd(&mut self, uffd: Option<Userfaultfd>) {
        self.uffd = uffd;
        self.flags.set(VmFlags::UFFD_WP, uffd.is_some());
    }

    /// Length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.since(self.start)
    }

    /// Never: a VMA holds at least a page.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Whether `addr` lies in it.
    #[inline]
    pub fn contains(&self, addr: VirtAddr) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether it is private anonymous memory (`vma_is_anonymous`).
    #[inline]
    pub const fn is_anonymous(&self) -> bool {
        self.object.is_none()
    }

    /// Page offset of an address in it, for pages of `1 << page_shift` bytes.
    #[inline]
    pub const fn pgoff_of(&self, addr: VirtAddr, page_shift: u32) -> u64 {
        self.pgoff + (addr.since(self.start) >> page_shift)
    }

    /// Registered for write protection (`userfaultfd_wp`).
    pub(crate) const fn uffd_wp(&self) -> bool {
        self.flags.contains(VmFlags::UFFD_WP)
    }

    /// Writes lift the protection instead of ending in a fault (`userfaultfd_wp_async`).
    pub(crate) fn uffd_wp_async(&self) -> bool {
        self.uffd.is_some_and(|uffd| uffd.features.contains(UffdFeatures::WP_ASYNC))
    }

    /// Pages that are not there are protected by markers (`userfaultfd_wp_use_markers`).
    pub(crate) fn uffd_wp_use_markers(&self) -> bool {
        let unpopulated = UffdFeatures::WP_UNPOPULATED | UffdFeatures::WP_ASYNC;
        self.uffd.is_some_and(|uffd| !self.is_anonymous() || uffd.features.intersects(unpopulated))
    }

    /// Where it begins, with the gap that is kept below a stack (`vm_start_gap`), for pages of `1 << page_shift` bytes.
    pub(crate) fn vm_start_gap(&self, page_shift: u32) -> VirtAddr {
        let gap = if self.flags.contains(VmFlags::GROWSDOWN) { STACK_GUARD_PAGES << page_shift } else { 0 };
        VirtAddr::new(self.start.get().saturating_sub(gap))
    }
}

/// The userfaultfd that a VMA is registered with (`struct userfaultfd_ctx`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Userfaultfd {
    /// What it was opened with.
    pub features: UffdFeatures,
    /// How many forks made it from one that a process opened: an inherited one is another than the process's own.
    forks: u32,
}

impl Userfaultfd {
    pub(crate) const fn open(features: UffdFeatures) -> Self {
        Self { features, forks: 0 }
    }

    /// What a child gets of it (`dup_userfaultfd`).
    pub(crate) fn forked(self) -> Option<Self> {
        let follows = self.features.contains(UffdFeatures::EVENT_FORK);
        follows.then_some(Self { forks: self.forks + 1, ..self })
    }

    /// Whether it stays where its memory is moved from (`vma_has_uffd_without_event_remap`).
    pub(crate) const fn stays_at_remap(self) -> bool {
        !self.features.contains(UffdFeatures::EVENT_REMAP)
    }
}
