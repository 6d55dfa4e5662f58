//! `mprotect`, from the call down to the entries (`mm/mprotect.c`, 7.3).

pub(crate) mod writable;

use crate::cause;
use crate::gup::populate_vma_page_range;
use crate::kernel::Kernel;
use crate::mm_inline::{uffd_changed, uffd_changed_nonpresent};
use crate::mm_types::{Mm, Vma};
use crate::mprotect::writable::{
    can_change_pmd_writable, can_change_pte_writable, can_change_shared_pte_writable,
    maybe_change_pte_writable,
};
use crate::pages::CPU_NODE;
use crate::pkeys::{allocated_pkey, override_pkey, prepare_execute_only};
use crate::repeat::{Repeat, repeat_change};
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use crate::util::{charge, uncharge};
use crate::vma::{vma_modify, vma_set_page_prot, wants_write_upgrade};
use bitflags::bitflags;
use ptelab_pgtable::{
    Arch, Cause, Event, FolioSpan, Fpb, Level, MmuGather, Pfn, PgProt, Pte, Ptep, SoftFlags, SoftLeaf,
    TableMemory, VirtAddr, VmFlags, swp_type,
};
use ptelab_uapi::{Errno, PkeyRights, Prot};

/// `PKEY_ACCESS_MASK`
const PKEY_ACCESS_MASK: PkeyRights = PkeyRights::DISABLE_ACCESS.union(PkeyRights::DISABLE_WRITE);

bitflags! {
    /// Why protections change (`MM_CP_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct CpFlags: u8 {
        /// Entries that may be writable without a fault become so.
        const TRY_CHANGE_WRITABLE = 1 << 0;
        /// NUMA hinting: entries become inaccessible for the next access to be noticed.
        const PROT_NUMA = 1 << 1;
        /// userfaultfd write protection goes on.
        const UFFD_WP = 1 << 2;
        /// userfaultfd write protection goes off.
        const UFFD_WP_RESOLVE = 1 << 3;
    }
}

/// What one walk of `change_protection` is about.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) vma: &'a Vma,
    pub(crate) prot: PgProt,
    pub(crate) flags: CpFlags,
}

/// One walk of `change_protection`, as far as it has come.
pub(crate) struct Walk<'a> {
    pub(crate) tlb: &'a mut MmuGather,
    pub(crate) change: &'a Change<'a>,
    /// Pages looked at.
    pub(crate) pages: u64,
    pub(crate) repeat: Repeat,
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

fn do_mprotect_pkey<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
    prot: Prot,
    pkey: Option<i32>,
) -> Result<(), Errno> {
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
    let start = mprotect_start(&k.pt, mm, start, end, grows)?;
    if pkey.is_none() {
        prepare_execute_only(&k.pt, mm, prot);
    }
    let mut tlb = MmuGather::default();
    k.pt.hw.event(Event::GatherOpened);
    let done = mprotect_vmas(k, mm, (start, end), prot, pkey, &mut tlb);
    k.pt.tlb_finish(&mut tlb);
    done
}

fn valid_prot<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, prot: Prot) -> bool {
    let known = (Prot::READ | Prot::WRITE | Prot::EXEC | Prot::SEM).bits() | pt.arch.arch_prot_bits();
    prot.bits() & !known == 0
}

