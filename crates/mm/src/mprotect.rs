//! `mprotect`, from the call down to the entries (`mm/mprotect.c`, 7.3). As there, the entries come first.
//!
//! The entries of a large folio usually differ in nothing but their frame, so since 6.17 they are taken in batches: one look at
//! the page struct, one transaction and one flush request for all of them (of private memory: one commit for each run of
//! equal `AnonExclusive`). On arm64 that pays twice, as a batch that covers a
//! contiguous block need not unfold it.

pub(crate) mod change;
pub(crate) mod entries;
pub(crate) mod numa;
pub(crate) mod softleaf;
pub(crate) mod writable;

use crate::cause;
use crate::gup::populate_vma_page_range;
use crate::huge_memory::change::change_huge_pmd;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::mprotect::change::CpFlags;
use crate::mprotect::entries::{ChangeWalk, Entries};
use crate::mprotect::numa::folio_can_map_prot_numa;
use crate::mprotect::softleaf::{changed_softleaf, uffd_changed};
use crate::mprotect::writable::{
    SetWrite, can_change_pte_writable, can_change_shared_pte_writable, maybe_change_pte_writable,
};
use crate::mseal::check_unsealed;
use crate::pkeys::{allocated_pkey, override_pkey, prepare_execute_only};
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::util::{charge, uncharge};
use crate::vm_area::Vma;
use crate::vma::{vma_modify_flags, vma_set_page_prot, vma_wants_manual_pte_write_upgrade};
use ptelab_pgtable::{
    Arch, Event, FolioSpan, Fpb, Level, MmuGather, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use ptelab_uapi::{Errno, PkeyRights, Prot};
use std::ops::Range;

/// A batch in its transaction: `oldpte` is what start returned for the first entry, `ptent` what it is to become.
#[derive(Clone, Copy)]
struct Batch {
    addr: VirtAddr,
    ptep: Ptep,
    oldpte: Pte,
    ptent: Pte,
    nr_ptes: usize,
}

/// How many entries from `ptep` on change together: those of one folio that are alike.
#[inline]
fn mprotect_folio_pte_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    folio: Option<FolioSpan>,
    ptep: Ptep,
    pte: Pte,
    max_nr_ptes: usize,
    flags: Fpb,
) -> usize {
    match folio {
        Some(folio) if folio.order > 0 => pt.folio_pte_batch(folio, ptep, pte, max_nr_ptes, flags),
        _ => 1,
    }
}

/// Whether NUMA hinting passes over an entry (6.16).
fn prot_numa_skip<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, oldpte: Pte) -> bool {
    pt.arch.pte_protnone(oldpte)
        || !pt.vm_normal_folio(oldpte).is_some_and(|folio| folio_can_map_prot_numa(pt, vma, folio))
}

/// Closes the transaction on those entries of a batch whose numbers are `idx`, and requests the flush they need.
#[inline]
fn prot_commit_flush_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    batch: &Batch,
    idx: Range<usize>,
    set_write: SetWrite,
) {
    let addr = batch.addr.add(idx.start as u64 * A::PAGE_SIZE);
    let ptep = batch.ptep.add(idx.start);
    let oldpte = pt.arch.pte_advance_pfn(batch.oldpte, idx.start);
    let ptent = set_write.mkwrite(pt, pt.arch.pte_advance_pfn(batch.ptent, idx.start));
    note_commit(pt, walk.vma, oldpte);
    pt.because_some(set_write.cause(), |pt| {
        pt.modify_prot_commit_ptes(addr, ptep, oldpte, ptent, idx.len());
    });
    if pt.arch.pte_needs_flush(oldpte, ptent) {
        tlb_flush_pte_range(pt, walk, addr, idx.len());
    }
}

/// Commits a batch of private pages in runs of those that are exclusive to the process, which become writable, and those that
/// are not.
#[inline]
fn commit_anon_folio_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    folio: FolioSpan,
    batch: &Batch,
) {
    let from_head = pt.rules.exclusive_from_folio_head;
    let first_page = if from_head { folio.head } else { pt.arch.pte_pfn(batch.oldpte) };
    pt.hw.event(Event::ExclusiveReads(batch.nr_ptes as u32));
    let mut idx = 0;
    while idx < batch.nr_ptes {
        let page = first_page.add(idx as u64);
        let (exclusive, len) = pt.pages.page_anon_exclusive_sub_batch(page, batch.nr_ptes - idx);
        let set_write = if exclusive { SetWrite::Yes } else { SetWrite::No(&cause::write_not_exclusive) };
        prot_commit_flush_ptes(pt, walk, batch, idx..idx + len, set_write);
        idx += len;
    }
}

