//! `mmap`, `munmap`, exit, and the accounts they keep (`mm/mmap.c`, `mm/vma.c`, 7.3).

use crate::address_space::ObjectKind;
use crate::cause;
use crate::gup::mm_populate;
use crate::kernel::Kernel;
use crate::memory::zap::{Zap, zap_page_range};
use crate::mm_types::Mm;
use crate::mprotect::valid_prot;
use crate::mseal::check_unsealed;
use crate::pkeys::{override_pkey, prepare_execute_only};
use crate::util::{MMAP_MIN_ADDR, charge, enough_memory, uncharge};
use crate::vm_area::{FileId, LOCKED_MASK, STACK_GUARD_PAGES, Vma};
use crate::vma::{insert_vma, isolate, release, vma_set_page_prot};
use ptelab_pgtable::{Arch, Level, MmuGather, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, FileMode, HUGE_SHIFT, MapFlags, Prot};

/// What is left free above the first mapping, for a stack to grow into (`mmap_base`), in bytes.
const STACK_GAP: u64 = 128 << 20;
/// What mprotect may grant to new memory.
const MAY: VmFlags = VmFlags::MAYREAD.union(VmFlags::MAYWRITE).union(VmFlags::MAYEXEC);

/// What a call asks to be mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) addr: VirtAddr,
    pub(crate) len: u64,
    pub(crate) prot: Prot,
    pub(crate) flags: MapFlags,
    /// The open file, and the page in it.
    pub(crate) file: Option<(FileId, u64)>,
}

impl Request {
    const fn kind(&self) -> u64 {
        self.flags.bits() & MapFlags::TYPE
    }

    /// Whether the address is where it goes.
    const fn is_fixed(&self) -> bool {
        self.flags.intersects(MapFlags::FIXED.union(MapFlags::FIXED_NOREPLACE))
    }

