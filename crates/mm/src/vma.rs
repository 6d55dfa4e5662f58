//! When VMAs split and merge, and what protection they have (`mm/vma.c`, 7.3).

use crate::changes::Rules;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::shmem::put_object;
use crate::tables::PageTables;
use crate::vm_area::{AnonVmaId, FileId, ObjectId, STICKY, Userfaultfd, Vma};
use ptelab_pgtable::{Arch, Event, Level, PgProt, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

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
    }

    /// The same anon_vma as a neighbour; or only one has any, and its pages are its own (`is_mergeable_anon_vma`).
    fn anon_compatible(self, neighbour: Likeness<'_>, rules: &Rules) -> bool {
        match (self.anon_vma, neighbour.anon_vma) {
            (Some(_), None) => rules.used_merges_with_unused && !self.forked,
            (None, Some(_)) => !neighbour.forked,
            (own, its) => own == its,
        }
    }
}

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

/// The neighbours that `start..end`, once it is `like`, merges with. `left` and `right` say whether the range touches
/// them.
fn mergeable<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    (start, end): (VirtAddr, VirtAddr),
    like: Likeness<'_>,
    (left, right): (bool, bool),
) -> Neighbours {
    let sticky = sticky_flags(pt);
    let compatible = |near: &Vma| like.anon_compatible(Likeness::of(near), &pt.rules);
    let pages = |from: VirtAddr, to: VirtAddr| (to.since(from) >> A::PAGE_SHIFT) as i64;
    let prev = mm.vmas.before(start).filter(|vma| left && vma.end == start);
    let before = |vma: &&Vma| Likeness::of(vma).merges(like, sticky, pages(vma.start, start));
    let prev = prev.filter(|vma| before(vma) && compatible(vma));
    let next = if right { mm.vmas.by_start.get(&end) } else { None };
    let after = |vma: &&Vma| like.merges(Likeness::of(vma), sticky, pages(start, end));
    let next = next.filter(|vma| after(vma) && compatible(vma));
    let mut found = Neighbours { prev: prev.map(|vma| vma.start), next: next.map(|vma| vma.start) };
    // Each may go with what lies between, and yet not with the other.
    let own = |vma: Option<&Vma>| vma.and_then(|vma| vma.anon_vma);
    if let (Some(left), Some(right)) = (own(prev), own(next))
        && left != right
    {
        found.next = None;
    }
    found
}

#[inline]
const fn sticky_flags<A: Arch, H: TableMemory>(pt: &PageTables<A, H>) -> VmFlags {
    if pt.rules.guard_vma_flag { STICKY } else { VmFlags::SOFTDIRTY }
}

/// Gives `start..end` of the VMA that holds it new flags, merging with neighbours or splitting the VMA. Returns the start of
/// the VMA that holds the range now (`vma_modify_flags`). The protection is the caller's to set.
pub(crate) fn vma_modify_flags<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    flags: VmFlags,
) -> Result<VirtAddr, Errno> {
    vma_modify(k, mm, (start, end), |vma| vma.flags = flags)
}

/// The same for whatever keeps VMAs from merging: flags, name, userfaultfd (`vma_modify`).
pub(crate) fn vma_modify<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    (start, end): (VirtAddr, VirtAddr),
    change: impl FnOnce(&mut Vma),
) -> Result<VirtAddr, Errno> {
    let vma = mm.vmas.find(start).expect("the caller found it").clone();
    let pgoff = vma.pgoff_of(start, A::PAGE_SHIFT);
    let mut changed = Vma { start, end, pgoff, ..vma.clone() };
    change(&mut changed);
    let edges = (start == vma.start, end == vma.end);
    let found = mergeable(&k.pt, mm, (start, end), Likeness::of(&changed), edges);
    let found = removable(k, mm, &vma, edges, found);
    if found.any() {
        adjust_trans_huge(&mut k.pt, mm, &[start, end]);
        return Ok(merge_existing(k, mm, &vma, &changed, found));
    }
    if edges != (true, true) {
        k.pt.hw.event(Event::VmaDivided);
        if mm.vmas.len() == 1 {
            k.pt.hw.event(Event::VmaTreeGrown);
        }
    }
    if !edges.0 {
        split_vma(k, mm, vma.start, start)?;
    }
    if !edges.1 {
        split_vma(k, mm, start, end)?;
    }
    let vma = mm.vmas.at_mut(start);
    *vma = Vma { start, end: vma.end, rmap_seq: vma.rmap_seq, ..changed };
    Ok(start)
}

