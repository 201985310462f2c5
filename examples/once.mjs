// A Lambda handler whose requests count once, however often they are delivered.
//
//     export const handler = once((event) => event.order, async (event, db) => { … });
//
// What it does with `db` is done in one transaction.
import { Redis } from "ioredis";

const URL = process.env.REDIS_URL ?? "redis://127.0.0.1:6379";
export const runner = new Redis(URL, { lazyConnect: true });

export const once = (requestOf, handler) => async (event, context) => {
  const [token, state, known] = await runner.call("AFT.BEGIN", "REQUEST", requestOf(event));
  if (state === "committed") return JSON.parse(known);
  const db = new Redis(URL, { connectionName: `aft:${token}` });
  try {
    const result = (await handler(event, db)) ?? null;
    await runner.call("AFT.COMMIT", token, "RESULT", JSON.stringify(result));
    return result;
  } catch (error) {
    await runner.call("AFT.ABORT", token).catch(() => {}); // it may be over already
    throw error;
  } finally {
    db.disconnect();
  }
};
