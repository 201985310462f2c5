//! `docker-compose.yml` and `Dockerfile`, as far as they can be tried without a container: every
//! command line and environment of aft in them is run for real, on the servers of the tests in place
//! of those of the compose file.

// In a test, an expectation is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::backing::{self, Backing};
use common::resp::Reply;
use common::server::{Options, Peer, Server};
use common::stores::address;
use common::temp_dir::TempDir;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A service of the compose file.
#[derive(Default)]
struct Service {
    is_aft: bool,
    command: Vec<String>,
    entrypoint: Vec<String>,
    environment: Vec<String>,
    profiles: Vec<String>,
}

/// Reads the compose file with the YAML of the test servers.
fn services() -> BTreeMap<String, Service> {
    const LINES: &str = "
import sys, yaml
for name, service in yaml.safe_load(open(sys.argv[1]))['services'].items():
    print(name, 'build', service.get('build', ''), sep='\\t')
    for key in ('command', 'entrypoint', 'profiles'):
        for word in service.get(key, []):
            print(name, key, word, sep='\\t')
    for variable, value in service.get('environment', {}).items():
        print(name, 'environment', f'{variable}={value}', sep='\\t')
";
    let python = format!("{ROOT}/target/test-servers/bin/python3");
    let file = format!("{ROOT}/docker-compose.yml");
    let out = Command::new(python).args(["-c", LINES, &file]).output().expect("the test servers");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for line in String::from_utf8(out.stdout).expect("text").lines() {
        let [name, key, value] = line.split('\t').collect::<Vec<_>>().try_into().expect("three");
        let service = services.entry(name.to_owned()).or_default();
        let values = match key {
            "build" => {
                service.is_aft = value == ".";
                continue;
            }
            "command" => &mut service.command,
            "entrypoint" => &mut service.entrypoint,
            "environment" => &mut service.environment,
            _ => &mut service.profiles,
        };
        values.push(value.to_owned());
    }
    services
}

/// The instructions of the Dockerfile with what follows them.
fn dockerfile() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(format!("{ROOT}/Dockerfile")).expect("a Dockerfile");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let instruction = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    lines.map(|line| instruction(line).expect("an instruction")).collect()
}

