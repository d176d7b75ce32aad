//! Templates, values, answers.

use proptest::prelude::*;

use super::*;

fn parameters(of: &[(&str, Type)]) -> BTreeMap<String, Parameter> {
    of.iter()
        .map(|(name, kind)| ((*name).to_owned(), Parameter { kind: *kind, ..Parameter::default() }))
        .collect()
}

fn query(language: Language, template: &str, of: &[(&str, Type)]) -> Result<Query, Wrong> {
    Query::new(language, template, parameters(of))
}

fn sparql(template: &str, of: &[(&str, Type)]) -> Result<Query, Wrong> {
    query(Language::Sparql, template, of)
}

fn given(values: &[(&str, Value)]) -> Map<String, Value> {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn bound(query: &Query, values: &[(&str, Value)]) -> Result<String, Unfit> {
    query.bind(&given(values)).map(|request| String::from_utf8(request.body).expect("it is text"))
}

#[test]
fn values_become_terms_by_their_types() {
    let kinds = [
        ("t", Type::Text),
        ("i", Type::Iri),
        ("n", Type::Integer),
        ("d", Type::Decimal),
        ("b", Type::Boolean),
        ("y", Type::Date),
        ("z", Type::DateTime),
        ("l", Type::Integer),
    ];
    let template =
        "PREFIX ex: <http://ex.org/> # $t is no hole here? it is refused\nSELECT ?x WHERE { ?x ex:a $t }";
    assert_eq!(sparql(template, &[("t", Type::Text)]), Err(Wrong::Inside("t".into())));
    let template = "PREFIX ex: <http://ex.org/>\nSELECT ?x WHERE { VALUES ?v { $t $i $n $d $b $y $z } ?x ex:from ?v } LIMIT $l";
    let query = sparql(template, &kinds).expect("it only reads");
    let values = [
        ("t", json!("say \"hi\"\\ \n")),
        ("i", json!("urn:x:7")),
        ("n", json!(-5)),
        ("d", json!("3.50")),
        ("b", json!(true)),
        ("y", json!("2026-11-28")),
        ("z", json!("2026-11-28T06:00:00.5+01:00")),
        ("l", json!("20")),
    ];
    let text = bound(&query, &values).expect("they fit");
    let xsd = "http://www.w3.org/2001/XMLSchema#";
    assert_eq!(
        text,
        format!(
            "PREFIX ex: <http://ex.org/>\nSELECT ?x WHERE {{ VALUES ?v {{  \"say \\\"hi\\\"\\\\ \\n\"   <urn:x:7>   \"-5\"^^<{xsd}integer>   \
             \"3.50\"^^<{xsd}decimal>   \"true\"^^<{xsd}boolean>   \"2026-11-28\"^^<{xsd}date>   \
             \"2026-11-28T06:00:00.5+01:00\"^^<{xsd}dateTime>  }} ?x ex:from ?v }} LIMIT  20 "
        )
    );
    let schema = query.schema();
    assert_eq!(schema["properties"]["n"]["type"], "integer");
    assert_eq!(schema["required"].as_array().map(Vec::len), Some(8));
}

#[test]
fn what_is_not_of_its_type_is_refused() {
    for (kind, wrong) in [
        (
            Type::Text,
            vec![
                json!(7),
                json!(null),
                json!("a\u{0}b"),
                json!("\u{7f}"),
                json!("x".repeat(5_000)),
                json!(["a"]),
            ],
        ),
        (
            Type::Iri,
            vec![
                json!("x"),
                json!("a b:c"),
                json!("urn:"),
                json!("http://x/> ?y"),
                json!("http://x/\"y"),
                json!("http://x\\u003e"),
                json!("http://x/a/../b"),
                json!("7:x"),
                json!("http://x/{y}"),
            ],
        ),
        (
            Type::Integer,
            vec![
                json!("1e3"),
                json!(1.5),
                json!("+1"),
                json!(""),
                json!(true),
                json!("99999999999999999999"),
            ],
        ),
        (Type::Decimal, vec![json!("1e3"), json!("."), json!("--1"), json!("1.2.3"), json!("NaN")]),
        (Type::Boolean, vec![json!("TRUE"), json!(1), json!("yes")]),
        (
            Type::Date,
            vec![
                json!("2026-13-01"),
                json!("2026-1-1"),
                json!("28.11.2026"),
                json!("2026-11-28T00:00:00Z"),
                json!("+026-01-01"),
            ],
        ),
        (
            Type::DateTime,
            vec![
                json!("2026-11-28"),
                json!("2026-11-28T25:00:00Z"),
                json!("2026-11-28T06:00:00Zjunk"),
                json!("2026-11-28T06:00:00+aa:bb"),
                json!("2026-11-28T06:00:00+"),
            ],
        ),
    ] {
        let query = sparql("SELECT ?x WHERE { ?x ?y $a }", &[("a", kind)]).expect("it only reads");
        for value in wrong {
            assert!(
                matches!(bound(&query, &[("a", value.clone())]), Err(Unfit::Value { .. })),
                "{kind:?}: {value}"
            );
        }
    }
    let query = sparql("SELECT ?x WHERE { ?x ?y $a }", &[("a", Type::Text)]).expect("it only reads");
    assert_eq!(bound(&query, &[]), Err(Unfit::Missing("a".into())));
    assert_eq!(bound(&query, &[("a", json!("x")), ("b", json!("y"))]), Err(Unfit::Unknown("b".into())));
    let mut narrow = parameters(&[("a", Type::Iri)]);
    narrow.get_mut("a").expect("it is there").under = Some("https://ex.org/id/".into());
    let query = Query::new(Language::Sparql, "SELECT ?x WHERE { $a ?y ?x }", narrow).expect("it only reads");
    assert!(bound(&query, &[("a", json!("https://ex.org/id/7"))]).is_ok());
    assert!(bound(&query, &[("a", json!("https://ex.org/idx/7"))]).is_err());
}

#[test]
fn templates_only_read() {
    let none: &[(&str, Type)] = &[];
    for template in [
        "INSERT DATA { <urn:a> <urn:b> <urn:c> }",
        "PREFIX ex: <http://ex.org/> DELETE WHERE { ?x ?y ?z }",
        "SELECT ?x WHERE { SERVICE <http://169.254.169.254/> { ?x ?y ?z } }",
        "SELECT ?x FROM <http://elsewhere.example/> WHERE { ?x ?y ?z }",
        "SELECT ?x WHERE { ?x ?y ?z } ; drop all",
        "CONSTRUCT { ?x ?y ?z } WHERE { ?x ?y ?z }",
        "LOAD <http://elsewhere.example/>",
        "",
    ] {
        assert!(matches!(sparql(template, none), Err(Wrong::Forbidden(_) | Wrong::Begins(..))), "{template}");
    }
    // A word of the language as a name is none of the language's.
    let sound = "PREFIX load: <http://ex.org/> SELECT ?insert ?drop WHERE { ?insert load:delete ?drop . FILTER(?drop < 7 && ?drop != \"DELETE\") }";
    assert!(sparql(sound, none).is_ok(), "{:?}", sparql(sound, none));
    assert!(sparql("ASK { ?x ?y ?z } # INSERT", none).is_ok());
    let cypher = |template: &str| query(Language::Cypher, template, none);
    for template in [
        "CREATE (n)",
        "MATCH (n) SET n.a = 1",
        "MATCH (n) DETACH DELETE n",
        "MATCH (n) merge (m) RETURN m",
        "LOAD CSV FROM 'http://x' AS row RETURN row",
        "WITH 1 AS x LOAD CSV FROM 'file:///etc/passwd' AS r RETURN r",
        "CALL apoc.load.json('http://x') YIELD value RETURN value",
        "MATCH (n) CALL { CREATE (m) RETURN m } RETURN n",
        "MATCH (n) FOREACH (x IN [1] | SET n.a = x)",
        "DROP INDEX a",
        "MATCH (n) REMOVE n.a RETURN n",
    ] {
        assert!(matches!(cypher(template), Err(Wrong::Forbidden(_) | Wrong::Begins(..))), "{template}");
    }
    for template in [
        "MATCH (n:Create {set: 1}) WHERE n.delete = 'MERGE' RETURN n // DROP",
        "CALL db.index.fulltext.queryNodes('names', 'a') YIELD node RETURN node",
        "MATCH (n) CALL { WITH n MATCH (n)--(m) RETURN m } RETURN n, `SET`",
    ] {
        assert!(cypher(template).is_ok(), "{template}: {:?}", cypher(template));
    }
}

#[test]
fn holes_are_parameters_and_stand_by_themselves() {
    let a: &[(&str, Type)] = &[("a", Type::Text)];
    let wrong = |template: &str| sparql(template, a).expect_err(template);
    assert_eq!(wrong("SELECT ?x WHERE { ?x ?y $b }"), Wrong::Undeclared("b".into()));
    assert_eq!(wrong("SELECT ?x WHERE { ?x ?y ?z }"), Wrong::Unused("a".into()));
    for text in ["\"hello $a\"", "'''$a'''", "<http://x/$a>", "?z } # $a"] {
        assert_eq!(
            wrong(&format!("SELECT ?x WHERE {{ ?x ?y {text} }}")),
            Wrong::Inside("a".into()),
            "{text}"
        );
    }
    for text in ["ex:$a", "$a@en", "$a^^<urn:x>", "?z$a", "\"x\"$a"] {
        assert_eq!(
            wrong(&format!("SELECT ?x WHERE {{ ?x ?y {text} }}")),
            Wrong::Joined("a".into()),
            "{text}"
        );
    }
    assert_eq!(wrong("SELECT ?x WHERE { ?x ?y $a . \"open }"), Wrong::Open);
    assert_eq!(wrong("SELECT ?x WHERE { ?x ?y $a \\u0022 }"), Wrong::Escape);
    assert_eq!(wrong("SELECT ?x WHERE { ?x ?y ?z } LIMIT $a"), Wrong::Count("a".into()));
    assert_eq!(sparql("SELECT ?x { }", &[("a b", Type::Text)]), Err(Wrong::Name("a b".into())));
    assert!(matches!(sparql(&"#".repeat(20_000), a), Err(Wrong::Long(_))));
}

#[test]
fn parameters_of_cypher_are_never_its_text() {
    let query = query(
        Language::Cypher,
        "MATCH (n {name: $name}) WHERE n.since > date($day) RETURN n LIMIT $n",
        &[("name", Type::Text), ("day", Type::Date), ("n", Type::Integer)],
    )
    .expect("it only reads");
    let text = bound(
        &query,
        &[("name", json!("'}) DETACH DELETE n //")), ("day", json!("2026-01-01")), ("n", json!(5))],
    )
    .expect("they fit");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        body,
        json!({
            "statement": "MATCH (n {name: $name}) WHERE n.since > date($day) RETURN n LIMIT $n",
            "parameters": {"name": "'}) DETACH DELETE n //", "day": "2026-01-01", "n": 5},
            "accessMode": "Read",
        })
    );
}

