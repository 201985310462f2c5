// node-redis 5 and newest against the server in AFT_BINARY, in both protocols.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { certificates, IS_REDIS, PASSWORD, Server, ways } from "./server.mjs";

const { createClient, createClientPool, RESP_TYPES, WatchError } = await import(
  process.env.LIBRARY ?? "redis"
);

const LIMIT = { timeout: 60_000 };

for (const { protocol: RESP, tls, name } of ways()) {
  describe(name, LIMIT, () => {
    let server;
    let redis;
    const open = [];

    function socket(reconnectStrategy, who = "client") {
      const secured = tls ? { tls: true, ...certificates(who) } : {};
      return { host: "127.0.0.1", port: server.port, reconnectStrategy, ...secured };
    }

    function options(more = {}) {
      return { socket: socket(() => 100), password: PASSWORD, RESP, ...more };
    }

    async function connect(more) {
      const client = createClient(options(more));
      client.on("error", () => {}); // a command that fails says why
      open.push(client);
      return client.connect();
    }

    before(async () => {
      server = await Server.start({ tls });
      redis = await connect();
    });
    beforeEach(() => redis.flushAll());
    after(async () => {
      open.forEach((client) => client.destroy());
      await server.close();
    });

    test("it speaks the protocol asked for", async () => {
      const hello = await redis.sendCommand(["HELLO"]);
      const proto = Array.isArray(hello) ? hello[hello.indexOf("proto") + 1] : hello.proto;
      assert.equal(Number(proto), RESP);
    });

    test("strings", async () => {
      assert.equal(await redis.get("k"), null);
      assert.equal(await redis.set("k", "v"), "OK");
      assert.equal(await redis.set("k", "w", { NX: true }), null);
      assert.equal(await redis.set("k", "w", { GET: true }), "v");
      assert.equal(await redis.mSet({ a: "1", b: "2" }), "OK");
      assert.deepEqual(await redis.mGet(["a", "none", "b"]), ["1", null, "2"]);
      assert.equal(await redis.incrBy("a", 41), 42);
      assert.equal(await redis.del(["a", "none"]), 1);
      assert.equal(await redis.dbSize(), 2);
    });

    test("bytes are kept", async () => {
      const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      const everything = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
      await redis.set(everything, everything);
      assert.deepEqual(await bytes.get(everything), everything);
    });

    test("expiry", async () => {
      await redis.set("k", "v", { EX: 100 });
      const ttl = await redis.ttl("k");
      assert.ok(ttl > 95 && ttl <= 100, `ttl ${ttl}`);
      assert.equal(await redis.persist("k"), 1);
      assert.equal(await redis.pTTL("k"), -1);
    });

    test("errors", async () => {
      await redis.set("k", "text");
      await assert.rejects(redis.incr("k"), /ERR value is not an integer or out of range$/);
      await assert.rejects(redis.sendCommand(["NOSUCH"]), /ERR unknown command 'NOSUCH'/);
    });

    test("name and database at connect", async () => {
      const named = await connect({ name: "me", database: 3 });
      assert.equal(await named.clientGetName(), "me");
      await named.set("k", "3");
      assert.equal(await redis.get("k"), null);
    });

    test("a URL alone binds to a transaction", { skip: IS_REDIS }, async () => {
      const runner = await connect();
      const [token] = await runner.sendCommand(["AFT.BEGIN"]);
      await runner.sendCommand(["AFT.LEAVE"]);
      const where = `${tls ? "rediss" : "redis"}://default~${token}:${PASSWORD}@127.0.0.1:${server.port}`;
      const bound = createClient({ url: where, RESP, ...(tls ? { socket: socket(() => 100) } : {}) });
      bound.on("error", () => {});
      open.push(bound);
      await bound.connect();
      assert.equal(await bound.incr("k"), 1);
      assert.equal(await redis.get("k"), null);
      await runner.sendCommand(["AFT.COMMIT", token]);
      assert.equal(await redis.get("k"), "1");
      await assert.rejects(bound.incr("k"), /NOTXN/);
    });

    test("pipeline", async () => {
      const replies = [];
      for (let n = 0; n < 1000; n++) replies.push(redis.set(`k${n}`, `${n}`), redis.get(`k${n}`));
      const expected = Array.from({ length: 1000 }, (_, n) => ["OK", `${n}`]);
      assert.deepEqual(await Promise.all(replies), expected.flat());
      const pipeline = redis.multi().set("a", "1").incr("a");
      assert.deepEqual(await pipeline.execAsPipeline(), ["OK", 2]);
    });

    test("multi", async () => {
      const replies = await redis.multi().set("a", "1").incr("a").get("a").get("none").exec();
      assert.deepEqual(replies, ["OK", 2, "2", null]);
    });

    test("an error inside multi leaves the others", async () => {
      await redis.set("s", "text");
      const failed = redis.multi().set("a", "1").incr("s").set("b", "2").exec();
      const { replies, errorIndexes } = await failed.then(assert.fail, (error) => error);
      assert.deepEqual([replies[0], replies[2], errorIndexes], ["OK", "OK", [1]]);
      assert.match(replies[1].message, /not an integer/);
      assert.deepEqual(await redis.mGet(["a", "b"]), ["1", "2"]);
    });

    test("a watch conflict is retried", async () => {
      await redis.set("k", "1");
      const isolated = await connect(); // WATCH belongs to a connection
      const seen = [];
      for (let done = false; !done; ) {
        await isolated.watch("k");
        const value = Number(await isolated.get("k"));
        seen.push(value);
        if (seen.length === 1) await redis.set("k", "10");
        try {
          await isolated.multi().set("k", `${value * 2}`).exec();
          done = true;
        } catch (error) {
          assert.ok(error instanceof WatchError, error);
        }
      }
      assert.deepEqual(seen, [1, 10]);
      assert.equal(await redis.get("k"), "20");
    });

    test("big value", async () => {
      const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      const big = Buffer.alloc(8 << 20, "0123456789abcdef");
      await redis.set("big", big);
      assert.ok(big.equals(await bytes.get("big")));
    });

    test("pool of 50", async () => {
      const pool = createClientPool(options(), { minimum: 50, maximum: 50 });
      pool.on("error", () => {});
      await pool.connect();
      try {
        assert.equal(pool.totalClients, 50);
        const counts = await Promise.all(Array.from({ length: 2000 }, () => pool.incr("n")));
        const sorted = counts.sort((a, b) => a - b);
        assert.deepEqual(sorted, Array.from({ length: 2000 }, (_, n) => n + 1));
      } finally {
        await pool.close();
      }
    });

    test("reconnects after kill -9, and the acknowledged data is there", async () => {
      const keys = Array.from({ length: 100 }, (_, n) => `k${n}`);
      await Promise.all(keys.map((key) => redis.set(key, key)));
      const noticed = new Promise((resolve) => redis.once("reconnecting", resolve));
      await server.kill();
      await noticed; // what is in flight at the loss fails, by node-redis' own choice
      const values = redis.mGet(keys); // waits for the connection that comes
      await server.start();
      assert.deepEqual(await values, keys);
      assert.equal(await redis.set("again", "yes"), "OK");
    });

    test("AUTH", async () => {
      for (const wrong of [{}, { password: "wrong" }, { username: "x", password: PASSWORD }]) {
        const client = createClient({ socket: socket(false), RESP, ...wrong });
        client.on("error", () => {});
        const refused = wrong.password ? /WRONGPASS/ : /NOAUTH/;
        await assert.rejects(client.connect().then(() => client.get("k")), refused);
        if (client.isOpen) client.destroy();
      }
      const client = await connect({ username: "default" });
      assert.equal(await client.set("k", "v"), "OK");
    });

    if (!tls) return;
    test("who has no certificate of ours is refused", async () => {
      for (const who of [null, "stranger"]) {
        const client = createClient(options({ socket: socket(false, who) }));
        client.on("error", () => {});
        await assert.rejects(client.connect().then(() => client.get("k")));
        if (client.isOpen) client.destroy();
      }
    });
  });
}
