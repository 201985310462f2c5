// A server to test against: what ../serve starts, killed and brought back at will.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

export const PASSWORD = "secret";
// Why a test is skipped that needs what only aft has.
export const IS_REDIS =
  basename(process.env.AFT_BINARY).startsWith("redis-server") && "redis-server has no AFT.BEGIN";
const CERTIFICATES = process.env.AFT_CERTIFICATES;
const READY = /^listening|Ready to accept/;

export class Server {
  #dir = mkdtempSync(join(tmpdir(), "aft-clients-"));
  #process;

  // With `tls`, `port` speaks TLS and nothing else.
  constructor({ tls = false } = {}) {
    this.tls = tls;
    this.port = 0;
  }

  static async start(options) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  // Starts, after a kill on the same port: that is where clients reconnect.
  async start() {
    const words = [this.#dir, String(this.port), PASSWORD, this.tls ? CERTIFICATES : ""];
    const child = spawn(process.env.AFT_SERVE, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    this.exited = new Promise((resolve) => child.once("exit", resolve));
    // A server that hangs in its start must not hang the tests.
    const killer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const lines = createInterface({ input: child.stdout });
    await new Promise((resolve, reject) => {
      child.once("error", reject);
      lines.on("line", (line) => {
        const port = /^port (\d+)$/.exec(line);
        if (port) this.port = Number(port[1]);
        if (READY.test(line)) resolve();
      });
      lines.on("close", () => reject(new Error("the server did not start")));
    });
    clearTimeout(killer);
  }

  async kill() {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  async close() {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

// The options of node's tls for a client with the certificate of `who`, or none.
export function certificates(who) {
  const read = (name) => readFileSync(join(CERTIFICATES, name));
  const own = who ? { cert: read(`${who}.crt`), key: read(`${who}.key`) } : {};
  return { ca: read("ca.crt"), ...own };
}

// All ways to connect: both protocols (or those given), plain and over TLS.
export function* ways(protocols = [2, 3]) {
  for (const tls of [false, true]) {
    for (const protocol of protocols) {
      yield { protocol, tls, name: `RESP${protocol}${tls ? " over TLS" : ""}` };
    }
  }
}
