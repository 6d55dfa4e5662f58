//! Words as kernels of 7.2 and 7.3 showed them, frames apart.

use crate::arch;
use ptelab_pgtable::{Access, EntryFormat, Level, Pfn, PhysAddr, Pte, PteView, VmFlags, Walk};

const NX: u64 = 1 << 62;
const WRITTEN: u64 = NX | 0x39f;

#[test]
fn protections() {
    let prot = |flags| arch().vm_get_page_prot(flags).0;
    let (read, write, exec) = (VmFlags::READ, VmFlags::WRITE, VmFlags::EXEC);
    assert_eq!(prot(VmFlags::empty()), 3 << 61 | 0x41c);
    assert_eq!([read, read | write].map(prot), [NX | 0x9d; 2]);
    assert_eq!([exec, read | exec, read | write | exec].map(prot), [0x9d; 3]);
    let shared = read | write | VmFlags::SHARED;
    assert_eq!([shared, shared | exec].map(prot), [NX | 0x19d, 0x19d]);
}

/// Written private memory under other protections: none makes it old, and what was written is remembered by software alone.
#[test]
fn changes_of_protection() {
    let arch = arch();
    let to = |word, flags| arch.pte_modify(Pte(word), arch.vm_get_page_prot(flags)).0;
    let (read, exec) = (VmFlags::READ, VmFlags::EXEC);
    assert_eq!(to(WRITTEN, read), NX | 0x29d);
    assert_eq!(to(WRITTEN, VmFlags::empty()), 3 << 61 | 0x61c);
    assert_eq!([read | exec, exec].map(|flags| to(WRITTEN, flags)), [0x29d; 2]);
    assert_eq!(to(3 << 61 | 0x61c, read), NX | 0x29d, "young again");
    let shared = read | VmFlags::WRITE | VmFlags::SHARED;
    let clean_to_hardware = to(WRITTEN, shared);
    assert_eq!(clean_to_hardware, NX | 0x39d);
    let written = arch.walk(Pte(clean_to_hardware), Level::Pte, Access::Write);
    assert_eq!(written, Walk::Allowed(Pte(WRITTEN)), "the handler of stores sets it");
}

#[test]
fn huge_leaves_and_tables() {
    let arch = arch();
    let rw = VmFlags::READ | VmFlags::WRITE;
    let leaf = arch.pfn_pmd(Pfn::new(2048), arch.vm_get_page_prot(rw));
    let leaf = arch.pmd_mkwrite(arch.pmd_mkdirty(leaf));
    assert_eq!(leaf.0, NX | 0x0200_03df);
    let none = arch.pmd_modify(leaf, arch.vm_get_page_prot(VmFlags::empty()));
    assert_eq!(none.0, 3 << 61 | 0x0200_065c);
    let table = arch.mk_table(PhysAddr::new(0x1234_4000), Level::Pmd);
    assert_eq!(table, Pte(0x9000_0000_1234_4000));
    let empty = arch_loong64::Loong64::EMPTY;
    assert!(empty[1] != empty[2] && arch.decode(empty[1], Level::Pmd) == PteView::None);
}