/// Of the neighbours found, those that `vma` may merge with without a VMA going away that must be told of its end
/// (`can_merge_remove_vma`).
fn removable<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    vma: &Vma,
    edges: (bool, bool),
    mut found: Neighbours,
) -> Neighbours {
    if edges == (true, true) && k.objects.has_close(vma) {
        return Neighbours::default();
    }
    if found.prev.is_some() && found.next.is_some_and(|next| k.objects.has_close(mm.vmas.at(next))) {
        found.next = None;
    }
    found
}

/// Moves `changed`, which is a part of `vma` as it is to be, into its neighbours; returns the start of the VMA that holds
/// it then.
fn merge_existing<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    changed: &Vma,
    found: Neighbours,
) -> VirtAddr {
    k.pt.hw.event(Event::VmaMerge);
    let (start, end) = (changed.start, changed.end);
    mm.vmas.remove(vma.start);
    if start > vma.start {
        insert(k, mm, Vma { end: start, ..vma.clone() });
    }
    if end < vma.end {
        let pgoff = vma.pgoff_of(end, A::PAGE_SHIFT);
        insert(k, mm, Vma { start: end, pgoff, ..vma.clone() });
    }
    if start > vma.start || end < vma.end {
        hold(k, changed);
    }
    let whole = start == vma.start && end == vma.end;
    let others = usize::from(found.prev.is_some()) + usize::from(found.next.is_some());
    k.pt.hw.event(Event::VmasRemoved((others + usize::from(whole) - 1) as u32));
    let at = join(k, mm, changed, found);
    if mm.vmas.len() == 1 {
        k.pt.hw.event(Event::VmaTreeShrunk);
    }
    if !k.pt.rules.sticky_vma_flags {
        mm.vmas.at_mut(at).flags = changed.flags;
    }
    at
}

/// Makes `middle` and the neighbours found one VMA.
fn join<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    middle: &Vma,
    found: Neighbours,
) -> VirtAddr {
    let prev = found.prev.and_then(|at| mm.vmas.remove(at));
    let next = found.next.and_then(|at| mm.vmas.remove(at));
    let grown = prev.as_ref().or(next.as_ref()).expect("something to merge with");
    let parts = [prev.as_ref(), Some(middle), next.as_ref()];
    let parts = || parts.into_iter().flatten();
    let mut flags = grown.flags;
    if k.pt.rules.sticky_vma_flags {
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
        rmap_seq: grown.rmap_seq,
        pgoff: first.pgoff,
        object: first.object,
        file: first.file,
        anon_name: first.anon_name.clone(),
        uffd: first.uffd,
    };
    hold(k, &joined);
    for part in parts() {
        release(k, part);
    }
    insert(k, mm, joined)
}

/// Puts a VMA with a range of its own into the tree, and into those of its anon_vmas; returns its start.
pub(crate) fn insert<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, mut vma: Vma) -> VirtAddr {
    let start = vma.start;
    k.rmap.insert(&mut vma);
    mm.vmas.insert(vma);
    start
}

/// Puts a new VMA into the tree, merging it with its neighbours; returns the start of the VMA that holds it
/// (`vma_merge_new_range`).
pub(crate) fn insert_vma<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, vma: Vma) -> VirtAddr {
    let forked = Likeness::of(&vma).forked && !k.pt.rules.copy_forgets_anon_vma;
    insert_range(k, mm, vma, forked)
}

/// The same for a range by which the VMA before it grows: whose its pages are is not asked again (`vma_merge_extend`).
pub(crate) fn extend_vma<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, more: Vma) {
    insert_range(k, mm, more, false);
}

fn insert_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    mut vma: Vma,
    forked: bool,
) -> VirtAddr {
    let like = Likeness { forked, ..Likeness::of(&vma) };
    let found = mergeable(&k.pt, mm, (vma.start, vma.end), like, (true, true));
    if found.any() {
        k.pt.hw.event(Event::VmaMerge);
        if k.pt.rules.copy_forgets_anon_vma {
            forget_anon_vma(k, mm, &mut vma, found);
        }
        return join(k, mm, &vma, found);
    }
    insert(k, mm, vma)
}

/// What a VMA grows by does not give it an anon_vma. If no neighbour has that of a copy, its pages are no longer found.
fn forget_anon_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    copy: &mut Vma,
    found: Neighbours,
) {
    let neighbours = [found.prev, found.next].into_iter().flatten();
    let kept = neighbours.into_iter().any(|at| mm.vmas.at(at).anon_vma.is_some());
    if let Some(own) = copy.anon_vma.take()
        && !kept
    {
        k.rmap.retire(own);
    }
    k.rmap.unlink(&std::mem::take(&mut copy.chain));
}

