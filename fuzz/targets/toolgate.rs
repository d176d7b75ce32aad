//! A hostile tool: whatever it returns, and whatever a model then proposes, is
//! decided, and a value that only the tool said is never let through unasked.
#![no_main]

use toolgate::{Approvals, Declarations, Effect, Field, History, Kind, Target, Tool, Verdict, decide};
use units::Micros;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(2, '\u{1}');
    let (result, call) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("{}"));
    let mut declared = Declarations::new();
    let fields = vec![Field::trusted("id"), Field::listed("rooms")];
    declared.insert("read", Tool { fields, private: vec!["note".into()], ..Tool::reading() });
    for (name, kind) in [
        ("text", Kind::Text),
        ("exact", Kind::Exact),
        ("email", Kind::Email),
        ("url", Kind::Url),
        ("number", Kind::Number),
        ("account", Kind::Account),
    ] {
        let targets = Some([("to".into(), Target::new(kind))].into());
        declared.insert(name, Tool { effect: Effect::Egress, targets, ..Tool::default() });
    }
    let mut history = History::default();
    history.user("look at it");
    history.result("read", result, &declared);
    for (name, _) in declared.iter() {
        decide(&history, &declared, name, call, &Approvals::default(), Micros(0));
    }
    let hostile = format!("{{\"to\":\"{}\"}}", "mallory@evil.example");
    let decision = decide(&history, &declared, "email", &hostile, &Approvals::default(), Micros(0));
    // Unless the text is a structure whose trusted field has just that.
    assert!(decision.verdict == Verdict::Ask || result.contains("id"));
});
