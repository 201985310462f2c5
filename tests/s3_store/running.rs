//! Starts that work, and what a running node does when the bucket is not what it was.

use crate::common::backing::{self, Backing};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::{rights_go_and_come_back, share_a_service};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::gate::{self, Verdict};
use crate::{address, at, impatient, in_environment, keys, through};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// As with the option: the bucket in the path, and a region that nobody has to name.
#[test]
fn an_endpoint_of_the_environment_is_one() {
    let dir = TempDir::named("s3-environment");
    let backing = Backing::s3(dir.path());
    let keys = ["AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"].map(str::to_owned);
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        let endpoint = format!("{name}=http://{}", address(&backing));
        let variables = [keys.as_slice(), &[endpoint]].concat();
        let options = in_environment(at("s3://aft-test/store"), dir.path(), &variables);
        let server = Server::start(&options);
        assert!(!server.client().cmd("INCR starts").is_error());
    }
    let server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("GET starts"), Reply::bulk("2"));
    let wrong = [keys.as_slice(), &["AWS_ENDPOINT_URL_S3=http://me:secret@h".to_owned()]].concat();
    let line = crate::refusal(&in_environment(at("s3://aft-test/store"), dir.path(), &wrong));
    assert!(line.contains("AWS_ENDPOINT_URL") && !line.contains("secret"), "{line}");
}

#[test]
fn verify_looks_into_a_bucket_and_writes_nothing() {
    let dir = TempDir::named("s3-verify");
    let backing = Backing::s3(dir.path());
    let verify = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
        let out = command.args(["store", "verify", "--store", backing.store()]).output();
        let out = out.expect("aft store");
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    };
    let nothing = verify();
    assert!(nothing.contains("there is no store of aft"), "{nothing}");
    assert_eq!(keys(&backing), Vec::<String>::new());

    let mut server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("MSET a 1 b 2"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    let before = keys(&backing);
    let verified = verify();
    assert!(verified.ends_with("nothing is wrong\n"), "{verified}");
    assert_eq!(keys(&backing), before);
}

#[test]
fn several_share_a_bucket_by_prefix() {
    let dir = TempDir::named("s3-shared");
    let backing = Backing::s3(dir.path());
    let stores = ["store", "store2", "store/x"]
        .map(|prefix| backing.store().replace("aft-test/store", &format!("aft-test/{prefix}")));
    share_a_service(&stores);
}

/// It can't serve what it has acknowledged, and must not write into what is not its own.
#[test]
fn a_bucket_that_comes_back_empty_ends_the_node() {
    let dir = TempDir::named("s3-emptied");
    let backing = Backing::s3(dir.path());
    let mut server = Server::start(&impatient(Options::on(&backing)));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    backing.kill_9();
    std::fs::remove_dir_all(dir.path().join("s3")).expect("its data");
    let _ = std::fs::remove_dir_all(dir.path().join("state"));
    backing.restart();
    let reply = server.client().cmd("SET k w");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    let addr = address(&backing);
    assert_eq!(backing::request(addr, "PUT", "/aft-test", b"").0, 200);
    // Whoever writes meanwhile is refused.
    wait::until("it ends", PATIENCE, || (!server.is_running()).then_some(()));
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let said = server.said();
    assert!(said.contains("does not hold the data that this node has written"), "{said}");
    assert_eq!(keys(&backing), Vec::<String>::new());
}

#[test]
fn rights_that_are_taken_away_for_a_while() {
    let dir = TempDir::named("s3-rights");
    let backing = Backing::s3(dir.path());
    let denied = Arc::new(AtomicBool::new(false));
    let gate = gate::before(address(&backing), {
        let denied = denied.clone();
        move |_, _| match denied.load(Ordering::Relaxed) {
            true => Verdict::Refused(403, "AccessDenied"),
            false => Verdict::Passes,
        }
    });
    rights_go_and_come_back(&impatient(through(&backing, gate)), &denied);
}

/// S3 says 409 where two conditional writes of a name meet: that is asked again, and is no word on who
/// was first, as 412 is.
#[test]
fn a_conflict_is_asked_again() {
    let dir = TempDir::named("s3-conflict");
    let backing = Backing::s3(dir.path());
    let (puts, refused) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let gate = gate::before(address(&backing), {
        let refused = refused.clone();
        move |method, path| {
            let of_log = method == "PUT" && path.contains("/o/log/");
            if of_log && puts.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                refused.fetch_add(1, Ordering::Relaxed);
                return Verdict::Refused(409, "ConditionalRequestConflict");
            }
            Verdict::Passes
        }
    });
    let mut server = Server::start(&through(&backing, gate));
    for n in 0..20 {
        assert_eq!(server.client().run(&["SET", &format!("k{n}"), "v"]), Reply::ok());
    }
    assert!(refused.load(Ordering::Relaxed) >= 20);
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(20));
}

/// Of every object, also of one that goes up in parts.
#[test]
fn what_is_sent_has_a_checksum() {
    let dir = TempDir::named("s3-checksums");
    let backing = Backing::s3(dir.path());
    let (puts, bare): (Arc<AtomicU64>, Arc<Mutex<Vec<String>>>) = Default::default();
    let gate = crate::common::gate::before(address(&backing), {
        let (puts, bare) = (puts.clone(), bare.clone());
        move |request| {
            if request.method == "PUT" {
                puts.fetch_add(1, Ordering::Relaxed);
                if !request.head.to_ascii_lowercase().contains("x-amz-checksum-") {
                    bare.lock().expect("no panic").push(request.head.clone());
                }
            }
            crate::common::gate::Verdict::Passes
        }
    });
    let server = Server::start(&through(&backing, gate));
    // A start has sent a part already, to find out whether conditions count there.
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    assert!(puts.load(Ordering::Relaxed) > 3);
    assert_eq!(*bare.lock().expect("no panic"), Vec::<String>::new());
}
