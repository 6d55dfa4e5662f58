//! How long mprotect takes on machines, and what it would take on a real kernel: times, and instructions predicted from counters.

#[cfg(feature = "bench")]
pub mod bench;
pub mod cost;
