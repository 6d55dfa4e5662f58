//! What a page is answered, on the host.

use ptelab_playground::answer;
use serde_json::{Value, json};

const MACHINES: [&str; 2] = ["arm64,x86_64", "6.16,6.17"];

fn asked(ask: &Value) -> Value {
    serde_json::from_str(&answer(&ask.to_string())).expect("every answer is JSON")
}

fn of(ask: &str, scenario: &str, more: &Value) -> Value {
    let machines = json!({ "ports": MACHINES[0], "kernels": MACHINES[1] });
    let mut question = json!({ "ask": ask, "scenario": scenario, "machines": machines });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    asked(&question)
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn every_example_runs_and_says_what_it_shows() {
    let about = asked(&json!({ "ask": "about" }));
    let examples = about["examples"].as_array().unwrap();
    assert!(examples.len() > 30, "{}", examples.len());
    for example in examples {
        let text = example["text"].as_str().unwrap();
        assert!(text.starts_with('#'), "{} begins with what it shows", example["name"]);
        let answer = of("run", text, &json!({}));
        let calls = answer["data"]["calls"]["texts"].as_array().map_or(0, Vec::len);
        assert!(calls > 3, "{}: {answer}", example["name"]);
    }
}

#[test]
fn what_there_is() {
    let about = asked(&json!({ "ask": "about" }));
    assert!(texts(&about["ports"]).len() >= 10, "ports on request too: {}", about["ports"]);
    for port in texts(&about["default_ports"]) {
        assert!(texts(&about["ports"]).contains(&port), "{port}");
    }
    assert!(texts(&about["default_kernels"]).iter().all(|name| texts(&about["kernels"]).contains(name)));
    let mprotect = about["calls"].as_array().unwrap().iter().find(|form| form["name"] == "mprotect").unwrap();
    assert!(texts(&mprotect["words"][2]).contains(&"PROT_READ"), "{mprotect}");
    assert_eq!(mprotect["words"].as_array().unwrap().len(), 3, "one list for each parameter: {mprotect}");
}

/// Scripts count in UTF-16, the parser in bytes.
#[test]
fn mistakes_are_where_they_stand() {
    let text = "# \u{e4}\u{1f600}\nmprotect(0x4000, 4K, PROT_RAED)\nmunmap(0x4000)\n";
    let answer = of("run", text, &json!({}));
    let mistakes = answer["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 2, "all at once: {answer}");
    let units: Vec<u16> = text.encode_utf16().collect();
    let (from, to) = (mistakes[0]["from"].as_u64().unwrap(), mistakes[0]["to"].as_u64().unwrap());
    assert_eq!(String::from_utf16_lossy(&units[from as usize..to as usize]), "PROT_RAED");
    assert_eq!((&mistakes[0]["line"], &mistakes[1]["line"]), (&json!(2), &json!(3)));
}

#[test]
fn what_cannot_be_asked_is_said() {
    assert!(answer("{}").contains("error"));
    let machines = json!({ "ports": "vax", "kernels": "6.17" });
    let answer = asked(&json!({ "ask": "run", "scenario": "", "machines": machines }));
    assert!(answer["error"].as_str().unwrap().contains("vax"), "{answer}");
}

#[test]
fn an_entry_is_explained_and_a_mail_written() {
    let text = "mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 7, 64K)\n\
        mprotect(0x40000000, 64K, PROT_READ)\n";
    let told = of("explain", text, &json!({ "pid": 1, "address": 0x4000_0000_u64, "call": 3 }));
    let told = told["text"].as_str().unwrap();
    assert_eq!(told.matches("call 3, line 3: mprotect").count(), 4, "on each machine: {told}");
    let mixed = include_str!("../../../fixtures/scenarios/contpte-mixed-block.scn");
    let mail = of("mail", mixed, &json!({}));
    let mail = mail["text"].as_str().unwrap();
    for part in
        [mixed.trim_end(), "Between kernels of one port", "unfolds", "arch arm64,x86_64, kernel 6.16,6.17"]
    {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}

#[test]
fn random_programs_find_a_planted_bug() {
    let about = asked(&json!({ "ask": "about" }));
    let bug = &about["bugs"][0]["name"];
    let machines = json!({ "ports": "arm64", "kernels": "6.17" });
    let ask = |bug: &Value, cases: u64| {
        asked(
            &json!({ "ask": "fuzz", "machines": machines, "bug": bug, "seed": 1, "from": 0, "cases": cases }),
        )
    };
    let found = ask(bug, 2000);
    assert!(found["found"]["scenario"].as_str().is_some_and(|text| text.contains('(')), "{bug}: {found}");
    let fine = ask(&Value::Null, 5);
    assert_eq!((&fine["cases"], &fine["found"]), (&json!(5), &Value::Null));
}
