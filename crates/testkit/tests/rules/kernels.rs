//! The tables of changes: that each row can be told from what a kernel does, and what is said of them.

use ptelab::check::{BUGS, Planted};
use ptelab::exec::Watch;
use ptelab::mm::MREMAP_KEEPS_UFFD_WP;
use ptelab::pgtable::{Probe, Shows};
use ptelab::{
    Builder, Change, HwKind, KernelRules, RunReport, changes, default_port_names, register_ports, scenario,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What decides a probe, on a machine.
fn seen(report: &RunReport, shows: Shows) -> String {
    let mut text = String::new();
    let dumps = report.dumps.iter().map(|dump| &dump.snapshot);
    match shows {
        Shows::Results => report.results.iter().for_each(|result| writeln!(text, "{result}").expect("text")),
        Shows::Counts => write!(text, "{:?}", report.total().counters).expect("text"),
        Shows::Areas => dumps.for_each(|dump| write!(text, "{:?}", dump.vmas).expect("text")),
        Shows::Words => dumps.flat_map(|dump| &dump.runs).for_each(|run| {
            writeln!(text, "{} {:?} {} {:#x}", run.addr, run.level, run.n, run.bits).expect("text");
        }),
        Shows::Pages => dumps.flat_map(|dump| &dump.runs).for_each(|run| {
            let folio = run.page.map(|page| (page.folio_pages, page.offset, page.mapcount));
            writeln!(text, "{} {} {folio:?} {:?}", run.addr, run.n, run.pagemap).expect("text");
        }),
    }
    text
}

fn play(probe: &str, shows: Shows, port: &str, rules: &'static KernelRules) -> String {
    let probe = scenario::parse(probe).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut vm = Builder::new(port).kernel(rules).hw(HwKind::Counting).build().expect("a machine");
    let report = RunReport::of(&mut *vm, &probe, Watch::nobody());
    assert!(report.finished && report.unexpected.is_empty(), "{:?}", report.unexpected);
    seen(&report, shows)
}

/// The ports on which a probe tells a kernel with the change from one without.
fn told_apart(owner: &'static str, change: &Change, on: &KernelRules) -> Vec<&'static str> {
    let Probe::Plays { scenario, shows } = change.probe else { return Vec::new() };
    let [with, without] = [true, false].map(|holds| on.with(change, holds));
    let mut ports = ports_of(owner);
    ports.retain(|port| play(scenario, shows, port, with) != play(scenario, shows, port, without));
    ports
}

/// Ports that show a row: its own, and every one that is always there for one of mm.
fn ports_of(owner: &'static str) -> Vec<&'static str> {
    if owner == "mm" { default_port_names() } else { vec![owner] }
}

#[test]
fn every_probe_decides() {
    register_ports();
    let mut undecided = Vec::new();
    for (owner, change) in changes() {
        match change.probe {
            Probe::Unseen(why) => assert!(!why.is_empty(), "{}", change.id),
            Probe::Plays { .. } if told_apart(owner, change, KernelRules::DEFAULT).is_empty() => {
                undecided.push(change.id);
            }
            Probe::Plays { .. } => {}
        }
    }
    assert!(undecided.is_empty(), "these probes show nothing: {undecided:?}");
}

/// On the kernels before and after a change the probe says so, too, whatever else changed between them.
#[test]
fn probes_tell_the_known_kernels_apart() {
    register_ports();
    for (owner, change) in changes() {
        let Probe::Plays { scenario, shows } = change.probe else { continue };
        let holds = |rules: &KernelRules| rules.has(change);
        let begins = KernelRules::turn(holds);
        let Some((old, new)) = begins.or_else(|| KernelRules::turn(|rules| !holds(rules))) else { continue };
        let differs = |port| play(scenario, shows, port, old) != play(scenario, shows, port, new);
        assert!(
            ports_of(owner).into_iter().any(differs),
            "{}: {} and {} look alike",
            change.id,
            old.name,
            new.name
        );
    }
}

#[test]
fn rows_are_well_formed() {
    let mut ids = BTreeSet::new();
    for (owner, change) in changes() {
        let id = change.id;
        assert!(ids.insert(id), "{owner} has a second {id}");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{id}");
        assert!(change.what().ends_with('.') && !change.what().contains('\n'), "{id}: one line");
        assert!(change.since.is_some() || change.until.is_some(), "{id} never changed");
        for turn in [change.since, change.until].into_iter().flatten() {
            assert!(turn.last_without.is_none_or(|last| last < turn.first), "{id}");
            assert!(turn.commit.is_none_or(|commit| commit.len() == 12), "{id}");
        }
        let asked = |holds| KernelRules::ALL.iter().any(|rules| rules.has(change) == holds);
        assert!(asked(true) && asked(false), "{id} is the same in every known kernel: it decides nothing");
    }
}

/// What check plants is a row that other kernels have, or a fault that mm has for it.
#[test]
fn planted_bugs_are_planted() {
    let planted = BUGS.iter().filter_map(|bug| match bug.planted {
        Planted::Rules(rules) => Some((bug.name, rules)),
        Planted::Port(_) => None,
    });
    let mut count = 0;
    for (name, rules) in planted {
        count += 1;
        let sound = rules.sound();
        let differs = changes().any(|(_, change)| rules.has(change) != sound.has(change));
        let is_history = KernelRules::ALL.contains(rules);
        assert!(differs || is_history || rules.plants(MREMAP_KEEPS_UFFD_WP), "{name}");
    }
    assert!(count > 0);
}
