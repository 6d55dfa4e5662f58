//! The loong64 port: LoongArch with 16K pages.
//!
//! What it does differently: software fills the TLB and sets accessed and dirty in handlers of a few instructions, which no fault
//! counts; valid to hardware and accessed are one bit; an entry lets stores through only while it is both writable and written;
//! an entry above the last level holds the kernel's address of a table, and an empty one that of a shared table of empty
//! entries; every store of a huge leaf flushes the whole TLB.

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
    /// What a CPU may have or lack. By default it is an LA464.
    struct Cpu;
    ptw, false, "hardware walks tables, and sets valid and dirty (PTW)";
}

/// A 64-bit LoongArch machine with 16K pages, 47-bit addresses and three levels of tables.
#[derive(Clone, Copy, Debug)]
pub struct Loong64 {
    cpu: Cpu,
    softleaf: SoftleafRules,
}

impl Arch for Loong64 {
    const NAME: &'static str = "loong64";
    const ALIASES: &'static [&'static str] = &["loongarch64", "loongarch"];
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), softleaf: SoftleafRules::of(kernel) }
    }
}
