//! Tests of the s390x port.

mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

use arch_s390x::S390x;
use ptelab_pgtable::{
    Arch, Counter, CountingHw, CpuConfig, EntryFormat, KernelRules, Pte, Ptep, Release, TableMemory,
};

/// The port for a release.
fn arch(release: &str) -> S390x {
    on(&CpuConfig::default(), release)
}

fn on(cpu: &CpuConfig, release: &str) -> S390x {
    let release = Release::parse(release).expect("it is a release");
    S390x::new(cpu, KernelRules::of_release(release))
}

/// A page table of these words, on a machine that counts.
fn table(words: &[u64]) -> (CountingHw, Ptep) {
    let mut hw = CountingHw::with_tables_of(S390x::PTRS_PER_PTE);
    let p = hw.alloc_table(S390x::PTRS_PER_PTE, S390x::EMPTY[0]);
    for (i, &word) in words.iter().enumerate() {
        hw.hardware_store(p.add(i), Pte(word));
    }
    (hw, p)
}

/// Loads, exchanges, stores and flushes so far.
fn costs(hw: &CountingHw) -> [u64; 4] {
    let counters = hw.counters().expect("it counts");
    [Counter::Loads, Counter::Exchanges, Counter::Stores, Counter::TlbFlushes].map(|c| counters.get(c))
}