/// Commits a batch of a mapping that became writable: each page that may be written without a fault becomes writable at once.
#[inline]
fn set_write_prot_commit_flush_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    folio: Option<FolioSpan>,
    batch: &Batch,
) {
    pt.hw.event(Event::WriteCheck);
    let vma = walk.vma;
    if vma.flags.contains(VmFlags::SHARED) {
        let set_write = can_change_shared_pte_writable(pt, vma, batch.ptent).into();
        return prot_commit_flush_ptes(pt, walk, batch, 0..batch.nr_ptes, set_write);
    }
    let anon = || folio.filter(|&folio| pt.pages.is_anon(folio)).ok_or(&cause::write_not_anon);
    match maybe_change_pte_writable(pt, vma, batch.ptent).and_then(|()| anon()) {
        Ok(folio) => commit_anon_folio_batch(pt, walk, folio, batch),
        Err(why) => prot_commit_flush_ptes(pt, walk, batch, 0..batch.nr_ptes, SetWrite::No(why)),
    }
}

/// Changes a software entry, or an empty one that userfaultfd is to protect.
fn change_softleaf_pte<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &ChangeWalk<'_>,
    addr: VirtAddr,
    ptep: Ptep,
    oldpte: Pte,
) {
    let (newpte, why) = changed_softleaf(pt, walk, oldpte);
    if newpte == oldpte {
        return;
    }
    pt.because(why, |pt| {
        if pt.arch.pte_none(newpte) {
            pt.pte_clear(addr, ptep);
        } else {
            pt.set_pte_at(addr, ptep, newpte);
        }
    });
}

/// Changes an entry that maps no page.
fn change_nonpresent_pte<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &ChangeWalk<'_>,
    addr: VirtAddr,
    ptep: Ptep,
    oldpte: Pte,
) {
    let none = pt.arch.pte_none(oldpte);
    pt.hw.event(if none { Event::EmptyEntry } else { Event::NotPresent });
    if !none || walk.cp_flags.contains(CpFlags::UFFD_WP) {
        change_softleaf_pte(pt, walk, addr, ptep, oldpte);
    }
}

/// Changes a batch of present entries: one transaction, and one commit for each run of equal `AnonExclusive` where that decides.
#[inline]
fn change_present_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    folio: Option<FolioSpan>,
    (addr, ptep): (VirtAddr, Ptep),
    nr_ptes: usize,
) {
    pt.hw.event(Event::Batch(nr_ptes as u32));
    pt.because(&cause::mprotect_batch, |pt| {
        let oldpte = pt.modify_prot_start_ptes(addr, ptep, nr_ptes);
        note_gathered(pt, oldpte, nr_ptes);
        let ptent = uffd_changed(pt, pt.arch.pte_modify(oldpte, walk.newprot), walk.cp_flags);
        let batch = Batch { addr, ptep, oldpte, ptent, nr_ptes };
        if walk.cp_flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(ptent) {
            set_write_prot_commit_flush_ptes(pt, walk, folio, &batch);
        } else {
            prot_commit_flush_ptes(pt, walk, &batch, 0..nr_ptes, SetWrite::NotAsked);
        }
    });
}

/// Changes the entries of `addr..end`, which lies under one table, batch by batch.
///
/// [`Entries`] hands out what must be looked at: what repeats a period already changed is changed in there.
fn change_pte_range<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    table: Ptep,
    addr: VirtAddr,
    end: VirtAddr,
) {
    let prot_numa = walk.cp_flags.contains(CpFlags::PROT_NUMA);
    let mut entries = Entries::new::<A>(table, addr, end);
    while let Some((addr, ptep, max_nr_ptes)) = entries.repeat_then_next(pt, walk) {
        let mut nr_ptes = 1;
        let oldpte = pt.ptep_get(ptep);
        if !pt.arch.pte_present(oldpte) {
            change_nonpresent_pte(pt, walk, addr, ptep, oldpte);
        } else if prot_numa && pt.arch.pte_protnone(oldpte) {
            pt.hw.keeps(ptep, 1, &cause::numa_skip);
        } else {
            let folio = pt.vm_normal_folio(oldpte);
            let skip = prot_numa && !folio.is_some_and(|folio| folio_can_map_prot_numa(pt, walk.vma, folio));
            let flags = if skip { Fpb::empty() } else { Fpb::RESPECT_SOFT_DIRTY | Fpb::RESPECT_WRITE };
            nr_ptes = mprotect_folio_pte_batch(pt, folio, ptep, oldpte, max_nr_ptes, flags);
            if skip {
                pt.hw.keeps(ptep, nr_ptes, &cause::numa_skip);
            } else {
                change_present_ptes(pt, walk, folio, (addr, ptep), nr_ptes);
            }
        }
        entries.step::<A>(nr_ptes);
    }
}

