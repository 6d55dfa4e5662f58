//! Entries: where their bits stand, and what takes more than one bit
//! (`arch/arm64/include/asm/pgtable.h`, 7.3).

use crate::Granule;
use crate::bits::{
    ATTR, PFN_MASK, POE, PteBits, SH, SH_INNER, SOFT_OFFSET_MASK, SOFT_TYPE_MASK, SoftBits, TableBits,
};
use ptelab_pgtable::{
    Access, BitField, EntryFormat, Fpb, Level, PgProt, Pte, PteAttrs, SoftFlags, SoftleafRules, VirtAddr,
    VmFlags, Walk,
};

/// What every user page has.
const PAGE_DEFAULT: u64 =
    PteBits::VALID.union(PteBits::PAGE).union(PteBits::AF).union(PteBits::NG).union(PteBits::PXN).bits();
/// No access: invalid to hardware, and present by the `NG` bit.
const PAGE_NONE: u64 = PAGE_DEFAULT & !PteBits::VALID.bits() | PteBits::RDONLY.union(PteBits::UXN).bits();
/// Execute only.
const PAGE_EXECONLY: u64 = PAGE_DEFAULT | PteBits::RDONLY.bits();
const PAGE_READONLY_EXEC: u64 = PAGE_EXECONLY | PteBits::USER.bits();

/// `PROT_BTI` of `mmap` and `mprotect`.
const PROT_BTI: u64 = 0x10;

/// From the bit that makes an entry not writable as of now up to the one by which hardware may change that.
const RDONLY_TO_DBM: u32 = PteBits::DBM.bits().trailing_zeros() - PteBits::RDONLY.bits().trailing_zeros();

impl<const SHIFT: u32> Granule<SHIFT> {
    /// Inner shareable; with LPA2, these bits are the highest of the frame number, and none of memory that there is.
    const fn shareability(&self) -> u64 {
        if self.cpu.lpa2 && SHIFT != 16 { 0 } else { SH_INNER }
    }
}

/// Makes software's account of dirtiness as good as hardware's, which is about to go: writable, and no longer read-only.
#[inline]
fn save_dirty(pte: Pte) -> Pte {
    let hw_dirty = pte.has(PteBits::DBM) && !pte.has(PteBits::RDONLY);
    if hw_dirty { pte.with(PteBits::DIRTY) } else { pte }
}

