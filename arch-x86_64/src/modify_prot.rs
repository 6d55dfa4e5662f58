//! The transaction in which a protection changes.

use crate::X86_64;
use ptelab_pgtable::ModifyProt;

/// Linux's fallback over this port's operations: clear with an exchange, commit with a store.
impl ModifyProt for X86_64 {}
