//! The coarse face of a machine.

use crate::any::{Kinds, Ports};
use crate::machine::{CallError, Machine, Pid};
use crate::snapshot::{Cell, Snapshot};
use enum_dispatch::enum_dispatch;
use ptelab_mm::{
    Adopted, Backing, FileId, FileMode, MapFlags, MclFlags, MremapFlags, MsFlags, PmScan, Prot, Scanned,
    ShmFlags, ShmId, SigInfo, Table, ThpDisable, ThpMode, UffdFeatures, VmaFacts, WriteProtect,
};
use ptelab_pgtable::{
    Access, BitField, Counters, CountingHw, KernelRules, Level, PlainHw, Pte, PteView, Record, RecordingHw,
    TableMemory, VirtAddr, VmFlags,
};

/// Where a VMA lies, and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// Flags.
    pub flags: VmFlags,
}

/// How tables and pages are laid out on an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Log2 of the bytes in a page.
    pub page_shift: u32,
    /// Log2 of the entries in a table.
    pub table_shift: u32,
    /// Entries in a contiguous block of pages, 1 where there are none.
    pub cont_ptes: usize,
    /// The bits of a word that hold a frame number.
    pub pfn_mask: u64,
}

/// A machine of any port. Addresses and lengths are in bytes.
#[enum_dispatch]
pub trait Vm: std::fmt::Debug {
    /// Name of the port.
    fn arch(&self) -> &'static str;
    /// The kernel it runs.
    fn rules(&self) -> &'static KernelRules;
    /// Bytes in a page.
    fn page_size(&self) -> u64;
    /// Processes that live.
    fn processes(&self) -> Vec<Pid>;

