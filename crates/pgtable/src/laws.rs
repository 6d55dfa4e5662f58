//! Laws that hold in every port, under every kernel's rules and with each CPU feature on and off.
//!
//! A port's tests say what is its own in a [`PortFacts`] and run all laws with one line of
//! [`port_laws!`](crate::port_laws).
//!
//! # Panics
//! Every law does where it is broken, with the words that show it.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a law is for")]

use crate::{
    Access, Arch, CpuConfig, EntryFormat, Fpb, KernelRules, Level, Mapping, Pfn, Pte, PteAttrs, PteView,
    SoftFlags, SoftLeaf, VmFlags, Walk,
};

/// What a port says of itself for the laws to hold it to.
pub trait PortFacts {
    /// The port.
    type Port: Arch;

    /// The offset at which a software entry of type 0 without flags would be the empty entry.
    const EMPTY_SOFT_OFFSET: Option<u64>;

    /// Which mappings have a word.
    fn is_expressible(v: &Variant<Self::Port>, m: Mapping) -> bool;

    /// Whether the walker sets accessed and dirty, rather than to fault for software to do it.
    fn walker_sets(v: &Variant<Self::Port>) -> bool {
        let _ = v;
        true
    }

    /// Whether making a clean entry writable makes it dirty.
    fn mkwrite_dirties(v: &Variant<Self::Port>) -> bool {
        let _ = v;
        false
    }
}

/// A port on one CPU, under one kernel's rules.
#[derive(Clone, Debug)]
pub struct Variant<P> {
    /// The port.
    pub port: P,
    cpu: CpuConfig,
    /// The kernel's rules.
    pub rules: &'static KernelRules,
}

impl<P: Arch> Variant<P> {
    /// Whether the CPU has a feature of the port's.
    pub fn has(&self, feature: &str) -> bool {
        self.cpu.has(P::FEATURES, feature)
    }
}

/// Runs every law on a port: one test a law.
#[macro_export]
macro_rules! port_laws {
    ($facts:ty) => {
        $crate::port_laws!($facts: decode_undoes_encode
            frames_and_levels_that_do_not_fit_have_no_word
            empty_entries_and_tables_are_told_from_leaves
            software_entries_round_trip
            predicates_say_what_the_view_says
            helpers_change_what_they_name_and_nothing_else
            modify_takes_permissions_from_the_protection_and_keeps_the_rest
            advancing_changes_the_frame_only
            invalid_huge_pages_stay_present_to_linux_alone
            huge_pages_are_made_of_small_ones
            the_walker_honours_permissions
            masks_are_given_up_for_a_reason
            batches_are_found_by_mask);
    };
    ($facts:ty: $($law:ident)*) => {
        $(
            #[test]
            fn $law() {
                $crate::laws::$law::<$facts>();
            }
        )*
    };
}

fn variants<P: Arch>() -> Vec<Variant<P>> {
    let mut cpus = vec![CpuConfig::default()];
    cpus.extend(P::FEATURES.iter().map(|f| CpuConfig::default().with(f.name, !f.default)));
    let of_cpu = |cpu: &CpuConfig, rules| Variant { port: P::new(cpu, rules), cpu: cpu.clone(), rules };
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
fn encoded<P: Arch>(v: &Variant<P>) -> impl Iterator<Item = (Mapping, Pte)> + '_ {
    mappings().filter_map(|m| Some((m, v.port.encode(PteView::Present(m), m.level)?)))
}

fn mapping_of<P: Arch>(v: &Variant<P>, pte: Pte, level: Level) -> Mapping {
    match v.port.decode(pte, level) {
        PteView::Present(m) => m,
        other => panic!("{pte:?} is no mapping but {other:?}"),
    }
}

/// Decode undoes encode.
pub fn decode_undoes_encode<F: PortFacts>() {
    for v in variants::<F::Port>() {
        for m in mappings() {
            let word = v.port.encode(PteView::Present(m), m.level);
            assert_eq!(word.is_some(), F::is_expressible(&v, m), "{m:?}");
            if let Some(word) = word {
                assert_eq!(v.port.decode(word, m.level), PteView::Present(m), "{word:?}");
                assert!(!v.port.describe(word, m.level).is_empty());
            }
        }
    }
}

