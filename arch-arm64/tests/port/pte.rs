//! Words of arm64 entries, against tables written down from the Arm ARM, Linux, and dumps of running kernels.

use arch_arm64::{Arm64, PteBits, Rules};
use ptelab_pgtable::{
    Arch, CpuConfig, EntryFormat, KernelRules, Level, PgProt, PhysAddr, Pte, PteView, SoftFlags, SoftLeaf,
    VmFlags, marker, swp_type,
};

fn arm64(rules: &'static KernelRules) -> Arm64 {
    Arm64::new(&CpuConfig::default(), rules)
}

fn with_feature(name: &str, on: bool) -> Arm64 {
    Arm64::new(&CpuConfig::default().with(name, on), KernelRules::DEFAULT)
}

fn page_prot(arch: &Arm64, flags: VmFlags) -> u64 {
    arch.vm_get_page_prot(flags).0
}

const NONE: u64 = 0x0060_0000_0000_0f82;
const READONLY: u64 = 0x0060_0000_0000_0fc3;
const READONLY_EXEC: u64 = 0x0020_0000_0000_0fc3;
const SHARED: u64 = 0x0068_0000_0000_0fc3;
const SHARED_EXEC: u64 = 0x0028_0000_0000_0fc3;
const EXECONLY: u64 = 0x0020_0000_0000_0f83;

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
    let (plain, epan) = (with_feature("epan", false), with_feature("epan", true));
    for (flags, expected) in (0u64..).map(VmFlags::from_bits_retain).zip(PROTECTION_MAP) {
        assert_eq!(page_prot(&plain, flags), expected, "{flags:?}");
        let exec_only = flags.difference(VmFlags::SHARED) == VmFlags::EXEC;
        let expected = if exec_only { EXECONLY } else { expected };
        assert_eq!(page_prot(&epan, flags), expected, "{flags:?} with execute-only memory");
    }
}

#[test]
fn protections_carry_bti_and_keys() {
    let code = VmFlags::READ | VmFlags::EXEC;
    let (plain, poe) = (with_feature("poe", false), with_feature("poe", true));
    assert_eq!(page_prot(&plain, code | VmFlags::ARM64_BTI), 0x0024_0000_0000_0fc3);
    assert_eq!(page_prot(&plain, code.with_pkey(5)), READONLY_EXEC);
    assert_eq!(page_prot(&poe, code.with_pkey(5)), 0x5020_0000_0000_0fc3);
    assert_eq!(page_prot(&poe, VmFlags::empty().with_pkey(7)), 0x7060_0000_0000_0f82);
}

#[test]
fn bti_is_asked_for_and_cleared() {
    let (off, on) = (with_feature("bti", false), with_feature("bti", true));
    assert_eq!((off.arch_prot_bits(), on.arch_prot_bits()), (0, 0x10));
    assert_eq!(off.arch_calc_vm_prot_bits(0x11), VmFlags::empty());
    assert_eq!(on.arch_calc_vm_prot_bits(0x11), VmFlags::ARM64_BTI);
    assert_eq!(on.arch_calc_vm_prot_bits(0x01), VmFlags::empty());
    assert_eq!(Arm64::VM_ARCH_CLEAR, VmFlags::ARM64_BTI);
}

#[test]
fn execute_only_memory_is_not_read() {
    assert_eq!(with_feature("epan", false).vm_read_flags(), VmFlags::ACCESS);
    assert_eq!(with_feature("epan", true).vm_read_flags(), VmFlags::READ | VmFlags::WRITE);
}

/// Whether `DBM`, `RDONLY` and `DIRTY` are set, in this order.
type State = [bool; 3];

fn word(state: State) -> Pte {
    let bits = [PteBits::DBM, PteBits::RDONLY, PteBits::DIRTY];
    let base = 0x0060_0000_0123_4f43 & !PteBits::RDONLY.bits();
    Pte(bits.iter().zip(state).fold(base, |w, (bit, on)| w | if on { bit.bits() } else { 0 }))
}

fn bits(s: &str) -> State {
    let mut chars = s.chars();
    std::array::from_fn(|_| chars.next() == Some('1'))
}