/// Where the change begins: the range must begin in a VMA, or reach down into a stack.
fn mprotect_start<A: Arch, H: TableMemory>(
    _pt: &PageTables<A, H>,
    mm: &Mm,
    start: VirtAddr,
    end: VirtAddr,
    grows: Prot,
) -> Result<VirtAddr, Errno> {
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
        let key = pkey.unwrap_or_else(|| override_pkey(&k.pt, mm, Some(vma), prot));
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

fn new_flags<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, prot: Prot) -> VmFlags {
    let asked = VmFlags::from_bits_retain((prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits());
    let arch = pt.arch.arch_calc_vm_prot_bits(prot.bits());
    let kept = vma.flags - (VmFlags::ACCESS | VmFlags::PKEY | A::VM_ARCH_CLEAR);
    asked | arch | kept
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
    let at = match vma_modify(k, mm, start, end, flags) {
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
    let cp = if wants_write_upgrade(k, &vma) { CpFlags::TRY_CHANGE_WRITABLE } else { CpFlags::empty() };
    let change = Change { vma: &vma, prot: vma.page_prot, flags: cp };
    k.pt.hw.event(Event::VmaChange);
    change_protection(&mut k.pt, mm, tlb, &change, start, end);
    k.pt.tlb_end_vma(tlb);
    let locked = VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED;
    if old & locked == VmFlags::LOCKED && flags.contains(VmFlags::WRITE) {
        // As mmap of locked memory does, it ignores what cannot be faulted in.
        let _ = populate_vma_page_range(k, mm, &vma, (start, end));
    }
    Ok(())
}

/// Walks the PMDs of a range; returns the number of pages looked at (`change_protection_range`, `change_pmd_range`).
pub(crate) fn change_protection<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &mut Mm,
    tlb: &mut MmuGather,
    change: &Change<'_>,
    start: VirtAddr,
    end: VirtAddr,
) -> u64 {
    let mut walk = Walk { tlb, change, pages: 0, repeat: Repeat::default() };
    let mut addr = start;
    loop {
        let (empty, pmd) = pt.next_pmd_after(mm, addr, end);
        pt.hw.event(Event::EmptyDirectories(empty));
        let Some((pmdp, from, next)) = pmd else { break };
        addr = next;
        if let PmdState::Huge(pmd) | PmdState::Soft(pmd) = pt.pmd_state(pmdp) {
            if next.since(from) == A::entry_size(Level::Pmd) {
                change_huge_pmd(pt, &mut walk, pmdp, pmd, from);
                continue;
            }
            pt.split_huge_pmd(mm, change.vma, pmdp, from);
        }
        if let PmdState::Table(table) = pt.pmd_state(pmdp) {
            change_pte_range(pt, &mut walk, table, from, next);
        }
    }
    walk.pages
}

/// Changes the entries of `addr..end`, which lies under one table.
///
/// This is the loop of the series. The entries of a large folio usually differ in nothing but their frame, so they
/// are taken in batches: one look at the page struct, one transaction and one flush request for all of them. On
/// arm64 that pays twice, as a batch that covers a contiguous block needs not unfold it.
///
/// Where a table goes on as it began, what was done to its beginning is done to the rest at once: that is the emulator's
/// own shortcut, see [`Repeat`].
fn change_pte_range<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    table: Ptep,
    mut addr: VirtAddr,
    end: VirtAddr,
) {
    pt.hw.event(Event::TableWalk);
    let mut p = table.add(A::index(addr, Level::Pte));
    while addr < end {
        let max = (end.since(addr) >> A::PAGE_SHIFT) as usize;
        let nr = match repeat_change(pt, walk, addr, p, max) {
            0 => change_next(pt, walk, addr, p, max),
            repeated => repeated,
        };
        p = p.add(nr);
        addr = addr.add(nr as u64 * A::PAGE_SIZE);
    }
}

/// Changes the entry at `p`, and with it those of its batch. Returns how many entries it is done with.
#[inline]
pub(crate) fn change_next<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    max: usize,
) -> usize {
    let pte = pt.ptep_get(p);
    if !pt.arch.pte_present(pte) {
        let empty = pt.arch.pte_none(pte);
        pt.hw.event(if empty { Event::EmptyEntry } else { Event::NotPresent });
        if !empty || walk.change.flags.intersects(CpFlags::UFFD_WP) {
            change_nonpresent_pte(pt, walk, addr, p, pte);
        }
        return 1;
    }
    let nr = if pt.rules.mprotect_batches {
        change_present_batch(pt, walk, addr, p, pte, max)
    } else {
        change_present_entry(pt, walk, addr, p, pte)
    };
    walk.pages += nr as u64;
    nr
}

/// One entry, as before the series. Returns how many entries it is done with.
#[inline]
fn change_present_entry<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    pte: Pte,
) -> usize {
    let Change { vma, prot, flags } = *walk.change;
    if flags.contains(CpFlags::PROT_NUMA) && prot_numa_skip(pt, vma, pte).0 {
        pt.hw.keeps(p, 1, &cause::numa_skip);
        return 1;
    }
    pt.because(&cause::mprotect_entry, |pt| {
        let old = pt.ptep_modify_prot_start(addr, p);
        let mut new = uffd_changed(pt, pt.arch.pte_modify(old, prot), flags);
        let mut cause = &cause::mprotect_entry;
        if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(new) {
            (new, cause) = match can_change_pte_writable(pt, vma, new) {
                Ok(()) => (pte_upgrade(pt, new), &cause::write_upgrade),
                Err(stays) => (new, stays),
            };
        }
        note_commit(pt, vma, old);
        pt.because(cause, |pt| {
            pt.ptep_modify_prot_commit(addr, p, old, new);
        });
        if pt.arch.pte_needs_flush(old, new) {
            request_flush(pt, walk.tlb, addr, A::PAGE_SIZE, Level::Pte);
        }
    });
    1
}

