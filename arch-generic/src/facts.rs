//! What this port says of itself for the laws of all ports to hold it to.

use crate::Generic;
use ptelab_pgtable::laws::PortFacts;

/// Each is the usual one.
impl PortFacts for Generic {}
