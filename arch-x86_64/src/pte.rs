//! Entries: where their bits stand, and what takes more than one bit
//! (`arch/x86/include/asm/pgtable.h`, 7.3).

use crate::X86_64;
use crate::bits::{PFN_MASK, PKEY, PMD_PFN_MASK, PteBits, SOFT_OFFSET_MASK, SOFT_TYPE_MASK, SoftBits};
use ptelab_pgtable::{
    BitField, EntryFormat, Level, Pfn, PgProt, Pte, PteAttrs, SoftFlags, SoftleafRules, VmFlags,
};

const PAGE_NONE: PteBits = PteBits::ACCESSED.union(PteBits::PROTNONE);
const PAGE_READONLY_EXEC: PteBits = PteBits::PRESENT.union(PteBits::USER).union(PteBits::ACCESSED);

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
fn save_dirty(pte: Pte) -> Pte {
    let moves = pte.has(PteBits::DIRTY) && !pte.has(PteBits::RW);
    if moves { pte.without(PteBits::DIRTY).with(PteBits::SAVED_DIRTY) } else { pte }
}

/// Gives a writable entry its saved dirtiness back (`pte_clear_saveddirty`).
#[inline]
fn restore_dirty(pte: Pte) -> Pte {
    let moves = pte.has(PteBits::SAVED_DIRTY) && pte.has(PteBits::RW);
    if moves { pte.without(PteBits::SAVED_DIRTY).with(PteBits::DIRTY) } else { pte }
}

impl X86_64 {
    /// `old` with what `prot` decides replaced; `keep` stays, and `frame` is inverted where the new entry asks
    /// for it.
    #[inline]
    fn modify(&self, old: Pte, prot: PgProt, keep: u64, frame: u64) -> Pte {
        let soft_dirty = self.soft_dirty_bit();
        let word = old.0 & (keep | soft_dirty) | prot.0 & Self::PROT_MASK & !soft_dirty;
        let new = Pte(word ^ (inversion(old.0) ^ inversion(word)) & frame);
        if old.has(PteBits::RW) { save_dirty(new) } else { restore_dirty(new) }
    }
}

/// There is no word for pages that user code may not use at all: that is what the supervisor's pages are.
impl EntryFormat for X86_64 {
    const PAGE_SHIFT: u32 = 12;
    const INDEX_BITS: [u32; Level::ALL.len()] = [9; Level::ALL.len()];
    const TOP: Level = Level::Pgd;
    const TASK_SIZE: u64 = (1 << 56) - Self::PAGE_SIZE;
    const MAP_WINDOW: u64 = (1 << 47) - Self::PAGE_SIZE;

    fn root(&self) -> Level {
        if self.cpu.la57 { Level::Pgd } else { Level::P4d }
    }

    fn task_size(&self) -> u64 {
        if self.cpu.la57 { Self::TASK_SIZE } else { Self::MAP_WINDOW }
    }

    type Bits = PteBits;
    type TableBits = PteBits;
    const PFN_MASK: u64 = PFN_MASK;
    const PKEY: Option<BitField> = Some(PKEY);
    const PROT_MASK: u64 = !CHG_MASK;
    /// All permission is decided by the leaf.
    const TABLE: PteBits = PAGE_READONLY_EXEC.union(PteBits::RW).union(PteBits::DIRTY);
    const VALID: PteBits = PteBits::PRESENT;
    const PROTNONE: PteBits = PteBits::PROTNONE;
    const USER: PteBits = PteBits::USER;
    const WRITE: PteBits = PteBits::RW;
    const YOUNG: PteBits = PteBits::ACCESSED;
    const DIRTY: PteBits = PteBits::DIRTY;
    const DIRTY_BITS: PteBits = PteBits::DIRTY_BITS;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::UFFD;

    #[inline]
    fn soft_dirty_bit(&self) -> u64 {
        if self.cpu.soft_dirty { PteBits::SOFT_DIRTY.bits() } else { 0 }
    }

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] = &[
        (SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE),
        (SoftFlags::SOFT_DIRTY, SoftBits::SOFT_DIRTY),
        (SoftFlags::UFFD, SoftBits::UFFD),
    ];
    const SOFT_INVERTED: u64 = SOFT_OFFSET_MASK;
    const SWP_PFN_BITS: u32 = 34;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    /// By the physical addresses that five levels of tables come with.
    fn swp_pfn_bits(&self) -> u32 {
        if self.cpu.la57 { 40 } else { Self::SWP_PFN_BITS }
    }

    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        let may = attrs.intersects(PteAttrs::PROTNONE | PteAttrs::EXEC);
        let nx = if may { 0 } else { PteBits::NX.bits() };
        PgProt(save_dirty(Pte(self.plain_bits(attrs) | nx)).0)
    }

    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte(((pfn.get() << Self::PFN_SHIFT) ^ inversion(prot.0)) & PFN_MASK | prot.0)
    }

    /// The low bits of the frame number are not inverted in a huge page's entry.
    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        Pte(pte.0 & !(PFN_MASK & !PMD_PFN_MASK)).with(PteBits::PSE)
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
        let key = if self.cpu.pku { flags.pkey() } else { 0 };
        PgProt(prot.bits() | PKEY.bits(key.into()))
    }

    #[inline]
    fn pgprot_modify(&self, old: PgProt, new: PgProt) -> PgProt {
        let keep = CHG_MASK | self.soft_dirty_bit();
        PgProt(old.0 & keep | new.0 & !keep)
    }

    /// Accessed and dirty alone are nothing: an erratum sets them in empty entries.
    #[inline]
    fn pte_none(&self, pte: Pte) -> bool {
        pte.without(PteBits::ACCESSED.union(PteBits::DIRTY)) == Pte::NONE
    }

    #[inline]
    fn pte_pfn(&self, pte: Pte) -> Pfn {
        let mask = if pte.has(PteBits::PSE) { PMD_PFN_MASK } else { PFN_MASK };
        Pfn::new(((pte.0 ^ inversion(pte.0)) & mask) >> Self::PFN_SHIFT)
    }

    #[inline]
    fn pte_exec(&self, pte: Pte) -> bool {
        pte.has(PteBits::USER) && !pte.has(PteBits::NX)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        pmd.has(PteBits::PSE)
    }

    /// The PSE bit stays while a huge page is made invalid for a change.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        pmd.has(PteBits::PRESENT.union(PteBits::PROTNONE).union(PteBits::PSE))
    }

    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        restore_dirty(pte.with(PteBits::RW))
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        save_dirty(pte.without(PteBits::RW))
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        save_dirty(pte.with(PteBits::DIRTY.bits() | self.soft_dirty_bit()))
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
        let word = pmd.without(PteBits::PRESENT.union(PteBits::PROTNONE));
        Pte(word.0 ^ (inversion(pmd.0) ^ inversion(word.0)) & PMD_PFN_MASK)
    }

    #[inline]
    fn pfn_step(&self, pte: Pte) -> u64 {
        if inversion(pte.0) == 0 { Self::PAGE_SIZE } else { Self::PAGE_SIZE.wrapping_neg() }
    }

    #[inline]
    fn arch_max_pkey(&self) -> Option<u8> {
        Some(if self.cpu.pku { 16 } else { 0 })
    }

    /// The first key that a process gets.
    fn execute_only_pkey(&self) -> Option<u8> {
        self.cpu.pku.then_some(1)
    }
}
