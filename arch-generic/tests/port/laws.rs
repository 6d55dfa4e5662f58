//! Laws that hold in every port, under every kernel's rules and with each CPU feature on and off.

use arch_generic::Generic as Port;
use proptest::prelude::*;
use ptelab_pgtable::{
    Access, Arch, CpuConfig, EntryFormat, Fpb, KernelRules, Level, Mapping, Pfn, Pte, PteAttrs, PteView,
    SoftFlags, SoftLeaf, VmFlags, Walk,
};

/// The offset at which a software entry of type 0 without flags would be the empty entry.
const EMPTY_SOFT_OFFSET: Option<u64> = None;

/// The port on one CPU, under one kernel's rules.
struct Variant {
    port: Port,
    rules: &'static KernelRules,
}

impl Variant {
    /// Which mappings have a word.
    fn is_expressible(&self, m: Mapping) -> bool {
        let is = |attr| m.attrs.contains(attr);
        let access = m.attrs & (PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC);
        let allowed = [
            PteAttrs::USER,
            PteAttrs::USER | PteAttrs::WRITE,
            PteAttrs::USER | PteAttrs::EXEC,
            PteAttrs::USER | PteAttrs::WRITE | PteAttrs::EXEC,
            PteAttrs::EXEC,
        ];
        let sensible = if is(PteAttrs::PROTNONE) { access.is_empty() } else { allowed.contains(&access) };
        sensible && !is(PteAttrs::SOFT_DIRTY) && !is(PteAttrs::CONT) && m.pkey == 0
    }

    /// Whether the walker sets accessed and dirty, rather than to fault for software to do it.
    fn walker_sets(&self) -> bool {
        true
    }

    /// Whether making a clean entry writable makes it dirty.
    fn mkwrite_dirties(&self) -> bool {
        false
    }
}

fn variants() -> Vec<Variant> {
    let mut cpus = vec![CpuConfig::default()];
    cpus.extend(Port::FEATURES.iter().map(|f| CpuConfig::default().with(f.name, !f.default)));
    let of_cpu = |cpu: &CpuConfig, rules| Variant { port: Port::new(cpu, rules), rules };
    KernelRules::ALL.into_iter().flat_map(|rules| cpus.iter().map(move |cpu| of_cpu(cpu, rules))).collect()
}

fn all_attrs() -> impl Iterator<Item = PteAttrs> {
    (0..=PteAttrs::all().bits()).filter_map(PteAttrs::from_bits)
}

/// Some mappings with all subsets of attributes, whether or not a word says them.
fn mappings() -> impl Iterator<Item = Mapping> {
    let frames = [(Level::Pte, 0x1), (Level::Pte, 0x4_5671), (Level::Pmd, 0x200), (Level::Pmd, 0x12_3400)];
    all_attrs().flat_map(move |attrs| {
        frames.into_iter().flat_map(move |(level, pfn)| {
            [0, 1, 7, 15, 16].map(|pkey| Mapping { pfn: Pfn::new(pfn), level, attrs, pkey })
        })
    })
}

/// Every mapping that has a word, with the word.
fn encoded(v: &Variant) -> impl Iterator<Item = (Mapping, Pte)> + '_ {
    mappings().filter_map(|m| Some((m, v.port.encode(PteView::Present(m), m.level)?)))
}

fn mapping_of(v: &Variant, pte: Pte, level: Level) -> Mapping {
    match v.port.decode(pte, level) {
        PteView::Present(m) => m,
        other => panic!("{pte:?} is no mapping but {other:?}"),
    }
}

#[test]
fn decode_undoes_encode() {
    for v in variants() {
        for m in mappings() {
            let word = v.port.encode(PteView::Present(m), m.level);
            assert_eq!(word.is_some(), v.is_expressible(m), "{m:?}");
            if let Some(word) = word {
                assert_eq!(v.port.decode(word, m.level), PteView::Present(m), "{word:?}");
                assert!(!v.port.describe(word, m.level).is_empty());
            }
        }
    }
}

