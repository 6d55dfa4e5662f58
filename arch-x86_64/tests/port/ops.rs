//! Operations on entries: the primitives that they take, in order.

use arch_x86_64::X86_64;
use ptelab_pgtable::{
    Arch, CpuConfig, Cydp, EntryFormat, KernelRules, Pte, PteOps, Ptep, Record, RecordingHw, TableMemory,
    TlbScope, VirtAddr,
};

const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);
/// A written page of a private, writable mapping, and the same after `mprotect(PROT_READ)`.
const RW: u64 = 0x8000_0000_0123_4867;
const RO: u64 = 0x8400_0000_0123_4825;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const SAVED: u64 = 1 << 58;
const SOFT_DIRTY: u64 = 1 << 11;

fn arch() -> X86_64 {
    X86_64::new(&CpuConfig::default(), KernelRules::DEFAULT)
}

/// A table that starts with these words.
fn table(words: &[u64]) -> (RecordingHw, Ptep) {
    let mut hw = RecordingHw::with_tables_of(512);
    let p = hw.alloc_table(512, Pte::NONE);
    for (i, &word) in words.iter().enumerate() {
        hw.hardware_store(p.add(i), Pte(word));
    }
    hw.take_records();
    (hw, p)
}

/// The words of a run of pages.
fn run<const N: usize>(bits: [u64; N]) -> [u64; N] {
    std::array::from_fn(|i| bits[i] + i as u64 * X86_64::PAGE_SIZE)
}

#[test]
fn clearing_is_one_exchange_an_entry() {
    let words = run([RW; 3]);
    let swaps = |p: Ptep, n: usize| {
        (0..n).map(|i| Record::Swap(p.add(i), Pte(words[i]), Pte::NONE)).collect::<Vec<_>>()
    };
    let (mut hw, p) = table(&words);
    assert_eq!(arch().ptep_get_and_clear(&mut hw, ADDR, p), Pte(words[0]));
    assert_eq!(hw.take_records(), swaps(p, 1));

    let (mut hw, p) = table(&words);
    assert_eq!(arch().get_and_clear_ptes(&mut hw, ADDR, p, 3), Pte(words[0]));
    assert_eq!(hw.take_records(), swaps(p, 3));

    let (mut hw, p) = table(&words);
    arch().clear_ptes(&mut hw, ADDR, p, 3);
    assert_eq!(hw.take_records(), swaps(p, 3));

    let (mut hw, p) = table(&words);
    assert_eq!(arch().pmdp_get_and_clear(&mut hw, ADDR, p), Pte(words[0]));
    assert_eq!(hw.take_records(), swaps(p, 1));
}

/// The first entry's bits, those of the later ones, and what the run comes out as. A later dirty entry makes the run
/// soft-dirty.
#[test]
fn runs_merge_what_their_entries_recorded() {
    let clean = RW & !(A | D | SOFT_DIRTY);
    let read_only = RO & !(A | SAVED | SOFT_DIRTY);
    let cases = [
        (clean, clean, clean),
        (clean, clean | A, clean | A),
        (clean, clean | D, clean | D | SOFT_DIRTY),
        (clean | D, clean, clean | D),
        (read_only, read_only | SAVED, read_only | SAVED | SOFT_DIRTY),
        (read_only | SAVED, read_only, read_only | SAVED),
    ];
    for (first, later, merged) in cases {
        let (mut hw, p) = table(&run([first, later, later, later]));
        assert_eq!(arch().get_and_clear_ptes(&mut hw, ADDR, p, 4), Pte(merged), "{first:#x} {later:#x}");
    }
}

#[test]
fn runs_are_stored_plainly_and_downwards_under_prot_none() {
    let none = arch().pte_modify(Pte(RW), arch().vm_get_page_prot(ptelab_pgtable::VmFlags::empty()));
    for (first, step) in [(RW, 0x1000u64), (none.0, 0x1000u64.wrapping_neg())] {
        let (mut hw, p) = table(&[]);
        arch().set_ptes(&mut hw, ADDR, p, Pte(first), 3);
        let stores =
            (0..3).map(|i| Record::Store(p.add(i), Pte(first.wrapping_add(step.wrapping_mul(i as u64)))));
        assert_eq!(hw.take_records(), stores.collect::<Vec<_>>());
    }
}

