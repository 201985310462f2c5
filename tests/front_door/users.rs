//! Users in a file: there at the start, read again by ACL LOAD, written by ACL SAVE.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;

fn with_file(path: &Path) -> Options {
    let mut options = Options::memory();
    options.extra = vec!["--acl-file".to_owned(), path.display().to_string()];
    options
}

fn error(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{other:?} is no error"),
    }
}

fn list(client: &mut Client) -> String {
    format!("{:?}", client.cmd("ACL LIST"))
}

#[test]
fn users_of_the_file_are_there_after_every_start() {
    let dir = TempDir::named("users");
    let path = dir.path().join("users.acl");
    let lines = "user default off\n\n  user app on >secret ~app:* +@read +set\nuser root on >pw ~* &* +@all\n";
    fs::write(&path, lines).expect("a file");
    let mut server = Server::start(&with_file(&path));
    for _ in 0..2 {
        let mut client = server.client();
        assert!(error(&client.cmd("GET app:1")).starts_with("NOAUTH"));
        assert_eq!(client.cmd("AUTH app secret"), Reply::ok());
        assert_eq!(client.cmd("SET app:1 x"), Reply::ok());
        assert!(error(&client.cmd("SET other x")).starts_with("NOPERM"));
        assert!(error(&client.cmd("DEL app:1")).starts_with("NOPERM"));
        server.kill_9();
        server.restart();
    }
}

#[test]
fn what_save_has_written_load_and_a_restart_find() {
    let dir = TempDir::named("users");
    let path = dir.path().join("users.acl");
    fs::write(&path, "").expect("a file");
    let mut server = Server::start(&with_file(&path));
    let mut client = server.client();
    let made = "ACL SETUSER bob on >pw ~b:* %R~shared:* &news +@string -append (~c:* +get)";
    assert_eq!(client.cmd(made), Reply::ok());
    let users = list(&mut client);
    assert!(users.contains("user bob on"), "{users}");
    assert_eq!(client.cmd("ACL SAVE"), Reply::ok());
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "passwords are for nobody else's eyes");

    let mut bob = server.client();
    assert_eq!(bob.cmd("AUTH bob pw"), Reply::ok());
    assert_eq!(client.cmd("ACL SETUSER eve on nopass +@all ~*"), Reply::ok());
    let mut eve = server.client();
    assert_eq!(eve.cmd("AUTH eve any"), Reply::ok());
    assert_eq!(client.cmd("ACL LOAD"), Reply::ok());
    assert_eq!(list(&mut client), users, "eve is in no file");
    assert_eq!(eve.read_to_close().expect("closed"), b"");
    assert_eq!(bob.cmd("SET b:1 x"), Reply::ok());

    server.kill_9();
    server.restart();
    assert_eq!(list(&mut server.client()), users);
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_says_where_it_is() {
    let dir = TempDir::named("users");
    let path = dir.path().join("users.acl");
    fs::write(&path, "user bob on >pw ~* +@all\n").expect("a file");
    let server = Server::start(&with_file(&path));
    let mut client = server.client();
    let users = list(&mut client);
    for (line, why) in [
        ("person bob on", "should start with user keyword followed by the username"),
        ("user", "should start with user keyword followed by the username"),
        ("user bob on >other", "Duplicate user 'bob' found"),
        ("user ann on +nosuch", "Unknown command or category name in ACL"),
        ("user ann (~a +get", "Unmatched parenthesis in selector definition"),
    ] {
        fs::write(&path, format!("user bob on\n{line}\n")).expect("a file");
        let text = error(&client.cmd("ACL LOAD"));
        assert!(text.contains(&format!("{}:2: {why}", path.display())), "{line}: {text}");
        assert!(!text.contains("other"), "a password is shown: {text}");
        assert_eq!(list(&mut client), users);
    }
    let refused = Server::try_start(&with_file(&path)).err().expect("a refusal");
    assert!(refused.stderr.concat().contains("users.acl:2"), "{refused:?}");
}
