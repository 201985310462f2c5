// A function that knows its Redis by REDIS_URL, and nothing of transactions or retries.
//
//     aft run --request order:17 -- node examples/order.mjs order:17
import { Redis } from "ioredis";

const db = new Redis(process.env.REDIS_URL);
const [, , order] = process.argv;
const left = await db.decrby("stock", 1);
if (process.env.CRASH === "half-way") process.kill(process.pid, "SIGKILL");
if (left < 0) {
  console.error("sold out");
  process.exit(1);
}
await db.set(order, "accepted");
console.log(`${order} accepted, ${left} left`);
db.disconnect();