#[test]
fn frames_and_levels_that_do_not_fit_have_no_word() {
    let v = &variants()[0];
    let attrs = PteAttrs::USER | PteAttrs::YOUNG;
    let encode = |level, at, pfn| {
        let mapping = Mapping { pfn: Pfn::new(pfn), level, attrs, pkey: 0 };
        v.port.encode(PteView::Present(mapping), at)
    };
    let frames = v.port.pfn_mask() >> Port::PAGE_SHIFT;
    assert!(encode(Level::Pte, Level::Pte, frames).is_some());
    assert_eq!(encode(Level::Pte, Level::Pte, frames + 1), None);
    assert_eq!(encode(Level::Pte, Level::Pmd, 0x200), None);
    assert_eq!(encode(Level::Pmd, Level::Pmd, 0x201), None);
    assert_eq!(encode(Level::Pud, Level::Pud, 0x4_0000), None);
    assert_eq!(v.port.encode(PteView::Table(Pfn::new(frames + 1)), Level::Pmd), None);
    assert_eq!(v.port.encode(PteView::Table(Pfn::new(1)), Level::Pte), None);
    assert_eq!(v.port.encode(PteView::Soft(SoftLeaf::GUARD), Level::Pud), None);
}

#[test]
fn empty_entries_and_tables_are_told_from_leaves() {
    for v in variants() {
        for level in [Level::Pte, Level::Pmd, Level::Pud, Level::Pgd] {
            assert_eq!(v.port.encode(PteView::None, level), Some(Pte::NONE));
            assert_eq!(v.port.decode(Pte::NONE, level), PteView::None);
        }
        for level in [Level::Pmd, Level::Pud, Level::Pgd] {
            let table = v.port.mk_table(Pfn::new(0x1234));
            assert_eq!(v.port.decode(table, level), PteView::Table(Pfn::new(0x1234)));
            assert_eq!(v.port.encode(PteView::Table(Pfn::new(0x1234)), level), Some(table));
            assert!(!v.port.pmd_leaf(table) && v.port.pmd_present(table) && !v.port.pte_none(table));
            assert_eq!(v.port.walk(table, level, Access::Read), Walk::Fault);
        }
    }
}

#[test]
fn software_entries_round_trip() {
    let offsets = [0, 1, 2, 4, 7, 0xf_ffff, 1 << 34, 3 << 36, (1 << 50) - 1];
    for v in variants() {
        for ty in 0..32 {
            for offset in offsets {
                for flags in (0..8).map(SoftFlags::from_bits_retain) {
                    let leaf = SoftLeaf { ty, offset, flags };
                    let Some(word) = v.port.soft_leaf(leaf) else {
                        let unsaid = flags.contains(SoftFlags::SOFT_DIRTY) && !v.port.has_soft_dirty();
                        let empty = ty == 0 && flags.is_empty() && EMPTY_SOFT_OFFSET == Some(offset);
                        assert!(unsaid || empty, "{leaf:?}");
                        continue;
                    };
                    for level in [Level::Pte, Level::Pmd] {
                        assert_eq!(v.port.decode(word, level), PteView::Soft(leaf), "{word:?}");
                        assert_eq!(v.port.encode(PteView::Soft(leaf), level), Some(word));
                        assert_eq!(v.port.walk(word, level, Access::Read), Walk::Fault);
                    }
                    assert!(!v.port.pte_none(word) && !v.port.pte_present(word));
                    assert!(!v.port.pmd_present(word) && !v.port.pmd_leaf(word));
                }
            }
        }
        let leaf = |ty, offset| v.port.soft_leaf(SoftLeaf { ty, offset, flags: SoftFlags::empty() });
        assert_eq!((leaf(32, 1), leaf(0, 1 << 50)), (None, None));
    }
}

#[test]
fn predicates_say_what_the_view_says() {
    for v in variants() {
        for (m, word) in encoded(&v) {
            let p = &v.port;
            let seen = [
                (PteAttrs::PROTNONE, p.pte_protnone(word)),
                (PteAttrs::WRITE, p.pte_write(word)),
                (PteAttrs::YOUNG, p.pte_young(word)),
                (PteAttrs::DIRTY, p.pte_dirty(word)),
                (PteAttrs::SOFT_DIRTY, p.pte_soft_dirty(word)),
                (PteAttrs::SPECIAL, p.pte_special(word)),
                (PteAttrs::UFFD, p.pte_uffd_wp(word)),
            ];
            for (attr, is) in seen {
                assert_eq!(is, m.attrs.contains(attr), "{attr:?} of {word:?}");
            }
            assert!(p.pte_present(word) && p.pmd_present(word) && !p.pte_none(word));
            assert_eq!(p.pte_pfn(word), m.pfn);
            assert_eq!(p.pmd_leaf(word), m.level == Level::Pmd);
        }
    }
}

