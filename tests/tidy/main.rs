//! The house style, kept by a test.
//!
//! What a reviewer would have to say again and again is checked here, on the text of the
//! files: `house.rs` is the list of what is allowed (layers, limits, exceptions), `rules.rs`
//! the rules, `source.rs` how to read Rust well enough for them, and `planted.rs` plants
//! each mistake and sees that it is found.
//!
//! A failure says what to do. Adding a line to a list in `house.rs` is one of the ways, and
//! shows in the review.

// A test that can't read the files it is about has failed.
#![allow(clippy::unwrap_used)]

mod house;
mod planted;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of ours.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for directory in ["src", "tests", "benches", "examples"] {
        collect(&root().join(directory), &mut files);
    }
    files.sort();
    let rust = files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    rust.map(|file| Source::new(&relative(file), &fs::read_to_string(file).unwrap())).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    // A checkout without benches or examples is fine.
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn relative(file: &Path) -> String {
    let file = file.strip_prefix(root()).unwrap();
    file.to_str().unwrap().replace('\\', "/")
}

/// Every text file that git tracks; none outside of a checkout (a packaged crate).
fn tracked_files() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Ok(listed) = listed else {
        return Vec::new();
    };
    String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
        // Unreadable as text: deleted and not yet committed, or binary.
        .filter_map(|path| Some((path.into(), fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

#[track_caller]
fn assert_tidy(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n\n{}\n", complaints.join("\n"));
}

#[test]
fn lower_layers_never_import_higher_ones() {
    assert_tidy(rules::import_direction(&sources(), house::LAYERS));
}

#[test]
fn only_storage_knows_a_vendor() {
    assert_tidy(rules::owned_words(&sources(), &house::VENDORS));
}

#[test]
fn only_the_edge_knows_sockets() {
    assert_tidy(rules::owned_words(&sources(), &house::SOCKETS));
}

#[test]
fn every_file_is_part_of_the_build() {
    assert_tidy(rules::dead_files(&sources()));
}

#[test]
fn files_and_functions_stay_small() {
    assert_tidy(rules::sizes(&sources(), house::TOO_LONG));
}

#[test]
fn nothing_is_left_for_later() {
    assert_tidy(rules::leftovers(&sources()));
}

#[test]
fn no_test_is_ignored() {
    assert_tidy(rules::ignored_tests(&sources()));
}

#[test]
fn tests_wait_for_conditions_and_never_for_a_while() {
    assert_tidy(rules::sleeping_tests(&sources(), house::MAY_SLEEP));
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    assert_tidy(rules::machine_paths(&tracked_files(), house::MACHINE_PATHS));
}
