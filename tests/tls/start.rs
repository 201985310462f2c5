//! What is said at the start, and every mistake with its reason.

use std::fs;

use crate::common::server::{Options, Server};
use crate::common::wait::{self, PATIENCE};
use crate::world::{Certificates, TlsServer, is_aft};

/// The one line that says why it doesn't start, and the exit code.
#[track_caller]
fn refusal(words: &[String]) -> (Option<i32>, String) {
    let listen = ["--tls-listen", "127.0.0.1:0"].map(str::to_owned);
    let extra = [listen.as_slice(), words].concat();
    let options = Options { extra, ..Options::memory() };
    let Err(error) = Server::try_start(&options) else { panic!("started with {words:?}") };
    let [line] = error.stderr.as_slice() else { panic!("one line is enough: {error:#?}") };
    assert!(!error.stdout.iter().any(|line| line.starts_with("listening")), "{error:#?}");
    (error.code, line.clone())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_plain_address_is_announced_first() {
    if !is_aft() {
        return;
    }
    let server = TlsServer::start("yes");
    let lines = server.server.stdout();
    let listening: Vec<&String> = lines.iter().filter(|l| l.starts_with("listening")).collect();
    let plain = format!("listening  {}", server.server.addr());
    let secured = format!("listening  tls {}", server.addr);
    assert_eq!(listening, [&plain, &secured]);
    let mut client = server.client();
    let shown = |name: &str, client: &mut crate::client::TlsClient| {
        let pair = client.run(&["CONFIG", "GET", name]);
        pair.items().get(1).and_then(crate::common::resp::Reply::text)
    };
    assert_eq!(shown("tls-auth-clients", &mut client).as_deref(), Some("yes"));
    let certificate = server.certificates.name("server.crt");
    assert_eq!(shown("tls-cert-file", &mut client), Some(certificate));
}

#[test]
fn settings_that_miss_another_are_refused() {
    if !is_aft() {
        return;
    }
    let cases = [
        (
            "",
            "aft: --tls-listen (from the command line): '127.0.0.1:0' needs --tls-cert-file: \
             a server shows a certificate",
        ),
        (
            "--tls-cert-file x",
            "aft: --tls-listen (from the command line): '127.0.0.1:0' needs --tls-key-file: \
             a server proves that its certificate is its own",
        ),
        (
            "--tls-cert-file x --tls-key-file y",
            "aft: --tls-auth-clients (by default): 'yes' needs --tls-ca-cert-file: clients' \
             certificates are checked by it; with 'no' they need none",
        ),
        (
            "--tls-cert-file x --tls-key-file y --tls-auth-clients sometimes",
            "aft: --tls-auth-clients (from the command line): 'sometimes' is not allowed: \
             use 'no', 'yes' or 'optional'",
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(refusal(&words(given)), (Some(2), expected.to_owned()));
    }
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    if !is_aft() {
        return;
    }
    let made = Certificates::new();
    let dir = made.dir().display().to_string();
    let certificate = |content: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
    };
    fs::write(made.path("no.crt"), certificate("YWJj")).expect("a file");
    fs::write(made.path("torn.crt"), "-----BEGIN CERTIFICATE-----\nYWJj\n").expect("a file");
    fs::write(made.path("empty"), "").expect("a file");
    let cases = [
        ("nowhere server.key", "can't read --tls-cert-file 'D/nowhere': No such file"),
        ("server.crt nowhere", "can't read --tls-key-file 'D/nowhere': No such file"),
        ("empty server.key", "--tls-cert-file 'D/empty' can't be used: it holds no certificate"),
        ("server.crt empty", "--tls-key-file 'D/empty' can't be used: it holds no private key"),
        // Swapped.
        (
            "server.key server.crt",
            "--tls-cert-file 'D/server.key' can't be used: it holds no certificate in PEM",
        ),
        ("no.crt server.key", "--tls-cert-file 'D/no.crt' can't be used: "),
        ("torn.crt server.key", "--tls-cert-file 'D/torn.crt' can't be used: "),
        (
            "server.crt client.key",
            "the key in --tls-key-file 'D/client.key' does not belong to the certificate in \
             --tls-cert-file 'D/server.crt'",
        ),
        (
            "server.crt server.key server.key",
            "--tls-ca-cert-file 'D/server.key' can't be used: it holds no certificate in PEM",
        ),
        ("server.crt server.key no.crt", "--tls-ca-cert-file 'D/no.crt' can't be used: "),
    ];
    for (files, expected) in cases {
        let flags = ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"];
        let files: Vec<&str> = files.split(' ').chain(["ca.crt"]).collect();
        let given = flags.iter().zip(files);
        let given: Vec<String> =
            given.flat_map(|(flag, file)| [(*flag).to_owned(), made.name(file)]).collect();
        let (code, line) = refusal(&given);
        let expected = format!("aft: {}", expected.replace("D/", &format!("{dir}/")));
        assert!(line.starts_with(&expected), "{line}\nis not\n{expected}");
        assert_eq!(code, Some(1), "{line}");
    }
}

#[test]
fn a_tls_port_in_use_is_refused() {
    if !is_aft() {
        return;
    }
    let server = TlsServer::start("no");
    let mut given = server.certificates.settings("no");
    given.extend(words(&format!("--tls-listen {}", server.addr)));
    let options = Options { extra: given, ..Options::memory() };
    let Err(error) = Server::try_start(&options) else { panic!("two on one port") };
    let line = error.stderr.concat();
    assert!(line.starts_with(&format!("aft: can't listen on {}", server.addr)), "{line}");
    assert_eq!(error.code, Some(1));
}

#[test]
fn without_tls_nothing_is_said_of_it() {
    if !is_aft() {
        return;
    }
    let server = Server::start(&Options::memory());
    let banner = wait::until("the banner", PATIENCE, || {
        let lines = server.stdout();
        lines.iter().any(|line| line.starts_with("listening")).then_some(lines)
    });
    assert!(!banner.iter().any(|line| line.contains("tls")), "{banner:?}");
}
