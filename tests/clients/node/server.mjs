// Starts the server in AFT_BINARY (redis-server too, to check the tests themselves).
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

const READY = /^listening\s+\S+:(\d+)$|Ready to accept connections/;
const READY_TLS = /^listening\s+tls\s+\S+:(\d+)$|Ready to accept connections/;

export class Server {
  #dir = mkdtempSync(join(tmpdir(), "aft-clients-"));
  #process;

  #certificates;

  // With `tls`, `port` is the one that speaks TLS.
  constructor({ password, tls } = {}) {
    this.password = password;
    this.port = 0;
    if (tls) {
      this.#certificates = mkdtempSync(join(tmpdir(), "aft-clients-tls-"));
      execFileSync("bash", [process.env.AFT_MAKE_CERTIFICATES, this.#certificates]);
    }
  }

  static async start(options) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  // Starts, after a stop on the same port: that is where clients reconnect.
  async start() {
    const command = await this.#command();
    const child = spawn(process.env.AFT_BINARY, command, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    this.exited = new Promise((resolve) => child.once("exit", resolve));
    // A server that hangs in its start must not hang the tests.
    const killer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const lines = createInterface({ input: child.stdout });
    const port = await new Promise((resolve, reject) => {
      child.once("error", reject);
      lines.on("line", (line) => {
        const ready = (this.#certificates ? READY_TLS : READY).exec(line);
        if (ready) resolve(Number(ready[1] ?? this.port));
      });
      lines.on("close", () => reject(new Error("the server did not start")));
    });
    clearTimeout(killer);
    this.port = port;
  }

  async #command() {
    const words = [];
    const tls = this.#certificates;
    if (!basename(process.env.AFT_BINARY).startsWith("redis-server")) {
      words.push("--store", `embedded:${this.#dir}`, "--durability", "always");
      if (tls) words.push("--listen", "127.0.0.1:0");
      words.push(tls ? "--tls-listen" : "--listen", `127.0.0.1:${this.port}`);
    } else {
      this.port ||= await freePort();
      words.push("--bind", "127.0.0.1", "--save", "");
      if (tls) words.push("--port", "0");
      words.push(tls ? "--tls-port" : "--port", String(this.port));
      words.push("--appendonly", "yes", "--appendfsync", "always", "--dir", this.#dir);
    }
    if (tls) {
      const files = { cert: "server.crt", key: "server.key", "ca-cert": "ca.crt" };
      for (const [what, name] of Object.entries(files)) {
        words.push(`--tls-${what}-file`, join(tls, name));
      }
    }
    return this.password ? [...words, "--requirepass", this.password] : words;
  }

  // What a client needs to connect as `who`, with or without a certificate of its own.
  tlsOptions(who) {
    const read = (name) => readFileSync(join(this.#certificates, name));
    const own = who ? { cert: read(`${who}.crt`), key: read(`${who}.key`) } : {};
    return { tls: { ca: read("ca.crt"), ...own } };
  }

  async kill() {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  async close() {
    await this.kill();
    for (const dir of [this.#dir, this.#certificates]) {
      if (dir) rmSync(dir, { recursive: true, force: true });
    }
  }
}

function freePort() {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}
