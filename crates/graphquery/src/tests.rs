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
    query.bind(&given(values)).map(|bound| match bound {
        Bound::Http(request) => String::from_utf8(request.body).expect("it is text"),
        Bound::Sql(statement) => statement.text,
    })
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
    let read = |form, text: &str| read(form, text.as_bytes(), 2);
    let answer = r#"{"head":{"vars":["a","b"]},"results":{"bindings":[
        {"a":{"type":"uri","value":"urn:x"},"b":{"type":"literal","value":"7","datatype":"http://www.w3.org/2001/XMLSchema#integer"}},
        {"a":{"type":"bnode","value":"n1"}},
        {"b":{"type":"literal","value":"hallo","xml:lang":"de"}}]}}"#;
    let table = read(Form::SparqlJson, answer).expect("it is sound");
    assert_eq!((table.columns.len(), table.left_out), (2, 1));
    assert_eq!(table.rows, [vec![json!("urn:x"), json!(7)], vec![json!("_:n1"), Value::Null]]);
    let truth = read(Form::SparqlJson, r#"{"head":{},"boolean":true}"#).expect("it is sound");
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
        let why = read(Form::SparqlJson, lie).expect_err(lie);
        assert!(why.contains(word), "{lie}: {why}");
    }
    let big = format!("{}{}", answer, " ".repeat(ANSWER_BYTES_MAX));
    assert!(read(Form::SparqlJson, &big).expect_err("too long").contains("LIMIT"));
    // An integer that JSON's readers would take for another stays a text.
    let large = answer.replace("\"7\"", "\"9007199254740993\"");
    assert_eq!(read(Form::SparqlJson, &large).expect("it is sound").rows[0][1], json!("9007199254740993"));

    let rows = r#"{"data":{"fields":["n","m"],"values":[[{"properties":{"name":"Ada"}},1],["x",null]]},"bookmarks":["b"]}"#;
    let table = read(Form::QueryApi, rows).expect("it is sound");
    assert_eq!(table.rows[0][0]["properties"]["name"], "Ada");
    let told = read(
        Form::QueryApi,
        r#"{"errors":[{"code":"Neo.ClientError.Statement.AccessMode","message":"Writing in read access mode"}]}"#,
    );
    assert!(told.expect_err("it says so").contains("AccessMode"));
    assert!(read(Form::QueryApi, r#"{"data":{"fields":["n"],"values":[[1,2]]}}"#).is_err());
}

#[test]
fn a_statement_of_sql_reads_and_its_values_are_arguments() {
    let sql = |template: &str, of: &[(&str, Type)]| query(Language::Sql, template, of);
    let kinds = [("name", Type::Text), ("n", Type::Integer), ("day", Type::Date), ("sum", Type::Decimal)];
    let template = "WITH big AS (SELECT * FROM orders WHERE total >= $sum) -- it's \"all\"; really\n\
        SELECT '$1; don''t', \"delete\" /* a /* ; */ b */ FROM big WHERE lower(name)=lower($name::text) \
        AND day>$day OR name=$name LIMIT $n;";
    let query = sql(template, &kinds).expect("it only reads");
    let values = [
        ("name", json!("'; DROP TABLE orders --")),
        ("n", json!(5)),
        ("day", json!("2026-11-28")),
        ("sum", json!("3.50")),
    ];
    let Ok(Bound::Sql(statement)) = query.bind(&given(&values)) else { panic!("they fit") };
    let text =
        template.replace("$sum", "$1").replace("$name", "$2").replace("$day", "$3").replace("$n;", "$4");
    assert_eq!(statement.text, text);
    let arguments: Vec<(u32, &str)> = statement.arguments.iter().map(|a| (a.oid, a.text.as_str())).collect();
    assert_eq!(arguments, [(1700, "3.50"), (25, "'; DROP TABLE orders --"), (1082, "2026-11-28"), (20, "5")]);
    for template in [
        "DELETE FROM t",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT * INTO copy FROM t",
        "SELECT 1.INTO copy",
        "SELECT * FROM t FOR UPDATE",
        "EXPLAIN ANALYZE SELECT 1",
        "COPY t TO PROGRAM 'sh'",
        "SELECT dblink_exec('host=elsewhere', 'DROP TABLE t')",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT pg_terminate_backend(7)",
        "SELECT E'\\'' , '; DELETE FROM t --'",
        "SELECT U&'\\0041'",
        "",
    ] {
        let refused = sql(template, &[]);
        assert!(matches!(refused, Err(Wrong::Forbidden(_) | Wrong::Begins(..))), "{template}: {refused:?}");
    }
    assert_eq!(sql("SELECT 1; SELECT 2", &[]), Err(Wrong::Many));
    for open in ["SELECT 'a", "SELECT \"a", "SELECT /* /* */ 1", "SELECT 'a''"] {
        assert_eq!(sql(open, &[]), Err(Wrong::Open), "{open}");
    }
    for text in ["SELECT $$a$$", "SELECT $tag$a$tag$", "SELECT $1", "SELECT a$b"] {
        assert!(matches!(sql(text, &[]), Err(Wrong::Undeclared(_))), "{text}");
    }
    let a: &[(&str, Type)] = &[("a", Type::Text)];
    for text in ["SELECT '$a'", "SELECT \"$a\"", "SELECT 1 -- $a"] {
        assert_eq!(sql(text, a), Err(Wrong::Inside("a".into())), "{text}");
    }
    for text in ["SELECT b$a", "SELECT $a$ b $a$", "SELECT date$a", "SELECT 1$a", "SELECT 'b'$a"] {
        assert_eq!(sql(text, a), Err(Wrong::Joined("a".into())), "{text}");
    }
    assert!(sql("SELECT ($a)::uuid,$a||'x' WHERE b=ANY(string_to_array($a,','))", a).is_ok());
}

#[test]
fn rows_are_read_by_the_types_of_their_columns() {
    let column = |name: &str, oid| Column { name: name.into(), oid };
    let read = |oid, text: &str| -> Result<Value, String> {
        let mut rows = Rows::new(vec![column("a", oid)], 1)?;
        rows.push(&[Some(text.as_bytes())])?;
        Ok(rows.end().rows[0][0].clone())
    };
    for (oid, text, value) in [
        (25, "a\nb", json!("a\nb")),
        (16, "t", json!(true)),
        (23, "-7", json!(-7)),
        (20, "9007199254740993", json!("9007199254740993")),
        (701, "1.5e300", json!(1.5e300)),
        (701, "NaN", json!("NaN")),
        (1700, "3.1400", json!("3.1400")),
        (1700, "Infinity", json!("Infinity")),
        (3802, "{\"a\": [1, null]}", json!({"a": [1, null]})),
        (1184, "2026-11-28 06:00:00.5+00", json!("2026-11-28T06:00:00.5Z")),
        (1184, "infinity", json!("infinity")),
        (1184, "0044-03-15 10:00:00+00 BC", json!("0044-03-15 10:00:00+00 BC")),
        (1082, "2026-11-28", json!("2026-11-28")),
        (2950, "0190f3a2-7c1e-7a4b-8f2d-3c5e9a1b7d60", json!("0190f3a2-7c1e-7a4b-8f2d-3c5e9a1b7d60")),
    ] {
        assert_eq!(read(oid, text), Ok(value), "{oid} {text}");
    }
    for (oid, lie) in [
        (16, "yes"),
        (20, "1.5"),
        (20, ""),
        (1700, "1e3"),
        (1700, "."),
        (2950, "0190f3a2"),
        (114, "{"),
        (701, "x"),
    ] {
        assert!(read(oid, lie).is_err(), "{oid} {lie}");
    }
    assert!(read(17, "\\x00").expect_err("bytes").contains("encode"));
    assert!(read(1009, "{a,b}").expect_err("an array").contains("::text"));
    let wide = (0..COLUMNS_MAX + 1).map(|n| column(&n.to_string(), 25)).collect();
    assert!(Rows::new(wide, 1).is_err() && Rows::new(vec![column("a", 25), column("a", 23)], 1).is_err());

    let mut rows = Rows::new(vec![column("a", 25), column("b", 23)], 1).expect("two columns");
    assert!(rows.push(&[Some(b"x")]).is_err() && rows.push(&[Some(b"\xff"), None]).is_err());
    rows.push(&[Some(b"x"), None]).expect("a row");
    rows.push(&[None, Some(b"7")]).expect("one too many");
    let table = rows.end();
    assert_eq!((table.rows, table.left_out), (vec![vec![json!("x"), Value::Null]], 1));
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
