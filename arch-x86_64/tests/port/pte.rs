//! Words of x86-64 entries, against tables written down from the SDM, Linux, and dumps of running kernels.

use arch_x86_64::{PteBits, Rules, X86_64};
use ptelab_pgtable::{Access, PhysAddr, PteView};
use ptelab_pgtable::{
    Arch, CpuConfig, EntryFormat, KernelRules, Level, Pfn, PgProt, Pte, SoftFlags, SoftLeaf, VmFlags, Walk,
    marker, swp_type,
};

fn x86_64(rules: &'static KernelRules) -> X86_64 {
    X86_64::new(&CpuConfig::default(), rules)
}

fn without_feature(name: &str) -> X86_64 {
    X86_64::new(&CpuConfig::default().with(name, false), KernelRules::DEFAULT)
}

const NONE: u64 = 0x120;
const READONLY: u64 = 0x8000_0000_0000_0025;
const READONLY_EXEC: u64 = 0x25;
const SHARED: u64 = 0x8000_0000_0000_0027;
const SHARED_EXEC: u64 = 0x27;

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
    let arch = x86_64(KernelRules::DEFAULT);
    for (flags, expected) in (0u64..).map(VmFlags::from_bits_retain).zip(PROTECTION_MAP) {
        assert_eq!(arch.vm_get_page_prot(flags), PgProt(expected), "{flags:?}");
        for key in 0..16 {
            let keyed = PgProt(expected | u64::from(key) << 59);
            assert_eq!(arch.vm_get_page_prot(flags.with_pkey(key)), keyed, "{flags:?} {key}");
            assert_eq!(without_feature("pku").vm_get_page_prot(flags.with_pkey(key)), PgProt(expected));
        }
    }
}

#[test]
fn execute_only_memory_takes_the_first_key() {
    assert_eq!(x86_64(KernelRules::DEFAULT).execute_only_pkey(), Some(1));
    assert_eq!(without_feature("pku").execute_only_pkey(), None);
}

/// `RW`, `DIRTY` and `SAVED_DIRTY`, in this order.
fn word(state: &str) -> Pte {
    let bits = [PteBits::RW, PteBits::DIRTY, PteBits::SAVED_DIRTY].into_iter().zip(state.chars());
    Pte(bits.fold(0x8000_0000_0123_4025, |word, (bit, on)| word | if on == '1' { bit.bits() } else { 0 }))
}

/// A row gives the three bits before, and after `wrprotect`, `mkdirty` (soft-dirty left out), `mkclean`, `mkwrite`, and
/// `modify` to read-only and to writable.
const DIRTY_STATES: [(&str, [&str; 6]); 8] = [
    ("000", ["000", "001", "000", "100", "000", "100"]),
    ("001", ["001", "001", "000", "110", "001", "110"]),
    // A shadow stack's word: only `mkdirty` and `wrprotect` make an ordinary page of it.
    ("010", ["001", "001", "000", "110", "010", "110"]),
    ("011", ["001", "001", "000", "110", "011", "110"]),
    ("100", ["000", "110", "100", "100", "000", "100"]),
    ("101", ["001", "111", "100", "110", "001", "101"]),
    ("110", ["001", "110", "100", "110", "001", "110"]),
    ("111", ["001", "111", "100", "110", "001", "111"]),
];

#[test]
fn dirtiness_is_saved_from_entries_that_are_not_writable() {
    let arch = x86_64(KernelRules::DEFAULT);
    for (before, after) in DIRTY_STATES {
        let pte = word(before);
        let seen = [
            arch.pte_wrprotect(pte),
            arch.pte_clear_soft_dirty(arch.pte_mkdirty(pte)),
            arch.pte_mkclean(pte),
            arch.pte_mkwrite(pte),
            arch.pte_modify(pte, PgProt(READONLY)),
            arch.pte_modify(pte, PgProt(SHARED)),
        ];
        assert_eq!(seen, after.map(word), "{before}");
        assert_eq!(arch.pte_dirty(pte), before[1..] != *"00", "{before}");
    }
}

#[test]
fn mkdirty_is_soft_dirty_too() {
    let soft = |arch: &X86_64, pte| arch.pte_soft_dirty(arch.pte_mkdirty(pte));
    assert!(
        soft(&x86_64(KernelRules::DEFAULT), word("100")) && soft(&x86_64(KernelRules::DEFAULT), word("000"))
    );
    assert!(!soft(&without_feature("soft_dirty"), word("100")));
    assert_eq!(without_feature("soft_dirty").pte_mkdirty(word("100")), word("110"));
}

