// The same as sandbox.py. Its accidents happen before a command of the function is sent or when its
// reply is there: to everybody else there are no other moments in it.
import { createInterface } from "node:readline";
import Redis from "ioredis";
import * as functions from "./functions.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
let accident = null;

async function happen({ kind }) {
  if (kind === "crash") {
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => {});
  } else {
    // It says so, or everybody would have to wait for a timeout; and it may go on.
    say({ hangs: true });
    await lines.next();
  }
}

async function moment() {
  if (accident && --accident.at === 0) await happen(accident);
}

// What ioredis says by itself when it connects is no command of the function.
const OWN = new Set(["hello", "auth", "select", "client", "info"]);
const seen = new WeakSet(); // what waited for the connection is sent once more
const { sendCommand } = Redis.prototype;
Redis.prototype.sendCommand = function (command, ...rest) {
  const send = () => sendCommand.call(this, command, ...rest);
  if (OWN.has(command.name) || seen.has(command)) return send();
  seen.add(command);
  return (async () => {
    await moment();
    const reply = await send();
    await moment();
    return reply;
  })();
};

for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  const call = JSON.parse(line);
  accident = call.accident;
  try {
    const answer = await functions[call.function](call.url, call.event);
    if (accident?.at > 0) await happen(accident);
    say({ answer });
  } catch (error) {
    say({ error: error.message });
  }
}
