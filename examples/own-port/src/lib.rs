//! A port of one's own: a made-up machine whose permissions stand in the low bits and frame numbers at bit 10, in the
//! manner of RISC-V.
//!
//! It names nothing of the workspace but the seam. What it does not say is Linux's fallback or, of words, one bit for each
//! thing to be said; `tests/laws.rs` holds it to the laws of all ports with one line. Break a helper, and see which law says so.

use ptelab_pgtable::laws::{PortFacts, Setting};
use ptelab_pgtable::{
    Arch, Change, CpuConfig, EntryFormat, KernelRules, Level, ModifyProt, PgProt, Pte, PteOps, SoftFlags,
    TlbOps, VmFlags, changes, entry_bits,
};

entry_bits! {
    /// Bits of a present entry. The frame number stands in bits 53:10.
    pub struct PteBits {
        /// Valid to hardware.
        const VALID = 1 << 0;
        /// User code may read.
        const READ = 1 << 1;
        /// User code may write.
        const WRITE = 1 << 2;
        /// User code may execute.
        const EXEC = 1 << 3;
        /// Present to Linux, and no access is allowed.
        const NONE = 1 << 5;
        /// Accessed; hardware sets it.
        const YOUNG = 1 << 6;
        /// Written; hardware sets it.
        const DIRTY = 1 << 7;
        /// No page struct.
        const SPECIAL = 1 << 8;
        /// userfaultfd write protection.
        const UFFD = 1 << 9;
        /// A leaf above the last level.
        const LARGE = 1 << 63;
    }
}

entry_bits! {
    /// Bits of a software entry. The type stands in bits 10:6, the offset in bits 61:12.
    pub struct SoftBits {
        /// The page was exclusive.
        const EXCLUSIVE = 1 << 2;
        /// userfaultfd write protection.
        const UFFD = 1 << 3;
        /// Set in every software entry, so that none of them is zero.
        const SOFT = 1 << 11;
    }
}

changes! {
    /// What this port does otherwise from one kernel to the next. Nobody else need know of it.
    pub struct Rules;

    /// `pte_mkwrite` makes an entry dirty, as this machine's first kernels had it.
    own_mkwrite_dirties {
        until: Turn::at("6.17"),
        file: "arch/own/include/asm/pgtable.h, pte_mkwrite",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_FREE)
                mprotect(0x40000000, 4K, PROT_READ)
                mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)
                dump(0x40000000, 4K, "clean and writable")
            "#,
            shows: Shows::Words,
        },
    }
}

/// The machine.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    rules: Rules,
}

impl Arch for Own {
    const NAME: &'static str = "own";
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(_: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { rules: Rules::of(kernel) }
    }
}

impl EntryFormat for Own {
    const PAGE_SHIFT: u32 = 12;
    const INDEX_BITS: [u32; Level::ALL.len()] = [9; Level::ALL.len()];
    const TOP: Level = Level::P4d;
    const TASK_SIZE: u64 = 1 << 47;

    type Bits = PteBits;
    type TableBits = PteBits;
    const PFN_MASK: u64 = ((1 << 44) - 1) << 10;
    const PROT_MASK: u64 = PteBits::VALID
        .union(PteBits::READ)
        .union(PteBits::WRITE)
        .union(PteBits::EXEC)
        .union(PteBits::NONE)
        .bits();
    const TABLE: PteBits = PteBits::VALID;
    const VALID: PteBits = PteBits::VALID;
    const PROTNONE: PteBits = PteBits::NONE;
    const USER: PteBits = PteBits::READ;
    const WRITE: PteBits = PteBits::WRITE;
    const EXEC: Option<PteBits> = Some(PteBits::EXEC);
    const YOUNG: PteBits = PteBits::YOUNG;
    const DIRTY: PteBits = PteBits::DIRTY;
    const SPECIAL: PteBits = PteBits::SPECIAL;
    const UFFD: PteBits = PteBits::UFFD;

    type SoftBits = SoftBits;
    const SOFT_TYPE_MASK: u64 = 0x1f << 6;
    const SOFT_OFFSET_MASK: u64 = ((1 << 50) - 1) << 12;
    const SOFT_FLAGS: &'static [(SoftFlags, SoftBits)] =
        &[(SoftFlags::EXCLUSIVE, SoftBits::EXCLUSIVE), (SoftFlags::UFFD, SoftBits::UFFD)];
    const SOFT_INVERTED: u64 = SoftBits::SOFT.bits();
    const SWP_PFN_BITS: u32 = 44;

    fn pmd_mkhuge(&self, pte: Pte) -> Pte {
        pte.with(PteBits::LARGE)
    }

    fn vm_get_page_prot(&self, flags: VmFlags) -> PgProt {
        let mut prot = PteBits::NONE | PteBits::YOUNG;
        if flags.intersects(VmFlags::ACCESS) {
            prot = PteBits::VALID | PteBits::READ | PteBits::YOUNG;
            prot.set(PteBits::WRITE, flags.contains(VmFlags::WRITE | VmFlags::SHARED));
            prot.set(PteBits::EXEC, flags.contains(VmFlags::EXEC));
        }
        PgProt(prot.bits())
    }

    fn pmd_leaf(&self, pmd: Pte) -> bool {
        self.pte_present(pmd) && pmd.has(PteBits::LARGE)
    }

    fn pte_mkwrite(&self, pte: Pte) -> Pte {
        let writable = pte.with(PteBits::WRITE);
        if self.rules.own_mkwrite_dirties { self.pte_mkdirty(writable) } else { writable }
    }
}

impl PteOps for Own {}
impl TlbOps for Own {}
impl ModifyProt for Own {}

impl PortFacts for Own {
    fn mkwrite_dirties(on: &Setting) -> bool {
        Rules::of(on.rules).own_mkwrite_dirties
    }
}
