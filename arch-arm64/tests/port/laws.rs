//! The laws of all ports, on this one.

use arch_arm64::Arm64;
use ptelab_pgtable::port_laws;

port_laws!(Arm64);
