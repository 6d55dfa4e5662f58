//! The experiment with Svnapot: blocks of 64K as arm64's contpte makes them.

use arch_riscv64::{PteBits, Riscv64};
use ptelab_pgtable::{
    Arch, Counter, CountingHw, CpuConfig, EntryFormat, FolioSpan, Hw, KernelRules, ModifyProt, Pfn, Pte,
    PteOps, Ptep, Release, TableMemory, VirtAddr, VmFlags,
};

const FIRST: VirtAddr = VirtAddr::new(0x4000_0000);

fn port(napot: bool) -> Riscv64 {
    let release = Release::parse("7.3").expect("it is a release");
    Riscv64::new(&CpuConfig::default().with("napot", napot), KernelRules::of_release(release))
}

/// The pages of one folio of sixteen, mapped by one call.
fn mapped(port: &Riscv64) -> (CountingHw, Ptep, Pte) {
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    hw.set_folio(FolioSpan { head: Pfn::new(0x40), order: 4 });
    let entry = port.pfn_pte(Pfn::new(0x40), port.vm_get_page_prot(VmFlags::READ));
    port.set_ptes(&mut hw, FIRST, p, entry, 16);
    (hw, p, entry)
}

fn folded(hw: &CountingHw, p: Ptep) -> usize {
    hw.peek_table(p, 16).iter().filter(|&&word| Pte(word).has(PteBits::N)).count()
}

#[test]
fn only_the_experiment_folds() {
    for (napot, of_block) in [(false, 0), (true, 16)] {
        let (hw, p, _) = mapped(&port(napot));
        assert_eq!(folded(&hw, p), of_block);
        assert_eq!(Riscv64::CONT_PTES, 16);
    }
}

#[test]
fn one_entry_takes_its_block_apart_and_completes_it_again() {
    let port = port(true);
    let (mut hw, p, entry) = mapped(&port);
    let last = (FIRST.add(15 * Riscv64::PAGE_SIZE), p.add(15));
    let old = port.ptep_modify_prot_start(&mut hw, last.0, last.1);
    assert_eq!(old, port.pte_advance_pfn(entry, 15));
    assert_eq!((folded(&hw, p), hw.peek(last.1)), (0, Pte::NONE));
    port.ptep_modify_prot_commit(&mut hw, last.0, last.1, old, old);
    assert_eq!(folded(&hw, p), 16);
    let counters = hw.counters().expect("it counts");
    assert_eq!([Counter::Unfolds, Counter::Folds].map(|of| counters.get(of)), [1, 1]);
}

#[test]
fn accessed_and_dirty_are_those_of_the_block() {
    let port = port(true);
    let (mut hw, p, _) = mapped(&port);
    let other = hw.load(p.add(9));
    hw.hardware_store(p.add(9), port.pte_mkdirty(other));
    let first = port.ptep_get(&mut hw, p);
    assert!(port.pte_dirty(first) && !port.pte_dirty(hw.peek(p)));
    assert_eq!(port.pte_batch_hint(p.add(3), first), 13);
}
