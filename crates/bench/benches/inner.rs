//! The inner pieces of mprotect, by port: the batch scan, the transaction, folding, the walk. `cargo bench -p ptelab-bench`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ptelab_machine::{Access, Builder, Call, MapFlags, Prot};
use ptelab_pgtable::{
    Arch, CpuConfig, FolioSpan, Fpb, Hw, KernelRules, Pfn, PlainHw, Pte, Ptep, TableMemory, VirtAddr, VmFlags,
};
use std::hint::black_box;

/// First frame of the folio that tables map, and first address.
const FRAME: Pfn = Pfn::new(1024);
const ADDR: VirtAddr = VirtAddr::new(0x4000_0000);
/// Batch lengths: a page, a contiguous block, a table.
const LENGTHS: [usize; 3] = [1, 16, 512];

/// A table that maps one huge folio by writable, dirty page entries.
struct Table<A> {
    arch: A,
    hw: PlainHw,
    p: Ptep,
    entry: Pte,
}

impl<A: Arch> Table<A> {
    fn new(order: u32) -> Self {
        let arch = A::new(&CpuConfig::default(), KernelRules::DEFAULT);
        let mut hw = PlainHw::with_tables_of(A::PTRS_PER_PTE);
        for i in 0..A::PTRS_PER_PTE as u64 >> order {
            hw.set_folio(FolioSpan { head: FRAME.add(i << order), order });
        }
        let p = hw.alloc_table(A::PTRS_PER_PTE, A::EMPTY[0]);
        let prot = arch.vm_get_page_prot(VmFlags::READ | VmFlags::WRITE);
        let entry = arch.pte_mkwrite(arch.pte_mkdirty(arch.pte_mkyoung(arch.pfn_pte(FRAME, prot))));
        let mut table = Self { arch, hw, p, entry };
        table.map(A::PTRS_PER_PTE);
        table
    }

    fn map(&mut self, n: usize) {
        self.arch.set_ptes(&mut self.hw, ADDR, self.p, self.entry, n);
    }
}

fn port<A: Arch>(c: &mut Criterion) {
    let mut group = c.benchmark_group(A::NAME);
    for n in LENGTHS {
        group.throughput(Throughput::Elements(n as u64));
        let mut t = Table::<A>::new(A::PMD_ORDER);
        let ignore = t.arch.batch_ignore(Fpb::RESPECT_WRITE | Fpb::RESPECT_SOFT_DIRTY);
        group.bench_function(BenchmarkId::new("batch scan", n), |b| {
            let step = t.arch.pfn_step(t.entry);
            let first = t.hw.peek(t.p);
            b.iter(|| t.hw.match_run(t.p, black_box(first), step, ignore, n));
        });
        let mut t = Table::<A>::new(if n == 1 { 0 } else { A::PMD_ORDER });
        group.bench_function(BenchmarkId::new("start and commit", n), |b| {
            b.iter(|| {
                let old = t.arch.modify_prot_start_ptes(&mut t.hw, ADDR, t.p, n);
                t.arch.modify_prot_commit_ptes(&mut t.hw, ADDR, t.p, old, black_box(old), n);
            });
        });
    }
    if A::CONT_PTES > 1 {
        group.throughput(Throughput::Elements(1));
        let mut t = Table::<A>::new(A::PMD_ORDER);
        let last = A::CONT_PTES - 1;
        let (addr, p) = (ADDR.add(last as u64 * A::PAGE_SIZE), t.p.add(last));
        group.bench_function("unfold and fold a block", |b| {
            b.iter(|| {
                let old = t.arch.ptep_get_and_clear(&mut t.hw, addr, p);
                t.arch.set_pte_at(&mut t.hw, addr, p, black_box(old));
            });
        });
    }
    group.finish();
}

fn ports(c: &mut Criterion) {
    port::<arch_arm64::Arm64>(c);
    port::<arch_x86_64::X86_64>(c);
    port::<arch_generic::Generic>(c);
}

/// The walk of hardware to pages that are there, and that of a dump.
fn walks(c: &mut Criterion) {
    const LEN: u64 = 2 << 20;
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(LEN >> 12));
    for info in ptelab_machine::ports() {
        let mut vm = Builder::new(info.name).build().expect("the port exists");
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        let prot = Prot::READ | Prot::WRITE;
        let mmap = Call::Mmap { addr: 0, len: LEN, prot, flags, fd: -1, offset: 0 };
        let addr = vm.call(1, &mmap).result().expect("memory is there");
        let touch = |access| Call::Touch { addr, len: LEN, access };
        vm.call(1, &touch(Access::Write)).result().expect("it is writable");
        let read = touch(Access::Read);
        group.bench_function(BenchmarkId::new("touch", info.name), |b| {
            b.iter(|| vm.call(1, black_box(&read)));
        });
        group.bench_function(BenchmarkId::new("dump", info.name), |b| {
            b.iter(|| vm.snapshot(1, black_box(addr), LEN));
        });
    }
    group.finish();
}

criterion_group!(inner, ports, walks);
criterion_main!(inner);
