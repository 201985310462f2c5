// A server to test against: what ../serve starts, killed and brought back at will.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const READY = /^listening|Ready to accept/;

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
    const words = [this.#dir, String(this.port), this.password ?? ""];
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
