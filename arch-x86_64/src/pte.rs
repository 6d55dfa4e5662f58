//! Entries: predicates, and one entry made from another (`arch/x86/include/asm/pgtable.h`, 7.3).

use crate::X86_64;
use crate::bits::{PFN_MASK, PFN_SHIFT, PKEY_SHIFT, PMD_PFN_MASK, PteBits, clear, has, pkey, set};
use crate::view::fits;
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Fpb, Level, Pfn, PgProt, Pte, PteView, SoftLeaf, VmFlags, Walk,
};

const PAGE_NONE: PteBits = PteBits::ACCESSED.union(PteBits::PROTNONE);
const PAGE_READONLY_EXEC: PteBits = PteBits::PRESENT.union(PteBits::USER).union(PteBits::ACCESSED);
/// An entry that points to a table: all permission is decided by the leaf.
const TABLE: PteBits = PAGE_READONLY_EXEC.union(PteBits::RW).union(PteBits::DIRTY);

/// What a changed protection keeps of an entry, beside the frame and soft-dirty (`_PAGE_CHG_MASK`,
/// `_HPAGE_CHG_MASK`: PAT of the one is PSE of the other).
const CHG_MASK: u64 = PteBits::PWT
    .union(PteBits::PCD)
    .union(PteBits::ACCESSED)
    .union(PteBits::DIRTY_BITS)
    .union(PteBits::PSE)
    .union(PteBits::SPECIAL)
    .union(PteBits::UFFD)
    .bits()
    | PFN_MASK;

/// All ones for a word whose frame number is stored inverted: not empty, and invalid to hardware
/// (`arch/x86/include/asm/pgtable-invert.h`, 7.3).
#[inline]
const fn inversion(word: u64) -> u64 {
    if word != 0 && word & PteBits::PRESENT.bits() == 0 { u64::MAX } else { 0 }
}

/// Saves the dirtiness of an entry that is not writable, so that it is no shadow stack (`pte_mksaveddirty`).
#[inline]
pub(crate) const fn save_dirty(pte: Pte) -> Pte {
    let moves = has(pte, PteBits::DIRTY) && !has(pte, PteBits::RW);
    if moves { set(clear(pte, PteBits::DIRTY), PteBits::SAVED_DIRTY) } else { pte }
}

/// Gives a writable entry its saved dirtiness back (`pte_clear_saveddirty`).
#[inline]
const fn restore_dirty(pte: Pte) -> Pte {
    let moves = has(pte, PteBits::SAVED_DIRTY) && has(pte, PteBits::RW);
    if moves { set(clear(pte, PteBits::SAVED_DIRTY), PteBits::DIRTY) } else { pte }
}

impl X86_64 {
    /// The soft-dirty bit, where it is configured.
    #[inline]
    const fn soft_dirty_bit(&self) -> PteBits {
        if self.soft_dirty { PteBits::SOFT_DIRTY } else { PteBits::empty() }
    }

    /// `old` with what `prot` decides replaced; `keep` stays, and `frame` is inverted where the new entry asks
    /// for it.
    #[inline]
    const fn modify(&self, old: Pte, prot: PgProt, keep: u64, frame: u64) -> Pte {
        let keep = keep | self.soft_dirty_bit().bits();
        let word = old.0 & keep | prot.0 & !(CHG_MASK | self.soft_dirty_bit().bits());
        let new = Pte(word ^ (inversion(old.0) ^ inversion(word)) & frame);
        if has(old, PteBits::RW) { save_dirty(new) } else { restore_dirty(new) }
    }
}

impl EntryFormat for X86_64 {
    const PAGE_SHIFT: u32 = 12;
    const TABLE_SHIFT: u32 = 9;
    const ROOT: Level = Level::Pgd;
    const SWP_PFN_BITS: u32 = 34;
    const TASK_SIZE: u64 = (1 << 47) - (1 << Self::PAGE_SHIFT);

    fn decode(&self, pte: Pte, level: Level) -> PteView {
        self.view(pte, level)
    }

