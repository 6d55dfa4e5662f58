//! What a port's words look like.

use crate::{
    Access, BitField, Cause, Change, CpuConfig, CpuFeature, Fpb, KernelRules, Level, Pfn, PgProt, Pte,
    PteView, SoftLeaf, VirtAddr, VmFlags, Walk,
};

/// The words of an architecture: encoding, predicates, and the helpers that make one entry from another.
///
/// Names and meanings are Linux's (`arch/*/include/asm/pgtable.h`). All of them are pure functions of words; what a
/// CPU feature or a kernel version changes is read from the port's value. Defaults are Linux's generic fallbacks.
pub trait EntryFormat {
    /// Log2 of the bytes in a page.
    const PAGE_SHIFT: u32;
    /// Log2 of the entries in a table.
    const TABLE_SHIFT: u32;
    /// Level of the root table.
    const ROOT: Level;
    /// Entries in a contiguous block of pages, 1 where the architecture has none.
    const CONT_PTES: usize = 1;
    /// Bits of a frame number in a software entry (`SWP_PFN_BITS`, `include/linux/leafops.h`, 7.3).
    const SWP_PFN_BITS: u32;
    /// End of user addresses, in bytes.
    const TASK_SIZE: u64;

    /// Bytes in a page.
    const PAGE_SIZE: u64 = 1 << Self::PAGE_SHIFT;
    /// Entries in a table.
    const PTRS_PER_TABLE: usize = 1 << Self::TABLE_SHIFT;
    /// Order of a folio that one PMD maps.
    const PMD_ORDER: u32 = Self::TABLE_SHIFT;

    /// Bytes that one entry of `level` maps.
    #[inline]
    fn entry_size(level: Level) -> u64 {
        1 << (Self::PAGE_SHIFT + Self::TABLE_SHIFT * level as u32)
    }

    /// Index of the entry for `addr` in a table of `level`.
    #[inline]
    fn index(addr: VirtAddr, level: Level) -> usize {
        (addr.get() / Self::entry_size(level)) as usize & (Self::PTRS_PER_TABLE - 1)
    }

    /// The end of the part of `addr..end` that one entry of `level` maps.
    #[inline]
    fn entry_end(addr: VirtAddr, end: VirtAddr, level: Level) -> VirtAddr {
        let size = Self::entry_size(level);
        let next = addr.align_down(size).get().saturating_add(size);
        VirtAddr::new(next.min(end.get()))
    }

    /// `start + len` rounded up to a page, if that is above `start`.
    #[inline]
    fn page_end(start: VirtAddr, len: u64) -> Option<VirtAddr> {
        let len = len.wrapping_add(Self::PAGE_SIZE - 1) & !(Self::PAGE_SIZE - 1);
        start.checked_add(len).filter(|&end| end > start)
    }

    // Neutral view.

    /// What a word at `level` says.
    fn decode(&self, pte: Pte, level: Level) -> PteView;

    /// The canonical word for a view, or `None` where this port has no word that says it.
    fn encode(&self, view: PteView, level: Level) -> Option<Pte>;

    /// The port's own decoding of a word, for people: names of the bits that are set.
    fn describe(&self, pte: Pte, level: Level) -> String;

    /// Every bit and field that a word of this kind has at `level`, set or not, from the lowest up.
    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField>;

    /// Mask of the frame number in a word.
    fn pfn_mask(&self) -> u64;

    // Making entries.

    /// A leaf entry of one page (`pfn_pte`).
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte;

    /// The same entry as a huge leaf of a PMD (`pmd_mkhuge`).
    fn pmd_mkhuge(&self, pte: Pte) -> Pte;

    /// An entry that points to a table in frame `pfn` (`pmd_populate`).
    fn mk_table(&self, pfn: Pfn) -> Pte;

    /// The protection of a mapping with these flags (`vm_get_page_prot`).
    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt;

