"""A shop on a platform that retries: the same functions on plain Redis and on aft, side by side.

    pip install redis && cargo build --release
    python3 examples/checkout/shop.py --aft target/release/aft

Starts both servers, runs the same orders with the same accidents on each, and counts what is wrong
with the books when all is over. With `--functions node` the functions are those of functions.mjs
(`npm install --no-save --prefix examples/checkout ioredis` brings what they need).
"""

import argparse
import contextlib
import os
import pathlib
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import time

import redis

import books
import runner

HERE = pathlib.Path(__file__).parent
SANDBOXES = {
    "python": [sys.executable, "-B", str(HERE / "sandbox.py")],
    "node": ["node", str(HERE / "sandbox.mjs")],
}


def orders(count, seed):
    """Three for an item, on average, of which two units each would be twice its stock."""
    chance = random.Random(f"{seed} orders")
    return [
        {
            "id": str(number),
            "customer": f"c{number}",
            "item": chance.randrange(max(1, count // 3)),
            "count": (units := chance.randint(1, 3)),
            "price": 10 * units,
        }
        for number in range(1, count + 1)
    ]


@contextlib.contextmanager
def served(program):
    """The port of a server that has nothing in it, redis-server or aft."""
    with tempfile.TemporaryDirectory() as directory, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if os.path.basename(program).startswith("redis"):
            words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", directory]
        else:
            words = ["--listen", f"127.0.0.1:{port}", "--store", f"embedded:{directory}"]
        process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
        try:
            db = redis.Redis("127.0.0.1", port)
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    db.ping()
                    break
                if process.poll() is not None:
                    raise SystemExit(f"{program} does not start")
                time.sleep(0.01)
            yield port
        finally:
            process.kill()
            process.wait()


def run(program, command, count, seed):
    """A column: the server's name, the faults, what happened."""
    with served(program) as port:
        db = redis.Redis("127.0.0.1", port, decode_responses=True)
        info = db.info("server")
        name = f"aft {info['aft_version']}" if "aft_version" in info else f"redis {info['redis_version']}"
        store = runner.Transactions if "aft_version" in info else runner.Plain
        wanted = orders(count, seed)
        books.open_shop(db, wanted)
        shop = runner.Runner(store("127.0.0.1", port), command, seed)
        with contextlib.closing(shop):
            shop.run(wanted)
            faults, happened = books.close(db, wanted, shop.answers, shop.looks), outcome(shop)
            shop.run_again(wanted)
            faults[LEFT] = sum(books.close(db, wanted, shop.answers, []).values())
        return name, faults, happened


LEFT = "left when orders given up were delivered again"


def outcome(shop):
    last = [answers[-1] for answers in shop.answers.values()]
    return {
        "orders accepted": sum(isinstance(answer, dict) for answer in last),
        "orders out of stock": last.count("out of stock"),
        "orders given up": last.count(None),
        "looks of the auditor": len(shop.looks),
        "deliveries": shop.happened.pop("deliveries"),
        "functions invoked": shop.happened.pop("invocations"),
    } | {f"- {what}": count for what, count in sorted(shop.happened.items())} | {
        "- told to stop when it went on": shop.zombies.stopped
    }


def print_columns(columns):
    names, faults, outcomes = zip(*columns)
    print(f"{'':52}" + "".join(f"{name:>16}" for name in names))
    for fault in faults[0]:
        what = books.FAULTS.get(fault, fault)
        print(f"{what:52}" + "".join(f"{column[fault]:16}" for column in faults))
    print()
    for what in dict.fromkeys(what for column in outcomes for what in column):
        print(f"{what:52}" + "".join(f"{column.get(what, 0):16}" for column in outcomes))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--functions", choices=SANDBOXES, default="python")
    options.add_argument("--sandbox", help="the command that runs functions, if another")
    options.add_argument("--orders", type=int, default=60)
    options.add_argument("--seed", type=int, default=1, help="chooses orders and accidents")
    options.add_argument("--redis", default="redis-server", help="its program")
    options.add_argument("--aft", default="aft", help="its program")
    chosen = options.parse_args()
    command = shlex.split(chosen.sandbox or "") or SANDBOXES[chosen.functions]
    print(f"{chosen.orders} orders, functions in {chosen.functions}, seed {chosen.seed}\n")
    programs = (chosen.redis, chosen.aft)
    columns = [run(program, command, chosen.orders, chosen.seed) for program in programs]
    print_columns(columns)
    _, faults, _ = columns[1]
    raise SystemExit(any(faults.values()))


if __name__ == "__main__":
    main()
