//! Random programs come out alike on every kind of machine: in results, in every entry, and in what they took. The fast
//! machine and the counting one take stretches of a table at once that the recording one takes entry by entry.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ptelab::exec::Watch;
use ptelab::scenario;
use ptelab::{HwKind, Matrix, RunReport};

/// Where the programs work: eight tables.
const BASE: u64 = 0x4000_0000;
const PAGES: u64 = 4096;

/// A range that begins and ends near a boundary as often as not.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let place =
        prop_oneof![0..PAGES, (0..PAGES / 16).prop_map(|i| i * 16), (0..PAGES / 512).prop_map(|i| i * 512)];
    let len = prop_oneof![1..40u64, 1..2048u64, (1..128u64).prop_map(|i| i * 16), Just(512), Just(PAGES)];
    (place, len).prop_map(|(at, len)| (BASE + at * 4096, len.min(PAGES - at) * 4096))
}

fn line() -> impl Strategy<Value = String> {
    let prot = prop_oneof![
        Just("PROT_READ"),
        Just("PROT_READ|PROT_WRITE"),
        Just("PROT_NONE"),
        Just("PROT_READ|PROT_EXEC")
    ];
    let advice = prop_oneof![
        Just("MADV_DONTNEED"),
        Just("MADV_FREE"),
        Just("MADV_DONTFORK"),
        Just("MADV_DOFORK"),
        Just("MADV_NOHUGEPAGE"),
    ];
    let size = prop_oneof![Just(16), Just(32), Just(64), Just(128), Just(2048)];
    let mode = prop_oneof![Just("always"), Just("never")];
    let access = prop_oneof![Just("READ"), Just("WRITE")];
    prop_oneof![
        8 => (range(), prot).prop_map(|((at, len), prot)| format!("mprotect({at:#x}, {len}, {prot})")),
        4 => (range(), 1..9u8).prop_map(|((at, len), byte)| format!("memset({at:#x}, {byte}, {len})")),
        2 => (range(), access).prop_map(|((at, len), access)| format!("touch({at:#x}, {len}, {access})")),
        2 => (range(), advice).prop_map(|((at, len), advice)| format!("madvise({at:#x}, {len}, {advice})")),
        1 => range().prop_map(|(at, len)| format!("munmap({at:#x}, {len})")),
        1 => range().prop_map(|(at, len)| format!("mmap({at:#x}, {len}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)")),
        1 => (range(), range()).prop_map(|((at, len), (to, _))| {
            format!("mremap({at:#x}, {len}, {len}, MREMAP_MAYMOVE|MREMAP_FIXED, {:#x})", to + (1 << 28))
        }),
        2 => (size, mode).prop_map(|(size, mode)| format!("thp(\"{size}kB\", \"{mode}\")")),
        1 => Just("fork()".to_owned()),
        1 => Just("clear_refs(4)".to_owned()),
        1 => range().prop_map(|(at, len)| format!("numa_scan({at:#x}, {len})")),
    ]
}

fn program() -> impl Strategy<Value = String> {
    let start = format!(
        "mmap({BASE:#x}, 16M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nnuma(2)\nnuma_alloc(1)\n"
    );
    let end = format!("dump({BASE:#x}, 16M, \"end\")\ndump({:#x}, 16M, \"moved\")\n", BASE + (1 << 28));
    prop::collection::vec(line(), 1..40).prop_map(move |lines| format!("{start}{}\n{end}", lines.join("\n")))
}

fn run(text: &str, hw: HwKind) -> Vec<RunReport> {
    let scenario = scenario::parse(text).expect("the generator writes scenarios");
    let matrix = Matrix::new().kernels("6.16,6.17,7.3").expect("they exist").hw(hw);
    matrix.run(&scenario, Watch::nobody()).expect("machines can be built")
}

#[test]
fn every_machine_comes_to_the_same() {
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 24, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let done = runner.run(&program(), |text| {
        let (plain, counting, recording) =
            (run(&text, HwKind::Plain), run(&text, HwKind::Counting), run(&text, HwKind::Recording));
        for ((plain, counting), recording) in plain.iter().zip(&counting).zip(&recording) {
            let what = |r: &RunReport| (r.results.clone(), r.dumps.clone());
            prop_assert!(what(plain) == what(recording), "{} differs on plain memory", plain.machine());
            prop_assert!(counting == recording, "{} is counted otherwise than recorded", plain.machine());
        }
        Ok(())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}
