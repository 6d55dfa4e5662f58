//! The arm64 port, with the 4K granule.
//!
//! What it does differently: sixteen entries that map a naturally aligned 64K may be joined to a contiguous
//! block, and this port joins and separates them behind the operations' backs; hardware keeps dirtiness as
//! "writable, and no longer read-only", so that a writable page starts clean; changing the size of a
//! translation takes break-before-make; TLB invalidations are broadcast and framed by barriers.

mod bits;
mod cause;
mod changes;
mod contpte;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

pub use bits::{PteBits, SoftBits};
pub use changes::Rules;

use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules, cpu_features};

cpu_features! {
    /// What a CPU may have or lack. By default it is an Armv8.7-A core.
    struct Cpu;
    hafdbs, true, "hardware sets the access flag and dirty state (FEAT_HAFDBS)";
    range_tlbi, true, "one instruction invalidates a range (FEAT_TLBIRANGE)";
    bbml3, false, "block size may change without break-before-make (FEAT_BBML3)";
    bti, true, "branch target identification (FEAT_BTI)";
    epan, true, "execute-only memory (FEAT_PAN3)";
    poe, false, "permission overlays: protection keys (FEAT_S1POE)";
    erratum_2645198, false, "losing execute permission takes break-before-make (Cortex-A715 erratum 2645198)";
}

/// A 64-bit Arm machine with 4K pages, 48-bit addresses and four levels of tables.
#[derive(Clone, Copy, Debug)]
pub struct Arm64 {
    cpu: Cpu,
    rules: Rules,
}

impl Arch for Arm64 {
    const NAME: &'static str = "arm64";
    const ALIASES: &'static [&'static str] = &["aarch64"];
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), rules: Rules::of(kernel) }
    }
}
