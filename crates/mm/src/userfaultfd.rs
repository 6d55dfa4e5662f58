//! userfaultfd: write protection by range, and poison (`fs/userfaultfd.c`, `mm/userfaultfd.c`, 7.3).
//!
//! Every userfaultfd here has `UFFD_FEATURE_SIGBUS`: an access that meets write protection ends in `SIGBUS`, and
//! [`Kernel::uffd_wp`] is what lets the next one through. A process has one userfaultfd for each set of features that it
//! asks for. What only another mode than write protection does (missing pages, minor faults) is not there.

use crate::mprotect::{Change, CpFlags};
use crate::shmem::ObjectKind;
use crate::walk::PmdState;
use crate::{Kernel, Mm, Vma, cause};
use ptelab_pgtable::{
    Arch, Level, MmuGather, Pte, Ptep, SoftFlags, SoftLeaf, TableMemory, VirtAddr, VmFlags, marker,
};
use ptelab_uapi::{Errno, Switch, UffdFeatures};

/// Below this address nothing is mapped (`mmap_min_addr`).
const MMAP_MIN_ADDR: u64 = 0x1_0000;

/// The userfaultfd that a VMA is registered with (`struct userfaultfd_ctx`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Userfaultfd {
    /// What it was opened with.
    pub features: UffdFeatures,
    /// How many forks made it from one that a process opened: an inherited one is another than the process's own.
    forks: u32,
}

impl Userfaultfd {
    const fn open(features: UffdFeatures) -> Self {
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

impl Vma {
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
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Opens a userfaultfd with `features`, unless the process has one, and registers a range for write protection
    /// (`UFFDIO_API`, `UFFDIO_REGISTER`).
    ///
    /// # Errors
    /// `EINVAL` for unknown features, without [`UffdFeatures::WP`], for a range that is not whole pages or where nothing is
    /// mapped, and for files (but with `WP_ASYNC`); `EPERM` where nothing may be written; `EBUSY` where another userfaultfd is.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn uffd_register(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        len: u64,
        features: UffdFeatures,
    ) -> Result<(), Errno> {
        if !UffdFeatures::KNOWN.contains(features) || !features.contains(UffdFeatures::WP) {
            return Err(Errno::EINVAL);
        }
        let end = Self::uffd_range_end(start, len)?;
        let uffd = Userfaultfd::open(features);
        if !mm.vmas.intersects(start, end) {
            return Err(Errno::EINVAL);
        }
        for vma in mm.vmas.range(start, end) {
            if !self.vma_can_userfault(vma, features) {
                return Err(Errno::EINVAL);
            }
            if !vma.flags.contains(VmFlags::MAYWRITE) {
                return Err(Errno::EPERM);
            }
            if vma.uffd.is_some_and(|other| other != uffd) {
                return Err(Errno::EBUSY);
            }
        }
        for vma in Self::uffd_parts(mm, start, end) {
            if vma.uffd != Some(uffd) {
                self.set_uffd(mm, vma.start.max(start), vma.end.min(end), Some(uffd))?;
            }
        }
        Ok(())
    }

    /// Ends the registration of a range, and its protection (`UFFDIO_UNREGISTER`).
    ///
    /// # Errors
    /// `EINVAL` for a range that is not whole pages, where nothing is mapped, and for files.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn uffd_unregister(&mut self, mm: &mut Mm, start: VirtAddr, len: u64) -> Result<(), Errno> {
        let end = Self::uffd_range_end(start, len)?;
        if !mm.vmas.intersects(start, end) {
            return Err(Errno::EINVAL);
        }
        let features = |vma: &Vma| vma.uffd.map_or(UffdFeatures::WP, |uffd| uffd.features);
        if !mm.vmas.range(start, end).all(|vma| self.vma_can_userfault(vma, features(vma))) {
            return Err(Errno::EINVAL);
        }
        for vma in Self::uffd_parts(mm, start, end) {
            if vma.uffd.is_some() {
                let (from, to) = (vma.start.max(start), vma.end.min(end));
                self.uffd_wp_range(mm, &vma, (from, to), Switch::Off)?;
                self.set_uffd(mm, from, to, None)?;
            }
        }
        Ok(())
    }

