//! Words as kernels of 6.12 and 7.3 showed them, frames apart.

use crate::arch;
use arch_ppc64::Ppc64With64K;
use ptelab_pgtable::{
    Arch, CpuConfig, EntryFormat, KernelRules, Level, PhysAddr, Pte, PteView, SoftLeaf, VmFlags,
};

const READ: VmFlags = VmFlags::READ;
const EXEC: VmFlags = VmFlags::EXEC;
const ALL: VmFlags = READ.union(VmFlags::WRITE).union(EXEC);

const PRIVATE: [(VmFlags, u64); 6] = [
    (VmFlags::empty(), 0x100),
    (READ, 0x104),
    (READ.union(VmFlags::WRITE), 0x104),
    (EXEC, 0x101),
    (READ.union(EXEC), 0x105),
    (ALL, 0x105),
];

#[test]
fn protections() {
    let arch = arch("7.3");
    for (flags, word) in PRIVATE {
        assert_eq!(arch.vm_get_page_prot(flags).0, 1 << 63 | word, "{flags:?}");
    }
    let shared = |flags| arch.vm_get_page_prot(flags | VmFlags::SHARED).0 & 0xfff;
    assert_eq!((shared(READ | VmFlags::WRITE), shared(ALL)), (0x106, 0x107));
}

/// Any protection makes a page young, none too; none stays valid to hardware.
#[test]
fn changes_of_protection() {
    let arch = arch("7.3");
    let to =
        |word: u64, flags| arch.pte_modify(Pte(0xc000_0000_0000_0000 | word), arch.vm_get_page_prot(flags)).0;
    let changed = [READ, VmFlags::empty(), READ | EXEC, EXEC].map(|flags| to(0x386, flags) & 0xfff);
    assert_eq!(changed, [0x384, 0x380, 0x385, 0x381]);
    assert_eq!(to(0x286, VmFlags::empty()), 0xc000_0000_0000_0380);
    assert!(arch.pte_protnone(Pte(0xc000_0000_0000_0380)));
}

/// An entry with nothing but accessed and dirty is none.
#[test]
fn accessed_and_dirty_make_no_entry() {
    let arch = arch("7.3");
    assert!(arch.pte_none(Pte(0x180)) && !arch.pte_none(Pte(0x380)));
    assert!(!arch.is_none(Pte(0x180), Level::Pmd));
}

/// An entry that names a table says how large it is.
#[test]
fn tables_say_their_size() {
    let (arch, large) = (arch("7.3"), Ppc64With64K::new(&CpuConfig::default(), KernelRules::DEFAULT));
    let at = PhysAddr::new(0x1234_5600);
    assert_eq!(large.mk_table(at, Level::Pmd).0, 0x8000_0000_1234_5605);
    assert_eq!(large.decode(Pte(0x8000_0000_1234_5605), Level::Pmd), PteView::Table(at));
    let sizes = [Level::Pmd, Level::Pud, Level::P4d].map(|level| arch.mk_table(at, level).0 & 0xff);
    assert_eq!((sizes, Ppc64With64K::ptrs_per(Level::P4d)), ([9, 9, 9], 1 << 13));
}

#[test]
fn guards() {
    let large = Ppc64With64K::new(&CpuConfig::default(), KernelRules::DEFAULT);
    assert_eq!(arch("7.3").soft_leaf(SoftLeaf::GUARD), Some(Pte(0x4000_0000_0000_401f)));
    assert_eq!(large.soft_leaf(SoftLeaf::GUARD), Some(Pte(0x4000_0000_0004_001f)));
}