/// One batch. Returns its length.
#[inline]
fn change_present_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    pte: Pte,
    max: usize,
) -> usize {
    let Change { vma, prot, flags } = *walk.change;
    let mut folio = None;
    if flags.contains(CpFlags::PROT_NUMA) {
        let skip;
        (skip, folio) = prot_numa_skip(pt, vma, pte);
        if skip {
            let skipped = pt.folio_pte_batch(folio, p, pte, max, Fpb::empty());
            pt.hw.keeps(p, skipped, &cause::numa_skip);
            return skipped;
        }
    }
    let folio = folio.or_else(|| pt.vm_normal_folio(pte));
    let respect = Fpb::RESPECT_SOFT_DIRTY | Fpb::RESPECT_WRITE;
    let nr = pt.folio_pte_batch(folio, p, pte, max, respect);
    pt.hw.event(Event::Batch(nr as u32));
    pt.because(&cause::mprotect_batch, |pt| {
        let old = pt.modify_prot_start_ptes(addr, p, nr);
        if pt.arch.pte_dirty(old) && nr > 1 {
            pt.hw.event(Event::DirtyGathered(nr as u32 - 1));
        }
        let new = uffd_changed(pt, pt.arch.pte_modify(old, prot), flags);
        let batch = Batch { addr, p, old, new, nr };
        if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(new) {
            set_write_prot_commit_flush_ptes(pt, walk.tlb, vma, folio, batch);
        } else {
            prot_commit_flush_ptes(pt, walk.tlb, vma, batch);
        }
    });
    nr
}

/// Closes the transaction on a batch and requests the flush it needs.
#[inline]
fn prot_commit_flush_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    tlb: &mut MmuGather,
    vma: &Vma,
    b: Batch,
) {
    note_commit(pt, vma, b.old);
    pt.modify_prot_commit_ptes(b.addr, b.p, b.old, b.new, b.nr);
    if pt.arch.pte_needs_flush(b.old, b.new) {
        request_flush(pt, tlb, b.addr, b.nr as u64 * A::PAGE_SIZE, Level::Pte);
    }
}

/// Takes note of a transaction that is closed; start had returned `old`.
#[inline]
fn note_commit<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, old: Pte) {
    pt.hw.event(Event::Commit);
    if !pt.arch.pte_protnone(old) {
        pt.hw.event(Event::FlushCheck);
    }
    if vma.flags.contains(VmFlags::EXEC) {
        pt.hw.event(Event::ExecCommit);
    }
}

#[inline]
fn request_flush<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    tlb: &mut MmuGather,
    addr: VirtAddr,
    len: u64,
    level: Level,
) {
    pt.hw.event(Event::FlushRequest);
    tlb.flush_range(addr, len, level);
}

/// Commits a batch of a mapping that became writable: each page that may be written without a fault becomes
/// writable at once.
#[inline]
fn set_write_prot_commit_flush_ptes<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    tlb: &mut MmuGather,
    vma: &Vma,
    folio: Option<FolioSpan>,
    b: Batch,
) {
    pt.hw.event(Event::WriteCheck);
    let maybe = maybe_change_pte_writable(pt, vma, b.new);
    if vma.flags.contains(VmFlags::SHARED) {
        let (new, cause) = match maybe.and_then(|()| can_change_shared_pte_writable(pt, b.new)) {
            Ok(()) => (pte_upgrade(pt, b.new), &cause::write_upgrade),
            Err(stays) => (b.new, stays),
        };
        return pt.because(cause, |pt| prot_commit_flush_ptes(pt, tlb, vma, Batch { new, ..b }));
    }
    match (maybe, folio.filter(|&folio| pt.pages.is_anon(folio))) {
        (Ok(()), Some(folio)) => commit_anon_folio_batch(pt, tlb, vma, folio, b),
        (Ok(()), None) => {
            pt.because(&cause::write_not_anon, |pt| prot_commit_flush_ptes(pt, tlb, vma, b));
        }
        (Err(stays), _) => pt.because(stays, |pt| prot_commit_flush_ptes(pt, tlb, vma, b)),
    }
}

