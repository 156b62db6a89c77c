#!/usr/bin/python3
"""Notices under abuse, in the bench's world: one state floods, one recipient never fetches, one watcher never reads; each
meets its limit with a clear answer, nothing that was stored is lost, and the others are served meanwhile."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import wire  # noqa: E402
from harness import BUILD, SLOW  # noqa: E402
from ports import free_port  # noqa: E402

POST, FEED, GET_NOTICE, WATCH = 9, 10, 11, 12  # Request.body and, for the first four, Response.body
QUOTA, TECHNICAL = 20, 1
PATIENCE = 20 * SLOW
UNDER_WAY = 16
TRIES = 6  # of what others on the machine may disturb
ELSEWHERE = 0.002 * SLOW  # what a lookup waits for cores that three programs share


class Daemon:
    """pocd over a fresh world of five states, with settings of its own."""

    def __init__(self, notices=300, alerts=30, rounds=1, **settings):
        self.folder = os.path.join(tempfile.mkdtemp(prefix="pocd-abuse-"), "world")
        self.port = free_port()
        words = {"states": 5, "notices": notices, "alerts": alerts, "rounds": rounds, "port": self.port}
        subprocess.run([f"{BUILD}/tests/bench/world", self.folder, *(word for key, value in words.items()
                                                                     for word in (f"--{key}", str(value)))],
                       check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE * 3)
        with open(f"{self.folder}/pocd.conf", encoding="ascii") as file:
            conf = file.read()
        for name, value in settings.items():
            section, key = name.split("__")
            if re.search(rf"^{key} = ", conf, re.M):
                conf = re.sub(rf"^{key} = .*$", f"{key} = {value}", conf, flags=re.M)
            else:
                conf = conf.replace(f"[{section}]\n", f"[{section}]\n{key} = {value}\n")
        with open(f"{self.folder}/pocd.conf", "w", encoding="ascii") as file:
            file.write(conf)

    def __enter__(self):
        self.process = subprocess.Popen([f"{BUILD}/pocd/pocd", "-c", f"{self.folder}/pocd.conf"], stdout=subprocess.PIPE,
                                        text=True)
        assert "ready" in self.process.stdout.readline()
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        shutil.rmtree(os.path.dirname(self.folder))
        assert status == 0, status

    def client(self, clients, line=0, receive_buffer=None):
        """A greeted client: line N of posters.txt, watchers.txt or clients.txt."""
        with open(f"{self.folder}/{clients}.txt", encoding="ascii") as file:
            state, cert, key = file.read().splitlines()[line].split()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["poc/1"])
        context.load_cert_chain(f"{self.folder}/{cert}", f"{self.folder}/{key}")
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", self.port))
        client = wire.Client(context.wrap_socket(raw))
        with open(f"{self.folder}/directory.id", "rb") as file:
            answer = client.call(wire.HELLO, wire.hello(file.read(), state))
        assert answer.kind == wire.HELLO_ANSWER, answer.text
        return client

    def frames(self, name):
        """The bodies of the Post frames in a file, their ids left out."""
        with open(f"{self.folder}/{name}", "rb") as file:
            data = file.read()
        at, frames = 0, []
        while at < len(data):
            size = struct.unpack_from(">I", data, at)[0]
            frames.append(data[at + 9:at + 4 + size])  # after the header and the id's field
            at += 4 + size
        return frames


def post(client, frames):
    """Posts all, a few at a time; answers in the frames' order."""
    answers, sent = {}, 0
    while len(answers) < len(frames):
        while sent < len(frames) and sent - len(answers) < UNDER_WAY:
            client.send(wire.frame(b"\x0d" + struct.pack("<I", sent + 1) + frames[sent]))
            sent += 1
        answer = client.answer()
        answers[answer.id - 1] = answer
    return [answers[i] for i in range(len(frames))]


def desk(place):
    return wire.field(1, place) + wire.field(2, TECHNICAL)


def feed(client, place):
    """All entries of a desk: the bytes of each."""
    after, entries = 0, []
    while True:
        page = [value for number, value in wire.decode(client.call(FEED, desk(place) + wire.field(3, after)).body) if number == 1]
        if not page:
            return entries
        entries += page
        after = dict(wire.decode(page[-1]))[1]


def envelope(frame):
    """The header envelope within a Post frame."""
    return dict(wire.decode(dict(wire.decode(b"\x0d\1\0\0\0" + frame))[POST]))[1]


def received(client, place, frames):
    """Which of the frames stand in a desk's feed, as their numbers in the feed's order."""
    numbers = {envelope(frame): i for i, frame in enumerate(frames)}
    found = []
    for entry in feed(client, place):
        found += [numbers[value] for _, value in wire.decode(entry) if isinstance(value, bytes) and value in numbers]
    return found


