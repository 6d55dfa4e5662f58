//! Words of the generic format, bit by bit.

use arch_generic::Generic;
use ptelab_pgtable::{EntryFormat, Level, Pfn, PgProt, PhysAddr, Pte, SoftFlags, SoftLeaf, VmFlags};

const NONE: u64 = 0b0010_0010;
const READONLY: u64 = 0b0010_0101;
const READONLY_EXEC: u64 = 0b0011_0101;
const SHARED: u64 = 0b0010_1101;
const SHARED_EXEC: u64 = 0b0011_1101;

/// Indexed by read (1), write (2), execute (4), shared (8).
const PROTECTION_MAP: [u64; 16] = [
    NONE,
    READONLY,
    READONLY,
    READONLY,
    READONLY_EXEC,
    READONLY_EXEC,
    READONLY_EXEC,
    READONLY_EXEC,
    NONE,
    READONLY,
    SHARED,
    SHARED,
    READONLY_EXEC,
    READONLY_EXEC,
    SHARED_EXEC,
    SHARED_EXEC,
];

#[test]
fn protections_of_all_mappings() {
    for (flags, expected) in (0u64..).map(VmFlags::from_bits_retain).zip(PROTECTION_MAP) {
        assert_eq!(Generic.vm_get_page_prot(flags), PgProt(expected), "{flags:?}");
    }
}

/// A written page, whose frame is 0x1234, through the protections that a program gives it.
#[test]
fn words_of_a_page() {
    let fresh = Generic.pfn_pte(Pfn::new(0x1234), PgProt(READONLY));
    assert_eq!(fresh, Pte(0x0123_4025));
    let written = Generic.pte_mkwrite(Generic.pte_mkdirty(fresh));
    assert_eq!(written, Pte(0x0123_406d));
    assert_eq!(Generic.pte_modify(written, PgProt(READONLY)), Pte(0x0123_4065));
    assert_eq!(Generic.pte_modify(written, PgProt(NONE)), Pte(0x0123_4062));
    assert_eq!(Generic.pte_mkspecial(fresh), Pte(0x0123_4125));
    assert_eq!(Generic.pte_mkuffd_wp(written), Pte(0x0123_4265));
    assert_eq!(Generic.pfn_pmd(Pfn::new(0x1200), PgProt(READONLY)), Pte(0x0120_00a5));
    assert_eq!(Generic.mk_table(PhysAddr::new(0x0123_4000), Level::Pmd), Pte(0x0123_4001));
}

#[test]
fn modify_replaces_exactly_what_a_protection_decides() {
    assert_eq!(Generic.pte_modify(Pte(u64::MAX), PgProt(0)), Pte(!0b1_1111));
    assert_eq!(Generic.pte_modify(Pte(0), PgProt(u64::MAX)), Pte(0b1_1111));
    assert_eq!(Generic.pgprot_modify(PgProt(u64::MAX), PgProt(READONLY)), PgProt(READONLY));
}

#[test]
fn software_words() {
    let word = |ty, offset, flags| Generic.soft_leaf(SoftLeaf { ty, offset, flags });
    assert_eq!(word(0, 0, SoftFlags::empty()), Some(Pte(0x800)));
    assert_eq!(word(31, 4, SoftFlags::empty()), Some(Pte(0x49f0)));
    let recorded = SoftFlags::YOUNG | SoftFlags::DIRTY;
    assert_eq!(word(27, 1, recorded), Some(Pte(0x0030_0000_0000_19b0)));
    assert_eq!(word(1, 0, SoftFlags::EXCLUSIVE | SoftFlags::UFFD), Some(Pte(0x81c)));
}

#[test]
fn words_are_described_by_their_bits() {
    let describe = |word, level| Generic.describe(Pte(word), level);
    assert_eq!(describe(0x0123_406d, Level::Pte), "PRESENT|READ|WRITE|YOUNG|DIRTY");
    assert_eq!(describe(0x8000_0000_0120_00a5, Level::Pmd), "PRESENT|READ|YOUNG|LEAF|0x8000000000000000");
    assert_eq!(describe(0x0123_4001, Level::Pud), "PRESENT");
    assert_eq!(describe(0x49f0, Level::Pte), "SOFT type=31 offset=0x4");
    assert_eq!(describe(0, Level::Pmd), "none");
}
