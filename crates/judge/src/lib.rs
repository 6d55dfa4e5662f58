//! What is right: real kernels' golden files and what machines make of them; laws that every port keeps; random programs
//! against a model and invariants; hardware that interferes; and the bugs that all this must find.

#[cfg(feature = "fuzz")]
pub mod check;
#[cfg(feature = "fuzz")]
mod faulty;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod golden;
#[cfg(feature = "fuzz")]
mod laws;
#[cfg(feature = "fuzz")]
mod ports;
#[cfg(feature = "fuzz")]
mod race;
#[cfg(all(feature = "real", target_os = "linux"))]
pub mod real;
pub mod verdict;
mod verify;

/// Where in a page bytes are looked at, both ends among them.
#[cfg(any(feature = "fuzz", feature = "real"))]
const PLACES: [u64; 4] = [0, 100, 2048, 4095];

pub use golden::Golden;
#[cfg(feature = "fuzz")]
pub use ports::{register, register_ports};
#[cfg(feature = "real")]
pub use ptelab_real::thp::settings as thp_settings;
pub use verdict::Verdict;
