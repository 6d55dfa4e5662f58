//! The scenario language: a text of Linux memory-management calls in strace's own notation.
//!
//! ```
//! let scenario = ptelab_scenario::parse(
//!     "mmap(0x40000000, 256K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
//!      repeat 3 {\n\
//!      mprotect(0x40000000, 64K + 64K, PROT_READ) = 0 # the first half\n\
//!      }\n",
//! )?;
//! assert_eq!(scenario.step_count(), 4);
//! let last = scenario.steps().last().unwrap();
//! assert_eq!((last.index, last.line.line), (3, 3));
//! assert_eq!(last.line.to_string(), "mprotect(0x40000000, 128K, PROT_READ) = 0");
//!
//! let source = "mprotect(0x40000000, 64K, PROT_RAED)";
//! let mistakes = ptelab_scenario::parse(source).unwrap_err();
//! assert_eq!(
//!     mistakes.to_string(),
//!     "line 1, column 27: `PROT_RAED` is not a protection"
//! );
//! # Ok::<(), ptelab_scenario::Diagnostics>(())
//! ```
//!
//! # Grammar
//!
//! ```text
//! scenario = { line newline }
//! line     = [ process call [ "=" result ] | "repeat" number "{" | "}" ] [ "#" comment ]
//! process  = [ "[pid" number "]" ]
//! call     = NAME "(" [ argument { "," argument } ] ")"
//! argument = "[" [ sum { "," sum } ] "]" | sum { "|" sum } | ["-"] number | string | WORD
//! sum      = term { "+" term }
//! term     = number | NAME
//! number   = ( DECIMAL | "0x" HEX | "0" OCTAL ) [ "K" | "M" | "G" | "T" ]
//! result   = sum { "|" sum } | "-1" ERRNO [ "(" text ")" ] | "SIGSEGV" | "SIGBUS" | "?"
//! string   = '"' { character | "\" escape } '"'
//! ```
//!
//! Lengths, offsets and addresses are in bytes; K, M, G and T are powers of 1024. A negative
//! number can only be a file descriptor or an exit status. `= ?`, as strace prints it for calls
//! that do not return, asks for no result.
//!
//! The calls are those of [`ptelab_uapi::Call`], with the parameters that [`ptelab_uapi::FORMS`] has. Ranges stand in brackets, as
//! in `process_madvise([0x40000000, 64K, 0x50000000, 4K], MADV_COLD, 0)`.
//!
//! Flags are the kernel's numbers ([`ptelab_uapi`]); a number without a name is legal. The crate knows
//! what is well formed, and nothing of what a call does.

mod ast;
mod diag;
mod lex;
mod parse;
mod print;
#[cfg(feature = "render")]
mod render;
mod steps;
#[cfg(feature = "strace")]
pub mod strace;
mod suggest;
pub mod syz;

pub use ast::{Expect, Item, Line, MAX_DEPTH, Repeat, Scenario};
pub use diag::{Diagnostic, Diagnostics, MAX_KEPT, Related};
pub use parse::{parse, parse_bytes};
#[cfg(feature = "render")]
pub use render::MAX_SHOWN;
pub use steps::{Step, Steps};
pub use suggest::did_you_mean;
