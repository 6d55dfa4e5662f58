//! `mremap`: shrinking, growing and moving mappings (`mm/mremap.c`, 7.3).

use crate::cause;
use crate::changes::{MREMAP_KEEPS_UFFD_WP, Rules};
use crate::gup::mm_populate;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mmap::{get_unmapped_area, unmap_range};
use crate::mseal::check_unsealed;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::userfaultfd::userfaultfd_reset;
use crate::util::charge;
use crate::vm_area::{LOCKED_MASK, Userfaultfd, Vma};
use crate::vma::{extend_vma, hold, insert_vma, isolate};
use ptelab_pgtable::{Arch, Fpb, Level, Pte, Ptep, SoftFlags, TableMemory, VirtAddr, VmFlags, marker};
use ptelab_uapi::{Errno, MremapFlags};

/// The arguments of a call, lengths rounded up to pages (`struct vma_remap_struct`).
#[derive(Clone, Copy, Debug)]
struct Remap {
    addr: VirtAddr,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    new_addr: VirtAddr,
}

impl Remap {
    const fn old_end(&self) -> VirtAddr {
        self.addr.add(self.old_len)
    }

    /// The call names, or asks for, another place.
    const fn implies_new_addr(&self) -> bool {
        self.flags.intersects(MremapFlags::FIXED.union(MremapFlags::DONTUNMAP))
    }

    fn overlaps(&self) -> bool {
        let (old, new) = (self.addr.get(), self.new_addr.get());
        old.wrapping_add(self.old_len) > new && new.wrapping_add(self.new_len) > old
    }
}

/// Resizes or moves a mapping and returns its address (`do_mremap`).
///
/// # Errors
/// `EINVAL`, `EFAULT`, `ENOMEM`, as Linux has them.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mremap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    new_addr: VirtAddr,
) -> Result<VirtAddr, Errno> {
    let round = |len: u64| len.checked_next_multiple_of(A::PAGE_SIZE).unwrap_or(0);
    let addr = A::untagged_addr(addr);
    let compared = k.pt.rules.dontunmap_compares_given_lengths && flags.contains(MremapFlags::DONTUNMAP);
    if compared && old_len != new_len {
        return Err(Errno::EINVAL);
    }
    let remap = Remap { addr, old_len: round(old_len), new_len: round(new_len), flags, new_addr };
    check_mremap_params::<A>(mm, &k.pt.rules, &remap)?;
    check_new_place::<A>(mm, &k.pt.rules, &remap)?;
    // A move may cut its VMA in three, and the target too.
    if mm.vmas.len() as u64 + 4 > k.config().max_map_count {
        return Err(Errno::ENOMEM);
    }
    let moves_only = flags.contains(MremapFlags::FIXED) && remap.old_len == remap.new_len;
    if moves_only && k.pt.rules.mremap_many_vmas {
        return remap_move(k, mm, &remap);
    }
    mm.vmas.find(addr).ok_or(Errno::EFAULT)?;
    let at = if remap.implies_new_addr() {
        mremap_to(k, mm, remap)?
    } else {
        check_prep_vma(mm, &remap)?;
        mremap_at(k, mm, remap)?
    };
    let locked = mm.vmas.find(at).is_some_and(|vma| vma.flags.contains(VmFlags::LOCKED));
    if locked && remap.new_len > remap.old_len {
        mm_populate(k, mm, at.add(remap.old_len), at.add(remap.new_len));
    }
    Ok(at)
}

