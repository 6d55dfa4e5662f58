//! The transaction in which a protection changes.

use crate::Generic;
use ptelab_pgtable::ModifyProt;

/// All of it is Linux's fallback: clear with a load and a store, commit with a store.
impl ModifyProt for Generic {}
