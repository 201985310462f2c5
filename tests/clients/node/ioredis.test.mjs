// ioredis against the server in AFT_BINARY, in the protocols it has: both, or one in ioredis 5.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { certificates, IS_REDIS, PASSWORD, Server, ways } from "./server.mjs";

const library = process.env.LIBRARY ?? "ioredis";
const { Redis } = await import(library);
const protocols = library === "ioredis-5" ? [2] : [2, 3];

const LIMIT = { timeout: 60_000 };

for (const { protocol, tls, name } of ways(protocols)) {
  describe(name, LIMIT, () => {
    let server;
    let redis;
    const open = [];

    function where(who = "client") {
      const secured = tls ? { tls: certificates(who) } : {};
      return { host: "127.0.0.1", port: server.port, protocol, ...secured };
    }

    function connect(options = {}) {
      const again = { retryStrategy: () => 100, maxRetriesPerRequest: 50 };
      const client = new Redis({ ...where(), password: PASSWORD, ...again, ...options });
      client.on("error", () => {}); // a command that fails says why
      open.push(client);
      return client;
    }

    before(async () => {
      server = await Server.start({ tls });
      redis = connect();
      await redis.ping(); // where connecting fails, all tests fail at once
    });
    beforeEach(() => redis.flushall());
    after(async () => {
      open.forEach((client) => client.disconnect());
      await server.close();
    });

    test("it speaks the protocol asked for", async () => {
      const flat = await redis.call("HELLO");
      const proto = Array.isArray(flat) ? flat[flat.indexOf("proto") + 1] : flat.proto;
      assert.equal(Number(proto), protocol);
    });

    test("strings", async () => {
      assert.equal(await redis.get("k"), null);
      assert.equal(await redis.set("k", "v"), "OK");
      assert.equal(await redis.set("k", "w", "NX"), null);
      assert.equal(await redis.set("k", "w", "GET"), "v");
      assert.equal(await redis.mset({ a: 1, b: 2 }), "OK");
      assert.deepEqual(await redis.mget("a", "none", "b"), ["1", null, "2"]);
      assert.equal(await redis.incrby("a", 41), 42);
      assert.equal(await redis.del("a", "none"), 1);
      assert.equal(await redis.dbsize(), 2);
    });

    test("bytes are kept", async () => {
      const everything = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
      await redis.set(everything, everything);
      assert.deepEqual(await redis.getBuffer(everything), everything);
    });

    test("expiry", async () => {
      await redis.set("k", "v", "EX", 100);
      const ttl = await redis.ttl("k");
      assert.ok(ttl > 95 && ttl <= 100, `ttl ${ttl}`);
      assert.equal(await redis.persist("k"), 1);
      assert.equal(await redis.pttl("k"), -1);
    });

    test("errors", async () => {
      await redis.set("k", "text");
      await assert.rejects(redis.incr("k"), /^ReplyError: ERR value is not an integer or out of range$/);
      await assert.rejects(redis.call("NOSUCH"), /ERR unknown command 'NOSUCH'/);
    });

    test("name and database at connect", async () => {
      const named = connect({ connectionName: "me", db: 3 });
      assert.equal(await named.client("GETNAME"), "me");
      await named.set("k", "3");
      assert.equal(await redis.get("k"), null);
    });

    test("a URL alone binds to a transaction", { skip: IS_REDIS }, async () => {
      const runner = connect();
      const [token] = await runner.call("AFT.BEGIN");
      await runner.call("AFT.LEAVE");
      const bound = [
        `redis://:${PASSWORD}@127.0.0.1:${server.port}?connectionName=aft:${token}`,
        `redis://default~${token}:${PASSWORD}@127.0.0.1:${server.port}`,
      ].map((url) => {
        const client = new Redis(url, { protocol, ...(tls ? { tls: certificates("client") } : {}) });
        open.push(client);
        return client;
      });
      for (const [at, client] of bound.entries()) {
        assert.equal(await client.incr("k"), at + 1);
        assert.equal(await redis.get("k"), null);
      }
      await runner.call("AFT.COMMIT", token);
      assert.equal(await redis.get("k"), "2");
      for (const client of bound) await assert.rejects(client.incr("k"), /^ReplyError: NOTXN/);
    });

    test("pipeline", async () => {
      const pipeline = redis.pipeline();
      for (let n = 0; n < 1000; n++) pipeline.set(`k${n}`, n).get(`k${n}`);
      const replies = await pipeline.exec();
      const expected = Array.from({ length: 1000 }, (_, n) => [[null, "OK"], [null, `${n}`]]);
      assert.deepEqual(replies, expected.flat());
    });

    test("multi", async () => {
      const replies = await redis.multi().set("a", 1).incr("a").get("a").get("none").exec();
      assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"], [null, null]]);
    });

    test("an error inside multi leaves the others", async () => {
      await redis.set("s", "text");
      const [ok, [error], also] = await redis.multi().set("a", 1).incr("s").set("b", 2).exec();
      assert.deepEqual([ok, also], [[null, "OK"], [null, "OK"]]);
      assert.match(error.message, /not an integer/);
      assert.deepEqual(await redis.mget("a", "b"), ["1", "2"]);
    });

    test("a watch conflict is retried", async () => {
      await redis.set("k", 1);
      const other = connect();
      const seen = [];
      for (let done = null; done === null; ) {
        await redis.watch("k");
        const value = Number(await redis.get("k"));
        seen.push(value);
        if (seen.length === 1) await other.set("k", 10);
        done = await redis.multi().set("k", value * 2).exec();
      }
      assert.deepEqual(seen, [1, 10]);
      assert.equal(await redis.get("k"), "20");
    });

    test("big value", async () => {
      const big = Buffer.alloc(32 << 20, "0123456789abcdef");
      await redis.set("big", big);
      assert.ok(big.equals(await redis.getBuffer("big")));
    });

    test("pool of 50", async () => {
      const pool = Array.from({ length: 50 }, () => connect());
      const counts = await Promise.all(
        Array.from({ length: 2000 }, (_, n) => pool[n % 50].incr("n")),
      );
      const sorted = counts.sort((a, b) => a - b);
      assert.deepEqual(sorted, Array.from({ length: 2000 }, (_, n) => n + 1));
    });

    test("reconnects after kill -9, and the acknowledged data is there", async () => {
      const keys = Array.from({ length: 100 }, (_, n) => `k${n}`);
      await Promise.all(keys.map((key) => redis.set(key, key)));
      await server.kill();
      const values = redis.mget(keys); // waits for the connection that comes
      await server.start();
      assert.deepEqual(await values, keys);
      assert.equal(await redis.set("again", "yes"), "OK");
    });

    test("AUTH", async () => {
      for (const wrong of [{}, { password: "wrong" }, { username: "x", password: PASSWORD }]) {
        const client = new Redis({ ...where(), ...wrong, retryStrategy: null });
        client.on("error", () => {});
        await assert.rejects(client.get("k"), wrong.password ? /WRONGPASS/ : /NOAUTH/);
        client.disconnect();
      }
      const client = connect({ username: "default" });
      assert.equal(await client.set("k", "v"), "OK");
    });

    if (!tls) return;
    test("who has no certificate of ours is refused", async () => {
      for (const who of [null, "stranger"]) {
        const client = new Redis({ ...where(who), password: PASSWORD, retryStrategy: null });
        client.on("error", () => {});
        await assert.rejects(client.get("k"));
        client.disconnect();
      }
    });
  });
}
