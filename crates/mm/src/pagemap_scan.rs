//! `ioctl(PAGEMAP_SCAN)`: finds pages by what they are, and protects them in the same walk (`fs/proc/task_mmu.c`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::userfaultfd::uffd_wp_range;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Level, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, marker};
use ptelab_uapi::{Errno, PageCategories, PmScanFlags, Switch};

/// What to look for (`struct pm_scan_arg`). There is always room for what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmScan {
    /// What to do.
    pub flags: PmScanFlags,
    /// Categories whose meaning is turned round before they are compared (`category_inverted`).
    pub inverted: PageCategories,
    /// Categories that a page must have all of (`category_mask`).
    pub mask: PageCategories,
    /// Categories that it must have one of, if any are named (`category_anyof_mask`).
    pub any_of: PageCategories,
    /// Categories that are told of it (`return_mask`).
    pub returned: PageCategories,
    /// Pages to find at most; 0 is no limit.
    pub max_pages: u64,
}

/// Pages side by side with the same categories (`struct page_region`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRegion {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Those of the categories asked for that the pages have.
    pub categories: PageCategories,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// In address order.
    pub regions: Vec<PageRegion>,
    /// Where the scan ended: before the end of the range where `max_pages` were found.
    pub walk_end: VirtAddr,
}

/// A scan, as far as it has come.
struct Scan<'a> {
    arg: &'a PmScan,
    /// Of the VMA that is walked.
    vma: PageCategories,
    regions: Vec<PageRegion>,
    found: u64,
    page_size: u64,
    /// Where the limit was met.
    full: Option<VirtAddr>,
}

impl PmScan {
    const fn is_valid(&self, known: PageCategories) -> bool {
        let named = self.inverted.union(self.mask).union(self.any_of).union(self.returned);
        let flags = PmScanFlags::WP_MATCHING.union(PmScanFlags::CHECK_WPASYNC);
        known.contains(named) && flags.contains(self.flags)
    }

    /// Whether a page with these categories is wanted (`pagemap_scan_is_interesting_page`).
    fn wants(&self, categories: PageCategories) -> bool {
        let categories = categories ^ self.inverted;
        categories.contains(self.mask) && (self.any_of.is_empty() || categories.intersects(self.any_of))
    }

    /// Whether any page of a VMA can be wanted (`pagemap_scan_is_interesting_vma`).
    fn wants_vma(&self, categories: PageCategories) -> bool {
        (categories ^ self.inverted).contains(self.mask & PageCategories::WPALLOWED)
    }

    /// Only what is written is looked for.
    fn is_for_written(&self) -> bool {
        let written = PageCategories::WRITTEN;
        self.inverted.is_empty() && self.any_of.is_empty() && (self.mask, self.returned) == (written, written)
    }

    const fn protects(&self) -> bool {
        self.flags.contains(PmScanFlags::WP_MATCHING)
    }
}

impl Scan<'_> {
    /// Takes in pages that were found; returns the end of what the limit still allows (`pagemap_scan_output`).
    fn output(&mut self, categories: PageCategories, start: VirtAddr, mut end: VirtAddr) -> VirtAddr {
        let room = match self.arg.max_pages {
            0 => u64::MAX,
            max => max - self.found,
        };
        if end.since(start) / self.page_size > room {
            end = start.add(room * self.page_size);
            self.full = Some(end);
        }
        if end == start {
            return end;
        }
        self.found += end.since(start) / self.page_size;
        let categories = categories & self.arg.returned;
        match self.regions.last_mut() {
            Some(last) if last.end == start && last.categories == categories => last.end = end,
            _ => self.regions.push(PageRegion { start, end, categories }),
        }
        end
    }
}

