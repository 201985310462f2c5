//! What has become of requests takes memory, which has a limit: when that is reached new ones are
//! refused, and nothing that was promised is forgotten for them.

use crate::common::client::{Client, info};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;

/// A request that has committed.
struct Done {
    request: String,
    token: String,
    commit: String,
    result: String,
}

impl Done {
    /// A retry, a repeated COMMIT and whoever asks learn what they should.
    fn is_known(&self, client: &mut Client) {
        let told = client.cmd(&format!("AFT.BEGIN REQUEST {}", self.request));
        let right = [&self.token, "committed", &self.result].map(Reply::bulk);
        assert_eq!(told.items(), right, "{}", self.request);
        let again = client.cmd(&format!("AFT.COMMIT {}", self.token));
        assert_eq!(again, Reply::bulk(&self.commit), "{}", self.request);
        let status = client.cmd(&format!("AFT.STATUS REQUEST {}", self.request));
        assert!(status.items().contains(&Reply::bulk(&self.result)), "{status:?}");
    }
}

fn is_full(reply: &Reply) -> bool {
    format!("{reply:?}").contains("outcomes-bytes-max")
}

/// Requests, until one is refused.
fn fill(client: &mut Client) -> Vec<Done> {
    let mut done = Vec::new();
    loop {
        let request = format!("request-{}", done.len());
        let begun = client.cmd(&format!("AFT.BEGIN REQUEST {request}"));
        if begun.is_error() {
            assert!(is_full(&begun), "{begun:?}");
            return done;
        }
        assert_eq!(client.cmd("INCR n").int(), done.len() as i64 + 1);
        let result = format!("the-result-of-{request}");
        let commit = client.cmd(&format!("AFT.COMMIT RESULT {result}"));
        let token = begun.items()[0].text().expect("a token");
        let commit = commit.text().unwrap_or_else(|| panic!("{commit:?}"));
        done.push(Done { request, token, commit, result });
        assert!(done.len() < 10_000, "it is never full");
    }
}

#[test]
fn when_outcomes_are_full_no_early_one_is_forgotten() {
    let dir = TempDir::named("outcomes-full");
    let mut options = Options::durable(dir.path());
    options.extra = ["--outcomes-bytes-max", "64kb"].map(str::to_owned).to_vec();
    let mut server = Server::start(&options);
    let mut client = server.client();
    // It was promised a place before all of them.
    let mut early = server.client();
    let token = early.cmd("AFT.BEGIN REQUEST early").items()[0].text().expect("a token");
    assert_eq!(early.cmd("SET k v"), Reply::ok());
    let done = fill(&mut client);
    assert!(done.len() > 100, "{}", done.len());
    // However many come: they are refused, with a request or without.
    for number in 0..2 * done.len() {
        let reply = client.cmd(&format!("AFT.BEGIN REQUEST late-{number}"));
        assert!(is_full(&reply), "{reply:?}");
    }
    while !client.cmd("AFT.BEGIN").is_error() {
        assert!(!client.cmd("AFT.COMMIT").is_error());
    }
    let kept = info(&mut client, "outcomes");
    done.iter().for_each(|one| one.is_known(&mut client));
    let commit = early.cmd("AFT.COMMIT");
    assert!(!commit.is_error(), "{commit:?}");
    assert_eq!(info(&mut client, "outcomes"), kept + 1);
    // Nor at a start.
    for crash in [true, false] {
        if crash {
            server.kill_9();
        } else {
            server.terminate();
        }
        server.restart();
        let mut client = server.client();
        assert_eq!(info(&mut client, "outcomes"), kept + 1);
        done.iter().for_each(|one| one.is_known(&mut client));
        assert_eq!(client.cmd(&format!("AFT.COMMIT {token}")), commit);
        assert!(is_full(&client.cmd("AFT.BEGIN REQUEST one-more")));
        // Everything else goes on.
        let mut plain = server.client();
        assert_eq!(plain.cmd("GET n").text(), Some(done.len().to_string()));
        assert_eq!(plain.cmd("SET plain 1"), Reply::ok());
    }
}
