//! Who may map an anonymous page: anon_vmas and their families (`mm/rmap.c`, 7.3).

use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::vm_area::{AnonVmaId, STICKY, Vma};
use ptelab_pgtable::{Arch, Event, FolioSpan, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags};

/// One anon_vma's place in its family.
#[derive(Clone, Copy, Debug, Default)]
struct AnonVma {
    /// VMAs whose chains name it.
    refs: u32,
    /// VMAs whose own it is.
    active: u32,
    parent: Option<AnonVmaId>,
    children: u32,
    /// Pages name it that no VMA finds: its number is not used again.
    retired: bool,
}

/// All anon_vmas of a machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rmap {
    all: Vec<AnonVma>,
    free: Vec<AnonVmaId>,
    /// How often a VMA was put into the trees of its anon_vmas.
    insertions: u64,
}

impl Rmap {
    /// A new one, which no VMA names yet.
    pub(crate) fn alloc(&mut self, parent: Option<AnonVmaId>) -> AnonVmaId {
        let new = AnonVma { parent, ..AnonVma::default() };
        if let Some(parent) = parent {
            self.all[parent as usize].children += 1;
        }
        if let Some(id) = self.free.pop() {
            self.all[id as usize] = new;
            return id;
        }
        self.all.push(new);
        self.all.len() as AnonVmaId - 1
    }

    /// Puts a VMA into the trees of its anon_vmas, behind those that begin at the same page: a new one, or one whose range has changed
    /// (`anon_vma_interval_tree_insert`).
    pub(crate) fn insert(&mut self, vma: &mut Vma) {
        self.insertions += 1;
        vma.rmap_seq = self.insertions;
    }

    /// One more VMA names these; its own is the last.
    pub(crate) fn link(&mut self, chain: &[AnonVmaId]) {
        for &id in chain {
            self.all[id as usize].refs += 1;
        }
        if let Some(&own) = chain.last() {
            self.all[own as usize].active += 1;
        }
    }

    /// One VMA less names these.
    pub(crate) fn unlink(&mut self, chain: &[AnonVmaId]) {
        if let Some(&own) = chain.last() {
            self.all[own as usize].active -= 1;
        }
        for &id in chain.iter().rev() {
            let anon_vma = &mut self.all[id as usize];
            anon_vma.refs -= 1;
            if anon_vma.refs > 0 {
                continue;
            }
            if !anon_vma.retired {
                self.free.push(id);
            }
            if let Some(parent) = anon_vma.parent {
                self.all[parent as usize].children -= 1;
            }
        }
    }

    /// Some pages of this one are no VMA's any more.
    pub(crate) fn retire(&mut self, id: AnonVmaId) {
        self.all[id as usize].retired = true;
    }

    /// One of the chain that no VMA uses for its own any more and that has at most one child: a forked VMA takes it over
    /// (`anon_vma_clone`).
    pub(crate) fn reusable(&self, chain: &[AnonVmaId]) -> Option<AnonVmaId> {
        chain.iter().copied().find(|&id| {
            let anon_vma = self.all[id as usize];
            anon_vma.children < 1 + u32::from(anon_vma.parent.is_some()) && anon_vma.active == 0
        })
    }

    /// Gives a VMA an anon_vma before its first own page: a neighbour's, where the two could merge but for their protection,
    /// else a new one (`__anon_vma_prepare`, `find_mergeable_anon_vma`).
    pub(crate) fn anon_vma_prepare<A: Arch>(&mut self, mm: &mut Mm, vma: &Vma) -> AnonVmaId {
        if let Some(own) = vma.anon_vma {
            return own;
        }
        let next = mm.vmas.find(vma.end).filter(|next| anon_vma_compatible::<A>(vma, next));
        let prev = mm.vmas.before(vma.start).filter(|prev| anon_vma_compatible::<A>(prev, vma));
        let reusable =
            |near: Option<&Vma>| near.filter(|near| near.chain.len() == 1).and_then(|n| n.anon_vma);
        let own = reusable(next).or_else(|| reusable(prev)).unwrap_or_else(|| self.alloc(None));
        let vma = mm.vmas.at_mut(vma.start);
        vma.anon_vma = Some(own);
        vma.chain = [own].into();
        self.insert(vma);
        self.link(&vma.chain);
        own
    }