impl<const SHIFT: u32> EntryFormat for Granule<SHIFT> {
    const PAGE_SHIFT: u32 = SHIFT;
    /// The root of 52-bit addresses is a small one.
    const INDEX_BITS: [u32; Level::ALL.len()] = match SHIFT {
        12 => [9, 9, 9, 9, 4],
        14 => [11, 11, 11, 5, 0],
        _ => [13, 13, 10, 0, 0],
    };
    const TOP: Level = match SHIFT {
        12 => Level::Pgd,
        14 => Level::P4d,
        _ => Level::Pud,
    };
    /// `CONFIG_ARM64_CONT_PTE_SHIFT`.
    const CONT_PTES: usize = match SHIFT {
        12 => 16,
        14 => 128,
        _ => 32,
    };
    const TASK_SIZE: u64 = 1 << 52;
    const MAP_WINDOW: u64 = if SHIFT == 14 { 1 << 47 } else { 1 << 48 };
    const MAX_PAGE_ORDER: u32 = match SHIFT {
        12 => 10,
        14 => 11,
        _ => 13,
    };
    /// Contiguous blocks of both levels too.
    const HUGETLB_SHIFTS: &'static [u32] = match SHIFT {
        12 => &[16, 21, 25, 30],
        14 => &[21, 25, 30],
        _ => &[21, 29, 34],
    };

    fn root(&self) -> Level {
        match SHIFT {
            12 if !self.cpu.lpa2 => Level::P4d,
            14 if !self.cpu.lpa2 => Level::Pud,
            _ => Self::TOP,
        }
    }

    /// A kernel for 52 bits with 16K pages falls back to 47.
    fn task_size(&self) -> u64 {
        match SHIFT {
            _ if self.cpu.lpa2 => Self::TASK_SIZE,
            14 => 1 << 47,
            _ => Self::MAP_WINDOW,
        }
    }

    /// Top byte ignore, without an opt-in (Linux's `Documentation/arch/arm64/tagged-address-abi.rst`; Arm ARM D8.8): where bit 55
    /// is clear, as in user addresses, the top byte is dropped.
    fn untagged_addr(addr: VirtAddr) -> VirtAddr {
        let extended = (addr.get() << 8).cast_signed() >> 8;
        VirtAddr::new(addr.get() & extended.cast_unsigned())
    }

    type Bits = PteBits;
    type TableBits = TableBits;
    const PFN_MASK: u64 = PFN_MASK & !((1 << SHIFT) - 1);
    const PKEY: Option<BitField> = Some(POE);
    const FIELDS: &'static [BitField] = &[SH, ATTR];
    const PROT_MASK: u64 = PteBits::VALID
        .union(PteBits::USER)
        .union(PteBits::RDONLY)
        .union(PteBits::NG)
        .union(PteBits::GP)
        .union(PteBits::DBM)
        .union(PteBits::PXN)
        .union(PteBits::UXN)
        .bits()
        | ATTR.mask
        | POE.mask;
    const TABLE: TableBits = TableBits::all();
    const VALID: PteBits = PteBits::VALID;
    const PROTNONE: PteBits = PteBits::NG;
    const USER: PteBits = PteBits::USER;
    const WRITE: PteBits = PteBits::DBM;
    const YOUNG: PteBits = PteBits::AF;
    const DIRTY: PteBits = PteBits::DIRTY;
    const DIRTY_BITS: PteBits = PteBits::DIRTY.union(PteBits::DBM);
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::UFFD;
    const CONT: Option<PteBits> = Some(PteBits::CONT);

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] =
        &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::UFFD, SoftBits::UFFD)];
    const SWP_PFN_BITS: u32 = 48 - SHIFT;

    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        self.softleaf
    }

    /// By the physical addresses that are in use.
    fn swp_pfn_bits(&self) -> u32 {
        if self.cpu.lpa2 || SHIFT == 16 { 52 - SHIFT } else { Self::SWP_PFN_BITS }
    }

    /// A dirty page that is writable is dirty to hardware too.
    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        let mut bits = PteBits::NG | PteBits::PXN | PteBits::PAGE;
        bits.set(PteBits::UXN, !attrs.contains(PteAttrs::EXEC));
        bits.set(PteBits::RDONLY, !attrs.contains(PteAttrs::WRITE | PteAttrs::DIRTY));
        PgProt(self.plain_bits(attrs) | bits.bits() | self.shareability())
    }

    /// `VALID` stays as it is: a huge page under `PROT_NONE` is invalid too.
    #[inline]
    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        pte.without(PteBits::PAGE)
    }

    /// `arch/arm64/mm/mmap.c` (7.3). All of them are accessed. A shared mapping's writable pages start clean,
    /// which is read-only to hardware; a private mapping's start without write permission, so that the first
    /// write can copy.
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let access = flags & VmFlags::ACCESS;
        let mut prot = match access {
            VmFlags::EXEC if self.cpu.epan => PAGE_EXECONLY,
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
        if self.cpu.poe {
            prot |= POE.bits(flags.pkey().into());
        }
        PgProt(prot | self.shareability())
    }

    #[inline]
    fn pte_exec(&self, pte: Pte) -> bool {
        !pte.has(PteBits::UXN)
    }

    /// Hardware's account of dirtiness, writable and no longer read-only, stands where Linux's writable does.
    #[inline]
    fn recorded(&self, pte: Pte) -> u64 {
        pte.0 & !(pte.0 << RDONLY_TO_DBM & PteBits::DBM.bits())
    }

    /// Invalid, and neither read nor executed by user code: a huge page that is invalid for a change keeps its
    /// permissions.
    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        let bits = PteBits::VALID.union(PteBits::NG).union(PteBits::USER).union(PteBits::UXN);
        pte.0 & bits.bits() == PteBits::NG.union(PteBits::UXN).bits()
    }

    #[inline]
    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && !pmd.has(PteBits::PAGE)
    }

    /// Older kernels clear `RDONLY` of a clean entry too, which makes it dirty to hardware.
    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let writable = pte.with(PteBits::DBM);
        if self.rules.mkwrite_dirties_clean || pte.has(PteBits::DIRTY) {
            return writable.without(PteBits::RDONLY);
        }
        writable
    }

    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        save_dirty(pte).without(PteBits::DBM).with(PteBits::RDONLY)
    }

    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        let dirty = pte.with(PteBits::DIRTY);
        if pte.has(PteBits::DBM) { dirty.without(PteBits::RDONLY) } else { dirty }
    }

    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        pte.without(PteBits::DIRTY).with(PteBits::RDONLY)
    }

    /// A dirty page that becomes writable is dirty to hardware at once, which spares it a fault or an update.
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        let new = Pte(save_dirty(pte).0 & !Self::PROT_MASK | prot.0 & Self::PROT_MASK);
        if new.has(PteBits::DIRTY) { self.pte_mkdirty(new) } else { new }
    }

    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let mut mask = PteBits::AF;
        mask.set(PteBits::DIRTY, !flags.contains(Fpb::RESPECT_DIRTY));
        mask.set(PteBits::DBM, !flags.contains(Fpb::RESPECT_WRITE));
        mask.set(PteBits::RDONLY, !flags.contains(Fpb::RESPECT_DIRTY | Fpb::RESPECT_WRITE));
        mask.bits()
    }

    /// Arm ARM D8.4 and D8.5: a writable entry is not so as of now while it is clean.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        let usable = pte.has(PteBits::VALID) && pte.has(PteBits::USER) && self.is_leaf(pte, level);
        let sets = self.cpu.hafdbs;
        if !usable || !pte.has(PteBits::AF) && !sets {
            return Walk::Fault;
        }
        let young = pte.with(PteBits::AF);
        match access {
            Access::Read => Walk::Allowed(young),
            Access::Write if !pte.has(PteBits::RDONLY) => Walk::Allowed(young),
            Access::Write if pte.has(PteBits::DBM) && sets => Walk::Allowed(young.without(PteBits::RDONLY)),
            Access::Write => Walk::Fault,
        }
    }

    fn wants_old_prefaulted_pte(&self) -> bool {
        self.cpu.hafdbs
    }

    fn arch_prot_bits(&self) -> u64 {
        if self.cpu.bti { PROT_BTI } else { 0 }
    }

    fn arch_calc_vm_prot_bits(&self, prot: u64) -> VmFlags {
        if prot & self.arch_prot_bits() == 0 { VmFlags::empty() } else { VmFlags::ARM64_BTI }
    }

    const VM_ARCH_CLEAR: VmFlags = VmFlags::ARM64_BTI;

    /// Without execute-only memory, what may be executed may be read (`do_page_fault`).
    fn vm_read_flags(&self) -> VmFlags {
        if self.cpu.epan { VmFlags::READ | VmFlags::WRITE } else { VmFlags::ACCESS }
    }

    #[inline]
    fn arch_max_pkey(&self) -> Option<u8> {
        Some(if self.cpu.poe { 8 } else { 1 })
    }

    /// Reading and execution may be disabled, too.
    #[inline]
    fn pkey_access_mask(&self) -> u64 {
        0b1111
    }
}