    /// `new`, with what a changed protection keeps of `old` (`pgprot_modify`).
    #[inline]
    fn pgprot_modify(&self, old: PgProt, new: PgProt) -> PgProt {
        let _ = old;
        new
    }

    // Predicates.

    /// Nothing here.
    #[inline]
    fn pte_none(&self, pte: Pte) -> bool {
        pte == Pte::NONE
    }

    /// A page that Linux regards as present, accessible or not.
    fn pte_present(&self, pte: Pte) -> bool;

    /// Frame of a present entry.
    fn pte_pfn(&self, pte: Pte) -> Pfn;

    /// Linux regards it as writable.
    fn pte_write(&self, pte: Pte) -> bool;

    /// Written, by hardware's or software's account.
    fn pte_dirty(&self, pte: Pte) -> bool;

    /// Accessed.
    fn pte_young(&self, pte: Pte) -> bool;

    /// No page struct behind it.
    fn pte_special(&self, pte: Pte) -> bool;

    /// Present, but no access is allowed.
    fn pte_protnone(&self, pte: Pte) -> bool;

    /// Written since `clear_refs`.
    #[inline]
    fn pte_soft_dirty(&self, pte: Pte) -> bool {
        let _ = pte;
        false
    }

    /// userfaultfd write protection.
    fn pte_uffd_wp(&self, pte: Pte) -> bool;

    /// A huge leaf of a PMD, present (`pmd_trans_huge`).
    fn pmd_leaf(&self, pmd: Pte) -> bool;

