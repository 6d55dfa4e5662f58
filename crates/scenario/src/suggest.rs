//! "Did you mean".

/// A longer name is no slip of the pen, and comparing it would cost more than it could tell.
const LONGEST: usize = 64;

/// A question that names the candidate nearest to `name`, if one is near.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let best = nearest(name, candidates)?;
    Some(format!("did you mean `{best}`?"))
}

fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_ascii_uppercase();
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .map(|candidate| (distance(&wanted, &candidate.to_ascii_uppercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, !is_start(name, candidate)))
        .map(|(_, candidate)| candidate)
}

/// Whether `name` is `candidate` cut short: nearer than any other of the same distance.
fn is_start(name: &str, candidate: &str) -> bool {
    candidate.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// How many slips lie between two names; a prefix left out (`READ` for `PROT_READ`) counts as one.
fn distance(wanted: &str, candidate: &str) -> usize {
    if candidate.strip_suffix(wanted).is_some_and(|prefix| prefix.ends_with('_')) {
        return 1;
    }
    slips(wanted, candidate)
}

#[cfg(feature = "hints")]
fn slips(wanted: &str, candidate: &str) -> usize {
    strsim::osa_distance(wanted, candidate)
}

/// Other letters are never near where nothing counts them.
#[cfg(not(feature = "hints"))]
fn slips(wanted: &str, candidate: &str) -> usize {
    if wanted == candidate { 0 } else { usize::MAX }
}

#[cfg(all(test, feature = "hints"))]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let names = ["PROT_READ", "PROT_WRITE", "PROT_EXEC"];
        let near = |name| nearest(name, names.into_iter());
        assert_eq!(near("PROT_RAED"), Some("PROT_READ"));
        assert_eq!(near("prot_write"), Some("PROT_WRITE"));
        assert_eq!(near("EXEC"), Some("PROT_EXEC"));
        assert_eq!(nearest("of", ["on", "off"].into_iter()), Some("off"));
        assert_eq!(near("MADV_FREE"), None);
        assert_eq!(near(&"PROT_READ".repeat(20)), None);
    }
}
