//! What page tables go through, to look at.
//!
//! A [`Tracer`] watches a machine of any port, on plain snapshots of its state, and keeps what each call changed. From the
//! resulting [`Trace`] come a [report](html()) for a browser, a [timeline](write_timeline) for a trace viewer, and a
//! [table](write_csv) of counters. An [`Explainer`] tells the story of one entry.

mod by;
mod cells;
mod data;
mod events;
mod explain;
mod heading;
mod html;
mod places;
mod rules;
mod source;
mod state;
mod timeline;
mod trace;
mod why;
mod words;

pub use cells::Piece;
pub use events::TraceEvent;
pub use explain::Explainer;
pub use html::{HtmlError, Parts, data_json, html};
pub use rules::{MAX_RULED, name_rules};
#[cfg(feature = "logs")]
pub use source::trace_log;
pub use source::{can_be_recorded, can_be_recorded_up_to, trace_scenario};
pub use state::{EntryState, State};
pub use timeline::{write_csv, write_timeline};
pub use trace::{
    CallLine, CallRule, CallTrace, Lane, MAX_DETAILS, MAX_EVENTS, NamedArea, RangeChange, Trace, TraceClock,
    Tracer, VmaChange,
};
pub use why::{Part, Reasoned, Reasons};
pub use words::{Word, WordTable};
