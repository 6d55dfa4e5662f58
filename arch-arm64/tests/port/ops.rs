//! Operations on single entries and huge pages: what they leave, and what they cost.

use crate::block::{AF, Block, CLEAN_OLD, DIRTY, RDONLY, RO, RW};
use arch_arm64::{Arm64, Rules};
use ptelab_pgtable::{
    Arch, Barrier, Counter, CountingHw, CpuConfig, Cydp, EntryFormat, KernelRules, Level, Pte, PteOps, Ptep,
    Record, RecordingHw, TableMemory, TlbScope, VirtAddr,
};

const PRIMITIVES: [Counter; 4] =
    [Counter::Loads, Counter::Stores, Counter::Exchanges, Counter::CompareExchanges];

/// One page by itself, whose bits are `bits`.
fn single(bits: u64) -> Block<CountingHw> {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW);
    block.arch.clear_ptes(&mut block.hw, block.addr, block.p, crate::block::BLOCK);
    let pte = block.word(bits, 1);
    block.on_page(1, |arch, hw, addr, p| arch.set_pte_at(hw, addr, p, pte));
    block
}

/// What an operation on a page whose bits are `before` takes, and leaves.
fn outcome(before: u64, op: impl FnOnce(Arm64, &mut CountingHw, VirtAddr, Ptep)) -> ([u64; 4], u64) {
    let mut block = single(before);
    let counts = block.count(PRIMITIVES, |block| block.on_page(1, op));
    (counts, block.bits()[1])
}

#[test]
fn entries_are_read_and_cleared() {
    let get = outcome(RW, |arch, hw, _, p| assert!(arch.pte_young(arch.ptep_get(hw, p))));
    assert_eq!(get, ([1, 0, 0, 0], RW));
    assert_eq!(outcome(RW, |arch, hw, addr, p| arch.pte_clear(hw, addr, p)), ([1, 1, 0, 0], 0));
    assert_eq!(outcome(RW, |arch, hw, addr, p| arch.clear_ptes(hw, addr, p, 1)), ([1, 0, 1, 0], 0));
    let take = outcome(RW, |arch, hw, addr, p| {
        let old = arch.ptep_get_and_clear(hw, addr, p);
        assert_eq!(old.0 & !arch.pfn_mask(Pte::NONE, Level::Pte), RW);
    });
    assert_eq!(take, ([1, 0, 1, 0], 0));
}

#[test]
fn entries_are_rewritten_without_losing_bits() {
    let protect = outcome(RW & !DIRTY, |arch, hw, addr, p| arch.wrprotect_ptes(hw, addr, p, 1));
    assert_eq!(protect, ([1, 0, 0, 1], RO));
    for (before, young, after) in [(RW, true, RW & !AF), (CLEAN_OLD, false, CLEAN_OLD)] {
        let age = outcome(before, |arch, hw, addr, p| {
            assert_eq!(arch.ptep_test_and_clear_young(hw, addr, p), young);
        });
        assert_eq!(age, ([2, 0, 0, 1], after));
    }
    let clear = |flags| outcome(RW, |arch, hw, addr, p| arch.clear_young_dirty_ptes(hw, addr, p, 1, flags));
    assert_eq!(clear(Cydp::CLEAR_YOUNG), ([2, 0, 0, 1], RW & !AF));
    assert_eq!(clear(Cydp::CLEAR_DIRTY), ([2, 0, 0, 1], CLEAN_OLD | AF));
    assert_eq!(clear(Cydp::CLEAR_YOUNG | Cydp::CLEAR_DIRTY), ([2, 1, 0, 0], CLEAN_OLD));
}

#[test]
fn faults_add_permissions_and_flush_after_writes() {
    let flushes = [Counter::CompareExchanges, Counter::TlbFlushes, Counter::DsbNsh, Counter::DsbIsh];
    // Before, wanted, whether the fault was a write; after, whether anything was done, costs where the flush is local, and not.
    let table = [
        (RW, RW, true, RW, false, [0, 0, 0, 0], [0, 0, 0, 0]),
        (RO & !AF, RO, false, RO, true, [1, 0, 0, 0], [1, 0, 0, 0]),
        (RO, RW, true, RW, true, [1, 1, 2, 0], [1, 1, 0, 1]),
        // Permission is never taken: read-only is wanted, writable stays.
        (RW, RO & !AF, false, RW, true, [1, 0, 0, 0], [1, 0, 0, 0]),
    ];
    for (before, wanted, write, after, changed, new_kernel, old_kernel) in table {
        for (local, expected) in [(true, new_kernel), (false, old_kernel)] {
            let rules = KernelRules::DEFAULT.with(Rules::fault_flush_local, local);
            let mut block = single(before);
            block.arch = Arm64::new(&CpuConfig::default(), rules);
            let counts = block.count(flushes, |b| {
                let entry = b.word(wanted, 1);
                assert_eq!(
                    b.on_page(1, |arch, hw, addr, p| arch.ptep_set_access_flags(hw, addr, p, entry, write)),
                    changed
                );
            });
            assert_eq!((counts, block.bits()[1]), (expected, after), "{before:#x} {wanted:#x} {local}");
        }
    }
}

