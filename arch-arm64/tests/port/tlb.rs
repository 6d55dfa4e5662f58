//! When arm64 flushes, and with which instructions.

use arch_arm64::{Arm64, Rules};
use ptelab_pgtable::{
    Arch, Barrier, CpuConfig, KernelRules, Level, MmuGather, Pte, Record, RecordingHw, TableMemory, TlbOps,
    TlbScope, Tlbi, VirtAddr,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn arm64(rules: &'static KernelRules) -> Arm64 {
    Arm64::new(&CpuConfig::default(), rules)
}

fn without_range() -> Arm64 {
    Arm64::new(&CpuConfig::default().with("range_tlbi", false), KernelRules::DEFAULT)
}

/// The one invalidation that `flush` issues, and the barriers around it.
fn flushed(flush: impl Fn(&mut RecordingHw)) -> (Barrier, Tlbi, Barrier) {
    let mut hw = RecordingHw::with_tables_of(512);
    flush(&mut hw);
    let mut steps = hw.take_records();
    steps.retain(|step| !matches!(step, Record::Why(_)));
    match steps[..] {
        [Record::Barrier(before), Record::Tlbi(op), Record::Barrier(after)] => (before, op, after),
        ref other => panic!("not one framed invalidation: {other:?}"),
    }
}

fn gather(start: u64, len: u64, levels: &[Level]) -> MmuGather {
    let mut tlb = MmuGather::default();
    for &level in levels {
        tlb.flush_range(VirtAddr::new(start), len, level);
    }
    tlb
}

#[test]
fn what_needs_a_flush() {
    const RW: u64 = 0x00e8_0000_0012_3f43;
    const RO: u64 = 0x00e0_0000_0012_3fc3;
    const NONE: u64 = 0x00e0_0000_0012_3f82;
    // Old, new, whether it flushes.
    let table = [
        (RW, RO, true),
        (RO, RW, true),
        (RW, NONE, true),
        (NONE, RW, false),
        (NONE, NONE, false),
        (RW, RW, false),
        (RW, RW & !(1 << 10), true),
        (RO & !(1 << 10), RO, true),
        (RW, RW ^ 1 << 52, true),
        (RW, RW ^ 1 << 55, false),
        (RW, RW ^ 1 << 56, false),
        (RW, RW ^ 1 << 57, false),
        (RW, RW ^ 1 << 58, false),
        (RW, RW ^ 1 << 59, true),
        (RW, RW ^ 1 << 63, false),
        (RW, RW + 0x1000, true),
        (0, RW, false),
    ];
    for (old, new, needed) in table {
        let (old, new) = (Pte(old), Pte(new));
        assert_eq!(arm64(KernelRules::DEFAULT).pte_needs_flush(old, new), needed, "{old:?} {new:?}");
        assert_eq!(arm64(KernelRules::DEFAULT).huge_pmd_needs_flush(old, new), needed, "{old:?} {new:?}");
        let older = arm64(KernelRules::DEFAULT.with(Rules::needs_flush_arm64, false));
        assert!(older.pte_needs_flush(old, new) && older.huge_pmd_needs_flush(old, new), "they do not ask");
    }
}

#[test]
fn a_gather_flushes_leaves_with_the_level_that_all_share() {
    let arch = arm64(KernelRules::DEFAULT);
    let start = 0x4000_0000;
    // Levels gathered, whether tables were freed; stride, level hint, whether walk caches stay.
    let table: [(&[Level], bool, u64, u8, bool); 5] = [
        (&[Level::Pte], false, 4 * KIB, 3, true),
        (&[Level::Pmd], false, 2 * MIB, 2, true),
        (&[Level::Pte, Level::Pmd], false, 4 * KIB, 0, true),
        (&[Level::Pte], true, 4 * KIB, 0, false),
        (&[Level::Pmd], true, 2 * MIB, 0, false),
    ];
    for (levels, freed, stride, level, last_level) in table {
        let mut tlb = gather(start, 4 * MIB, levels);
        if freed {
            tlb.free_table(VirtAddr::new(start), 4 * KIB, Level::Pmd);
        }
        let (before, op, after) = flushed(|hw| arch.tlb_flush(hw, &tlb));
        let (start, end) = (VirtAddr::new(start), VirtAddr::new(start + 4 * MIB));
        let scope = TlbScope::Range { start, end, stride };
        assert_eq!(op, Tlbi { scope, level, last_level, local: false, ops: 1 }, "{levels:?} {freed}");
        assert_eq!((before, after), (Barrier::DsbIshst, Barrier::DsbIsh));
    }
}

#[test]
fn nothing_gathered_is_nothing_flushed() {
    let mut hw = RecordingHw::with_tables_of(512);
    arm64(KernelRules::DEFAULT).tlb_flush(&mut hw, &MmuGather::default());
    assert_eq!(hw.take_records(), []);
}

#[test]
fn instructions_that_a_range_takes() {
    // Bytes, stride; instructions with and without range invalidation, nothing where the address space goes as a whole.
    let table = [
        (4 * KIB, Level::Pte, Some(1), Some(1)),
        (8 * KIB, Level::Pte, Some(1), Some(2)),
        (12 * KIB, Level::Pte, Some(2), Some(3)),
        (64 * KIB, Level::Pte, Some(1), Some(16)),
        (252 * KIB, Level::Pte, Some(2), Some(63)),
        (256 * KIB, Level::Pte, Some(1), Some(64)),
        (2 * MIB - 4 * KIB, Level::Pte, Some(3), Some(511)),
        (2 * MIB, Level::Pte, Some(1), None),
        (2 * MIB, Level::Pmd, Some(1), Some(1)),
        (GIB - 2 * MIB, Level::Pmd, Some(3), Some(511)),
        (GIB, Level::Pmd, Some(1), None),
        (8 * GIB, Level::Pte, Some(1), None),
        (8 * GIB - 4 * KIB, Level::Pte, Some(5), None),
        (8 * GIB + 4 * KIB, Level::Pte, None, None),
    ];
    for (len, level, with_range, without) in table {
        for (arch, expected) in [(arm64(KernelRules::DEFAULT), with_range), (without_range(), without)] {
            let tlb = gather(1 << 40, len, &[level]);
            let (_, op, _) = flushed(|hw| arch.tlb_flush(hw, &tlb));
            let all = Tlbi { scope: TlbScope::All, level: 0, last_level: false, local: false, ops: 1 };
            match expected {
                Some(ops) => {
                    assert_eq!((op.scope == TlbScope::All, op.ops), (false, ops), "{len:#x} {level:?}");
                }
                None => assert_eq!(op, all, "{len:#x} {level:?}"),
            }
        }
    }
}

#[test]
fn ranges_are_rounded_to_their_stride() {
    let tlb = gather(0x4010_0000, 2 * MIB, &[Level::Pmd]);
    let (_, op, _) = flushed(|hw| without_range().tlb_flush(hw, &tlb));
    let (start, end) = (VirtAddr::new(0x4000_0000), VirtAddr::new(0x4040_0000));
    assert_eq!((op.scope, op.ops), (TlbScope::Range { start, end, stride: 2 * MIB }, 2));
}

#[test]
fn single_flushes() {
    let arch = arm64(KernelRules::DEFAULT);
    let at = VirtAddr::new(0x4000_0000);
    let seen = |flush: &dyn Fn(&mut RecordingHw)| {
        let (_, op, _) = flushed(flush);
        (op.level, op.last_level, op.local)
    };
    assert_eq!(seen(&|hw| arch.flush_tlb_page(hw, at)), (3, true, false));
    assert_eq!(seen(&|hw| arch.flush_tlb_range(hw, at, at.add(64 * KIB), Level::Pte)), (0, false, false));
    assert_eq!(seen(&|hw| arch.flush_pmd_tlb_range(hw, at)), (2, false, false));
    let (_, op, _) = flushed(|hw| arch.flush_tlb_mm(hw));
    assert_eq!(op.scope, TlbScope::All);
}
