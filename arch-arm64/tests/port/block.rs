//! One block of sixteen pages, on a machine of choice.

use arch_arm64::{Arm64, PteBits};
use ptelab_pgtable::{
    Arch, Counter, CpuConfig, EntryFormat, FolioSpan, KernelRules, Pfn, Pte, PteOps, Ptep, TableMemory,
    VirtAddr, VmFlags,
};

/// Pages of a block.
pub(crate) const BLOCK: usize = Arm64::CONT_PTES;
/// A written page of a private, writable mapping, and the same by itself after `mprotect(PROT_READ)`.
pub(crate) const RW: u64 = 0x00e8_0000_0000_0f43;
pub(crate) const RO: u64 = 0x00e0_0000_0000_0fc3;
/// A clean, old page of a private, writable mapping.
pub(crate) const CLEAN_OLD: u64 = 0x0068_0000_0000_0bc3;
pub(crate) const NONE: u64 = 0x00e0_0000_0000_0f82;

pub(crate) const CONT: u64 = PteBits::CONT.bits();
pub(crate) const AF: u64 = PteBits::AF.bits();
pub(crate) const DIRTY: u64 = PteBits::DIRTY.bits();
pub(crate) const RDONLY: u64 = PteBits::RDONLY.bits();

/// A machine with a table, the pages of one folio, and the CPU and kernel that work on them.
pub(crate) struct Block<H> {
    pub(crate) arch: Arm64,
    pub(crate) hw: H,
    /// The block's first entry, its address, and its frame.
    pub(crate) p: Ptep,
    pub(crate) addr: VirtAddr,
    pub(crate) pfn: Pfn,
}

impl<H: TableMemory> Block<H> {
    /// Four blocks of room in a table, the second of them at `p`, over one folio of 64 frames; nothing mapped.
    pub(crate) fn new(cpu: &CpuConfig, rules: &'static KernelRules) -> Self {
        let mut hw = H::with_tables_of(512);
        let table = hw.alloc_table(512, Pte::NONE);
        hw.set_folio(FolioSpan { head: Pfn::new(0x100), order: 6 });
        let (p, pfn) = (table.add(BLOCK), Pfn::new(0x110));
        Self { arch: Arm64::new(cpu, rules), hw, p, addr: VirtAddr::new(0x4001_0000), pfn }
    }

    /// The same on the default CPU, without range invalidation, with the block mapped by `bits`.
    pub(crate) fn mapped(rules: &'static KernelRules, bits: u64) -> Self {
        let mut block = Self::new(&CpuConfig::default().with("range_tlbi", false), rules);
        block.map(bits);
        block
    }

    /// Maps the whole block with `bits`, as a fault does.
    pub(crate) fn map(&mut self, bits: u64) {
        let pte = self.word(bits, 0);
        self.arch.set_ptes(&mut self.hw, self.addr, self.p, pte, BLOCK);
    }

    /// `bits` with the frame of page `i`.
    pub(crate) fn word(&self, bits: u64, i: usize) -> Pte {
        Pte(bits | self.pfn.add(i as u64).get() << Arm64::PAGE_SHIFT)
    }

    /// Address of page `i`.
    pub(crate) fn at(&self, i: usize) -> VirtAddr {
        self.addr.add(i as u64 * Arm64::PAGE_SIZE)
    }

    /// Works on the entry of page `i`.
    pub(crate) fn on_page<R>(&mut self, i: usize, f: impl FnOnce(Arm64, &mut H, VirtAddr, Ptep) -> R) -> R {
        let (addr, p) = (self.at(i), self.p.add(i));
        f(self.arch, &mut self.hw, addr, p)
    }

    /// The block's words without their frames.
    pub(crate) fn bits(&self) -> [u64; BLOCK] {
        std::array::from_fn(|i| {
            self.hw.peek(self.p.add(i)).0 & !self.arch.pfn_mask(Pte::NONE, ptelab_pgtable::Level::Pte)
        })
    }

    /// Whether page `i` has its own frame.
    pub(crate) fn frames_are_right(&self) -> bool {
        (0..BLOCK).all(|i| self.arch.pte_pfn(self.hw.peek(self.p.add(i))) == self.pfn.add(i as u64))
    }

    /// Changes bits of page `i` as hardware would.
    pub(crate) fn poke(&mut self, i: usize, change: impl Fn(u64) -> u64) {
        let p = self.p.add(i);
        let new = Pte(change(self.hw.peek(p).0));
        self.hw.hardware_store(p, new);
    }

    /// What `f` adds to some counters.
    pub(crate) fn count<const N: usize>(&mut self, of: [Counter; N], f: impl FnOnce(&mut Self)) -> [u64; N] {
        let get = |block: &Self| of.map(|c| block.hw.counters().expect("a machine that counts").get(c));
        let before = get(self);
        f(self);
        let after = get(self);
        std::array::from_fn(|i| after[i] - before[i])
    }
}

/// The protection of a private mapping.
pub(crate) fn prot(arch: &Arm64, flags: VmFlags) -> ptelab_pgtable::PgProt {
    arch.vm_get_page_prot(flags)
}
