// A Lambda function whose deliveries count once, however often it is invoked, crashes or times out.
//
//     export const handler = once(async (event, db) => { // db: ioredis, in a transaction of aft
//       return { left: await db.incrby("stock", -event.count) };
//     });
//
// `event.id` is what all deliveries of one event share. What throws is invoked again by Lambda.
import Redis from "ioredis";

export const once = (handler) => async (event) => {
  const aft = new Redis(process.env.REDIS_URL);
  let db;
  try {
    let [token, state, result] = await aft.call("AFT.BEGIN", "REQUEST", event.id);
    if (state !== "committed") {
      db = new Redis(process.env.REDIS_URL, { connectionName: `aft:${token}` });
      result = JSON.stringify((await handler(event, db)) ?? null);
      await aft.call("AFT.COMMIT", token, "RESULT", result);
    }
    return JSON.parse(result);
  } finally {
    [aft, db].forEach((redis) => redis?.disconnect());
  }
};
