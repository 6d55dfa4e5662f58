//! Processes on one emulated machine, whatever its port, and plain snapshots of its state.
//!
//! A [`Backend`] plays [`Call`]s and shows tables: one call, one dispatch. [`Builder`] makes one of any port in
//! [`ports`]; a port from outside implements [`Arch`](ptelab_pgtable::Arch) and is [registered](register), or runs as a
//! [`PortMachine`] of its own.

// Before the trait that its enum dispatches: enum_dispatch writes where it meets the second of the two.
mod ports;

mod any_hw;
mod backend;
mod build;
mod call;
mod hw_kind;
mod machine;
mod processes;
mod shape;
mod snapshot;
mod words;

pub use backend::{About, Area, Backend, Usage};
pub use build::{BuildError, Builder};
pub use hw_kind::HwKind;
pub use machine::PortMachine;
pub use ports::{
    PortInfo, PortVisitor, beside, changes, changes_of_all, default_ports, machine_of, port_named, ports,
    register, register_on_request, register_with, visit_port,
};
pub use shape::Shape;
pub use snapshot::{Cell, Difference, PageRun, Run, Runs, Snapshot};
pub use words::Words;

pub use ptelab_mm as mm;
pub use ptelab_pgtable as pgtable;

pub use ptelab_mm::{Backing, Config, FileId, PageRegion, Pagemap, PmScan, Scanned, ShmId, Table, VmaFacts};
pub use ptelab_pgtable::{
    BitField, Cause, Change, Counter, Counters, CpuConfig, CpuFeature, Event, FaultKind, HISTOGRAM,
    KernelRules, Level, Mapping, Pfn, Pte, PteAttrs, PteView, Ptep, Record, Release, SoftFlags, SoftLeaf,
    TlbScope, Tlbi, UnknownFeature, VirtAddr, VmFlags, Why, marker, swp_type,
};
pub use ptelab_uapi as uapi;
pub use ptelab_uapi::{
    Access, Advice, Call, CallError, Errno, FileMode, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags,
    Outcome, PageCategories, Pid, PkeyRights, PmScanFlags, Prot, ShmFlags, SigCode, SigInfo, Signal, Switch,
    ThpKey, ThpMode, Timing, UffdFeatures,
};