    /// Gives a child's VMA its parent's anon_vmas, and one of its own for the pages to come (`anon_vma_fork`).
    pub(crate) fn anon_vma_fork(&mut self, vma: &mut Vma) {
        let Some(parent) = vma.anon_vma else { return };
        let own = self.reusable(&vma.chain).unwrap_or_else(|| self.alloc(Some(parent)));
        let inherited = vma.chain.iter().copied().filter(|&id| id != own);
        vma.chain = inherited.chain([own]).collect();
        vma.anon_vma = Some(own);
        self.insert(vma);
        self.link(&vma.chain);
    }
}

fn anon_vma_compatible<A: Arch>(a: &Vma, b: &Vma) -> bool {
    let free = VmFlags::ACCESS | STICKY;
    a.end == b.start
        && (a.object, a.file) == (b.object, b.file)
        && (a.flags ^ b.flags).difference(free).is_empty()
        && b.pgoff == a.pgoff_of(b.start, A::PAGE_SHIFT)
}

/// Zeroes a new folio and makes it anonymous memory of `vma` at `addr`.
pub(crate) fn add_new_anon_folio<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    anon_vma: u32,
    folio: FolioSpan,
    addr: VirtAddr,
) {
    pt.hw.event(Event::PagesZeroed(folio.nr_pages() as u32));
    pt.pages.fill(folio.head, folio.nr_pages(), 0);
    folio_add_new_anon_rmap(pt, vma, anon_vma, folio, addr);
}

/// Makes a new folio anonymous memory of `vma` at `addr`. Memory that may be dropped never goes to swap.
pub(crate) fn folio_add_new_anon_rmap<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    anon_vma: u32,
    folio: FolioSpan,
    addr: VirtAddr,
) {
    pt.pages.set_anon(folio, anon_vma, vma.pgoff_of(addr, A::PAGE_SHIFT));
    if vma.flags.contains(VmFlags::DROPPABLE) {
        pt.pages.set_lazyfree(folio);
    }
}

/// A folio that no other process has moves to the VMA's own anon_vma.
pub(crate) fn folio_move_anon_rmap<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    folio: FolioSpan,
) {
    let (_, index) = pt.pages.owner(folio);
    // Some kernels lose the anon_vma of a VMA that has pages (`copy_forgets_anon_vma`).
    if let Some(own) = vma.anon_vma {
        pt.pages.set_anon(folio, own, index);
    }
}

// Which processes map a folio.

/// The entries of `mm` that stand for pages of a folio, VMA by VMA (`page_vma_mapped_walk`).
pub(crate) fn folio_entries<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
    page_of: PageOf<A, H>,
) -> Vec<(Vma, Vec<Mapped>)> {
    let mut all = Vec::new();
    for (vma, first) in folio_addresses(pt, mm, folio) {
        let mut found = Vec::new();
        let mut addr = first;
        while addr < vma.end && addr.since(first) >> A::PAGE_SHIFT < folio.nr_pages() as u64 {
            if let Some(p) = pt.pte_offset(mm, addr) {
                let pte = pt.hw.peek(p);
                let pfn = page_of(pt, pte).filter(|&pfn| pfn >= folio.head && pfn < folio.end());
                found.extend(pfn.map(|pfn| Mapped { addr, p, pte, pfn }));
            }
            addr = addr.add(A::PAGE_SIZE);
        }
        if !found.is_empty() {
            all.push((vma, found));
        }
    }
    all
}

/// The entries for huge pages of a folio in `mm`, with their VMAs and addresses.
pub(crate) fn folio_pmds<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
) -> Vec<(Vma, VirtAddr, Ptep, Pte)> {
    let mut found = Vec::new();
    for (vma, addr) in folio_addresses(pt, mm, folio) {
        let Ok(pmdp) = pt.pmd_offset(mm, addr) else { continue };
        let (pmd, pfn) = match pt.pmd_state(pmdp) {
            PmdState::Huge(pmd) => (pmd, Some(pt.arch.pmd_pfn(pmd))),
            PmdState::Soft(pmd) => (pmd, pt.migrating_page(pt.arch.pmd_pte(pmd))),
            PmdState::None | PmdState::Table(_) => continue,
        };
        if pfn == Some(folio.head) {
            found.push((vma, addr, pmdp, pmd));
        }
    }
    found
}

/// The place of a process among those that map a folio, by the first of its VMAs that do: they come in the order of their first pages
/// (`rmap_walk_anon`).
pub(crate) fn rmap_place<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    folio: FolioSpan,
) -> Option<(u64, u64)> {
    let huge = folio_pmds(pt, mm, folio).into_iter().map(|(vma, ..)| vma);
    let pages = folio_entries(pt, mm, folio, PageTables::<A, H>::mapped_page).into_iter().map(|(vma, _)| vma);
    huge.chain(pages).map(|vma| (vma.pgoff, vma.rmap_seq)).min()
}

