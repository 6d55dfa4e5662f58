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
    data: &'a str,
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
    Ok(Page { title: &trace.source, data: &data }.render()?)
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
