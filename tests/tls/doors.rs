//! Who is let in.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use tokio_rustls::rustls::{AlertDescription, Error, ProtocolVersion};

use crate::client::{TlsClient, Version};
use crate::common::resp::Reply;
use crate::common::server::Options;
use crate::world::{TlsServer, is_aft};

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

/// What the server said to who is refused.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[track_caller]
fn refused(server: &TlsServer, who: Option<&str>, expected: &[AlertDescription]) {
    for version in [Version::Tls12, Version::Tls13] {
        let connected = TlsClient::connect(server.addr, &server.certificates, who, version);
        let error = connected.and_then(|mut client| client.call(&["PING"])).expect_err("refused");
        // Redis closes with the client's command unread, so its alert may be lost.
        let said = alert(&error);
        let told = said.is_some_and(|alert| expected.contains(&alert));
        assert!(told || !is_aft(), "{who:?} with {version:?}: {error:?}");
    }
}

#[test]
fn both_versions_are_spoken_and_no_early_data_is_taken() {
    let server = TlsServer::start("yes");
    for (version, spoken) in
        [(Version::Tls12, ProtocolVersion::TLSv1_2), (Version::Tls13, ProtocolVersion::TLSv1_3)]
    {
        let certificates = &server.certificates;
        let mut client = TlsClient::connect(server.addr, certificates, Some("client"), version)
            .expect("a connection");
        assert_eq!(client.cmd("PING"), pong());
        assert_eq!(client.tls().protocol_version(), Some(spoken));
        assert!(!client.tls().is_early_data_accepted());
        let text = client.cmd("CLIENT LIST").text().expect("a text");
        let own = client.socket().local_addr().expect("an address");
        assert!(text.contains(&format!("addr={own} laddr={}", server.addr)), "{text}");
    }
}

const NONE: &[AlertDescription] =
    &[AlertDescription::CertificateRequired, AlertDescription::HandshakeFailure];
const STRANGER: &[AlertDescription] =
    &[AlertDescription::UnknownCA, AlertDescription::DecryptError];

#[test]
fn a_client_certificate_can_be_required() {
    let server = TlsServer::start("yes");
    refused(&server, None, NONE);
    refused(&server, Some("stranger"), STRANGER);
    // A server's certificate is not for clients.
    refused(&server, Some("server"), &[AlertDescription::UnsupportedCertificate]);
    assert_eq!(server.client().cmd("PING"), pong());
}

#[test]
fn a_client_certificate_can_be_optional() {
    let server = TlsServer::start("optional");
    assert_eq!(server.client_as(None).cmd("PING"), pong());
    refused(&server, Some("stranger"), STRANGER);
    assert_eq!(server.client().cmd("PING"), pong());
}

#[test]
fn client_certificates_can_be_ignored() {
    let server = TlsServer::start("no");
    for who in [None, Some("stranger"), Some("client")] {
        assert_eq!(server.client_as(who).cmd("PING"), pong(), "{who:?}");
    }
}

#[test]
fn the_password_is_asked_for_as_well() {
    let options = Options { requirepass: Some("secret"), ..Options::memory() };
    let server = TlsServer::start_with("yes", options);
    let mut client = server.client();
    assert_eq!(client.cmd("GET k").error_code().as_deref(), Some("NOAUTH"));
    assert_eq!(client.cmd("AUTH secret"), Reply::ok());
    assert!(client.cmd("GET k").is_nil());
}

#[test]
fn plain_text_at_the_tls_port_is_closed_and_runs_nothing() {
    let server = TlsServer::start("no");
    let long = vec![b'x'; 1 << 20];
    for text in [b"SET k v\r\n".as_slice(), b"*1\r\n$4\r\nPING\r\n", &[0; 64], &long] {
        let mut stream = TcpStream::connect(server.addr).expect("a connection");
        // The server may have had enough before it is all sent.
        let _ = stream.write_all(text);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        // At most an alert: one record of 7 bytes.
        let shown = said.escape_ascii().to_string();
        assert!(said.is_empty() || (said[0] == 21 && said.len() == 7), "said {shown}");
    }
    let mut plain = server.server.client();
    assert!(plain.cmd("GET k").is_nil());
    assert_eq!(server.client().cmd("PING"), pong());
}

#[test]
fn both_ports_serve_the_same_data() {
    let server = TlsServer::start("yes");
    let mut plain = server.server.client();
    let mut client = server.client();
    assert_eq!(plain.cmd("SET k v"), Reply::ok());
    assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
    assert_eq!(client.cmd("WATCH k"), Reply::ok());
    assert_eq!(plain.cmd("SET k w"), Reply::ok());
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    assert_eq!(client.cmd("GET k"), Reply::queued());
    assert_eq!(client.cmd("EXEC"), Reply::NullArray);
}