fn check_mremap_params<A: Arch>(mm: &Mm, rules: &Rules, r: &Remap) -> Result<(), Errno> {
    let known = MremapFlags::MAYMOVE | MremapFlags::FIXED | MremapFlags::DONTUNMAP;
    let goes_elsewhere = r.flags.contains(MremapFlags::MAYMOVE)
        && !(r.flags.contains(MremapFlags::DONTUNMAP) && r.old_len != r.new_len);
    let sane = known.contains(r.flags)
        && r.addr.is_aligned(A::PAGE_SIZE)
        && r.new_len != 0
        && (r.new_len <= mm.task_size || !rules.mremap_checks_length || r.implies_new_addr())
        && (goes_elsewhere || !r.implies_new_addr());
    if sane { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether memory can come to the new address; before 6.17 that was asked once there was a VMA that is not sealed.
fn check_new_place<A: Arch>(mm: &Mm, rules: &Rules, r: &Remap) -> Result<(), Errno> {
    if !r.implies_new_addr() {
        return Ok(());
    }
    let found = || mm.vmas.find(r.addr).ok_or(Errno::EFAULT).and_then(|vma| check_unsealed([vma]));
    if rules.mremap_aligns_late {
        found()?;
    }
    if !r.new_addr.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if rules.mremap_finds_vma_first {
        found()?;
    }
    let fits = r.new_len <= mm.task_size && r.new_addr.get() <= mm.task_size - r.new_len;
    if fits && !r.overlaps() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether the VMA at the old address allows what is asked.
fn check_prep_vma(mm: &Mm, r: &Remap) -> Result<(), Errno> {
    let vma = mm.vmas.find(r.addr).ok_or(Errno::EFAULT)?;
    check_unsealed([vma])?;
    let shrinks = r.new_len < r.old_len;
    if !r.implies_new_addr() && r.new_len <= r.old_len {
        return Ok(());
    }
    let fixed_size = vma.flags.intersects(VmFlags::DONTEXPAND | VmFlags::PFNMAP);
    let shared = vma.flags.intersects(VmFlags::SHARED | VmFlags::MAYSHARE);
    let duplicates = r.old_len == 0 && !shared;
    if duplicates || r.flags.contains(MremapFlags::DONTUNMAP) && fixed_size {
        return Err(Errno::EINVAL);
    }
    let old_len = if shrinks { r.new_len } else { r.old_len };
    if old_len > vma.end.since(r.addr) {
        return Err(Errno::EFAULT);
    }
    if r.new_len != r.old_len && fixed_size {
        return Err(Errno::EFAULT);
    }
    Ok(())
}

/// Moves everything in a range to a fixed place, VMA by VMA; gaps keep their size. One that a userfaultfd has moves alone
/// (`vma_multi_allowed`).
fn remap_move<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    r: &Remap,
) -> Result<VirtAddr, Errno> {
    let source = |vma: &Vma| (vma.start.max(r.addr), vma.end, vma.uffd.is_some());
    let range_end = r.addr.checked_add(r.old_len).ok_or(Errno::EFAULT)?;
    let sources: Vec<_> = mm.vmas.range(r.addr, range_end).map(source).collect();
    if sources.first().is_none_or(|&(start, ..)| start > r.addr) {
        return Err(Errno::EFAULT);
    }
    for (start, end, moves_alone) in sources {
        if moves_alone && (start > r.addr || end < range_end) {
            return Err(Errno::EFAULT);
        }
        let end = end.min(range_end);
        let len = end.since(start);
        let to = r.new_addr.add(start.since(r.addr));
        let part = Remap { addr: start, old_len: len, new_len: len, new_addr: to, ..*r };
        mremap_to(k, mm, part)?;
    }
    Ok(r.new_addr)
}

/// Without a new address: shrink in place, grow in place, or grow elsewhere.
fn mremap_at<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    r: Remap,
) -> Result<VirtAddr, Errno> {
    if r.new_len <= r.old_len {
        shrink(k, mm, &r)?;
        return Ok(r.addr);
    }
    let vma = mm.vmas.find(r.addr).expect("checked before").clone();
    let delta = r.new_len - r.old_len;
    let end = vma.end.checked_add(delta).filter(|end| end.get() <= mm.task_size);
    let free = end.is_some_and(|end| !mm.vmas.intersects(vma.end, end));
    if vma.end == r.old_end() && free {
        k.pt.check_asce_limit(mm, vma.end.add(delta))?;
        expand_in_place(k, mm, &vma, delta)?;
        return Ok(r.addr);
    }
    if !r.flags.contains(MremapFlags::MAYMOVE) {
        return Err(Errno::ENOMEM);
    }
    let new_addr = get_unmapped_area::<A>(mm, VirtAddr::new(0), r.new_len, vma.is_anonymous())?;
    k.pt.check_asce_limit(mm, new_addr.add(r.new_len))?;
    move_vma(k, mm, Remap { new_addr, ..r })
}

fn shrink<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, r: &Remap) -> Result<(), Errno> {
    let end = r.addr.checked_add(r.old_len).ok_or(Errno::EINVAL)?;
    if r.new_len < r.old_len {
        if end.get() > mm.task_size {
            return Err(Errno::EINVAL);
        }
        unmap_range(k, mm, r.addr.add(r.new_len), end)?;
    }
    Ok(())
}

fn expand_in_place<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    vma: &Vma,
    delta: u64,
) -> Result<(), Errno> {
    if vma.flags.contains(VmFlags::ACCOUNT) {
        charge(k, delta >> A::PAGE_SHIFT)?;
    }
    let extension = Vma {
        start: vma.end,
        end: vma.end.add(delta),
        pgoff: vma.pgoff_of(vma.end, A::PAGE_SHIFT),
        ..vma.clone()
    };
    hold(k, &extension);
    extend_vma(k, mm, extension);
    Ok(())
}