/// A row gives the three bits before, whether that is dirty, and after `wrprotect`, `mkdirty`, `mkclean`, and `mkwrite`
/// of newer and of older kernels.
const DIRTY_STATES: [(&str, bool, [&str; 5]); 8] = [
    ("000", false, ["010", "001", "010", "100", "100"]),
    ("001", true, ["011", "001", "010", "101", "101"]),
    ("010", false, ["010", "011", "010", "110", "100"]),
    ("011", true, ["011", "011", "010", "101", "101"]),
    ("100", true, ["011", "101", "110", "100", "100"]),
    ("101", true, ["011", "101", "110", "101", "101"]),
    ("110", false, ["010", "101", "110", "110", "100"]),
    ("111", true, ["011", "101", "110", "101", "101"]),
];

#[test]
fn write_permission_and_dirtiness_share_three_bits() {
    let [new, old] =
        [false, true].map(|dirties| arm64(KernelRules::DEFAULT.with(Rules::mkwrite_dirties_clean, dirties)));
    for (before, dirty, after) in DIRTY_STATES {
        let pte = word(bits(before));
        assert_eq!(new.pte_dirty(pte), dirty, "{before}");
        let seen = [
            new.pte_wrprotect(pte),
            new.pte_mkdirty(pte),
            new.pte_mkclean(pte),
            new.pte_mkwrite(pte),
            old.pte_mkwrite(pte),
        ];
        assert_eq!(seen, after.map(|s| word(bits(s))), "{before}");
    }
}

#[test]
fn older_kernels_dirty_a_clean_page_by_making_it_writable() {
    for dirties in [true, false] {
        let arch = arm64(KernelRules::DEFAULT.with(Rules::mkwrite_dirties_clean, dirties));
        assert_eq!(arch.pte_dirty(arch.pte_mkwrite(Pte(READONLY))), dirties);
    }
}

/// A dirty page through the protections that a program gives it; the frame is left out.
#[test]
fn words_seen_on_running_kernels() {
    let arch = arm64(KernelRules::DEFAULT);
    let none = VmFlags::empty();
    let prot = |flags| arch.vm_get_page_prot(flags);
    let read_write = prot(VmFlags::READ | VmFlags::WRITE);

    let written = arch.pte_mkwrite(arch.pte_mkdirty(Pte(read_write.0)));
    assert_eq!(written, Pte(0x00e8_0000_0000_0f43));
    let read = arch.pte_modify(written, prot(VmFlags::READ));
    assert_eq!(read, Pte(0x00e0_0000_0000_0fc3));
    assert_eq!(arch.pte_modify(written, prot(none)), Pte(0x00e0_0000_0000_0f82));
    assert_eq!(arch.pte_modify(arch.pte_modify(written, prot(none)), read_write), read);
    assert_eq!(arch.pte_mkwrite(read), written);
    assert_eq!(arch.pte_modify(read, prot(VmFlags::READ | VmFlags::EXEC)), Pte(0x00a0_0000_0000_0fc3));
    assert_eq!(arch.pte_mkold(arch.pte_wrprotect(written)), Pte(0x00e0_0000_0000_0bc3));
    assert_eq!(arch.pte_mkspecial(Pte(read_write.0)), Pte(0x0160_0000_0000_0fc3));

    let huge = arch.pmd_mkhuge(written);
    assert_eq!(huge, Pte(0x00e8_0000_0000_0f41));
    assert_eq!(arch.pmd_modify(huge, prot(none)), Pte(0x00e0_0000_0000_0f80));
    assert_eq!(arch.pmd_mkhuge(Pte(read_write.0)), Pte(0x0060_0000_0000_0fc1));
    assert_eq!(arch.pmd_mkinvalid(huge), Pte(0x00e8_0000_0000_0f40));
    assert!(
        arch.pte_protnone(arch.pmd_modify(huge, prot(none))) && !arch.pte_protnone(arch.pmd_mkinvalid(huge))
    );
    assert_eq!(arch.mk_table(PhysAddr::new(0x1234_5000), Level::Pmd), Pte(0x0800_0000_1234_5403));
}

