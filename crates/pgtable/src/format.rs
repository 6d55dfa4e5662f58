//! What a port's words look like.

use crate::{
    Access, BitField, EntryBits, Fpb, Level, Pfn, PgProt, PhysAddr, Pte, PteAttrs, PteView, SoftFlags,
    SoftLeaf, SoftleafRules, VirtAddr, VmFlags, Walk, view,
};
use bitflags::Flags;

/// Log2 of what entries map, by level.
const fn shifts(page: u32, index_bits: [u32; Level::ALL.len()]) -> [u32; Level::ALL.len()] {
    let mut shifts = [page; Level::ALL.len()];
    let mut level = 1;
    while level < shifts.len() {
        shifts[level] = shifts[level - 1] + index_bits[level - 1];
        level += 1;
    }
    shifts
}

/// What an entry says, of huge leaves.
macro_rules! pmd_predicates {
    ($($pmd:ident = $pte:ident;)*) => {
        $(#[doc = concat!("As [`", stringify!($pte), "`](Self::", stringify!($pte), "), of a huge leaf.")]
        #[inline]
        fn $pmd(&self, pmd: Pte) -> bool {
            self.$pte(self.pmd_pte(pmd))
        })*
    };
}

/// One entry from another, for huge leaves.
macro_rules! pmd_changes {
    ($($pmd:ident = $pte:ident;)*) => {
        $(#[doc = concat!("As [`", stringify!($pte), "`](Self::", stringify!($pte), "), of a huge leaf.")]
        #[inline]
        fn $pmd(&self, pmd: Pte) -> Pte {
            self.pte_pmd(self.$pte(self.pmd_pte(pmd)))
        })*
    };
}

/// The words of an architecture: where their bits stand, predicates, and the helpers that make one entry from another.
///
/// Names and meanings are Linux's (`arch/*/include/asm/pgtable.h`). All of them are pure functions of words; what a
/// CPU feature or a kernel version changes is read from the port's value. A default is what an architecture does that
/// has one bit for each thing that is to be said.
pub trait EntryFormat: Sized {
    // Shape.

    /// Log2 of the bytes in a page.
    const PAGE_SHIFT: u32;
    /// Bits of an address that index a table, by its level, from the last up: log2 of the entries in it.
    const INDEX_BITS: [u32; Level::ALL.len()];
    /// The highest level that a root table may have.
    const TOP: Level;
    /// Entries in a contiguous block of pages, 1 where the architecture has none.
    const CONT_PTES: usize = 1;
    /// The highest end of user addresses that there may be, in bytes.
    const TASK_SIZE: u64;
    /// End of the addresses that a mapping gets without a hint above it, in bytes (`DEFAULT_MAP_WINDOW`).
    const MAP_WINDOW: u64 = Self::TASK_SIZE;
    /// Order of the largest block of free memory (`MAX_PAGE_ORDER`).
    const MAX_PAGE_ORDER: u32 = 10;