/// The same as 6.16 had it: one entry at a time.
fn change_pte_range_by_entry<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    table: Ptep,
    addr: VirtAddr,
    end: VirtAddr,
) {
    let ChangeWalk { vma, newprot, cp_flags, .. } = *walk;
    let mut entries = Entries::new::<A>(table, addr, end);
    while let Some((addr, ptep, _)) = entries.repeat_then_next(pt, walk) {
        entries.step::<A>(1);
        let oldpte = pt.ptep_get(ptep);
        if !pt.arch.pte_present(oldpte) {
            change_nonpresent_pte(pt, walk, addr, ptep, oldpte);
            continue;
        }
        if cp_flags.contains(CpFlags::PROT_NUMA) && prot_numa_skip(pt, vma, oldpte) {
            pt.hw.keeps(ptep, 1, &cause::numa_skip);
            continue;
        }
        pt.because(&cause::mprotect_entry, |pt| {
            let oldpte = pt.ptep_modify_prot_start(addr, ptep);
            let mut ptent = uffd_changed(pt, pt.arch.pte_modify(oldpte, newprot), cp_flags);
            let mut set_write = SetWrite::NotAsked;
            if cp_flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(ptent) {
                set_write = can_change_pte_writable(pt, vma, ptent).into();
                ptent = set_write.mkwrite(pt, ptent);
            }
            note_commit(pt, vma, oldpte);
            pt.because_some(set_write.cause(), |pt| pt.ptep_modify_prot_commit(addr, ptep, oldpte, ptent));
            if pt.arch.pte_needs_flush(oldpte, ptent) {
                tlb_flush_pte_range(pt, walk, addr, 1);
            }
        });
    }
}

/// Notes the dirty bits that start gathered into the first entry; all of a dirty batch count as dirty.
#[inline]
fn note_gathered<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, oldpte: Pte, nr_ptes: usize) {
    if pt.arch.pte_dirty(oldpte) && nr_ptes > 1 {
        pt.hw.event(Event::DirtyGathered(nr_ptes as u32 - 1));
    }
}

/// Takes note of a transaction that is about to be closed; start had returned `oldpte`.
#[inline]
fn note_commit<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, oldpte: Pte) {
    pt.hw.event(Event::Commit);
    if !pt.arch.pte_protnone(oldpte) {
        pt.hw.event(Event::FlushCheck);
    }
    if vma.flags.contains(VmFlags::EXEC) {
        pt.hw.event(Event::ExecCommit);
    }
}

#[inline]
fn tlb_flush_pte_range<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut ChangeWalk<'_>,
    addr: VirtAddr,
    nr_ptes: usize,
) {
    pt.hw.event(Event::FlushRequest);
    walk.tlb.flush_range(addr, nr_ptes as u64 * A::PAGE_SIZE, Level::Pte);
}

/// Changes what the PMDs of a range map; what is empty above them is passed over.
fn change_pmd_range<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    walk: &mut ChangeWalk<'_>,
    mut addr: VirtAddr,
    end: VirtAddr,
) {
    loop {
        let (empty, pmd) = pt.next_pmd_after(mm, addr, end);
        pt.hw.event(Event::EmptyDirectories(empty));
        let Some((pmdp, from, next)) = pmd else { break };
        addr = next;
        if let PmdState::Huge(pmd) | PmdState::Soft(pmd) = pt.pmd_state(pmdp) {
            if next.since(from) == A::entry_size(Level::Pmd) {
                change_huge_pmd(pt, walk, from, pmdp, pmd);
                continue;
            }
            pt.split_huge_pmd(mm, walk.vma, pmdp, from);
        }
        let PmdState::Table(table) = pt.pmd_state(pmdp) else { continue };
        pt.hw.event(Event::TableWalk);
        if pt.rules.mprotect_batches {
            change_pte_range(pt, walk, table, from, next);
        } else {
            change_pte_range_by_entry(pt, walk, table, from, next);
        }
    }
}

