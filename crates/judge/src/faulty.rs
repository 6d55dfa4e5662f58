//! Ports with one fault: a port that does all as another does, but for one method.

use ptelab_machine::pgtable::laws::{PortFacts, Setting};
use ptelab_machine::pgtable::{
    Access, Arch, BitField, Cause, CpuConfig, CpuFeature, Cydp, EntryFormat, Fpb, Hw, Level, Mapping,
    MmuGather, ModifyProt, Pfn, PgProt, PhysAddr, Pte, PteAttrs, PteOps, PteView, Ptep, SoftFlags, SoftLeaf,
    SoftleafRules, TlbOps, TlbScope, Tlbi, VirtAddr, VmFlags, Walk, marker, swp_type,
};
use ptelab_machine::{Change, KernelRules};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a faulty port does otherwise. Each is a bug that a kernel had, or could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing.
    None,
    /// `pte_wrprotect` forgets that hardware saw the entry as dirty (018e9828eb52).
    WrprotectLosesDirty,
    /// `pte_modify` leaves a software-dirty entry clean to hardware (3c0696076aad).
    ModifyLeavesHardwareClean,
    /// The write bit is no part of what batches respect (04d1c9d60c6e).
    BatchIgnoresWrite,
    /// A batch hint does not end with its block: a batch runs past what was looked at (as ddd05742b45b).
    HintPastBlock,
    /// The length of one batch stays for the next when entries are cleared (3f8968e9cbf9).
    StaleBatchLength,
    /// `ptep_set_access_flags` takes the gathered view for the entry's own (97c5550b7631).
    AccessFlagsFromGathered,
    /// The flush after a copied page is forgotten.
    NoFlushAfterCopy,
    /// A range is flushed without its last page.
    ShortRange,
    /// The size of a block changes under live translations.
    NoBreakBeforeMake,
    /// What a block's entries had recorded is not gathered when they are joined.
    FoldLosesRecorded,
    /// A transaction goes on with what the entry was before it began (c70dce4982ce).
    StartReadsBefore,
    /// `pte_needs_flush` is content where only write permission goes.
    NoFlushForWrite,
    /// Guards are written as the markers of userfaultfd's write protection.
    GuardForgotten,
    /// Software entries lose soft-dirty.
    SoftLeafLosesSoftDirty,
    /// Software entries lose userfaultfd's write protection.
    SoftLeafLosesUffd,
    /// Entries of pages in swap stay exclusive.
    SwapStaysExclusive,
    /// `pte_clear` leaves markers where they are.
    MarkersStay,
    /// No page may be executed.
    NoExec,
    /// Each entry of a contiguous block that is not writable is taken for the first one's page.
    HeadOfBlock,
}

/// A port with a fault.
#[derive(Clone, Debug)]
pub struct Faulty<P> {
    port: P,
    fault: Fault,
    /// Of [`Fault::StaleBatchLength`]: the longest batch that was cleared.
    last: Arc<AtomicUsize>,
}

