//! An address space and its mappings (`include/linux/mm_types.h`, 7.3).

use crate::pages::MmId;
use crate::vma_tree::VmaTree;
use ptelab_pgtable::{PgProt, Ptep, VirtAddr, VmFlags};
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
        Self { start, end, flags, page_prot, anon_vma, chain, pgoff, object, file, anon_name, uffd }
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
    pub fn contains(&self, addr: VirtAddr) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether it is private anonymous memory (`vma_is_anonymous`).
    pub const fn is_anonymous(&self) -> bool {
        self.object.is_none()
    }

    /// Page offset of an address in it, for pages of `1 << page_shift` bytes.
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

/// One address space.
#[derive(Clone, Debug)]
pub struct Mm {
    /// The name by which page structs know it.
    pub id: MmId,
    /// Its VMAs.
    pub vmas: VmaTree,
    /// Root table.
    pub pgd: Ptep,
    /// Tables below the root.
    pub(crate) tables: u64,
    /// Where the heap begins and ends.
    pub(crate) brk: Brk,
    /// An address in the first stack, if it has one.
    pub(crate) start_stack: VirtAddr,
    /// Flags that every new VMA gets (`def_flags`).
    pub(crate) def_flags: VmFlags,
    /// What `PR_SET_THP_DISABLE` said.
    pub(crate) thp_disable: ThpDisable,
    pub(crate) pkeys: Pkeys,
}

impl Mm {
    /// `prctl(PR_GET_THP_DISABLE)`: 1, with the flags that it was set with.
    pub const fn thp_disable(&self) -> u64 {
        match self.thp_disable {
            ThpDisable::No => 0,
            ThpDisable::Completely => 1,
            ThpDisable::ExceptAdvised => 1 | EXCEPT_ADVISED,
        }
    }

    /// Says where the heap of an address space begins, and ends for now: what `execve` does, and what the first `brk(NULL)` of a
    /// program returns. Nothing is mapped.
    pub fn set_brk(&mut self, start: VirtAddr, end: VirtAddr) {
        self.brk = Brk { start, end: end.max(start) };
    }

    /// Whether a VMA is the heap as /proc shows it (`vma_is_initial_heap`, `include/linux/mm.h`).
    pub(crate) fn is_initial_heap(&self, vma: &Vma) -> bool {
        vma.start < self.brk.end && vma.end > self.brk.start
    }

    /// Whether a VMA is the first stack as /proc shows it (`vma_is_initial_stack`).
    pub(crate) fn is_initial_stack(&self, vma: &Vma) -> bool {
        let stack = self.start_stack;
        stack.get() != 0 && vma.start <= stack && vma.end >= stack
    }
}

/// Where the heap begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brk {
    /// `mm->start_brk`.
    pub(crate) start: VirtAddr,
    /// `mm->brk`, which may lie inside a page.
    pub(crate) end: VirtAddr,
}

/// `PR_THP_DISABLE_EXCEPT_ADVISED` (`include/uapi/linux/prctl.h`, 7.3).
pub(crate) const EXCEPT_ADVISED: u64 = 1 << 1;

/// What `PR_SET_THP_DISABLE` said (`MMF_DISABLE_THP_*`). Children and what they execute inherit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum ThpDisable {
    /// Huge pages as the settings say.
    #[default]
    No,
    /// None at all.
    Completely,
    /// Only where `MADV_HUGEPAGE` asked (`PR_THP_DISABLE_EXCEPT_ADVISED`).
    ExceptAdvised,
}

impl ThpDisable {
    /// Whether memory with these flags may have no huge pages (`vma_thp_disabled`, `include/linux/huge_mm.h`).
    pub(crate) const fn disables(self, flags: VmFlags) -> bool {
        flags.contains(VmFlags::NOHUGEPAGE)
            || match self {
                Self::No => false,
                Self::Completely => true,
                Self::ExceptAdvised => !flags.contains(VmFlags::HUGEPAGE),
            }
    }
}

/// Which keys a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pkeys {
    /// A bit for each key.
    pub(crate) allocated: u16,
    /// The hidden one for memory that may only be executed, of those allocated.
    pub(crate) execute_only: Option<u8>,
}

impl Default for Pkeys {
    /// Key 0 is there from the start.
    fn default() -> Self {
        Self { allocated: 1, execute_only: None }
    }
}

impl Pkeys {
    pub(crate) fn alloc(&mut self, count: u8) -> Option<u8> {
        let key = (0..count.min(16)).find(|key| self.allocated & 1 << key == 0)?;
        self.allocated |= 1 << key;
        Some(key)
    }

    pub(crate) const fn has(self, key: u8) -> bool {
        self.allocated & 1 << key != 0 && !matches!(self.execute_only, Some(hidden) if hidden == key)
    }
}