#[test]
fn write_protection_is_a_compare_exchange() {
    let (mut hw, p) = table(&run([RW, RO]));
    arch().wrprotect_ptes(&mut hw, ADDR, p, 2);
    let [first, second] = run([RW, RO]).map(Pte);
    let expected = [
        Record::Load(p, first),
        Record::CompareSwap(p, first, Pte(RO), true),
        Record::Load(p.add(1), second),
        Record::CompareSwap(p.add(1), second, second, true),
    ];
    assert_eq!(hw.take_records(), expected);

    let (mut hw, p) = table(&[RW | 1 << 7]);
    arch().pmdp_set_wrprotect(&mut hw, ADDR, p);
    assert_eq!(hw.peek(p), Pte(RO | 1 << 7));
    assert_eq!(hw.take_records().len(), 2);
}

#[test]
fn young_entries_are_made_old_without_a_flush() {
    let (mut hw, p) = table(&[RW]);
    assert!(arch().ptep_test_and_clear_young(&mut hw, ADDR, p));
    let expected = [Record::Load(p, Pte(RW)), Record::CompareSwap(p, Pte(RW), Pte(RW & !A), true)];
    assert_eq!(hw.take_records(), expected);

    let (mut hw, p) = table(&[RW & !A]);
    assert!(!arch().ptep_test_and_clear_young(&mut hw, ADDR, p));
    assert_eq!(hw.take_records(), [Record::Load(p, Pte(RW & !A))]);
}

#[test]
fn runs_are_made_old_and_clean_entry_by_entry() {
    let cases =
        [(Cydp::CLEAR_YOUNG, RW & !A, 4), (Cydp::CLEAR_DIRTY, RW & !D, 4), (Cydp::all(), RW & !(A | D), 4)];
    for (flags, after, steps) in cases {
        let (mut hw, p) = table(&run([RW; 2]));
        arch().clear_young_dirty_ptes(&mut hw, ADDR, p, 2, flags);
        assert_eq!([hw.peek(p), hw.peek(p.add(1))], run([after; 2]).map(Pte), "{flags:?}");
        assert_eq!(hw.take_records().len(), steps, "{flags:?}");
    }
}

#[test]
fn faults_store_after_writes_only_and_flush_nothing() {
    // Before, wanted, whether the fault was a write; whether it changed, whether it was stored.
    let cases = [(RO, RW, true, true, true), (RO & !A, RO, false, true, false), (RW, RW, true, false, false)];
    for (before, wanted, write, changed, stored) in cases {
        for huge in [false, true] {
            let (mut hw, p) = table(&[before]);
            let did = if huge {
                arch().pmdp_set_access_flags(&mut hw, ADDR, p, Pte(wanted), write)
            } else {
                arch().ptep_set_access_flags(&mut hw, ADDR, p, Pte(wanted), write)
            };
            assert_eq!(did, changed);
            let mut expected = vec![Record::Load(p, Pte(before))];
            expected.extend(stored.then_some(Record::Store(p, Pte(wanted))));
            assert_eq!(hw.take_records(), expected);
        }
    }
}

#[test]
fn huge_pages_are_invalid_while_they_change() {
    let huge = Pte(0x8000_0000_0020_08e7);
    let invalid = arch().pmd_mkinvalid(huge);
    let steps = [Record::Load(Ptep(0), huge), Record::Swap(Ptep(0), huge, invalid)];

    let (mut hw, p) = table(&[huge.0]);
    assert_eq!(arch().pmdp_invalidate_ad(&mut hw, ADDR, p), huge);
    assert_eq!(hw.take_records(), steps);

    let (mut hw, p) = table(&[huge.0]);
    assert_eq!(arch().pmdp_invalidate(&mut hw, ADDR, p), huge);
    let all = hw.take_records();
    assert_eq!(all[..2], steps);
    let [Record::Why(why), Record::Tlbi(op)] = all[2..] else { panic!("not one flush, and why: {all:?}") };
    assert_eq!(op.scope, TlbScope::All);
    assert_eq!(why.root().map(|cause| cause.id), Some("flush_ceiling"));
}
