//! `brk`: the heap (`mm/mmap.c`, 7.3).

use crate::{Kernel, Mm, Vma};
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::Errno;

/// Where the heap begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brk {
    /// `mm->start_brk`.
    pub(crate) start: VirtAddr,
    /// `mm->brk`, which may lie inside a page.
    pub(crate) end: VirtAddr,
}

/// The flags of memory that programs get without saying which (`VM_DATA_DEFAULT_FLAGS`).
pub(crate) const DATA_DEFAULT: VmFlags = VmFlags::READ
    .union(VmFlags::WRITE)
    .union(VmFlags::MAYREAD)
    .union(VmFlags::MAYWRITE)
    .union(VmFlags::MAYEXEC);

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Moves the end of the heap and returns where it is now: at the old place if it could not be moved. There is no
    /// `RLIMIT_DATA`.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn brk(&mut self, mm: &mut Mm, brk: VirtAddr) -> VirtAddr {
        let old = mm.brk.end;
        if brk < mm.brk.start || self.move_brk(mm, brk).is_err() {
            return old;
        }
        mm.brk.end = brk;
        brk
    }

    fn move_brk(&mut self, mm: &mut Mm, brk: VirtAddr) -> Result<(), Errno> {
        let new = brk.align_up(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let old = mm.brk.end.align_up(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        if new == old {
            return Ok(());
        }
        if brk <= mm.brk.end {
            // Somebody else may have unmapped it.
            mm.vmas.range(new, old).next().ok_or(Errno::EINVAL)?;
            return self.unmap_range(mm, new, old);
        }
        Self::check_fixed(old, new.since(old))?;
        let guarded = new.checked_add(A::PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let next = mm.vmas.find_or_next(old);
        if next.is_some_and(|next| guarded > Self::vm_start_gap(next)) {
            return Err(Errno::ENOMEM);
        }
        self.do_brk_flags(mm, old, new)?;
        if mm.def_flags.contains(VmFlags::LOCKED) {
            self.mm_populate(mm, old, new);
        }
        Ok(())
    }

    /// Maps `start..end`, which is free: as more of the VMA before it, where that is the heap and alike, else as a VMA of its own.
    /// With what comes behind it never merges.
    fn do_brk_flags(&mut self, mm: &mut Mm, start: VirtAddr, end: VirtAddr) -> Result<(), Errno> {
        if mm.vmas.len() as u64 > self.config().max_map_count {
            return Err(Errno::ENOMEM);
        }
        let flags = DATA_DEFAULT | VmFlags::ACCOUNT | mm.def_flags;
        self.charge(end.since(start) >> A::PAGE_SHIFT)?;
        let vma = Vma::anonymous(start, end, flags, self.arch.vm_get_page_prot(flags), A::PAGE_SHIFT);
        let heap = mm.vmas.before(start).filter(|prev| prev.end > mm.brk.start).map(|prev| prev.start);
        let at = self.expand_or_insert(mm, vma, heap);
        if self.arch.has_soft_dirty() {
            mm.vmas.at_mut(at).flags |= VmFlags::SOFTDIRTY;
        }
        Ok(())
    }
}

impl Mm {
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
