"""A function that crashes between two writes, and its retry.

    pip install redis && python3 examples/half_way.py [redis://127.0.0.1:6379]

The function runs in a process of its own, as it would in a cloud, so that its crash is a real one.
"""

import os
import subprocess
import sys

import redis


def transfer(db, source, target, amount, crash):
    """Moves an amount from one account to another; dies half-way if told to."""
    with db.pipeline(transaction=True) as tx:
        while True:
            try:
                tx.watch(source, target)
                rich, poor = int(tx.get(source)), int(tx.get(target))
                if crash:
                    # What a function does that is killed at this line: half of it is sent.
                    tx.immediate_execute_command("MULTI")
                    tx.immediate_execute_command("SET", source, rich - amount)
                    os._exit(1)
                tx.multi()
                tx.set(source, rich - amount)
                tx.set(target, poor + amount)
                return tx.execute()
            except redis.WatchError:
                continue  # somebody else was faster: read again


def accounts(db):
    alice, bob = (int(value) for value in db.mget("alice", "bob"))
    return f"alice {alice}, bob {bob}, together {alice + bob}"


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379"
    db = redis.Redis.from_url(url)
    if len(sys.argv) > 2:
        transfer(db, "alice", "bob", 30, crash=sys.argv[2] == "crash")
        return
    db.mset({"alice": 100, "bob": 0})
    for attempt in ("crash", "retry"):
        result = subprocess.run([sys.executable, __file__, url, attempt])
        outcome = "went through" if result.returncode == 0 else "crashed between its two writes"
        print(f"{attempt:>6}: the function {outcome}; {accounts(db)}")


if __name__ == "__main__":
    main()
