//! What holds of all ports, kernels and machines, and of the house itself.

mod checks;
mod cost;
mod house;
mod kernels;
#[cfg(target_os = "linux")]
mod learn;
mod machines;
mod modules;
mod seed;
