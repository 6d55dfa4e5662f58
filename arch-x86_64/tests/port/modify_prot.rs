//! The transaction in which a protection changes: what it costs, and what it keeps.

use arch_x86_64::X86_64;
use ptelab_pgtable::{
    Arch, Counter, CountingHw, CpuConfig, EntryFormat, KernelRules, ModifyProt, PgProt, Pte, PteOps,
    TableMemory, VirtAddr,
};

const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);
const PAGES: usize = 16;
const RW: u64 = 0x8000_0000_0123_4067;
const READONLY: PgProt = PgProt(0x8000_0000_0000_0025);

fn arch() -> X86_64 {
    X86_64::new(&CpuConfig::default(), KernelRules::DEFAULT)
}

fn run_of(word: u64) -> (CountingHw, ptelab_pgtable::Ptep) {
    let mut hw = CountingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    for i in 0..PAGES {
        hw.hardware_store(p.add(i), Pte(word + i as u64 * X86_64::PAGE_SIZE));
    }
    (hw, p)
}

fn costs(hw: &CountingHw) -> [u64; 4] {
    let counters = hw.counters().expect("a counting machine counts");
    [Counter::Loads, Counter::Exchanges, Counter::Stores, Counter::TlbFlushes].map(|c| counters.get(c))
}

#[test]
fn an_entry_takes_one_exchange_and_one_store() {
    let (mut batched, p) = run_of(RW);
    let old = arch().modify_prot_start_ptes(&mut batched, ADDR, p, PAGES);
    assert_eq!(batched.peek_table(p, PAGES), [0; PAGES]);
    let new = arch().pte_modify(old, READONLY);
    arch().modify_prot_commit_ptes(&mut batched, ADDR, p, old, new, PAGES);

    let (mut single, p) = run_of(RW);
    for i in 0..PAGES {
        let (addr, p) = (ADDR.add(i as u64 * X86_64::PAGE_SIZE), p.add(i));
        arch().ptep_get(&mut single, p);
        let old = arch().ptep_modify_prot_start(&mut single, addr, p);
        arch().ptep_modify_prot_commit(&mut single, addr, p, old, arch().pte_modify(old, READONLY));
    }
    assert_eq!((costs(&batched), costs(&single)), ([0, 16, 16, 0], [16, 16, 16, 0]));

    // The batch has become soft-dirty by being merged; nothing else differs.
    let soft_dirty = |word: &u64| word | 1 << 11;
    let expected: Vec<u64> = single.peek_table(p, PAGES).iter().map(soft_dirty).collect();
    assert_eq!(batched.peek_table(p, PAGES), expected);
    assert_eq!(single.peek(p), Pte(0x8400_0000_0123_4025));
}

#[test]
fn commits_may_follow_in_parts() {
    let (mut hw, p) = run_of(RW & !0x40);
    let old = arch().modify_prot_start_ptes(&mut hw, ADDR, p, PAGES);
    let whole = arch().pte_modify(old, READONLY);
    let at = |pte, i| arch().pte_advance_pfn(pte, i);
    let addr = ADDR.add(5 * X86_64::PAGE_SIZE);
    arch().modify_prot_commit_ptes(&mut hw, ADDR, p, old, whole, 5);
    arch().modify_prot_commit_ptes(&mut hw, addr, p.add(5), at(old, 5), arch().pte_mkwrite(at(whole, 5)), 11);
    let expected = |i: usize| at(whole, i).0 | if i < 5 { 0 } else { 2 };
    assert_eq!(hw.peek_table(p, PAGES), std::array::from_fn::<_, PAGES, _>(expected));
}