    /// Whether files can be mapped so.
    fn check_kind(&self) -> Result<(), Errno> {
        const KINDS: [u64; 3] =
            [MapFlags::PRIVATE.bits(), MapFlags::SHARED.bits(), MapFlags::SHARED_VALIDATE];
        let validated = self.kind() == MapFlags::SHARED_VALIDATE;
        if validated && self.flags.bits() & !MapFlags::LEGACY != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if KINDS.contains(&self.kind()) { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// Maps anonymous memory and returns its address (`ksys_mmap_pgoff`).
///
/// # Errors
/// `EINVAL`, `ENOMEM`, `EEXIST`, as Linux has them; `EBADF` without `MAP_ANONYMOUS`, as there is no file.
pub fn mmap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    len: u64,
    prot: Prot,
    flags: MapFlags,
) -> Result<VirtAddr, Errno> {
    mmap_file(k, mm, addr, len, prot, flags, (FileId::MAX, 0))
}

/// Maps an open file from an offset in bytes on and returns the address.
///
/// # Errors
/// Those of [`mmap`](fn@mmap); `EBADF` for no open file, `EACCES` where it was not opened for what is asked, `EPERM` for
/// execution from a `noexec` file system, `ENODEV` for what cannot be mapped, `EINVAL` for an unaligned offset, `EOVERFLOW` for
/// one that is too large, `EOPNOTSUPP` for flags that `MAP_SHARED_VALIDATE` does not know.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn mmap_file<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    len: u64,
    prot: Prot,
    flags: MapFlags,
    (file, offset): (FileId, u64),
) -> Result<VirtAddr, Errno> {
    let refused = A::MMAP_VALIDATES_PROT && !valid_prot(&k.pt, prot);
    if refused || !offset.is_multiple_of(A::PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let anonymous = Request { addr, len, prot, flags, file: None };
    if flags.contains(MapFlags::ANONYMOUS | MapFlags::HUGETLB) {
        return Err(no_hugetlb(k, mm, &anonymous, offset));
    }
    if flags.contains(MapFlags::ANONYMOUS) {
        return do_mmap(k, mm, &anonymous);
    }
    k.objects.fget(file)?;
    if flags.contains(MapFlags::HUGETLB) {
        return Err(Errno::EINVAL);
    }
    let file = Some((file, offset >> A::PAGE_SHIFT));
    do_mmap(k, mm, &Request { file, ..anonymous })
}

/// Why there is no mapping of set-aside huge pages: no size or place of theirs, or the pool is empty (`hugetlb_file_setup`,
/// `hugetlbfs_file_mmap`).
fn no_hugetlb<A: Arch, H: TableMemory>(k: &Kernel<A, H>, mm: &Mm, r: &Request, offset: u64) -> Errno {
    let shift = match (r.flags.bits() >> HUGE_SHIFT & 0x3f) as u32 {
        0 => A::ENTRY_SHIFT[Level::Pmd as usize],
        shift if shift > A::PAGE_SHIFT && A::HUGETLB_SHIFTS.contains(&shift) => shift,
        _ => return Errno::EINVAL,
    };
    let (len, size) = (r.len.checked_next_multiple_of(1 << shift).unwrap_or(0), 1 << shift);
    if len == 0 {
        return Errno::EINVAL;
    }
    if mm.vmas.len() as u64 > k.config().max_map_count || len > mm.task_size {
        return Errno::ENOMEM;
    }
    if r.is_fixed() && !r.addr.is_aligned(size) {
        return Errno::EINVAL;
    }
    if let Err(errno) = mmap_address::<A>(mm, r, len) {
        return errno;
    }
    let checked = check_file_range::<A>(offset >> A::PAGE_SHIFT, len).and_then(|()| r.check_kind());
    let is_placed = offset.is_multiple_of(size) && !r.flags.contains(MapFlags::GROWSDOWN);
    checked.err().unwrap_or(if is_placed { Errno::ENOMEM } else { Errno::EINVAL })
}

/// Maps what is asked for (`do_mmap`).
pub(crate) fn do_mmap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    r: &Request,
) -> Result<VirtAddr, Errno> {
    if r.len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = r.len.checked_next_multiple_of(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    if mm.vmas.len() as u64 > k.config().max_map_count {
        return Err(Errno::ENOMEM);
    }
    prepare_execute_only(&k.pt, mm, r.prot);
    let addr = mmap_address::<A>(mm, r, len)?;
    k.pt.check_asce_limit(mm, addr.add(len))?;
    let vm_flags = mmap_vm_flags(k, mm, r, len)?;
    let end = addr.add(len);
    mmap_region(k, mm, addr, end, vm_flags, r.file)?;
    let populates = r.flags & (MapFlags::POPULATE | MapFlags::NONBLOCK) == MapFlags::POPULATE;
    if populates || vm_flags.contains(VmFlags::LOCKED) {
        mm_populate(k, mm, addr, end);
    }
    Ok(addr)
}

/// Where a mapping goes: exactly there, at the hint, or top-down (`__get_unmapped_area`).
fn mmap_address<A: Arch>(mm: &Mm, r: &Request, len: u64) -> Result<VirtAddr, Errno> {
    if len > mm.task_size {
        return Err(Errno::ENOMEM);
    }
    if r.is_fixed() {
        check_fixed::<A>(mm, r.addr, len)?;
        let taken = mm.vmas.intersects(r.addr, r.addr.add(len));
        return if r.flags.contains(MapFlags::FIXED_NOREPLACE) && taken {
            Err(Errno::EEXIST)
        } else {
            Ok(r.addr)
        };
    }
    // Shared anonymous memory has a placement of its own, which knows nothing of huge pages here.
    let huge_pages_fit = r.file.is_none() && r.kind() != MapFlags::SHARED.bits();
    get_unmapped_area::<A>(mm, r.addr, len, huge_pages_fit)
}

pub(crate) fn check_fixed<A: Arch>(mm: &Mm, addr: VirtAddr, len: u64) -> Result<(), Errno> {
    if len > mm.task_size || addr.get() > mm.task_size - len {
        // An address that reads as an error is taken for one, where its range is looked at later.
        let read = u16::try_from(addr.get().wrapping_neg()).ok().and_then(Errno::from_number);
        return Err(if A::CHECKS_FIXED_RANGE { Errno::EINVAL } else { read.unwrap_or(Errno::ENOMEM) });
    }
    if addr.is_aligned(A::PAGE_SIZE) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// A free range: at the hint, else the highest. Private memory in whole huge pages is placed for huge pages.
pub(crate) fn get_unmapped_area<A: Arch>(
    mm: &Mm,
    hint: VirtAddr,
    len: u64,
    private: bool,
) -> Result<VirtAddr, Errno> {
    let hint = hint.align_up(A::PAGE_SIZE).unwrap_or_default();
    if hint.get() != 0 {
        let hint = VirtAddr::new(hint.get().max(MMAP_MIN_ADDR));
        let fits = hint.get() <= mmap_end::<A>(mm, hint).saturating_sub(len);
        let next = mm.vmas.find_or_next(hint);
        if fits && next.is_none_or(|next| hint.add(len) <= next.vm_start_gap(A::PAGE_SHIFT)) {
            return Ok(hint);
        }
    }
    let huge = A::entry_size(Level::Pmd);
    if private && hint.get() == 0 && len.is_multiple_of(huge) {
        let padded = len.checked_add(huge).and_then(|padded| highest_gap::<A>(mm, hint, padded));
        if let Some(base) = padded {
            return Ok(base.align_down(huge).add(huge));
        }
    }
    highest_gap::<A>(mm, hint, len).ok_or(Errno::ENOMEM)
}

/// Where the addresses end that a mapping may get: those above the window only for a hint there (`arch_get_mmap_end`).
fn mmap_end<A: Arch>(mm: &Mm, hint: VirtAddr) -> u64 {
    if hint.get() > A::MAP_WINDOW { mm.task_size } else { mm.task_size.min(A::MAP_WINDOW) }
}

/// The start of the highest free range of `len` bytes below the stack's gap.
fn highest_gap<A: Arch>(mm: &Mm, hint: VirtAddr, len: u64) -> Option<VirtAddr> {
    let limit = VirtAddr::new((mmap_end::<A>(mm, hint) - STACK_GAP) & !(A::PAGE_SIZE - 1));
    let from = mm.vmas.search_from(len, limit);
    let mut top = from.get();
    // A stack above may keep its gap free below.
    let reach = from.add(STACK_GUARD_PAGES << A::PAGE_SHIFT);
    for vma in mm.vmas.range(VirtAddr::new(0), reach).rev() {
        if vma.end.get() <= top && top - vma.end.get() >= len {
            break;
        }
        top = top.min(vma.vm_start_gap(A::PAGE_SHIFT).get());
    }
    mm.vmas.note_full(len, VirtAddr::new(top));
    let start = top.checked_sub(len)?;
    (start >= MMAP_MIN_ADDR).then(|| VirtAddr::new(start))
}

/// The flags of a new VMA.
fn mmap_vm_flags<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mm: &Mm,
    r: &Request,
    len: u64,
) -> Result<VmFlags, Errno> {
    let access = VmFlags::from_bits_retain((r.prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits());
    let mut vm = access | MAY | k.pt.arch.arch_calc_vm_prot_bits(r.prot.bits()) | mm.def_flags;
    for (asked, gets) in [
        (MapFlags::GROWSDOWN, VmFlags::GROWSDOWN),
        (MapFlags::LOCKED, VmFlags::LOCKED),
        (MapFlags::SYNC, VmFlags::SYNC),
        (MapFlags::STACK, VmFlags::NOHUGEPAGE),
    ] {
        if r.flags.contains(asked) {
            vm |= gets;
        }
    }
    vm = match r.file {
        Some((file, pgoff)) => file_vm_flags(k, vm, r, file, pgoff, len)?,
        None => anonymous_vm_flags(vm, r)?,
    };
    if r.flags.contains(MapFlags::NORESERVE) {
        vm |= VmFlags::NORESERVE;
    }
    if k.pt.arch.has_soft_dirty() {
        vm |= VmFlags::SOFTDIRTY;
    }
    Ok(vm.with_pkey(override_pkey(mm, None, r.prot)))
}

fn anonymous_vm_flags(vm: VmFlags, r: &Request) -> Result<VmFlags, Errno> {
    let grows = vm.contains(VmFlags::GROWSDOWN);
    match r.kind() {
        kind if kind == MapFlags::PRIVATE.bits() => Ok(vm),
        kind if kind == MapFlags::SHARED.bits() && !grows => Ok(vm | VmFlags::SHARED | VmFlags::MAYSHARE),
        MapFlags::DROPPABLE if !grows && !r.flags.contains(MapFlags::LOCKED) => {
            let volatile = VmFlags::NORESERVE | VmFlags::WIPEONFORK | VmFlags::DONTDUMP;
            Ok(vm | VmFlags::DROPPABLE | volatile)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Whether a file can be so long (`file_mmap_ok`).
fn check_file_range<A: Arch>(pgoff: u64, len: u64) -> Result<(), Errno> {
    let end = (pgoff << A::PAGE_SHIFT).checked_add(len);
    end.filter(|&end| i64::try_from(end).is_ok()).map(drop).ok_or(Errno::EOVERFLOW)
}

fn file_vm_flags<A: Arch, H: TableMemory>(
    k: &Kernel<A, H>,
    mut vm: VmFlags,
    r: &Request,
    file: FileId,
    pgoff: u64,
    len: u64,
) -> Result<VmFlags, Errno> {
    let mode = k.objects.fget(file)?.mode;
    check_file_range::<A>(pgoff, len)?;
    r.check_kind()?;
    if r.kind() != MapFlags::PRIVATE.bits() {
        let writable = mode.contains(FileMode::WRITE);
        if r.prot.contains(Prot::WRITE) && !writable {
            return Err(Errno::EACCES);
        }
        vm |= VmFlags::SHARED | VmFlags::MAYSHARE;
        if !writable {
            vm -= VmFlags::SHARED | VmFlags::MAYWRITE;
        }
    }
    if !mode.contains(FileMode::READ) {
        return Err(Errno::EACCES);
    }
    if mode.contains(FileMode::NOEXEC) {
        if vm.contains(VmFlags::EXEC) {
            return Err(Errno::EPERM);
        }
        vm -= VmFlags::MAYEXEC;
    }
    if mode.contains(FileMode::NO_MMAP) {
        return Err(Errno::ENODEV);
    }
    if vm.contains(VmFlags::GROWSDOWN) { Err(Errno::EINVAL) } else { Ok(vm) }
}

/// Makes room, accounts, and puts the VMA there (`mmap_region`).
fn mmap_region<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
    mut flags: VmFlags,
    file: Option<(FileId, u64)>,
) -> Result<(), Errno> {
    let pages = end.since(start) >> A::PAGE_SHIFT;
    unmap_range(k, mm, start, end)?;
    let shared = flags.contains(VmFlags::SHARED) && file.is_none();
    let reserves = flags & (VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE) == VmFlags::WRITE;
    if reserves {
        charge(k, pages)?;
        flags |= VmFlags::ACCOUNT;
    } else if shared && !flags.contains(VmFlags::NORESERVE) {
        enough_memory(&k.pt, pages)?;
    }
    let mut vma = Vma::anonymous(start, end, flags, k.pt.arch.vm_get_page_prot(flags), A::PAGE_SHIFT);
    if let Some((file, pgoff)) = file {
        vma.object = Some(k.objects.fget(file)?.object);
        vma.file = Some(file);
        vma.pgoff = pgoff;
        k.objects.get(vma.object);
    } else if shared {
        vma.object = Some(k.objects.new_object(ObjectKind::Anonymous, Some(pages)));
        vma.pgoff = 0;
    }
    let soft_dirty = flags & VmFlags::SOFTDIRTY;
    let at = insert_vma(k, mm, vma);
    let vma = mm.vmas.at_mut(at);
    vma.flags |= soft_dirty;
    if flags.contains(VmFlags::DROPPABLE) && k.pt.rules.droppable_is_never_locked {
        vma.flags -= LOCKED_MASK;
    }
    vma_set_page_prot(k, mm, at);
    Ok(())
}

/// Unmaps a range, in bytes (`do_vmi_munmap`).
///
/// # Errors
/// `EINVAL` for a range that is not one, `ENOMEM` where splitting would make too many VMAs.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn munmap<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    len: u64,
) -> Result<(), Errno> {
    let start = A::untagged_addr(start);
    let past = start.get() > mm.task_size || len > mm.task_size - start.get();
    if !start.is_aligned(A::PAGE_SIZE) || past || len == 0 {
        return Err(Errno::EINVAL);
    }
    let end = VirtAddr::new(start.get() + len.next_multiple_of(A::PAGE_SIZE));
    unmap_range(k, mm, start, end)
}

/// Unmaps an aligned range.
pub(crate) fn unmap_range<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    start: VirtAddr,
    end: VirtAddr,
) -> Result<(), Errno> {
    let Some(first) = mm.vmas.range(start, end).next() else { return Ok(()) };
    let punches = first.start < start && end < first.end;
    if punches && mm.vmas.len() as u64 >= k.config().max_map_count {
        return Err(Errno::ENOMEM);
    }
    // Where a VMA behind the first one is sealed, the first one stays divided (`vms_gather_munmap_vmas`).
    if let Some(inside) = Some(first).filter(|first| first.start < start) {
        check_unsealed([inside])?;
        isolate(k, mm, start, start)?;
    }
    check_unsealed(mm.vmas.range(start, end))?;
    isolate(k, mm, start, end)?;
    let vmas: Vec<Vma> = mm.vmas.range(start, end).cloned().collect();
    let floor = mm.vmas.before(start).map_or(VirtAddr::new(0), |vma| vma.end);
    let ceiling = mm.vmas.find_or_next(end).map_or(VirtAddr::new(mm.task_size), |vma| vma.start);
    let mut tlb = MmuGather::default();
    for vma in &vmas {
        k.because(&cause::unmap, |k| {
            zap_page_range(k, mm, &mut tlb, vma, (vma.start, vma.end), Zap::Unmap);
        });
        drop_vma(k, mm, vma);
    }
    let (first, last) = (&vmas[0], &vmas[vmas.len() - 1]);
    k.pt.free_pgtables(mm, &mut tlb, (first.start, last.end), (floor, ceiling));
    k.pt.tlb_finish(&mut tlb);
    Ok(())
}

/// Takes a VMA out of the tree, with all that it holds on to.
fn drop_vma<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, vma: &Vma) {
    mm.vmas.remove(vma.start);
    release(k, vma);
    if vma.flags.contains(VmFlags::ACCOUNT) {
        uncharge(k, vma.len() >> A::PAGE_SHIFT);
    }
}

/// Ends an address space: everything is unmapped, its tables are freed (`exit_mmap`).
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn exit_mmap<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mut mm: Mm) {
    let vmas: Vec<Vma> = mm.vmas.iter().cloned().collect();
    let mut tlb = MmuGather::fullmm();
    for vma in &vmas {
        k.because(&cause::unmap, |k| {
            zap_page_range(k, &mut mm, &mut tlb, vma, (vma.start, vma.end), Zap::Unmap);
        });
        drop_vma(k, &mut mm, vma);
    }
    let whole = (VirtAddr::new(0), VirtAddr::new(A::tree_end(mm.root)));
    k.pt.free_pgtables(&mut mm, &mut tlb, whole, whole);
    k.pt.tlb_finish(&mut tlb);
    k.pt.hw.free_table(mm.pgd, A::ptrs_per(mm.root));
    k.pt.pages.uncharge_table();
    debug_assert_eq!(mm.tables, 0, "tables leaked");
}
