//! Starts that are refused: the line says what to do, and the bucket is as it was.

use crate::common::backing::{self, Backing};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores;
use crate::common::temp_dir::TempDir;
use crate::gate::{self, Verdict};
use crate::{address, at, impatient, in_environment, keys, refusal, through};
use std::net::TcpListener;

/// Starts, is refused, and has left nothing.
#[track_caller]
fn refused(backing: &Backing, options: &Options, words: &[&str]) {
    let before = keys(backing);
    let line = refusal(options);
    assert!(line.starts_with("aft: s3://"), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    assert_eq!(keys(backing), before, "{line}");
}

#[test]
fn wrong_keys() {
    let dir = TempDir::named("s3-keys");
    let backing = Backing::s3(dir.path());
    for (status, code, advice) in [
        (403, "InvalidAccessKeyId", "not those of this service"),
        (403, "SignatureDoesNotMatch", "not those of this service"),
        (400, "ExpiredToken", "get new ones"),
    ] {
        let gate = gate::before(address(&backing), move |_, _| Verdict::Refused(status, code));
        refused(&backing, &through(&backing, gate), &[code, "says the gate", advice]);
    }
}

#[test]
fn no_keys() {
    let dir = TempDir::named("s3-no-keys");
    let backing = Backing::s3(dir.path());
    let nobody = format!("{}&profile=nobody", backing.store());
    refused(&backing, &at(&nobody), &["no credentials for AWS", "AWS_ACCESS_KEY_ID"]);
    let missing = backing.store().replace("/credentials", "/credentials.missing");
    refused(&backing, &at(&missing), &["/credentials.missing: No such file"]);
    let bare = format!("s3://aft-test/store?endpoint=http://{}", address(&backing));
    let options = in_environment(at(&bare), dir.path(), &[]);
    refused(&backing, &options, &["no credentials for AWS", "AWS_ACCESS_KEY_ID"]);
    let keys = ["AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"].map(str::to_owned);
    let server = Server::start(&in_environment(at(&bare), dir.path(), &keys));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
}

#[test]
fn a_bucket_that_is_missing() {
    let dir = TempDir::named("s3-bucket");
    let backing = Backing::s3(dir.path());
    let missing = backing.store().replace("aft-test", "aft-tent");
    refused(&backing, &at(&missing), &["NoSuchBucket", "make the bucket"]);
}

/// One right is missing, whichever.
#[test]
fn a_policy_that_is_too_narrow() {
    let dir = TempDir::named("s3-policy");
    let backing = Backing::s3(dir.path());
    let denied: [fn(&str, &str) -> bool; 4] = [
        |method, _| method == "PUT" || method == "POST",
        |method, _| method == "PUT",
        |method, path| method == "POST" && path.contains("?delete"),
        |method, path| method == "GET" && path.contains("list-type"),
    ];
    for denied in denied {
        let gate = gate::before(address(&backing), move |method, path| {
            if denied(method, path) {
                Verdict::Refused(403, "AccessDenied")
            } else {
                Verdict::Passes
            }
        });
        refused(&backing, &through(&backing, gate), &["AccessDenied", "docs/stores.md"]);
    }
    assert_eq!(keys(&backing), Vec::<String>::new());
    // Not to know whether versions are kept is no reason.
    let gate = gate::before(address(&backing), |_, path| {
        let of_versioning = path.contains("versioning");
        if of_versioning { Verdict::Refused(403, "AccessDenied") } else { Verdict::Passes }
    });
    let server = Server::start(&through(&backing, gate));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
}

#[test]
fn a_server_that_ignores_conditions() {
    let dir = TempDir::named("s3-ignores");
    let backing = Backing::s3(dir.path());
    let gate = gate::before(address(&backing), |_, _| Verdict::PassesWithout("if-none-match:"));
    refused(&backing, &through(&backing, gate), &["ignores conditions (If-None-Match"]);
    assert_eq!(keys(&backing), Vec::<String>::new());

    // In parts only: a fence may be that large.
    let gate = gate::before(address(&backing), |method, _| match method {
        "POST" => Verdict::PassesWithout("if-none-match:"),
        _ => Verdict::Passes,
    });
    let line = refusal(&through(&backing, gate));
    assert!(line.contains("ignores conditions (If-None-Match"), "{line}");

    // What is there already is as it was.
    drop(Server::start(&Options::on(&backing)));
    let gate = gate::before(address(&backing), |_, _| Verdict::PassesWithout("if-none-match:"));
    refused(&backing, &through(&backing, gate), &["ignores conditions (If-None-Match"]);
    drop(Server::start(&Options::on(&backing)));
}

#[test]
fn what_another_version_has_written() {
    let dir = TempDir::named("s3-newer");
    let backing = Backing::s3(dir.path());
    let format = "/aft-test/store/format";
    let (status, _) = backing::request(address(&backing), "PUT", format, b"aft 2 of tomorrow");
    assert_eq!(status, 200);
    refused(&backing, &Options::on(&backing), &["a newer version", "aft 2 of tomorrow"]);
    assert_eq!(keys(&backing), ["store/format"]);
}

#[test]
fn what_is_not_there() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let addr = taken.local_addr().expect("its address");
    let dir = TempDir::named("s3-nobody");
    let keys = ["AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"].map(str::to_owned);
    let nobody = impatient(at(&format!("s3://aft-test?endpoint=http://{addr}")));
    let nobody = in_environment(nobody, dir.path(), &keys);
    // It takes connections and says nothing.
    let line = refusal(&nobody);
    assert!(line.contains("does not answer"), "{line}");
    drop(taken);
    let line = refusal(&nobody);
    assert!(line.contains("refused"), "{line}");
}

/// As in a small container.
#[test]
fn a_machine_without_authorities() {
    let dir = TempDir::named("s3-authorities");
    let backing = Backing::s3(dir.path());
    let variables = [
        "AWS_ACCESS_KEY_ID=test",
        "AWS_SECRET_ACCESS_KEY=test",
        "SSL_CERT_FILE=/dev/null",
        "SSL_CERT_DIR=/nowhere",
    ];
    let variables = variables.map(str::to_owned);
    let with = |store: &str| in_environment(at(store), dir.path(), &variables);
    let line = refusal(&with("s3://aft-test?endpoint=https://127.0.0.1:1"));
    assert!(line.contains("ca-certificates") && line.contains("?ca="), "{line}");
    // Where nobody has to be vouched for, it does not matter.
    let server = Server::start(&with(backing.store()));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
}

#[test]
fn an_address_never_shows_a_password() {
    for store in [
        "s3://aft-test?endpoint=http://me:secret@h",
        "s3://aft-test?endpoint=http://me%3Asecret%40h",
    ] {
        let Err(error) = Server::try_start(&at(store)) else { panic!("started on {store}") };
        let said = [error.stdout, error.stderr].concat().join("\n");
        assert!(said.contains("no credentials in the URL"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let dir = TempDir::named("s3-tls");
    let backing = Backing::s3(&dir.path().join("data"));
    stores::over_tls_with_an_authority_of_ones_own(&backing, dir.path());
}
