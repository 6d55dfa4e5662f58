//! The laws of all ports, on this one.

use arch_riscv64::Riscv64;
use ptelab_pgtable::port_laws;

port_laws!(Riscv64);