#[test]
fn helpers_change_what_they_name_and_nothing_else() {
    type Helper = fn(&Port, Pte) -> Pte;
    let no = PteAttrs::empty();
    for v in variants() {
        let soft_dirty = if v.port.has_soft_dirty() { PteAttrs::SOFT_DIRTY } else { no };
        let dirtied = if v.mkwrite_dirties() { PteAttrs::DIRTY } else { no };
        let table: [(Helper, PteAttrs, PteAttrs); 11] = [
            (Port::pte_mkwrite, PteAttrs::WRITE | dirtied, no),
            (Port::pte_wrprotect, no, PteAttrs::WRITE),
            (Port::pte_mkdirty, PteAttrs::DIRTY | soft_dirty, no),
            (Port::pte_mkclean, no, PteAttrs::DIRTY),
            (Port::pte_mkyoung, PteAttrs::YOUNG, no),
            (Port::pte_mkold, no, PteAttrs::YOUNG),
            (Port::pte_mkspecial, PteAttrs::SPECIAL, no),
            (Port::pte_mkuffd_wp, PteAttrs::UFFD, PteAttrs::WRITE),
            (Port::pte_clear_uffd_wp, no, PteAttrs::UFFD),
            (Port::pte_mksoft_dirty, soft_dirty, no),
            (Port::pte_clear_soft_dirty, no, soft_dirty),
        ];
        for (m, word) in encoded(&v) {
            for (i, &(helper, adds, takes)) in table.iter().enumerate() {
                let changed = mapping_of(&v, helper(&v.port, word), m.level);
                let attrs = m.attrs.difference(takes) | adds;
                assert_eq!(changed, Mapping { attrs, ..m }, "helper {i} of {word:?}");
            }
        }
    }
}

#[test]
fn modify_takes_permissions_from_the_protection_and_keeps_the_rest() {
    let kept = PteAttrs::YOUNG
        | PteAttrs::DIRTY
        | PteAttrs::SOFT_DIRTY
        | PteAttrs::SPECIAL
        | PteAttrs::UFFD
        | PteAttrs::CONT;
    for v in variants() {
        for (m, word) in encoded(&v) {
            for flags in (0..16).map(VmFlags::from_bits_retain) {
                let prot = v.port.vm_get_page_prot(flags);
                let fresh = mapping_of(&v, v.port.pfn_pte(Pfn::new(1), prot), Level::Pte);
                let attrs = m.attrs & kept | fresh.attrs.difference(kept);
                let expected = Mapping { attrs, pkey: fresh.pkey, ..m };
                let new = v.port.pte_modify(word, prot);
                if m.level == Level::Pte {
                    assert_eq!(mapping_of(&v, new, m.level), expected, "{word:?} {flags:?}");
                    continue;
                }
                let new = v.port.pmd_modify(word, prot);
                let lost = if v.rules.pmd_modify_keeps_dirty { PteAttrs::empty() } else { PteAttrs::DIRTY };
                let new = mapping_of(&v, new, m.level);
                let close = Mapping { attrs: new.attrs | lost & m.attrs, ..new };
                assert_eq!(close, expected, "{word:?} {flags:?}");
            }
        }
    }
}

#[test]
fn advancing_changes_the_frame_only() {
    for v in variants() {
        for (m, word) in encoded(&v).filter(|(m, _)| m.level == Level::Pte) {
            for n in [0, 1, 15, 511] {
                let next = mapping_of(&v, v.port.pte_advance_pfn(word, n), m.level);
                assert_eq!(next, Mapping { pfn: m.pfn.add(n as u64), ..m });
            }
        }
    }
}

#[test]
fn invalid_huge_pages_stay_present_to_linux_alone() {
    for v in variants() {
        for (m, word) in encoded(&v).filter(|(m, _)| m.level == Level::Pmd) {
            let invalid = v.port.pmd_mkinvalid(word);
            assert!(v.port.pmd_present(invalid) && v.port.pmd_leaf(invalid));
            assert_eq!(v.port.pte_pfn(invalid), m.pfn);
            assert_eq!(v.port.walk(invalid, Level::Pmd, Access::Read), Walk::Fault);
        }
    }
}

#[test]
fn huge_pages_are_made_of_small_ones() {
    for v in variants() {
        for flags in (0..16).map(VmFlags::from_bits_retain) {
            let small = v.port.pfn_pte(Pfn::new(0x400), v.port.vm_get_page_prot(flags));
            let huge = mapping_of(&v, v.port.pmd_mkhuge(small), Level::Pmd);
            assert_eq!(huge, Mapping { level: Level::Pmd, ..mapping_of(&v, small, Level::Pte) });
            assert_eq!(v.port.encode(PteView::Present(huge), Level::Pmd), Some(v.port.pmd_mkhuge(small)));
        }
    }
}

