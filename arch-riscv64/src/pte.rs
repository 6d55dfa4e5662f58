//! Entries: where their bits stand, and what takes more than one bit
//! (`arch/riscv/include/asm/pgtable.h`, 7.2).

use crate::Riscv64;
use crate::bits::{MT, PFN_MASK, PteBits, SOFT_OFFSET_MASK, SOFT_TYPE_MASK, SoftBits};
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Fpb, Level, PgProt, Pte, PteAttrs, SoftFlags, SoftleafRules, VmFlags, Walk,
};

/// No access: invalid to hardware, and readable but for that.
const PAGE_NONE: PteBits = PteBits::G.union(PteBits::R);
/// What every page has that may be accessed.
const PAGE_BASE: PteBits = PteBits::V.union(PteBits::U).union(PteBits::A);

/// What makes an entry one of a page.
const LEAF: PteBits = PteBits::R.union(PteBits::W).union(PteBits::X);

/// `PROT_READ`, `PROT_WRITE` of a call.
const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;

impl EntryFormat for Riscv64 {
    const PAGE_SHIFT: u32 = 12;
    const INDEX_BITS: [u32; Level::ALL.len()] = [9; Level::ALL.len()];
    const TOP: Level = Level::Pgd;
    /// Of 64K, the one size that Svnapot has.
    const CONT_PTES: usize = 16;
    const TASK_SIZE: u64 = 1 << 56;
    const MAP_WINDOW: u64 = 1 << 47;
    const MEMORY_FAILURE: bool = false;

    fn has_contpte(&self) -> bool {
        self.cpu.napot
    }

    fn root(&self) -> Level {
        match (self.cpu.sv57, self.cpu.sv48) {
            (true, _) => Level::Pgd,
            (false, true) => Level::P4d,
            (false, false) => Level::Pud,
        }
    }

    /// Half of what the tables reach.
    fn task_size(&self) -> u64 {
        Self::entry_size(self.root()) << (Self::INDEX_BITS[0] - 1)
    }

    type Bits = PteBits;
    type TableBits = PteBits;
    const PFN_MASK: u64 = PFN_MASK;
    const FIELDS: &'static [BitField] = &[MT];
    const PROT_MASK: u64 = PteBits::V.union(LEAF).union(PteBits::U).union(PteBits::G).bits() | MT.mask;
    const TABLE: PteBits = PteBits::V;
    const VALID: PteBits = PteBits::V;
    const PROTNONE: PteBits = PteBits::G;
    const USER: PteBits = PteBits::R;
    const WRITE: PteBits = PteBits::W;
    const EXEC: Option<PteBits> = Some(PteBits::X);
    const YOUNG: PteBits = PteBits::A;
    const DIRTY: PteBits = PteBits::D;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::UFFD;
    /// To hardware, the lowest four bits of the frame number say the size then, and the place in the table says the frame. Here they
    /// stay the frame's.
    const CONT: Option<PteBits> = Some(PteBits::N);

    #[inline]
    fn soft_dirty_bit(&self) -> u64 {
        if self.cpu.svrsw60t59b { PteBits::SOFT_DIRTY.bits() } else { 0 }
    }

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] = &[
        (SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE),
        (SoftFlags::SOFT_DIRTY, SoftBits::SOFT_DIRTY),
        (SoftFlags::UFFD, SoftBits::UFFD),
    ];
    const SWP_PFN_BITS: u32 = 44;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    /// What may be accessed is user's; what may not keeps the read bit.
    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        let none = attrs.contains(PteAttrs::PROTNONE);
        PgProt(self.plain_bits(attrs) | if none { PteBits::R.bits() } else { PteBits::U.bits() })
    }

    /// `protection_map`, `arch/riscv/mm/init.c`. All that may be accessed is accessed; a private mapping's writable pages start
    /// read-only, so that the first write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        if !flags.intersects(VmFlags::ACCESS) {
            return PgProt(PAGE_NONE.bits());
        }
        let mut prot = PAGE_BASE;
        prot.set(PteBits::R, flags.intersects(VmFlags::READ | VmFlags::WRITE));
        prot.set(PteBits::X, flags.contains(VmFlags::EXEC));
        prot.set(PteBits::W, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
        PgProt(prot.bits())
    }

    #[inline]
    fn pte_user(&self, pte: Pte) -> bool {
        pte.has(PteBits::R) && pte.has(PteBits::U)
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pmd_present(pmd) && pmd.has(LEAF)
    }

    /// A word that any of these bits is set in.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        pmd.has(PteBits::V.union(PteBits::G).union(LEAF))
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        let readonly = pte.without(PteBits::W);
        if self.rules.wrprotect_sets_read { readonly.with(PteBits::R) } else { readonly }
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        pte.with(PteBits::D.bits() | self.soft_dirty_bit())
    }

    /// Accessed is one of a protection's bits, and none that it takes away.
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        Pte(pte.0 & !Self::PROT_MASK | prot.0)
    }

    /// Read, write or execute stays, so that Linux takes it for present.
    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        pmd.without(PteBits::V.union(PteBits::G))
    }

    /// What write protection evens out.
    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let ignored = |flag, bits: PteBits| if flags.contains(flag) { 0 } else { bits.bits() };
        let protected = if self.rules.wrprotect_sets_read { PteBits::W | PteBits::R } else { PteBits::W };
        PteBits::A.bits()
            | ignored(Fpb::RESPECT_DIRTY, PteBits::D)
            | if flags.contains(Fpb::RESPECT_SOFT_DIRTY) { 0 } else { self.soft_dirty_bit() }
            | ignored(Fpb::RESPECT_WRITE, protected)
    }

    /// Without Svadu, accessed and dirty are set by faults.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let sets = self.cpu.svadu;
        let usable = pte.has(PteBits::V) && pte.has(PteBits::U) && self.is_leaf(pte, level);
        if !usable || !pte.has(PteBits::A) && !sets {
            return Walk::Fault;
        }
        let young = pte.with(PteBits::A);
        match access {
            Access::Read if pte.has(PteBits::R) => Walk::Allowed(young),
            Access::Write if pte.has(PteBits::W) && (pte.has(PteBits::D) || sets) => {
                Walk::Allowed(young.with(PteBits::D))
            }
            Access::Read | Access::Write => Walk::Fault,
        }
    }

    #[inline]
    fn is_leaf(&self, pte: Pte, level: Level) -> bool {
        level <= Level::Pmd && pte.has(LEAF)
    }

    #[inline]
    fn pgtable_supports_uffd_wp(&self) -> bool {
        self.cpu.svrsw60t59b
    }

    /// What may be written may be read.
    fn arch_calc_vm_prot_bits(&self, prot: u64) -> VmFlags {
        let write_only = prot & (PROT_READ | PROT_WRITE) == PROT_WRITE;
        if self.rules.write_implies_read && write_only { VmFlags::READ } else { VmFlags::empty() }
    }

    /// Memory that may only be executed cannot be read.
    fn vm_read_flags(&self) -> VmFlags {
        VmFlags::READ | VmFlags::WRITE
    }
}