/// The words of `["a", "b"]`.
fn words(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The one that there is of these, behind `before`.
fn the(instruction: &str, before: &str) -> String {
    let all = dockerfile();
    let mut found = all.iter().filter(|(name, rest)| name == instruction && rest.contains(before));
    let (_, rest) = found.next().unwrap_or_else(|| panic!("no {instruction} {before}"));
    assert!(found.next().is_none(), "two of {instruction} {before}");
    rest.split_once(before).expect("it was found").1.to_owned()
}

/// Runs the health check of the image, as if aft were where it is in a container.
fn check_health(aft: SocketAddr) -> Output {
    let check = words(&the("HEALTHCHECK", "CMD "));
    let (program, arguments) = check.split_first().expect("a command");
    assert_eq!(program, "aft");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    command.args(arguments).env("REDIS_URL", format!("redis://{aft}")).output().expect("aft")
}

/// One profile: what makes the store ready is run to its end, then aft serves on it, and is healthy
/// until it ends. `server` is where the compose file has the server.
fn serves(profile: &str, server: &str, is_at: SocketAddr) {
    let mut served = 0;
    let here = |text: &String| text.replace(server, &is_at.to_string());
    let all = services();
    let aft = all.values().filter(|service| service.is_aft);
    // Those that end come before the one that serves, which waits for them.
    let mut aft: Vec<_> = aft.filter(|service| service.profiles == [profile]).collect();
    aft.sort_by_key(|service| service.command.first().is_some_and(|word| word.starts_with("--")));
    for service in aft {
        let words: Vec<String> = service.command.iter().map(here).collect();
        assert_ne!(words, service.command, "{profile}: {server} is not named");
        if !words[0].starts_with("--") {
            let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
            let variables = service.environment.iter().map(|set| set.split_once('=').expect("="));
            let out = command.args(words).envs(variables).output().expect("aft");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            continue;
        }
        let env = ["env".to_owned()].into_iter().chain(service.environment.clone());
        let through = env.collect();
        let mut server =
            Server::start(&Options { extra: words, through, ..Options::new(Peer::Aft) });
        assert_eq!(server.client().cmd("SET k v"), Reply::ok());
        let healthy = check_health(server.addr());
        assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
        assert_eq!(server.terminate().code(), Some(0));
        assert!(!check_health(server.addr()).status.success());
        served += 1;
    }
    assert_eq!(served, 1, "{profile}");
}

#[test]
fn on_redis() {
    let dir = TempDir::named("compose");
    let backing = Backing::redis(dir.path(), &[]);
    serves("redis", "redis:6379", address(&backing));
}

#[test]
fn on_dynamodb() {
    let dir = TempDir::named("compose");
    let backing = Backing::dynamodb_without_table(dir.path());
    serves("dynamodb", "dynamodb:8000", address(&backing));
}

#[test]
fn on_s3() {
    let dir = TempDir::named("compose");
    let backing = Backing::s3(dir.path());
    // What the compose file does with a directory.
    let made = services().remove("s3-bucket").expect("who makes the bucket").entrypoint;
    assert_eq!(made, ["mkdir", "-p", "/objects/aft"]);
    assert_eq!(backing::request(address(&backing), "PUT", "/aft", b"").0, 200);
    serves("s3", "s3:7070", address(&backing));
}

/// What is started for Redis is a redis-server that exists with settings that exist.
#[test]
fn the_redis_of_the_compose_file_starts() {
    let mut words = services().remove("redis").expect("it").command;
    assert_eq!(words.remove(0), "redis-server");
    let dir = TempDir::named("compose");
    let redis = Server::start(&Options {
        dir: Some(dir.path().to_owned()),
        durability: "no",
        extra: words,
        ..Options::new(Peer::Redis)
    });
    let mut client = redis.client();
    for (setting, value) in [("appendfsync", "always"), ("maxmemory-policy", "noeviction")] {
        let reply = client.cmd(&format!("CONFIG GET {setting}"));
        assert_eq!(reply.items()[1], Reply::bulk(value));
    }
}

/// Compose itself understands each profile. tests/run installs it.
#[test]
fn compose_understands_the_file() {
    for profile in ["redis", "dynamodb", "s3"] {
        let mut command = Command::new("docker-compose");
        command.current_dir(ROOT).args(["--profile", profile, "config", "--services"]);
        let out = command.output().expect("docker-compose, which tests/run installs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let services = String::from_utf8(out.stdout).expect("text");
        assert!(services.lines().any(|name| name == format!("aft-{profile}")), "{services}");
    }
}

/// What the image says by itself: addresses and a directory that aft takes as they are.
#[test]
fn the_image_serves_a_directory_of_its_own() {
    let all = dockerfile();
    let variables = all.iter().filter(|(instruction, _)| instruction == "ENV");
    let variables: Vec<_> =
        variables.map(|(_, set)| set.split_once('=').expect("a value")).collect();
    assert_eq!(words(&the("ENTRYPOINT", "")), ["aft"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    let out = command.arg("--print-config").envs(variables.clone()).output().expect("aft");
    let text = String::from_utf8(out.stdout).expect("text");
    for (name, value) in variables {
        let key = name.strip_prefix("AFT_").expect("a setting").to_lowercase();
        assert!(text.contains(&format!("{key} = \"{value}\"")), "{key}: {text}");
    }
    let volume = the("VOLUME", "");
    assert_eq!(the("ENV", "AFT_STORE="), format!("embedded:{volume}"));
    let port = the("EXPOSE", "");
    assert!(the("ENV", "AFT_LISTEN=").ends_with(&format!(":{port}")));
    // The last stage runs as the user that owns the directory.
    let (_, last) = all.iter().rfind(|(instruction, _)| instruction == "FROM").expect("a stage");
    assert!(last.ends_with(":nonroot"), "{last}");
    assert_eq!(the("COPY", "--chown=nonroot:nonroot "), format!("{volume} {volume}"));
}

/// What the build copies is there, not ignored, and enough for cargo to know the program, its
/// features and the locked dependencies of its command.
#[test]
fn what_the_image_is_built_from_is_enough() {
    let ignored = std::fs::read_to_string(format!("{ROOT}/.dockerignore")).expect("the list");
    let dir = TempDir::named("image");
    for (_, rest) in dockerfile().iter().filter(|(instruction, _)| instruction == "COPY") {
        if rest.starts_with("--from=") {
            continue;
        }
        let mut sources: Vec<&str> = rest.split(' ').collect();
        let to = dir.path().join(sources.pop().expect("where to"));
        for source in sources {
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source}");
            let from = Path::new(ROOT).join(source);
            let mut copy = Command::new("cp");
            assert!(copy.arg("-r").args([&from, &to]).status().expect("cp").success());
        }
    }
    let build = the("RUN", "cargo build ");
    let wanted = ["--locked", "--release", "--features", "all-stores", "--bin", "aft"];
    assert_eq!(build.split(' ').collect::<Vec<_>>(), wanted);
    let tree = ["tree", "--offline", "--locked", "--features", wanted[3], "--depth", "1"];
    let out = Command::new("cargo").args(tree).current_dir(dir.path()).output().expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8(out.stdout).expect("text");
    for needed in ["aws-sdk-s3 ", "aws-sdk-dynamodb ", "redis "] {
        assert!(tree.contains(needed), "{needed}: {tree}");
    }
    // Where the last stage takes the program from.
    let (workdir, taken) = (the("WORKDIR", ""), the("COPY", "--from=build /aft/"));
    assert_eq!(workdir, "/aft");
    assert_eq!(taken, format!("target/release/{} /usr/local/bin/{}", wanted[5], wanted[5]));
}