/// With a new address: what is there goes first.
fn mremap_to<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    mut r: Remap,
) -> Result<VirtAddr, Errno> {
    let checks_late = k.pt.rules.mremap_unmaps_before_checks;
    if !checks_late {
        check_prep_vma(mm, &r)?;
    }
    if r.flags.contains(MremapFlags::FIXED) {
        unmap_range(k, mm, r.new_addr, r.new_addr.add(r.new_len))?;
        mm.vmas.find(r.addr).ok_or(Errno::EFAULT)?;
    }
    if r.new_len < r.old_len {
        shrink(k, mm, &r)?;
        r.old_len = r.new_len;
    }
    if checks_late {
        check_prep_vma(mm, &r)?;
    }
    if !r.flags.contains(MremapFlags::FIXED) {
        let private = mm.vmas.find(r.addr).is_some_and(Vma::is_anonymous);
        r.new_addr = get_unmapped_area::<A>(mm, r.new_addr, r.new_len, private)?;
    }
    k.pt.check_asce_limit(mm, r.new_addr.add(r.new_len))?;
    move_vma(k, mm, r)
}

/// Makes a VMA at the new place, moves the page tables there, and unmaps the old range unless it is to stay.
fn move_vma<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, r: Remap) -> Result<VirtAddr, Errno> {
    let vma = mm.vmas.find(r.addr).expect("checked before").clone();
    let keeps_source = r.flags.contains(MremapFlags::DONTUNMAP);
    let grows = if keeps_source { r.new_len } else { r.new_len - r.old_len };
    let accounted = vma.flags.contains(VmFlags::ACCOUNT);
    if accounted {
        charge(k, grows >> A::PAGE_SHIFT)?;
    }
    let at = copy_vma(k, mm, &vma, &r);
    let copy = mm.vmas.at(at).clone();
    if let Err(errno) = move_page_tables(k, mm, &vma, &copy, &r) {
        undo_move(k, mm, &r, accounted)?;
        return Err(errno);
    }
    if loses_uffd(k, &vma) {
        userfaultfd_reset(k, mm, at);
    }
    if keeps_source {
        dontunmap_complete(k, mm, &r);
    } else {
        if accounted {
            // Unmapping gives back what the new VMA has inherited.
            k.committed += r.old_len >> A::PAGE_SHIFT;
        }
        unmap_range(k, mm, r.addr, r.old_end())?;
    }
    Ok(r.new_addr)
}

/// Memory ran out halfway: what was moved moves back, and the new VMA is removed.
fn undo_move<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    r: &Remap,
    accounted: bool,
) -> Result<(), Errno> {
    let back = Remap { addr: r.new_addr, new_addr: r.addr, new_len: r.old_len, ..*r };
    let from = mm.vmas.find(r.new_addr).expect("just made").clone();
    let to = mm.vmas.find(r.addr).expect("still there").clone();
    // The tables of the old place are all there, so this cannot fail.
    move_page_tables(k, mm, &from, &to, &back)?;
    if accounted && !r.flags.contains(MremapFlags::DONTUNMAP) {
        k.committed += r.old_len >> A::PAGE_SHIFT;
    }
    unmap_range(k, mm, r.new_addr, r.new_addr.add(r.new_len))
}

/// The VMA at the new place, merged with what is there: with the source too, where nothing was faulted in yet (`copy_vma`).
fn copy_vma<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, vma: &Vma, r: &Remap) -> VirtAddr {
    let fresh = vma.is_anonymous() && vma.anon_vma.is_none();
    let copy = Vma {
        start: r.new_addr,
        end: r.new_addr.add(r.new_len),
        pgoff: if fresh { r.new_addr.get() >> A::PAGE_SHIFT } else { vma.pgoff_of(r.addr, A::PAGE_SHIFT) },
        ..vma.clone()
    };
    hold(k, &copy);
    insert_vma(k, mm, copy)
}

/// The source of a move stays, but empty. If all of a VMA moved, it drops its anon_vmas.
fn dontunmap_complete<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, r: &Remap) {
    let is_locked = |vma: &Vma| vma.flags.intersects(LOCKED_MASK);
    if k.pt.rules.dontunmap_unlocks_part && mm.vmas.find(r.addr).is_some_and(is_locked) {
        // Where there can be no more VMAs, all of it is unlocked.
        let _ = isolate(k, mm, r.addr, r.old_end());
    }
    let vma = mm.vmas.find(r.addr).expect("it stays mapped").clone();
    let kept = mm.vmas.at_mut(vma.start);
    kept.flags -= LOCKED_MASK;
    if k.pt.rules.dontunmap_unaccounts {
        kept.flags -= VmFlags::ACCOUNT;
    }
    if vma.start == r.addr && vma.end == r.old_end() {
        kept.anon_vma = None;
        kept.chain = [].into();
        if kept.is_anonymous() && k.pt.rules.dontunmap_resets_pgoff {
            kept.pgoff = kept.start.get() >> A::PAGE_SHIFT;
        }
        k.rmap.unlink(&vma.chain);
    }
}

