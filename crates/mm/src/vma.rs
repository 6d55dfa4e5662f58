//! VMAs: the tree, and when they split and merge (`mm/vma.c`, 7.3).

use crate::{FileId, Kernel, Mm, Userfaultfd};
use ptelab_pgtable::{Arch, Event, Level, PgProt, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An anon_vma: what ties anonymous folios to the VMAs that may map them. Numbers are used again.
pub type AnonVmaId = u32;
/// What pages of mappings come from: a shared memory object or a file (`struct address_space`).
pub type ObjectId = u32;

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
}

/// The VMAs of an address space, by start address.
#[derive(Clone, Debug, Default)]
pub struct VmaTree {
    by_start: BTreeMap<VirtAddr, Vma>,
    bytes: u64,
}

impl VmaTree {
    /// All of them, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.by_start.values()
    }

    /// Bytes that they hold (`total_vm`).
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Vma> {
        self.by_start.values_mut()
    }

    /// How many there are (`map_count`).
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// The VMA that holds `addr`.
    pub fn find(&self, addr: VirtAddr) -> Option<&Vma> {
        self.by_start.range(..=addr).next_back().map(|(_, vma)| vma).filter(|vma| vma.contains(addr))
    }

    /// The first VMA that ends above `addr` (`find_vma`).
    pub fn find_or_next(&self, addr: VirtAddr) -> Option<&Vma> {
        self.find(addr).or_else(|| self.by_start.range(addr..).next().map(|(_, vma)| vma))
    }

    /// The VMA before the one that starts at `start`, or before the gap that does.
    pub fn before(&self, start: VirtAddr) -> Option<&Vma> {
        self.by_start.range(..start).next_back().map(|(_, vma)| vma)
    }

    /// VMAs that intersect a range, ascending.
    pub fn range(&self, start: VirtAddr, end: VirtAddr) -> impl Iterator<Item = &Vma> {
        let first = self.find(start).filter(|_| start < end).map_or(start, |vma| vma.start);
        self.by_start.range(first..end.max(first)).map(|(_, vma)| vma)
    }

    /// Whether anything is mapped in a range.
    pub fn intersects(&self, start: VirtAddr, end: VirtAddr) -> bool {
        self.range(start, end).next().is_some()
    }

    pub(crate) fn at(&self, start: VirtAddr) -> &Vma {
        &self.by_start[&start]
    }

    pub(crate) fn at_mut(&mut self, start: VirtAddr) -> &mut Vma {
        self.by_start.get_mut(&start).expect("the VMA was just found")
    }

    pub(crate) fn insert(&mut self, vma: Vma) {
        self.bytes += vma.end.since(vma.start);
        let known = self.by_start.insert(vma.start, vma);
        debug_assert!(known.is_none(), "VMAs do not overlap");
    }

    pub(crate) fn remove(&mut self, start: VirtAddr) -> Option<Vma> {
        let vma = self.by_start.remove(&start)?;
        self.bytes -= vma.end.since(vma.start);
        Some(vma)
    }

    /// The VMA that starts at `start` ends at `end`, which is inside it, from now on.
    pub(crate) fn shorten(&mut self, start: VirtAddr, end: VirtAddr) {
        let vma = self.at_mut(start);
        let gone = vma.end.since(end);
        vma.end = end;
        self.bytes -= gone;
    }
}

/// What VMAs must have in common to become one, apart from lying side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Likeness<'a> {
    pub(crate) flags: VmFlags,
    pub(crate) anon_vma: Option<AnonVmaId>,
    /// Its pages may belong to forebears, too.
    pub(crate) forked: bool,
    pub(crate) object: Option<ObjectId>,
    pub(crate) file: Option<FileId>,
    pub(crate) anon_name: Option<&'a str>,
    pub(crate) uffd: Option<Userfaultfd>,
    /// Page offset of the first page.
    pub(crate) pgoff: u64,
}

impl<'a> Likeness<'a> {
    pub(crate) fn of(vma: &'a Vma) -> Self {
        Self {
            flags: vma.flags,
            anon_vma: vma.anon_vma,
            forked: vma.chain.len() > 1,
            object: vma.object,
            file: vma.file,
            anon_name: vma.anon_name.as_deref(),
            uffd: vma.uffd,
            pgoff: vma.pgoff,
        }
    }