/// Frames and levels that do not fit have no word.
pub fn frames_and_levels_that_do_not_fit_have_no_word<F: PortFacts>() {
    let v = &variants::<F::Port>()[0];
    let attrs = PteAttrs::USER | PteAttrs::YOUNG;
    let encode = |level, at, pfn| {
        let mapping = Mapping { pfn: Pfn::new(pfn), level, attrs, pkey: 0 };
        v.port.encode(PteView::Present(mapping), at)
    };
    let frames = v.port.pfn_mask() >> F::Port::PAGE_SHIFT;
    assert!(encode(Level::Pte, Level::Pte, frames).is_some());
    assert_eq!(encode(Level::Pte, Level::Pte, frames + 1), None);
    assert_eq!(encode(Level::Pte, Level::Pmd, 0x200), None);
    assert_eq!(encode(Level::Pmd, Level::Pmd, 0x201), None);
    assert_eq!(encode(Level::Pud, Level::Pud, 0x4_0000), None);
    assert_eq!(v.port.encode(PteView::Table(Pfn::new(frames + 1)), Level::Pmd), None);
    assert_eq!(v.port.encode(PteView::Table(Pfn::new(1)), Level::Pte), None);
    assert_eq!(v.port.encode(PteView::Soft(SoftLeaf::GUARD), Level::Pud), None);
}

