//! The arm64 port, with the 4K, 16K and 64K granules.
//!
//! What it does differently: so many entries (16 of 4K, 128 of 16K, 32 of 64K) that map a naturally aligned block may be joined to a
//! contiguous one, which the seam joins and separates behind the operations' backs; hardware keeps dirtiness as
//! "writable, and no longer read-only", so that a writable page starts clean; changing the size of a
//! translation takes break-before-make; TLB invalidations are broadcast and framed by barriers.

mod bits;
mod cause;
mod changes;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

pub use bits::{PteBits, SoftBits};
pub use changes::Rules;

use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules, SoftleafRules, cpu_features};

cpu_features! {
    /// What a CPU may have or lack. By default it is an Armv8.7-A core.
    struct Cpu;
    hafdbs, true, "hardware sets the access flag and dirty state (FEAT_HAFDBS)";
    range_tlbi, true, "one instruction invalidates a range (FEAT_TLBIRANGE)";
    bbml3, false, "block size may change without break-before-make (FEAT_BBML3)";
    lpa2, false, "52-bit addresses (FEAT_LPA2; with 64K pages, FEAT_LVA)";
    bti, true, "branch target identification (FEAT_BTI)";
    epan, true, "execute-only memory (FEAT_PAN3)";
    poe, false, "permission overlays: protection keys (FEAT_S1POE)";
    erratum_2645198, false, "losing execute permission takes break-before-make (Cortex-A715 erratum 2645198)";
}

/// A 64-bit Arm machine with pages of `1 << SHIFT` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Granule<const SHIFT: u32> {
    cpu: Cpu,
    rules: Rules,
    softleaf: SoftleafRules,
}

/// With 4K pages, 48-bit addresses and four levels of tables.
pub type Arm64 = Granule<12>;
/// With 16K pages, 47-bit addresses and three levels of tables.
pub type Arm64With16K = Granule<14>;
/// With 64K pages, 48-bit addresses and three levels of tables.
pub type Arm64With64K = Granule<16>;

impl<const SHIFT: u32> Arch for Granule<SHIFT> {
    const NAME: &'static str = match SHIFT {
        12 => "arm64",
        14 => "arm64-16k",
        _ => "arm64-64k",
    };
    const ALIASES: &'static [&'static str] = match SHIFT {
        12 => &["aarch64"],
        14 => &["aarch64-16k"],
        _ => &["aarch64-64k"],
    };
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), rules: Rules::of(kernel), softleaf: SoftleafRules::of(kernel) }
    }
}
