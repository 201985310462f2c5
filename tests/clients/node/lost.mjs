// Counts once, whatever happens, and then once more: lost.mjs LIBRARY WAY,PORT,USER,KEY…
const [library, ...words] = process.argv.slice(2);

async function ioredis(port, username) {
  const { default: Redis } = await import(library);
  const r = new Redis({ host: "127.0.0.1", port, username, password: "secret" });
  r.on("error", () => {});
  return {
    incr: (key) => r.incr(key),
    get: async (key) => Number(await r.get(key)),
    watch: (key) => r.watch(key),
    exec: async (command, ...args) => {
      const [[error]] = (await r.multi()[command](...args).exec()) ?? [[new Error("touched")]];
      if (error) throw error;
    },
    close: () => r.disconnect(),
  };
}

async function nodeRedis(port, username) {
  const { createClient } = await import(library);
  const r = createClient({ socket: { host: "127.0.0.1", port }, username, password: "secret" });
  r.on("error", () => {});
  await r.connect();
  return {
    incr: (key) => r.incr(key),
    get: async (key) => Number(await r.get(key)),
    watch: (key) => r.watch(key),
    exec: (command, ...args) => r.multi()[command](...args.map(String)).exec(),
    close: () => r.destroy(),
  };
}

async function count(r, way, key) {
  if (way === "INCR") return r.incr(key);
  if (way === "MULTI") return r.exec("incr", key);
  await r.watch(key);
  return r.exec("set", key, (await r.get(key)) + 1);
}

for (const word of words) {
  const [way, port, user, key] = word.split(",");
  const connect = library.startsWith("ioredis") ? ioredis : nodeRedis;
  const r = await connect(Number(port), user);
  let who = "library";
  for (;;) {
    try {
      await count(r, way, key);
      break;
    } catch {
      who = "program";
    }
  }
  const first = await r.get(key);
  await r.incr(key);
  console.log(way, who, first, await r.get(key));
  r.close();
}
