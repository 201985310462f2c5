// Sessions of an Express application (express-session, connect-redis, node-redis) on the server
// in AFT_BINARY.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

import { certificates, PASSWORD, Server, ways } from "./server.mjs";

const LIMIT = { timeout: 60_000 };

for (const { protocol: RESP, tls, name } of ways()) {
  describe(name, LIMIT, () => {
    let server;
    let redis;
    let store;
    let listener;
    let address;

    before(async () => {
      server = await Server.start({ tls });
      const url = `redis${tls ? "s" : ""}://:${PASSWORD}@127.0.0.1:${server.port}/2`;
      const socket = { reconnectStrategy: () => 100, ...(tls ? certificates("client") : {}) };
      redis = createClient({ url, RESP, socket });
      redis.on("error", () => {});
      await redis.connect();
      store = new RedisStore({ client: redis, prefix: "sess:", ttl: 100 });

      const app = express();
      const secret = "for these tests only";
      app.use(session({ store, secret, resave: false, saveUninitialized: false }));
      app.get("/visit", (request, response) => {
        request.session.visits = (request.session.visits ?? 0) + 1;
        response.send(String(request.session.visits));
      });
      app.get("/look", (request, response) => response.send(String(request.session.visits)));
      app.get("/leave", (request, response) => {
        request.session.destroy((error) => response.send(error ? "failed" : "bye"));
      });
      listener = app.listen(0, "127.0.0.1");
      await new Promise((resolve) => listener.once("listening", resolve));
      address = `http://127.0.0.1:${listener.address().port}`;
    });
    beforeEach(() => redis.flushAll());
    after(async () => {
      listener.closeAllConnections();
      listener.close();
      redis.destroy();
      await server.close();
    });

    // A browser, as far as it takes and sends the cookie.
    function browser() {
      let cookie;
      const visit = async (path) => {
        const response = await fetch(address + path, { headers: cookie ? { cookie } : {} });
        cookie = response.headers.get("set-cookie")?.split(";")[0] ?? cookie;
        return response.text();
      };
      visit.session = () => /s%3A(.*)\./.exec(cookie)[1];
      return visit;
    }

    test("visits are counted", async () => {
      const [first, second] = [browser(), browser()];
      assert.equal(await first("/visit"), "1");
      assert.equal(await first("/visit"), "2");
      assert.equal(await second("/visit"), "1");
      assert.equal(await first("/visit"), "3");
      assert.equal(await redis.dbSize(), 2);
    });

    test("a session expires, and a look makes it live longer", async () => {
      const visit = browser();
      await visit("/visit");
      const key = `sess:${visit.session()}`;
      assert.ok((await redis.ttl(key)) > 95);
      await redis.expire(key, 10);
      assert.equal(await visit("/look"), "1");
      assert.ok((await redis.ttl(key)) > 95);
      await redis.del(key);
      assert.equal(await visit("/look"), "undefined");
    });

    test("a session that ends", async () => {
      const visit = browser();
      await visit("/visit");
      assert.equal(await visit("/leave"), "bye");
      assert.equal(await redis.dbSize(), 0);
      assert.equal(await visit("/visit"), "1");
    });

    test("a session outlives the server", async () => {
      const visit = browser();
      await visit("/visit");
      const noticed = new Promise((resolve) => redis.once("reconnecting", resolve));
      await server.kill();
      await noticed;
      const second = visit("/visit"); // waits for the connection that comes
      await server.start();
      assert.equal(await second, "2");
    });

    test("the store's own verbs: set, get, touch, destroy", async () => {
      const call = (verb, ...words) => promisify(store[verb].bind(store))(...words);
      const value = { cookie: { originalMaxAge: null }, text: "täxt" };
      await call("set", "a", value);
      assert.deepEqual(await call("get", "a"), value);
      await call("touch", "a", value);
      await call("destroy", "a");
      assert.equal((await call("get", "a")) ?? null, null);
    });

    test("all, ids, length and clear go by SCAN", async () => {
      const call = (verb) => promisify(store[verb].bind(store))();
      for (const id of ["a", "b", "c"]) await store.set(id, { cookie: {}, id });
      assert.deepEqual((await call("ids")).sort(), ["a", "b", "c"]);
      assert.equal((await call("all")).length, 3);
      assert.equal(await call("length"), 3);
      await call("clear");
      assert.equal(await redis.dbSize(), 0);
    });
  });
}