#[test]
fn the_walker_honours_permissions() {
    for v in variants() {
        for (m, word) in encoded(&v) {
            let is = |attr| m.attrs.contains(attr);
            let reads = is(PteAttrs::USER) && m.pkey == 0 && (is(PteAttrs::YOUNG) || v.walker_sets());
            let writes = reads && is(PteAttrs::WRITE) && (is(PteAttrs::DIRTY) || v.walker_sets());
            let accesses = [
                (Access::Read, reads, PteAttrs::YOUNG),
                (Access::Write, writes, PteAttrs::YOUNG | PteAttrs::DIRTY),
            ];
            for (access, goes, records) in accesses {
                match v.port.walk(word, m.level, access) {
                    Walk::Fault => assert!(!goes, "{access:?} of {word:?}"),
                    Walk::Allowed(after) => {
                        assert!(goes, "{access:?} of {word:?}");
                        let expected = Mapping { attrs: m.attrs | records, ..m };
                        assert_eq!(mapping_of(&v, after, m.level), expected);
                    }
                }
                let elsewhere = if m.level == Level::Pte { Level::Pmd } else { Level::Pte };
                assert_eq!(v.port.walk(word, elsewhere, access), Walk::Fault);
            }
        }
    }
}

/// What `__pte_batch_clear_ignored` (`mm/internal.h`, 7.3) leaves to compare.
fn cleaned(Variant { port, .. }: &Variant, mut pte: Pte, flags: Fpb) -> Pte {
    if !flags.contains(Fpb::RESPECT_DIRTY) {
        pte = port.pte_mkclean(pte);
    }
    if !flags.contains(Fpb::RESPECT_SOFT_DIRTY) {
        pte = port.pte_clear_soft_dirty(pte);
    }
    if !flags.contains(Fpb::RESPECT_WRITE) {
        pte = port.pte_wrprotect(pte);
    }
    port.pte_mkold(pte)
}

fn is_one_batch_by_mask(Variant { port, .. }: &Variant, a: Pte, b: Pte, flags: Fpb) -> bool {
    (a.0 ^ b.0) & !port.batch_ignore(flags) == 0
}

proptest! {
    #[test]
    fn batches_are_found_by_mask(a in any::<u64>(), bits in prop::collection::vec(0u32..64, 0..4)) {
        let b = bits.iter().fold(a, |word, bit| word ^ (1 << *bit));
        for v in variants() {
            for flags in (0..8).map(Fpb::from_bits_retain) {
                let same = cleaned(&v, Pte(a), flags) == cleaned(&v, Pte(b), flags);
                prop_assert_eq!(v.port.batch_clean(Pte(a), flags), cleaned(&v, Pte(a), flags));
                if v.port.batch_by_mask(flags) {
                    prop_assert_eq!(is_one_batch_by_mask(&v, Pte(a), Pte(b), flags), same, "{:?}", flags);
                }
            }
        }
    }
}

/// Where the port says that a mask is not enough, mappings that hardware has written to show it.
#[test]
fn masks_are_given_up_for_a_reason() {
    for v in variants().into_iter().filter(Variant::walker_sets) {
        let words: Vec<Pte> =
            [PteAttrs::empty(), PteAttrs::WRITE, PteAttrs::DIRTY, PteAttrs::WRITE | PteAttrs::DIRTY]
                .into_iter()
                .map(|attrs| Mapping {
                    pfn: Pfn::new(1),
                    level: Level::Pte,
                    attrs: attrs | PteAttrs::USER,
                    pkey: 0,
                })
                .flat_map(|m| {
                    let word = v.port.encode(PteView::Present(m), Level::Pte);
                    let word = word.expect("plain user pages have a word");
                    let written = match v.port.walk(v.port.pte_mkyoung(word), Level::Pte, Access::Write) {
                        Walk::Allowed(after) => after,
                        Walk::Fault => word,
                    };
                    [word, written]
                })
                .collect();
        for flags in (0..8).map(Fpb::from_bits_retain) {
            let differs = words.iter().any(|&a| {
                words.iter().any(|&b| {
                    let same = cleaned(&v, a, flags) == cleaned(&v, b, flags);
                    same != is_one_batch_by_mask(&v, a, b, flags)
                })
            });
            assert_eq!(differs, !v.port.batch_by_mask(flags), "{flags:?}");
        }
    }
}
