"""Counts once, whatever happens, and then once more: lost.py WAY,PORT,USER,KEY…"""

import sys

import redis


def count(r, way, key):
    if way == "INCR":
        r.incr(key)
    elif way == "MULTI":
        r.pipeline(transaction=True).incr(key).execute()
    else:

        def add(pipe):
            seen = int(pipe.get(key) or 0)
            pipe.multi()
            pipe.set(key, seen + 1)

        r.transaction(add, key)


for word in sys.argv[1:]:
    way, port, user, key = word.split(",")
    r = redis.Redis(port=int(port), username=user, password="secret", socket_timeout=20)
    who = "library"
    while True:
        try:
            count(r, way, key)
            break
        except redis.ConnectionError:
            who = "program"
    first = int(r.get(key))
    r.incr(key)
    print(way, who, first, int(r.get(key)))