/// Moves entries, and whole tables where both places allow it (`move_page_tables`).
fn move_page_tables<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    old: &Vma,
    new: &Vma,
    r: &Remap,
) -> Result<(), Errno> {
    let end = r.old_end();
    let (mut from, mut to) = realign::<A>(mm, old, new, r);
    let moves_tables = A::HAVE_MOVE_TABLES && !loses_uffd(k, old);
    while from < end {
        let extent = step_extent::<A>(from, to, end, Level::Pud);
        let whole_pud = extent == A::entry_size(Level::Pud);
        if whole_pud && moves_tables && move_normal_pud(&mut k.pt, mm, from, to)? {
            (from, to) = (from.add(extent), to.add(extent));
            continue;
        }
        let extent = step_extent::<A>(from, to, end, Level::Pmd);
        move_pmd_extent(k, mm, old, (from, to), extent)?;
        (from, to) = (from.add(extent), to.add(extent));
    }
    Ok(())
}

/// How far one step may go: to the next boundary of `level` on either side.
fn step_extent<A: Arch>(from: VirtAddr, to: VirtAddr, end: VirtAddr, level: Level) -> u64 {
    let size = A::entry_size(level);
    let left = |addr: VirtAddr| size - addr.get() % size;
    end.since(from).min(left(from)).min(left(to))
}

/// Starts at the table boundary below where nothing else is mapped there on either side, so that whole tables move.
fn realign<A: Arch>(mm: &Mm, old: &Vma, new: &Vma, r: &Remap) -> (VirtAddr, VirtAddr) {
    let size = A::entry_size(Level::Pmd);
    let offset = r.addr.get() % size;
    let can_align_down = |vma: &Vma, addr: VirtAddr| {
        vma.start == addr && !mm.vmas.intersects(addr.align_down(size), vma.start)
    };
    let can = offset != 0
        && offset == r.new_addr.get() % size
        && r.old_len >= size - offset
        && can_align_down(old, r.addr)
        && can_align_down(new, r.new_addr);
    if can { (r.addr.align_down(size), r.new_addr.align_down(size)) } else { (r.addr, r.new_addr) }
}

/// Moves a whole table of PMDs. Says whether there was one.
fn move_normal_pud<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    from: VirtAddr,
    to: VirtAddr,
) -> Result<bool, Errno> {
    let Ok(src) = pt.pmd_offset(mm, from) else { return Ok(false) };
    let src_table = src.align_down(A::ptrs_per(Level::Pmd));
    let dst = pt.pmd_alloc(mm, to)?.align_down(A::ptrs_per(Level::Pmd));
    if !pt.is_empty_table(dst, Level::Pmd) {
        return Ok(false);
    }
    // The empty table that stands at the new place takes the old one's place, and goes with it.
    let pud = |pt: &PageTables<A, H>, mm: &Mm, addr| pt.pud_offset(mm, addr);
    let (src_pud, dst_pud) = (pud(pt, mm, from), pud(pt, mm, to));
    pt.because(&cause::mremap_table, |pt| {
        pt.table_clear(src_pud, Level::Pud);
        pt.populate(dst_pud, Level::Pud, src_table);
    });
    pt.free_table(mm, dst, Level::Pmd);
    pt.flush_moved_table(from, A::entry_size(Level::Pud));
    Ok(true)
}

