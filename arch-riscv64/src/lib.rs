//! The riscv64 port, with Sv57, Sv48 or Sv39.
//!
//! What it does differently: the frame number stands at bit 10, so that one page further on is 0x400 more; an entry is a table where
//! none of read, write and execute is set, and a huge leaf has no bit of its own; `PROT_NONE` keeps the read bit; every
//! protection that allows an access makes an entry young.

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
    /// What a CPU may have or lack. By default it is one of the RVA23 profile.
    struct Cpu;
    sv57, true, "57-bit addresses and five levels of tables (Sv57)";
    sv48, true, "48-bit addresses and four levels of tables (Sv48), where there is no Sv57; else 39 bits and three (Sv39)";
    svadu, true, "hardware sets accessed and dirty (Svadu)";
    napot = "contpte", false, "an experiment: 64K blocks become one translation (Svnapot), folded as on arm64; Linux does not do this for anonymous memory";
    svrsw60t59b, false, "two more bits for software: soft-dirty and userfaultfd (Svrsw60t59b)";
}

/// A 64-bit RISC-V machine with 4K pages, and as many levels of tables as the CPU has.
#[derive(Clone, Copy, Debug)]
pub struct Riscv64 {
    cpu: Cpu,
    rules: Rules,
    softleaf: SoftleafRules,
}

impl Arch for Riscv64 {
    const NAME: &'static str = "riscv64";
    const ALIASES: &'static [&'static str] = &["riscv", "rv64"];
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), rules: Rules::of(kernel), softleaf: SoftleafRules::of(kernel) }
    }
}
