"""A Lambda function whose deliveries count once, however often it is invoked, crashes or times out.

    @once
    def handler(event, db):    # db: an ordinary redis.Redis, inside a transaction of aft
        db.incrby("stock", -event["count"])
        return {"left": int(db.get("stock"))}

`event["id"]` is what all deliveries of one event share. What raises is invoked again by Lambda.
"""

import json
import os

import redis


def once(handler):
    def invoke(event, context):
        url = os.environ["REDIS_URL"]
        with redis.Redis.from_url(url, decode_responses=True) as aft:
            token, state, result = aft.execute_command("AFT.BEGIN", "REQUEST", event["id"])
            if state != "committed":
                with redis.Redis.from_url(url, client_name=f"aft:{token}") as db:
                    result = json.dumps(handler(event, db))
                aft.execute_command("AFT.COMMIT", token, "RESULT", result)
            return json.loads(result)

    return invoke
