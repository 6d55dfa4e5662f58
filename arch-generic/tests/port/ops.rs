//! Linux's fallbacks on this port: the primitives that they take, in order.

use arch_generic::Generic;
use ptelab_pgtable::{Cydp, EntryFormat, Pte, PteOps, Ptep, Record, RecordingHw, TableMemory, VirtAddr};

const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);
/// A written page of a private, writable mapping, and the same after `mprotect(PROT_READ)`.
const RW: u64 = 0x0123_406d;
const RO: u64 = 0x0123_4065;
const YOUNG: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;

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
    std::array::from_fn(|i| bits[i] + i as u64 * Generic::PAGE_SIZE)
}

#[test]
fn clearing_is_a_load_and_a_store_an_entry() {
    let words = run([RW; 3]);
    let steps = |p: Ptep, n: usize| {
        let of = |i: usize| [Record::Load(p.add(i), Pte(words[i])), Record::Store(p.add(i), Pte::NONE)];
        (0..n).flat_map(of).collect::<Vec<_>>()
    };
    let (mut hw, p) = table(&words);
    assert_eq!(Generic.ptep_get_and_clear(&mut hw, ADDR, p), Pte(words[0]));
    assert_eq!(hw.take_records(), steps(p, 1));

    let (mut hw, p) = table(&words);
    assert_eq!(Generic.get_and_clear_ptes(&mut hw, ADDR, p, 3), Pte(words[0]));
    assert_eq!(hw.take_records(), steps(p, 3));

    let (mut hw, p) = table(&words);
    Generic.clear_ptes(&mut hw, ADDR, p, 3);
    assert_eq!(hw.take_records(), steps(p, 3));

    let (mut hw, p) = table(&words);
    assert_eq!(Generic.pmdp_get_and_clear(&mut hw, ADDR, p), Pte(words[0]));
    assert_eq!(hw.take_records(), steps(p, 1));
}

#[test]
fn runs_merge_what_their_entries_recorded() {
    let clean = RW & !(YOUNG | DIRTY);
    for (first, later) in [(0, 0), (YOUNG, 0), (0, YOUNG), (0, DIRTY), (DIRTY, YOUNG), (0, YOUNG | DIRTY)] {
        let (mut hw, p) = table(&run([clean | first, clean, clean | later, clean]));
        assert_eq!(Generic.get_and_clear_ptes(&mut hw, ADDR, p, 4), Pte(clean | first | later));
    }
}

#[test]
fn write_protection_is_a_load_and_a_store() {
    let (mut hw, p) = table(&run([RW, RO]));
    Generic.wrprotect_ptes(&mut hw, ADDR, p, 2);
    let [first, second] = run([RW, RO]).map(Pte);
    let expected = [
        Record::Load(p, first),
        Record::Store(p, Pte(RO)),
        Record::Load(p.add(1), second),
        Record::Store(p.add(1), second),
    ];
    assert_eq!(hw.take_records(), expected);
}

#[test]
fn runs_are_made_old_and_clean_entry_by_entry() {
    let cases = [
        (Cydp::CLEAR_YOUNG, RW & !YOUNG, 4),
        (Cydp::CLEAR_DIRTY, RW & !DIRTY, 6),
        (Cydp::all(), RW & !(YOUNG | DIRTY), 6),
    ];
    for (flags, after, steps) in cases {
        let (mut hw, p) = table(&run([RW; 2]));
        Generic.clear_young_dirty_ptes(&mut hw, ADDR, p, 2, flags);
        assert_eq!([hw.peek(p), hw.peek(p.add(1))], run([after; 2]).map(Pte), "{flags:?}");
        assert_eq!(hw.take_records().len(), steps, "{flags:?}");
    }
}

#[test]
fn faults_store_and_flush_what_changed() {
    for (before, wanted, changed) in [(RO, RW, true), (RO & !YOUNG, RO, true), (RW, RW, false)] {
        let (mut hw, p) = table(&[before]);
        assert_eq!(Generic.ptep_set_access_flags(&mut hw, ADDR, p, Pte(wanted), false), changed);
        assert_eq!(hw.peek(p), Pte(wanted));
        let steps = hw.take_records();
        assert_eq!(steps.len(), if changed { 3 } else { 1 });
        assert_eq!(matches!(steps.last(), Some(Record::Tlbi(_))), changed);
    }
}
