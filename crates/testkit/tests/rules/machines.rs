//! Random programs come out alike on every kind of machine: in results, in every entry, and in what they took. The fast
//! machine and the counting one take stretches of a table at once that the recording one takes entry by entry.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ptelab::exec::Watch;
use ptelab::fuzz::{BASE, ELSEWHERE, Size, program};
use ptelab::kernels::{listed, usual};
use ptelab::scenario;
use ptelab::{Builder, HwKind, Matrix, RunReport};

/// Pages that programs work on: eight tables.
const PAGES: u64 = Size::LARGE.pages;
/// Other memory, which takes frames away from it.
const APART: u64 = 0x3000_0000;

/// Writes pages in folios of one size, in KiB; 4 for none.
fn write_in(size: u64, at: u64, len: u64, byte: u8) -> String {
    let write = format!("memset({at:#x}, {byte}, {len})");
    if size == 4 {
        return write;
    }
    format!("thp(\"{size}kB\", \"always\")\n{write}\nthp(\"{size}kB\", \"never\")")
}

/// Memory filled front to back: pieces of several sizes, and pages elsewhere between them, so that neighbours have
/// neighbouring frames, aligned and not.
fn filled() -> impl Strategy<Value = String> {
    let size = prop_oneof![2 => Just(4), 1 => Just(16), 1 => Just(32), 2 => Just(64), 1 => Just(128), 1 => Just(2048)];
    let piece = (size, 1..300u64, 0..3u64);
    prop::collection::vec(piece, 1..24).prop_map(|pieces| {
        let private = "PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)";
        let (mut lines, mut at) = (vec![format!("mmap({APART:#x}, 16M, {private}")], 0);
        for (i, (size, pages, apart)) in pieces.into_iter().enumerate() {
            let pages = if i % 2 == 0 { pages.next_multiple_of(16) } else { pages }.min(PAGES - at);
            if pages > 0 {
                lines.push(write_in(size, BASE + at * 4096, pages * 4096, 7));
            }
            if apart > 0 {
                lines.push(format!("touch({:#x}, {}, WRITE)", APART + i as u64 * 16384, apart * 4096));
            }
            at += pages;
        }
        lines.join("\n")
    })
}

/// A program whose memory, mapped by its first line, is filled before it goes on.
fn filled_program() -> impl Strategy<Value = String> {
    let bytes = prop::collection::vec(any::<u8>(), Size::LARGE.bytes());
    (filled(), bytes).prop_map(|(filled, bytes)| {
        let lines = program(&bytes, Size::LARGE).expect("any bytes are a program");
        let mut lines = lines.iter().map(ToString::to_string);
        let first = lines.next().expect("it maps memory");
        let rest: Vec<String> = lines.collect();
        let dumps = format!("dump({BASE:#x}, 16M, \"end\")\ndump({ELSEWHERE:#x}, 16M, \"moved\")");
        format!("{first}\n{filled}\n{}\n{dumps}\n", rest.join("\n"))
    })
}

fn run(text: &str, hw: HwKind) -> Vec<RunReport> {
    let scenario = scenario::parse(text).expect("the generator writes scenarios");
    let matrix = Matrix::new().kernels(&listed(usual())).expect("they exist").hw(hw);
    matrix.run(&scenario, Watch::nobody()).expect("machines can be built")
}

#[test]
fn every_machine_comes_to_the_same() {
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 200, failure_persistence: None, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let done = runner.run(&filled_program(), |text| {
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

/// Programs that crashed a machine, or a build of it that checks what it assumes.
const CRASHED: &[(&str, &str)] = &[
    // A block of a folio that would end beyond the last address.
    (
        "s390x",
        "thp(\"16kB\", \"always\")
        mmap(0xffffffffffff0000, 60K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0xffffffffffff0000, 1, 60K)",
    ),
    // Tables of a tree that grew twice since.
    (
        "s390x",
        "mmap(0xfffffffff000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        mmap(0x100000000000000, 1T, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_STACK, 3, 4K)
        munmap(0xfffffffff000, 2M)",
    ),
    // A huge page that migrates already.
    (
        "loong64",
        "thp(\"32768kB\", \"always\")
        mmap(0x40000000, 32M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40000000, 7, 1M)
        migrate_begin(0x40360000, 16K)
        migrate_begin(0x40e00000, 64K)",
    ),
];

#[test]
fn what_crashed_once_runs() {
    ptelab::register_ports();
    for (port, text) in CRASHED {
        let scenario = scenario::parse(text).expect("it is a scenario");
        for rules in usual() {
            let mut vm = Builder::new(port).kernel(rules).build().expect("there is such a port");
            let results: Vec<_> =
                scenario.steps().map(|step| vm.call(step.line.pid.unwrap_or(1), &step.line.call)).collect();
            assert_eq!(results.len() as u128, scenario.step_count(), "{port}, {}", rules.name);
        }
    }
}
