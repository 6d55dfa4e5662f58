//! The checks themselves: random programs keep them, historical bugs break them, and no check is there for nothing.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ptelab::check::{BUGS, Bug, needed};
use ptelab::fuzz::{Check, Checks, Coverage, Plan, Planned, Size, c_program, program, program_of, shrink};
use ptelab::{default_port_names, kernels, register_ports, scenario};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

fn bug(name: &str) -> &'static Bug {
    BUGS.iter().find(|bug| bug.name == name).expect("it is listed")
}

#[test]
fn random_programs_keep_every_check() {
    let plan = Plan::new(default_port_names(), kernels::usual().collect(), Size::SMALL);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let bytes = (prop::collection::vec(any::<u8>(), Size::SMALL.bytes()), 0..9u64);
    let done = TestRunner::new_with_rng(config, rng).run(&bytes, |(bytes, case)| {
        let lines = program(&bytes, Size::SMALL).expect("any bytes are a program");
        let kept = plan.run(case, &lines, &mut Coverage::default());
        prop_assert!(kept.is_ok(), "{}", ptelab::fuzz::scenario_text(&kept.unwrap_err(), None));
        Ok(())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}

/// MADV_COLD left the translation of a huge page, and s390x flushes no entry that is invalid already, as old ones are.
#[test]
fn a_huge_page_made_cold_leaves_no_translation() {
    let text = r#"mmap(0x40000000, 1M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
thp("1024kB", "always")
memset(0x40000000, 2, 4K)
madvise(0x40000000, 1M, MADV_COLD)
mremap(0x40000000, 4K, 4K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50062000)
"#;
    let scenario = scenario::parse(text).expect("a scenario");
    let lines: Vec<_> = scenario.steps().map(|step| step.line.clone()).collect();
    register_ports();
    let plan = Plan::new(vec!["s390x"], kernels::usual().collect(), Size::SMALL);
    // A case of the kind that looks at a whole huge page.
    let kept = plan.run(15, &lines, &mut Coverage::default());
    assert!(kept.is_ok(), "{}", ptelab::fuzz::scenario_text(&kept.unwrap_err(), None));
}

#[test]
fn programs_are_scenarios_and_the_same_for_the_same_seed() {
    for case in 0..200 {
        let lines = program_of(5, case, Size::LARGE);
        assert_eq!(lines, program_of(5, case, Size::LARGE));
        let mut text = String::new();
        for line in &lines {
            writeln!(text, "{line}").expect("strings take text");
        }
        let read = scenario::parse(&text).expect("programs are written as scenarios");
        let again: Vec<_> = read.steps().map(|step| step.line.clone()).collect();
        assert_eq!(again, lines);
    }
    assert_ne!(program_of(5, 0, Size::SMALL), program_of(6, 0, Size::SMALL));
}

/// What `--emit-c` writes is accepted without a warning, whatever calls a program makes, by every port's compiler that is there.
#[test]
fn c_programs_compile() {
    let compilers = ["cc", "aarch64-linux-gnu-gcc", "x86_64-linux-gnu-gcc", "riscv64-linux-gnu-gcc"];
    let is_there = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    for compiler in compilers.iter().filter(is_there) {
        for case in 0..24 {
            let text = c_program(&program_of(3, case, Size::SMALL));
            let done = compile(compiler, &text, &["-fsyntax-only"]);
            assert!(done, "{compiler}, case {case}:\n{text}");
        }
    }
}

fn compile(compiler: &str, text: &str, args: &[&str]) -> bool {
    let flags = ["-x", "c", "-Wall", "-Wextra", "-Werror", "-"];
    let mut compiler = Command::new(compiler)
        .args(args)
        .args(flags)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it was there just now");
    compiler.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it is read");
    compiler.wait().expect("it ends").success()
}

/// A program puts back what it set: when it ends, when a process of it is killed, and when it is told to end.
#[test]
fn c_programs_put_settings_back() {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!("skipped: there is no cc");
        return;
    }
    let folder = std::env::temp_dir().join(format!("ptelab-emit-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("hugepages-64kB")).expect("a folder for temporary files");
    let (file, binary) = (folder.join("hugepages-64kB/enabled"), folder.join("program"));
    let scenario = scenario::parse("thp(\"64kB\", \"never\")\nfork() = 2\n").expect("a scenario");
    let lines: Vec<_> = scenario.steps().map(|step| step.line.clone()).collect();
    let program =
        c_program(&lines).replace("/sys/kernel/mm/transparent_hugepage", &folder.display().to_string());
    let with =
        |end: &str| program.replacen("\twhile (wait(0) > 0)", &format!("\t{end}\n\twhile (wait(0) > 0)"), 1);
    for (end, signal) in
        [("", None), ("abort();", None), ("pause();", Some("TERM")), ("pause();", Some("INT"))]
    {
        std::fs::write(&file, "always [madvise] never\n").expect("it is written");
        if !compile("cc", &with(end), &["-o", &binary.display().to_string()]) {
            continue;
        }
        let mut running =
            Command::new(&binary).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        if let Some(signal) = signal {
            while !std::fs::read_to_string(&file).expect("it is there").starts_with("never") {
                std::thread::yield_now();
            }
            Command::new("kill")
                .args([&format!("-{signal}"), &running.id().to_string()])
                .status()
                .expect("kill");
        }
        running.wait().expect("it ends");
        let now = std::fs::read_to_string(&file).expect("it is there");
        assert!(now.starts_with("madvise"), "after {end} {signal:?}: {now}");
    }
    std::fs::remove_dir_all(&folder).expect("it is removed");
}

/// Every bug is found by a law, or else by random programs, or else where hardware interferes.
#[test]
fn every_bug_is_found() {
    let never = AtomicBool::new(false);
    for bug in BUGS {
        let by_programs = || bug.fuzz(1, 40_000, Checks::ALL, &never).is_some();
        let found = bug.broken_law(&never).is_some() || bug.lost_race(&never).is_some() || by_programs();
        assert!(found, "{}", bug.name);
    }
}

/// The bug of 6.17-rc1 needs no more than eight lines to be seen.
#[test]
fn the_head_page_bug_is_shown_in_eight_lines() {
    let bug = bug("head-page");
    let found = bug.fuzz(1, 4000, Checks::ALL, &AtomicBool::new(false)).expect("it is found");
    let short = shrink(&bug.plan(Checks::ALL), found);
    assert!(short.lines.len() <= 8, "{:?}", short.lines);
    assert_eq!(short.violation.check, Check::Writable);
}

/// With each check switched off in turn, a bug goes unfound that it finds.
#[test]
fn checks_are_needed() {
    for row in needed(&AtomicBool::new(false)) {
        assert!(row.seed.is_some(), "{} is not needed for {}", row.check, row.bug);
    }
}
