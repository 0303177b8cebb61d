//! Tests of the four places in which the operator may choose.
//! Invariant: none reads the real environment; variables are played by choices.

use broker::config::{Config, FlushMode};
use clap::{Command, FromArgMatches};

use super::*;

#[path = "../../fuzz/replay.rs"]
mod replay;

/// What `gantry standalone ARGS` would use in a folder with these files.
fn choose(args: &[&str], variables: &Choices, files: &[(&str, &str)]) -> Result<Chosen, Failure> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let here = folder.path().display().to_string();
    let args: Vec<String> = args.iter().map(|arg| arg.replace("HERE", &here)).collect();
    let file = Choices::from_file(&folder.path().join("gantry.toml"))?;
    // Without `env`, so that the variables of whoever runs the tests do not matter.
    let parser = Choices::augment_args(Command::new("gantry").no_binary_name(true))
        .mut_args(|arg| arg.env(None::<&str>));
    let matches = parser.try_get_matches_from(args).unwrap();
    let parsed = Choices::from_arg_matches(&matches).unwrap();
    let flags = parsed.from_source(&matches, ValueSource::CommandLine);
    Choices::join(&[
        (file, "gantry.toml"),
        (variables.clone(), "GANTRY_"),
        (flags, "--"),
    ])
}

fn broker(chosen: &Chosen) -> Config {
    Config::from_entries(&chosen.settings).unwrap().0
}

#[test]
fn without_any_choice_all_is_default() {
    let chosen = choose(&[], &Choices::default(), &[]).unwrap();
    assert_eq!(chosen.data_dir, Path::new("./gantry-data"));
    assert_eq!(
        (chosen.namesrv_port, chosen.http_port, chosen.admin_port),
        (9876, 8090, 8091)
    );
    let config = broker(&chosen);
    assert_eq!(
        (config.listen.port, config.flush.mode),
        (10911, FlushMode::Sync)
    );
    assert_eq!(config.files.root, "./gantry-data/store");
}

#[test]
fn each_place_beats_the_ones_below() {
    let conf = (
        "broker.conf",
        "listenPort=1001\nmaxMessageSize=1\nflushDiskType=ASYNC_FLUSH\n",
    );
    let toml = (
        "gantry.toml",
        "broker-port = 1002\nhttp-port = 2\n[set]\nmaxMessageSize = 2\nregionId = \"toml\"\n",
    );
    let none = Choices::default();
    let args = ["-c", "HERE/broker.conf"];
    let config = broker(&choose(&args, &none, &[conf]).unwrap());
    assert_eq!(
        (config.listen.port, config.flush.mode),
        (1001, FlushMode::Async)
    );

    let chosen = choose(&args, &none, &[conf, toml]).unwrap();
    let config = broker(&chosen);
    assert_eq!(
        (config.listen.port, config.topics.message_bytes_max),
        (1002, 2)
    );
    assert_eq!(
        (chosen.http_port, config.names.region.as_str()),
        (2, "toml")
    );

    let variables = Choices {
        broker_port: Some(1003),
        http_port: Some(3),
        set: vec!["maxMessageSize=3\nregionId=env\n".into()],
        ..Choices::default()
    };
    let chosen = choose(&args, &variables, &[conf, toml]).unwrap();
    let config = broker(&chosen);
    assert_eq!(
        (config.listen.port, config.topics.message_bytes_max),
        (1003, 3)
    );
    assert_eq!((chosen.http_port, config.names.region.as_str()), (3, "env"));

    let args = [
        &args[..],
        &["--broker-port", "1004", "--set", "maxMessageSize=4"],
    ]
    .concat();
    let config = broker(&choose(&args, &variables, &[conf, toml]).unwrap());
    assert_eq!(
        (config.listen.port, config.topics.message_bytes_max),
        (1004, 4)
    );
    assert_eq!(config.names.region.as_str(), "env");

    let args = [&args[..4], &["--set", "listenPort=1005"]].concat();
    let config = broker(&choose(&args[2..], &Choices::default(), &[]).unwrap());
    assert_eq!(config.listen.port, 1004, "a named flag beats --set");
    let args = ["--set", "listenPort=1005"];
    assert_eq!(
        broker(&choose(&args, &variables, &[]).unwrap()).listen.port,
        1005
    );
}

#[test]
fn the_data_folder_holds_the_store_unless_broker_conf_says_where_it_is() {
    let conf = ("broker.conf", "storePathRootDir=/elsewhere\n");
    let none = Choices::default();
    let args = ["-c", "HERE/broker.conf"];
    assert_eq!(
        broker(&choose(&args, &none, &[conf]).unwrap()).files.root,
        "/elsewhere"
    );
    let args = ["-c", "HERE/broker.conf", "--data-dir", "/d"];
    let chosen = choose(&args, &none, &[conf]).unwrap();
    assert_eq!(
        (&*broker(&chosen).files.root, chosen.data_dir),
        ("/d/store", "/d".into())
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    let none = Choices::default();
    for (args, files, told) in [
        (
            vec![],
            vec![("gantry.toml", "brokerport = 1\n")],
            "brokerport",
        ),
        (
            vec![],
            vec![("gantry.toml", "flush = \"never\"\n")],
            "never",
        ),
        (vec!["--set", "x"], vec![], "--set x: expected KEY=VALUE"),
        (
            vec!["-c", "HERE/b"],
            vec![("b", "a=\\u12\n")],
            "b:1: \\u needs",
        ),
    ] {
        let failure = choose(&args, &none, &files).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.sentence.contains(told), "{}", failure.sentence);
    }
    let missing = choose(&["-c", "HERE/none.conf"], &none, &[]).unwrap_err();
    assert_eq!(missing.exit, Exit::NoAccess);
    assert!(
        missing.sentence.contains("none.conf"),
        "{}",
        missing.sentence
    );
}

#[test]
fn an_address_for_other_machines_must_be_wanted() {
    let everyone = "0.0.0.0".parse().unwrap();
    assert!(check_exposure("127.0.0.2".parse().unwrap(), false).is_ok());
    assert!(check_exposure("::1".parse().unwrap(), false).is_ok());
    assert!(check_exposure(everyone, true).is_ok());
    let refused = check_exposure(everyone, false).unwrap_err();
    assert_eq!(refused.exit, Exit::Config);
    assert!(
        refused.sentence.contains("--insecure"),
        "{}",
        refused.sentence
    );
}

#[test]
fn seeds_of_the_fuzz_target_find_nothing() {
    replay::every_seed("gantry_toml", gantry_toml);
}