    /// Whether the port itself refuses memory at a fixed address beyond the address space, as `EINVAL` (`arch_get_unmapped_area`).
    const CHECKS_FIXED_RANGE: bool = false;
    /// Whether mmap refuses protections that mprotect does not know (`do_mmap2` of powerpc).
    const MMAP_VALIDATES_PROT: bool = false;
    /// Log2 of the bytes in each size of huge pages that may be set aside (`hugetlb_add_hstate`). A single page is none.
    const HUGETLB_SHIFTS: &'static [u32] = &[
        Self::PAGE_SHIFT + Self::CONT_PTES.trailing_zeros(),
        Self::ENTRY_SHIFT[Level::Pmd as usize],
        Self::ENTRY_SHIFT[Level::Pud as usize],
    ];

    /// How many zero pages there may be, a power of two below that of a PMD: which one is mapped follows from the address.
    const ZERO_PAGES: u64 = 1;

    /// Whether a writable entry of a page that is dirty already is dirty from the start, in releases too where Linux does so for no
    /// other port (`mk_pte`).
    const MK_PTE_DIRTIES: bool = false;
    /// Whether memory may have nodes (`CONFIG_NUMA`).
    const NUMA: bool = true;
    /// Whether memory may fail (`CONFIG_MEMORY_FAILURE`).
    const MEMORY_FAILURE: bool = true;
    /// Whether a tree gets higher roots as mappings reach beyond it, up to the highest level (`crst_table_upgrade`).
    const TREE_GROWS: bool = false;

    /// Bytes in a page.
    const PAGE_SIZE: u64 = 1 << Self::PAGE_SHIFT;
    /// Order of a folio that one PMD maps.
    const PMD_ORDER: u32 = Self::INDEX_BITS[0];
    /// Entries in a table of pages.
    const PTRS_PER_PTE: usize = 1 << Self::PMD_ORDER;
    /// Log2 of the bytes that one entry maps, by level from the last up.
    const ENTRY_SHIFT: [u32; Level::ALL.len()] = shifts(Self::PAGE_SHIFT, Self::INDEX_BITS);
    /// The empty entry, by level from the last up.
    const EMPTY: [Pte; Level::ALL.len()] = [Pte::NONE; Level::ALL.len()];

    /// Whether the kernel joins entries to contiguous blocks.
    #[inline]
    fn has_contpte(&self) -> bool {
        Self::CONT_PTES > 1
    }

    /// Entries in a contiguous block, 1 where the kernel makes none.
    #[inline]
    fn cont_ptes(&self) -> usize {
        if self.has_contpte() { Self::CONT_PTES } else { 1 }
    }

    /// How many zero pages a machine with so many pages has, a power of two.
    #[inline]
    fn zero_pages(pages: u64) -> u64 {
        let _ = pages;
        Self::ZERO_PAGES
    }

    /// Level of the root table of a new address space.
    #[inline]
    fn root(&self) -> Level {
        Self::TOP
    }

    /// End of the user addresses of a new address space, in bytes.
    #[inline]
    fn task_size(&self) -> u64 {
        Self::TASK_SIZE
    }

    /// Whether hardware translates an address at all; an access to another is an address error, `SIGBUS`.
    #[inline]
    fn is_canonical(addr: VirtAddr) -> bool {
        let _ = addr;
        true
    }

    /// A user address without the tag that hardware ignores in it, for most calls and every access (`untagged_addr`).
    #[inline]
    fn untagged_addr(addr: VirtAddr) -> VirtAddr {
        addr
    }

    /// End of the addresses that a tree maps whose root is of `level`, in bytes (`asce_limit`).
    #[inline]
    fn tree_end(level: Level) -> u64 {
        let bits = Self::ENTRY_SHIFT[level as usize] + Self::INDEX_BITS[level as usize];
        1_u64.checked_shl(bits).unwrap_or(u64::MAX)
    }

    /// Entries in a table of `level`.
    #[inline]
    fn ptrs_per(level: Level) -> usize {
        1 << Self::INDEX_BITS[level as usize]
    }

    /// Bytes that one entry of `level` maps.
    #[inline]
    fn entry_size(level: Level) -> u64 {
        1 << Self::ENTRY_SHIFT[level as usize]
    }

    /// Index of the entry for `addr` in a table of `level`.
    #[inline]
    fn index(addr: VirtAddr, level: Level) -> usize {
        (addr.get() >> Self::ENTRY_SHIFT[level as usize]) as usize & (Self::ptrs_per(level) - 1)
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
    /// userfaultfd write protection; no bit where there is no such thing.
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
    /// Bits of a frame number in a software entry (`SWP_PFN_BITS`, `include/linux/leafops.h`, 7.3), on most CPUs.
    const SWP_PFN_BITS: u32;

    /// How its kernel numbers the types of software entries: as one with device memory does, unless a port takes it from the kernel.
    #[inline]
    fn softleaf_rules(&self) -> SoftleafRules {
        SoftleafRules::default()
    }

    /// The same on this CPU.
    #[inline]
    fn swp_pfn_bits(&self) -> u32 {
        Self::SWP_PFN_BITS
    }

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

    /// The bits of a word of `level` that hold a frame number, or that are left out where words are compared but for it.
    #[inline]
    fn pfn_mask(&self, pte: Pte, level: Level) -> u64 {
        let _ = (pte, level);
        Self::PFN_MASK
    }

    // Making entries.

    /// A leaf entry of one page (`pfn_pte`).
    #[inline]
    fn pfn_pte(&self, pfn: Pfn, prot: PgProt) -> Pte {
        Pte((pfn.get() << Self::PFN_SHIFT) & Self::PFN_MASK | prot.0)
    }

    /// A huge leaf of a PMD (`pfn_pmd`).
    #[inline]
    fn pfn_pmd(&self, pfn: Pfn, prot: PgProt) -> Pte {
        self.pmd_mkhuge(self.pte_pmd(self.pfn_pte(pfn, prot)))
    }

    /// What makes a leaf of a PMD one of a huge page (`pmd_mkhuge`). Nothing, where only its place does.
    #[inline]
    fn pmd_mkhuge(&self, pmd: Pte) -> Pte {
        pmd
    }

    /// A page's entry, present or not, in the format of a huge page's (`pte_pmd`).
    #[inline]
    fn pte_pmd(&self, pte: Pte) -> Pte {
        pte
    }

    /// Bits of a page's entry where a huge page's has them; none where it has not.
    #[inline]
    fn pmd_bits(&self, bits: u64) -> u64 {
        bits
    }

    /// A huge page's entry, present or not, in the format of a page's (`pmd_pte`).
    #[inline]
    fn pmd_pte(&self, pmd: Pte) -> Pte {
        pmd
    }

    /// An entry of `level` that points to a table (`pmd_populate`).
    #[inline]
    fn mk_table(&self, table: PhysAddr, level: Level) -> Pte {
        let _ = level;
        Pte(table.get() >> Self::PAGE_SHIFT << Self::PFN_SHIFT & Self::PFN_MASK | Self::TABLE.word())
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
        pte == Self::EMPTY[0]
    }

    /// Nothing under an entry of any level.
    #[inline]
    fn is_none(&self, entry: Pte, level: Level) -> bool {
        if level == Level::Pte { self.pte_none(entry) } else { entry == Self::EMPTY[level as usize] }
    }

    /// Nothing here, of a PMD.
    #[inline]
    fn pmd_none(&self, pmd: Pte) -> bool {
        self.is_none(pmd, Level::Pmd)
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

    /// Frame of a huge leaf.
    #[inline]
    fn pmd_pfn(&self, pmd: Pte) -> Pfn {
        self.pte_pfn(self.pmd_pte(pmd))
    }

    /// Where the table stands that an entry of `level` points to (`pmd_pgtable`).
    #[inline]
    fn table_addr(&self, entry: Pte, level: Level) -> PhysAddr {
        let _ = level;
        PhysAddr::new((entry.0 & Self::PFN_MASK) >> Self::PFN_SHIFT << Self::PAGE_SHIFT)
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

    /// Of a present entry: some access is allowed (`pte_accessible`).
    #[inline]
    fn pte_accessible(&self, pte: Pte) -> bool {
        pte.has(Self::VALID)
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

    pmd_predicates! {
        pmd_write = pte_write;
        pmd_dirty = pte_dirty;
        pmd_young = pte_young;
        pmd_special = pte_special;
        pmd_protnone = pte_protnone;
        pmd_soft_dirty = pte_soft_dirty;
        pmd_uffd_wp = pte_uffd_wp;
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
        if self.pgtable_supports_uffd_wp() { self.pte_wrprotect(pte.with(Self::UFFD)) } else { pte }
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

    pmd_changes! {
        pmd_mkwrite = pte_mkwrite;
        pmd_wrprotect = pte_wrprotect;
        pmd_mkdirty = pte_mkdirty;
        pmd_mkclean = pte_mkclean;
        pmd_mkyoung = pte_mkyoung;
        pmd_mkold = pte_mkold;
        pmd_mkspecial = pte_mkspecial;
        pmd_mkuffd_wp = pte_mkuffd_wp;
        pmd_clear_uffd_wp = pte_clear_uffd_wp;
        pmd_mksoft_dirty = pte_mksoft_dirty;
        pmd_clear_soft_dirty = pte_clear_soft_dirty;
    }

    /// The entry under another protection; what the page itself has recorded stays (`pte_modify`).
    #[inline]
    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        Pte(pte.0 & !Self::PROT_MASK | prot.0 & Self::PROT_MASK)
    }

    /// The same for a huge leaf.
    #[inline]
    fn pmd_modify(&self, pmd: Pte, prot: PgProt) -> Pte {
        self.pte_pmd(self.pte_modify(self.pmd_pte(pmd), prot))
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

    /// The word of a page's software entry, or `None` where type, offset or flags do not fit, or it would be the empty one.
    /// That of a huge page is [`pte_pmd`](Self::pte_pmd) of it.
    fn soft_leaf(&self, leaf: SoftLeaf) -> Option<Pte> {
        view::soft_leaf(self, leaf)
    }

    // The machine.

    /// What the hardware's walker does with a leaf entry that an access meets: here it sets accessed and dirty by itself. What the
    /// entry's protection key permits is not its to ask: rights lie in a register.
    #[inline]
    fn walk(&self, pte: Pte, level: Level, access: Access) -> Walk {
        if !pte.has(Self::VALID) || !pte.has(Self::USER) || !self.is_leaf(pte, level) {
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

    /// Whether pages that are mapped along with a fault start old (`arch_wants_old_prefaulted_pte`).
    #[inline]
    fn wants_old_prefaulted_pte(&self) -> bool {
        false
    }

    /// Whether a huge page that is on its way elsewhere has an entry of its own (`CONFIG_ARCH_HAS_PMD_SOFTLEAVES`).
    #[inline]
    fn has_pmd_softleaves(&self) -> bool {
        true
    }

    /// Whether soft-dirty tracking is configured (`CONFIG_MEM_SOFT_DIRTY`).
    #[inline]
    fn has_soft_dirty(&self) -> bool {
        self.soft_dirty_bit() != 0
    }

    /// Whether userfaultfd can write-protect pages (`CONFIG_HAVE_ARCH_USERFAULTFD_WP`, `pgtable_supports_uffd_wp`).
    #[inline]
    fn pgtable_supports_uffd_wp(&self) -> bool {
        Self::UFFD.word() != 0
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

    /// The access rights that `pkey_alloc` knows (`PKEY_ACCESS_MASK`).
    #[inline]
    fn pkey_access_mask(&self) -> u64 {
        0b11
    }

    /// Whether the MMU has the keys that the calls are for (`MMU_FTR_PKEY`): else `pkey_alloc` finds none, and `pkey_free` may not.
    #[inline]
    fn mmu_has_pkeys(&self) -> bool {
        true
    }

    /// The protection key of memory that may only be executed, where the CPU has keys (`execute_only_pkey`).
    #[inline]
    fn execute_only_pkey(&self) -> Option<u8> {
        None
    }
}