/// Commits a batch of private pages in runs of those that are exclusive to the process, which become writable, and
/// those that are not.
#[inline]
fn commit_anon_folio_batch<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    tlb: &mut MmuGather,
    vma: &Vma,
    folio: FolioSpan,
    b: Batch,
) {
    let from_head = pt.rules.exclusive_from_folio_head;
    let first = if from_head { folio.head } else { pt.arch.pte_pfn(b.old) };
    pt.hw.event(Event::ExclusiveReads(b.nr as u32));
    let mut done = 0;
    while done < b.nr {
        let (exclusive, nr) = pt.pages.page_anon_exclusive_sub_batch(first.add(done as u64), b.nr - done);
        let new = pt.arch.pte_advance_pfn(b.new, done);
        let (new, cause) = if exclusive {
            (pte_upgrade(pt, new), &cause::write_upgrade)
        } else {
            (new, &cause::write_not_exclusive)
        };
        let run = Batch {
            addr: b.addr.add(done as u64 * A::PAGE_SIZE),
            p: b.p.add(done),
            old: pt.arch.pte_advance_pfn(b.old, done),
            new,
            nr,
        };
        pt.because(cause, |pt| prot_commit_flush_ptes(pt, tlb, vma, run));
        done += nr;
    }
}

/// An entry that may be written without a fault, writable.
#[inline]
fn pte_upgrade<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, pte: Pte) -> Pte {
    pt.hw.event(Event::WriteUpgrade);
    pt.arch.pte_mkwrite(pte)
}

/// Changes a huge page whole (`change_huge_pmd`, `mm/huge_memory.c`).
fn change_huge_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    pmdp: Ptep,
    pmd: Pte,
    addr: VirtAddr,
) {
    let Change { vma, prot, flags } = *walk.change;
    walk.pages += A::PTRS_PER_TABLE as u64;
    if !pt.arch.pmd_present(pmd) {
        return change_nonpresent_pmd(pt, walk, addr, pmdp, pmd);
    }
    pt.hw.event(Event::HugeChange);
    if flags.contains(CpFlags::PROT_NUMA) && numa_skip_huge(pt, vma, pmdp) {
        return pt.hw.keeps(pmdp, 1, &cause::numa_skip);
    }
    pt.because(&cause::mprotect_huge, |pt| {
        let old = pt.pmdp_invalidate_ad(addr, pmdp);
        let mut new = uffd_changed(pt, pt.arch.pmd_modify(old, prot), flags);
        let mut cause = &cause::mprotect_huge;
        if flags.contains(CpFlags::TRY_CHANGE_WRITABLE) && !pt.arch.pte_write(new) {
            (new, cause) = match can_change_pmd_writable(pt, vma, new) {
                Ok(()) => (pte_upgrade(pt, new), &cause::write_upgrade),
                Err(stays) => (new, stays),
            };
        }
        pt.because(cause, |pt| pt.set_pmd_at(addr, pmdp, new));
        if pt.arch.huge_pmd_needs_flush(old, new) {
            request_flush(pt, walk.tlb, addr, A::entry_size(Level::Pmd), Level::Pmd);
        }
    });
}

/// Whether NUMA hinting passes over an entry, and the entry's folio where that was looked up (`prot_numa_skip`,
/// `mm/mprotect.c`, 6.17).
fn prot_numa_skip<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    pte: Pte,
) -> (bool, Option<FolioSpan>) {
    if pt.arch.pte_protnone(pte) {
        return (true, None);
    }
    let folio = pt.vm_normal_folio(pte);
    (!folio.is_some_and(|folio| folio_can_map_prot_numa(pt, vma, folio)), folio)
}

/// Whether NUMA hinting passes over a huge leaf.
fn numa_skip_huge<A: Arch, H: TableMemory>(pt: &mut PageTables<A, H>, vma: &Vma, pmdp: Ptep) -> bool {
    let pmd = pt.hw.load(pmdp);
    if pt.arch.pte_protnone(pmd) {
        return true;
    }
    let Some(folio) = pt.vm_normal_folio_pmd(pmd) else { return true };
    pt.rules.numa_skips_huge_leaves && !folio_can_map_prot_numa(pt, vma, folio)
}

