//! Which crate may depend on which.
//!
//! The arrows are those of `docs/adr/0001-crates-and-arrows.md`; a new one needs a page there first.

use std::{env, path::Path, process::Command};

use serde_json::Value;

use super::Finding;

/// A crate and those of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("runtime", &[]),
    ("store", &["proto"]),
    ("remoting", &["proto", "runtime"]),
    ("client", &["remoting", "proto", "runtime"]),
    ("namesrv", &["remoting", "proto", "runtime"]),
    (
        "broker",
        &["store", "client", "remoting", "proto", "runtime"],
    ),
    ("gateway", &["client", "proto", "runtime"]),
    ("loadtest", &["client", "remoting", "proto", "runtime"]),
    (
        "chaos",
        &["loadtest", "client", "remoting", "proto", "runtime"],
    ),
    (
        "gantry",
        &[
            "broker", "gateway", "namesrv", "client", "remoting", "store", "proto", "runtime",
        ],
    ),
    ("xtask", &[]),
];

/// What must stay out of crates that know neither network nor executor.
const NO_NETWORK: &[(&str, &[&str])] = &[
    (
        "proto",
        &["tokio", "tokio-util", "hyper", "memmap2", "libc"],
    ),
    ("store", &["tokio", "tokio-util", "hyper"]),
];

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root)
        .output()
        .expect("cargo can be run, it runs this");
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    broken(&metadata)
}

fn broken(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"]
        .as_array()
        .expect("metadata lists packages");
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            found.push(Finding::new("arrow", name, "a crate that no ADR allows"));
            continue;
        };
        let banned = NO_NETWORK
            .iter()
            .find(|(from, _)| *from == name)
            .map_or(&[][..], |(_, b)| *b);
        let dependencies = package["dependencies"]
            .as_array()
            .expect("a package lists dependencies");
        // `kind` is null for what ends up in the product; tests may use what they like.
        for dependency in dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
        {
            let to = dependency["name"]
                .as_str()
                .expect("a dependency has a name");
            let ours = ARROWS.iter().any(|(ours, _)| *ours == to);
            if ours && !allowed.contains(&to) {
                found.push(Finding::new(
                    "arrow",
                    name,
                    format!("must not depend on {to}"),
                ));
            }
            if banned.contains(&to) {
                found.push(Finding::new(
                    "arrow",
                    name,
                    format!("must stay free of {to}"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_arrow_that_points_the_wrong_way_is_found_and_dev_dependencies_are_free() {
        let metadata = json!({"packages": [
            {"name": "store", "dependencies": [
                {"name": "broker", "kind": null},
                {"name": "tokio", "kind": null},
                {"name": "proto", "kind": null},
                {"name": "runtime", "kind": "dev"},
            ]},
            {"name": "common", "dependencies": []},
        ]});
        let found: Vec<_> = broken(&metadata)
            .into_iter()
            .map(|f| (f.place, f.says))
            .collect();
        let expected = [
            ("store", "must not depend on broker"),
            ("store", "must stay free of tokio"),
            ("common", "a crate that no ADR allows"),
        ];
        assert_eq!(
            found,
            expected.map(|(place, says)| (place.to_owned(), says.to_owned()))
        );
    }
}
