//! mm says why: of every entry that a call changed, over all scenarios, ports and kernels.

use ptelab::exec::Watch;
use ptelab::observe::{self, Observer, Seen};
use ptelab::pgtable::laws::PortFacts;
use ptelab::replay::{self, FaultIn, Options};
use ptelab::scenario::strace::Reader;
use ptelab::{
    Backend, Cause, HwKind, Level, Matrix, Pid, PortVisitor, Pte, VirtAddr, kernels, port_names, visit_port,
};
use ptelab_report::{Lane, Part, Tracer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Entries of all processes that are not empty: a huge leaf at the first address that it maps.
type Entries = BTreeMap<(Pid, VirtAddr), (Level, Pte)>;

fn held(vm: &dyn Backend) -> Entries {
    let mut all = Entries::new();
    let shape = vm.shape();
    for pid in vm.processes() {
        let tables = vm.tables(pid).unwrap();
        for table in tables.iter().filter(|table| table.level <= Level::Pmd) {
            let size = shape.entry_size(table.level);
            for i in 0..shape.entries(table.level) as u64 {
                let addr = table.addr.add(i * size);
                let (level, pte, _) = vm.entry(pid, addr).unwrap();
                if level == table.level && pte != Pte::NONE {
                    all.insert((pid, addr), (level, pte));
                }
            }
        }
    }
    all
}

/// A tracer, and what entries changed in each call.
struct Witness {
    tracer: Tracer,
    held: Entries,
    changed: Vec<Vec<(Pid, VirtAddr)>>,
}

impl Witness {
    fn new(vm: &dyn Backend) -> Self {
        Self { tracer: Tracer::new(vm), held: held(vm), changed: Vec::new() }
    }
}

impl Observer for Witness {
    fn seen(&mut self, vm: &dyn Backend, seen: Seen<'_>) {
        self.tracer.seen(vm, seen);
        let now = held(vm);
        let keys: BTreeSet<_> = self.held.keys().chain(now.keys()).copied().collect();
        let changed = keys.into_iter().filter(|key| self.held.get(key) != now.get(key)).collect();
        self.changed.push(changed);
        self.held = now;
    }
}

/// What fixtures have no place for: a CPU that lacks something, with what is to happen on it.
const MORE: &[(&str, &str)] = &[
    (
        "arm64.hafdbs=off",
        "thp(\"64kB\", \"always\")
        thp(\"2048kB\", \"madvise\")
        mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        mmap(0x40200000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        madvise(0x40200000, 2M, MADV_HUGEPAGE)
        memset(0x40000000, 7, 64K)
        memset(0x40200000, 7, 2M)
        clear_refs(1)
        touch(0x40001000, 4K, READ)
        touch(0x40200000, 4K, READ)",
    ),
    (
        "arm64.erratum_2645198=on",
        "mmap(0x40000000, 4K, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40000000, 7, 4K)
        mprotect(0x40000000, 4K, PROT_READ)",
    ),
    (
        "arm64.range_tlbi=off",
        "mmap(0x40000000, 4M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40000000, 7, 4M)
        mprotect(0x40000000, 4M, PROT_READ)",
    ),
    (
        "x86_64.soft_dirty=off",
        "mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
        touch(0x40000000, 8K, READ)
        madvise(0x40001000, 4K, MADV_GUARD_INSTALL)
        fork() = 2
        swapon(1M)
        mmap(0x40200000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40200000, 7, 4K)
        madvise(0x40200000, 4K, MADV_PAGEOUT)
        touch(0x40200000, 4K, READ)
        fork() = 3
        madvise(0x40200000, 4K, MADV_FREE)",
    ),
    (
        "arm64.poe=off",
        "numa(2)
        numa_alloc(1)
        thp(\"2048kB\", \"always\")
        mmap(0x40200000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
        memset(0x40200000, 7, 2M)
        numa_scan(0x40200000, 2M)
        touch(0x40200000, 4K, WRITE)
        fork() = 2
        touch(0x40200000, 4K, WRITE)",
    ),
];

/// Memory of a file, which scenarios do not have.
const LOG: &str = r#"1 openat(AT_FDCWD, "/bin/cat", O_RDWR) = 3</bin/cat>
1 mmap(0x7f0000000000, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED, 3</bin/cat>, 0) = 0x7f0000000000
1 mmap(0x7f0000200000, 8192, PROT_READ, MAP_SHARED|MAP_FIXED, 3</bin/cat>, 0) = 0x7f0000200000
1 mprotect(0x7f0000200000, 8192, PROT_READ|PROT_WRITE) = 0
"#;

/// Causes that no call comes to, and why.
const UNREACHED: &[&str] = &[
    // Moving and forking drop markers of a registration that ends with them.
    "uffd_left_over",
    // Only a VMA that may be written asks for write upgrades, and its protection is never that of a hint.
    "write_numa_hint",
];

type Told<'a> = &'a mut dyn FnMut(&str, &Lane, Vec<Vec<(Pid, VirtAddr)>>);

/// Every scenario on every machine: what changed in each call, and what was said of it.
fn watch(each: Told<'_>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scenarios");
    for file in std::fs::read_dir(folder).expect("fixtures") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "scn") || name == "seed" {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let memory = text.lines().next().and_then(|line| line.strip_prefix("# memory: "));
        let mib = memory.map(|size| size.trim_end_matches('M').parse::<u64>().expect("a size in M"));
        play(&name, &text, &mib.into_iter().fold(all(), |matrix, mib| matrix.memory(mib << 20)), each);
    }
    for (cpu, text) in MORE {
        play(cpu, text, &all().cpu(cpu).expect("a feature"), each);
    }
    let options = Options { fault_in: FaultIn::All, ..Options::default() };
    let (done, _) =
        replay::replay_observed(Reader::new(LOG.as_bytes()), &all(), &options, Watch::nobody(), Witness::new)
            .expect("the log is right");
    for Witness { tracer, changed, .. } in done {
        each("a log", &tracer.into_lane(), changed);
    }
}

fn all() -> Matrix {
    let kernels = kernels::listed(kernels::compared());
    let all = Matrix::new().ports("all").and_then(|m| m.kernels(&kernels)).expect("all there are");
    all.hw(HwKind::Recording)
}

fn play(name: &str, text: &str, matrix: &Matrix, each: Told<'_>) {
    let scenario = ptelab::scenario::parse(text).expect("the scenario is right");
    let (done, _) = observe::scenario(matrix, &scenario, Watch::nobody(), Witness::new).expect("machines");
    for Witness { tracer, changed, .. } in done {
        each(name, &tracer.into_lane(), changed);
    }
}

struct CausesOf;

impl PortVisitor for CausesOf {
    type Out = &'static [&'static Cause];

    fn visit<P: PortFacts>(self) -> Self::Out {
        P::CAUSES
    }
}

/// Every cause of mm and of the ports.
fn all_causes() -> BTreeSet<&'static str> {
    let ports = port_names().into_iter().filter_map(|port| visit_port(port, CausesOf));
    let tables = ports.chain([ptelab::mm::CAUSES, ptelab::pgtable::CAUSES]);
    let mut ids = BTreeSet::new();
    for cause in tables.flatten() {
        assert!(ids.insert(cause.id), "two causes are called {}", cause.id);
        assert!(cause.text.ends_with('.') && !cause.source.is_empty(), "{cause:?}");
    }
    ids
}

#[test]
fn every_entry_that_changed_has_a_cause() {
    let mut unsaid = all_causes();
    let mut seen = 0;
    watch(&mut |name, lane, changed| {
        for (i, (step, changed)) in lane.steps.iter().zip(changed).enumerate() {
            for (pid, addr) in changed {
                seen += 1;
                let reasons = lane.reasons_at(step, pid, addr);
                let call = &lane.calls[i];
                assert!(
                    reasons.iter().any(|(_, part)| part == Part::Own),
                    "{name}, {}: call {}, {}: nobody says why {addr} of process {pid} changed",
                    lane.machine(),
                    i + 1,
                    call.text
                );
            }
            for cause in &step.causes {
                unsaid.remove(cause.id);
            }
        }
    });
    assert!(seen > 100_000, "only {seen} entries changed");
    assert_eq!(unsaid, UNREACHED.iter().copied().collect(), "causes that no scenario shows");
}
