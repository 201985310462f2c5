"""A platform for functions, as unkind as Lambda may be: it delivers every order at least once, some twice
at the same time or again when all is over; functions crash, hang and are killed, or hang and go on while
their retry runs; what fails is invoked three times, and then given up. All of it is chosen by a seed; in
which order threads and processes come to their turn is not."""

import collections
import concurrent.futures
import json
import random
import subprocess
import threading
import time

import redis

FUNCTIONS = ("reserve", "charge", "write")
WORKERS = 4
# How often a function is invoked that does not answer, as Lambda does it.
INVOCATIONS = 3
# An accident in so many of the invocations, but not for ever.
ACCIDENTS = 0.5
ACCIDENTS_IN_A_ROW = 4
ACCIDENT_AT_MAX = 7
# An order that often is begun again has lost its way.
BEGINNINGS_MAX = 60
# How many orders an auditor looks at, and how long it takes to look again.
LOOK_MAX = 6
LOOK_PAUSE_S = 0.01


class Failed(Exception):
    """An invocation that has no answer."""


class GivenUp(Exception):
    """Nobody tries again."""


class Refused(Exception):
    """By aft: the order has to be begun again."""


class Plain:
    """Where functions work on the server itself: there is nothing to begin and nothing to end."""

    def __init__(self, host, port):
        self.url = f"redis://{host}:{port}"

    def begin(self, order, function, after):
        return self.url, None, False

    def end(self, url, answer, last):
        pass

    def give_up(self, url):
        pass

    def begin_look(self):
        return self.url

    def end_look(self, url):
        pass


class Transactions:
    """aft: an order is a request, its functions are the steps; what they get is a URL with a token."""

    def __init__(self, host, port):
        self.where = f"{host}:{port}"
        self.url = f"redis://{self.where}"
        self.db = redis.Redis(host, port, decode_responses=True)

    def begin(self, order, function, after):
        """The URL; the answer, and whether that is all, where it is known already."""
        words = ["REQUEST", f"order:{order}", "STEP", function]
        token, state, result = self._begin(*words, *(["AFTER", after] if after else []))
        if state == "begun":
            return self._inside(token), None, False
        return None, json.loads(result), state == "committed"

    def end(self, url, answer, last):
        command = "AFT.COMMIT" if last else "AFT.DONE"
        self._say(command, url, "RESULT", json.dumps(answer))

    def give_up(self, url):
        self._say("AFT.ABORT", url)

    def begin_look(self):
        return self._inside(self._begin()[0])

    def end_look(self, url):
        self._say("AFT.ABORT", url)

    def _begin(self, *words):
        # The connection is for the next one, too.
        both = self.db.pipeline(transaction=False)
        both.execute_command("AFT.BEGIN", *words)
        both.execute_command("AFT.LEAVE")
        began, _ = both.execute(raise_on_error=False)
        if isinstance(began, redis.ResponseError):
            raise Refused(str(began))
        return began

    def _say(self, command, url, *words):
        token = url.split("~")[1].split(":")[0]
        try:
            self.db.execute_command(command, token, *words)
        except redis.ResponseError as error:
            raise Refused(str(error)) from error

    def _inside(self, token):
        return f"redis://default~{token}:x@{self.where}"


