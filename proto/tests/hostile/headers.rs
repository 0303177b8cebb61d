//! Arbitrary headers: texts with the members that matter and others, then a few bytes changed.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use proto::remoting::header::{Header, Language, Serialization};

use crate::generic;

fn scalar() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "false",
        "-0",
        "0.0",
        "1e400",
        "01",
        "1.5e3",
        "\"\\u0001\"",
        "\"\\ud83d\"",
        "\"\\u00fc\"",
        "18446744073709551616",
        "\" 7\"",
        "\"+7\"",
        "\"\"",
    ];
    prop_oneof![
        3 => ".{0,8}".prop_map(quoted),
        2 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<u64>().prop_map(|n| n.to_string()),
        1 => any::<i32>().prop_map(|n| format!("{:e}", f64::from(n) / 7.0)),
        3 => select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

fn quoted(text: String) -> String {
    serde_json::to_string(&text).unwrap()
}

/// Any value, nested deeper at times than a header may be.
fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(10, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("[{inner}]")),
            inner.prop_map(|inner| format!("{{\"code\":{inner},\"\":[]}}")),
        ]
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => any::<i32>().prop_map(|n| n.to_string()),
        2 => any::<i32>().prop_map(|n| format!("\"{n}\"")),
        1 => value(),
    ]
}

fn language() -> impl Strategy<Value = String> {
    let names = ["\"JAVA\"", "\"GO\"", "\"go\"", "\"NODE_JS\"", "null", "9"];
    select(names.to_vec()).prop_map(str::to_owned)
}

fn ext() -> impl Strategy<Value = String> {
    let names = select(vec!["topic", "a", "b", "", "gr\u{fc}\u{df}e"]).prop_map(str::to_owned);
    let names = prop_oneof![names, ".{0,4}"].prop_map(quoted);
    let values = prop_oneof![30 => scalar().boxed(), 1 => value().boxed()];
    let pairs = prop::collection::vec((names, values), 0..6);
    let pairs = pairs.prop_map(|pairs| object(&pairs));
    prop_oneof![20 => pairs.boxed(), 1 => value().boxed()]
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A header as text: any of its members, in any order, once mostly.
fn header() -> impl Strategy<Value = String> {
    let remark = prop_oneof![".{0,12}".prop_map(quoted), Just("null".to_owned())];
    let known = [
        ("code", number().boxed()),
        ("version", number().boxed()),
        ("opaque", number().boxed()),
        ("flag", number().boxed()),
        ("language", language().boxed()),
        ("remark", remark.boxed()),
        ("extFields", ext().boxed()),
        ("serializeTypeCurrentRPC", value().boxed()),
        ("more", value().boxed()),
    ];
    let member = |(name, values): (&'static str, BoxedStrategy<String>)| {
        let count = if name == "code" { 20 } else { 9 };
        let values = prop_oneof![
            1 => prop::collection::vec(values.clone(), 2),
            2 => Just(Vec::new()),
            count => values.prop_map(|value| vec![value]),
        ];
        values.prop_map(move |values| {
            let named = values
                .into_iter()
                .map(|value| (format!("\"{name}\""), value));
            named.collect::<Vec<_>>()
        })
    };
    let members = known.map(member).to_vec();
    let members = members.prop_map(|members| members.concat()).prop_shuffle();
    members.prop_map(|members| object(&members))
}

fn changed(mut bytes: Vec<u8>, changes: &[(Index, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how % 3 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    let byte = prop_oneof![any::<u8>(), select(b"{}[]\",:\\0e-. ".to_vec())];
    let changes = prop::collection::vec((any::<Index>(), any::<u8>(), byte), 1..3);
    prop_oneof![2 => Just(Vec::new()), 1 => changes]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn the_reader_without_a_tree_takes_a_header_for_what_a_generic_one_does() {
    let cases = 2000;
    let accepted = Cell::new(0);
    let checked = TestRunner::new(config(cases)).run(&(header(), changes()), |(text, changes)| {
        let bytes = changed(text.into_bytes(), &changes);
        let ours = Header::decode(&bytes, Serialization::Json).ok();
        accepted.set(accepted.get() + u32::from(ours.is_some()));
        prop_assert_eq!(ours, generic::header(&bytes));
        Ok(())
    });
    checked.unwrap_or_else(|failed| panic!("{failed}"));
    let share = accepted.get() * 100 / cases;
    assert!((20..80).contains(&share), "{share} % were headers");
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn arbitrary_bytes_are_no_trouble_in_either_serialization(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Header::decode(&bytes, Serialization::Binary);
        prop_assert_eq!(
            Header::decode(&bytes, Serialization::Json).ok(),
            generic::header(&bytes)
        );
    }
}

#[test]
fn limits_hold_at_their_edge_and_not_before() {
    let nested = |depth: usize| {
        format!(
            r#"{{"code":1,"x":{}1{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let remark = |bytes| format!(r#"{{"code":1,"remark":"{}"}}"#, "r".repeat(bytes));
    let field = |name: usize, value: usize| {
        let (name, value) = ("n".repeat(name), "v".repeat(value));
        format!(r#"{{"code":1,"extFields":{{"{name}":"{value}"}}}}"#)
    };
    let fields = |count: usize| {
        let fields: Vec<_> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!(r#"{{"code":1,"extFields":{{{}}}}}"#, fields.join(","))
    };
    let edges = [
        (nested(8), nested(9)),
        (remark(4096), remark(4097)),
        (field(255, 1), field(256, 1)),
        (field(1, 65_535), field(1, 65_536)),
        (fields(256), fields(257)),
    ];
    for (within, beyond) in edges {
        for (text, is_fine) in [(within, true), (beyond, false)] {
            let ours = Header::decode(text.as_bytes(), Serialization::Json).ok();
            assert_eq!(ours.is_some(), is_fine, "{} bytes", text.len());
            assert_eq!(ours, generic::header(text.as_bytes()));
        }
    }
}

#[test]
fn languages_have_the_names_that_java_gives_them() {
    let text = r#"{"code":1,"language":"GO"}"#;
    let header = Header::decode(text.as_bytes(), Serialization::Json).unwrap();
    assert_eq!(header.language, Language(9));
}