/// Finds pages in a range of so many bytes.
///
/// # Errors
/// `EINVAL` for unknown flags or categories and for a start inside a page, `EFAULT` for a range beyond user space, `EPERM`
/// where `CHECK_WPASYNC` asks for it. What was protected until then stays so. `ENOMEM` where no memory is left for tables.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn pagemap_scan<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    arg: &PmScan,
) -> Result<Scanned, Errno> {
    let start = A::untagged_addr(start);
    if !arg.is_valid(known_categories(&k.pt)) || !start.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = start.checked_add(len).filter(|end| end.get() <= mm.task_size).ok_or(Errno::EFAULT)?;
    let end = end.align_up(A::PAGE_SIZE).ok_or(Errno::EFAULT)?;
    let (vma, page_size) = (PageCategories::empty(), A::PAGE_SIZE);
    let mut scan = Scan { arg, vma, regions: Vec::new(), found: 0, page_size, full: None };
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    for vma in vmas {
        if scan.full.is_none() && scan_enters(&mut scan, &vma)? {
            let part = (vma.start.max(start), vma.end.min(end));
            k.because(&cause::pagemap_scan, |k| scan_vma(k, mm, &mut scan, &vma, part))?;
        }
    }
    Ok(Scanned { regions: scan.regions, walk_end: scan.full.unwrap_or(end) })
}

fn known_categories<A: Arch, H: TableMemory>(pt: &PageTables<A, H>) -> PageCategories {
    let mut known = PageCategories::from_bits_retain(0xff);
    known.set(PageCategories::GUARD, pt.rules.scan_knows_guard);
    known.set(PageCategories::ACCESSED, pt.rules.scan_knows_accessed);
    known
}

/// Whether a VMA is looked at (`pagemap_scan_test_walk`).
fn scan_enters(scan: &mut Scan<'_>, vma: &Vma) -> Result<bool, Errno> {
    let mut categories = PageCategories::empty();
    if vma.uffd_wp_async() {
        categories |= PageCategories::WPALLOWED;
    } else if scan.arg.flags.contains(PmScanFlags::CHECK_WPASYNC) {
        return Err(Errno::EPERM);
    } else if scan.arg.protects() {
        return Ok(false);
    }
    categories.set(PageCategories::SOFT_DIRTY, vma.flags.contains(VmFlags::SOFTDIRTY));
    scan.vma = categories;
    Ok(!vma.flags.contains(VmFlags::PFNMAP) && scan.arg.wants_vma(categories))
}

fn scan_vma<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    scan: &mut Scan<'_>,
    vma: &Vma,
    (mut addr, end): (VirtAddr, VirtAddr),
) -> Result<(), Errno> {
    while addr < end && scan.full.is_none() {
        let next = A::entry_end(addr, end, Level::Pmd);
        match k.pt.pmd_at(mm, addr) {
            PmdState::None => scan_hole(k, mm, scan, vma, (addr, next))?,
            PmdState::Huge(pmd) | PmdState::Soft(pmd) => {
                scan_huge(&mut k.pt, mm, scan, vma, pmd, (addr, next));
            }
            PmdState::Table(table) => scan_table(&mut k.pt, scan, vma, table, (addr, next)),
        }
        addr = next;
    }
    Ok(())
}

/// What has no table (`pagemap_scan_pte_hole`).
fn scan_hole<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    scan: &mut Scan<'_>,
    vma: &Vma,
    (start, end): (VirtAddr, VirtAddr),
) -> Result<(), Errno> {
    let mut categories = scan.vma;
    if k.pt.rules.scan_empty_is_written && vma.uffd_wp() {
        categories |= PageCategories::WRITTEN;
    }
    if !scan.arg.wants(categories) {
        return Ok(());
    }
    let end = scan.output(categories, start, end);
    if scan.arg.protects() && start < end {
        uffd_wp_range(k, mm, vma, (start, end), Switch::On)?;
    }
    Ok(())
}

/// A huge leaf; it is split where only a part of it is to be protected (`pagemap_scan_thp_entry`).
fn scan_huge<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    scan: &mut Scan<'_>,
    vma: &Vma,
    pmd: Pte,
    (start, next): (VirtAddr, VirtAddr),
) {
    let categories = scan.vma | leaf_categories(pt, vma, pt.arch.pmd_pte(pmd)) | PageCategories::HUGE;
    if !scan.arg.wants(categories) {
        return;
    }
    let pmdp = pt.pmd_offset(mm, start).expect("its table was just walked");
    let protects = scan.arg.protects() && categories.contains(PageCategories::WRITTEN);
    let room = scan.arg.max_pages == 0 || scan.found + A::PTRS_PER_PTE as u64 <= scan.arg.max_pages;
    let whole = next.since(start) == A::entry_size(Level::Pmd) && room;
    if protects && !whole {
        pt.split_huge_pmd(mm, vma, pmdp, start);
        if let PmdState::Table(table) = pt.pmd_state(pmdp) {
            scan_table(pt, scan, vma, table, (start, next));
        }
        return;
    }
    scan.output(categories, start, next);
    if protects && !pt.arch.pmd_present(pmd) {
        let protected = pt.with_soft_flag_pmd(pmd, SoftFlags::UFFD, true);
        pt.set_pmd_at(start, pmdp, protected);
    } else if protects {
        let old = pt.pmdp_invalidate_ad(start, pmdp);
        let new = pt.arch.pmd_mkuffd_wp(old);
        pt.set_pmd_at(start, pmdp, new);
        pt.flush_tlb_range(start, next, Level::Pmd);
    }
}

