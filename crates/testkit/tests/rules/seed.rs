//! The series' program, small: what mprotect takes is known exactly.

use ptelab::exec::Watch;
use ptelab::{Counter, Counters, HwKind, Level, Matrix, RunReport, parallel, port_named};
use ptelab_testkit::{Case, root};
use std::fmt::Write as _;

/// Bytes that the small program maps.
const SIZE: u64 = 4 << 20;
/// Page entries in that.
const ENTRIES: u64 = SIZE / 4096;
/// Contiguous blocks in that.
const BLOCKS: u64 = ENTRIES / 16;
/// Calls to mprotect in each of the three cases: 40 rounds of two.
const CALLS: u64 = 80;

/// One case of the seed's scenario, T1, T2 or T3, at this size.
fn part(case: usize, size: u64) -> Case {
    let path = root().join("fixtures/scenarios/seed.scn");
    let mut seed = Case::read(&path);
    let text = seed.text.replace("1G", &format!("{}M", size >> 20));
    let in_range = |line: &&str| {
        let addr = line.strip_prefix("madvise(0x").and_then(|rest| rest.split(',').next());
        addr.is_none_or(|addr| u64::from_str_radix(addr, 16).is_ok_and(|addr| addr < 0x4000_0000 + size))
    };
    let part = text.split("\n# T").nth(case).expect("the seed has three cases");
    seed.text = format!("# T{}", part.lines().filter(in_range).collect::<Vec<_>>().join("\n"));
    seed.scenario = ptelab::scenario::parse(&seed.text).expect("it is as good as the seed");
    seed
}

fn small(case: usize) -> Case {
    part(case, SIZE)
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

/// Bytes of the table that the pages show: as many as the seed has.
const LARGE: u64 = 1 << 30;

/// A row of that table: a port, perhaps with a CPU feature that is an experiment.
fn row(name: &str) -> String {
    let (port, feature) = name.split_once('+').map_or((name, None), |(port, feature)| (port, Some(feature)));
    let page = port_named(port).expect("a port").shape.entry_size(Level::Pte);
    let mut matrix = Matrix::new().ports(port).and_then(|m| m.kernels("6.16,7.3")).expect("they are known");
    if let Some(feature) = feature {
        matrix = matrix.cpu(&format!("{port}.{feature}=on")).expect("it is a feature");
    }
    let counted = |case: usize| -> Vec<Counters> {
        let reports = matrix.run(&part(case, LARGE).scenario, Watch::nobody()).expect("they can be built");
        reports.iter().map(|report| report.costs["mprotect"].counters).collect()
    };
    let cases: Vec<Vec<Counters>> = [1, 2, 3].map(counted).into();
    let steps = |c: &Counters| {
        let sum: u64 =
            [Counter::Loads, Counter::Stores, Counter::Exchanges].map(|kind| c.get(kind)).iter().sum();
        tenths(sum, CALLS * (LARGE / page))
    };
    let flushes = |c: &Counters| tenths(c.get(Counter::TlbiOps), CALLS);
    let mut text = format!("| {}", name.replace('+', ", "));
    for case in &cases {
        let _ = write!(text, " | {}", before_and_after(case, steps));
    }
    text + &format!(" | {} |\n", before_and_after(&cases[0], flushes))
}

/// A quotient, rounded to a tenth.
fn tenths(n: u64, of: u64) -> String {
    let tenths = (10 * n + of / 2) / of;
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

fn before_and_after(counters: &[Counters], show: impl Fn(&Counters) -> String) -> String {
    let [old, new] = [&counters[0], &counters[1]].map(show);
    if old == new { old } else { format!("{old}, then {new}") }
}

/// README and the page of the ports show what batches save; the rows of a table are named where it begins. `DOCS=write` writes them.
#[test]
fn pages_show_what_batches_save() {
    ptelab::register_ports();
    let pages = ["README.md", "docs/ports.md"].map(|page| root().join(page));
    let texts = pages.each_ref().map(|page| std::fs::read_to_string(page).expect("a page"));
    let wanted = texts.each_ref().map(|text| {
        let (_, rest) = text.split_once("<!-- batches: ").expect("where the table begins");
        rest.split_once(" -->").expect("the end of a comment").0.split(' ').collect::<Vec<_>>()
    });
    let mut names = wanted.concat();
    names.sort_unstable();
    names.dedup();
    let rows = parallel::map(&names, |name| row(name));
    for ((page, text), wanted) in pages.iter().zip(&texts).zip(&wanted) {
        let rows = wanted
            .iter()
            .map(|name| rows[names.iter().position(|known| known == name).expect("it is there")].as_str());
        let head = "| port | T1 | T2 | T3 | TLB instructions of T1 |\n|---|---|---|---|---|\n";
        let table = format!("\n{head}{}\n", rows.collect::<String>());
        let (before, rest) = text.split_once(" -->\n").expect("where the table begins");
        let (_, after) = rest.split_once("<!-- /batches -->").expect("where the table ends");
        let shown = format!("{before} -->\n{table}<!-- /batches -->{after}");
        if std::env::var_os("DOCS").is_some_and(|value| value == "write") {
            std::fs::write(page, shown).expect("the page can be written");
        } else {
            assert_eq!(text, &shown, "{}", page.display());
        }
    }
}
