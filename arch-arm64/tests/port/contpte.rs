//! Contiguous blocks: when they are made, when they are taken apart, what survives, and what it costs.

use crate::block::{AF, BLOCK, Block, CLEAN_OLD, CONT, DIRTY, NONE, RDONLY, RO, RW};
use arch_arm64::{Arm64, Rules};
use ptelab_pgtable::{
    Arch, Barrier, Counter, CountingHw, CpuConfig, Cydp, EntryFormat, Event, FolioSpan, KernelRules, Pfn,
    PlainHw, Pte, PteOps, Ptep, Record, RecordingHw, TableMemory, TlbScope, VirtAddr,
};

const SPECIAL: u64 = 1 << 56;

fn folded(block: &Block<impl TableMemory>) -> bool {
    let conts = block.bits().iter().filter(|&&bits| bits & CONT != 0).count();
    assert!(conts == 0 || conts == BLOCK, "a block is whole or none");
    conts == BLOCK
}

/// Runs longer than one entry are joined wherever Linux joins them, over all offsets of address and frame.
#[test]
fn runs_are_joined_block_by_block() {
    let arch = Arm64::new(&CpuConfig::default(), KernelRules::DEFAULT);
    for va in 0..BLOCK {
        for frame in 0..BLOCK {
            for nr in 2..=3 * BLOCK {
                let mut hw = PlainHw::with_tables_of(512);
                let table = hw.alloc_table(512, Pte::NONE);
                let addr = VirtAddr::new(0x4000_0000 + va as u64 * Arm64::PAGE_SIZE);
                let first = arch.pfn_pte(Pfn::new(0x100 + frame as u64), ptelab_pgtable::PgProt(RW));
                arch.set_ptes(&mut hw, addr, table.add(va), first, nr);
                for i in 0..nr {
                    let start = (va + i) / BLOCK * BLOCK;
                    let whole = va <= start && start + BLOCK <= va + nr;
                    let joined = if whole && va % BLOCK == frame % BLOCK { CONT } else { 0 };
                    let expected = Pte((first.0 + i as u64 * Arm64::PAGE_SIZE) | joined);
                    assert_eq!(
                        hw.peek(table.add(va + i)),
                        expected,
                        "va {va} frame {frame} nr {nr} entry {i}"
                    );
                }
            }
        }
    }
}

#[test]
fn older_kernels_join_invalid_entries() {
    for joined in [true, false] {
        let rules = KernelRules::DEFAULT.with(Rules::cont_on_invalid, joined);
        let block = Block::<PlainHw>::mapped(rules, NONE);
        assert_eq!(block.bits(), [if joined { NONE | CONT } else { NONE }; BLOCK]);
        assert_eq!(block.arch.pte_batch_hint(block.p, block.hw.peek(block.p)), 1);
    }
}

#[test]
fn hints_reach_to_the_end_of_the_block() {
    let mut block = Block::<PlainHw>::mapped(KernelRules::DEFAULT, RW);
    for i in 0..BLOCK {
        let pte = block.arch.ptep_get(&mut block.hw, block.p.add(i));
        assert_eq!(block.arch.pte_batch_hint(block.p.add(i), pte), BLOCK - i);
    }
}

/// How sixteen entries that might be one differ from it.
struct Misfit {
    name: &'static str,
    /// What is wrong with a page's bits.
    bits: fn(usize, u64) -> u64,
    folds: bool,
}

const MISFITS: [Misfit; 9] = [
    Misfit { name: "nothing", bits: |_, bits| bits, folds: true },
    Misfit { name: "one is old", bits: |i, bits| if i == 3 { bits & !AF } else { bits }, folds: true },
    Misfit {
        name: "one is clean",
        bits: |i, bits| if i == 0 { bits & !DIRTY | RDONLY } else { bits },
        folds: true,
    },
    Misfit {
        name: "the last is clean",
        bits: |i, bits| if i == 15 { bits & !DIRTY | RDONLY } else { bits },
        folds: true,
    },
    Misfit { name: "one is read-only", bits: |i, bits| if i == 7 { RO } else { bits }, folds: false },
    Misfit {
        name: "one may be executed",
        bits: |i, bits| if i == 7 { bits ^ 1 << 54 } else { bits },
        folds: false,
    },
    Misfit {
        name: "one is marked",
        bits: |i, bits| if i == 7 { bits | 1 << 58 } else { bits },
        folds: false,
    },
    Misfit { name: "all are special", bits: |_, bits| bits | SPECIAL, folds: false },
    Misfit { name: "all are invalid", bits: |_, _| NONE, folds: false },
];