/// Changes the entries of `addr..end`, which lies in one VMA, to what its protection says now (`change_protection_range`).
pub(crate) fn change_protection<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    vma: &Vma,
    (addr, end): (VirtAddr, VirtAddr),
    cp_flags: CpFlags,
) {
    let numa = cp_flags.contains(CpFlags::PROT_NUMA);
    let newprot = if numa { pt.arch.vm_get_page_prot(VmFlags::empty()) } else { vma.page_prot };
    change_pmd_range(pt, mm, &mut ChangeWalk::new(tlb, vma, newprot, cp_flags), addr, end);
    pt.tlb_end_vma(tlb);
}

/// Gives `start..end`, which lies in one VMA, new flags: accounts, splits or merges, then changes the entries
/// (`mprotect_fixup`).
fn mprotect_fixup<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    mut flags: VmFlags,
    tlb: &mut MmuGather,
) -> Result<(), Errno> {
    let vma = mm.vmas.find(start).expect("the caller found it");
    check_unsealed([vma])?;
    let old = vma.flags;
    if flags == old {
        return Ok(());
    }
    let pages = end.since(start) >> A::PAGE_SHIFT;
    let exempt = VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::HUGETLB | VmFlags::SHARED | VmFlags::NORESERVE;
    let mut charged = 0;
    if flags.contains(VmFlags::WRITE) {
        if !old.intersects(exempt) {
            k.pt.hw.event(Event::Charge);
            charged = pages;
            flags |= VmFlags::ACCOUNT;
        }
    } else if old.contains(VmFlags::ACCOUNT) && vma.is_anonymous() && vma.anon_vma.is_none() {
        flags -= VmFlags::ACCOUNT;
    }
    charge(k, charged)?;
    let at = match vma_modify_flags(k, mm, start, end, flags) {
        Ok(at) => at,
        Err(errno) => {
            uncharge(k, charged);
            return Err(errno);
        }
    };
    if old.contains(VmFlags::ACCOUNT) && !flags.contains(VmFlags::ACCOUNT) {
        uncharge(k, pages);
    }
    vma_set_page_prot(k, mm, at);
    let vma = mm.vmas.at(at).clone();
    let cp_flags = if vma_wants_manual_pte_write_upgrade(k, &vma) {
        CpFlags::TRY_CHANGE_WRITABLE
    } else {
        CpFlags::empty()
    };
    k.pt.hw.event(Event::VmaChange);
    change_protection(&mut k.pt, mm, tlb, &vma, (start, end), cp_flags);
    let locked_mask = VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED;
    if old & locked_mask == VmFlags::LOCKED && flags.contains(VmFlags::WRITE) {
        // What cannot be faulted in is ignored, as when locked memory is mapped.
        let _ = populate_vma_page_range(k, mm, &vma, (start, end));
    }
    Ok(())
}

fn new_flags<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, prot: Prot) -> VmFlags {
    let asked = VmFlags::from_bits_retain((prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits());
    let arch = pt.arch.arch_calc_vm_prot_bits(prot.bits());
    let kept = vma.flags - (VmFlags::ACCESS | VmFlags::PKEY | A::VM_ARCH_CLEAR);
    asked | arch | kept
}

pub(crate) fn valid_prot<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, prot: Prot) -> bool {
    let known = (Prot::READ | Prot::WRITE | Prot::EXEC | Prot::SEM).bits() | pt.arch.arch_prot_bits();
    prot.bits() & !known == 0
}

/// Where the change begins: the range must begin in a VMA, or reach down into a stack.
fn mprotect_start(mm: &Mm, start: VirtAddr, end: VirtAddr, grows: Prot) -> Result<VirtAddr, Errno> {
    let vma = mm.vmas.find_or_next(start).filter(|vma| vma.start < end).ok_or(Errno::ENOMEM)?;
    if grows == Prot::GROWSDOWN {
        return if vma.flags.contains(VmFlags::GROWSDOWN) { Ok(vma.start) } else { Err(Errno::EINVAL) };
    }
    if vma.start > start {
        return Err(Errno::ENOMEM);
    }
    // No architecture here has stacks that grow up.
    if grows == Prot::GROWSUP { Err(Errno::EINVAL) } else { Ok(start) }
}