    /// Whether a VMA like this may merge with `other`, `pages_between` pages after its start (or before, negative).
    fn merges(self, other: Likeness<'_>, sticky: VmFlags, pages_between: i64) -> bool {
        (self.flags ^ other.flags).difference(sticky).is_empty()
            && !self.flags.intersects(VmFlags::SPECIAL)
            && (self.object, self.file) == (other.object, other.file)
            && self.anon_name == other.anon_name
            && self.uffd == other.uffd
            && self.pgoff.wrapping_add_signed(pages_between) == other.pgoff
            && self.anon_compatible(other)
    }

    /// The same anon_vma; or only one has any, and its pages are its own.
    fn anon_compatible(self, other: Likeness<'_>) -> bool {
        match (self.anon_vma, other.anon_vma) {
            (Some(_), None) => !self.forked,
            (None, Some(_)) => !other.forked,
            (a, b) => a == b,
        }
    }
}

/// Flags that do not keep VMAs from merging (`VM_STICKY`).
pub(crate) const STICKY: VmFlags = VmFlags::SOFTDIRTY.union(VmFlags::MAYBE_GUARD);

/// Which neighbours a range of VMA space merges with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) prev: Option<VirtAddr>,
    pub(crate) next: Option<VirtAddr>,
}

impl Neighbours {
    const fn any(self) -> bool {
        self.prev.is_some() || self.next.is_some()
    }
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// The neighbours that `start..end`, once it is `like`, merges with. `left` and `right` say whether the range touches
    /// them.
    fn mergeable(
        &self,
        mm: &Mm,
        (start, end): (VirtAddr, VirtAddr),
        like: Likeness<'_>,
        (left, right): (bool, bool),
    ) -> Neighbours {
        let sticky = self.sticky_flags();
        let pages = |from: VirtAddr, to: VirtAddr| (to.since(from) >> A::PAGE_SHIFT) as i64;
        let prev = mm.vmas.before(start).filter(|vma| left && vma.end == start);
        let prev =
            prev.filter(|vma| Likeness::of(vma).merges(like, sticky, pages(vma.start, start))).cloned();
        let next = if right { mm.vmas.by_start.get(&end) } else { None };
        let next = next.filter(|vma| like.merges(Likeness::of(vma), sticky, pages(start, end)));
        let mut found =
            Neighbours { prev: prev.as_ref().map(|vma| vma.start), next: next.map(|vma| vma.start) };
        if let (Some(prev), Some(next)) = (prev, next)
            && !Likeness::of(&prev).anon_compatible(Likeness::of(next))
        {
            found.next = None;
        }
        found
    }

    const fn sticky_flags(&self) -> VmFlags {
        if self.rules.guard_vma_flag { STICKY } else { VmFlags::SOFTDIRTY }
    }

    /// Gives `start..end` of the VMA that holds it new flags, merging with neighbours or splitting the VMA. Returns the start of
    /// the VMA that holds the range now (`vma_modify_flags`). The protection is the caller's to set.
    pub(crate) fn vma_modify(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        end: VirtAddr,
        flags: VmFlags,
    ) -> Result<VirtAddr, Errno> {
        self.vma_modify_as(mm, (start, end), |vma| vma.flags = flags)
    }

    /// The same for whatever keeps VMAs from merging: flags, name, userfaultfd (`vma_modify`).
    pub(crate) fn vma_modify_as(
        &mut self,
        mm: &mut Mm,
        (start, end): (VirtAddr, VirtAddr),
        change: impl FnOnce(&mut Vma),
    ) -> Result<VirtAddr, Errno> {
        let vma = mm.vmas.find(start).expect("the caller found it").clone();
        let pgoff = vma.pgoff_of(start, A::PAGE_SHIFT);
        let mut changed = Vma { start, end, pgoff, ..vma.clone() };
        change(&mut changed);
        let edges = (start == vma.start, end == vma.end);
        let found = self.mergeable(mm, (start, end), Likeness::of(&changed), edges);
        let found = self.removable(mm, &vma, edges, found);
        if found.any() {
            self.adjust_trans_huge(mm, &[start, end]);
            return Ok(self.merge_existing(mm, &vma, &changed, found));
        }
        if edges != (true, true) {
            self.hw.event(Event::VmaDivided);
            if mm.vmas.len() == 1 {
                self.hw.event(Event::VmaTreeGrown);
            }
        }
        if !edges.0 {
            self.split_vma(mm, vma.start, start)?;
        }
        if !edges.1 {
            self.split_vma(mm, start, end)?;
        }
        let vma = mm.vmas.at_mut(start);
        *vma = Vma { start, end: vma.end, ..changed };
        Ok(start)
    }