#[test]
fn single_entries_fold_when_the_last_completes_them() {
    for misfit in MISFITS {
        let mut block = Block::<CountingHw>::new(&CpuConfig::default(), KernelRules::DEFAULT);
        let events = block.count([Counter::Folds, Counter::Unfolds, Counter::TlbFlushes], |block| {
            for i in 0..BLOCK {
                assert!(!folded(block), "{}", misfit.name);
                let pte = block.word((misfit.bits)(i, RW), i);
                block.on_page(i, |arch, hw, addr, p| arch.set_pte_at(hw, addr, p, pte));
            }
        });
        assert_eq!(folded(&block), misfit.folds, "{}", misfit.name);
        assert_eq!(events, [u64::from(misfit.folds), 0, u64::from(misfit.folds)], "{}", misfit.name);
        assert!(block.frames_are_right());
        if misfit.folds {
            assert_eq!(block.bits(), [RW | CONT; BLOCK], "accessed and dirty spread: {}", misfit.name);
        }
    }
}

#[test]
fn a_block_that_another_entry_completes_stays_apart() {
    let mut block = Block::<PlainHw>::mapped(KernelRules::DEFAULT, RW);
    let (addr, p, word) = (block.at(3), block.p.add(3), block.word(RW, 3));
    let old = block.arch.ptep_get_and_clear(&mut block.hw, addr, p);
    assert!(!folded(&block) && old == word);
    block.arch.set_pte_at(&mut block.hw, addr, p, word);
    assert_eq!(block.bits(), [RW; BLOCK]);
}

/// Writes sixteen entries of frames from `pfn` on, where folios are as `spans` says; whether they fold.
fn folds_over(pfn: u64, spans: &[FolioSpan]) -> bool {
    let mut block = Block::<PlainHw>::new(&CpuConfig::default(), KernelRules::DEFAULT);
    block.pfn = Pfn::new(pfn);
    for &span in spans {
        block.hw.set_folio(span);
    }
    for i in 0..BLOCK {
        let pte = block.word(RW, i);
        block.on_page(i, |arch, hw, addr, p| arch.set_pte_at(hw, addr, p, pte));
    }
    folded(&block)
}

#[test]
fn one_folio_covers_a_block() {
    let span = |head, order| FolioSpan { head: Pfn::new(head), order };
    assert!(folds_over(0x200, &[span(0x200, 4)]));
    assert!(folds_over(0x210, &[span(0x200, 5)]));
    assert!(!folds_over(0x200, &[span(0x200, 3), span(0x208, 3)]));
    assert!(!folds_over(0x200, &std::array::from_fn::<_, 16, _>(|i| span(0x200 + i as u64, 0))));
    assert!(!folds_over(0x201, &[span(0x200, 5)]), "frames are not aligned");
}

/// A page of a folded block changes; its neighbours are as accessed and dirty as any page of the block was.
#[test]
fn a_part_of_a_block_takes_it_apart() {
    for (first, nr) in [(0, 1), (15, 1), (2, 3), (0, 15), (1, 15), (8, 8)] {
        let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, CLEAN_OLD);
        assert!(folded(&block));
        block.poke(5, |word| word & !RDONLY);
        block.poke(9, |word| word | AF);
        let counters = [Counter::Unfolds, Counter::TlbFlushes, Counter::TlbiOps, Counter::Exchanges];
        let counts = block.count(counters, |block| {
            let old = block.on_page(first, |arch, hw, addr, p| arch.get_and_clear_ptes(hw, addr, p, nr));
            assert_eq!(old, block.word(RW, first), "page {first} of {nr}");
        });
        assert_eq!(counts, [1, 1, 16, 16 + nr as u64]);
        let left = |i| if (first..first + nr).contains(&i) { 0 } else { RW };
        assert_eq!(block.bits(), std::array::from_fn(left), "pages {first} and {nr} on");
    }
}