    /// mmap(2) of anonymous memory; returns the address.
    fn mmap(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, CallError>;
    /// Opens a file by its path. With a size in bytes, accesses past its end get `SIGBUS`; without, its size is not known.
    fn open(&mut self, path: &str, mode: FileMode, size: Option<u64>) -> FileId;
    /// pwrite(2) of `len` times the same byte.
    fn pwrite(&mut self, file: FileId, byte: u8, len: u64, offset: u64) -> Result<(), CallError>;
    /// mmap(2) of an open file from so many bytes on; returns the address.
    fn mmap_file(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        prot: Prot,
        flags: MapFlags,
        from: (FileId, u64),
    ) -> Result<u64, CallError>;
    /// Puts in a mapping that was made before anybody looked, with no pages yet.
    fn adopt(&mut self, pid: Pid, adopted: &Adopted) -> Result<(), CallError>;
    /// munmap(2).
    fn munmap(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// mprotect(2).
    fn mprotect(&mut self, pid: Pid, addr: u64, len: u64, prot: Prot) -> Result<(), CallError>;
    /// madvise(2); `advice` as its number, so that unknown ones can be tried too.
    fn madvise(&mut self, pid: Pid, addr: u64, len: u64, advice: u64) -> Result<(), CallError>;
    /// mremap(2); returns the address.
    fn mremap(
        &mut self,
        pid: Pid,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new_addr: u64,
    ) -> Result<u64, CallError>;
    /// Says where the heap begins and ends: what `execve` does, and what the first `brk(NULL)` returns.
    fn set_brk(&mut self, pid: Pid, start: u64, end: u64) -> Result<(), CallError>;
    /// brk(2) as the system call is: moves the end of the heap if it can, and returns where that is now. 0 asks.
    fn brk(&mut self, pid: Pid, addr: u64) -> Result<u64, CallError>;
    /// Maps the first stack of a program, `size` bytes that end at `top`, and grow on access.
    fn setup_stack(&mut self, pid: Pid, top: u64, size: u64) -> Result<(), CallError>;

    /// mlock(2). There is no `RLIMIT_MEMLOCK`, here and below.
    fn mlock(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// mlock2(2); `flags` 1 is `MLOCK_ONFAULT`.
    fn mlock2(&mut self, pid: Pid, addr: u64, len: u64, flags: u64) -> Result<(), CallError>;
    /// munlock(2).
    fn munlock(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// mlockall(2).
    fn mlockall(&mut self, pid: Pid, flags: MclFlags) -> Result<(), CallError>;
    /// munlockall(2).
    fn munlockall(&mut self, pid: Pid) -> Result<(), CallError>;
    /// msync(2). Nothing is written back.
    fn msync(&mut self, pid: Pid, addr: u64, len: u64, flags: MsFlags) -> Result<(), CallError>;
    /// mincore(2); returns the vector.
    fn mincore(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<u8>, CallError>;
    /// process_madvise(2) of a process on itself, over (address, length); returns the bytes advised.
    fn process_madvise(
        &mut self,
        pid: Pid,
        ranges: &[(u64, u64)],
        advice: u64,
        flags: u64,
    ) -> Result<u64, CallError>;
    /// pkey_alloc(2); returns the key.
    fn pkey_alloc(&mut self, pid: Pid, flags: u64, rights: u64) -> Result<u8, CallError>;
    /// pkey_free(2).
    fn pkey_free(&mut self, pid: Pid, pkey: i32) -> Result<(), CallError>;
    /// pkey_mprotect(2). No access goes through to memory with another key than 0.
    fn pkey_mprotect(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        prot: Prot,
        pkey: i32,
    ) -> Result<(), CallError>;
    /// `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)`; `None` takes the name away.
    fn set_anon_vma_name(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        name: Option<&str>,
    ) -> Result<(), CallError>;
    /// `prctl(PR_SET_THP_DISABLE)`.
    fn set_thp_disable(&mut self, pid: Pid, disable: ThpDisable) -> Result<(), CallError>;
    /// `prctl(PR_GET_THP_DISABLE)`.
    fn thp_disable(&self, pid: Pid) -> Result<ThpDisable, CallError>;
    /// shmget(2); returns the segment.
    fn shmget(&mut self, key: u32, size: u64, flags: ShmFlags) -> Result<ShmId, CallError>;
    /// shmat(2); returns the address.
    fn shmat(&mut self, pid: Pid, id: ShmId, addr: u64, flags: ShmFlags) -> Result<u64, CallError>;
    /// shmdt(2).
    fn shmdt(&mut self, pid: Pid, addr: u64) -> Result<(), CallError>;
    /// `shmctl(IPC_RMID)`.
    fn shm_rmid(&mut self, id: ShmId) -> Result<(), CallError>;

    /// fork(2); returns the child.
    fn fork(&mut self, pid: Pid) -> Result<Pid, CallError>;
    /// clone(2) with `CLONE_VM`, as threads and vfork(2) have it; returns the child, which shares the address space until it
    /// executes a program or ends.
    fn clone_vm(&mut self, pid: Pid) -> Result<Pid, CallError>;
    /// execve(2): the process gets a new address space, with nothing in it. Other threads of it are the caller's to end.
    fn execve(&mut self, pid: Pid) -> Result<(), CallError>;
    /// The process, or thread, ends; its address space with the last that shares it.
    fn exit(&mut self, pid: Pid) -> Result<(), CallError>;

    /// One access a page.
    fn touch(&mut self, pid: Pid, addr: u64, len: u64, access: Access) -> Result<(), CallError>;
    /// Writes every byte of a range.
    fn memset(&mut self, pid: Pid, addr: u64, byte: u8, len: u64) -> Result<(), CallError>;
    /// Reads one byte.
    fn read_byte(&mut self, pid: Pid, addr: u64) -> Result<u8, CallError>;
    /// What the handler of the last signal was told.
    fn last_signal(&self) -> Option<SigInfo>;

    /// Registers a range for userfaultfd write protection: `UFFDIO_API` with `features` (and `UFFD_FEATURE_SIGBUS`), where the
    /// process has no such userfaultfd yet, and `UFFDIO_REGISTER`.
    fn uffd_register(
        &mut self,
        pid: Pid,
        addr: u64,
        len: u64,
        features: UffdFeatures,
    ) -> Result<(), CallError>;
    /// `UFFDIO_UNREGISTER`.
    fn uffd_unregister(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// `UFFDIO_WRITEPROTECT`.
    fn uffd_wp(&mut self, pid: Pid, addr: u64, len: u64, how: WriteProtect) -> Result<(), CallError>;
    /// `UFFDIO_POISON`.
    fn uffd_poison(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// Reclaims lazyfree folios.
    fn reclaim(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// Splits the folio that is mapped at an address into folios of an order.
    fn split_folio(&mut self, pid: Pid, addr: u64, order: u32) -> Result<(), CallError>;
    /// `ioctl(PAGEMAP_SCAN)` on /proc/PID/pagemap.
    fn pagemap_scan(&mut self, pid: Pid, addr: u64, len: u64, scan: &PmScan) -> Result<Scanned, CallError>;

    /// Writes to /proc/PID/clear_refs.
    fn clear_refs(&mut self, pid: Pid, what: u64) -> Result<(), CallError>;
    /// swapon(2) of a disk in memory of so many bytes: from then on, `MADV_PAGEOUT` pages out.
    fn swapon(&mut self, size: u64) -> Result<(), CallError>;
    /// Bytes of swap in use.
    fn swap_used(&self) -> u64;
    /// Begins to move the folios that a range maps: whoever maps them gets migration entries.
    fn migrate_begin(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// Ends that for the folios that migrate there: they have moved, and are mapped again.
    fn migrate_end(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// Moves private pages of a range to a device's memory; an access brings them back. Large folios are split first.
    fn device_private(&mut self, pid: Pid, addr: u64, len: u64) -> Result<(), CallError>;
    /// Lends a page to a device alone; the next access takes it back.
    fn device_exclusive(&mut self, pid: Pid, addr: u64) -> Result<(), CallError>;
    /// A page fails, as madvise(2) with `MADV_HWPOISON` has it. A page that is a folio of its own is taken away with `SIGBUS`.
    fn hwpoison(&mut self, pid: Pid, addr: u64) -> Result<(), CallError>;
    /// How many NUMA nodes there are.
    fn numa(&mut self, nodes: u8) -> Result<(), CallError>;
    /// Which node new pages go to, or the CPU's own.
    fn numa_alloc(&mut self, node: Option<u8>) -> Result<(), CallError>;
    /// One pass of NUMA-hinting protection; returns the pages looked at.
    fn numa_scan(&mut self, pid: Pid, addr: u64, len: u64) -> Result<u64, CallError>;
    /// The global switch of transparent huge pages.
    fn thp_enabled(&mut self, mode: ThpMode) -> Result<(), CallError>;
    /// The switch of one size.
    fn thp_size(&mut self, bytes: u64, mode: ThpMode) -> Result<(), CallError>;

    /// VMAs that intersect a range.
    fn vmas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<VmaFacts>, CallError>;
    /// VMAs that intersect a range, without what is resident in them.
    fn areas(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Area>, CallError>;
    /// What every VMA that intersects a range is of, in the order of [`areas`](Self::areas).
    fn backings(&self, pid: Pid, addr: u64, len: u64) -> Result<Vec<Backing>, CallError>;
    /// Bytes that a process has mapped.
    fn mapped(&self, pid: Pid) -> Result<u64, CallError>;
    /// The address at which a process maps a place in a file, by the file's path and in bytes, if it does.
    fn find_file(&self, pid: Pid, path: &str, offset: u64) -> Result<Option<u64>, CallError>;
    /// VMAs and entries of a range.
    fn snapshot(&self, pid: Pid, addr: u64, len: u64) -> Result<Snapshot, CallError>;
    /// The entries of a range, one by one and in order: what a [`snapshot`](Self::snapshot) groups, for who looks often.
    fn cells(&self, pid: Pid, addr: u64, len: u64, each: &mut dyn FnMut(Cell)) -> Result<(), CallError>;
    /// The entry for one address: its level, raw and in the neutral view.
    fn entry(&self, pid: Pid, addr: VirtAddr) -> Result<(Level, Pte, PteView), CallError>;
    /// The tables of a process, each before those under it.
    fn tables(&self, pid: Pid) -> Result<Vec<Table>, CallError>;
    /// How tables and pages are laid out.
    fn shape(&self) -> Shape;
    /// Every bit and field that such a word has, set or not, from the lowest up.
    fn fields(&self, pte: Pte, level: Level) -> Vec<BitField>;
    /// The names of the bits of a word.
    fn describe(&self, pte: Pte, level: Level) -> String;
    /// A word that is a software entry of a page, without the page's frame number; another as it is.
    fn without_frame(&self, pte: Pte, level: Level) -> Pte;
    /// A word in the neutral view.
    fn decode(&self, pte: Pte, level: Level) -> PteView;

    /// Memory in use for pages and tables, in bytes.
    fn memory_used(&self) -> u64;
    /// What was counted so far, on a counting machine.
    fn counters(&self) -> Option<Counters>;
    /// What was recorded since last asked, on a recording machine.
    fn take_records(&mut self) -> Vec<Record>;
}
