//! What touches tables.

use crate::Generic;
use ptelab_pgtable::PteOps;

/// All of it is Linux's fallback.
impl PteOps for Generic {}