/// The first and the last block of a run, where it covers them in part.
#[test]
fn runs_take_their_ends_apart() {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW);
    let (table, addr) = (Ptep(block.p.0 - BLOCK as u64), VirtAddr::new(0x4000_0000));
    let first = Pte(RW | 0x100 << 12);
    block.arch.clear_ptes(&mut block.hw, block.addr, block.p, BLOCK);
    block.arch.set_ptes(&mut block.hw, addr, table, first, 4 * BLOCK);
    let counts = block.count([Counter::Unfolds, Counter::Exchanges, Counter::Loads], |block| {
        block.arch.clear_ptes(&mut block.hw, addr.add(4 << 12), table.add(4), 3 * BLOCK);
    });
    assert_eq!(counts, [2, 16 + 16 + 48, 2]);
    let bits = |i: usize| {
        block.hw.peek(table.add(i)).0 & !block.arch.pfn_mask(Pte::NONE, ptelab_pgtable::Level::Pte)
    };
    assert_eq!([0, 3, 4, 51, 52, 63].map(bits), [RW, RW, 0, 0, RW, RW]);
}

#[test]
fn write_protection_of_whole_blocks_leaves_them_whole() {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW & !DIRTY);
    let counters = [Counter::Loads, Counter::CompareExchanges, Counter::Unfolds];
    let whole =
        block.count(counters, |block| block.arch.wrprotect_ptes(&mut block.hw, block.addr, block.p, BLOCK));
    assert_eq!((whole, block.bits()), ([16, 16, 0], [RO | CONT; BLOCK]));

    for (first, nr, expected) in [(4, 1, [1, 1, 1]), (4, 2, [4, 2, 1]), (0, 15, [17, 15, 1])] {
        let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW);
        let part = block.count(counters, |block| {
            block.on_page(first, |arch, hw, addr, p| arch.wrprotect_ptes(hw, addr, p, nr));
        });
        assert_eq!(part, expected, "{nr} from {first}");
        let is = |i| if (first..first + nr).contains(&i) { RO } else { RW };
        assert_eq!(block.bits(), std::array::from_fn(is));
    }
}

#[test]
fn age_and_dirtiness_are_cleared_block_by_block() {
    let counters = [Counter::Loads, Counter::Stores, Counter::CompareExchanges, Counter::Unfolds];
    let both = Cydp::CLEAR_YOUNG | Cydp::CLEAR_DIRTY;
    let table = [
        (both, CLEAN_OLD, [1 + 2 + 16, 16, 0, 0]),
        (Cydp::CLEAR_YOUNG, RW & !AF, [1 + 2 + 16, 0, 16, 0]),
        (Cydp::CLEAR_DIRTY, CLEAN_OLD | AF, [1 + 2 + 16, 0, 16, 0]),
    ];
    for (flags, bits, expected) in table {
        let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, RW);
        let counts = block.count(counters, |block| {
            block.on_page(6, |arch, hw, addr, p| arch.clear_young_dirty_ptes(hw, addr, p, 1, flags));
        });
        assert_eq!((counts, block.bits()), (expected, [bits | CONT; BLOCK]), "{flags:?}");
    }
}

#[test]
fn blocks_are_old_when_none_of_their_pages_is_young() {
    let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, CLEAN_OLD);
    let clear = |block: &mut Block<CountingHw>| {
        block.on_page(2, |arch, hw, addr, p| arch.ptep_test_and_clear_young(hw, addr, p))
    };
    assert!(!clear(&mut block));
    block.poke(11, |word| word | AF);
    assert!(clear(&mut block));
    assert_eq!(block.bits(), [CLEAN_OLD | CONT; BLOCK]);
}

#[test]
fn faults_change_a_block_as_a_whole_or_take_it_apart() {
    let counters = [Counter::Unfolds, Counter::TlbFlushes, Counter::DsbNsh, Counter::TlbiOps];
    // Entry before and as the fault wants it, whether it was a write; the faulting page and the others after.
    let table = [
        (RW, RW, true, (RW | CONT, RW | CONT), false, [0, 0, 0, 0]),
        (
            CLEAN_OLD,
            CLEAN_OLD | AF,
            false,
            (CLEAN_OLD | AF | CONT, CLEAN_OLD | AF | CONT),
            true,
            [0, 0, 0, 0],
        ),
        (CLEAN_OLD, RW, true, (RW | CONT, RW | CONT), true, [0, 1, 2, 16]),
        (RO, RW, true, (RW, RO), true, [1, 2, 2, 17]),
    ];
    for (before, entry, write, (page, others), changed, expected) in table {
        let mut block = Block::<CountingHw>::mapped(KernelRules::DEFAULT, before);
        let counts = block.count(counters, |block| {
            let entry = block.word(entry | CONT, 7);
            let did =
                block.on_page(7, |arch, hw, addr, p| arch.ptep_set_access_flags(hw, addr, p, entry, write));
            assert_eq!(did, changed);
        });
        assert_eq!(block.bits(), std::array::from_fn(|i| if i == 7 { page } else { others }));
        assert_eq!(counts, expected, "{before:#x} to {entry:#x}");
        assert!(block.frames_are_right());
    }
}

