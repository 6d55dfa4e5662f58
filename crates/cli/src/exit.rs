//! Exit statuses.

/// Everything is as it should be.
pub(crate) const FINE: u8 = 0;
/// Something differs, or is not what was expected.
pub(crate) const DIFFERS: u8 = 1;
/// Usage, or input that cannot be used.
pub(crate) const UNUSABLE: u8 = 2;
/// Stopped by Ctrl-C; what there was is printed.
pub(crate) const STOPPED: u8 = 130;