#[test]
fn runs_merge_what_their_entries_recorded() {
    let table = [(0, 0, CLEAN_OLD), (AF, 0, CLEAN_OLD | AF), (0, RDONLY, RW & !AF), (AF, RDONLY, RW)];
    for (young, written, expected) in table {
        let mut block = single(CLEAN_OLD);
        for i in 2..9 {
            let pte = block.word(CLEAN_OLD, i);
            block.on_page(i, |arch, hw, addr, p| arch.set_pte_at(hw, addr, p, pte));
        }
        block.poke(4, |word| word | young);
        block.poke(8, |word| word & !written);
        let old = block.on_page(1, |arch, hw, addr, p| arch.get_and_clear_ptes(hw, addr, p, 8));
        assert_eq!(old, block.word(expected, 1));
        assert_eq!(block.bits(), [0; crate::block::BLOCK]);
    }
}

/// A huge page, on a machine that records.
fn huge(bits: u64) -> (Block<RecordingHw>, Pte) {
    let mut block = Block::<RecordingHw>::new(&CpuConfig::default(), KernelRules::DEFAULT);
    let pmd = Pte(bits & !2 | 0x200 << Arm64::PAGE_SHIFT);
    block.arch.set_pmd_at(&mut block.hw, block.addr, block.p, pmd);
    assert_eq!(block.hw.take_records(), [Record::Store(block.p, pmd)]);
    (block, pmd)
}

#[test]
fn huge_pages_change_by_exchange() {
    let (mut block, pmd) = huge(RW);
    assert_eq!(block.arch.pmdp_get_and_clear(&mut block.hw, block.addr, block.p), pmd);
    assert_eq!(block.hw.take_records(), [Record::Swap(block.p, pmd, Pte::NONE)]);

    let (mut block, pmd) = huge(RW);
    block.arch.pmdp_set_wrprotect(&mut block.hw, block.addr, block.p);
    let protected = block.arch.pte_wrprotect(pmd);
    assert_eq!(
        block.hw.take_records(),
        [Record::Load(block.p, pmd), Record::CompareSwap(block.p, pmd, protected, true)]
    );
}

#[test]
fn huge_pages_are_invalid_and_flushed_while_they_change() {
    let addr = VirtAddr::new(0x4020_0000);
    for only_flags in [false, true] {
        let (mut block, pmd) = huge(RW);
        let old = if only_flags {
            block.arch.pmdp_invalidate_ad(&mut block.hw, addr, block.p)
        } else {
            block.arch.pmdp_invalidate(&mut block.hw, addr, block.p)
        };
        assert_eq!(old, pmd);
        let steps = block.hw.take_records();
        assert_eq!(steps[..2], [Record::Load(block.p, pmd), Record::Swap(block.p, pmd, Pte(pmd.0 & !1))]);
        let Record::Tlbi(op) = steps[3] else { panic!("no invalidation: {:?}", steps[3]) };
        let scope = TlbScope::Range { start: addr, end: addr.add(0x20_0000), stride: 0x20_0000 };
        assert_eq!((op.scope, op.level, op.last_level, op.ops), (scope, 2, false, 1));
    }
}

#[test]
fn faults_on_huge_pages_flush_their_leaf() {
    let (mut block, pmd) = huge(RO);
    let entry = Pte(RW & !2 | pmd.0 & block.arch.pfn_mask(Pte::NONE, Level::Pte));
    assert!(block.arch.pmdp_set_access_flags(
        &mut block.hw,
        block.addr.align_down(0x20_0000),
        block.p,
        entry,
        true
    ));
    let steps = block.hw.take_records();
    assert_eq!(steps[1], Record::CompareSwap(block.p, pmd, entry, true));
    assert_eq!((steps[2], steps[4]), (Record::Barrier(Barrier::DsbNshst), Record::Barrier(Barrier::DsbNsh)));
    let Record::Tlbi(op) = steps[3] else { panic!("no invalidation: {:?}", steps[3]) };
    assert_eq!((op.level, op.last_level, op.local), (2, true, true));
    assert!(block.arch.pmd_leaf(block.hw.peek(block.p)));
    assert_eq!(Arm64::entry_size(Level::Pmd), 0x20_0000);
}