/// Takes an entry down that maps a page of a folio, for processes or for a device; returns what it was.
pub(crate) fn take_down<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    folio: FolioSpan,
    addr: VirtAddr,
    p: Ptep,
    pte: Pte,
) -> Pte {
    if !pt.arch.pte_present(pte) {
        pt.pte_clear(addr, p);
        return pte;
    }
    let old = pt.ptep_clear_flush(addr, p);
    if pt.arch.pte_dirty(old) {
        pt.pages.set_dirty(folio, true);
    }
    old
}

/// An entry that stands for a page of a folio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) addr: VirtAddr,
    pub(crate) p: Ptep,
    pub(crate) pte: Pte,
    pub(crate) pfn: Pfn,
}

/// A page that an entry stands for, if it is of the wanted kind.
type PageOf<A, H> = fn(&PageTables<A, H>, Pte) -> Option<Pfn>;

/// Where a folio's first page would be mapped, in each VMA of `mm` that may map it.
pub(crate) fn folio_addresses<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    span: FolioSpan,
) -> Vec<(Vma, VirtAddr)> {
    let (owner, index) = pt.pages.owner(span);
    let pages = span.nr_pages() as u64;
    let anon = pt.pages.is_anon(span);
    mm.vmas
        .iter()
        .filter(|vma| if anon { vma.chain.contains(&owner) } else { vma.object == Some(owner) })
        .filter_map(|vma| {
            let end = vma.pgoff + (vma.len() >> A::PAGE_SHIFT);
            let first = index.max(vma.pgoff);
            let addr = vma.start.add(first.wrapping_sub(vma.pgoff) << A::PAGE_SHIFT);
            (first < end.min(index + pages)).then(|| (vma.clone(), addr))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Rmap;
    use crate::tables::tests::{at, machine};
    use crate::vm_area::Vma;
    use arch_generic::Generic;
    use ptelab_pgtable::{EntryFormat, VmFlags};

    fn vma(start: u64, end: u64, flags: VmFlags) -> Vma {
        Vma::anonymous(at(start << 12), at(end << 12), flags, Generic.vm_get_page_prot(flags), 12)
    }

    #[test]
    fn neighbours_that_could_merge_share_an_anon_vma() {
        let (_, mut mm) = machine();
        let mut rmap = Rmap::default();
        let rw = VmFlags::READ | VmFlags::WRITE;
        for (start, flags) in [(0, rw), (1, VmFlags::READ), (2, rw | VmFlags::DONTCOPY)] {
            mm.vmas.insert(vma(start, start + 1, flags));
        }
        let prepare = |rmap: &mut Rmap, mm: &mut _, page: u64| {
            let vma: &crate::Mm = mm;
            let vma = vma.vmas.at(at(page << 12)).clone();
            rmap.anon_vma_prepare::<Generic>(mm, &vma)
        };
        let first = prepare(&mut rmap, &mut mm, 0);
        assert_eq!(prepare(&mut rmap, &mut mm, 1), first, "they differ in protection only");
        assert_ne!(prepare(&mut rmap, &mut mm, 2), first, "they differ in more");
        assert_eq!(prepare(&mut rmap, &mut mm, 0), first, "it has one already");
    }

    #[test]
    fn a_child_takes_over_what_nobody_uses() {
        let mut rmap = Rmap::default();
        let mut parent = vma(0, 1, VmFlags::READ);
        let own = rmap.alloc(None);
        (parent.anon_vma, parent.chain) = (Some(own), [own].into());
        rmap.link(&parent.chain);
        let mut child = parent.clone();
        rmap.anon_vma_fork(&mut child);
        assert_eq!(child.chain.len(), 2, "its parent's and one of its own");
        assert_eq!(child.chain.last().copied(), child.anon_vma);
        let mut grandchild = child.clone();
        rmap.anon_vma_fork(&mut grandchild);
        rmap.unlink(&child.chain);
        let mut last = grandchild.clone();
        rmap.anon_vma_fork(&mut last);
        assert_eq!(last.anon_vma, child.anon_vma, "its grandparent has left it behind");
        for vma in [parent, grandchild, last] {
            rmap.unlink(&vma.chain);
        }
        assert_eq!(rmap.free.len(), rmap.all.len(), "nobody is left");
    }
}