#[test]
fn an_answer_is_read_as_what_it_is() {
    let read = |language, text: &str| read(language, text.as_bytes(), 2);
    let answer = r#"{"head":{"vars":["a","b"]},"results":{"bindings":[
        {"a":{"type":"uri","value":"urn:x"},"b":{"type":"literal","value":"7","datatype":"http://www.w3.org/2001/XMLSchema#integer"}},
        {"a":{"type":"bnode","value":"n1"}},
        {"b":{"type":"literal","value":"hallo","xml:lang":"de"}}]}}"#;
    let table = read(Language::Sparql, answer).expect("it is sound");
    assert_eq!((table.columns.len(), table.left_out), (2, 1));
    assert_eq!(table.rows, [vec![json!("urn:x"), json!(7)], vec![json!("_:n1"), Value::Null]]);
    let truth = read(Language::Sparql, r#"{"head":{},"boolean":true}"#).expect("it is sound");
    assert_eq!((truth.columns, truth.rows), (vec!["boolean".to_owned()], vec![vec![json!(true)]]));
    for (lie, word) in [
        ("<html>", "JSON"),
        ("[]", "object"),
        ("{}", "head"),
        (r#"{"head":{"vars":["a"]}}"#, "bindings"),
        (r#"{"head":{"vars":["a","a"]},"results":{"bindings":[]}}"#, "twice"),
        (
            r#"{"head":{"vars":["a"]},"results":{"bindings":[{"b":{"type":"uri","value":"x"}}]}}"#,
            "does not name",
        ),
        (r#"{"head":{"vars":["a"]},"results":{"bindings":[{"a":{"type":"triple","value":"x"}}]}}"#, "triple"),
        (r#"{"head":{"vars":["a"]},"results":{"bindings":[{"a":"x"}]}}"#, "no type"),
        (r#"{"head":{"vars":["a"]},"results":{"bindings":[]}} junk"#, "trailing"),
    ] {
        let why = read(Language::Sparql, lie).expect_err(lie);
        assert!(why.contains(word), "{lie}: {why}");
    }
    let big = format!("{}{}", answer, " ".repeat(ANSWER_BYTES_MAX));
    assert!(read(Language::Sparql, &big).expect_err("too long").contains("LIMIT"));
    // An integer that JSON's readers would take for another stays a text.
    let large = answer.replace("\"7\"", "\"9007199254740993\"");
    assert_eq!(read(Language::Sparql, &large).expect("it is sound").rows[0][1], json!("9007199254740993"));

    let rows = r#"{"data":{"fields":["n","m"],"values":[[{"properties":{"name":"Ada"}},1],["x",null]]},"bookmarks":["b"]}"#;
    let table = read(Language::Cypher, rows).expect("it is sound");
    assert_eq!(table.rows[0][0]["properties"]["name"], "Ada");
    let told = read(
        Language::Cypher,
        r#"{"errors":[{"code":"Neo.ClientError.Statement.AccessMode","message":"Writing in read access mode"}]}"#,
    );
    assert!(told.expect_err("it says so").contains("AccessMode"));
    assert!(read(Language::Cypher, r#"{"data":{"fields":["n"],"values":[[1,2]]}}"#).is_err());
}

proptest! {
    /// Whatever a text holds, its term is one token, and reads back as that text: by the grammar
    /// alone, and by engines that replace `\uXXXX` before they read anything.
    #[test]
    fn a_text_is_never_syntax(text in prop_oneof!["\\PC{0,60}", "[\"'\\\\u0-9a-fnU<>{} ]{0,40}"]) {
        let literal = crate::sparql::literal(&text);
        for source in [literal.clone(), replaced(&literal)] {
            prop_assert_eq!(crate::sparql::quoted(&source, "\""), Some(source.len()), "{}", source);
            prop_assert_eq!(unquoted(&source), Some(text.clone()), "{}", source);
        }
    }

    /// The number of tokens in a bound query does not depend on its values.
    #[test]
    fn values_add_no_tokens(text in "\\PC{0,60}", iri in "\\PC{0,30}") {
        let query = sparql("SELECT ?x WHERE { ?x ?y $a . ?z ?y $b }", &[("a", Type::Text), ("b", Type::Iri)]).expect("it only reads");
        let Ok(body) = bound(&query, &[("a", json!(text)), ("b", json!(format!("urn:x:{iri}")))]) else { return Ok(()) };
        let (before, rest) = body.split_at("SELECT ?x WHERE { ?x ?y  ".len());
        prop_assert_eq!(before, "SELECT ?x WHERE { ?x ?y  ");
        let end = crate::sparql::quoted(rest, "\"").expect("a text that ends");
        let rest = &rest[end..];
        prop_assert!(rest.starts_with("  . ?z ?y  <urn:x:"), "{}", rest);
        prop_assert_eq!(rest.matches('<').count(), 1);
        prop_assert!(rest.ends_with(">  }") && rest.matches('>').count() == 1, "{}", rest);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&data);
    }

    #[test]
    fn no_text_panics(text in "[$ab{}()<>\"'`/*# \\\\uSELECTMATCH?:.\n]{0,80}") {
        fuzz(text.as_bytes());
    }
}

/// `\uXXXX` replaced in one pass over the characters, without regard to what stands before.
fn replaced(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let code =
            rest.strip_prefix("\\u").and_then(|r| r.get(..4)).and_then(|h| u32::from_str_radix(h, 16).ok());
        match code.and_then(char::from_u32) {
            Some(is) => {
                out.push(is);
                rest = &rest[6..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// A quoted text by SPARQL's grammar, with codepoint escapes.
fn unquoted(literal: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c @ ('"' | '\\') => c,
            'u' => {
                char::from_u32(u32::from_str_radix(&chars.by_ref().take(4).collect::<String>(), 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(out)
}