/// A dirty page through the protections that a program gives it; the frame is left out.
#[test]
fn words_seen_on_running_kernels() {
    let arch = x86_64(KernelRules::DEFAULT);
    let bits = |pte: Pte| pte.0 & !arch.pfn_mask(Pte::NONE, Level::Pte);
    let page = |prot| arch.pfn_pte(Pfn::new(0x1234), PgProt(prot));

    let written = arch.pte_mkwrite(arch.pte_mkdirty(page(READONLY)));
    assert_eq!(bits(written), 0x8000_0000_0000_0867);
    let read = arch.pte_modify(written, PgProt(READONLY));
    assert_eq!(bits(read), 0x8400_0000_0000_0825);
    let none = arch.pte_modify(written, PgProt(NONE));
    assert_eq!(none, Pte(0x0400_0000_0000_0920 | arch.pfn_mask(Pte::NONE, Level::Pte) ^ 0x123_4000));
    assert_eq!(arch.pte_modify(none, PgProt(READONLY)), read);
    assert_eq!(arch.pte_mkwrite(read), written);
    assert_eq!(bits(arch.pte_modify(none, PgProt(READONLY_EXEC))), 0x0400_0000_0000_0825);
    assert_eq!(bits(arch.pte_mkold(read)), 0x8400_0000_0000_0805);
    assert_eq!(bits(arch.pte_mkspecial(page(READONLY))), 0x8000_0000_0000_0225);
    assert_eq!(arch.mk_table(PhysAddr::new(0x0123_4000), Level::Pmd), Pte(0x0123_4067));
}

/// A written huge page made read-only, writable again, and inaccessible; old kernels forget that it was written.
#[test]
fn huge_pages_keep_their_dirtiness_in_new_kernels() {
    let table = [
        (false, [0x8000_0000_0000_08a5, 0x8000_0000_0000_08a7, 0x0000_0000_0000_09a0]),
        (true, [0x8400_0000_0000_08a5, 0x8000_0000_0000_08e7, 0x0400_0000_0000_09a0]),
    ];
    for (keeps, expected) in table {
        let arch = x86_64(KernelRules::DEFAULT.with(Rules::pmd_modify_keeps_dirty, keeps));
        let huge = arch.pfn_pmd(Pfn::new(0x4_5600), PgProt(READONLY));
        let huge = arch.pte_mkwrite(arch.pte_mkdirty(huge));
        assert_eq!(huge, Pte(0x8000_0000_4560_08e7));
        let read = arch.pmd_modify(huge, PgProt(READONLY));
        let write = arch.pte_mkwrite(arch.pmd_modify(read, PgProt(READONLY)));
        let none = arch.pmd_modify(write, PgProt(NONE));
        assert_eq!(
            [read, write, none].map(|pmd| pmd.0 & !arch.pfn_mask(Pte::NONE, Level::Pte)),
            expected,
            "{keeps}"
        );
        assert_eq!([read, write, none].map(|pmd| arch.pte_pfn(pmd)), [Pfn::new(0x4_5600); 3]);
    }
}

/// A dirtiness that is saved already is not hardware's, and no kernel loses it.
#[test]
fn old_kernels_lose_hardware_dirtiness_alone() {
    let arch = x86_64(KernelRules::DEFAULT.with(Rules::pmd_modify_keeps_dirty, false));
    let protected = arch.pte_wrprotect(Pte(0x8000_0000_4560_08e7));
    assert_eq!(arch.pmd_modify(protected, PgProt(SHARED)), Pte(0x8000_0000_4560_08e7));
}

#[test]
fn frames_of_entries_that_are_not_present_are_inverted() {
    let arch = x86_64(KernelRules::DEFAULT);
    let none = arch.pfn_pte(Pfn::new(0x1), PgProt(NONE));
    assert_eq!(none, Pte(0x000f_ffff_ffff_e120));
    assert_eq!(arch.pfn_step(none), 0x1000u64.wrapping_neg());
    assert_eq!(arch.pte_advance_pfn(none, 2), Pte(0x000f_ffff_ffff_c120));
    assert_eq!(arch.pfn_step(arch.pfn_pte(Pfn::new(0x1), PgProt(READONLY))), 0x1000);
    assert_eq!(arch.pfn_pte(Pfn::new(0x1), PgProt(0)), Pte(0x1000), "an empty protection is no PROT_NONE");

    let huge = arch.pfn_pmd(Pfn::new(0x200), PgProt(NONE));
    assert_eq!(huge, Pte(0x000f_ffff_ffc0_01a0));
    assert_eq!(arch.pmd_modify(huge, PgProt(READONLY)), Pte(0x8000_0000_0020_00a5));
    assert_eq!(arch.pmd_mkinvalid(huge), Pte(0x000f_ffff_ffc0_00a0));
    assert_eq!(arch.pmd_mkinvalid(Pte(0x8000_0000_0020_00e7)), Pte(0x800f_ffff_ffc0_00e6));
}

