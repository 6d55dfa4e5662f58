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
/// Other memory, which takes frames away from it.
const ELSEWHERE: u64 = 0x3000_0000;

/// A range that begins and ends near a boundary as often as not.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let place = prop_oneof![
        0..PAGES,
        (0..PAGES / 16).prop_map(|i| i * 16),
        (0..PAGES / 512).prop_map(|i| i * 512),
        Just(0),
    ];
    let len = prop_oneof![1..40u64, 1..2048u64, (1..128u64).prop_map(|i| i * 16), Just(512), Just(PAGES)];
    (place, len).prop_map(|(at, len)| (BASE + at * 4096, len.min(PAGES - at) * 4096))
}

/// Sizes of folios, in KiB; 4 for none.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(4), 1 => Just(16), 1 => Just(32), 2 => Just(64), 1 => Just(128), 1 => Just(2048)]
}

/// Writes pages in folios of one size.
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
    let piece = (size(), 1..300u64, 0..3u64);
    prop::collection::vec(piece, 1..24).prop_map(|pieces| {
        let (mut lines, mut at) = (Vec::new(), 0);
        for (i, (size, pages, elsewhere)) in pieces.into_iter().enumerate() {
            let pages = if i % 2 == 0 { pages.next_multiple_of(16) } else { pages }.min(PAGES - at);
            if pages > 0 {
                lines.push(write_in(size, BASE + at * 4096, pages * 4096, 7));
            }
            if elsewhere > 0 {
                let other = ELSEWHERE + i as u64 * 16384;
                lines.push(format!("touch({other:#x}, {}, WRITE)", elsewhere * 4096));
            }
            at += pages;
        }
        lines.join("\n")
    })
}

fn line() -> impl Strategy<Value = String> {
    let prot = prop_oneof![
        Just("PROT_READ"),
        Just("PROT_READ|PROT_WRITE"),
        Just("PROT_NONE"),
        Just("PROT_READ|PROT_EXEC")
    ];
    let advice = prop_oneof![Just("MADV_DONTNEED"), Just("MADV_FREE"), Just("MADV_NOHUGEPAGE")];
    let access = prop_oneof![Just("READ"), Just("WRITE")];
    prop_oneof![
        4 => (range(), prot).prop_map(|((at, len), prot)| format!("mprotect({at:#x}, {len}, {prot})")),
        6 => range().prop_map(|(at, len)| {
            format!("mprotect({at:#x}, {len}, PROT_READ)\nmprotect({at:#x}, {len}, PROT_READ|PROT_WRITE)")
        }),
        3 => (size(), range(), 1..9u8).prop_map(|(size, (at, len), byte)| write_in(size, at, len, byte)),
        2 => (range(), access).prop_map(|((at, len), access)| format!("touch({at:#x}, {len}, {access})")),
        2 => (range(), advice).prop_map(|((at, len), advice)| format!("madvise({at:#x}, {len}, {advice})")),
        2 => range().prop_map(|(at, len)| {
            format!("madvise({at:#x}, {len}, MADV_DONTFORK)\nfork()\nmadvise({BASE:#x}, 16M, MADV_DOFORK)")
        }),
        1 => range().prop_map(|(at, len)| format!("munmap({at:#x}, {len})")),
        1 => range().prop_map(|(at, len)| {
            format!("mmap({at:#x}, {len}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)")
        }),
        1 => (range(), range()).prop_map(|((at, len), (to, _))| {
            format!("mremap({at:#x}, {len}, {len}, MREMAP_MAYMOVE|MREMAP_FIXED, {:#x})", to + (1 << 28))
        }),
        1 => Just("clear_refs(4)".to_owned()),
        2 => range().prop_map(|(at, len)| format!("madvise({at:#x}, {len}, MADV_PAGEOUT)")),
        1 => (range(), range()).prop_map(|((at, len), (to, to_len))| {
            format!("migrate_begin({at:#x}, {len})\nmprotect({to:#x}, {to_len}, PROT_READ)\nmigrate_end({at:#x}, {len})")
        }),
        1 => range().prop_map(|(at, len)| format!("device_private({at:#x}, {len})")),
        1 => range().prop_map(|(at, _)| format!("device_exclusive({at:#x})\nhwpoison({:#x})", at ^ 0x1000)),
        1 => range().prop_map(|(at, len)| format!("numa_scan({at:#x}, {len})")),
    ]
}

fn program() -> impl Strategy<Value = String> {
    let private = "PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)";
    let start = format!(
        "mmap({BASE:#x}, 16M, {private}\nmmap({ELSEWHERE:#x}, 16M, {private}\nnuma(2)\nnuma_alloc(1)\nswapon(4M)"
    );
    let end = format!("dump({BASE:#x}, 16M, \"end\")\ndump({:#x}, 16M, \"moved\")", BASE + (1 << 28));
    (filled(), prop::collection::vec(line(), 1..24))
        .prop_map(move |(filled, lines)| format!("{start}\n{filled}\n{}\n{end}\n", lines.join("\n")))
}

fn run(text: &str, hw: HwKind) -> Vec<RunReport> {
    let scenario = scenario::parse(text).expect("the generator writes scenarios");
    let matrix = Matrix::new().kernels("6.16,6.17,7.3").expect("they exist").hw(hw);
    matrix.run(&scenario, Watch::nobody()).expect("machines can be built")
}

#[test]
fn every_machine_comes_to_the_same() {
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 200, failure_persistence: None, ..Config::default() },
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
