// The same as ../python/lambda_function.py.
import { readFileSync } from "node:fs";
import { once } from "./lambda_once.mjs";

const line = (name) => {
  if (name === process.env.CRASH) process.exit(1);
};

const handler = once(async (event, db) => {
  line("0");
  const rich = Number(await db.get("rich"));
  line("1");
  await db.set("rich", rich - event.amount);
  line("2");
  const poor = await db.incrby("poor", event.amount);
  line("3");
  if (event.silent) return;
  return { rich: rich - event.amount, poor };
});

const result = await handler(JSON.parse(readFileSync(0, "utf8")));
line("told");
console.log(JSON.stringify(result ?? null));
