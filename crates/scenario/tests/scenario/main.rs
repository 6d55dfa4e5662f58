//! Tests of the scenario language from outside.

mod grammar;
mod hostile;
mod mistakes;
mod round_trip;
mod steps;
