//! Holds the layout that lib.rs describes: pure rooms stay pure, no room imports one above it, and the sentences of Reasons
//! stand in `response/reason`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down: each imports only those behind it.
const ROOMS: [&str; 23] = [
    "cli",
    "config",
    "consumer",
    "handler",
    "resync",
    "verification",
    "sns_signature",
    "execution",
    "reconcile",
    "response",
    "postgres",
    "credentials",
    "aws",
    "upgrade",
    "plan",
    "ledger",
    "resync_protocol",
    "request",
    "postgres_error",
    "extension",
    "target",
    "process",
    "metrics",
];

/// Rooms and files that are pure.
const PURE: [&str; 17] = [
    "cli/resync/html/",
    "cli/resync/tracker/",
    "extension/",
    "ledger/",
    "plan/",
    "postgres_error/",
    "request/",
    "resync/assessment.rs",
    "resync/declarers.rs",
    "resync_protocol/",
    "response/",
    "sns_signature/certificate/",
    "sns_signature/certificate_url/",
    "sns_signature/signed_fields/",
    "target.rs",
    "upgrade/",
    "verification/operation/",
];

/// What a pure file does not name.
const IMPURE: [&str; 17] = [
    "tokio",
    "futures_util",
    "tracing",
    "aws_config",
    "aws_sdk_",
    "aws_sigv4",
    "tokio_postgres",
    "deadpool",
    "reqwest",
    "hyper",
    "std::env",
    "std::fs",
    "fastrand",
    "Utc::now",
    "Instant::now",
    "SystemTime::now",
    "std::net::Tcp",
];

/// What stands otherwise, and why: the file, what it names, the reason.
const ALLOWED: [(&str, &str, &str); 0] = [];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each file that is not a test, by its path below `src`, without comments and without its tests.
fn code() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    found.sort();
    let is_test = |name: &str| {
        name.ends_with("tests.rs") || name.contains("/tests/") || name.ends_with("proptests.rs")
    };
    found
        .into_iter()
        .filter_map(|path| {
            let name = path
                .strip_prefix(source())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = text.lines().map(|line| line.split("//").next().unwrap());
            (!is_test(&name)).then(|| (name, lines.collect::<Vec<_>>().join("\n")))
        })
        .collect()
}

fn is_allowed(file: &str, what: &str) -> bool {
    ALLOWED
        .iter()
        .any(|(allowed, name, _)| *allowed == file && *name == what)
}

#[test]
fn pure_rooms_name_nothing_impure() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        if !PURE.iter().any(|pure| file.starts_with(pure)) {
            continue;
        }
        for name in IMPURE {
            if text.contains(name) && !is_allowed(&file, name) {
                wrong.push(format!("{file} is pure and names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_room_imports_one_above_it() {
    let mut wrong = BTreeSet::new();
    for (file, text) in code() {
        let room = file.split(['/', '.']).next().unwrap();
        let Some(at) = ROOMS.iter().position(|known| *known == room) else {
            assert!(
                matches!(room, "lib" | "main" | "bin" | "rooms" | "reference"),
                "{file}: its room is not in ROOMS"
            );
            continue;
        };
        for import in text.split("crate::").skip(1) {
            let name: String = import
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            let imported = ROOMS.iter().position(|known| *known == name);
            if imported.is_some_and(|imported| imported < at) && !is_allowed(&file, &name) {
                wrong.insert(format!("{file} imports {name}, which stands above {room}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where sentences stand: Reasons, what the command line prints, the texts of settings and metrics; and the findings of
/// `upgrade-check`, each beside its check.
const SENTENCES: [&str; 6] = [
    "cli/",
    "config/",
    "metrics/",
    "process/",
    "response/reason/",
    "upgrade/",
];

#[test]
fn every_sentence_of_a_reason_stands_in_one_place() {
    let ends_sentence = |line: &&str| {
        line.split_once(".\"")
            .and_then(|(before, _)| before.chars().last())
            .is_some_and(|last| last.is_alphanumeric() || matches!(last, ')' | '}' | ']'))
    };
    let mut wrong = Vec::new();
    for (file, text) in code() {
        if SENTENCES.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        let sentences = text.lines().filter(ends_sentence);
        wrong.extend(sentences.map(|line| format!("{file}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_allowed_is_still_needed() {
    let code = code();
    for (file, name, reason) in ALLOWED {
        let text = code
            .iter()
            .find(|(found, _)| found == file)
            .map(|(_, text)| text);
        assert!(
            text.is_some_and(|text| text.contains(name)),
            "{file} no longer names {name} ({reason})"
        );
    }
}
