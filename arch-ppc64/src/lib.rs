//! The 64-bit Power port, Book3S with the radix MMU, with 4K and 64K pages.
//!
//! What it does differently: `PROT_NONE` stays valid to hardware, as an entry without rights; a transaction leaves entries marked as
//! being changed, not empty; every protection makes an entry young; tables have sizes of their own, and the entry that names one
//! says which; hardware may leave reference and change to software, a fault each.
//!
//! Words are shown as the architecture numbers their values. Memory holds them big-endian, also under a little-endian kernel.

mod bits;
mod cause;
mod changes;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

pub use bits::{DirectoryBits, PteBits, SoftBits};
pub use changes::Rules;

use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules, SoftleafRules, cpu_features};

cpu_features! {
    /// What a CPU, or its kernel's configuration, may have or lack. By default it is a POWER10 as QEMU emulates it.
    struct Cpu;
    rc, false, "hardware sets reference and change, where others interrupt for software to set them";
    soft_dirty, true, "soft-dirty tracking (CONFIG_MEM_SOFT_DIRTY)";
    batch, false, "an experiment: modify_prot_start_ptes and modify_prot_commit_ptes of this port's own";
}

/// A 64-bit Power machine with pages of `1 << SHIFT` bytes, and four levels of tables.
#[derive(Clone, Copy, Debug)]
pub struct Radix<const SHIFT: u32> {
    cpu: Cpu,
    rules: Rules,
    softleaf: SoftleafRules,
}

/// With 4K pages.
pub type Ppc64 = Radix<12>;
/// With 64K pages.
pub type Ppc64With64K = Radix<16>;

impl<const SHIFT: u32> Arch for Radix<SHIFT> {
    const NAME: &'static str = if SHIFT == 12 { "ppc64" } else { "ppc64-64k" };
    const ALIASES: &'static [&'static str] =
        if SHIFT == 12 { &["ppc64le", "ppc64el"] } else { &["ppc64le-64k", "ppc64el-64k"] };
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self { cpu: Cpu::of(cpu), rules: Rules::of(kernel), softleaf: SoftleafRules::of(kernel) }
    }
}