impl<P: Arch> Faulty<P> {
    /// A port of this CPU and kernel with a fault.
    pub fn with(fault: Fault, cpu: &CpuConfig, rules: &'static KernelRules) -> Self {
        // The port thinks that its CPU has what it has not.
        let believed = match fault {
            Fault::NoBreakBeforeMake => cpu.clone().with("bbml3", true),
            _ => cpu.clone(),
        };
        Self { port: P::new(&believed, rules), fault, last: Arc::new(AtomicUsize::new(1)) }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// The entry with the attributes that `change` gives it.
    fn with_attrs(&self, pte: Pte, level: Level, change: impl FnOnce(PteAttrs) -> PteAttrs) -> Pte {
        match self.port.decode(pte, level) {
            PteView::Present(m) => {
                let view = PteView::Present(Mapping { attrs: change(m.attrs), ..m });
                self.port.encode(view, level).unwrap_or(pte)
            }
            _ => pte,
        }
    }

    fn attrs(&self, pte: Pte) -> PteAttrs {
        match self.port.decode(pte, Level::Pte) {
            PteView::Present(m) => m.attrs,
            _ => PteAttrs::empty(),
        }
    }
}

impl<P: PortFacts> PortFacts for Faulty<P> {
    const EMPTY_SOFT_OFFSET: Option<u64> = P::EMPTY_SOFT_OFFSET;
    const EXECUTE_ONLY: bool = P::EXECUTE_ONLY;
    const HUGE_SOFT_LEAVES: bool = P::HUGE_SOFT_LEAVES;
    const HUGE_SPECIAL: bool = P::HUGE_SPECIAL;
    const HUGE_MKSPECIAL: bool = P::HUGE_MKSPECIAL;
    const HUGE_BY_PLACE: bool = P::HUGE_BY_PLACE;
    const MODIFY_MAKES_YOUNG: bool = P::MODIFY_MAKES_YOUNG;
    const MODIFY_MAKES_OLD: bool = P::MODIFY_MAKES_OLD;
    const DIRTY_ON_STORE: bool = P::DIRTY_ON_STORE;
    const VALID_PROTNONE: bool = P::VALID_PROTNONE;
    const SOFT_DIRTY_LOOKS_HUGE: bool = P::SOFT_DIRTY_LOOKS_HUGE;

    fn unsaid(on: &Setting) -> PteAttrs {
        P::unsaid(on)
    }

    fn pkeys(on: &Setting) -> u8 {
        P::pkeys(on)
    }

    fn walker_sets(on: &Setting) -> bool {
        P::walker_sets(on)
    }

    fn wrprotect_makes_readable(on: &Setting) -> bool {
        P::wrprotect_makes_readable(on)
    }

    fn mkwrite_dirties(on: &Setting) -> bool {
        P::mkwrite_dirties(on)
    }

    fn has_cont_on_invalid(on: &Setting) -> bool {
        P::has_cont_on_invalid(on)
    }

    fn pmd_modify_keeps_dirty(on: &Setting) -> bool {
        P::pmd_modify_keeps_dirty(on)
    }

    fn pmd_modify_keeps_special(on: &Setting) -> bool {
        P::pmd_modify_keeps_special(on)
    }

    fn resizes_live(on: &Setting) -> bool {
        P::resizes_live(on)
    }
}

impl<P: Arch> Arch for Faulty<P> {
    const NAME: &'static str = P::NAME;
    const FEATURES: &'static [CpuFeature] = P::FEATURES;
    const ALIASES: &'static [&'static str] = P::ALIASES;
    const CHANGES: &'static [&'static Change] = P::CHANGES;
    const CAUSES: &'static [&'static Cause] = P::CAUSES;

    fn new(cpu: &CpuConfig, rules: &'static KernelRules) -> Self {
        Self::with(Fault::None, cpu, rules)
    }
}

