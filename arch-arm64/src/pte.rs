//! Entries: predicates, and one entry made from another (`arch/arm64/include/asm/pgtable.h`, 7.3).

use crate::Arm64;
use crate::bits::{
    ATTR_MASK, PFN_MASK, PFN_SHIFT, POE_MASK, POE_SHIFT, PteBits, SH_INNER, TableBits, clear, has, pkey, set,
};
use crate::view::fits;
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Fpb, Level, Pfn, PgProt, Pte, PteView, SoftLeaf, VmFlags, Walk,
};

/// What every user page has.
const PAGE_DEFAULT: u64 =
    PteBits::VALID.union(PteBits::PAGE).union(PteBits::AF).union(PteBits::NG).union(PteBits::PXN).bits()
        | SH_INNER;
/// No access: invalid to hardware, and present by the `NG` bit.
const PAGE_NONE: u64 = PAGE_DEFAULT & !PteBits::VALID.bits() | PteBits::RDONLY.union(PteBits::UXN).bits();
/// Execute only.
const PAGE_EXECONLY: u64 = PAGE_DEFAULT | PteBits::RDONLY.bits();
const PAGE_READONLY_EXEC: u64 = PAGE_EXECONLY | PteBits::USER.bits();

/// What a protection decides; all other bits belong to the page.
const PROT_MASK: u64 = PteBits::VALID
    .union(PteBits::USER)
    .union(PteBits::RDONLY)
    .union(PteBits::NG)
    .union(PteBits::GP)
    .union(PteBits::DBM)
    .union(PteBits::PXN)
    .union(PteBits::UXN)
    .bits()
    | ATTR_MASK
    | POE_MASK;

/// `PROT_BTI` of `mmap` and `mprotect`.
const PROT_BTI: u64 = 0x10;

/// Hardware's account of dirtiness: writable, and no longer read-only.
#[inline]
const fn hw_dirty(pte: Pte) -> bool {
    pte.0 & (PteBits::DBM.bits() | PteBits::RDONLY.bits()) == PteBits::DBM.bits()
}

/// Makes software's account of dirtiness as good as hardware's, which is about to go.
#[inline]
const fn save_dirty(pte: Pte) -> Pte {
    if hw_dirty(pte) { set(pte, PteBits::DIRTY) } else { pte }
}

