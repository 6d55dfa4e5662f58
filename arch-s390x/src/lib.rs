//! The s390x port.
//!
//! What it does differently: hardware sets nothing in an entry, so that an old one is invalid, a clean one is protected, and faults do
//! the rest; empty entries are not 0; huge pages are segments of 1M, whose entries have their bits elsewhere than pages'; tables have
//! 256 and 2,048 entries, and an address space gets more levels of them as it grows; an entry that hardware may use is changed only by
//! way of an invalid one, with a flush that is part of the change, or that is put off where no other CPU has the address space.

mod bits;
mod cause;
mod changes;
mod facts;
mod flush_mm;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

pub use bits::{PteBits, SoftBits, TableBits};
pub use changes::Rules;

use flush_mm::FlushMm;
use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules, SoftleafRules, cpu_features};

cpu_features! {
    /// What a CPU may have or lack, and an experiment.
    struct Cpu;
    rdp, false, "takes protection from a valid entry with one instruction (RESET DAT PROTECTION)";
    batch, false, "an experiment: the entries of a batch become invalid with one IPTE where a protection changes";
}

/// A 64-bit IBM Z machine with EDAT-1. Of its CPUs one runs, and no other has its address spaces.
#[derive(Clone, Debug)]
pub struct S390x {
    cpu: Cpu,
    rules: Rules,
    softleaf: SoftleafRules,
    flush_mm: FlushMm,
}

impl Arch for S390x {
    const NAME: &'static str = "s390x";
    const ALIASES: &'static [&'static str] = &["s390"];
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(cpu: &CpuConfig, kernel: &'static KernelRules) -> Self {
        Self {
            cpu: Cpu::of(cpu),
            rules: Rules::of(kernel),
            softleaf: SoftleafRules::of(kernel),
            flush_mm: FlushMm::default(),
        }
    }
}
