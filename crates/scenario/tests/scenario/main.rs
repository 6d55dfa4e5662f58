//! Tests of the scenario language and of the log reader from outside.

mod grammar;
mod hostile;
mod mistakes;
mod round_trip;
mod steps;
mod strace;