/// Whether a hint fault could do anything for this folio: not where another process shares it, nor where it is on the CPU's
/// node already (processes here have one thread).
fn folio_can_map_prot_numa<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    folio: FolioSpan,
) -> bool {
    let shared_cow = vma.flags.is_cow() && pt.pages.maybe_mapped_shared(folio);
    !shared_cow && pt.pages.node(folio) != CPU_NODE
}

/// A new key (`pkey_alloc`). `rights` are checked, and belong to a register that is not modelled.
///
/// # Errors
/// `ENOSYS` where the architecture has no keys, `EINVAL` for flags, other rights, and on x86 a CPU without keys; `ENOSPC` where
/// none is left.
pub fn pkey_alloc<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    flags: u64,
    rights: PkeyRights,
) -> Result<u8, Errno> {
    let count = k.pt.arch.arch_max_pkey().ok_or(Errno::ENOSYS)?;
    if flags != 0 || !PKEY_ACCESS_MASK.contains(rights) || count == 0 {
        return Err(Errno::EINVAL);
    }
    mm.pkeys.alloc(count).ok_or(Errno::ENOSPC)
}

/// Gives a key back; memory that has it keeps it (`pkey_free`).
///
/// # Errors
/// `ENOSYS`, or `EINVAL` for a key that the process does not have.
pub fn pkey_free<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, pkey: i32) -> Result<(), Errno> {
    let key = allocated_pkey(&k.pt, mm, pkey)?;
    mm.pkeys.allocated &= !(1 << key);
    Ok(())
}

/// Changes the protection of a range, in bytes, and its key; -1 is no key of the caller's choice (`pkey_mprotect`).
///
/// # Errors
/// Those of [`mprotect`](mprotect::<A, H>), `EINVAL` for a key that the process does not have, `ENOSYS` where the architecture has
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

/// What a software entry becomes where protections change, or `None` where it stays: what is writable is so no more, and
/// gets its permission back when its page comes back (`change_softleaf_pte`, `change_non_present_huge_pmd`).
fn changed_softleaf<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, leaf: SoftLeaf) -> Option<SoftLeaf> {
    let read = |ty, kept| Some(SoftLeaf { ty, flags: leaf.flags & kept, ..leaf });
    match leaf.ty {
        swp_type::MIGRATION_WRITE => {
            let anon = pt.pages.is_anon(pt.hw.peek_folio(Pfn::new(leaf.offset)));
            let ty = if anon { swp_type::MIGRATION_READ_EXCLUSIVE } else { swp_type::MIGRATION_READ };
            read(ty, SoftFlags::SOFT_DIRTY | SoftFlags::YOUNG | SoftFlags::DIRTY)
        }
        swp_type::DEVICE_WRITE => read(swp_type::DEVICE_READ, SoftFlags::UFFD),
        _ => None,
    }
}

/// Changes the protection of an entry that maps no page.
fn change_nonpresent_pte<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &mut Walk<'_>,
    addr: VirtAddr,
    p: Ptep,
    pte: Pte,
) {
    let (new, cause) = changed_nonpresent(pt, walk, pte);
    if new == pte {
        return;
    }
    walk.pages += 1;
    pt.because(cause, |pt| {
        if pt.arch.pte_none(new) {
            pt.pte_clear(addr, p);
        } else {
            pt.set_pte_at(addr, p, new);
        }
    });
}

/// The same for the entry of a huge page.
fn change_nonpresent_pmd<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    walk: &Walk<'_>,
    addr: VirtAddr,
    pmdp: Ptep,
    pmd: Pte,
) {
    let (new, cause) = changed_nonpresent(pt, walk, pmd);
    if new != pmd {
        pt.because(cause, |pt| pt.set_pmd_at(addr, pmdp, new));
    }
}

fn changed_nonpresent<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    walk: &Walk<'_>,
    pte: Pte,
) -> (Pte, &'static Cause) {
    let (changed, cause) = match pt.soft_view(pte).and_then(|leaf| changed_softleaf(pt, leaf)) {
        Some(leaf) => (pt.soft_word(leaf), &cause::mprotect_softleaf),
        None => (pte, &cause::uffd_wp_softleaf),
    };
    (uffd_changed_nonpresent(pt, walk.change.vma, walk.change.flags, changed), cause)
}

/// Entries in a transaction. `old` and `new` are those of the first.
#[derive(Clone, Copy, Debug)]
struct Batch {
    addr: VirtAddr,
    p: Ptep,
    old: Pte,
    new: Pte,
    nr: usize,
}