    /// Present, at PMD level: hardware may see it invalid for the time of a change.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        self.pte_present(pmd)
    }

    // One entry from another.

    /// Writable.
    fn pte_mkwrite(&self, pte: Pte) -> Pte;
    /// Not writable.
    fn pte_wrprotect(&self, pte: Pte) -> Pte;
    /// Written.
    fn pte_mkdirty(&self, pte: Pte) -> Pte;
    /// Not written.
    fn pte_mkclean(&self, pte: Pte) -> Pte;
    /// Accessed.
    fn pte_mkyoung(&self, pte: Pte) -> Pte;
    /// Not accessed.
    fn pte_mkold(&self, pte: Pte) -> Pte;
    /// Without a page struct.
    fn pte_mkspecial(&self, pte: Pte) -> Pte;
    /// Write-protected for userfaultfd.
    fn pte_mkuffd_wp(&self, pte: Pte) -> Pte;
    /// No longer marked for userfaultfd.
    fn pte_clear_uffd_wp(&self, pte: Pte) -> Pte;

    /// Soft-dirty.
    #[inline]
    fn pte_mksoft_dirty(&self, pte: Pte) -> Pte {
        pte
    }

    /// Not soft-dirty.
    #[inline]
    fn pte_clear_soft_dirty(&self, pte: Pte) -> Pte {
        pte
    }

    /// The entry under another protection; what the page itself has recorded stays (`pte_modify`).
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte;

    /// The same for a huge leaf.
    #[inline]
    fn pmd_modify(&self, pmd: Pte, prot: PgProt) -> Pte {
        self.pte_modify(pmd, prot)
    }

    /// A huge leaf that hardware takes for invalid and Linux for present (`pmd_mkinvalid`).
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte;

    /// What to add to a word (wrapping) to reach the next frame.
    #[inline]
    fn pfn_step(&self, pte: Pte) -> u64 {
        let _ = pte;
        Self::PAGE_SIZE
    }

    /// The entry `n` frames on (`pte_advance_pfn`).
    #[inline]
    fn pte_advance_pfn(&self, pte: Pte, n: usize) -> Pte {
        Pte(pte.0.wrapping_add(self.pfn_step(pte).wrapping_mul(n as u64)))
    }

    /// The entry with all evened out that a batch does not compare (`__pte_batch_clear_ignored`, `mm/internal.h`, 7.3).
    #[inline]
    fn batch_clean(&self, mut pte: Pte, flags: Fpb) -> Pte {
        if !flags.contains(Fpb::RESPECT_DIRTY) {
            pte = self.pte_mkclean(pte);
        }
        if !flags.contains(Fpb::RESPECT_SOFT_DIRTY) {
            pte = self.pte_clear_soft_dirty(pte);
        }
        if !flags.contains(Fpb::RESPECT_WRITE) {
            pte = self.pte_wrprotect(pte);
        }
        self.pte_mkold(pte)
    }

    /// The bits in which entries of one batch may differ: what [`batch_clean`](Self::batch_clean) evens out.
    fn batch_ignore(&self, flags: Fpb) -> u64;

    /// Whether a mask says all of it: two words are one when cleaned exactly where they differ in no bit outside
    /// [`batch_ignore`](Self::batch_ignore). Where it does not, batches are found with `batch_clean`.
    #[inline]
    fn batch_by_mask(&self, flags: Fpb) -> bool {
        let _ = flags;
        true
    }

    // Software entries.

    /// The word of a software entry, or `None` where type or offset do not fit.
    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte>;

    // The machine.

    /// What the hardware's walker does with a leaf entry that an access meets.
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk;

    /// Whether pages that are mapped along with a fault start old (`arch_wants_old_prefaulted_pte`).
    #[inline]
    fn wants_old_prefaulted_pte(&self) -> bool {
        false
    }

    /// Whether soft-dirty tracking is configured (`CONFIG_MEM_SOFT_DIRTY`).
    #[inline]
    fn has_soft_dirty(&self) -> bool {
        false
    }

    // What a call's arguments mean to this architecture.

    /// Bits of `prot` beyond read, write, execute and `PROT_SEM` that the CPU gives a meaning (`arch_validate_prot`).
    #[inline]
    fn arch_prot_bits(&self) -> u64 {
        0
    }

    /// The VMA flags that such bits of `prot` ask for (`arch_calc_vm_prot_bits`).
    #[inline]
    fn arch_calc_vm_prot_bits(&self, prot: u64) -> VmFlags {
        let _ = prot;
        VmFlags::empty()
    }

    /// VMA flags that `mprotect` clears unless asked for again (`VM_ARCH_CLEAR`).
    const VM_ARCH_CLEAR: VmFlags = VmFlags::empty();

    /// The VMA flags of which a read needs one (`access_error` and its like in `arch/*/mm/fault.c`).
    #[inline]
    fn vm_read_flags(&self) -> VmFlags {
        VmFlags::ACCESS
    }

    /// How many protection keys a process has, of which one is key 0 (`arch_max_pkey`). `None` where the architecture has no
    /// calls for them. A CPU without keys has 0, where its kernel does not even know key 0 (x86), else 1.
    #[inline]
    fn arch_max_pkey(&self) -> Option<u8> {
        None
    }

    /// The protection key of memory that may only be executed, where the CPU has keys (`execute_only_pkey`).
    #[inline]
    fn execute_only_pkey(&self) -> Option<u8> {
        None
    }
}

/// A port: an architecture that the memory manager can drive.
pub trait Arch:
    EntryFormat + crate::PteOps + crate::ModifyProt + Clone + std::fmt::Debug + Send + Sync + 'static
{
    /// Linux's name of the architecture, as on the command line.
    const NAME: &'static str;

    /// Other names that people know it by, as `uname -m` says.
    const ALIASES: &'static [&'static str] = &[];

    /// What its CPUs may have or lack.
    const FEATURES: &'static [CpuFeature];

    /// The causes that it applies by itself.
    const CAUSES: &'static [&'static Cause] = &[];
    /// What it does otherwise from one kernel to the next: the table that [`changes!`](crate::changes) made.
    const CHANGES: &'static [&'static Change] = &[];

    /// The port for this CPU and this kernel. Features that the configuration does not name have their defaults.
    fn new(cpu: &CpuConfig, rules: &'static KernelRules) -> Self;
}