class Sandbox:
    """A warm process that runs one function at a time."""

    def __init__(self, command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, **pipes)

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self):
        """`None` when it is dead."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self):
        with self.process:
            self.process.kill()


class Sandboxes:
    """Those that are free; there is always one more."""

    def __init__(self, command):
        self.command, self.free = command, collections.deque()

    def take(self):
        try:
            return self.free.pop()
        except IndexError:
            return Sandbox(self.command)

    def give_back(self, sandbox):
        self.free.append(sandbox)

    def close(self):
        while self.free:
            self.free.pop().end()


class Zombies:
    """First attempts that hang, until they go on: while their retry runs, or after it."""

    def __init__(self, sandboxes):
        self.sandboxes, self.lock = sandboxes, threading.Lock()
        self.waiting, self.walking, self.stopped = [], [], 0

    def add(self, order, function, when, sandbox):
        with self.lock:
            self.waiting.append(((order, function, when), sandbox))

    def go_on(self, order, *what):
        """Those of this order, of a function and moment or all."""
        with self.lock:
            chosen = [one for one in self.waiting if one[0][: 1 + len(what)] == (order, *what)]
            self.waiting = [one for one in self.waiting if one not in chosen]
            threads = [threading.Thread(target=self._walk, args=one[1:]) for one in chosen]
            self.walking += threads
        for thread in threads:
            thread.start()

    def _walk(self, sandbox):
        sandbox.send("go on")
        said = sandbox.receive()  # nobody else waits for its answer
        with self.lock:
            self.stopped += "error" in said
        self.sandboxes.give_back(sandbox)

    def wait(self):
        for thread in self.walking:
            thread.join()


class Runner:
    """One server under all of it."""

    def __init__(self, store, command, seed):
        self.store, self.seed, self.accidents = store, seed, ACCIDENTS
        self.sandboxes = Sandboxes(command)
        self.zombies = Zombies(self.sandboxes)
        self.under_way = collections.Counter()
        self.happened = collections.Counter()
        self.answers = collections.defaultdict(list)
        self.looks = []

    def run(self, orders):
        """Delivers all, to the last zombie."""
        done = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(WORKERS + 1) as threads:
            auditor = threads.submit(self._audit, done)
            try:
                deliveries = enumerate(self.deliveries(orders))
                futures = [threads.submit(self._deliver, *delivery) for delivery in deliveries]
                for future in futures:
                    future.result()
            finally:
                done.set()
            auditor.result()
        self.zombies.wait()

    def run_again(self, orders):
        """Those that were given up, once more and without an accident."""
        self.accidents = 0
        for order in orders:
            if self.answers[order["id"]][-1] is None:
                self._deliver("again", order)

    def close(self):
        self.sandboxes.close()

    def deliveries(self, orders):
        """Each once, some twice in a row, which is at the same time, and some once more at the end."""
        chance = random.Random(f"{self.seed} deliveries")
        first = [order for order in orders for _ in range(1 + (chance.random() < 0.25))]
        return first + [order for order in orders if chance.random() < 0.2]

    def accident(self, order, delivery, function, number):
        """What happens to an invocation, and when one that hangs goes on."""
        chance = random.Random(f"{self.seed} {order} {delivery} {function} {number}")
        if number >= ACCIDENTS_IN_A_ROW or chance.random() >= self.accidents:
            return None, None
        then = chance.choice(["crash", "killed", "during", "after"])
        kind = "crash" if then == "crash" else "hang"
        return {"kind": kind, "at": chance.randint(1, ACCIDENT_AT_MAX)}, then

    def _deliver(self, delivery, order):
        """Until it is answered, or given up."""
        name = order["id"]
        self.happened["deliveries"] += 1
        self.under_way[name] += 1
        chance = random.Random(f"{self.seed} {name} {delivery}")
        invoked = collections.Counter()
        for beginning in range(BEGINNINGS_MAX):
            try:
                answer = self._work(order, delivery, invoked)
                break
            except GivenUp:
                answer = None
                break
            except Refused as refused:
                self.happened[f"refused with {str(refused).split(' ')[0]}"] += 1
                # Of two that take each other's place one has to be the slower.
                time.sleep(chance.uniform(0, 0.005 * 2 ** min(beginning, 6)))
        else:
            raise Refused(f"order {name}, {BEGINNINGS_MAX} times")
        self.answers[name].append(answer)
        self.zombies.go_on(name)
        self.under_way[name] -= 1

    def _work(self, order, delivery, invoked):
        """One function after the other."""
        after = None
        for function in FUNCTIONS:
            answer, all_done = self._step(order, delivery, invoked, function, after)
            if all_done:
                return answer
            after = function

    def _step(self, order, delivery, invoked, function, after):
        """Its answer, and whether that is the order's."""
        for _ in range(INVOCATIONS):
            url, answer, all_done = self.store.begin(order["id"], function, after)
            if not url:
                return answer, all_done
            number = invoked[function]
            invoked[function] += 1
            try:
                accident = self.accident(order["id"], delivery, function, number)
                answer = self._invoke(function, url, order, *accident)
            except Failed as failed:
                self.happened[str(failed)] += 1
                continue
            all_done = function == FUNCTIONS[-1] or answer == "out of stock"
            self.store.end(url, answer, all_done)
            return answer, all_done
        self.store.give_up(url)
        raise GivenUp

    def _invoke(self, function, url, order, accident, then):
        sandbox = self.sandboxes.take()
        self.happened["invocations"] += 1
        sandbox.send({"function": function, "url": url, "event": order, "accident": accident})
        self.zombies.go_on(order["id"], function, "during")
        said = sandbox.receive()
        self.zombies.go_on(order["id"], function, "after")
        if said is None:
            sandbox.end()
            raise Failed("crashed")
        if "hangs" in said and then == "killed":
            sandbox.end()
            raise Failed("hung and killed")
        if "hangs" in said:
            self.zombies.add(order["id"], function, then, sandbox)
            raise Failed("hung and went on later")
        self.sandboxes.give_back(sandbox)
        if "error" in said:
            raise Refused(said["error"])
        return said["answer"]

    def _audit(self, done):
        sandbox = self.sandboxes.take()
        while not done.wait(LOOK_PAUSE_S):
            orders = [order for order, count in list(self.under_way.items()) if count][:LOOK_MAX]
            url = self.store.begin_look()
            sandbox.send({"function": "look", "url": url, "event": orders, "accident": None})
            self.looks.append(list(zip(orders, sandbox.receive()["answer"])))
            self.store.end_look(url)
        self.sandboxes.give_back(sandbox)
