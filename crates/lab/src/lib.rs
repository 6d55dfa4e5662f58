//! stub
pub mod exec;
pub mod golden;
