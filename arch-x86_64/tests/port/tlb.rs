//! When x86-64 flushes, and how much.

use arch_x86_64::X86_64;
use ptelab_pgtable::{
    Arch, CpuConfig, KernelRules, Level, MmuGather, Pte, Record, RecordingHw, TableMemory, TlbOps, TlbScope,
    Tlbi, VirtAddr,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn arch() -> X86_64 {
    X86_64::new(&CpuConfig::default(), KernelRules::DEFAULT)
}

fn flushed(flush: impl Fn(&mut RecordingHw)) -> Vec<Tlbi> {
    let mut hw = RecordingHw::with_tables_of(512);
    flush(&mut hw);
    let mut records = hw.take_records();
    records.retain(|record| !matches!(record, Record::Why(_)));
    records.iter().map(|r| if let Record::Tlbi(op) = r { *op } else { panic!("{r:?}") }).collect()
}

#[test]
fn what_needs_a_flush() {
    const RW: u64 = 0x8000_0000_0123_4867;
    const RO: u64 = 0x8400_0000_0123_4825;
    const NONE: u64 = 0x040f_ffff_fedc_b920;
    // Old, new, whether a page and whether a huge page is flushed.
    let table = [
        (RW, RO, true, true),
        (RO, RW, true, true),
        (RW, NONE, true, true),
        (NONE, RW, false, false),
        (0, RW, false, false),
        (RW, RW, false, false),
        (RW, RW & !(1 << 5), false, true),
        (RW & !(1 << 5), RW, false, false),
        (RW, RW & !(1 << 6), true, true),
        (RW & !(1 << 6), RW, false, false),
        (RW, RW ^ 1 << 9, false, false),
        (RW, RW ^ 1 << 10, false, false),
        (RW, RW ^ 1 << 11, false, false),
        (RW, RW ^ 1 << 57, false, false),
        (RW, RW ^ 1 << 58, false, false),
        (RW, RW ^ 1 << 3, true, true),
        (RW, RW ^ 1 << 4, true, true),
        (RW, RW ^ 1 << 2, true, true),
        (RW, RW ^ 1 << 8, true, true),
        (RW, RW ^ 1 << 62, true, true),
        (RW, RW ^ 1 << 63, true, true),
        (RW, RW ^ 1 << 7, true, true),
        (RW, RW + 0x20_0000, true, true),
    ];
    for (old, new, page, huge) in table {
        let (old, new) = (Pte(old), Pte(new));
        assert_eq!(arch().pte_needs_flush(old, new), page, "{old:?} {new:?}");
        assert_eq!(arch().huge_pmd_needs_flush(old, new), huge, "huge {old:?} {new:?}");
    }
    let huge = Pte(0x8000_0000_0020_08e7);
    assert!(arch().huge_pmd_needs_flush(huge, Pte(huge.0 ^ 1 << 12)), "PAT of a huge page");
}

/// Levels gathered, and bytes; leaves and their size, nothing where everything goes.
type Gathered<'a> = (&'a [Level], u64, Option<(u32, u64)>);

#[test]
fn long_ranges_are_flushed_whole() {
    let start = VirtAddr::new(0x4000_0000);
    let table: [Gathered; 6] = [
        (&[Level::Pte], 4 * KIB, Some((1, 4 * KIB))),
        (&[Level::Pte], 33 * 4 * KIB, Some((33, 4 * KIB))),
        (&[Level::Pte], 34 * 4 * KIB, None),
        (&[Level::Pmd], 33 * 2 * MIB, Some((33, 2 * MIB))),
        (&[Level::Pmd], 34 * 2 * MIB, None),
        (&[Level::Pte, Level::Pmd], 2 * MIB, None),
    ];
    for (levels, len, expected) in table {
        let mut tlb = MmuGather::default();
        for &level in levels {
            tlb.flush_range(start, len, level);
        }
        let whole = Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: false, ops: 1 };
        let op = expected.map_or(whole, |(ops, stride)| Tlbi {
            scope: TlbScope::Range { start, end: start.add(len), stride },
            ops,
            ..whole
        });
        assert_eq!(flushed(|hw| arch().tlb_flush(hw, &tlb)), [op], "{levels:?} {len:#x}");
    }
    assert_eq!(flushed(|hw| arch().tlb_flush(hw, &MmuGather::default())), []);
}

#[test]
fn one_gather_serves_a_whole_call() {
    const { assert!(X86_64::MMU_GATHER_MERGE_VMAS) }
}

#[test]
fn single_flushes() {
    let at = VirtAddr::new(0x4000_0000);
    let page = flushed(|hw| arch().flush_tlb_page(hw, at));
    assert_eq!(page[0].scope, TlbScope::Range { start: at, end: at.add(4 * KIB), stride: 4 * KIB });
    assert_eq!((page.len(), page[0].ops), (1, 1));
    assert_eq!(flushed(|hw| arch().flush_tlb_mm(hw))[0].scope, TlbScope::All);
    assert_eq!(flushed(|hw| arch().flush_pmd_tlb_range(hw, at))[0].scope, TlbScope::All);
}
