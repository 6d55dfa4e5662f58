//! The transaction in which a protection changes.

use crate::Loong64;
use ptelab_pgtable::ModifyProt;

/// All of it is Linux's fallback: a load and a store to clear, and a store to commit.
impl ModifyProt for Loong64 {}
