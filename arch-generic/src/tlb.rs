//! TLB flushes: when one is needed, and how.

use crate::Generic;
use ptelab_pgtable::TlbOps;

/// All of it is Linux's fallback: a flush after every change, and one instruction covers any range.
impl TlbOps for Generic {}
