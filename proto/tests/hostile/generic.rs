//! What a JSON header means, the slow way: the whole text becomes a tree first. Members keep their
//! order and may occur twice, which `serde_json::Value` would hide; values are `Value`s otherwise.

use std::borrow::Cow;
use std::fmt;

use proto::remoting::header::{
    FIELDS_MAX, Header, JSON_DEPTH_MAX, KEY_BYTES_MAX, Language, REMARK_BYTES_MAX, VALUE_BYTES_MAX,
};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

enum Tree {
    Scalar(Value),
    List(Vec<Self>),
    Members(Vec<(String, Self)>),
}

/// `None` where the header is refused, for whatever reason.
pub(crate) fn header(bytes: &[u8]) -> Option<Header<'static>> {
    let Tree::Members(members) = serde_json::from_slice(bytes).ok()? else {
        return None;
    };
    let number = |name| match member(&members, name)? {
        None => Some(None),
        Some(tree) => Some(Some(text(tree)?.map_or(Some(0), |n| n.parse().ok())?)),
    };
    let header = Header {
        code: number("code")??,
        version: number("version")?.unwrap_or(0),
        opaque: number("opaque")?.unwrap_or(0),
        flag: number("flag")?.unwrap_or(0),
        language: match member(&members, "language")? {
            None => Language::OTHER,
            Some(tree) => language(&text(tree)?.unwrap_or_default()),
        },
        remark: match member(&members, "remark")? {
            None => None,
            Some(tree) => text(tree)?.map(Cow::Owned),
        },
        ext: match member(&members, "extFields")? {
            None | Some(Tree::Scalar(Value::Null)) => Vec::new(),
            Some(Tree::Members(pairs)) => ext(pairs)?,
            Some(_) => return None,
        },
    };
    let remark_bytes = header.remark.as_ref().map_or(0, |remark| remark.len());
    let known = [
        "code",
        "version",
        "opaque",
        "flag",
        "language",
        "remark",
        "extFields",
    ];
    let mut ignored = members.iter().filter(|(name, _)| !known.contains(&&**name));
    let is_shallow = ignored.all(|(_, tree)| depth(tree) <= JSON_DEPTH_MAX);
    (is_shallow && remark_bytes <= REMARK_BYTES_MAX).then_some(header)
}

/// The member of that name, if there is one; `None` when there are two.
fn member<'a>(members: &'a [(String, Tree)], name: &str) -> Option<Option<&'a Tree>> {
    let mut found = members.iter().filter(|(member, _)| member == name);
    let first = found.next().map(|(_, tree)| tree);
    found.next().is_none().then_some(first)
}

/// A scalar as text, null as `None`; `None` for what is no scalar.
fn text(tree: &Tree) -> Option<Option<String>> {
    match tree {
        Tree::Scalar(Value::Null) => Some(None),
        Tree::Scalar(Value::String(text)) => Some(Some(text.clone())),
        Tree::Scalar(Value::Number(number)) if number.is_f64() => {
            Some(Some(number.as_f64()?.to_string()))
        }
        Tree::Scalar(other) => Some(Some(other.to_string())),
        Tree::List(_) | Tree::Members(_) => None,
    }
}

fn ext(members: &[(String, Tree)]) -> Option<Vec<(Cow<'static, str>, Cow<'static, str>)>> {
    let mut pairs = Vec::new();
    for (name, tree) in members {
        if let Some(value) = text(tree)? {
            if name.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return None;
            }
            pairs.push((Cow::Owned(name.clone()), Cow::Owned(value)));
        }
    }
    (pairs.len() <= FIELDS_MAX).then_some(pairs)
}

fn language(name: &str) -> Language {
    let known = (0..=13).map(Language).find(|known| known.name() == name);
    known.unwrap_or(Language::OTHER)
}

fn depth(tree: &Tree) -> usize {
    match tree {
        Tree::Scalar(_) => 0,
        Tree::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Tree::Members(members) => {
            let depths = members.iter().map(|(_, tree)| depth(tree));
            1 + depths.max().unwrap_or(0)
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Grow)
    }
}

struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Members(members))
    }
}
