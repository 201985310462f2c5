//! From one kind of store to another and back; stores in a service are filled without a node.

use crate::common::backing::{Backing, Kind};
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::tool::{assert_same, data_in, data_of, dump_store, expect, fill, load_from, serve};
use std::fs;

#[test]
fn data_moves_to_a_directory_and_back_to_a_redis() {
    let (from, to) = (TempDir::named("from-redis"), TempDir::named("to-redis"));
    let directory = TempDir::named("between");
    let backing = Backing::start(Kind::Redis, from.path());
    let server = Server::start(&Options::on(&backing));
    let mut client = server.client();
    fill(&mut client);
    let data = data_in(&mut client, 0..6);

    let file = from.path().join("dump");
    dump_store(backing.store(), &file);
    assert_same(&data_of(&fs::read(&file).unwrap()), &data);
    load_from(directory.path(), &file);
    let (between, mut client) = serve(directory.path());
    assert_same(&data_in(&mut client, 0..6), &data);

    let backing = Backing::start(Kind::RedisCluster, to.path());
    let mut server = Server::start(&Options::on(&backing));
    let address = |server: &Server| format!("redis://{}", server.addr());
    expect(0, &["import", &address(&between), "--to", &address(&server)]);
    server.kill_9();
    server.restart();
    assert_same(&data_in(&mut server.client(), 0..6), &data);
}
