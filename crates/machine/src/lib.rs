//! Processes on one emulated machine, whatever its port, and plain snapshots of its state.
//!
//! [`Vm`] is the coarse face of a machine: one call, one dispatch. [`Builder`] makes an [`AnyVm`] of any port in
//! [`PORTS`]; a port from outside implements [`Arch`](ptelab_pgtable::Arch) and runs as a [`Machine`] of its own: what takes a
//! `&mut dyn Vm` takes it too.

mod any;
mod build;
mod machine;
mod processes;
mod snapshot;
mod vm;

pub use any::{AnyVm, PORTS, PortInfo, PortVisitor, changes, port_named, visit_port};
pub use build::{BuildError, Builder, HwKind};
pub use machine::{CallError, Machine, Pid};
pub use snapshot::{Cell, Difference, PageRun, Run, Runs, Snapshot};
pub use vm::{Area, Shape, Vm};

pub use ptelab_mm as mm;
pub use ptelab_pgtable as pgtable;

pub use ptelab_mm::{
    Adopted, AdoptedAs, Advice, Backing, Config, Errno, FaultError, FileId, FileMode, MapFlags, MclFlags,
    MremapFlags, MsFlags, PageCategories, PageRegion, Pagemap, PmScan, PmScanFlags, Prot, Scanned,
    SettingError, Sharing, ShmFlags, ShmId, SigCode, SigInfo, Signal, Table, ThpDisable, ThpMode,
    UffdFeatures, VmaFacts, WriteProtect,
};
pub use ptelab_pgtable::{
    Access, BitField, Change, Counter, Counters, CpuConfig, CpuFeature, Event, FaultKind, HISTOGRAM,
    KernelRules, Level, Mapping, Pfn, Pte, PteAttrs, PteView, Ptep, Record, Release, SoftFlags, SoftLeaf,
    TlbScope, Tlbi, UnknownFeature, VirtAddr, VmFlags, marker, swp_type,
};
