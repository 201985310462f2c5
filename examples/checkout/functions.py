"""A shop's checkout in three functions, which a platform invokes one by one, and an auditor's look.

Plain redis-py: all that they get is a URL and an order. Platforms invoke again what has failed, so
each function looks first whether its work is done already, as one does.
"""

import json

import redis


def reserve(url, order):
    with redis.Redis.from_url(url, decode_responses=True) as db:
        if not db.exists(f"reserved:{order['id']}"):
            left = int(db.get(f"stock:{order['item']}"))
            if left < order["count"]:
                return "out of stock"
            db.decrby(f"stock:{order['item']}", order["count"])
            db.set(f"reserved:{order['id']}", order["count"])
        return "reserved"


def charge(url, order):
    with redis.Redis.from_url(url, decode_responses=True) as db:
        if not db.exists(f"paid:{order['id']}"):
            db.decrby(f"account:{order['customer']}", order["price"])
            db.set(f"paid:{order['id']}", order["price"])
        return "paid"


def write(url, order):
    with redis.Redis.from_url(url, decode_responses=True) as db:
        if not db.exists(f"order:{order['id']}"):
            db.incrby(f"sold:{order['item']}", order["count"])
            db.set(f"order:{order['id']}", json.dumps(order))
        return {"accepted": order["id"], "balance": int(db.get(f"account:{order['customer']}"))}


def look(url, orders):
    """Which parts of these orders are there."""
    with redis.Redis.from_url(url, decode_responses=True) as db:
        parts = ("reserved", "paid", "order")
        return [[db.exists(f"{part}:{order}") for part in parts] for order in orders]
