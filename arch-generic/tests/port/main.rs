//! Tests of the generic port.

mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;