fn scan_table<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    scan: &mut Scan<'_>,
    vma: &Vma,
    table: Ptep,
    (start, end): (VirtAddr, VirtAddr),
) {
    let mut changed = false;
    let mut addr = start;
    while addr < end && scan.full.is_none() {
        let next = addr.add(A::PAGE_SIZE);
        let p = table.add(A::index(addr, Level::Pte));
        let pte = pt.ptep_get(p);
        let own = if pt.arch.pte_none(pte) {
            empty_categories(pt, scan.arg, vma)
        } else {
            leaf_categories(pt, vma, pte)
        };
        let categories = scan.vma | own;
        if scan.arg.wants(categories)
            && scan.output(categories, addr, next) == next
            && scan.arg.protects()
            && categories.contains(PageCategories::WRITTEN)
        {
            make_uffd_wp_pte(pt, addr, p, pte);
            changed = true;
        }
        addr = next;
    }
    if changed {
        pt.flush_tlb_range(start, addr, Level::Pte);
    }
}

fn empty_categories<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    arg: &PmScan,
    vma: &Vma,
) -> PageCategories {
    if pt.rules.scan_empty_is_written || arg.is_for_written() {
        written_where(pt, vma, false)
    } else {
        PageCategories::empty()
    }
}

/// What an entry says of its page, huge or not, in the format of a page's (`pagemap_page_category`).
fn leaf_categories<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, pte: Pte) -> PageCategories {
    let mut categories = PageCategories::empty();
    if pt.arch.pte_present(pte) {
        categories |= PageCategories::PRESENT | written_where(pt, vma, pt.arch.pte_uffd_wp(pte));
        let pfn = pt.arch.pte_pfn(pte);
        let zero = pt.pages.is_zero_page(pfn);
        categories.set(PageCategories::PFNZERO, zero);
        categories.set(PageCategories::FILE, !zero && !pt.pages.is_anon(pt.hw.peek_folio(pfn)));
        categories.set(PageCategories::SOFT_DIRTY, pt.arch.pte_soft_dirty(pte));
        return categories;
    }
    let leaf = pt.soft_view(pte).unwrap_or(SoftLeaf::GUARD);
    let protected = leaf.is_marker(marker::UFFD_WP) || leaf.flags.contains(SoftFlags::UFFD);
    categories |= PageCategories::SWAPPED | written_where(pt, vma, protected);
    categories.set(PageCategories::GUARD, leaf.is_marker(marker::GUARD));
    let is_file = |page| !pt.pages.is_anon(pt.hw.peek_folio(page));
    categories.set(PageCategories::FILE, leaf.pfn().is_some_and(is_file));
    categories.set(PageCategories::SOFT_DIRTY, leaf.flags.contains(SoftFlags::SOFT_DIRTY));
    categories
}

/// `WRITTEN`, for a page that is not protected, where the kernel says so of this VMA.
fn written_where<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    protected: bool,
) -> PageCategories {
    let says = !pt.rules.scan_written_needs_uffd_wp || vma.uffd_wp();
    if says && !protected { PageCategories::WRITTEN } else { PageCategories::empty() }
}

fn make_uffd_wp_pte<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, addr: VirtAddr, p: Ptep, pte: Pte) {
    if pt.arch.pte_present(pte) {
        let old = pt.ptep_modify_prot_start(addr, p);
        let new = pt.arch.pte_mkuffd_wp(old);
        pt.ptep_modify_prot_commit(addr, p, old, new);
        return;
    }
    let new = if pt.arch.pte_none(pte) {
        pt.soft_word(SoftLeaf::UFFD_WP)
    } else {
        pt.with_soft_flag(pte, SoftFlags::UFFD, true)
    };
    pt.set_pte_at(addr, p, new);
}
