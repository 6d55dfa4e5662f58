//! Tests of the x86-64 port.

mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;