/// Bits that a changed protection keeps: PWT, PCD, accessed, dirty, PAT or PSE, special, uffd, soft-dirty, frame, saved dirty.
#[test]
fn modify_replaces_exactly_what_a_protection_decides() {
    let kept =
        [3, 4, 5, 6, 7, 9, 10, 11, 58].iter().fold(0x000f_ffff_ffff_f000u64, |mask, bit| mask | 1 << bit);
    let arch = x86_64(KernelRules::DEFAULT);
    // Writable before and after, so that no dirtiness moves; present, so that no frame is inverted.
    let all = Pte(u64::MAX);
    assert_eq!(arch.pte_modify(all, PgProt(0x3)), Pte(kept | 0x3));
    assert_eq!(arch.pmd_modify(all, PgProt(0x3)), Pte(kept | 0x3));
    assert_eq!(arch.pte_modify(Pte(0x3), PgProt(u64::MAX)), Pte(!kept));
    assert_eq!(arch.pgprot_modify(PgProt(u64::MAX), PgProt(0)), PgProt(kept));
    assert_eq!(arch.pgprot_modify(PgProt(0), PgProt(u64::MAX)), PgProt(!kept));
    let kept = kept & !PteBits::SOFT_DIRTY.bits();
    assert_eq!(without_feature("soft_dirty").pte_modify(all, PgProt(0x3)), Pte(kept | 0x3));
}

/// An erratum sets accessed and dirty in empty entries.
#[test]
fn stray_accessed_and_dirty_are_nothing() {
    let arch = x86_64(KernelRules::DEFAULT);
    for stray in [0x20, 0x40, 0x60] {
        assert!(arch.pte_none(Pte(stray)));
        assert_eq!(arch.decode(Pte(stray), Level::Pte), PteView::None);
    }
    assert!(!arch.pte_none(Pte(NONE)));
}

/// What a key permits is not in its entry.
#[test]
fn keys_are_not_the_walkers_to_ask() {
    let arch = x86_64(KernelRules::DEFAULT);
    let keyed = Pte(READONLY | 5 << 59 | 0x1000);
    assert_eq!(arch.pte_pkey(keyed), 5);
    assert_eq!(arch.walk(keyed, Level::Pte, Access::Read), Walk::Allowed(keyed));
}

#[test]
fn software_words() {
    let arch = x86_64(KernelRules::DEFAULT);
    let word = |ty, offset, flags| arch.soft_leaf(SoftLeaf { ty, offset, flags }).map(|pte| pte.0);
    let no = SoftFlags::empty();
    assert_eq!(arch.soft_leaf(SoftLeaf::GUARD), Some(Pte(0xffff_ffff_ffff_f600)));
    assert_eq!(word(swp_type::MARKER, marker::UFFD_WP, no), Some(0xffff_ffff_ffff_fc00));
    assert_eq!(word(swp_type::MARKER, marker::POISONED, no), Some(0xffff_ffff_ffff_fa00));
    let bits = SoftFlags::EXCLUSIVE | SoftFlags::SOFT_DIRTY | SoftFlags::UFFD;
    assert_eq!(word(0, 1, bits), Some(0x07ff_ffff_ffff_fc0e));
    assert_eq!(word(swp_type::MIGRATION_WRITE, 0, no), Some(0xdfff_ffff_ffff_fe00));
    let recorded = SoftFlags::YOUNG | SoftFlags::DIRTY;
    assert_eq!(word(swp_type::MIGRATION_WRITE, 0, recorded), Some(0xdfff_e7ff_ffff_fe00));
    assert_eq!(word(swp_type::MIGRATION_READ, 1 << 34, no), None, "frames end there");
    assert_eq!(word(swp_type::HWPOISON, 0, recorded), None);
    assert_eq!(word(swp_type::HWPOISON, 0, no), Some(0xc7ff_ffff_ffff_fe00));
    assert_eq!(word(0, (1 << 50) - 1, no), None, "that is the empty word");
    let soft_dirty = SoftLeaf { ty: 0, offset: 1, flags: SoftFlags::SOFT_DIRTY };
    assert_eq!(without_feature("soft_dirty").soft_leaf(soft_dirty), None);
}

#[test]
fn words_are_described_by_their_bits() {
    let arch = x86_64(KernelRules::DEFAULT);
    let describe = |word, level| arch.describe(Pte(word), level);
    assert_eq!(
        describe(0x8400_0000_0123_4825, Level::Pte),
        "PRESENT|USER|ACCESSED|SOFT_DIRTY|SAVED_DIRTY|NX"
    );
    assert_eq!(describe(0x1200_0000_0020_01a0, Level::Pmd), "ACCESSED|PSE|PROTNONE|0x200000000000000 pkey=2");
    assert_eq!(describe(0x0123_4067, Level::Pmd), "PRESENT|RW|USER|ACCESSED|DIRTY");
    assert_eq!(describe(0xffff_ffff_ffff_f600, Level::Pte), "type=31 offset=0x4");
    assert_eq!(describe(0x07ff_ffff_ffff_fc0e, Level::Pte), "SOFT_DIRTY|UFFD|EXCLUSIVE type=0 offset=0x1");
    assert_eq!(describe(0x60, Level::Pte), "none");
}
