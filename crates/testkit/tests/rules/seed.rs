//! The series' program, small: what mprotect takes is known exactly.

use ptelab::{Counter, Counters, HwKind, RunReport};
use ptelab_testkit::{Case, root};

/// Bytes that the small program maps.
const SIZE: u64 = 4 << 20;
/// Page entries in that.
const ENTRIES: u64 = SIZE / 4096;
/// Contiguous blocks in that.
const BLOCKS: u64 = ENTRIES / 16;
/// Calls to mprotect in each of the three cases: 40 rounds of two.
const CALLS: u64 = 80;

/// The seed's scenario at 4 MiB, one case at a time: T1, T2, T3.
fn small(case: usize) -> Case {
    let path = root().join("fixtures/scenarios/seed.scn");
    let mut seed = Case::read(&path);
    let text = seed.text.replace("1G", "4M");
    let in_range = |line: &&str| {
        let addr = line.strip_prefix("madvise(0x").and_then(|rest| rest.split(',').next());
        addr.is_none_or(|addr| u64::from_str_radix(addr, 16).is_ok_and(|addr| addr < 0x4000_0000 + SIZE))
    };
    let part = text.split("\n# T").nth(case).expect("the seed has three cases");
    seed.text = format!("# T{}", part.lines().filter(in_range).collect::<Vec<_>>().join("\n"));
    seed.scenario = ptelab::scenario::parse(&seed.text).expect("it is as good as the seed");
    seed
}

fn mprotect(case: usize, port: &str, kernel: &str) -> Counters {
    let report: RunReport = small(case).run(port, kernel, HwKind::Counting).remove(0);
    assert_eq!(report.unexpected, []);
    let cost = report.costs["mprotect"];
    assert_eq!(cost.calls, CALLS);
    cost.counters
}

fn per_call(counters: &Counters, counter: Counter) -> u64 {
    assert_eq!(counters.get(counter) % CALLS, 0, "{counter:?}");
    counters.get(counter) / CALLS
}

#[test]
fn an_entry_at_a_time_unfolds_and_folds_every_block() {
    for case in [1, 2] {
        let c = mprotect(case, "arm64", "6.16");
        assert_eq!(per_call(&c, Counter::Loads), 80 * BLOCKS);
        assert_eq!(per_call(&c, Counter::Exchanges), 48 * BLOCKS);
        assert_eq!(per_call(&c, Counter::Stores), 48 * BLOCKS);
        assert_eq!(per_call(&c, Counter::Unfolds), BLOCKS);
        assert_eq!(per_call(&c, Counter::Folds), BLOCKS);
        // Two flushes a block under the lock, and one for the call.
        assert_eq!(per_call(&c, Counter::TlbFlushes), 2 * BLOCKS + 1);
    }
}

#[test]
fn batches_leave_blocks_folded() {
    for kernel in ["6.17", "7.3"] {
        for (case, batch) in [(1, 512), (2, 16)] {
            let c = mprotect(case, "arm64", kernel);
            assert_eq!(per_call(&c, Counter::Exchanges), 16 * BLOCKS);
            assert_eq!(per_call(&c, Counter::Stores), 16 * BLOCKS);
            assert_eq!(per_call(&c, Counter::Loads), 3 * BLOCKS);
            assert_eq!(per_call(&c, Counter::TlbFlushes), 1);
            assert_eq!((c.get(Counter::Folds), c.get(Counter::Unfolds)), (0, 0));
            assert_eq!(per_call(&c, Counter::Batches), ENTRIES / batch);
            assert_eq!(per_call(&c, Counter::PageLookups), ENTRIES / batch);
        }
    }
}

#[test]
fn single_pages_pay_for_the_look_up() {
    // Loads of an entry: itself, and on arm64 the tests for a block before the exchange and before the store.
    for (port, loads, exchanges) in [("arm64", 3, 1), ("x86_64", 1, 1), ("generic", 2, 0)] {
        let (old, new) = (mprotect(3, port, "6.16"), mprotect(3, port, "7.3"));
        for c in [old, new] {
            assert_eq!(per_call(&c, Counter::Loads), loads * ENTRIES, "{port}");
            assert_eq!(per_call(&c, Counter::Exchanges), exchanges * ENTRIES, "{port}");
        }
        // The last entry of a block looks whether one folio covers it, so that it could fold.
        let folds = if port == "arm64" { BLOCKS * CALLS } else { 0 };
        // Before, only the way back to writable looked pages up.
        assert_eq!(old.get(Counter::PageLookups), ENTRIES * CALLS / 2 + folds, "{port}");
        assert_eq!(new.get(Counter::PageLookups), ENTRIES * CALLS + folds, "{port}");
        assert_eq!(new.batch_lengths[0], ENTRIES * CALLS, "{port}");
    }
}