    /// Of the neighbours found, those that `vma` may merge with without a VMA going away that must be told of its end
    /// (`can_merge_remove_vma`).
    fn removable(&self, mm: &Mm, vma: &Vma, edges: (bool, bool), mut found: Neighbours) -> Neighbours {
        if edges == (true, true) && self.has_close(vma) {
            return Neighbours::default();
        }
        if found.prev.is_some() && found.next.is_some_and(|next| self.has_close(mm.vmas.at(next))) {
            found.next = None;
        }
        found
    }

    /// Moves `changed`, which is a part of `vma` as it is to be, into its neighbours; returns the start of the VMA that holds
    /// it then.
    fn merge_existing(&mut self, mm: &mut Mm, vma: &Vma, changed: &Vma, found: Neighbours) -> VirtAddr {
        self.hw.event(Event::VmaMerge);
        let (start, end) = (changed.start, changed.end);
        mm.vmas.remove(vma.start);
        if start > vma.start {
            mm.vmas.insert(Vma { end: start, ..vma.clone() });
        }
        if end < vma.end {
            let pgoff = vma.pgoff_of(end, A::PAGE_SHIFT);
            mm.vmas.insert(Vma { start: end, pgoff, ..vma.clone() });
        }
        if start > vma.start || end < vma.end {
            self.hold(changed);
        }
        let whole = start == vma.start && end == vma.end;
        let others = usize::from(found.prev.is_some()) + usize::from(found.next.is_some());
        self.hw.event(Event::VmasRemoved((others + usize::from(whole) - 1) as u32));
        let at = self.join(mm, changed, found);
        if mm.vmas.len() == 1 {
            self.hw.event(Event::VmaTreeShrunk);
        }
        if !self.rules.sticky_vma_flags {
            mm.vmas.at_mut(at).flags = changed.flags;
        }
        at
    }

    /// Makes `middle` and the neighbours found one VMA.
    fn join(&mut self, mm: &mut Mm, middle: &Vma, found: Neighbours) -> VirtAddr {
        let prev = found.prev.and_then(|at| mm.vmas.remove(at));
        let next = found.next.and_then(|at| mm.vmas.remove(at));
        let grown = prev.as_ref().or(next.as_ref()).expect("something to merge with");
        let parts = [prev.as_ref(), Some(middle), next.as_ref()];
        let parts = || parts.into_iter().flatten();
        let mut flags = grown.flags;
        if self.rules.sticky_vma_flags {
            flags |= parts().fold(VmFlags::empty(), |all, vma| all | vma.flags & STICKY);
        }
        let owner = parts().find(|vma| vma.anon_vma.is_some()).unwrap_or(grown);
        let first = prev.as_ref().unwrap_or(middle);
        let joined = Vma {
            start: first.start,
            end: next.as_ref().unwrap_or(middle).end,
            flags,
            page_prot: grown.page_prot,
            anon_vma: owner.anon_vma,
            chain: owner.chain.clone(),
            pgoff: first.pgoff,
            object: first.object,
            file: first.file,
            anon_name: first.anon_name.clone(),
            uffd: first.uffd,
        };
        self.hold(&joined);
        for part in parts() {
            self.release(part);
        }
        let start = joined.start;
        mm.vmas.insert(joined);
        start
    }

    /// Puts a new VMA into the tree, merging it with its neighbours; returns the start of the VMA that holds it
    /// (`vma_merge_new_range`).
    pub(crate) fn insert_vma(&mut self, mm: &mut Mm, vma: Vma) -> VirtAddr {
        let found = self.mergeable(mm, (vma.start, vma.end), Likeness::of(&vma), (true, true));
        if found.any() {
            self.hw.event(Event::VmaMerge);
            return self.join(mm, &vma, found);
        }
        let start = vma.start;
        mm.vmas.insert(vma);
        start
    }

    /// Puts a new VMA into the tree as more of the VMA that starts at `prev`, where that ends where it begins and is alike, else as
    /// one of its own; returns the start of the VMA that holds it (`vma_merge_new_range` with `just_expand`).
    pub(crate) fn expand_or_insert(&mut self, mm: &mut Mm, vma: Vma, prev: Option<VirtAddr>) -> VirtAddr {
        let found = self.mergeable(mm, (vma.start, vma.end), Likeness::of(&vma), (true, false));
        if prev.is_some() && found.prev == prev {
            self.hw.event(Event::VmaMerge);
            return self.join(mm, &vma, found);
        }
        let start = vma.start;
        mm.vmas.insert(vma);
        start
    }

