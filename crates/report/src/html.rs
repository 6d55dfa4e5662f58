//! The report: one file that a browser opens from disk.

use crate::data::Data;
use crate::trace::Trace;
use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt;
use std::io::Write as _;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    about: &'a str,
    data: &'a str,
    style: &'a str,
    bar: &'a str,
    main: &'a str,
    script: &'a str,
}

/// What a page around a report is made of: the report's own page, and any other that shows runs.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Its style sheet.
    pub style: &'static str,
    /// The bar at the top: the call, where one goes, the legend, the VMAs.
    pub bar: &'static str,
    /// What stands under it: maps, words, costs.
    pub main: &'static str,
    /// The script, which is to stand in a block. It has `open(data, call)`, which shows the data of a run, and `hooks`.
    pub script: &'static str,
}

impl Parts {
    /// The parts.
    pub const ALL: Self = Self {
        style: include_str!("../templates/report.css"),
        bar: include_str!("../templates/bar.html"),
        main: include_str!("../templates/main.html"),
        script: concat!(
            include_str!("../templates/model.js"),
            include_str!("../templates/map.js"),
            include_str!("../templates/panels.js"),
            include_str!("../templates/overview.js"),
            include_str!("../templates/page.js"),
        ),
    };
}

/// Bytes of data above which they are compressed.
const MAX_PLAIN: usize = 1 << 20;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The data cannot be written.
    #[error(transparent)]
    Data(#[from] serde_json::Error),
    /// The page cannot be written.
    #[error(transparent)]
    Page(#[from] askama::Error),
    /// The data cannot be packed.
    #[error(transparent)]
    Pack(#[from] std::io::Error),
    /// Neither scenario nor log has calls.
    #[error("there are no calls to show")]
    Empty,
}

/// A trace as a page. It needs nothing beside itself: no network, no font, no script from elsewhere.
///
/// # Errors
/// Where there are no calls.
pub fn html(trace: &Trace) -> Result<String, HtmlError> {
    if trace.calls().is_empty() {
        return Err(HtmlError::Empty);
    }
    let mut data = data_json(trace)?;
    if data.len() > MAX_PLAIN {
        data = compressed(&data)?;
    }
    let Parts { style, bar, main, script } = Parts::ALL;
    let script = &format!("{script}{}", include_str!("../templates/report.js"));
    let (title, machines) = trace.about();
    let about = &format!("{} on {machines}", trace.counted());
    Ok(Page { title, about, data: &data, style, bar, main, script }.render()?)
}

/// Data as the page's script unpacks them: gzip, in base64.
fn compressed(data: &str) -> Result<String, HtmlError> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(data.as_bytes())?;
    Ok(BASE64_STANDARD.encode(packer.finish()?))
}

/// The data behind the page, as JSON that may stand inside a script element: nothing in it can end that.
///
/// # Errors
/// None that is known of.
pub fn data_json(trace: &Trace) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(&Data::of(trace))?;
    Ok(json.replace('<', "\\u003c"))
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("title", &self.title).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let packed = BASE64_STANDARD.decode(compressed("{\"calls\":[]}").unwrap()).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"calls\":[]}");
    }
}
