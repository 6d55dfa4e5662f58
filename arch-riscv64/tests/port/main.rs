//! Tests of the riscv64 port.

mod laws;