    /// Cuts the VMA that starts at `start` in two at `at` (`split_vma`).
    pub(crate) fn split_vma(&mut self, mm: &mut Mm, start: VirtAddr, at: VirtAddr) -> Result<(), Errno> {
        if mm.vmas.len() as u64 >= self.config.max_map_count {
            return Err(Errno::ENOMEM);
        }
        self.adjust_trans_huge(mm, &[at]);
        self.hw.event(Event::VmaSplit);
        let whole = mm.vmas.at(start);
        let upper = Vma { start: at, pgoff: whole.pgoff_of(at, A::PAGE_SHIFT), ..whole.clone() };
        mm.vmas.shorten(start, at);
        self.hold(&upper);
        mm.vmas.insert(upper);
        Ok(())
    }

    /// A VMA comes to hold on to its anon_vmas and its object.
    pub(crate) fn hold(&mut self, vma: &Vma) {
        self.hw.event(Event::AnonVmaLinks(vma.chain.len() as u32));
        self.anon_vmas.link(&vma.chain);
        self.get_object(vma.object);
    }

    /// A VMA lets go of its anon_vmas and its object.
    pub(crate) fn release(&mut self, vma: &Vma) {
        self.anon_vmas.unlink(&vma.chain);
        self.put_object(vma.object);
    }

    /// Splits huge leaves that straddle new VMA boundaries (`vma_adjust_trans_huge`).
    fn adjust_trans_huge(&mut self, mm: &mut Mm, boundaries: &[VirtAddr]) {
        let size = A::entry_size(Level::Pmd);
        for &at in boundaries.iter().filter(|at| !at.is_aligned(size)) {
            let base = at.align_down(size);
            let holds = |vma: &&Vma| vma.start <= base && base.get() + size <= vma.end.get();
            if let Some(vma) = mm.vmas.find(at).filter(holds).cloned() {
                self.split_huge_pmd_address(mm, &vma, at);
            }
        }
    }

    /// Cuts VMAs at the edges of a range, so that it holds whole ones only.
    pub(crate) fn isolate(&mut self, mm: &mut Mm, start: VirtAddr, end: VirtAddr) -> Result<(), Errno> {
        for at in [start, end] {
            let inside = mm.vmas.find(at).filter(|vma| vma.start < at).map(|vma| vma.start);
            if let Some(vma) = inside {
                self.split_vma(mm, vma, at)?;
            }
        }
        Ok(())
    }

    /// Sets the protection that new entries of a VMA get, after its flags changed (`vma_set_page_prot`).
    pub(crate) fn vma_set_page_prot(&mut self, mm: &mut Mm, start: VirtAddr) {
        let vma = mm.vmas.at_mut(start);
        let full = self.page_prot_for(vma.page_prot, vma.flags);
        vma.page_prot = if self.wants_writenotify(vma, full) {
            self.page_prot_for(full, vma.flags - VmFlags::SHARED)
        } else {
            full
        };
    }

    fn page_prot_for(&self, old: PgProt, flags: VmFlags) -> PgProt {
        self.arch.pgprot_modify(old, self.arch.vm_get_page_prot(flags))
    }

    /// Whether `mprotect` looks page by page for what may become writable without a fault
    /// (`vma_wants_manual_pte_write_upgrade`). Shared memory whose first writes are noticed does not: its protection is
    /// already not what its flags say.
    pub(crate) fn wants_write_upgrade(&self, vma: &Vma) -> bool {
        if vma.flags.contains(VmFlags::SHARED) {
            self.wants_writenotify(vma, vma.page_prot)
        } else {
            vma.flags.contains(VmFlags::WRITE)
        }
    }

    /// Whether first writes to a shared VMA with this protection must fault (`vma_wants_writenotify`).
    fn wants_writenotify(&self, vma: &Vma, page_prot: PgProt) -> bool {
        let unchanged = || page_prot == self.page_prot_for(page_prot, vma.flags);
        vma.flags.contains(VmFlags::WRITE | VmFlags::SHARED)
            && (self.has_page_mkwrite(vma) || unchanged() && (self.soft_dirty_enabled(vma) || vma.uffd_wp()))
    }

    /// Whether the first write after `clear_refs` must be noticed in this VMA (`vma_soft_dirty_enabled`).
    pub(crate) fn soft_dirty_enabled(&self, vma: &Vma) -> bool {
        self.arch.has_soft_dirty() && !vma.flags.contains(VmFlags::SOFTDIRTY)
    }
}
