//! The x86-64 port.
//!
//! What it does differently: a dirty entry that loses write permission keeps its dirtiness in a software bit,
//! because "dirty and not writable" means a shadow stack to hardware; soft-dirty tracking; protection keys;
//! frame numbers of entries that are not present are inverted, so that speculation through them reaches no
//! memory (L1TF); clearing an entry is one atomic exchange; long ranges are flushed whole.

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
    /// What a CPU, or its kernel's configuration, may have or lack.
    struct Cpu;
    soft_dirty, true, "soft-dirty tracking (CONFIG_MEM_SOFT_DIRTY)";
    pku, true, "protection keys for user pages";
    la57, false, "57-bit addresses, and a fifth level of tables";
}

/// A 64-bit x86 machine with 4K pages, and four levels of tables or five.
#[derive(Clone, Copy, Debug)]
pub struct X86_64 {
    cpu: Cpu,
    rules: Rules,
    softleaf: SoftleafRules,
}

impl Arch for X86_64 {
    const NAME: &'static str = "x86_64";
    const ALIASES: &'static [&'static str] = &["x86-64", "amd64", "x86"];
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), rules: Rules::of(kernel), softleaf: SoftleafRules::of(kernel) }
    }
}