/// Methods that do what the port does.
macro_rules! as_port {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        $(#[inline] fn $name(&self, $($arg: $ty),*) $(-> $out)? { self.port.$name($($arg),*) })*
    };
    (hw: $(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
        $(#[inline] fn $name<H: Hw>(&self, hw: &mut H, $($arg: $ty),*) $(-> $out)? { self.port.$name(hw, $($arg),*) })*
    };
}

impl<P: Arch> EntryFormat for Faulty<P> {
    const PAGE_SHIFT: u32 = P::PAGE_SHIFT;
    const INDEX_BITS: [u32; Level::ALL.len()] = P::INDEX_BITS;
    const TOP: Level = P::TOP;
    const EMPTY: [Pte; Level::ALL.len()] = P::EMPTY;
    const ZERO_PAGES: u64 = P::ZERO_PAGES;
    const NUMA: bool = P::NUMA;
    const MEMORY_FAILURE: bool = P::MEMORY_FAILURE;
    const TREE_GROWS: bool = P::TREE_GROWS;
    const SWP_PFN_BITS: u32 = P::SWP_PFN_BITS;
    const CONT_PTES: usize = P::CONT_PTES;
    const TASK_SIZE: u64 = P::TASK_SIZE;
    const MAP_WINDOW: u64 = P::MAP_WINDOW;
    const MAX_PAGE_ORDER: u32 = P::MAX_PAGE_ORDER;
    const CHECKS_FIXED_RANGE: bool = P::CHECKS_FIXED_RANGE;
    const MMAP_VALIDATES_PROT: bool = P::MMAP_VALIDATES_PROT;
    const HUGETLB_SHIFTS: &'static [u32] = P::HUGETLB_SHIFTS;
    const MK_PTE_DIRTIES: bool = P::MK_PTE_DIRTIES;
    const VM_ARCH_CLEAR: VmFlags = P::VM_ARCH_CLEAR;

    type Bits = P::Bits;
    type TableBits = P::TableBits;
    type SoftBits = P::SoftBits;
    const PFN_MASK: u64 = P::PFN_MASK;
    const PFN_SHIFT: u32 = P::PFN_SHIFT;
    const PKEY: Option<BitField> = P::PKEY;
    const FIELDS: &'static [BitField] = P::FIELDS;
    const PROT_MASK: u64 = P::PROT_MASK;
    const TABLE: P::TableBits = P::TABLE;
    const VALID: P::Bits = P::VALID;
    const PROTNONE: P::Bits = P::PROTNONE;
    const USER: P::Bits = P::USER;
    const WRITE: P::Bits = P::WRITE;
    const EXEC: Option<P::Bits> = P::EXEC;
    const YOUNG: P::Bits = P::YOUNG;
    const DIRTY: P::Bits = P::DIRTY;
    const DIRTY_BITS: P::Bits = P::DIRTY_BITS;
    const SPECIAL: P::Bits = P::SPECIAL;
    const UFFD: P::Bits = P::UFFD;
    const CONT: Option<P::Bits> = P::CONT;
    const SOFT_TYPE_MASK: u64 = P::SOFT_TYPE_MASK;
    const SOFT_OFFSET_MASK: u64 = P::SOFT_OFFSET_MASK;
    const SOFT_FLAGS: &'static [(SoftFlags, P::SoftBits)] = P::SOFT_FLAGS;
    const SOFT_INVERTED: u64 = P::SOFT_INVERTED;

    fn zero_pages(pages: u64) -> u64 {
        P::zero_pages(pages)
    }

    fn is_canonical(addr: VirtAddr) -> bool {
        P::is_canonical(addr)
    }

    fn untagged_addr(addr: VirtAddr) -> VirtAddr {
        P::untagged_addr(addr)
    }

    as_port! {
        fn softleaf_rules() -> SoftleafRules;
        fn decode(pte: Pte, level: Level) -> PteView;
        fn encode(view: PteView, level: Level) -> Option<Pte>;
        fn attr_bits(attrs: PteAttrs) -> PgProt;
        fn describe(pte: Pte, level: Level) -> String;
        fn fields(pte: Pte, level: Level) -> Vec<BitField>;
        fn root() -> Level;
        fn has_contpte() -> bool;
        fn task_size() -> u64;
        fn pfn_mask(pte: Pte, level: Level) -> u64;
        fn pfn_pte(pfn: Pfn, prot: PgProt) -> Pte;
        fn pfn_pmd(pfn: Pfn, prot: PgProt) -> Pte;
        fn pmd_mkhuge(pmd: Pte) -> Pte;
        fn pte_pmd(pte: Pte) -> Pte;
        fn pmd_pte(pmd: Pte) -> Pte;
        fn pmd_bits(bits: u64) -> u64;
        fn mk_table(table: PhysAddr, level: Level) -> Pte;
        fn pgprot_modify(old: PgProt, new: PgProt) -> PgProt;
        fn pte_none(pte: Pte) -> bool;
        fn is_none(entry: Pte, level: Level) -> bool;
        fn pte_present(pte: Pte) -> bool;
        fn table_addr(entry: Pte, level: Level) -> PhysAddr;
        fn pte_write(pte: Pte) -> bool;
        fn pte_user(pte: Pte) -> bool;
        fn pte_exec(pte: Pte) -> bool;
        fn pte_dirty(pte: Pte) -> bool;
        fn recorded(pte: Pte) -> u64;
        fn pte_pkey(pte: Pte) -> u8;
        fn soft_dirty_bit() -> u64;
        fn pte_young(pte: Pte) -> bool;
        fn pte_special(pte: Pte) -> bool;
        fn pte_accessible(pte: Pte) -> bool;
        fn pte_protnone(pte: Pte) -> bool;
        fn pte_soft_dirty(pte: Pte) -> bool;
        fn pte_uffd_wp(pte: Pte) -> bool;
        fn pmd_leaf(pmd: Pte) -> bool;
        fn pmd_present(pmd: Pte) -> bool;
        fn pte_mkwrite(pte: Pte) -> Pte;
        fn pte_mkdirty(pte: Pte) -> Pte;
        fn pte_mkclean(pte: Pte) -> Pte;
        fn pte_mkyoung(pte: Pte) -> Pte;
        fn pte_mkold(pte: Pte) -> Pte;
        fn pte_mkspecial(pte: Pte) -> Pte;
        fn pte_mkuffd_wp(pte: Pte) -> Pte;
        fn pte_clear_uffd_wp(pte: Pte) -> Pte;
        fn pte_mksoft_dirty(pte: Pte) -> Pte;
        fn pte_clear_soft_dirty(pte: Pte) -> Pte;
        fn pmd_mkspecial(pmd: Pte) -> Pte;
        fn pmd_modify(pmd: Pte, prot: PgProt) -> Pte;
        fn pmd_mkinvalid(pmd: Pte) -> Pte;
        fn pfn_step(pte: Pte) -> u64;
        fn walk(pte: Pte, level: Level, access: Access) -> Walk;
        fn is_leaf(pte: Pte, level: Level) -> bool;
        fn wants_old_prefaulted_pte() -> bool;
        fn has_soft_dirty() -> bool;
        fn swp_pfn_bits() -> u32;
        fn pgtable_supports_uffd_wp() -> bool;
        fn has_pmd_softleaves() -> bool;
        fn arch_prot_bits() -> u64;
        fn arch_calc_vm_prot_bits(prot: u64) -> VmFlags;
        fn vm_read_flags() -> VmFlags;
        fn arch_max_pkey() -> Option<u8>;
        fn pkey_access_mask() -> u64;
        fn mmu_has_pkeys() -> bool;
        fn execute_only_pkey() -> Option<u8>;
    }

    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let lost = if self.is(Fault::NoExec) { VmFlags::EXEC } else { VmFlags::empty() };
        self.port.vm_get_page_prot(flags - lost)
    }

    fn pte_pfn(&self, pte: Pte) -> Pfn {
        let pfn = self.port.pte_pfn(pte);
        let in_block = self.is(Fault::HeadOfBlock) && self.attrs(pte).contains(PteAttrs::CONT);
        let block = if in_block && !self.port.pte_write(pte) { P::CONT_PTES as u64 } else { 1 };
        Pfn::new(pfn.get() / block * block)
    }

    fn soft_leaf(&self, mut leaf: SoftLeaf) -> Option<Pte> {
        match self.fault {
            Fault::GuardForgotten if leaf.is_marker(marker::GUARD) => leaf.offset = marker::UFFD_WP,
            Fault::SoftLeafLosesSoftDirty => leaf.flags -= SoftFlags::SOFT_DIRTY,
            Fault::SoftLeafLosesUffd => leaf.flags -= SoftFlags::UFFD,
            Fault::SwapStaysExclusive if leaf.is_swap() => leaf.flags |= SoftFlags::EXCLUSIVE,
            _ => {}
        }
        self.port.soft_leaf(leaf)
    }

    fn pte_wrprotect(&self, pte: Pte) -> Pte {
        let new = self.port.pte_wrprotect(pte);
        if self.is(Fault::WrprotectLosesDirty) && self.port.pte_write(pte) {
            return self.port.pte_mkclean(new);
        }
        new
    }

    fn pte_modify(&self, pte: Pte, prot: PgProt) -> Pte {
        let new = self.port.pte_modify(pte, prot);
        if self.is(Fault::ModifyLeavesHardwareClean) && self.port.pte_dirty(pte) && !self.port.pte_write(pte)
        {
            // Clean to hardware, then dirty to software alone: as a read-only entry has it, made writable.
            let clean = self.port.pte_mkclean(new);
            let software =
                self.port.pte_mkdirty(self.port.pte_wrprotect(clean)).0 & !self.port.pte_wrprotect(clean).0;
            return Pte(clean.0 | software);
        }
        new
    }

    fn pte_advance_pfn(&self, pte: Pte, n: usize) -> Pte {
        self.port.pte_advance_pfn(pte, n)
    }

    fn batch_clean(&self, pte: Pte, flags: Fpb) -> Pte {
        self.port.batch_clean(pte, self.respected(flags))
    }

    fn batch_ignore(&self, flags: Fpb) -> u64 {
        self.port.batch_ignore(self.respected(flags))
    }

    fn batch_by_mask(&self, flags: Fpb) -> bool {
        self.port.batch_by_mask(self.respected(flags))
    }
}

impl<P: Arch> Faulty<P> {
    fn respected(&self, flags: Fpb) -> Fpb {
        if self.is(Fault::BatchIgnoresWrite) { flags - Fpb::RESPECT_WRITE } else { flags }
    }

    /// Joins what the port just joined without what the entries had recorded: all become as the last one.
    fn forget_recorded<H: Hw>(&self, hw: &mut H, p: Ptep, written: Pte) {
        let block = P::CONT_PTES;
        let start = p.align_down(block);
        let recorded = self.attrs(written) & (PteAttrs::YOUNG | PteAttrs::DIRTY);
        for i in 0..block {
            let pte = hw.load(start.add(i));
            let forgotten = self.with_attrs(pte, Level::Pte, |attrs| {
                (attrs - (PteAttrs::YOUNG | PteAttrs::DIRTY)) | recorded
            });
            hw.store(start.add(i), forgotten);
        }
    }
}

impl<P: Arch> PteOps for Faulty<P> {
    const ATOMIC: bool = P::ATOMIC;
    const ARCH_SUPPORTS_PT_RECLAIM: bool = P::ARCH_SUPPORTS_PT_RECLAIM;
    const ARCH_SUPPORTS_PMD_PFNMAP: bool = P::ARCH_SUPPORTS_PMD_PFNMAP;
    const HAVE_ARCH_TLB_REMOVE_TABLE: bool = P::HAVE_ARCH_TLB_REMOVE_TABLE;
    const HAVE_MOVE_TABLES: bool = P::HAVE_MOVE_TABLES;

    as_port! {
        fn arch_wants_thp_swap() -> bool;
        fn contpte_converts_live() -> bool;
        fn contpte_get_stops_early() -> bool;
        fn cont_on_invalid() -> bool;
    }

    as_port! { hw:
        fn ptep_get(p: Ptep) -> Pte;
        fn ptep_get_and_clear(addr: VirtAddr, p: Ptep) -> Pte;
        fn get_and_clear_ptes(addr: VirtAddr, p: Ptep, nr: usize) -> Pte;
        fn clear_young_dirty_ptes(addr: VirtAddr, p: Ptep, nr: usize, flags: Cydp);
        fn ptep_test_and_clear_young(addr: VirtAddr, p: Ptep) -> bool;
        fn clear_young_pte(p: Ptep) -> bool;
        fn set_access_flags_pte(addr: VirtAddr, p: Ptep, entry: Pte, write: bool) -> bool;
        fn clear_young_dirty_run(p: Ptep, nr: usize, flags: Cydp);
        fn add_access_flags(p: Ptep, entry: Pte);
        fn set_pmd_at(addr: VirtAddr, p: Ptep, pmd: Pte);
        fn wrprotect_pte(p: Ptep, old: Pte);
        fn pmdp_get_and_clear(addr: VirtAddr, p: Ptep) -> Pte;
        fn pmdp_collapse_flush(addr: VirtAddr, p: Ptep) -> Pte;
        fn pmdp_invalidate(addr: VirtAddr, p: Ptep) -> Pte;
        fn pmdp_invalidate_ad(addr: VirtAddr, p: Ptep) -> Pte;
        fn pmdp_test_and_clear_young(addr: VirtAddr, p: Ptep);
        fn pmdp_set_wrprotect(addr: VirtAddr, p: Ptep);
        fn pmdp_set_access_flags(addr: VirtAddr, p: Ptep, entry: Pte, write: bool) -> bool;
    }

    fn pte_clear<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) {
        let view = self.port.decode(hw.load(p), Level::Pte);
        let is_marker = matches!(view, PteView::Soft(leaf) if leaf.ty == swp_type::MARKER);
        if !(is_marker && self.is(Fault::MarkersStay)) {
            self.port.pte_clear(hw, addr, p);
        }
    }

    fn pte_batch_hint(&self, p: Ptep, pte: Pte) -> usize {
        let hint = self.port.pte_batch_hint(p, pte);
        let past = self.is(Fault::HintPastBlock) && hint > 1;
        if past { P::CONT_PTES } else { hint }
    }

    fn set_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, pte: Pte, nr: usize) {
        self.port.set_ptes(hw, addr, p, pte, nr);
        let joined = nr == 1 && self.is(Fault::FoldLosesRecorded);
        if joined && P::CONT_PTES > 1 && self.attrs(hw.load(p)).contains(PteAttrs::CONT) {
            self.forget_recorded(hw, p, pte);
        }
    }

    fn clear_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        // The table ends where it ends.
        let room = P::PTRS_PER_PTE - p.offset_in(P::PTRS_PER_PTE);
        let nr = match self.fault {
            Fault::StaleBatchLength => self.last.fetch_max(nr, Ordering::Relaxed).min(room).max(nr),
            _ => nr,
        };
        self.port.clear_ptes(hw, addr, p, nr);
    }

    fn wrprotect_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) {
        self.port.wrprotect_ptes(hw, addr, p, nr);
        if self.is(Fault::WrprotectLosesDirty) {
            for i in 0..nr {
                let pte = hw.load(p.add(i));
                hw.store(p.add(i), self.port.pte_mkclean(pte));
            }
        }
    }

    fn ptep_set_access_flags<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        entry: Pte,
        write: bool,
    ) -> bool {
        if self.is(Fault::AccessFlagsFromGathered) {
            let gathered = self.port.ptep_get(hw, p);
            let seen = |pte| self.attrs(pte) - PteAttrs::CONT;
            if seen(gathered) == seen(entry) {
                return false;
            }
        }
        self.port.ptep_set_access_flags(hw, addr, p, entry, write)
    }

    fn flush_leaves<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr) {
        self.port.flush_leaves(&mut self.flushing(hw), start, end);
    }

    fn flush_after_fault<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        self.port.flush_after_fault(&mut self.flushing(hw), start, end, level);
    }

    fn ptep_clear_flush<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        match self.fault {
            Fault::NoFlushAfterCopy => self.port.ptep_get_and_clear(hw, addr, p),
            _ => self.port.ptep_clear_flush(hw, addr, p),
        }
    }
}

