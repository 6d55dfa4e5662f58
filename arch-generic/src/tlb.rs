//! TLB flushes: the fallbacks flush after every change, and one instruction covers any range.