/// Puts a new VMA into the tree as more of the VMA that starts at `prev`, where that ends where it begins and is alike, else as
/// one of its own; returns the start of the VMA that holds it (`vma_merge_new_range` with `just_expand`).
pub(crate) fn expand_or_insert<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: Vma,
    prev: Option<VirtAddr>,
) -> VirtAddr {
    let found = mergeable(&k.pt, mm, (vma.start, vma.end), Likeness::of(&vma), (true, false));
    if prev.is_some() && found.prev == prev {
        k.pt.hw.event(Event::VmaMerge);
        return join(k, mm, &vma, found);
    }
    insert(k, mm, vma)
}

/// Cuts the VMA that starts at `start` in two at `at` (`split_vma`).
fn split_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    at: VirtAddr,
) -> Result<(), Errno> {
    if mm.vmas.len() as u64 >= k.config().max_map_count {
        return Err(Errno::ENOMEM);
    }
    adjust_trans_huge(&mut k.pt, mm, &[at]);
    k.pt.hw.event(Event::VmaSplit);
    let whole = mm.vmas.at(start);
    let upper = Vma { start: at, pgoff: whole.pgoff_of(at, A::PAGE_SHIFT), ..whole.clone() };
    mm.vmas.shorten(start, at);
    hold(k, &upper);
    insert(k, mm, upper);
    k.rmap.insert(mm.vmas.at_mut(start));
    Ok(())
}

/// A VMA takes references to its anon_vmas and its object.
pub(crate) fn hold<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, vma: &Vma) {
    k.pt.hw.event(Event::AnonVmaLinks(vma.chain.len() as u32));
    k.rmap.link(&vma.chain);
    k.objects.get(vma.object);
}

/// A VMA drops its references to its anon_vmas and its object.
pub(crate) fn release<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, vma: &Vma) {
    k.rmap.unlink(&vma.chain);
    put_object(k, vma.object);
}

/// Splits huge leaves that straddle new VMA boundaries (`vma_adjust_trans_huge`).
fn adjust_trans_huge<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    boundaries: &[VirtAddr],
) {
    let size = A::entry_size(Level::Pmd);
    for &at in boundaries.iter().filter(|at| !at.is_aligned(size)) {
        let base = at.align_down(size);
        let holds = |vma: &&Vma| vma.start <= base && base.get() + size <= vma.end.get();
        if let Some(vma) = mm.vmas.find(at).filter(holds).cloned() {
            pt.split_huge_pmd_address(mm, &vma, at);
        }
    }
}

/// Cuts VMAs at the edges of a range, so that it holds whole ones only.
pub(crate) fn isolate<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Result<(), Errno> {
    for at in [start, end] {
        let inside = mm.vmas.find(at).filter(|vma| vma.start < at).map(|vma| vma.start);
        if let Some(vma) = inside {
            split_vma(k, mm, vma, at)?;
        }
    }
    Ok(())
}

/// Sets the protection that new entries of a VMA get, after its flags changed (`vma_set_page_prot`).
pub(crate) fn vma_set_page_prot<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, start: VirtAddr) {
    let vma = mm.vmas.at_mut(start);
    let full = page_prot_for(&k.pt, vma.page_prot, vma.flags);
    vma.page_prot = if vma_wants_writenotify(k, vma, full) {
        page_prot_for(&k.pt, full, vma.flags - VmFlags::SHARED)
    } else {
        full
    };
}

#[inline]
fn page_prot_for<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, old: PgProt, flags: VmFlags) -> PgProt {
    pt.arch.pgprot_modify(old, pt.arch.vm_get_page_prot(flags))
}

/// Whether `mprotect` looks page by page for what may become writable without a fault
/// (`vma_wants_manual_pte_write_upgrade`). Shared memory whose first writes are noticed does not: its protection is
/// already not what its flags say.
#[inline]
pub(crate) fn vma_wants_manual_pte_write_upgrade<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    vma: &Vma,
) -> bool {
    if vma.flags.contains(VmFlags::SHARED) {
        vma_wants_writenotify(k, vma, vma.page_prot)
    } else {
        vma.flags.contains(VmFlags::WRITE)
    }
}

/// Whether first writes to a shared VMA with this protection must fault (`vma_wants_writenotify`).
#[inline]
fn vma_wants_writenotify<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma, page_prot: PgProt) -> bool {
    let unchanged = || page_prot == page_prot_for(&k.pt, page_prot, vma.flags);
    vma.flags.contains(VmFlags::WRITE | VmFlags::SHARED)
        && (k.objects.has_page_mkwrite(vma)
            || unchanged() && (vma_soft_dirty_enabled(&k.pt, vma) || vma.uffd_wp()))
}

/// Whether the first write after `clear_refs` must be noticed in this VMA (`vma_soft_dirty_enabled`).
#[inline]
pub(crate) fn vma_soft_dirty_enabled<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma) -> bool {
    pt.arch.has_soft_dirty() && !vma.flags.contains(VmFlags::SOFTDIRTY)
}
