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
//! println!("{}", mistakes.render("demo.scn", source, false));
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
//! argument = sum { "|" sum } | ["-"] number | string | WORD
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
//! | call | parameters |
//! |---|---|
//! | `mmap` | addr, len, prot, flags, fd, offset |
//! | `munmap`, `explicit_bzero`, `numa_scan`, `migrate_begin`, `migrate_end`, `device_private` | addr, len |
//! | `uffd_unregister`, `uffd_poison`, `reclaim` | addr, len |
//! | `device_exclusive`, `hwpoison` | addr |
//! | `swapon` | size |
//! | `split_folio` | addr, order |
//! | `uffd` | addr, len, features: `WP`, `WP_UNPOPULATED`, `WP_ASYNC`, `EVENT_FORK`, `EVENT_REMAP`, `POISON` |
//! | `uffd_wp` | addr, len, `on` or `off` |
//! | `pagemap_scan` | addr, len, flags, mask, return\[, `max_pages`\] |
//! | `mprotect` | addr, len, prot |
//! | `madvise` | addr, len, advice |
//! | `mremap` | `old_addr`, `old_len`, `new_len`, flags\[, `new_addr`\] |
//! | `memset` | addr, byte, len |
//! | `touch` | addr, len, `READ` or `WRITE` |
//! | `check` | addr, byte |
//! | `fork` | |
//! | `exit_group` | status |
//! | `thp` | `"64kB"` (any size) or `"enabled"`, `"always"`, `"madvise"`, `"inherit"` or `"never"` |
//! | `clear_refs` | 1 to 5 |
//! | `numa` | nodes, 1 to 64 |
//! | `numa_alloc` | node, 0 to 64 |
//! | `dump` | addr, len, `"NAME"` |
//! | `time` | `"on"` or `"off"` |
//!
//! Flags are the kernel's numbers ([`ptelab_uapi`]); a number without a name is legal. The crate knows
//! what is well formed, and nothing of what a call does.

mod ast;
mod diag;
mod lex;
mod parse;
mod print;
mod render;
mod steps;
pub mod strace;
mod suggest;

pub use ast::{Expect, Item, Line, MAX_DEPTH, Repeat, Scenario};
pub use diag::{Diagnostic, Diagnostics, MAX_KEPT, Related};
pub use parse::{parse, parse_bytes};
pub use render::MAX_SHOWN;
pub use steps::{Step, Steps};
pub use suggest::did_you_mean;
