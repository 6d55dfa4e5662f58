//! What a port's words look like.

use crate::{
    Access, BitField, EntryBits, Fpb, Level, Pfn, PgProt, Pte, PteAttrs, PteView, SoftFlags, SoftLeaf,
    VirtAddr, VmFlags, Walk, view,
};
use bitflags::Flags;

/// The words of an architecture: where their bits stand, predicates, and the helpers that make one entry from another.
///
/// Names and meanings are Linux's (`arch/*/include/asm/pgtable.h`). All of them are pure functions of words; what a
/// CPU feature or a kernel version changes is read from the port's value. A default is what an architecture does that
/// has one bit for each thing that is to be said.
pub trait EntryFormat: Sized {
    // Shape.

    /// Log2 of the bytes in a page.
    const PAGE_SHIFT: u32;
    /// Log2 of the entries in a table.
    const TABLE_SHIFT: u32;
    /// Level of the root table.
    const ROOT: Level;
    /// Entries in a contiguous block of pages, 1 where the architecture has none.
    const CONT_PTES: usize = 1;
    /// End of user addresses, in bytes.
    const TASK_SIZE: u64;
    /// End of the addresses that a mapping gets without asking for more, in bytes (`DEFAULT_MAP_WINDOW`).
    const MAP_WINDOW: u64 = Self::TASK_SIZE;
    /// Order of the largest block of free memory (`MAX_PAGE_ORDER`).
    const MAX_PAGE_ORDER: u32 = 10;

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

    // Bits of a present entry.

    /// The named bits of a leaf entry.
    type Bits: EntryBits + Flags<Bits = u64>;
    /// The named bits of an entry that points to a table.
    type TableBits: EntryBits + Flags<Bits = u64>;

    /// The frame number's field.
    const PFN_MASK: u64;
    /// Where it begins: frame numbers count pages, whatever the shift.
    const PFN_SHIFT: u32 = Self::PFN_MASK.trailing_zeros();
    /// The protection key's field, where there is one.
    const PKEY: Option<BitField> = None;
    /// Other fields of a leaf entry, in the order in which people read them.
    const FIELDS: &'static [BitField] = &[];
    /// What a protection decides; all other bits belong to the page.
    const PROT_MASK: u64;
    /// What an entry says beside the frame of the table that it points to.
    const TABLE: Self::TableBits;

    /// Valid to hardware.
    const VALID: Self::Bits;
    /// Present to Linux, where `VALID` is clear.
    const PROTNONE: Self::Bits;
    /// User code may read.
    const USER: Self::Bits;
    /// Linux regards it as writable.
    const WRITE: Self::Bits;
    /// User code may execute, where a bit says so.
    const EXEC: Option<Self::Bits> = None;
    /// Accessed.
    const YOUNG: Self::Bits;
    /// Written.
    const DIRTY: Self::Bits;
    /// Of what an entry has [`recorded`](Self::recorded), the bits of which any says that it was written.
    const DIRTY_BITS: Self::Bits = Self::DIRTY;
    /// No page struct behind it.
    const SPECIAL: Self::Bits;
    /// userfaultfd write protection.
    const UFFD: Self::Bits;
    /// One of a contiguous block, where there are such.
    const CONT: Option<Self::Bits> = None;

    /// Written since `clear_refs`; 0 where that is not tracked.
    #[inline]
    fn soft_dirty_bit(&self) -> u64 {
        0
    }

    // Bits of a software entry.

    /// The named bits of a software entry.
    type SoftBits: EntryBits + Flags<Bits = u64>;

    /// The type's field.
    const SOFT_TYPE_MASK: u64;
    /// The offset's field.
    const SOFT_OFFSET_MASK: u64;
    /// Flags, and the bits that say them.
    const SOFT_FLAGS: &'static [(SoftFlags, Self::SoftBits)];
    /// Bits that stand inverted, or are set in every software entry.
    const SOFT_INVERTED: u64 = 0;
    /// Bits of a frame number in a software entry (`SWP_PFN_BITS`, `include/linux/leafops.h`, 7.3).
    const SWP_PFN_BITS: u32;

    // Neutral view.

    /// What a word at `level` says.
    fn decode(&self, pte: Pte, level: Level) -> PteView {
        view::decode(self, pte, level)
    }

    /// The canonical word for a view, or `None` where this port has no word that says it. Refused as senseless: an access
    /// that is allowed under `PROTNONE`, no access without it, and writing without reading.
    fn encode(&self, view: PteView, level: Level) -> Option<Pte> {
        view::encode(self, view, level)
    }

    /// All bits of a leaf entry that say `attrs`, frame number and protection key apart.
    fn attr_bits(&self, attrs: PteAttrs) -> PgProt {
        PgProt(self.plain_bits(attrs))
    }

    /// The bits that say attributes, where one bit says one.
    fn plain_bits(&self, attrs: PteAttrs) -> u64 {
        view::plain_bits(self, attrs)
    }