    /// There is no word for contiguous blocks, leaves above the PMD, huge pages that are not aligned,
    /// soft-dirty where it is not configured and keys where there are none. Refused as senseless: an access
    /// allowed under `PROTNONE`, and pages that user code may not use at all (that is what the supervisor's
    /// pages are).
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
        Pte(((pfn.get() << PFN_SHIFT) ^ inversion(prot.0)) & PFN_MASK | prot.0)
    }

    /// The low bits of the frame number are not inverted in a huge page's entry.
    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !(PFN_MASK & !PMD_PFN_MASK) | PteBits::PSE.bits())
    }

    fn mk_table(&self, pfn: Pfn) -> Pte {
        self.pfn_pte(pfn, PgProt(TABLE.bits()))
    }

    /// `arch/x86/mm/pgprot.c` (7.3). All of them are accessed; a private mapping's writable pages start
    /// read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let mut prot = PAGE_NONE;
        if flags.intersects(VmFlags::ACCESS) {
            prot = PAGE_READONLY_EXEC;
            prot.set(PteBits::NX, !flags.contains(VmFlags::EXEC));
            prot.set(PteBits::RW, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        }
        let key = if self.pku { flags.pkey() } else { 0 };
        PgProt(prot.bits() | u64::from(key) << PKEY_SHIFT)
    }

    #[inline]
    fn pgprot_modify(&self, old: PgProt, new: PgProt) -> PgProt {
        let keep = CHG_MASK | self.soft_dirty_bit().bits();
        PgProt(old.0 & keep | new.0 & !keep)
    }

    /// Accessed and dirty alone are nothing: an erratum sets them in empty entries.
    #[inline]
    fn pte_none(&self, pte: Pte) -> bool {
        clear(pte, PteBits::ACCESSED.union(PteBits::DIRTY)) == Pte::NONE
    }

    #[inline]
    fn pte_present(&self, pte: Pte) -> bool {
        has(pte, PteBits::PRESENT.union(PteBits::PROTNONE))
    }

    #[inline]
    fn pte_pfn(&self, pte: Pte) -> Pfn {
        let mask = if has(pte, PteBits::PSE) { PMD_PFN_MASK } else { PFN_MASK };
        Pfn::new(((pte.0 ^ inversion(pte.0)) & mask) >> PFN_SHIFT)
    }

    #[inline]
    fn pte_write(&self, pte: Pte) -> bool {
        has(pte, PteBits::RW)
    }

    #[inline]
    fn pte_dirty(&self, pte: Pte) -> bool {
        has(pte, PteBits::DIRTY_BITS)
    }

    #[inline]
    fn pte_young(&self, pte: Pte) -> bool {
        has(pte, PteBits::ACCESSED)
    }

    #[inline]
    fn pte_special(&self, pte: Pte) -> bool {
        has(pte, PteBits::SPECIAL)
    }

    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        !has(pte, PteBits::PRESENT) && has(pte, PteBits::PROTNONE)
    }

    #[inline]
    fn pte_soft_dirty(&self, pte: Pte) -> bool {
        has(pte, self.soft_dirty_bit())
    }

    #[inline]
    fn pte_uffd_wp(&self, pte: Pte) -> bool {
        has(pte, PteBits::UFFD)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        has(pmd, PteBits::PSE)
    }

    /// The PSE bit stays while a huge page is made invalid for a change.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        has(pmd, PteBits::PRESENT.union(PteBits::PROTNONE).union(PteBits::PSE))
    }

    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        restore_dirty(set(pte, PteBits::RW))
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        save_dirty(clear(pte, PteBits::RW))
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        save_dirty(set(pte, PteBits::DIRTY.union(self.soft_dirty_bit())))
    }

    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::DIRTY_BITS)
    }

    #[inline]
    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        set(pte, PteBits::ACCESSED)
    }

    #[inline]
    fn pte_mkold(&self, pte: Pte) -> Pte {
        clear(pte, PteBits::ACCESSED)
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

    #[inline]
    fn pte_mksoft_dirty(&self, pte: Pte) -> Pte {
        set(pte, self.soft_dirty_bit())
    }

    #[inline]
    fn pte_clear_soft_dirty(&self, pte: Pte) -> Pte {
        clear(pte, self.soft_dirty_bit())
    }

    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        self.modify(pte, prot, CHG_MASK, PFN_MASK)
    }

    /// Older kernels lose the hardware's dirty bit here, and keep a saved one.
    #[inline]
    fn pmd_modify(&self, pmd: Pte, prot: PgProt) -> Pte {
        let lost = if self.rules.pmd_modify_keeps_dirty { 0 } else { PteBits::DIRTY.bits() };
        self.modify(pmd, prot, CHG_MASK & !lost, PMD_PFN_MASK)
    }

    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        let word = clear(pmd, PteBits::PRESENT.union(PteBits::PROTNONE));
        Pte(word.0 ^ (inversion(pmd.0) ^ inversion(word.0)) & PMD_PFN_MASK)
    }

    #[inline]
    fn pfn_step(&self, pte: Pte) -> u64 {
        if inversion(pte.0) == 0 { Self::PAGE_SIZE } else { Self::PAGE_SIZE.wrapping_neg() }
    }

    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let mut mask = PteBits::ACCESSED;
        mask.set(PteBits::DIRTY_BITS, !flags.contains(Fpb::RESPECT_DIRTY));
        mask.set(self.soft_dirty_bit(), !flags.contains(Fpb::RESPECT_SOFT_DIRTY));
        mask.set(PteBits::RW, !flags.contains(Fpb::RESPECT_WRITE));
        mask.bits()
    }

    /// With write permission evened out, dirty and saved dirty are one.
    #[inline]
    fn batch_by_mask(&self, flags: Fpb) -> bool {
        !flags.contains(Fpb::RESPECT_DIRTY) || flags.contains(Fpb::RESPECT_WRITE)
    }

    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        self.encode_soft(leaf)
    }

    /// A key other than 0 denies all data, as the value of PKRU does that processes start with.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let is_leaf = has(pte, PteBits::PSE) == (level == Level::Pmd) && level <= Level::Pmd;
        let usable = has(pte, PteBits::PRESENT) && has(pte, PteBits::USER);
        if !is_leaf || !usable || self.pku && pkey(pte) != 0 {
            return Walk::Fault;
        }
        let young = set(pte, PteBits::ACCESSED);
        match access {
            Access::Read => Walk::Allowed(young),
            Access::Write if has(pte, PteBits::RW) => Walk::Allowed(set(young, PteBits::DIRTY)),
            Access::Write => Walk::Fault,
        }
    }

    #[inline]
    fn has_soft_dirty(&self) -> bool {
        self.soft_dirty
    }

    fn arch_max_pkey(&self) -> Option<u8> {
        Some(if self.pku { 16 } else { 0 })
    }

    /// The first key that a process gets.
    fn execute_only_pkey(&self) -> Option<u8> {
        self.pku.then_some(1)
    }
}
