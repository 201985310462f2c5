// Starts the server in AFT_BINARY (redis-server too, to check the tests themselves).
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

const READY = /^listening\s+\S+:(\d+)$|Ready to accept connections/;

export class Server {
  #dir = mkdtempSync(join(tmpdir(), "aft-clients-"));
  #process;

  constructor({ password } = {}) {
    this.password = password;
    this.port = 0;
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
        const ready = READY.exec(line);
        if (ready) resolve(Number(ready[1] ?? this.port));
      });
      lines.on("close", () => reject(new Error("the server did not start")));
    });
    clearTimeout(killer);
    this.port = port;
  }

  async #command() {
    const words = [];
    if (!basename(process.env.AFT_BINARY).startsWith("redis-server")) {
      words.push("--listen", `127.0.0.1:${this.port}`, "--store", `embedded:${this.#dir}`);
      words.push("--durability", "always");
    } else {
      this.port ||= await freePort();
      words.push("--bind", "127.0.0.1", "--port", String(this.port), "--save", "");
      words.push("--appendonly", "yes", "--appendfsync", "always", "--dir", this.#dir);
    }
    return this.password ? [...words, "--requirepass", this.password] : words;
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

function freePort() {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}