fn mprotect_vmas<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    (mut start, end): (VirtAddr, VirtAddr),
    prot: Prot,
    pkey: Option<u8>,
    tlb: &mut MmuGather,
) -> Result<(), Errno> {
    while start < end {
        let Some(vma) = mm.vmas.find(start) else {
            k.pt.hw.event(Event::HoleMet);
            return Err(Errno::ENOMEM);
        };
        k.pt.hw.event(Event::VmaVisit);
        let key = pkey.unwrap_or_else(|| override_pkey(mm, Some(vma), prot));
        let flags = new_flags(&k.pt, vma, prot).with_pkey(key);
        let part_end = vma.end.min(end);
        // The MAY bits stand four places above the bits that they allow.
        let wanted = flags & VmFlags::ACCESS;
        if !flags.contains(VmFlags::from_bits_retain(wanted.bits() << 4)) {
            return Err(Errno::EACCES);
        }
        mprotect_fixup(k, mm, start, part_end, flags, tlb)?;
        start = part_end;
    }
    Ok(())
}

fn do_mprotect_pkey<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    prot: Prot,
    pkey: Option<i32>,
) -> Result<(), Errno> {
    let start = A::untagged_addr(start);
    let grows = prot & (Prot::GROWSDOWN | Prot::GROWSUP);
    let prot = prot - grows;
    if grows == Prot::GROWSDOWN | Prot::GROWSUP || !start.is_aligned(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(());
    }
    let end = A::page_end(start, len).ok_or(Errno::ENOMEM)?;
    if !valid_prot(&k.pt, prot) {
        return Err(Errno::EINVAL);
    }
    k.pt.hw.event(Event::MmapLock);
    let pkey = pkey.map(|pkey| allocated_pkey(&k.pt, mm, pkey)).transpose()?;
    let start = mprotect_start(mm, start, end, grows)?;
    if pkey.is_none() {
        prepare_execute_only(&k.pt, mm, prot);
    }
    let mut tlb = MmuGather::default();
    k.pt.hw.event(Event::GatherOpened);
    let done = mprotect_vmas(k, mm, (start, end), prot, pkey, &mut tlb);
    k.pt.tlb_finish(&mut tlb);
    done
}

/// Changes the protection of a range, in bytes (`do_mprotect_pkey`).
///
/// # Errors
/// `EINVAL`, `ENOMEM`, `EACCES` in the order in which Linux checks. VMAs before the one that failed stay changed.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mprotect<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    prot: Prot,
) -> Result<(), Errno> {
    do_mprotect_pkey(k, mm, start, len, prot, None)
}

/// Changes the protection of a range, in bytes, and its key; -1 is no key of the caller's choice (`pkey_mprotect`).
///
/// # Errors
/// Those of [`mprotect`](fn@mprotect), `EINVAL` for a key that the process does not have, `ENOSYS` where the architecture has
/// none.
pub fn pkey_mprotect<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    prot: Prot,
    pkey: i32,
) -> Result<(), Errno> {
    k.pt.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
    do_mprotect_pkey(k, mm, start, len, prot, (pkey != -1).then_some(pkey))
}

/// A new key with these rights (`pkey_alloc`).
///
/// # Errors
/// `ENOSYS` where the architecture has no keys, `EINVAL` for flags, other rights, and on x86 a CPU without keys; `ENOSPC` where
/// none is left, or the MMU has none.
pub fn pkey_alloc<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    flags: u64,
    rights: PkeyRights,
) -> Result<u8, Errno> {
    let count = k.pt.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
    let none_known = count == 0 && k.pt.arch.mmu_has_pkeys();
    if flags != 0 || rights.bits() & !k.pt.arch.pkey_access_mask() != 0 || none_known {
        return Err(Errno::EINVAL);
    }
    // Key 0 alone is none to give out.
    if count <= 1 {
        return Err(Errno::ENOSPC);
    }
    mm.pkeys.alloc(count, rights).ok_or(Errno::ENOSPC)
}

/// Gives a key back; memory that has it keeps it (`pkey_free`).
///
/// # Errors
/// `ENOSYS`, `EPERM` where the MMU has no keys, or `EINVAL` for a key that the process does not have.
pub fn pkey_free<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, pkey: i32) -> Result<(), Errno> {
    if !k.pt.arch.mmu_has_pkeys() {
        return Err(Errno::EPERM);
    }
    let key = allocated_pkey(&k.pt, mm, pkey)?;
    mm.pkeys.allocated &= !(1 << key);
    Ok(())
}
