//! Words as kernels of 6.12 and 7.3 showed them, frames apart.

use crate::arch;
use arch_s390x::S390x;
use ptelab_pgtable::{EntryFormat, Level, Pfn, PhysAddr, Pte, PteView, SoftLeaf, VmFlags};

const READ: VmFlags = VmFlags::READ;
const WRITE: VmFlags = READ.union(VmFlags::WRITE);

#[test]
fn protections() {
    let arch = arch("7.3");
    let shared = VmFlags::SHARED;
    for (flags, word) in [
        (VmFlags::empty(), 0x601),
        (READ, 0x711),
        (WRITE, 0x711),
        (READ | VmFlags::EXEC, 0x611),
        (VmFlags::EXEC, 0x611),
        (WRITE | VmFlags::EXEC, 0x611),
        (WRITE | shared, 0x731),
        (WRITE | VmFlags::EXEC | shared, 0x631),
    ] {
        assert_eq!(arch.vm_get_page_prot(flags).0, word, "{flags:?}");
    }
}

/// Written private memory under other protections; an old entry stays old.
#[test]
fn changes_of_protection() {
    let arch = arch("7.3");
    let to = |word, flags| arch.pte_modify(Pte(word), arch.vm_get_page_prot(flags)).0;
    let exec = READ | VmFlags::EXEC;
    assert_eq!([READ, VmFlags::empty(), exec].map(|flags| to(0x13f, flags)), [0x31f, 0x60f, 0x21f]);
    assert_eq!([READ, VmFlags::empty()].map(|flags| to(0x53b, flags)), [0x71b, 0x60b]);
    assert_eq!(arch.pte_mkold(arch.pte_mkclean(Pte(0x13f))).0, 0x733);
    assert_eq!(arch.pte_mkyoung(Pte(0x733)).0, 0x337);
}

/// A segment's bits stand elsewhere in each release.
#[test]
fn huge_pages() {
    for (release, written, read, none) in [("6.12", 0x7503, 0x7701, 0x7620), ("7.3", 0xf503, 0x7703, 0x3623)]
    {
        let arch = arch(release);
        let pmd = arch.pfn_pmd(Pfn::new(0x100), arch.vm_get_page_prot(READ));
        let pmd = arch.pmd_mkwrite(arch.pmd_mkdirty(pmd));
        assert_eq!(pmd.0, 0x10_0000 | written, "{release}");
        let to = |flags| arch.pmd_modify(pmd, arch.vm_get_page_prot(flags)).0;
        assert_eq!([READ, VmFlags::empty()].map(to), [0x10_0000 | read, 0x10_0000 | none], "{release}");
    }
}

#[test]
fn empty_entries_and_tables() {
    let levels = Level::ALL;
    let empty = levels.map(|level| S390x::EMPTY[level as usize].0);
    assert_eq!(empty, [0x400, 0x20, 0x24, 0x28, 0x2c]);
    for (release, of_pages) in [("6.12", 0x1800), ("7.3", 0x1801)] {
        let arch = arch(release);
        assert_eq!(arch.mk_table(PhysAddr::new(0x1800), Level::Pmd).0, of_pages);
        assert_eq!(arch.decode(Pte(of_pages), Level::Pmd), PteView::Table(PhysAddr::new(0x1800)));
        let upper = [Level::Pud, Level::P4d, Level::Pgd];
        let words = upper.map(|level| arch.mk_table(PhysAddr::new(0x4000), level).0);
        assert_eq!(words, [0x4007, 0x400b, 0x400f]);
    }
}

#[test]
fn software_entries() {
    assert_eq!(arch("7.3").soft_leaf(SoftLeaf::GUARD), Some(Pte(0x467c)));
}

#[test]
fn bits_are_named_where_they_stand() {
    let arch = arch("7.3");
    let text = arch.describe(Pte(0x10_f503), Level::Pmd);
    assert_eq!(text, "PRESENT|SOFT_DIRTY|YOUNG|DIRTY|READ|WRITE|NOEXEC|LARGE");
    let fields = arch.fields(Pte(0x10_f503), Level::Pmd);
    let read = fields.iter().find(|field| field.name == "READ").expect("it has that bit");
    assert_eq!(read.mask, 0x4000);
}