impl<P: Arch> TlbOps for Faulty<P> {
    const MMU_GATHER_MERGE_VMAS: bool = P::MMU_GATHER_MERGE_VMAS;
    const MMU_GATHER_RCU_TABLE_FREE: bool = P::MMU_GATHER_RCU_TABLE_FREE;

    as_port! { hw:
        fn flush_tlb_page(addr: VirtAddr);
        fn flush_pmd_tlb_range(addr: VirtAddr);
        fn flush_tlb_mm();
    }

    fn pte_needs_flush(&self, old: Pte, new: Pte) -> bool {
        let only_write = self.is(Fault::NoFlushForWrite) && !self.port.pte_protnone(new);
        self.port.pte_needs_flush(old, new) && !only_write
    }

    fn huge_pmd_needs_flush(&self, old: Pte, new: Pte) -> bool {
        self.port.huge_pmd_needs_flush(old, new)
    }

    fn flush_tlb_range<H: Hw>(&self, hw: &mut H, start: VirtAddr, end: VirtAddr, level: Level) {
        self.port.flush_tlb_range(&mut self.flushing(hw), start, end, level);
    }

    fn tlb_flush<H: Hw>(&self, hw: &mut H, tlb: &MmuGather) {
        self.port.tlb_flush(&mut self.flushing(hw), tlb);
    }
}

