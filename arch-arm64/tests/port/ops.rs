//! Operations on single entries and huge pages: what they leave, and what they cost.

use crate::block::{AF, Block, CLEAN_OLD, DIRTY, RDONLY, RO, RW};
use arch_arm64::Arm64;
use ptelab_pgtable::{
    Barrier, Counter, CountingHw, Cydp, EntryFormat, KernelRules, Level, Pte, PteOps, Record, RecordingHw,
    TableMemory, TlbScope,
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

#[test]
fn single_entries() {
    type Op = fn(&mut Block<CountingHw>);
    let table: [(&str, u64, Op, u64, [u64; 4]); 9] = [
        ("get", RW, |b| drop(b.on_page(1, |arch, hw, _, p| arch.ptep_get(hw, p))), RW, [1, 0, 0, 0]),
        ("pte_clear", RW, |b| b.on_page(1, |arch, hw, addr, p| arch.pte_clear(hw, addr, p)), 0, [1, 1, 0, 0]),
        (
            "get_and_clear",
            RW,
            |b| drop(b.on_page(1, |arch, hw, addr, p| arch.ptep_get_and_clear(hw, addr, p))),
            0,
            [1, 0, 1, 0],
        ),
        (
            "clear_ptes",
            RW,
            |b| b.on_page(1, |arch, hw, addr, p| arch.clear_ptes(hw, addr, p, 1)),
            0,
            [1, 0, 1, 0],
        ),
        (
            "wrprotect",
            RW & !DIRTY,
            |b| b.on_page(1, |arch, hw, addr, p| arch.wrprotect_ptes(hw, addr, p, 1)),
            RO,
            [1, 0, 0, 1],
        ),
        (
            "make old",
            RW,
            |b| assert!(b.on_page(1, |arch, hw, addr, p| arch.ptep_test_and_clear_young(hw, addr, p))),
            RW & !AF,
            [2, 0, 0, 1],
        ),
        (
            "make old and clean",
            RW,
            |b| b.on_page(1, |arch, hw, addr, p| arch.clear_young_dirty_ptes(hw, addr, p, 1, Cydp::all())),
            CLEAN_OLD,
            [2, 1, 0, 0],
        ),
        (
            "make clean",
            RW,
            |b| {
                b.on_page(1, |arch, hw, addr, p| {
                    arch.clear_young_dirty_ptes(hw, addr, p, 1, Cydp::CLEAR_DIRTY)
                })
            },
            CLEAN_OLD | AF,
            [2, 0, 0, 1],
        ),
        (
            "make old alone",
            CLEAN_OLD,
            |b| assert!(!b.on_page(1, |arch, hw, addr, p| arch.ptep_test_and_clear_young(hw, addr, p))),
            CLEAN_OLD,
            [2, 0, 0, 1],
        ),
    ];
    for (name, before, op, after, expected) in table {
        let mut block = single(before);
        let counts = block.count(PRIMITIVES, op);
        assert_eq!((counts, block.bits()[1]), (expected, after), "{name}");
    }
}

#[test]
fn faults_add_permissions_and_flush_after_writes() {
    let flushes = [Counter::CompareExchanges, Counter::TlbFlushes, Counter::DsbNsh, Counter::DsbIsh];
    // Before, wanted, whether the fault was a write; after, whether anything was done, costs on 7.3 and 6.17.
    let table = [
        (RW, RW, true, RW, false, [0, 0, 0, 0], [0, 0, 0, 0]),
        (RO & !AF, RO, false, RO, true, [1, 0, 0, 0], [1, 0, 0, 0]),
        (RO, RW, true, RW, true, [1, 1, 2, 0], [1, 1, 0, 1]),
        // Permission is never taken: read-only is wanted, writable stays.
        (RW, RO & !AF, false, RW, true, [1, 0, 0, 0], [1, 0, 0, 0]),
    ];
    for (before, wanted, write, after, changed, new_kernel, old_kernel) in table {
        for (rules, expected) in [(&KernelRules::V7_3, new_kernel), (&KernelRules::V6_17, old_kernel)] {
            let mut block = single(before);
            block.arch = ptelab_pgtable::Arch::new(&ptelab_pgtable::CpuConfig::default(), rules);
            let counts = block.count(flushes, |b| {
                let entry = b.word(wanted, 1);
                assert_eq!(
                    b.on_page(1, |arch, hw, addr, p| arch.ptep_set_access_flags(hw, addr, p, entry, write)),
                    changed
                );
            });
            assert_eq!(
                (counts, block.bits()[1]),
                (expected, after),
                "{before:#x} {wanted:#x} {}",
                rules.name
            );
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
    let mut block = Block::<RecordingHw>::new(&ptelab_pgtable::CpuConfig::default(), KernelRules::DEFAULT);
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
    let addr = ptelab_pgtable::VirtAddr::new(0x4020_0000);
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
    let entry = Pte(RW & !2 | pmd.0 & block.arch.pfn_mask());
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
