//! What the NUMA scanner takes.

use super::{BASE, Calls, MEMORY, RW, anon};
use ptelab_machine::{Builder, Counter, Counters, HwKind, KernelRules, ThpMode};

/// What one scan of a 64K folio takes, on `node` of two.
fn scan(port: &str, rules: &'static KernelRules, node: u8) -> Counters {
    let builder = Builder::new(port).kernel(rules).hw(HwKind::Counting).memory(MEMORY);
    let vm = &mut *builder.build().expect("the port exists");
    vm.numa(1, 2).expect("there may be two");
    vm.numa_alloc(1, node).expect("it is one of them");
    vm.thp_size(1, 64, ThpMode::Always).expect("there are folios of this size");
    anon(vm, 0, 16, RW);
    vm.memset(1, BASE, 7, 64 << 10).expect("mapped");
    // What is bound to a node is not scanned.
    vm.numa_alloc(1, 64).expect("it is none");
    let before = vm.counters().expect("it counts");
    vm.numa_scan(1, BASE, 64 << 10).expect("mapped");
    vm.counters().expect("it counts") - before
}

/// 6.16 looks at every entry and at its page, and scans no batch for those that it passes over; from 6.17 on one look-up serves
/// the whole folio, whether it is passed over or changed.
#[test]
fn the_scanner_looks_once_at_what_it_looks_at() {
    for (port, kernel, [near, far]) in [
        // With a block, a look at one entry is one at all sixteen; hinting unfolds it.
        ("arm64", "6.16", [272, 64]),
        ("arm64", "7.3", [3, 3]),
        ("x86_64", "6.16", [16, 16]),
        ("x86_64", "7.3", [16, 16]),
        ("generic", "6.16", [16, 32]),
        ("generic", "7.3", [16, 32]),
    ] {
        let rules = KernelRules::by_name(kernel).expect("it is known");
        let (pages, scanned) = if kernel == "6.16" { (16, 0) } else { (1, 15) };
        for (node, loads) in [(0, near), (1, far)] {
            let c = scan(port, rules, node);
            assert_eq!(c.get(Counter::Loads), loads, "{port} {kernel} node {node}");
            assert_eq!(c.get(Counter::PageLookups), pages, "{port} {kernel} node {node}");
            // On arm64, the block says how long the batch is.
            let steps = if port == "arm64" { 0 } else { scanned };
            assert_eq!(c.get(Counter::BatchSteps), steps, "{port} {kernel} node {node}");
        }
    }
}