/// Moves what one PMD maps: a huge leaf or a table whole, or entry by entry.
fn move_pmd_extent<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    old: &Vma,
    (from, to): (VirtAddr, VirtAddr),
    extent: u64,
) -> Result<(), Errno> {
    let Ok(src) = k.pt.pmd_offset(mm, from) else { return Ok(()) };
    if k.pt.pmd_state(src) == PmdState::None {
        return Ok(());
    }
    let dst = k.pt.pmd_alloc(mm, to)?;
    let whole = extent == A::entry_size(Level::Pmd);
    let dst_free = k.pt.pmd_state(dst) == PmdState::None;
    match k.pt.pmd_state(src) {
        PmdState::Huge(_) | PmdState::Soft(_) if whole && dst_free => {
            k.because(&cause::mremap_huge, |k| {
                move_huge_pmd(k, old, (src, dst), (from, to));
            });
            return Ok(());
        }
        PmdState::Huge(_) | PmdState::Soft(_) => {
            k.because(&cause::mremap_huge, |k| k.pt.split_huge_pmd(mm, old, src, from));
        }
        PmdState::Table(table) if whole && dst_free && A::HAVE_MOVE_TABLES && !loses_uffd(k, old) => {
            k.because(&cause::mremap_table, |k| {
                k.pt.table_clear(src, Level::Pmd);
                k.pt.populate(dst, Level::Pmd, table);
                k.pt.flush_moved_table(from, extent);
            });
            return Ok(());
        }
        PmdState::Table(_) | PmdState::None => {}
    }
    let PmdState::Table(src) = k.pt.pmd_state(src) else { return Ok(()) };
    let dst = k.pt.pte_alloc(mm, dst)?;
    k.because(&cause::mremap, |k| move_ptes(k, old, (src, dst), (from, to), extent));
    Ok(())
}

fn move_huge_pmd<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    old: &Vma,
    (src, dst): (Ptep, Ptep),
    (from, to): (VirtAddr, VirtAddr),
) {
    let pmd = k.pt.pmdp_get_and_clear(from, src);
    let moved = if !k.pt.arch.pmd_present(pmd) {
        k.pt.arch.pte_pmd(moved_nonpresent(k, old, k.pt.arch.pmd_pte(pmd)))
    } else if loses_uffd(k, old) {
        k.pt.arch.pmd_mksoft_dirty(k.pt.arch.pmd_clear_uffd_wp(pmd))
    } else {
        k.pt.arch.pmd_mksoft_dirty(pmd)
    };
    k.pt.set_pmd_at(to, dst, moved);
    k.pt.flush_pmd_tlb_range(from);
}

/// Moves entries under one table on either side. Contiguous blocks move whole where the kernel batches here.
fn move_ptes<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    vma: &Vma,
    (src, dst): (Ptep, Ptep),
    (from, to): (VirtAddr, VirtAddr),
    extent: u64,
) {
    let (src, dst) = (src.add(A::index(from, Level::Pte)), dst.add(A::index(to, Level::Pte)));
    let max = (extent >> A::PAGE_SHIFT) as usize;
    let mut flush = false;
    let mut i = 0;
    while i < max {
        let (addr, new_addr) = (from.add((i as u64) << A::PAGE_SHIFT), to.add((i as u64) << A::PAGE_SHIFT));
        let (p, q) = (src.add(i), dst.add(i));
        let old = k.pt.ptep_get(p);
        let mut nr = 1;
        if k.pt.arch.pte_present(old) {
            flush = true;
            if k.pt.rules.mremap_batches && k.pt.arch.pte_batch_hint(p, old) > 1 {
                let folio = k.pt.vm_normal_folio(old);
                nr =
                    folio.map_or(1, |folio| k.pt.folio_pte_batch(folio, p, old, max - i, Fpb::RESPECT_WRITE));
            }
            let mut pte = k.pt.get_and_clear_ptes(addr, p, nr);
            if loses_uffd(k, vma) {
                pte = k.pt.arch.pte_clear_uffd_wp(pte);
            }
            k.pt.set_ptes(new_addr, q, k.pt.arch.pte_mksoft_dirty(pte), nr);
        } else if !k.pt.arch.pte_none(old) {
            let pte = k.pt.ptep_get_and_clear(addr, p);
            let pte = moved_nonpresent(k, vma, pte);
            if !k.pt.arch.pte_none(pte) {
                k.pt.set_pte_at(new_addr, q, pte);
            }
        }
        i += nr;
    }
    if flush {
        k.pt.flush_tlb_range(from, from.add(extent), Level::Pte);
    }
}

/// A software entry as it is at its new place.
fn moved_nonpresent<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma, mut pte: Pte) -> Pte {
    if loses_uffd(k, vma) {
        if k.pt.is_marker(pte, marker::UFFD_WP) {
            return A::EMPTY[0];
        }
        pte = k.pt.with_soft_flag(pte, SoftFlags::UFFD, false);
    }
    if k.pt.arch.has_soft_dirty() { k.pt.with_soft_flag(pte, SoftFlags::SOFT_DIRTY, true) } else { pte }
}

/// Whether write protection by userfaultfd ends with a move of this VMA.
fn loses_uffd<A: Arch, H: TableMemory>(k: &Kernel<A, H>, vma: &Vma) -> bool {
    vma.uffd.is_some_and(Userfaultfd::stays_at_remap) && !k.version.plants(MREMAP_KEEPS_UFFD_WP)
}
