//! The seam between memory management and architecture ports.
//!
//! A port is written against five traits and nothing else:
//!
//! * [`Hw`]: the machine primitives. Ports reach page tables through them only, which is why one port runs
//!   unchanged on the plain, the counting and the recording machine.
//! * [`EntryFormat`]: what the port's words look like.
//! * [`PteOps`]: what touches tables.
//! * [`TlbOps`]: when cached translations must go, and how.
//! * [`ModifyProt`]: the transaction in which a protection changes.
//!
//! A default is Linux's generic fallback or, of words, one bit for each thing to be said: so a port shows only what it does
//! differently.

mod account;
mod addr;
mod arch;
mod cause;
mod changes;
mod contpte;
mod cpu;
mod entry;
mod event;
mod format;
mod hw;
pub mod laws;
mod modify_prot;
mod ops;
mod plain;
mod release;
mod rules;
mod softleaf;
mod tlb;
mod tlbi;
mod view;
mod vm_flags;

#[doc(hidden)]
pub use bitflags::bitflags;

pub use account::{CountingHw, FlushHw, RecordingHw};
pub use addr::{FolioSpan, Pfn, PhysAddr, Ptep, VirtAddr};
pub use arch::Arch;
pub use cause::{Cause, Why};
pub use changes::{Change, Probe, Shows, Turn};
pub use contpte::cause::ALL as CAUSES;
pub use cpu::{CpuConfig, CpuFeature, UnknownFeature};
pub use entry::{BitField, Cydp, EntryBits, Fpb, Level, Mapping, PgProt, Pte, PteAttrs, PteView, Walk};
pub use event::{Counter, Counters, Event, FaultKind, HISTOGRAM, Record};
pub use format::EntryFormat;
pub use hw::{Hw, TableMemory};
pub use modify_prot::ModifyProt;
pub use ops::PteOps;
pub use plain::PlainHw;
pub use ptelab_uapi::Access;
pub use release::{NotARelease, Release};
pub use rules::KernelRules;
pub use softleaf::{SoftFlags, SoftLeaf, SoftleafRules, marker, swp_type};
pub use tlb::{MmuGather, TlbOps};
pub use tlbi::{Barrier, TlbScope, Tlbi};
pub use vm_flags::VmFlags;