/// Empty entries and tables are told from leaves.
pub fn empty_entries_and_tables_are_told_from_leaves<F: PortFacts>() {
    for v in variants::<F::Port>() {
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

/// Software entries round trip.
pub fn software_entries_round_trip<F: PortFacts>() {
    let offsets = [0, 1, 2, 4, 7, 0xf_ffff, 1 << 34, 3 << 36, (1 << 50) - 1];
    for v in variants::<F::Port>() {
        for ty in 0..32 {
            for offset in offsets {
                for flags in (0..32).map(SoftFlags::from_bits_retain) {
                    let leaf = SoftLeaf { ty, offset, flags };
                    let Some(word) = v.port.soft_leaf(leaf) else {
                        let unsaid = flags.contains(SoftFlags::SOFT_DIRTY) && !v.port.has_soft_dirty();
                        let empty = ty == 0 && flags.is_empty() && F::EMPTY_SOFT_OFFSET == Some(offset);
                        let recorded = SoftFlags::YOUNG | SoftFlags::DIRTY;
                        let records = !leaf.is_migration() && flags.intersects(recorded);
                        let no_frame = leaf.is_migration() && offset >> F::Port::SWP_PFN_BITS != 0;
                        assert!(unsaid || empty || records || no_frame, "{leaf:?}");
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

/// Predicates say what the view says.
pub fn predicates_say_what_the_view_says<F: PortFacts>() {
    for v in variants::<F::Port>() {
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

/// Helpers change what they name and nothing else.
pub fn helpers_change_what_they_name_and_nothing_else<F: PortFacts>() {
    type Helper<P> = fn(&P, Pte) -> Pte;
    let no = PteAttrs::empty();
    for v in variants::<F::Port>() {
        let soft_dirty = if v.port.has_soft_dirty() { PteAttrs::SOFT_DIRTY } else { no };
        let dirtied = if F::mkwrite_dirties(&v) { PteAttrs::DIRTY } else { no };
        let table: [(Helper<F::Port>, PteAttrs, PteAttrs); 11] = [
            (F::Port::pte_mkwrite, PteAttrs::WRITE | dirtied, no),
            (F::Port::pte_wrprotect, no, PteAttrs::WRITE),
            (F::Port::pte_mkdirty, PteAttrs::DIRTY | soft_dirty, no),
            (F::Port::pte_mkclean, no, PteAttrs::DIRTY),
            (F::Port::pte_mkyoung, PteAttrs::YOUNG, no),
            (F::Port::pte_mkold, no, PteAttrs::YOUNG),
            (F::Port::pte_mkspecial, PteAttrs::SPECIAL, no),
            (F::Port::pte_mkuffd_wp, PteAttrs::UFFD, PteAttrs::WRITE),
            (F::Port::pte_clear_uffd_wp, no, PteAttrs::UFFD),
            (F::Port::pte_mksoft_dirty, soft_dirty, no),
            (F::Port::pte_clear_soft_dirty, no, soft_dirty),
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

/// Modify takes permissions from the protection and keeps the rest.
pub fn modify_takes_permissions_from_the_protection_and_keeps_the_rest<F: PortFacts>() {
    let kept = PteAttrs::YOUNG
        | PteAttrs::DIRTY
        | PteAttrs::SOFT_DIRTY
        | PteAttrs::SPECIAL
        | PteAttrs::UFFD
        | PteAttrs::CONT;
    for v in variants::<F::Port>() {
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

/// Advancing changes the frame only.
pub fn advancing_changes_the_frame_only<F: PortFacts>() {
    for v in variants::<F::Port>() {
        for (m, word) in encoded(&v).filter(|(m, _)| m.level == Level::Pte) {
            for n in [0, 1, 15, 511] {
                let next = mapping_of(&v, v.port.pte_advance_pfn(word, n), m.level);
                assert_eq!(next, Mapping { pfn: m.pfn.add(n as u64), ..m });
            }
        }
    }
}

/// Invalid huge pages stay present to linux alone.
pub fn invalid_huge_pages_stay_present_to_linux_alone<F: PortFacts>() {
    for v in variants::<F::Port>() {
        for (m, word) in encoded(&v).filter(|(m, _)| m.level == Level::Pmd) {
            let invalid = v.port.pmd_mkinvalid(word);
            assert!(v.port.pmd_present(invalid) && v.port.pmd_leaf(invalid));
            assert_eq!(v.port.pte_pfn(invalid), m.pfn);
            assert_eq!(v.port.walk(invalid, Level::Pmd, Access::Read), Walk::Fault);
        }
    }
}

/// Huge pages are made of small ones.
pub fn huge_pages_are_made_of_small_ones<F: PortFacts>() {
    for v in variants::<F::Port>() {
        for flags in (0..16).map(VmFlags::from_bits_retain) {
            let small = v.port.pfn_pte(Pfn::new(0x400), v.port.vm_get_page_prot(flags));
            let huge = mapping_of(&v, v.port.pmd_mkhuge(small), Level::Pmd);
            assert_eq!(huge, Mapping { level: Level::Pmd, ..mapping_of(&v, small, Level::Pte) });
            assert_eq!(v.port.encode(PteView::Present(huge), Level::Pmd), Some(v.port.pmd_mkhuge(small)));
        }
    }
}

/// The walker honours permissions.
pub fn the_walker_honours_permissions<F: PortFacts>() {
    for v in variants::<F::Port>() {
        for (m, word) in encoded(&v) {
            let is = |attr| m.attrs.contains(attr);
            let reads = is(PteAttrs::USER) && m.pkey == 0 && (is(PteAttrs::YOUNG) || F::walker_sets(&v));
            let writes = reads && is(PteAttrs::WRITE) && (is(PteAttrs::DIRTY) || F::walker_sets(&v));
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
fn cleaned<P: Arch>(Variant { port, .. }: &Variant<P>, mut pte: Pte, flags: Fpb) -> Pte {
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

fn is_one_batch_by_mask<P: Arch>(Variant { port, .. }: &Variant<P>, a: Pte, b: Pte, flags: Fpb) -> bool {
    (a.0 ^ b.0) & !port.batch_ignore(flags) == 0
}

/// Batches are found by mask wherever the port says so.
pub fn batches_are_found_by_mask<F: PortFacts>() {
    let variants = variants::<F::Port>();
    // Any words will do; these are a linear congruential generator's.
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    for _ in 0..400 {
        let a = next();
        let bits = next();
        let b = (0..bits % 4).fold(a, |word, i| word ^ 1 << (bits >> (8 + 8 * i) & 63));
        for v in &variants {
            for flags in (0..8).map(Fpb::from_bits_retain) {
                let same = cleaned(v, Pte(a), flags) == cleaned(v, Pte(b), flags);
                assert_eq!(v.port.batch_clean(Pte(a), flags), cleaned(v, Pte(a), flags));
                if v.port.batch_by_mask(flags) {
                    assert_eq!(
                        is_one_batch_by_mask(v, Pte(a), Pte(b), flags),
                        same,
                        "{a:#x} {b:#x} {flags:?}"
                    );
                }
            }
        }
    }
}

/// Where the port says that a mask is not enough, mappings that hardware has written to show it.
pub fn masks_are_given_up_for_a_reason<F: PortFacts>() {
    for v in variants::<F::Port>().into_iter().filter(F::walker_sets) {
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
