//! Each rule finds the mistake planted for it, and does not complain about its look-alikes.

use crate::house::{LAYERS, MACHINE_PATHS, SOCKETS, VENDORS};
use crate::rules::{self, MaySleep, TooLong};
use crate::source::{Function, Source};

fn file(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}

#[track_caller]
fn finds(complaints: &[String], wanted: &[&str]) {
    assert_eq!(complaints.len(), wanted.len(), "{complaints:#?}");
    for (complaint, wanted) in complaints.iter().zip(wanted) {
        assert!(complaint.contains(wanted), "no {wanted:?} in {complaint:?}");
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = r##"let a = "x // y"; // z
/* one /* two */ */ let b = '"'; let c = b"\"q"; let d = r#"w " w"#; fn e<'a>(f: &'a str) {}
let r#type = '\''; let g = br"h"; let i = "é"; j"##;
    let code = Source::new("src/a.rs", text).code;
    let kept: Vec<&str> = code.split_whitespace().collect();
    let kept = kept.join(" ");
    assert_eq!(
        kept,
        "let a = \" ; let b = ' ; let c = b\" ; let d = r ; fn e<'a>(f: &'a str) {} \
         let r#type = ' ; let g = br ; let i = \" ; j"
    );
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn functions_are_measured_with_their_signature() {
    let text = "trait T { fn none(&self) -> [u8; 2]; }\n\
        fn one() { let s = \"}\"; }\n\
        fn three<T>(f: fn(T) -> T)\nwhere T: Copy {\n}\n";
    let function = |name: &str, line, lines| Function { name: name.into(), line, lines };
    assert_eq!(
        Source::new("src/a.rs", text).functions(),
        [function("one", 2, 1), function("three", 3, 3)]
    );
}

#[test]
fn imports_upwards_are_found() {
    let text = "use crate::clock::Clock;\n\
        use crate::{storage::{Store, engine}, session};\n\
        fn f() -> crate::command::Command { todo() } // crate::node\n";
    finds(
        &rules::import_direction(&file("src/engine/index.rs", text), LAYERS),
        &["index.rs:2: `engine` uses `session`", "index.rs:3: `engine` uses `command`"],
    );
}

#[test]
fn neighbours_of_one_layer_do_not_import_each_other() {
    let found = rules::import_direction(&file("src/glob.rs", "use crate::clock::Clock;"), LAYERS);
    finds(&found, &["`glob` uses `clock`"]);
}

#[test]
fn imports_upwards_by_super_are_found() {
    let found = rules::import_direction(&file("src/clock.rs", "use super::node::Node;"), LAYERS);
    finds(&found, &["`clock` uses `node`"]);
    let text = "use super::super::node::Node;\nuse super::command;";
    let found = rules::import_direction(&file("src/engine/a.rs", text), LAYERS);
    finds(&found, &["a.rs:1: `engine` uses `node`"]);
}

#[test]
fn imports_downwards_and_of_the_own_module_are_fine() {
    let text = "use crate::engine::Index;\nuse crate::{clock, storage};\nuse super::node;";
    finds(&rules::import_direction(&file("src/engine/b/c.rs", text), LAYERS), &[]);
    finds(&rules::import_direction(&file("src/main.rs", "use crate::node;"), LAYERS), &[]);
}

#[test]
fn a_module_without_a_layer_is_found_once() {
    let mut sources = file("src/extra/mod.rs", "");
    sources.extend(file("src/extra/more.rs", "use crate::node;"));
    let found = rules::import_direction(&sources, LAYERS);
    finds(&found, &["src/extra: a module without a layer: place it in LAYERS"]);
}

#[test]
fn a_vendor_outside_of_storage_is_found() {
    let text = "use redis::Client;\nfn f() { aws_sdk_s3::Client::new() }\nuse fjall;";
    finds(
        &rules::owned_words(&file("src/engine/mod.rs", text), &VENDORS),
        &["mod.rs:2: `aws_sdk_s3`", "mod.rs:3: `fjall`", "mod.rs:1: `redis`"],
    );
    finds(&rules::owned_words(&file("src/storage/redis.rs", text), &VENDORS), &[]);
    let text = "mod redis;\npub use redis::SetError;";
    finds(&rules::owned_words(&file("src/config/mod.rs", text), &VENDORS), &[]);
    let text = "use crate::storage::redis::RedisStore; // redis::x\nlet redis = self.redis;";
    finds(&rules::owned_words(&file("src/node/mod.rs", text), &VENDORS), &[]);
}

#[test]
fn a_socket_outside_of_the_edge_is_found() {
    let text = "use tokio::net::TcpStream;\nuse std::net::SocketAddr;";
    finds(
        &rules::owned_words(&file("src/command/get.rs", text), &SOCKETS),
        &["get.rs:1: `tokio::net`", "get.rs:1: `TcpStream`"],
    );
    finds(&rules::owned_words(&file("src/connection.rs", text), &SOCKETS), &[]);
}

#[test]
fn a_dead_file_is_found() {
    let sources = [
        ("src/lib.rs", "pub mod engine;\n#[cfg(test)] mod tests;"),
        ("src/engine/mod.rs", "mod index; // mod ghost;"),
        ("src/engine/index.rs", "mod deep;"),
        ("src/engine/index/deep.rs", ""),
        ("src/engine/ghost.rs", ""),
        ("src/tests.rs", "mod inline { }"),
        ("src/inline.rs", ""),
        ("tests/some.rs", "#[path = \"common/mod.rs\"]\nmod other_name;"),
        ("tests/common/mod.rs", ""),
        ("tests/big/main.rs", "mod part;"),
        ("tests/big/part.rs", ""),
        ("tests/common/unused.rs", ""),
        ("tests/clients/rust/src/lib.rs", "mod part;"),
        ("tests/clients/rust/src/part.rs", ""),
        ("tests/clients/rust/src/unused.rs", ""),
        ("tests/clients/rust/tests/some.rs", ""),
    ];
    let sources: Vec<Source> = sources.iter().map(|(path, text)| Source::new(path, text)).collect();
    finds(
        &rules::dead_files(&sources),
        &[
            "src/engine/ghost.rs",
            "src/inline.rs",
            "tests/common/unused.rs",
            "tests/clients/rust/src/unused.rs",
        ],
    );
}

#[test]
fn what_is_too_long_is_found() {
    let long = format!("fn long() {{\n{}}}\n", "a();\n".repeat(70));
    let found = rules::sizes(&file("src/a.rs", &long), &[]);
    finds(&found, &["src/a.rs: long: 72 lines, 70 at most"]);
    let found = rules::sizes(&file("src/a.rs", &"\n".repeat(601)), &[]);
    finds(&found, &["src/a.rs: 601 lines, 600 at most"]);
}

#[test]
fn what_is_too_long_may_only_shrink() {
    let long = file("src/a.rs", &"\n".repeat(650));
    let listed = |lines| [TooLong { what: "src/a.rs", lines }];
    finds(&rules::sizes(&long, &listed(650)), &[]);
    finds(&rules::sizes(&long, &listed(640)), &["650 lines, 600 at most"]);
    finds(&rules::sizes(&long, &listed(660)), &["has shrunk to 650 lines"]);
    let short = file("src/a.rs", "");
    finds(&rules::sizes(&short, &listed(650)), &["no longer too long"]);
    finds(&rules::sizes(&[], &listed(650)), &["no longer too long"]);
}

#[test]
fn leftovers_are_found() {
    let text =
        "fn f() { todo!() }\n// TODO later\nlet todo = \"dbg!\"; // unimplemented!()\ndbg!(x);";
    finds(
        &rules::leftovers(&file("src/a.rs", text)),
        &["a.rs:1: `todo!`", "a.rs:4: `dbg!`", "a.rs:2: TODO"],
    );
    finds(&rules::leftovers(&file("tests/a.rs", text)), &[]);
}

#[test]
fn ignored_tests_are_found() {
    let text = "#[test]\n#[ignore = \"slow\"]\nfn f() {}\nlet ignore = 1; // #[ignore]\n";
    finds(&rules::ignored_tests(&file("tests/a.rs", text)), &["a.rs:2: an ignored test"]);
}

#[test]
fn sleeping_tests_are_found() {
    let text = "use std::thread::sleep;\nfn f() { sleep(d); clock.sleep(d); \"sleep()\"; }\n";
    let wanted = ["a.rs:1: a test that sleeps", "a.rs:2: a test that sleeps"];
    finds(&rules::sleeping_tests(&file("tests/a.rs", text), &[]), &wanted);
    let planted =
        format!("fn g() {{ tokio::time::sleep(d) }}\n#[cfg(test)]\nmod tests {{\n{text}}}");
    let wanted = ["a.rs:4: a test that sleeps", "a.rs:5: a test that sleeps"];
    finds(&rules::sleeping_tests(&file("src/a.rs", &planted), &[]), &wanted);
}

#[test]
fn virtual_time_and_listed_files_may_sleep() {
    let text = "#[tokio::test(start_paused = true)]\nasync fn f() { tokio::time::sleep(d).await }";
    finds(&rules::sleeping_tests(&file("src/a/tests.rs", text), &[]), &[]);
    let text = format!("{text}\nfn g() {{ std::thread::sleep(d) }}");
    finds(&rules::sleeping_tests(&file("src/a/tests.rs", &text), &[]), &["tests.rs:3"]);
    let listed = [MaySleep { path: "src/a/tests.rs", _why: "" }];
    finds(&rules::sleeping_tests(&file("src/a/tests.rs", &text), &listed), &[]);
    let found = rules::sleeping_tests(&file("src/a/tests.rs", ""), &listed);
    finds(&found, &["sleeps no longer"]);
}

#[test]
fn paths_of_one_machine_are_found() {
    let text =
        MACHINE_PATHS.iter().fold(String::new(), |text, path| text + "see `" + path + "x`\n");
    let found = rules::machine_paths(&[("README.md".into(), text)], MACHINE_PATHS);
    finds(&found, &["README.md:1", "README.md:2", "README.md:3", "README.md:4"]);
    let text = MACHINE_PATHS.iter().fold(String::new(), |text, path| text + "https://a.org" + path);
    finds(&rules::machine_paths(&[("README.md".into(), text)], MACHINE_PATHS), &[]);
}
