//! The words of Linux's memory calls, shared by everything that reads, writes, makes or judges them.
//!
//! [`Call`] is the one list of calls. Of each it says the name, the parameters and what they are ([`Kind`]), so that the parser,
//! the printer, shrinking, moving to other addresses and asking a real kernel read one table; what differs by call is a
//! `match` without a rest, so the compiler names every place that a new call has to be told of.
//!
//! Numbers are those of the UAPI headers, the same on all architectures here; a number without a name is legal, because a
//! kernel answers it with an error like any other.
//!
//! ```
//! use ptelab_uapi::{Call, Kind, Prot};
//!
//! let call = Call::Mprotect { addr: 0x4000_0000, len: 4096, prot: Prot::READ };
//! assert_eq!(call.name(), "mprotect");
//! assert!(call.form().params[1].kind == Kind::Len);
//! assert_eq!(call.range(), Some((0x4000_0000, 4096)));
//! ```

mod call;
mod errno;
mod flags;
mod kind;
mod named_flags;
mod names;
mod outcome;
pub mod param;
mod show;
mod signal;
mod thp;

pub use call::{Call, Class, FORMS, Form, Params};
pub use errno::Errno;
pub use flags::{
    Advice, CLONE, FMODE, FileMode, HUGE_SHIFT, LOGGED, MADV, MAP, MCL, MLOCK, MREMAP, MS, MapFlags,
    MclFlags, MlockFlags, MremapFlags, MsFlags, PAGE_IS, PKEY, PM_SCAN, PR, PROT, PageCategories, PkeyRights,
    PmScanFlags, Prot, SHMAT, SHMGET, SIGNAL, ShmFlags, TABLES, UFFD, UffdFeatures,
};
pub use kind::{Bounds, Kind, Param, Slot, Value};
pub use names::{NameTable, Named};
pub use outcome::{CallError, Outcome, Pid};
pub use show::ByteSize;
pub use signal::{SigCode, SigInfo, Signal};
pub use thp::{Access, Switch, ThpKey, ThpMode, Timing};
