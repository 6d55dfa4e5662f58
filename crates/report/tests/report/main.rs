//! What a report holds: the data behind it, its size, and that nothing in a source can get out of it.

mod causes;

use ptelab::deciding::Between;
use ptelab::exec::Watch;
use ptelab::observe::{self, Observer, Seen};
use ptelab::replay::Options;
use ptelab::scenario::strace::Reader;
use ptelab::{Backend, HwKind, Matrix, Pid, PteView, VirtAddr};
use ptelab_report::{
    Explainer, State, Trace, TraceEvent, Tracer, data_json, html, name_rules, trace_log, trace_scenario,
};
use std::path::{Path, PathBuf};

const T2: &str = include_str!("../../../../fixtures/scenarios/t2-two-megabytes.scn");

fn matrix(ports: &str, kernels: &str) -> Matrix {
    Matrix::new().ports(ports).and_then(|m| m.kernels(kernels)).expect("ports and kernels exist")
}

fn trace(name: &str, text: &str, matrix: Matrix) -> Trace {
    let scenario = ptelab::scenario::parse(text).expect("the scenario is right");
    trace_scenario(name, &scenario, matrix, Watch::nobody()).expect("machines of these kinds exist")
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("fixtures").map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// What a call did, in numbers: batches, entries in them, single writes, folds, unfolds, flushes.
fn sums(trace: &Trace, machine: usize, call: usize) -> [u64; 6] {
    let mut sums = [0; 6];
    for (_, event) in &trace.lanes[machine].steps[call - 1].events {
        match event {
            TraceEvent::Batch(_, n) => {
                sums[0] += 1;
                sums[1] += n;
            }
            TraceEvent::Write(_, 1) => sums[2] += 1,
            TraceEvent::Write(..) => {}
            TraceEvent::Fold(_) => sums[3] += 1,
            TraceEvent::Unfold(_) => sums[4] += 1,
            TraceEvent::Flush(..) | TraceEvent::FlushAll => sums[5] += 1,
        }
    }
    sums
}

#[test]
fn blocks_unfold_one_by_one_and_batches_do_not() {
    let trace = trace("t2", T2, matrix("arm64,x86_64", "6.16,6.17"));
    assert_eq!(sums(&trace, 0, 4), [0, 0, 512, 32, 32, 65], "arm64, 6.16");
    assert_eq!(sums(&trace, 1, 4), [32, 512, 0, 0, 0, 1], "arm64, 6.17");
    assert_eq!(sums(&trace, 2, 4), [0, 0, 512, 0, 0, 1], "x86_64, 6.16");
    assert_eq!(sums(&trace, 3, 4), [32, 512, 0, 0, 0, 1], "x86_64, 6.17");
}

#[test]
fn happenings_are_where_they_happen() {
    let trace = trace("t2", T2, matrix("arm64", "6.17"));
    let addr = VirtAddr::new;
    // The last mprotect reaches from the middle of one block to the middle of the next.
    let happened: Vec<TraceEvent> = trace.lanes[0].steps[6].events.iter().map(|(_, h)| *h).collect();
    let entries: Vec<TraceEvent> =
        happened.into_iter().filter(|h| !matches!(h, TraceEvent::Flush(..))).collect();
    let wanted = [
        TraceEvent::Unfold(addr(0x4000_0000)),
        TraceEvent::Batch(addr(0x4000_8000), 8),
        TraceEvent::Unfold(addr(0x4001_0000)),
        TraceEvent::Batch(addr(0x4001_0000), 8),
    ];
    assert_eq!(entries, wanted);
}

#[test]
fn the_data_behind() {
    let text = "thp(\"64kB\", \"always\")\n\
        mmap(0x40000000, 128K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 7, 64K)\n\
        mprotect(0x40000000, 64K, PROT_READ) = 0\n\
        fork() = 2\n\
        [pid 2] munmap(0x40000000, 4K) = 0\n\
        [pid 2] exit_group(0)\n";
    let trace = trace("small", text, matrix("arm64", "6.16,6.17"));
    let data: serde_json::Value = serde_json::from_str(&data_json(&trace).unwrap()).unwrap();
    let steps: Vec<String> = data["machines"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .flat_map(|(at, machine)| {
            let name = format!("{} {}", machine["arch"], machine["kernel"]);
            let words = machine["words"].to_string();
            let mut space = serde_json::Value::Null;
            let whole = |steps| {
                let before = space.clone();
                space = whole_step(steps, (0, machine), &before)["s"].clone();
                whole_step(steps, (at, machine), &before).to_string()
            };
            let steps = data["steps"].as_array().unwrap().iter().map(whole);
            [name, words].into_iter().chain(steps).collect::<Vec<_>>()
        })
        .collect();
    insta::assert_snapshot!("the_data_behind", steps.join("\n"));
    assert_eq!(data["calls"]["lines"], serde_json::json!([1, 1, 1, 1, 1, 1, 1]));
}

/// What the page makes of a call's steps for one machine: with what is as on the machine before, or in the call before, and pages as
/// they are; without what says nothing.
fn whole_step(
    steps: &serde_json::Value,
    (at, machine): (usize, &serde_json::Value),
    space: &serde_json::Value,
) -> serde_json::Value {
    let mut whole = serde_json::Map::new();
    for (field, value) in [("o", 0.into()), ("s", space.clone()), ("k", 0.into())] {
        whole.insert(field.to_owned(), value);
    }
    for step in &steps.as_array().unwrap()[..=at] {
        whole.extend(step.as_object().unwrap().clone());
    }
    let instructions = machine["instructions"].get(whole["k"].as_u64().unwrap() as usize);
    whole.insert("i".to_owned(), instructions.cloned().unwrap_or_default());
    let first = whole.remove("b").map_or(0, |first| first.as_u64().unwrap());
    let add = |page: &mut serde_json::Value| *page = (page.as_u64().unwrap() + first).into();
    for field in ["c", "w", "h"] {
        for row in whole.get_mut(field).and_then(|rows| rows.as_array_mut()).into_iter().flatten() {
            if field != "h" || row[0] != 5 {
                add(&mut row[1]);
            }
        }
    }
    for row in whole.get_mut("v").and_then(|rows| rows.as_array_mut()).into_iter().flatten() {
        row[3].as_array_mut().unwrap().iter_mut().for_each(|area| add(&mut area[0]));
    }
    let says_nothing = |(field, value): (&String, &mut serde_json::Value)| {
        let empty = value.as_array().is_some_and(Vec::is_empty);
        empty
            || field == "i" && value.is_null()
            || field == "x" && value == false
            || field == "m" && value == 0
    };
    whole.retain(|field, value| !says_nothing((field, value)));
    whole.into()
}

#[test]
fn a_large_run_is_summarised_by_table() {
    let text = "mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 7, 2M)\n\
        repeat 200 {\n\
        mprotect(0x40000000, 2M, PROT_READ)\n\
        mprotect(0x40000000, 2M, PROT_READ|PROT_WRITE)\n\
        }\n\
        mprotect(0x40100000, 4K, PROT_READ)\n";
    let trace = trace("large", text, matrix("x86_64", "6.16"));
    let lane = &trace.lanes[0];
    let (detailed, summed) = lane.steps.split_at(lane.detailed);
    assert!(detailed.iter().skip(1).all(|step| !step.events.is_empty()));
    assert!(summed.len() > 10 && summed.iter().all(|step| step.events.is_empty()));
    // One page of 512 is read-only, wherever it lies.
    let pieces = &summed.last().unwrap().changes[0].pieces;
    let mut kinds: Vec<(u64, bool)> = pieces
        .iter()
        .map(|piece| match lane.words.all[piece.word as usize].view {
            PteView::Present(mapping) => (piece.n, mapping.attrs.contains(ptelab::PteAttrs::WRITE)),
            other => panic!("{other:?}"),
        })
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [(1, false), (511, true)]);
}

#[test]
fn a_fork_is_seen_where_it_writes_nothing() {
    let text = "mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 7, 4K)\n\
        mprotect(0x40000000, 4K, PROT_READ)\n\
        fork() = 2\n";
    let trace = trace("fork", text, matrix("x86_64", "7.3"));
    let mut state = State::new(&trace.lanes[0]);
    let exclusive = |state: &State<'_>| state.entry(1, VirtAddr::new(0x4000_0000)).unwrap().exclusive;
    state.go_to(3);
    assert!(exclusive(&state));
    state.go_to(4);
    assert!(!exclusive(&state));
}

#[test]
fn nothing_gets_out_of_the_page() {
    let evil = "</script><script>alert(1)</script><!--";
    let text = "mmap(0x40000000, 8K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        dump(0x40000000, 8K, \"</script><img src=x onerror=alert(1)>\")\n";
    let page = html(&trace(evil, text, matrix("x86_64", "7.3"))).unwrap();
    assert_contained(&page);

    let log = "1 openat(AT_FDCWD, \"/tmp/</script><b>\", O_RDONLY) = 3</tmp/</script><b>>\n\
        1 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3</tmp/</script><b>>, 0) = 0x7f0000000000\n";
    let reader = Reader::new(log.as_bytes());
    let (trace, _) =
        trace_log("x", reader, matrix("x86_64", "7.3"), &Options::default(), Watch::nobody()).unwrap();
    let page = html(&trace).unwrap();
    assert_contained(&page);
    assert!(page.contains("/tmp/\\u003c/script>\\u003cb>"), "the path is there, escaped");
}

/// The page ends the two scripts that it has, and no name has become a tag.
fn assert_contained(page: &str) {
    assert_eq!(page.matches("</script").count(), 2);
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<b>"));
}

#[test]
fn pages_of_fixtures_are_small_and_load_nothing() {
    for path in fixtures("scenarios") {
        let text = std::fs::read_to_string(&path).unwrap();
        if path.file_stem().is_some_and(|stem| stem == "seed") {
            continue;
        }
        let page = html(&trace("fixture", &text, matrix("arm64,x86_64", "6.16,7.3"))).unwrap();
        assert!(page.len() < 2 << 20, "{}: {} bytes", path.display(), page.len());
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{}", path.display());
    }
}

/// A tracer, and beside it what the machine held after each call.
struct Witness {
    tracer: Tracer,
    held: Vec<Vec<(Pid, VirtAddr, u64)>>,
}

impl Observer for Witness {
    fn seen(&mut self, vm: &dyn Backend, seen: Seen<'_>) {
        self.tracer.seen(vm, seen);
        let mut held = Vec::new();
        for pid in vm.processes() {
            for area in vm.areas(pid, 0, u64::MAX).unwrap() {
                let step =
                    (area.end.since(area.start) / 64).max(vm.page_size()).next_multiple_of(vm.page_size());
                let mut addr = area.start;
                while addr < area.end {
                    let (_, pte, view) = vm.entry(pid, addr).unwrap();
                    // The words of a lane are without frames.
                    let bits = match view {
                        PteView::Present(m) => pte.0 & !vm.words().pfn_mask(pte, m.level),
                        PteView::Soft(leaf) if leaf.pfn().is_some() => word_without_frame(vm, pid, addr),
                        _ => pte.0,
                    };
                    held.push((pid, addr, bits));
                    addr = addr.add(step);
                }
            }
        }
        self.held.push(held);
    }
}

/// The word of an entry that stands for a page that is not present.
fn word_without_frame(vm: &dyn Backend, pid: Pid, addr: VirtAddr) -> u64 {
    let snapshot = vm.snapshot(pid, addr.get(), vm.page_size()).unwrap();
    snapshot.runs.iter().next().unwrap().bits
}

#[test]
fn a_state_is_what_the_machine_held() {
    for path in fixtures("scenarios") {
        if path.file_stem().is_some_and(|stem| stem == "seed" || stem == "long-stretches") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = ptelab::scenario::parse(&text).unwrap();
        let matrix = matrix("all", "6.16,7.3").hw(HwKind::Recording);
        let witness = |vm: &dyn Backend| Witness { tracer: Tracer::new(vm), held: Vec::new() };
        let (done, _) = observe::scenario(&matrix, &scenario, Watch::nobody(), witness).unwrap();
        for Witness { tracer, held } in done {
            let lane = tracer.into_lane();
            let mut state = State::new(&lane);
            let forth = 1..=held.len();
            for call in forth.clone().chain(forth.rev()) {
                state.go_to(call);
                for &(pid, addr, bits) in &held[call - 1] {
                    let got = state.entry(pid, addr).map_or(0, |entry| entry.word.bits);
                    let place = format!("{} {}: call {call}, {pid} {addr}", path.display(), lane.machine());
                    assert_eq!(got, bits, "{place}: {got:#x} {bits:#x}");
                }
            }
        }
    }
}

/// What is told of an entry of process 1, up to a call.
fn explained(text: &str, ports: &str, kernels: &str, va: u64, at: u64) -> String {
    let scenario = ptelab::scenario::parse(text).unwrap();
    let matrix = matrix(ports, kernels).hw(HwKind::Recording);
    let explainer = |vm: &dyn Backend| Explainer::new(vm, 1, VirtAddr::new(va), at);
    let (told, _) = observe::scenario(&matrix, &scenario, Watch::nobody(), explainer).unwrap();
    told.iter().map(Explainer::text).collect::<Vec<_>>().join("\n")
}

/// The rule that makes 6.17-rc1 go wrong is named where its entry does, and by the call of a report.
#[test]
fn the_rule_that_two_kernels_differ_by_is_named() {
    let text = include_str!("../../../../fixtures/scenarios/exclusive-mid-folio.scn");
    let scenario = ptelab::scenario::parse(text).unwrap();
    let matrix = matrix("arm64", "6.17-rc1,6.17").hw(HwKind::Recording);
    let (_, _, between) = Between::neighbours(&matrix.subjects()).remove(0);
    let explainer = |vm: &dyn Backend| Explainer::new(vm, 1, VirtAddr::new(0x4000_8000), 99);
    let on = |matrix: &Matrix| observe::scenario(matrix, &scenario, Watch::nobody(), explainer).unwrap().0;
    let mut sides = on(&matrix);
    let (left, right) = sides.split_at_mut(1);
    assert!(left[0].differs(&right[0]));
    Explainer::name_rules(&mut left[0], &mut right[0], &between, &on(&between.machines()));
    let rule = "  rule    exclusive_from_folio_head (in 6.17-rc1, not in 6.17): A batch reads its AnonExclusive bits from";
    for side in &sides {
        let text = side.text();
        let (before, told) = text.split_once("\ncall 7, ").expect("the upgrade is told of");
        assert!(!before.contains("rule ") && told.contains(rule), "{text}");
    }
    let mut trace = trace_scenario("x", &scenario, matrix.clone(), Watch::nobody()).unwrap();
    let again = |machines| trace_scenario("a.scn", &scenario, machines, Watch::nobody());
    name_rules(&mut trace, &matrix, again).unwrap();
    let first = trace.rules.first().map(|one| (one.call, one.machines, one.rule.id));
    assert_eq!(first, Some((6, [0, 1], "exclusive_from_folio_head")), "{:?}", trace.rules);
}

#[test]
fn an_entry_is_explained() {
    insta::assert_snapshot!("an_entry_is_explained", explained(T2, "arm64", "6.16,6.17", 0x4000_9000, 7));
}

/// The call changes the other half of the block. What it does there is only what led to the unfold here.
#[test]
fn a_neighbours_unfold_is_explained() {
    insta::assert_snapshot!(
        "a_neighbours_unfold_is_explained",
        explained(T2, "arm64", "6.16,7.3", 0x4000_1000, 7)
    );
}

/// Calls that change entries of other processes, and leave entries as they are.
#[test]
fn what_others_do_is_explained() {
    let text = "swapon(1M)
        mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40000000, 7, 8K)
        fork() = 2
        [pid 2] migrate_begin(0x40000000, 4K)
        [pid 2] migrate_end(0x40000000, 4K)
        madvise(0x40000000, 8K, MADV_PAGEOUT)
        [pid 2] exit_group(0)
        mprotect(0x40000000, 8K, PROT_READ)
        mprotect(0x40000000, 8K, PROT_READ|PROT_WRITE)
        mremap(0x40000000, 8K, 8K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000)";
    insta::assert_snapshot!("what_others_do_is_explained", explained(text, "x86_64", "7.3", 0x4000_0000, 99));
}

/// A fork, and a folio that moves for both: what was done to the child's entries is not told of the parent's.
#[test]
fn what_is_done_to_another_process_is_not_told_of_this_one() {
    let text = "thp(\"64kB\", \"always\")
        mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40000000, 7, 64K)
        fork() = 2
        memset(0x40000000, 3, 4K)
        migrate_begin(0x40000000, 64K)
        migrate_end(0x40000000, 64K)";
    let told = explained(text, "arm64", "7.3", 0x4000_0000, 7);
    let (_, migrates) = told.split_once("migrate_begin").expect("it changes the entry");
    assert!(!migrates.contains("fold"), "the copied page is in no block:\n{told}");
}
