//! The transaction over a block of sixteen pages: what it leaves, and exactly what it costs.

use crate::block::{BLOCK, Block, CLEAN_OLD, CONT, RO, RW, prot};
use arch_arm64::Rules;
use ptelab_pgtable::{
    Arch, Counter, CountingHw, CpuConfig, EntryFormat, KernelRules, ModifyProt, PgProt, PlainHw, Pte, PteOps,
    VmFlags,
};

const READ: VmFlags = VmFlags::READ;
const READ_WRITE: VmFlags = VmFlags::READ.union(VmFlags::WRITE);

/// Loads, exchanges, plain stores, and rounds of TLB invalidation.
const COSTS: [Counter; 4] = [Counter::Loads, Counter::Exchanges, Counter::Stores, Counter::TlbFlushes];

/// The entry under `flags`: where they allow writing, the page is this process's own, and may be written.
fn changed(block: &Block<CountingHw>, old: Pte, flags: VmFlags) -> Pte {
    let new = block.arch.pte_modify(old, prot(&block.arch, flags));
    if flags.contains(VmFlags::WRITE) { block.arch.pte_mkwrite(new) } else { new }
}

/// `change_pte_range` of 6.16: one entry at a time.
fn change_singly(block: &mut Block<CountingHw>, flags: VmFlags) {
    for i in 0..BLOCK {
        let (addr, p) = (block.at(i), block.p.add(i));
        block.arch.ptep_get(&mut block.hw, p);
        let old = block.arch.ptep_modify_prot_start(&mut block.hw, addr, p);
        let new = changed(block, old, flags);
        block.arch.ptep_modify_prot_commit(&mut block.hw, addr, p, old, new);
    }
}

/// `change_pte_range` of 6.17: the batch at once. The first entry's hint says that it is sixteen.
fn change_batched(block: &mut Block<CountingHw>, flags: VmFlags) {
    let (addr, p) = (block.addr, block.p);
    let first = block.arch.ptep_get(&mut block.hw, p);
    let nr = block.arch.pte_batch_hint(p, first);
    let old = block.arch.modify_prot_start_ptes(&mut block.hw, addr, p, nr);
    let new = changed(block, old, flags);
    block.arch.modify_prot_commit_ptes(&mut block.hw, addr, p, old, new, nr);
}

#[test]
fn a_block_changed_singly_is_unfolded_and_folded_again() {
    let rules = KernelRules::DEFAULT.with(Rules::contpte_get_stops_early, false);
    let mut block = Block::<CountingHw>::mapped(rules, RW);
    for (flags, bits) in [(READ, RO), (READ_WRITE, RW)] {
        assert_eq!(block.count(COSTS, |block| change_singly(block, flags)), [80, 48, 48, 2], "{flags:?}");
        assert_eq!(block.bits(), [bits | CONT; BLOCK], "{flags:?}");
        assert!(block.frames_are_right());
    }
    let others = [
        Counter::Folds,
        Counter::Unfolds,
        Counter::TlbiOps,
        Counter::DsbIshst,
        Counter::DsbIsh,
        Counter::Isb,
    ];
    let counts = block.count(others, |block| change_singly(block, READ));
    assert_eq!(counts, [1, 1, 32, 2, 2, 0]);
}

#[test]
fn a_block_changed_at_once_stays_folded() {
    for joins_invalid in [true, false] {
        let rules = KernelRules::DEFAULT.with(Rules::cont_on_invalid, joins_invalid);
        let mut block = Block::<CountingHw>::mapped(rules, RW);
        for (flags, bits) in [(READ, RO), (READ_WRITE, RW)] {
            assert_eq!(block.count(COSTS, |block| change_batched(block, flags)), [3, 16, 16, 0], "{flags:?}");
            assert_eq!(block.bits(), [bits | CONT; BLOCK], "{flags:?}");
            assert!(block.frames_are_right());
        }
    }
}

#[test]
fn a_clean_and_old_block_is_searched_in_vain() {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, CLEAN_OLD);
    assert_eq!(block.count(COSTS, |block| change_batched(block, READ)), [17, 16, 16, 0]);
}

/// Single pages, each a folio of its own: the tests for blocks cost two loads besides the one of the loop.
#[test]
fn a_single_page_is_tested_twice() {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW);
    let (addr, p) = (block.at(1), block.p.add(1));
    block.arch.pte_clear(&mut block.hw, block.addr, block.p);
    let counts = block.count(COSTS, |block| {
        block.arch.ptep_get(&mut block.hw, p);
        let old = block.arch.ptep_modify_prot_start(&mut block.hw, addr, p);
        block.arch.ptep_modify_prot_commit(&mut block.hw, addr, p, old, old);
    });
    assert_eq!(counts, [3, 1, 1, 0]);
}

#[test]
fn the_first_entry_carries_what_all_recorded() {
    let mut block = Block::<PlainHw>::mapped(KernelRules::DEFAULT, CLEAN_OLD);
    block.poke(12, |word| word & !crate::block::RDONLY);
    block.poke(14, |word| word | crate::block::AF);
    let old = block.arch.modify_prot_start_ptes(&mut block.hw, block.addr, block.p, BLOCK);
    assert_eq!(old, block.word(RW | CONT, 0));
    assert_eq!(block.bits(), [0; BLOCK]);
}

/// CPUs with the erratum flush what user code could execute, in one round for the batch.
#[test]
fn erratum_2645198_flushes_between_start_and_commit() {
    const EXEC: u64 = 0x00a8_0000_0000_0f43;
    for (erratum, bits, ops) in [(true, EXEC, 16), (true, RW, 0), (false, EXEC, 0)] {
        let cpu = CpuConfig::default().with("erratum_2645198", erratum).with("range_tlbi", false);
        let mut block = Block::<CountingHw>::new(&cpu, KernelRules::DEFAULT);
        block.map(bits);
        let counts = block.count([Counter::TlbFlushes, Counter::TlbiOps], |block| {
            block.arch.modify_prot_start_ptes(&mut block.hw, block.addr, block.p, BLOCK);
        });
        assert_eq!(counts, [u64::from(ops > 0), ops], "{erratum} {bits:#x}");
    }
}

/// A protection as `mprotect` stores it is the mapping's own: arm64 keeps nothing of the old one.
#[test]
fn protections_are_replaced_whole() {
    let arch = arch_arm64::Arm64::new(&CpuConfig::default(), KernelRules::DEFAULT);
    assert_eq!(arch.pgprot_modify(PgProt(u64::MAX), PgProt(RO)), PgProt(RO));
}
