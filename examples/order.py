"""A function that knows its Redis by REDIS_URL, and nothing of transactions or retries.

    aft run --request order:17 -- python3 examples/order.py order:17
"""

import os
import sys

import redis

db = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
left = db.decrby("stock", 1)
if os.environ.get("CRASH") == "half-way":
    os.kill(os.getpid(), 9)
if left < 0:
    sys.exit("sold out")
db.set(sys.argv[1], "accepted")
print(f"{sys.argv[1]} accepted, {left} left")
