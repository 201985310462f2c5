"""What an inspector finds in the shop when all is over. Functions have no part in it."""

import json

STOCK = 3
BALANCE = 1000


def open_shop(db, orders):
    """On an empty server. Each order has a customer of its own: what is missing there was paid for it."""
    for order in orders:
        db.mset({f"stock:{order['item']}": STOCK, f"sold:{order['item']}": 0})
        db.set(f"account:{order['customer']}", BALANCE)


def close(db, orders, answers, looks):
    """The faults, each of FAULTS: how many."""
    books = [Entry(db, order) for order in orders]
    faults = dict.fromkeys(FAULTS, 0)
    for entry in books:
        faults["half"] += not entry.is_whole()
        faults["doubled"] += max(0, entry.charges - 1)
        faults["answers"] += sum(
            not entry.explains(answer, db) for answer in answers[entry.order["id"]]
        )
    for item in {order["item"] for order in orders}:
        stock, sold = int(db.get(f"stock:{item}")), int(db.get(f"sold:{item}"))
        ordered = sum(entry.order["count"] for entry in books if entry.of(item))
        faults["oversold"] += max(0, -stock)
        faults["astray"] += abs(STOCK - stock - ordered) + abs(sold - ordered)
    whole = {entry.order["id"] for entry in books if entry.is_whole()}
    faults["torn"] = sum(is_torn(look, whole) for look in looks)
    return faults


FAULTS = {
    "half": "orders that are there by half",
    "doubled": "charges for what was paid already",
    "oversold": "units sold beyond the stock",
    "astray": "units that stock, sales and orders disagree on",
    "answers": "answers that the books don't bear out",
    "torn": "looks of the auditor that saw an order torn",
}


def is_torn(look, whole):
    """Whether it saw some parts of an order and not the others, which are there in the end."""
    return any(order in whole and 0 < sum(parts) < len(parts) for order, parts in look)


class Entry:
    """What there is of an order."""

    def __init__(self, db, order):
        self.order = order
        name = order["id"]
        self.reserved, self.paid = db.exists(f"reserved:{name}"), db.exists(f"paid:{name}")
        self.written = db.get(f"order:{name}")
        self.balance = int(db.get(f"account:{order['customer']}"))
        self.charges = (BALANCE - self.balance) // order["price"]

    def is_whole(self):
        parts = (self.reserved, self.paid, self.charges, self.written)
        return len({bool(part) for part in parts}) == 1

    def of(self, item):
        return self.written and self.order["item"] == item

    def explains(self, answer, db):
        """Whether a customer who was told so can be content; who was told nothing waits."""
        if answer is None:
            return True
        if answer == "out of stock":
            # Nobody brings goods: what is enough now was enough then.
            enough = int(db.get(f"stock:{self.order['item']}")) >= self.order["count"]
            return not (self.reserved or self.charges or self.written or enough)
        right = {"accepted": self.order["id"], "balance": self.balance}
        return answer == right and json.loads(self.written or "null") == self.order