/// Bits that a protection decides, by number: valid, memory attributes, AP, nG, GP, DBM, PXN, UXN, overlay.
const MODIFIED: [u32; 14] = [0, 2, 3, 4, 6, 7, 11, 50, 51, 53, 54, 60, 61, 62];

#[test]
fn modify_replaces_exactly_what_a_protection_decides() {
    let arch = arm64(KernelRules::DEFAULT);
    let mask = MODIFIED.iter().fold(0u64, |mask, bit| mask | 1 << bit);
    let ones_of_clean = !(PteBits::DIRTY.bits());
    // RDONLY keeps the entry clean, so no rule about dirtiness meddles.
    let old = Pte(ones_of_clean);
    assert_eq!(arch.pte_modify(old, PgProt(0)), Pte(ones_of_clean & !mask));
    assert_eq!(arch.pte_modify(Pte(0), PgProt(u64::MAX)), Pte(mask));
}

#[test]
fn modify_keeps_dirtiness_and_gives_it_to_hardware() {
    let arch = arm64(KernelRules::DEFAULT);
    for (before, dirty, _) in DIRTY_STATES {
        let read_only = arch.pte_modify(word(bits(before)), PgProt(READONLY));
        assert_eq!(read_only, word(if dirty { bits("011") } else { bits("010") }), "{before}");
        let writable = arch.pte_modify(word(bits(before)), PgProt(SHARED));
        assert_eq!(writable, word(if dirty { bits("101") } else { bits("110") }), "{before}");
    }
}

#[test]
fn software_words() {
    let arch = arm64(KernelRules::DEFAULT);
    let word = |ty, offset, flags| arch.soft_leaf(SoftLeaf { ty, offset, flags }).map(|pte| pte.0);
    let no = SoftFlags::empty();
    assert_eq!(arch.soft_leaf(SoftLeaf::GUARD), Some(Pte(0x47c0)));
    assert_eq!(word(swp_type::MARKER, marker::UFFD_WP, no), Some(0x17c0));
    assert_eq!(word(swp_type::MARKER, marker::POISONED, no), Some(0x27c0));
    assert_eq!(word(0, 1, SoftFlags::EXCLUSIVE | SoftFlags::UFFD), Some(0x100c));
    assert_eq!(word(swp_type::MIGRATION_WRITE, 0x4_5678, no), Some(0x4567_86c0));
    let recorded = SoftFlags::YOUNG | SoftFlags::DIRTY;
    assert_eq!(word(swp_type::MIGRATION_WRITE, 0x4_5678, recorded), Some(0x0003_0000_4567_86c0));
    assert_eq!(word(swp_type::MIGRATION_READ, 1 << 36, no), None, "frames end there");
    assert_eq!(word(swp_type::HWPOISON, 0, recorded), None);
    assert_eq!(word(0, 1, SoftFlags::SOFT_DIRTY), None);
    assert_eq!(word(0, 0, no), None);
}

#[test]
fn words_are_described_by_their_bits() {
    let arch = arm64(KernelRules::DEFAULT);
    let describe = |word, level| arch.describe(Pte(word), level);
    assert_eq!(
        describe(0x00f8_0000_4567_0f43, Level::Pte),
        "VALID|PAGE|USER|AF|NG|DBM|CONT|PXN|UXN|DIRTY SH=3 AttrIndx=0"
    );
    assert_eq!(
        describe(0xb000_0000_0000_0807, Level::Pte),
        "VALID|PAGE|NG|0x8000000000000000 SH=0 AttrIndx=1 POIndex=3"
    );
    assert_eq!(describe(0x0800_0000_1234_5403, Level::Pmd), "VALID|TABLE|AF|PXN_TABLE");
    assert_eq!(describe(0x47c0, Level::Pte), "type=31 offset=0x4");
    assert_eq!(describe(0x100c, Level::Pte), "EXCLUSIVE|UFFD type=0 offset=0x1");
    assert_eq!(describe(0, Level::Pte), "none");
    assert_eq!(arch.decode(Pte(0), Level::Pmd), PteView::None);
}

#[test]
fn only_cpus_that_set_the_access_flag_want_old_pages() {
    for hafdbs in [false, true] {
        assert_eq!(with_feature("hafdbs", hafdbs).wants_old_prefaulted_pte(), hafdbs);
    }
}