/// A page's neighbours are seen accessed and dirty; what it costs to find out.
#[test]
fn accessed_and_dirty_are_gathered() {
    // The page that is dirty, the page that is young; loads of kernels that stop early.
    let table = [
        (None, None, 16),
        (Some(0), Some(0), 2),
        (Some(15), Some(15), 17),
        (Some(3), Some(1), 4),
        (Some(1), Some(3), 5),
        (Some(4), None, 5 + 12),
        (None, Some(4), 16),
        (Some(9), Some(0), 10),
    ];
    for (dirty, young, early) in table {
        for (stops, loads) in [(false, 16), (true, early)] {
            let rules = KernelRules::DEFAULT.with(Rules::contpte_get_stops_early, stops);
            let mut block = Block::<CountingHw>::mapped(rules, CLEAN_OLD);
            if let Some(i) = dirty {
                block.poke(i, |word| word & !RDONLY);
            }
            if let Some(i) = young {
                block.poke(i, |word| word | AF);
            }
            let counts = block.count([Counter::Loads, Counter::Unfolds], |block| {
                let pte = block.arch.ptep_get(&mut block.hw, block.p.add(8));
                assert_eq!(block.arch.pte_dirty(pte), dirty.is_some());
                assert_eq!(block.arch.pte_young(pte), young.is_some());
                assert_eq!(block.arch.pte_pfn(pte), block.pfn.add(8));
            });
            assert_eq!(counts, [1 + loads, 0], "{dirty:?} {young:?} {stops}");
        }
    }
}

/// The steps of a conversion, as a recorder sees them, without why they are made.
fn conversion(cpu: &CpuConfig) -> Vec<Record> {
    let mut block = Block::<RecordingHw>::new(cpu, KernelRules::DEFAULT);
    block.map(RW);
    block.hw.take_records();
    block.on_page(4, |arch, hw, addr, p| arch.pte_clear(hw, addr, p));
    let mut steps = block.hw.take_records();
    steps.retain(|step| !matches!(step, Record::Why(_)));
    steps
}

#[test]
fn blocks_are_broken_before_they_are_made_anew() {
    for (range_tlbi, ops) in [(true, 1), (false, 16)] {
        let steps = conversion(&CpuConfig::default().with("range_tlbi", range_tlbi));
        assert!(matches!(steps[..2], [Record::Load(..), Record::Event(Event::Unfold)]));
        assert!(steps[2..18].iter().all(|step| matches!(step, Record::Swap(_, _, Pte::NONE))));
        let Record::Tlbi(op) = steps[19] else { panic!("no invalidation: {:?}", steps[19]) };
        assert_eq!(
            (steps[18], steps[20]),
            (Record::Barrier(Barrier::DsbIshst), Record::Barrier(Barrier::DsbIsh))
        );
        let (start, end) = (VirtAddr::new(0x4001_0000), VirtAddr::new(0x4002_0000));
        assert_eq!(op.scope, TlbScope::Range { start, end, stride: 0x1000 });
        assert_eq!((op.ops, op.level, op.last_level, op.local), (ops, 3, true, false));
        assert!(steps[21..37].iter().all(|step| matches!(step, Record::Store(_, Pte(w)) if w & CONT == 0)));
        assert!(matches!(steps[37..], [Record::Store(_, Pte::NONE)]));
    }
}

#[test]
fn cpus_with_bbml3_need_not_break_first() {
    let steps = conversion(&CpuConfig::default().with("bbml3", true));
    assert_eq!(steps.len(), 2 + 16 + 16 + 1);
    assert!(!steps.iter().any(|step| matches!(step, Record::Tlbi(_) | Record::Barrier(_))));
}

#[test]
fn what_is_read_of_a_block_may_be_written_anywhere() {
    let mut block = Block::<PlainHw>::mapped(KernelRules::DEFAULT, RW);
    let leaked = block.on_page(0, |arch, hw, addr, p| arch.ptep_get_and_clear(hw, addr, p)).0 | CONT;
    block.on_page(0, |arch, hw, addr, p| arch.set_pte_at(hw, addr, p, Pte(leaked)));
    assert_eq!(block.bits(), [RW; BLOCK]);
}
