//! The transaction in which a protection changes.

use crate::Riscv64;
use ptelab_pgtable::ModifyProt;

/// All of it is Linux's fallback: clear with an exchange, commit with a store.
impl ModifyProt for Riscv64 {}