impl<P: Arch> ModifyProt for Faulty<P> {
    const START_CLEARS: bool = P::START_CLEARS;

    as_port! { hw:
        fn modify_prot_start_ptes(addr: VirtAddr, p: Ptep, nr: usize) -> Pte;
    }

    fn ptep_modify_prot_start<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        if self.is(Fault::StartReadsBefore) {
            let before = self.port.ptep_get(hw, p);
            self.port.ptep_modify_prot_start(hw, addr, p);
            return before;
        }
        self.port.ptep_modify_prot_start(hw, addr, p)
    }

    fn ptep_modify_prot_commit<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, old: Pte, new: Pte) {
        match self.fault {
            Fault::FoldLosesRecorded => self.set_pte_at(hw, addr, p, new),
            _ => self.port.ptep_modify_prot_commit(hw, addr, p, old, new),
        }
    }

    fn modify_prot_commit_ptes<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        old: Pte,
        new: Pte,
        nr: usize,
    ) {
        match self.fault {
            Fault::FoldLosesRecorded => self.set_ptes(hw, addr, p, new, nr),
            _ => self.port.modify_prot_commit_ptes(hw, addr, p, old, new, nr),
        }
    }
}

impl<P: Arch> Faulty<P> {
    fn flushing<'a, H: Hw>(&self, hw: &'a mut H) -> Flushing<'a, H> {
        let short = if self.is(Fault::ShortRange) { P::PAGE_SIZE } else { 0 };
        Flushing { hw, short }
    }
}

/// A machine whose invalidations of ranges end too early.
struct Flushing<'a, H> {
    hw: &'a mut H,
    /// Bytes too early.
    short: u64,
}

impl<H: Hw> Hw for Flushing<'_, H> {
    fn load(&mut self, p: Ptep) -> Pte {
        self.hw.load(p)
    }

    fn store(&mut self, p: Ptep, new: Pte) {
        self.hw.store(p, new);
    }

    fn swap(&mut self, p: Ptep, new: Pte) -> Pte {
        self.hw.swap(p, new)
    }

    fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte> {
        self.hw.compare_swap(p, old, new)
    }

    fn barrier(&mut self, kind: ptelab_machine::pgtable::Barrier) {
        self.hw.barrier(kind);
    }

    fn tlbi(&mut self, mut op: Tlbi) {
        if let TlbScope::Range { start, end, .. } = &mut op.scope
            && end.since(*start) > self.short
        {
            *end = VirtAddr::new(end.get() - self.short);
        }
        self.hw.tlbi(op);
    }

    fn page_folio(&mut self, pfn: Pfn) -> ptelab_machine::pgtable::FolioSpan {
        self.hw.page_folio(pfn)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
