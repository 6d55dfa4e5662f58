//! The transaction in which a protection changes: what the fallbacks cost, and what they keep.

use arch_generic::Generic;
use ptelab_pgtable::{
    Counter, CountingHw, EntryFormat, ModifyProt, PgProt, Pte, PteOps, TableMemory, VirtAddr,
};

const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);
const PAGES: usize = 16;
const RW: u64 = 0x0123_406d;
const READONLY: PgProt = PgProt(0x25);

fn run_of(word: u64) -> (CountingHw, ptelab_pgtable::Ptep) {
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    for i in 0..PAGES {
        hw.hardware_store(p.add(i), Pte(word + i as u64 * Generic::PAGE_SIZE));
    }
    (hw, p)
}

fn costs(hw: &CountingHw) -> [u64; 4] {
    let counters = hw.counters().expect("a counting machine counts");
    [Counter::Loads, Counter::Exchanges, Counter::Stores, Counter::TlbFlushes].map(|c| counters.get(c))
}

#[test]
fn an_entry_takes_a_load_and_two_stores() {
    let (mut batched, p) = run_of(RW);
    let old = Generic.modify_prot_start_ptes(&mut batched, ADDR, p, PAGES);
    assert_eq!(batched.peek_table(p, PAGES), [0; PAGES]);
    let new = Generic.pte_modify(old, READONLY);
    Generic.modify_prot_commit_ptes(&mut batched, ADDR, p, old, new, PAGES);

    let (mut single, p) = run_of(RW);
    for i in 0..PAGES {
        let (addr, p) = (ADDR.add(i as u64 * Generic::PAGE_SIZE), p.add(i));
        Generic.ptep_get(&mut single, p);
        let old = Generic.ptep_modify_prot_start(&mut single, addr, p);
        Generic.ptep_modify_prot_commit(&mut single, addr, p, old, Generic.pte_modify(old, READONLY));
    }
    assert_eq!((costs(&batched), costs(&single)), ([16, 0, 32, 0], [32, 0, 32, 0]));
    assert_eq!(batched.peek_table(p, PAGES), single.peek_table(p, PAGES));
    assert_eq!(single.peek(p.add(1)), Pte(0x0123_5065));
}
