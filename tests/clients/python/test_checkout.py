"""The shop of examples/checkout: its functions, in CHECKOUT_FUNCTIONS, on redis-server and on aft, and
the inspector of its books, who is given faults that he has to find."""

import collections
import json
import os
import shlex
import subprocess
import sys
import unittest

import books
import closing
import redis
import shop

AFT = os.environ["AFT_BINARY"]
COMMAND = os.environ["CHECKOUT_FUNCTIONS"].split("\x1f")
ORDERS = 40
# On Redis it is luck what happens to go wrong: so many seeds, or fewer where all of it has.
SEEDS_ON_REDIS_MAX = 10
# By those faults alone; who is told something wrong has more luck.
EXPECTED = ("half", "doubled", "oversold", "astray", "torn")


class Checkout(unittest.TestCase):
    def test_on_aft_nothing_goes_wrong(self):
        _, faults, outcome = shop.run(AFT, COMMAND, ORDERS, seed=1)
        self.assertEqual(faults, dict.fromkeys([*books.FAULTS, shop.LEFT], 0))
        self.was_unkind(outcome)
        self.assertGreater(outcome["- told to stop when it went on"], 5)

    def test_on_plain_redis_all_of_it_does(self):
        faults = collections.Counter()
        for seed in range(1, SEEDS_ON_REDIS_MAX + 1):
            _, found, outcome = shop.run("redis-server", COMMAND, ORDERS, seed)
            self.was_unkind(outcome)
            faults.update(found)
            if all(faults[fault] for fault in EXPECTED):
                return
        self.fail(f"{SEEDS_ON_REDIS_MAX} seeds: {faults}")

    def was_unkind(self, outcome):
        for accident in ("crashed", "hung and killed", "hung and went on later"):
            self.assertGreater(outcome[f"- {accident}"], 5, accident)
        for what in ("orders accepted", "orders out of stock", "looks of the auditor"):
            self.assertGreater(outcome[what], 5, what)
        ends = ("orders accepted", "orders out of stock", "orders given up")
        self.assertEqual(sum(outcome[end] for end in ends), ORDERS)

    def test_both_columns_in_one_command(self):
        words = ["--orders", "6", "--aft", AFT, "--sandbox", shlex.join(COMMAND)]
        printed = subprocess.run(
            [sys.executable, "-B", shop.__file__, *words], capture_output=True, text=True, check=True
        ).stdout
        for text in [*books.FAULTS.values(), shop.LEFT]:
            self.assertRegex(printed, rf"(?m)^{text} +\d+ +0$")
        self.assertRegex(printed, r"redis \d.* aft \d")


class Books(unittest.TestCase):
    """Planted: each fault is found, and nothing else."""

    def setUp(self):
        served = shop.served(AFT)
        self.db = redis.Redis("127.0.0.1", served.__enter__(), decode_responses=True)
        self.addCleanup(served.__exit__, None, None, None)
        self.addCleanup(self.db.close)
        self.order = {"id": "1", "customer": "c1", "item": 0, "count": 2, "price": 20}
        books.open_shop(self.db, [self.order])
        self.answers = {"1": [{"accepted": "1", "balance": books.BALANCE - 20}]}
        self.looks = [[("1", [0, 0, 0])], [("1", [1, 1, 1])]]

    def sell(self):
        self.db.decrby("stock:0", 2)
        self.db.decrby("account:c1", 20)
        self.db.incrby("sold:0", 2)
        self.db.mset({"reserved:1": 2, "paid:1": 20, "order:1": json.dumps(self.order)})

    def find(self, **faults):
        found = books.close(self.db, [self.order], self.answers, self.looks)
        self.assertEqual({what: count for what, count in found.items() if count}, faults)

    def test_a_good_sale(self):
        self.sell()
        self.find()

    def test_a_good_refusal(self):
        self.answers["1"] = ["out of stock"]
        self.looks.clear()
        self.find(answers=1)  # there was enough
        self.db.set("stock:0", 1)
        self.find(astray=books.STOCK - 1)  # somebody else's fault

    def test_half_an_order(self):
        for part in ("reserved:1", "paid:1", "order:1"):
            with self.subTest(part):
                self.sell()
                self.db.delete(part)
                unknown = part == "order:1"  # its units are in no book
                self.looks.clear()
                self.find(half=1, **({"answers": 1, "astray": 4} if unknown else {}))
                self.setUp()

    def test_charged_twice(self):
        self.sell()
        self.db.decrby("account:c1", 20)
        self.find(doubled=1, answers=1)

    def test_sold_beyond_the_stock(self):
        self.sell()
        self.db.decrby("stock:0", 2)
        self.find(oversold=1, astray=2)

    def test_gone_astray(self):
        self.sell()
        self.db.incrby("sold:0", 2)
        self.find(astray=2)

    def test_wrong_answers(self):
        self.sell()
        self.answers["1"] += ["out of stock", None, {"accepted": "1", "balance": books.BALANCE}]
        self.find(answers=2)  # who was told nothing can't have been told something wrong

    def test_torn_looks(self):
        self.sell()
        self.looks += [[("1", [1, 0, 0])], [("2", [1, 0, 0]), ("1", [0, 1, 1])]]
        self.find(torn=2)
        self.looks = [[("2", [1, 0, 0])]]  # never whole: that is another fault
        self.find()


closing.run("checkout")