    /// The port's own decoding of a word, for people: names of the bits that are set.
    fn describe(&self, pte: Pte, level: Level) -> String {
        view::describe(self, pte, level)
    }

    /// Every bit and field that a word of this kind has at `level`, set or not, from the lowest up.
    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField> {
        view::fields(self, pte, level)
    }

    /// Mask of the frame number in a word.
    #[inline]
    fn pfn_mask(&self) -> u64 {
        Self::PFN_MASK
    }

    // Making entries.

    /// A leaf entry of one page (`pfn_pte`).
    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte((pfn.get() << Self::PFN_SHIFT) & Self::PFN_MASK | prot.0)
    }

    /// The same entry as a huge leaf of a PMD (`pmd_mkhuge`).
    fn pmd_mkhuge(&self, pte: Pte) -> Pte;

    /// An entry that points to a table in frame `pfn` (`pmd_populate`).
    #[inline]
    fn mk_table(&self, pfn: Pfn) -> Pte {
        self.pfn_pte(pfn, PgProt(Self::TABLE.word()))
    }

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
    #[inline]
    fn pte_present(&self, pte: Pte) -> bool {
        pte.has(Self::VALID.word() | Self::PROTNONE.word())
    }

    /// Frame of a present entry.
    #[inline]
    fn pte_pfn(&self, pte: Pte) -> Pfn {
        Pfn::new((pte.0 & Self::PFN_MASK) >> Self::PFN_SHIFT)
    }

    /// Frame of the table that an entry points to (`pmd_pgtable`).
    #[inline]
    fn table_pfn(&self, entry: Pte) -> Pfn {
        Pfn::new((entry.0 & Self::PFN_MASK) >> Self::PFN_SHIFT)
    }

    /// Linux regards it as writable.
    #[inline]
    fn pte_write(&self, pte: Pte) -> bool {
        pte.has(Self::WRITE)
    }

    /// User code may read it.
    #[inline]
    fn pte_user(&self, pte: Pte) -> bool {
        pte.has(Self::USER)
    }

    /// User code may execute it.
    #[inline]
    fn pte_exec(&self, pte: Pte) -> bool {
        Self::EXEC.is_some_and(|bit| pte.has(bit))
    }

    /// Written, by hardware's or software's account.
    #[inline]
    fn pte_dirty(&self, pte: Pte) -> bool {
        Pte(self.recorded(pte)).has(Self::DIRTY_BITS)
    }

    /// Accessed.
    #[inline]
    fn pte_young(&self, pte: Pte) -> bool {
        pte.has(Self::YOUNG)
    }

    /// A word of which `YOUNG` and `DIRTY_BITS` say what the entry has recorded: that of many entries is the union.
    /// Without branches, so that runs become vector code.
    #[inline]
    fn recorded(&self, pte: Pte) -> u64 {
        pte.0
    }

    /// The entry, dirty and young if `recorded` of any other says so.
    #[inline]
    fn pte_mkrecorded(&self, mut pte: Pte, recorded: u64) -> Pte {
        if Pte(recorded).has(Self::DIRTY_BITS) {
            pte = self.pte_mkdirty(pte);
        }
        if Pte(recorded).has(Self::YOUNG) {
            pte = self.pte_mkyoung(pte);
        }
        pte
    }

    /// No page struct behind it.
    #[inline]
    fn pte_special(&self, pte: Pte) -> bool {
        pte.has(Self::SPECIAL)
    }

    /// Present, but no access is allowed.
    #[inline]
    fn pte_protnone(&self, pte: Pte) -> bool {
        !pte.has(Self::VALID) && pte.has(Self::PROTNONE)
    }

    /// Written since `clear_refs`.
    #[inline]
    fn pte_soft_dirty(&self, pte: Pte) -> bool {
        pte.has(self.soft_dirty_bit())
    }

    /// userfaultfd write protection.
    #[inline]
    fn pte_uffd_wp(&self, pte: Pte) -> bool {
        pte.has(Self::UFFD)
    }

    /// Its protection key, 0 where there are none.
    #[inline]
    fn pte_pkey(&self, pte: Pte) -> u8 {
        Self::PKEY.map_or(0, |key| key.value(pte) as u8)
    }

    /// A huge leaf of a PMD, present (`pmd_trans_huge`).
    fn pmd_leaf(&self, pmd: Pte) -> bool;

    /// Present, at PMD level: hardware may see it invalid for the time of a change.
    #[inline]
    fn pmd_present(&self, pmd: Pte) -> bool {
        self.pte_present(pmd)
    }

    // One entry from another.

    /// Writable.
    #[inline]
    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        pte.with(Self::WRITE)
    }

    /// Not writable.
    #[inline]
    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        pte.without(Self::WRITE)
    }

    /// Written.
    #[inline]
    fn pte_mkdirty(&self, pte: Pte) -> Pte {
        pte.with(Self::DIRTY)
    }

    /// Not written.
    #[inline]
    fn pte_mkclean(&self, pte: Pte) -> Pte {
        pte.without(Self::DIRTY_BITS)
    }

    /// Accessed.
    #[inline]
    fn pte_mkyoung(&self, pte: Pte) -> Pte {
        pte.with(Self::YOUNG)
    }

    /// Not accessed.
    #[inline]
    fn pte_mkold(&self, pte: Pte) -> Pte {
        pte.without(Self::YOUNG)
    }

    /// Without a page struct.
    #[inline]
    fn pte_mkspecial(&self, pte: Pte) -> Pte {
        pte.with(Self::SPECIAL)
    }

    /// Write-protected for userfaultfd.
    #[inline]
    fn pte_mkuffd_wp(&self, pte: Pte) -> Pte {
        self.pte_wrprotect(pte.with(Self::UFFD))
    }

    /// No longer marked for userfaultfd.
    #[inline]
    fn pte_clear_uffd_wp(&self, pte: Pte) -> Pte {
        pte.without(Self::UFFD)
    }

    /// Soft-dirty.
    #[inline]
    fn pte_mksoft_dirty(&self, pte: Pte) -> Pte {
        pte.with(self.soft_dirty_bit())
    }

    /// Not soft-dirty.
    #[inline]
    fn pte_clear_soft_dirty(&self, pte: Pte) -> Pte {
        pte.without(self.soft_dirty_bit())
    }

    /// The entry under another protection; what the page itself has recorded stays (`pte_modify`).
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        Pte(pte.0 & !Self::PROT_MASK | prot.0 & Self::PROT_MASK)
    }

    /// The same for a huge leaf.
    #[inline]
    fn pmd_modify(&self, pmd: Pte, prot: PgProt) -> Pte {
        self.pte_modify(pmd, prot)
    }

    /// A huge leaf that hardware takes for invalid and Linux for present (`pmd_mkinvalid`).
    #[inline]
    fn pmd_mkinvalid(&self, pmd: Pte) -> Pte {
        pmd.without(Self::VALID).with(Self::PROTNONE)
    }

    /// What to add to a word (wrapping) to reach the next frame.
    #[inline]
    fn pfn_step(&self, pte: Pte) -> u64 {
        let _ = pte;
        1 << Self::PFN_SHIFT
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
    #[inline]
    fn batch_ignore(&self, flags: Fpb) -> u64 {
        let ignored = |flag, bits: u64| if flags.contains(flag) { 0 } else { bits };
        Self::YOUNG.word()
            | ignored(Fpb::RESPECT_DIRTY, Self::DIRTY_BITS.word())
            | ignored(Fpb::RESPECT_SOFT_DIRTY, self.soft_dirty_bit())
            | ignored(Fpb::RESPECT_WRITE, Self::WRITE.word())
    }

    /// Whether a mask says all of it: two words are one when cleaned exactly where they differ in no bit outside
    /// [`batch_ignore`](Self::batch_ignore). Where it does not, batches are found with `batch_clean`. Where several bits say
    /// dirty, which of them does follows write permission: taking it away moves dirtiness from one to the other.
    #[inline]
    fn batch_by_mask(&self, flags: Fpb) -> bool {
        Self::DIRTY_BITS.word() == Self::DIRTY.word()
            || !flags.contains(Fpb::RESPECT_DIRTY)
            || flags.contains(Fpb::RESPECT_WRITE)
    }

    // Software entries.

    /// The word of a software entry, or `None` where type, offset or flags do not fit, or it would be the empty one.
    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        view::soft_leaf(self, leaf)
    }

    // The machine.

    /// What the hardware's walker does with a leaf entry that an access meets: here it sets accessed and dirty by itself. A key
    /// other than 0 denies all data, as the rights do that processes start with.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        if !pte.has(Self::VALID) || !pte.has(Self::USER) || !self.is_leaf(pte, level) || self.denies_key(pte)
        {
            return Walk::Fault;
        }
        let young = pte.with(Self::YOUNG);
        match access {
            Access::Read => Walk::Allowed(young),
            Access::Write if self.pte_write(pte) => Walk::Allowed(young.with(Self::DIRTY)),
            Access::Write => Walk::Fault,
        }
    }

    /// Whether hardware takes a valid entry of `level` for a page.
    #[inline]
    fn is_leaf(&self, pte: Pte, level: Level) -> bool {
        level <= Level::Pmd && self.pmd_leaf(pte) == (level == Level::Pmd)
    }

    /// Whether the protection key denies all data.
    #[inline]
    fn denies_key(&self, pte: Pte) -> bool {
        self.pte_pkey(pte) != 0 && self.arch_max_pkey() > Some(1)
    }

    /// Whether pages that are mapped along with a fault start old (`arch_wants_old_prefaulted_pte`).
    #[inline]
    fn wants_old_prefaulted_pte(&self) -> bool {
        false
    }

    /// Whether soft-dirty tracking is configured (`CONFIG_MEM_SOFT_DIRTY`).
    #[inline]
    fn has_soft_dirty(&self) -> bool {
        self.soft_dirty_bit() != 0
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
