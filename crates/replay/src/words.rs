//! Numbers as people read them.

pub(crate) use ptelab_run::show::counted;

/// A size with one place: `64.0M`.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [(30, 'G'), (20, 'M'), (10, 'K')];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes}");
    };
    let tenths = (bytes * 10) >> shift;
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}