@contextlib.contextmanager
def load(daemon, mode, *words, seconds=1):
    """The load generator at work: yields what reads its figures."""
    command = [f"{BUILD}/tests/bench/load", mode, "--server", f"127.0.0.1:{daemon.port}", "--world", daemon.folder,
               "--seconds", str(seconds), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        yield lambda: json.loads(process.stdout.readline())
        process.stdin.close()
    assert process.returncode == 0


def store_all(daemon, file):
    """Stores a file's notices; how many, and in how many seconds."""
    with load(daemon, "post", "--connections", "8", "--outstanding", "8", "--frames", f"{daemon.folder}/{file}") as figures:
        result = figures()
        return result["answers"], result["seconds"]


def p99(daemon):
    """Of lookups at a fixed offered rate, in seconds, each from when it was due."""
    with load(daemon, "lookup", "--connections", "8", "--outstanding", "8", "--rate", "1000", seconds=2) as figures:
        return figures()["p99_us"] / 1e6


class Abuse(unittest.TestCase):
    def test_flood(self):
        """A state that sends on and on meets its quota with a clear answer; whoever looks up does not feel it."""
        with Daemon(notices__per_hour=100) as daemon, daemon.client("posters") as poster:
            frames = daemon.frames("notices-1")
            answers = post(poster, frames)
            stored = sum(answer.kind == POST for answer in answers)
            self.assertIn(stored, (100, 101, 102))  # the hour's share comes back evenly
            for answer in answers[stored + 5:]:
                self.assertEqual((answer.kind, answer.code), (wire.ERROR, QUOTA))
                self.assertEqual(answer.text, "AA has sent as many notices as it may in an hour")
                fields = dict(wire.decode(answer.body))
                self.assertEqual(fields.get(3), 1, "may be sent again")
                self.assertGreater(fields.get(4, 0), 1000, "but not at once")
            repeated = post(poster, frames[:10])
            self.assertEqual([answer.kind for answer in repeated], [POST] * 10, "what is stored costs no quota again")
            for attempt in range(1, TRIES + 1):
                alone = p99(daemon)
                with load(daemon, "flood", "--connections", "8", "--outstanding", "16", "--frames", f"{daemon.folder}/notices-1",
                          seconds=2) as figures:
                    beside, refused = p99(daemon), figures()["refused"]
                self.assertGreater(refused, 1000 / SLOW, "no flood")
                if beside <= 2 * alone + ELSEWHERE:
                    break
                self.assertLess(attempt, TRIES, f"p99 alone {alone * 1e3:.2f} ms, beside {refused} refused {beside * 1e3:.2f} ms")

    def test_absent_recipient(self):
        """Bodies that nobody fetches fill the backlog between two states; all others go on, and fetching makes room."""
        with Daemon(alerts=90, notices__backlog="50K") as daemon, daemon.client("posters") as poster, \
                daemon.client("watchers") as recipient:
            to_one = daemon.frames("alerts")
            answers = post(poster, to_one)
            stored = sum(answer.kind == POST for answer in answers)
            self.assertTrue(10 < stored < len(answers), stored)
            self.assertEqual([answer.kind for answer in answers], [POST] * stored + [wire.ERROR] * (len(answers) - stored))
            self.assertEqual(answers[-1].code, QUOTA)
            self.assertEqual(answers[-1].text, f"AB has not fetched {stored} notices of AA yet: no more until it does")
            others = post(poster, daemon.frames("notices-1")[1:4])
            self.assertEqual([answer.kind for answer in others], [POST] * 3, [answer.text for answer in others])
            self.assertEqual(received(recipient, "AB", to_one), list(range(stored)))
            for answer in answers[:stored]:
                body = wire.field(1, dict(wire.decode(answer.body))[1]) + wire.field(2, "AB") + wire.field(3, TECHNICAL)
                self.assertEqual(recipient.call(GET_NOTICE, body + wire.field(4, 1)).kind, 11)
            end = time.monotonic() + PATIENCE
            while (again := post(poster, to_one[stored:stored + 1])[0]).kind != POST and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(again.kind, POST, again.text)

    def test_ten_thousand_for_one(self):
        """What nobody fetches costs the others nothing: their notices and lookups go as beside a daemon that keeps none."""
        with Daemon(notices=1000, alerts=10000, rounds=TRIES) as full, Daemon(notices=1000, rounds=TRIES) as empty:
            self.assertEqual(store_all(full, "alerts")[0], 10000)
            with full.client("watchers") as recipient:
                body = recipient.call(FEED, desk("AB") + wire.field(3, 9999)).body
                self.assertEqual(sum(number == 1 for number, _ in wire.decode(body)), 1, "all wait at its desk")
            for n in range(1, TRIES + 1):
                taken = [store_all(daemon, f"notices-{n}")[1] for daemon in (full, empty)]
                lookups = [p99(daemon) for daemon in (full, empty)]
                if taken[0] <= 1.5 * taken[1] and lookups[0] <= 2 * lookups[1] + ELSEWHERE:
                    break
                self.assertLess(n, TRIES, f"seconds for 1,000 notices {taken}, lookups' p99 {lookups}")

    def test_watcher_that_does_not_read(self):
        """It is cut off; notices are stored all the same, and all stand in its feed in order when it comes back."""
        with Daemon(limits__frame_time="1s", limits__idle_time="1s") as daemon, daemon.client("posters") as poster:
            to_one = daemon.frames("alerts")
            deaf = daemon.client("watchers", receive_buffer=4096)
            self.assertEqual(deaf.call(WATCH, desk("AB")).kind, 12)
            lookups = b"".join(wire.frame(wire.request(n, wire.LOOKUP, wire.lookup("AC"))) for n in range(1, 501))
            deaf.connection.settimeout(0.5)
            with self.assertRaises((TimeoutError, ssl.SSLWantWriteError, wire.Closed)):
                while True:
                    deaf.send(lookups)
            answers = post(poster, to_one)
            self.assertEqual([answer.kind for answer in answers], [POST] * len(to_one))
            end, tries = time.monotonic() + PATIENCE, 0
            while tries >= 0 and time.monotonic() < end:
                time.sleep(0.5)
                with open(f"/proc/{daemon.process.pid}/net/tcp", encoding="ascii") as file:
                    local = f"{deaf.connection.getsockname()[1]:04X}"
                    mine = [line.split() for line in file if line.split()[2].endswith(":" + local)]
                tries = -1 if not mine or mine[0][3] != "01" else tries + 1
            self.assertEqual(tries, -1, "the server never let go of it")
            deaf.close()
            with daemon.client("watchers") as back:
                self.assertEqual(received(back, "AB", to_one), list(range(len(to_one))))


if __name__ == "__main__":
    unittest.main(verbosity=2)
