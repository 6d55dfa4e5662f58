//! Tests of the arm64 port.

mod block;
mod contpte;
mod laws;
mod modify_prot;
mod ops;
mod pte;
mod tlb;