    /// Protects a registered range against writes, or lets them through again (`UFFDIO_WRITEPROTECT`).
    ///
    /// # Errors
    /// `EINVAL` for a range that is not whole pages, `ENOENT` where nothing is registered: what lies before that is done.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn uffd_wp(&mut self, mm: &mut Mm, start: VirtAddr, len: u64, how: Switch) -> Result<(), Errno> {
        let end = Self::uffd_range_end(start, len)?;
        let parts = Self::uffd_parts(mm, start, end);
        if parts.is_empty() {
            return Err(Errno::ENOENT);
        }
        for vma in parts {
            if !vma.uffd_wp() {
                return Err(Errno::ENOENT);
            }
            self.uffd_wp_range(mm, &vma, (vma.start.max(start), vma.end.min(end)), how)?;
        }
        Ok(())
    }

    /// Makes accesses to pages that are not there end in `SIGBUS` (`UFFDIO_POISON`).
    ///
    /// # Errors
    /// `EINVAL` for a range that is not whole pages, `ENOENT` where it is not in one registered VMA, `EEXIST` where its first
    /// page has an entry already, `EAGAIN` where a later one has: those before it are poisoned.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn uffd_poison(&mut self, mm: &mut Mm, start: VirtAddr, len: u64) -> Result<(), Errno> {
        let end = Self::uffd_range_end(start, len)?;
        let vma = mm.vmas.find(start).filter(|vma| end <= vma.end && vma.uffd.is_some());
        let vma = vma.ok_or(Errno::ENOENT)?.clone();
        if !self.is_anon_or_shmem(&vma) {
            return Err(Errno::EINVAL);
        }
        if !vma.flags.contains(VmFlags::SHARED) {
            self.anon_vma_prepare(mm, &vma);
        }
        let mut addr = start;
        while addr < end {
            if let Err(errno) = self.poison_page(mm, addr) {
                return Err(if addr == start { errno } else { Errno::EAGAIN });
            }
            addr = addr.add(A::PAGE_SIZE);
        }
        Ok(())
    }

    fn poison_page(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<(), Errno> {
        let pmdp = self.pmd_alloc(mm, addr)?;
        if let PmdState::Huge(_) = self.pmd_state(pmdp) {
            return Err(Errno::EEXIST);
        }
        let p = self.pte_alloc(mm, pmdp)?.add(Self::index(addr, Level::Pte));
        if !self.arch.pte_none(self.hw.peek(p)) {
            return Err(Errno::EEXIST);
        }
        let poisoned = self.soft_word(SoftLeaf::POISONED);
        self.because(&cause::uffd_poison, |kernel| {
            kernel.arch.set_pte_at(&mut kernel.hw, addr, p, poisoned);
        });
        Ok(())
    }

    /// The end of a range of whole pages in user space (`validate_range`).
    fn uffd_range_end(start: VirtAddr, len: u64) -> Result<VirtAddr, Errno> {
        let whole = start.is_aligned(A::PAGE_SIZE) && len.is_multiple_of(A::PAGE_SIZE) && len > 0;
        let end = start.checked_add(len).filter(|end| end.get() <= A::TASK_SIZE);
        end.filter(|_| whole && start.get() >= MMAP_MIN_ADDR).ok_or(Errno::EINVAL)
    }

    /// The VMAs of a range, as they are before any of them changes.
    fn uffd_parts(mm: &Mm, start: VirtAddr, end: VirtAddr) -> Vec<Vma> {
        mm.vmas.range(start, end).cloned().collect()
    }

    fn vma_can_userfault(&self, vma: &Vma, features: UffdFeatures) -> bool {
        !vma.flags.contains(VmFlags::DROPPABLE)
            && (features.contains(UffdFeatures::WP_ASYNC) || self.is_anon_or_shmem(vma))
    }

    fn is_anon_or_shmem(&self, vma: &Vma) -> bool {
        vma.object.is_none_or(|object| {
            matches!(self.object_kind(object), ObjectKind::Anonymous | ObjectKind::Sysv(_))
        })
    }

    /// Registers a range of one VMA, or ends its registration. First writes to shared memory must fault from then on, so its
    /// protection is another one (`userfaultfd_set_vm_flags`).
    fn set_uffd(
        &mut self,
        mm: &mut Mm,
        start: VirtAddr,
        end: VirtAddr,
        uffd: Option<Userfaultfd>,
    ) -> Result<(), Errno> {
        let at = self.vma_modify_as(mm, (start, end), |vma| vma.set_uffd(uffd))?;
        if mm.vmas.at(at).flags.contains(VmFlags::SHARED) {
            self.vma_set_page_prot(mm, at);
        }
        Ok(())
    }

    /// Takes the VMA that starts at `start` out of its userfaultfd's hands; its entries stay (`userfaultfd_reset_ctx`).
    pub(crate) fn userfaultfd_reset(&mut self, mm: &mut Mm, start: VirtAddr) {
        let vma = mm.vmas.at_mut(start);
        vma.set_uffd(None);
        if vma.flags.contains(VmFlags::SHARED) {
            self.vma_set_page_prot(mm, start);
        }
    }

    /// Protects a part of a VMA or lifts that (`uffd_wp_range`).
    pub(crate) fn uffd_wp_range(
        &mut self,
        mm: &mut Mm,
        vma: &Vma,
        (start, end): (VirtAddr, VirtAddr),
        how: Switch,
    ) -> Result<(), Errno> {
        let flags = match how {
            Switch::On => CpFlags::UFFD_WP,
            Switch::Off if self.wants_write_upgrade(vma) => {
                CpFlags::UFFD_WP_RESOLVE | CpFlags::TRY_CHANGE_WRITABLE
            }
            Switch::Off => CpFlags::UFFD_WP_RESOLVE,
        };
        if how == Switch::On && vma.uffd_wp_use_markers() {
            self.populate_tables(mm, start, end)?;
        }
        let mut tlb = MmuGather::default();
        let change = Change { vma, prot: vma.page_prot, flags };
        let cause = match how {
            Switch::On => &cause::uffd_wp,
            Switch::Off => &cause::uffd_wp_resolve,
        };
        self.because(cause, |kernel| {
            kernel.change_protection(mm, &mut tlb, &change, start, end);
            kernel.tlb_finish(&mut tlb);
        });
        Ok(())
    }

    /// Makes the tables that markers will stand in (`change_pmd_prepare`).
    fn populate_tables(&mut self, mm: &mut Mm, start: VirtAddr, end: VirtAddr) -> Result<(), Errno> {
        let mut addr = start;
        while addr < end {
            let pmdp = self.pmd_alloc(mm, addr)?;
            if self.pmd_state(pmdp) == PmdState::None {
                self.pte_alloc(mm, pmdp)?;
            }
            addr = Self::entry_end(addr, end, Level::Pmd);
        }
        Ok(())
    }

    /// A present entry, protected or not as the walk asks.
    #[inline]
    pub(crate) fn uffd_changed(&self, pte: Pte, flags: CpFlags) -> Pte {
        if flags.contains(CpFlags::UFFD_WP) {
            self.arch.pte_mkuffd_wp(pte)
        } else if flags.contains(CpFlags::UFFD_WP_RESOLVE) {
            self.arch.pte_clear_uffd_wp(pte)
        } else {
            pte
        }
    }

    /// What protecting or resolving makes of an entry that maps no page: empty ones get a marker where markers are used,
    /// other markers stay as they are, and swapped pages carry a flag.
    pub(crate) fn uffd_changed_nonpresent(&self, vma: &Vma, flags: CpFlags, pte: Pte) -> Pte {
        let protects = flags.contains(CpFlags::UFFD_WP);
        if !protects && !flags.contains(CpFlags::UFFD_WP_RESOLVE) {
            pte
        } else if self.arch.pte_none(pte) {
            if protects && vma.uffd_wp_use_markers() { self.soft_word(SoftLeaf::UFFD_WP) } else { pte }
        } else if self.is_marker(pte, 0) {
            if !protects && self.is_marker(pte, marker::UFFD_WP) { Pte::NONE } else { pte }
        } else {
            self.with_soft_flag(pte, SoftFlags::UFFD, protects)
        }
    }

    /// Leaves markers where entries of shared memory were taken away that were protected, as the first of them says
    /// (`zap_install_uffd_wp_if_needed`).
    pub(crate) fn uffd_mark_zapped(&mut self, vma: &Vma, addr: VirtAddr, p: Ptep, first_is: bool, nr: usize) {
        if vma.is_anonymous() || !vma.uffd_wp() || !first_is {
            return;
        }
        let protected = self.soft_word(SoftLeaf::UFFD_WP);
        self.because(&cause::uffd_mark_zapped, |kernel| {
            for i in 0..nr {
                let addr = addr.add(i as u64 * A::PAGE_SIZE);
                kernel.arch.set_pte_at(&mut kernel.hw, addr, p.add(i), protected);
            }
        });
    }
}
