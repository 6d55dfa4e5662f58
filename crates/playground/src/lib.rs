//! The emulator in a web page. The page asks in JSON and is answered in JSON: [`answer`] is all of it, on any host.
//!
//! ```
//! let ask = r#"{"ask":"run","machines":{"ports":"arm64","kernels":"6.17"},"scenario":"mprotect(0x4000"}"#;
//! let answer = ptelab_playground::answer(ask);
//! assert!(answer.starts_with(r#"{"mistakes":[{"from":"#) && answer.contains(r#""line":1,"#), "{answer}");
//! ```

mod about;
mod examples;
mod exports;
mod fuzz;
mod machines;
mod mail;
mod mistakes;
mod run;

use machines::{Machines, Refused};
use serde::{Deserialize, Serialize};
use std::sync::Once;

/// What a page asks.
#[derive(Debug, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
enum Ask {
    /// What there is: calls, names, ports, kernels, bugs to plant.
    About,
    /// A scenario on machines: the data of a report.
    Run { scenario: String, machines: Machines },
    /// What one entry goes through, on each machine.
    Explain { scenario: String, machines: Machines, pid: u32, address: u64, call: u64 },
    /// The scenario and what differs, as text.
    Mail { scenario: String, machines: Machines },
    /// So many random programs from a number on.
    Fuzz(fuzz::Programs),
}

/// What a page is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    About(about::About),
    Run(run::Ran),
    /// Text that is for people.
    Text {
        text: String,
    },
    Fuzz(fuzz::Outcome),
    Mistakes {
        mistakes: Vec<mistakes::Mistake>,
        omitted: u64,
    },
    /// What cannot be done, in words.
    Error {
        error: String,
    },
}

/// Answers what a page asks. What cannot be read or done is an answer too: `mistakes` with their places, or `error`.
pub fn answer(ask: &str) -> String {
    static PORTS: Once = Once::new();
    PORTS.call_once(ptelab::register_ports);
    let answer = match serde_json::from_str(ask) {
        Ok(ask) => answered(&ask),
        Err(error) => Answer::Error { error: format!("this is no question: {error}") },
    };
    serde_json::to_string(&answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

fn answered(ask: &Ask) -> Answer {
    let scenario = match ask {
        Ask::Run { scenario, .. } | Ask::Explain { scenario, .. } | Ask::Mail { scenario, .. } => scenario,
        Ask::About | Ask::Fuzz(_) => "",
    };
    let done = match ask {
        Ask::About => Ok(Answer::About(about::about())),
        Ask::Run { machines, .. } => run::run(scenario, machines).map(Answer::Run),
        Ask::Explain { machines, pid, address, call, .. } => {
            run::explain(scenario, machines, (*pid, *address), *call).map(|text| Answer::Text { text })
        }
        Ask::Mail { machines, .. } => mail::mail(scenario, machines).map(|text| Answer::Text { text }),
        Ask::Fuzz(programs) => fuzz::fuzz(programs).map(Answer::Fuzz),
    };
    done.unwrap_or_else(|refused| match refused {
        Refused::Mistakes(mistakes) => {
            Answer::Mistakes { mistakes: mistakes::of(scenario, &mistakes), omitted: mistakes.omitted }
        }
        Refused::Other(error) => Answer::Error { error },
    })
}