impl EntryFormat for Arm64 {
    const PAGE_SHIFT: u32 = 12;
    const TABLE_SHIFT: u32 = 9;
    const ROOT: Level = Level::Pgd;
    const CONT_PTES: usize = 16;
    const SWP_PFN_BITS: u32 = 36;
    const TASK_SIZE: u64 = 1 << 48;
    const VM_ARCH_CLEAR: VmFlags = VmFlags::ARM64_BTI;

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        self.view(pte, level)
    }

    /// There is no word for soft-dirty, leaves above the PMD, huge pages that are not aligned, and keys where
    /// there are none; a contiguous block of huge pages is hugetlb's. Refused as senseless: an access allowed
    /// under `PROTNONE`, no access without it (those are the kernel's pages), and writing without reading.
    fn encode(&self, view: PteView, level: Level) -> Option<Pte> {
        match view {
            PteView::None => Some(Pte::NONE),
            PteView::Table(pfn) => (level != Level::Pte && fits(pfn)).then(|| self.mk_table(pfn)),
            PteView::Soft(leaf) => (level <= Level::Pmd).then(|| self.soft_leaf(leaf)).flatten(),
            PteView::Present(m) => (m.level == level).then(|| self.encode_mapping(m)).flatten(),
        }
    }

    fn describe(&self, pte: Pte, level: Level) -> String {
        self.names(pte, level)
    }

    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField> {
        self.bits_of(pte, level)
    }

    #[inline]
    fn pfn_mask(&self) -> u64 {
        PFN_MASK
    }

    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte((pfn.get() << PFN_SHIFT) & PFN_MASK | prot.0)
    }

    /// `VALID` stays as it is: a huge page under `PROT_NONE` is invalid too.
    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::PAGE)
    }

    fn mk_table(&self, pfn: Pfn) -> Pte {
        self.pfn_pte(pfn, PgProt(TableBits::all().bits()))
    }

    /// `arch/arm64/mm/mmap.c` (7.3). All of them are accessed. A shared mapping's writable pages start clean,
    /// which is read-only to hardware; a private mapping's start without write permission, so that the first
    /// write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let access = flags & VmFlags::ACCESS;
        let mut prot = match access {
            VmFlags::EXEC if self.epan => PAGE_EXECONLY,
            _ if access.is_empty() => PAGE_NONE,
            _ => PAGE_READONLY_EXEC,
        };
        if !flags.contains(VmFlags::EXEC) {
            prot |= PteBits::UXN.bits();
        }
        if flags.contains(VmFlags::WRITE | VmFlags::SHARED) {
            prot |= PteBits::DBM.bits();
        }
        if flags.contains(VmFlags::ARM64_BTI) {
            prot |= PteBits::GP.bits();
        }
        if self.poe {
            prot |= u64::from(flags.pkey()) << POE_SHIFT & POE_MASK;
        }
        PgProt(prot)
    }

    #[inline]
    fn pte_present(&self, pte: Pte) -> bool {
        has(pte, PteBits::VALID.union(PteBits::NG))
    }

    #[inline]
    fn pte_pfn(&self, pte: Pte) -> Pfn {
        Pfn::new((pte.0 & PFN_MASK) >> PFN_SHIFT)
    }

    #[inline]
    fn pte_write(&self, pte: Pte) -> bool {
        has(pte, PteBits::DBM)
    }

    #[inline]
    fn pte_dirty(&self, pte: Pte) -> bool {
        has(pte, PteBits::DIRTY) || hw_dirty(pte)
    }

    #[inline]
    fn pte_young(&self, pte: Pte) -> bool {
        has(pte, PteBits::AF)
    }

    #[inline]
    fn pte_special(&self, pte: Pte) -> bool {
        has(pte, PteBits::SPECIAL)
    }

    /// Invalid, and neither read nor executed by user code: a huge page that is invalid for a change keeps its
    /// permissions.
    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        let bits = PteBits::VALID.union(PteBits::NG).union(PteBits::USER).union(PteBits::UXN);
        pte.0 & bits.bits() == PteBits::NG.union(PteBits::UXN).bits()
    }

    #[inline]
    fn pte_uffd_wp(&self, pte: Pte) -> bool {
        has(pte, PteBits::UFFD)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && !has(pmd, PteBits::PAGE)
    }

    /// Older kernels clear `RDONLY` of a clean entry too, which makes it dirty to hardware.
    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let writable = set(pte, PteBits::DBM);
        if self.rules.mkwrite_dirties_clean || has(pte, PteBits::DIRTY) {
            return clear(writable, PteBits::RDONLY);
        }
        writable
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        set(clear(save_dirty(pte), PteBits::DBM), PteBits::RDONLY)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        let dirty = set(pte, PteBits::DIRTY);
        if has(pte, PteBits::DBM) { clear(dirty, PteBits::RDONLY) } else { dirty }
    }

    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        set(clear(pte, PteBits::DIRTY), PteBits::RDONLY)
    }

    #[inline]
    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        set(pte, PteBits::AF)
    }

    #[inline]
    fn pte_mkold(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::AF)
    }

    #[inline]
    fn pte_mkspecial(&self, pte: Pte) -> Pte {
        set(pte, PteBits::SPECIAL)
    }

    #[inline]
    fn pte_mkuffd_wp(&self, pte: Pte) -> Pte {
        self.pte_wrprotect(set(pte, PteBits::UFFD))
    }

    #[inline]
    fn pte_clear_uffd_wp(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::UFFD)
    }

    /// A dirty page that becomes writable is dirty to hardware at once, which spares it a fault or an update.
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        let new = Pte(save_dirty(pte).0 & !PROT_MASK | prot.0 & PROT_MASK);
        if has(new, PteBits::DIRTY) { self.pte_mkdirty(new) } else { new }
    }

    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        set(clear(pmd, PteBits::VALID), PteBits::NG)
    }

    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let mut mask = PteBits::AF;
        mask.set(PteBits::DIRTY, !flags.contains(Fpb::RESPECT_DIRTY));
        mask.set(PteBits::DBM, !flags.contains(Fpb::RESPECT_WRITE));
        mask.set(PteBits::RDONLY, !flags.contains(Fpb::RESPECT_DIRTY | Fpb::RESPECT_WRITE));
        mask.bits()
    }

    /// With write permission evened out, hardware's and software's account of dirtiness are one.
    #[inline]
    fn batch_by_mask(&self, flags: Fpb) -> bool {
        !flags.contains(Fpb::RESPECT_DIRTY) || flags.contains(Fpb::RESPECT_WRITE)
    }

    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        Self::encode_soft(leaf)
    }

    /// Arm ARM D8.4 and D8.5. A key other than 0 denies all data, as the value of `POR_EL0` does that processes
    /// start with.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let is_leaf = has(pte, PteBits::PAGE) == (level == Level::Pte) && level <= Level::Pmd;
        let usable = has(pte, PteBits::VALID) && has(pte, PteBits::USER);
        if !is_leaf || !usable || self.poe && pkey(pte) != 0 {
            return Walk::Fault;
        }
        if !has(pte, PteBits::AF) && !self.hafdbs {
            return Walk::Fault;
        }
        let young = set(pte, PteBits::AF);
        match access {
            Access::Read => Walk::Allowed(young),
            Access::Write if !has(pte, PteBits::RDONLY) => Walk::Allowed(young),
            Access::Write if has(pte, PteBits::DBM) && self.hafdbs => {
                Walk::Allowed(clear(young, PteBits::RDONLY))
            }
            Access::Write => Walk::Fault,
        }
    }

    fn wants_old_prefaulted_pte(&self) -> bool {
        self.hafdbs
    }

    fn arch_max_pkey(&self) -> Option<u8> {
        Some(if self.poe { 8 } else { 1 })
    }

    fn arch_prot_bits(&self) -> u64 {
        if self.bti { PROT_BTI } else { 0 }
    }

    fn arch_calc_vm_prot_bits(&self, prot: u64) -> VmFlags {
        if prot & self.arch_prot_bits() == 0 { VmFlags::empty() } else { VmFlags::ARM64_BTI }
    }

    /// Without execute-only memory, what may be executed may be read (`do_page_fault`).
    fn vm_read_flags(&self) -> VmFlags {
        if self.epan { VmFlags::READ | VmFlags::WRITE } else { VmFlags::ACCESS }
    }
}
