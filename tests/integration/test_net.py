"""Strangers, slow ones, liars and signals: the daemon answers or closes, stays up, and serves others meanwhile."""
import concurrent.futures
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import unittest

import wire
from harness import DATA, POC, POCADM, POCD, ROOT, SLOW, World, main, run
from ports import free_port

WORLD = None
SHORT = {"limits__handshake_time": f"{SLOW}s", "limits__frame_time": f"{SLOW}s", "limits__idle_time": f"{2 * SLOW}s"}


def setUpModule():
    global WORLD
    WORLD = World()
    unittest.addModuleCleanup(WORLD.close)


def hostile():
    """Every input of tests/data/hostile, and each file as one."""
    inputs = []
    folder = os.path.join(DATA, "hostile")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            whole = file.read()
        inputs.append(whole)
        for line in whole.split(b"\n"):
            inputs.append(bytes.fromhex(line.split(b"\t")[1].decode()) if name.endswith(".tsv") and line else line)
    return [data for data in inputs if data]


class Bystander(threading.Thread):
    """An honest client that looks up all the while: counts, and keeps the longest wait."""

    def __init__(self, user="xb-operator"):
        super().__init__()
        self.client, self.done = WORLD.client(user), threading.Event()
        self.answers, self.longest, self.failure = 0, 0.0, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *rest):
        self.done.set()
        self.join()
        self.client.close()
        if kind is None:
            assert self.failure is None, self.failure
            assert self.answers > 0 and self.longest < SLOW, (self.answers, self.longest)

    def run(self):
        try:
            while not self.done.wait(0.02):
                begun = time.monotonic()
                answer = self.client.call(wire.LOOKUP, wire.lookup("XA"))
                assert answer.kind == wire.PROOF, answer.text
                self.longest = max(self.longest, time.monotonic() - begun)
                self.answers += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = repr(error)


class NetCase(unittest.TestCase):
    def tearDown(self):
        self.assertTrue(WORLD.alive(), "pocd has died")
        with WORLD.client() as client:
            self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)


class Hostile(NetCase):
    def test_raw_before_tls(self):
        with Bystander():
            for data in hostile():
                with socket.create_connection(("127.0.0.1", WORLD.port), timeout=5 * SLOW) as raw:
                    try:
                        raw.sendall(data)
                        raw.shutdown(socket.SHUT_WR)
                        while raw.recv(4096):
                            pass
                    except OSError:
                        pass  # closed already

    def test_many_strangers(self):
        """Thousands that break off their handshake, one after the other, leave no memory behind."""
        before = WORLD.proc("status", "RssAnon")
        for number in range(3000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", WORLD.port)) as stranger:
                stranger.send(bytes(1 + number % 500))
        self.assertLess(WORLD.proc("status", "RssAnon") - before, 32 * 1024 * (12 if SLOW > 1 else 1))

    def test_raw_after_tls(self):
        context = WORLD.context("xa-reader")
        with Bystander():
            for data in hostile():
                with WORLD.client(greet=False, context=context) as client, contextlib.suppress(wire.Closed):
                    client.send(data)

    def test_frames(self):
        """A frame of nonsense is answered with an error, and the connection ends: before and after Hello."""
        context = WORLD.context("xa-reader")
        with Bystander():
            for number, data in enumerate(data for data in hostile() if len(data) < 65536):
                with WORLD.client(greet=number % 2 == 0, context=context) as client:
                    client.send(wire.frame(data))
                    answers = client.until_closed()
                    self.assertEqual([answer.kind for answer in answers], [wire.ERROR], data)

    def test_inside_requests(self):
        """Hostile bytes wherever a request has room for bytes: each is answered by its id, or the connection closes."""
        proof = WORLD.hello()
        bodies = [
            (wire.LOOKUP, lambda data: wire.field(1, data)),
            (wire.LOOKUP, lambda data: wire.field(1, "XA") + wire.element(3, data)),
            (wire.GET_ENVELOPES, lambda data: wire.element(1, data)),
            (wire.GET_HEAD, lambda data: wire.field(3, data)),
            (wire.SUBMIT, lambda data: wire.element(1, wire.field(1, data))),
            (wire.SUBMIT, lambda data: wire.element(1, wire.field(1, proof) + wire.element(2, data))),
            (wire.SUBMIT, lambda data: wire.element(1, wire.field(1, envelope(data)))),
            (wire.SUBMIT, lambda data: wire.element(1, wire.field(1, envelope(record_payload(data))) + wire.element(2, data))),
            (wire.HELLO, lambda data: wire.field(1, data) + wire.field(2, 1) + wire.field(3, "XA")),
            (wire.HELLO, lambda data: WORLD.hello()[:36] + wire.field(3, data) + wire.field(4, "x")),
        ]
        context = WORLD.context("xa-coordinator")
        inputs = [data for data in hostile() if len(data) < 65000]
        with Bystander():
            for kind, body in bodies:
                self.pour(context, kind, [body(data) for data in inputs])

    def pour(self, context, kind, bodies):
        """Sends them pipelined; where the server closes, goes on with the next one on a new connection."""
        at, greet = 0, kind != wire.HELLO
        while at < len(bodies):
            with WORLD.client("xa-coordinator", greet=greet, context=context) as client:
                batch = bodies[at:at + 50]
                with contextlib.suppress(wire.Closed):
                    client.send(b"".join(wire.frame(wire.request(1000 + i, kind, body)) for i, body in enumerate(batch)))
                answered = 0
                try:
                    while answered < len(batch):
                        answer = client.answer()
                        self.assertIn(answer.id, (1000 + answered, wire.NO_ID))
                        self.assertEqual(answer.kind, wire.ERROR if kind == wire.SUBMIT else answer.kind)
                        answered += 1
                except wire.Closed:
                    pass
                self.assertGreater(answered, 0)
                at += answered

    def test_costly_frames(self):
        """Frames made to be dear: deep, wide, many small submessages.  64 KiB of them take little time."""
        inner = b""
        for _ in range(12000):
            inner = wire.element(3, inner)[:60000]
        shapes = [wire.element(6, b"") * 20000, wire.element(6, wire.element(1, b"") * 30000), inner,
                  wire.element(5, wire.element(1, b"") * 30000), b"\x30\x01" * 30000, b"\xff" * 65000, b"\x0b" * 65000]
        before = WORLD.cpu_seconds()
        with Bystander():
            for shape in shapes * 10:
                with WORLD.client() as client:
                    client.send(wire.frame((b"\x0d\x01\0\0\0" + shape)[:65536]))
                    self.assertEqual(client.answer().kind, wire.ERROR)
        self.assertLess(WORLD.cpu_seconds() - before, 2 * SLOW)


def envelope(payload, kind="record"):
    """A well-formed Envelope with a signature by nobody."""
    signature = wire.field(1, bytes(64)) + wire.field(2, bytes(32))
    return wire.field(1, payload) + wire.field(2, f"application/vnd.pocd.{kind}.v1+protobuf") + wire.element(3, signature)


def record_payload(data):
    head = wire.field(1, bytes.fromhex(WORLD.setting("xa-reader", "directory", "id"))) + wire.field(2, "R/XA") + \
        wire.field(3, 2) + wire.field(4, b"\x01" * 32)
    return wire.element(1, head) + wire.field(2, 1700000000) + wire.field(3, 1700000000) + wire.element(5, wire.field(1, data))


REFUSED_WRITE = wire.element(1, wire.field(1, b"no envelope"))


class Frames(NetCase):
    def test_impossible_sizes(self):
        """Length 0, above the ceiling, above each request's own; from a stranger nothing above 64 KiB."""
        for size in (0, 1016 * 1024 + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            with WORLD.client() as client:
                client.send(struct.pack(">I", size))
                answers = client.until_closed()
                self.assertEqual([answer.code for answer in answers], [wire.MALFORMED], size)
        for size, kind in ((65537, wire.LOOKUP), (192 * 1024 + 1, wire.SUBMIT)):
            with WORLD.client() as client:
                client.send(struct.pack(">I", size) + b"\x0d\x01\0\0\0" + bytes([kind << 3 | 2]))
                self.assertEqual([answer.code for answer in client.until_closed()], [wire.MALFORMED])
        with WORLD.client(greet=False) as client:
            client.send(struct.pack(">I", 65537) + b"\x0d\x01\0\0\0" + bytes([wire.SUBMIT << 3 | 2]))
            self.assertEqual([answer.code for answer in client.until_closed()], [wire.MALFORMED])

    def test_log_is_not_flooded(self):
        """What any member can send at will makes a line a second, which counts."""
        context = WORLD.context("xa-reader")

        def malformed():
            with WORLD.client(context=context) as client:
                client.send(wire.frame(b"\xff" * 40))
                client.until_closed()
        time.sleep(1.1)
        malformed()  # its line counts what other tests sent
        since, begun = len(WORLD.log()), time.monotonic()
        for _ in range(20):
            malformed()
        seconds = time.monotonic() - begun
        time.sleep(1.1)
        malformed()
        counts = [int(n) for n in re.findall(r"request\.malformed .*count=(\d+)", WORLD.log()[since:])]
        self.assertEqual(sum(counts), 21)
        self.assertLessEqual(len(counts), seconds + 2)

    def test_cut_anywhere(self):
        """The client goes away within a frame, at every byte."""
        whole = wire.frame(wire.request(1, wire.LOOKUP, wire.lookup("XB")))
        context = WORLD.context("xa-reader")
        for cut in range(1, len(whole)):
            with WORLD.client(context=context) as client:
                client.send(whole[:cut])

    def test_byte_by_byte(self):
        """A frame in many pieces, and pieces that hold the end of one frame and the start of the next."""
        frames = b"".join(wire.frame(wire.request(number, wire.LOOKUP, wire.lookup("XB"))) for number in range(1, 41))
        for piece in (1, 3, 29, 30, 31):
            with WORLD.client() as client:
                for at in range(0, len(frames), piece):
                    client.send(frames[at:at + piece])
                self.assertEqual([client.answer().id for _ in range(40)], list(range(1, 41)))

    def test_large_submit(self):
        """192 KiB of a Submit are read, however they arrive; the answer is an error, the connection lives."""
        body = b"".join(wire.element(1, wire.field(1, bytes(60000))) for _ in range(3))
        with WORLD.client("xa-coordinator") as client:
            self.assertEqual(client.call(wire.SUBMIT, body).kind, wire.ERROR)
            self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XA")).kind, wire.PROOF)

    def test_pipelining(self):
        """Many requests of different kinds and one answer each, by its id."""
        dice = random.Random(1)
        requests = [(wire.LOOKUP, wire.lookup(place), wire.PROOF) for place in ("XA", "XB", "AD", "AE", "XZ")] + [
            (wire.LOOKUP, wire.lookup("not a place"), wire.ERROR), (wire.GET_HEAD, b"", wire.HEAD_ANSWER),
            (wire.GET_ENVELOPES, wire.element(1, b"K/XA"), wire.PROOF), (wire.CHANGES, b"", wire.CHANGES_ANSWER),
            (wire.SUBMIT, REFUSED_WRITE, wire.ERROR)]
        wanted = {}
        with WORLD.client() as client:
            numbers = dice.sample(range(1, 2**32 - 1), 300)
            out = b""
            for number in numbers:
                kind, body, answer = dice.choice(requests)
                wanted[number] = answer
                out += wire.frame(wire.request(number, kind, body))
            client.send(out)
            for _ in numbers:
                answer = client.answer()
                self.assertEqual(answer.kind, wanted.pop(answer.id), answer.text)
        self.assertEqual(wanted, {})

    def test_gone_while_in_line(self):
        """Writes wait for their turn; clients that went away meanwhile do no harm, and the others are answered."""
        writes = b"".join(wire.frame(wire.request(number, wire.SUBMIT, REFUSED_WRITE)) for number in range(1, 17))
        context = WORLD.context("xa-coordinator")
        with WORLD.client("xa-coordinator") as staying:
            for _ in range(50):
                with WORLD.client(context=context) as client:
                    client.send(writes)
                staying.send(writes)
                self.assertEqual([staying.answer().id for _ in range(16)], list(range(1, 17)))

    def test_hello_refusals(self):
        right = WORLD.hello()
        cases = [(wire.hello(b"\x01" * 32, "XA"), wire.DIRECTORY), (WORLD.hello(protocol=2), wire.PROTOCOL),
                 (WORLD.hello(protocol=0), None), (wire.hello(right[2:34], ""), None), (wire.hello(right[2:34], "xa"), None),
                 (wire.hello(right[2:33], "XA"), None), (WORLD.hello(software="x" * 65), None)]
        for body, code in cases:
            with WORLD.client(greet=False) as client:
                client.ask(wire.HELLO, body)
                answers = client.until_closed()
                self.assertEqual([answer.kind for answer in answers], [wire.ERROR], body)
                self.assertIn(code, (None, answers[0].code))
        with WORLD.client(greet=False) as client:
            client.ask(wire.LOOKUP, wire.lookup("XB"))
            self.assertEqual([answer.code for answer in client.until_closed()], [wire.MALFORMED])
        with WORLD.client() as client:
            client.ask(wire.HELLO, right)
            self.assertEqual([answer.code for answer in client.until_closed()], [wire.MALFORMED])


class Tls(NetCase):
    def refused(self, context):
        """The handshake fails, or the first read does (TLS 1.3: the client is done before the server has judged)."""
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with WORLD.connect(context=context) as connection:
                connection.sendall(wire.frame(wire.request(1, wire.HELLO, WORLD.hello())))
                if not connection.recv(1):
                    raise ConnectionError("closed")

    def test_refused(self):
        old = WORLD.context("xa-reader")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused(old)
        self.refused(WORLD.context(None))
        other = WORLD.context("xa-reader")
        other.set_alpn_protocols(["http/1.1"])
        self.refused(other)
        silent = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # sends no ALPN extension at all
        silent.check_hostname = False
        silent.verify_mode = ssl.CERT_NONE
        silent.load_cert_chain(*WORLD.key_files("xa-reader"))
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            WORLD.connect(context=silent).close()

    def own_key(self, name, *options):
        files = [os.path.join(WORLD.root, name + end) for end in (".crt", ".key")]
        run("openssl", "req", "-x509", "-nodes", "-subj", "/CN=" + name, "-days", "2", "-out", files[0], "-keyout", files[1],
            *options)
        context = WORLD.context()
        context.load_cert_chain(*files)
        return context

    def test_unknown_keys(self):
        """A key that no U lists is nobody: it may not look up.  (Kinds of certificates: test_certs.py.)"""
        stranger = self.own_key("stranger", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        with WORLD.client(greet=False, context=stranger) as client:
            answer = client.call(wire.HELLO, WORLD.hello())
            if answer.kind == wire.HELLO_ANSWER:
                self.assertNotIn(3, dict(wire.decode(answer.body)))
                self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).code, wire.DENIED)
        # the key of XA's reader is nobody in XB
        with WORLD.client(greet=False) as client:
            answer = client.call(wire.HELLO, WORLD.hello("xb-reader"))
            self.assertNotIn(3, dict(wire.decode(answer.body)))
            self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).code, wire.DENIED)

    def test_no_tickets(self):
        with WORLD.client() as client:
            client.call(wire.LOOKUP, wire.lookup("XB"))
            self.assertEqual(client.connection.version(), "TLSv1.3")
            session = client.connection.session
            self.assertFalse(session is not None and session.has_ticket)


class Deadlines(NetCase):
    def wait_for_end(self, connection, trickle=b"", patience=8 * SLOW):
        """Sends a byte of trickle every 0.2 s until the server closes; returns after how many seconds that was."""
        begun = time.monotonic()
        connection.settimeout(0.2)
        at = 0
        with connection:
            while time.monotonic() - begun < patience:
                try:
                    if at < len(trickle):
                        connection.sendall(trickle[at:at + 1])
                        at += 1
                    if not connection.recv(4096):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - begun

    def test_deadlines(self):
        """Absolute: neither silence nor single bytes hold a connection beyond its time."""
        frame = wire.frame(wire.request(1, wire.SUBMIT, bytes(1000)))
        with WORLD.settings(**SHORT), concurrent.futures.ThreadPoolExecutor() as pool:
            def raw():
                return socket.create_connection(("127.0.0.1", WORLD.port))
            cases = {
                "silent": (raw(), b"", 1), "handshake in trickles": (raw(), client_hello(), 1),
                "no hello": (WORLD.connect(), b"", 2), "idle": (WORLD.client().connection, b"", 2),
                "frame in trickles": (WORLD.client().connection, frame, 1),
                "partial frame": (WORLD.client().connection, frame[:1], 1),
            }
            ends = {name: (pool.submit(self.wait_for_end, *case[:2]), case[2]) for name, case in cases.items()}
            for name, (end, limit) in ends.items():
                with self.subTest(name):
                    seconds = end.result()
                    self.assertGreaterEqual(seconds, limit * SLOW - 0.4)  # counted in ticks of 0.25 s
                    self.assertLess(seconds, (limit + 1) * SLOW + 0.5)

    def test_busy_connection_stays(self):
        """Requests in time keep a connection beyond the idle deadline; its lifetime ends it."""
        with WORLD.settings(**SHORT, limits__lifetime=f"{4 * SLOW}s"), WORLD.client() as client:
            begun = time.monotonic()
            with self.assertRaises(wire.Closed):
                while time.monotonic() - begun < 10 * SLOW:
                    client.call(wire.LOOKUP, wire.lookup("XB"))
                    time.sleep(0.1)
            self.assertGreater(time.monotonic() - begun, 3.5 * SLOW)

    def test_strangers_leave(self):
        """Whose key nobody lists may ask for what proves the directory, but keeps no place from those who are listed."""
        with WORLD.settings(**SHORT), WORLD.client(greet=False) as client:
            begun = time.monotonic()
            answer = client.call(wire.HELLO, WORLD.hello("xb-reader"))
            self.assertNotIn(3, dict(wire.decode(answer.body)))
            with self.assertRaises(wire.Closed):
                while time.monotonic() - begun < 20 * SLOW:
                    client.call(wire.GET_HEAD, b"")
                    time.sleep(0.1)
            self.assertGreater(time.monotonic() - begun, 5.5 * SLOW)
            self.assertLess(time.monotonic() - begun, 8 * SLOW)


def client_hello():
    """A real ClientHello, as bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        WORLD.context().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


class SlowReaders(NetCase):
    def slow_connection(self):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(5 * SLOW)
        raw.connect(("127.0.0.1", WORLD.port))
        client = wire.Client(WORLD.context("xa-reader").wrap_socket(raw))
        self.assertEqual(client.call(wire.HELLO, WORLD.hello()).kind, wire.HELLO_ANSWER)
        return client

    def test_backpressure(self):
        """Ten clients that ask on and on and read nothing: the server stops reading them, its memory stays bounded, others are
        served; and whoever then reads gets every answer."""
        before = WORLD.proc("status", "RssAnon")
        with Bystander(), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.slow_connection()) for _ in range(10)]
            asked = [0] * len(clients)
            for client in clients:
                client.connection.settimeout(0.5)
            for at, client in enumerate(clients):
                with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
                    while asked[at] < 200000:
                        batch = b"".join(wire.frame(wire.request(asked[at] + i + 1, wire.LOOKUP, wire.lookup("XB")))
                                         for i in range(500))
                        client.send(batch)
                        asked[at] += 500
                self.assertLess(asked[at], 200000, "the server never stopped reading")
            grown = WORLD.proc("status", "RssAnon") - before
            # sanitizers add shadow memory and keep what was freed for a while
            self.assertLess(grown, (len(clients) * 1024 + 4096) * (12 if SLOW > 1 else 1))
            # a write that was cut off cannot go on here: of one connection, the whole batches' answers are read
            first = clients[0]
            first.connection.settimeout(5 * SLOW)
            for number in range(asked[0]):
                self.assertEqual(first.answer().id, number + 1)

    def test_burst(self):
        """An honest client with a narrow line asks a lot at once and reads everything."""
        with self.slow_connection() as client:
            client.send(b"".join(wire.frame(wire.request(number, wire.LOOKUP, wire.lookup("XB")))
                                 for number in range(1, 2001)))
            for number in range(1, 2001):
                self.assertEqual(client.answer().id, number)


class Descriptors(unittest.TestCase):
    def test_64_descriptors(self):
        """More connections than descriptors: who is in is served, nothing spins, and there is room again afterwards."""
        WORLD.stop()
        WORLD.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        try:
            self.crowd()
        finally:
            self.assertEqual(WORLD.stop(), 0)
            WORLD.start()

    def crowd(self):
        with WORLD.client() as inside:
            crowd = []
            for _ in range(150):
                raw = socket.socket()
                raw.setblocking(False)
                raw.connect_ex(("127.0.0.1", WORLD.port))
                crowd.append(raw)
            WORLD.wait_log("listener.descriptors")
            before = WORLD.cpu_seconds()
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                self.assertEqual(inside.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
                time.sleep(0.05)
            self.assertLess(WORLD.cpu_seconds() - before, 0.5 * SLOW)
            self.assertLess(WORLD.log().count("listener.descriptors"), 200)
            for raw in crowd:
                raw.close()
            end = time.monotonic() + 5 * SLOW
            while True:
                try:
                    with WORLD.client() as client:
                        self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
                    break
                except (OSError, wire.Closed):
                    self.assertLess(time.monotonic(), end, "no room after the crowd has gone")
                    time.sleep(0.1)

    def test_connection_ceiling(self):
        with WORLD.settings(limits__connections_per_address="5"):
            with contextlib.ExitStack() as stack:
                inside = [stack.enter_context(WORLD.client()) for _ in range(5)]
                since = len(WORLD.log())
                for _ in range(20):
                    with self.assertRaises((OSError, wire.Closed)):
                        WORLD.client().close()
                WORLD.wait_log('reason="too many connections" count=1', since)
                self.assertLess(WORLD.log().count("connection.refused", since), 20)  # one line a second
                for client in inside:
                    self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)


class Signals(NetCase):
    def new_certificate(self):
        """Another certificate of the same server key."""
        run("openssl", "req", "-x509", "-new", "-key", WORLD.path("keys", "server.key"), "-subj", "/CN=renewed", "-days", "5",
            "-out", WORLD.path("server-new.crt"))
        return WORLD.path("server-new.crt")

    def peer_certificate(self):
        with WORLD.connect() as connection:
            return connection.getpeercert(binary_form=True)

    def test_reload(self):
        """SIGHUP takes a new certificate; no connection is dropped."""
        before = self.peer_certificate()
        with WORLD.client() as client, Bystander():
            with WORLD.settings(server__cert=self.new_certificate()):
                self.assertNotEqual(self.peer_certificate(), before)
                self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
                WORLD.poc("xa-reader", "lookup", "XB")
            self.assertEqual(self.peer_certificate(), before)
            self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)

    def test_reload_says_what_it_leaves(self):
        with WORLD.settings(reload=False, limits__idle_time="299s"):
            WORLD.reload(expect="restart_needed=no")
            with WORLD.settings(reload=False, log__heartbeat="9m"):
                WORLD.reload(expect="restart_needed=yes")
        WORLD.reload(expect="restart_needed=no")

    def test_bad_reload(self):
        """What cannot be used changes nothing, and the log says why."""
        before = self.peer_certificate()
        bad = WORLD.path("bad.crt")
        with open(bad, "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        cases = [({"server__cert": bad}, "no certificate"), ({"server__cert": WORLD.path("nothing.crt")}, "nothing.crt"),
                 ({"server__key": WORLD.path("keys", "log.key")}, "does not belong"),
                 ({"limits__conections": "7"}, "conections"), ({"limits__idle_time": "1 week"}, "idle_time"),
                 ({"diagnostics__level": "x" * 300}, "too long")]
        with WORLD.client() as client, Bystander():
            for values, text in cases:
                with WORLD.settings(reload=False, **values):
                    since = len(WORLD.log())
                    WORLD.reload(expect="server.reload_failed")
                    self.assertIn(text, WORLD.log()[since:])
                self.assertEqual(self.peer_certificate(), before)
                self.assertEqual(client.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
            WORLD.reload()

    def test_dropped_user(self):
        """The session of a user that U no longer lists ends within a second of the publication."""
        with WORLD.client("ae-reader") as dropped, WORLD.client("ae-operator") as stays:
            self.assertEqual(dropped.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
            WORLD.poc("ae-coordinator", "-y", "user", "remove", "reader")
            begun = time.monotonic()
            with self.assertRaises(wire.Closed):
                dropped.answer()
            self.assertLess(time.monotonic() - begun, SLOW)
            self.assertEqual(stays.call(wire.LOOKUP, wire.lookup("XB")).kind, wire.PROOF)
        with WORLD.client("ae-reader", greet=False) as again:
            self.assertNotIn(3, dict(wire.decode(again.call(wire.HELLO, WORLD.hello("ae-reader")).body)))


class Life(unittest.TestCase):
    def setUp(self):
        if not WORLD.daemon:
            WORLD.start()

    def test_drain(self):
        """SIGTERM: a write under way is answered (8: stored, not yet proven); idle connections end; exit status 0."""
        with WORLD.settings(reload=False, log__checkpoint_interval="2s"):
            self.assertEqual(WORLD.stop(), 0)
            WORLD.start()
            with WORLD.client() as idle:
                since = len(WORLD.log())
                writer = subprocess.Popen([POC, "-c", WORLD.conf("xa-coordinator"), "-y", "confirm", "XA"], env=WORLD.env,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                WORLD.wait_log("session.open", since)
                time.sleep(0.3)
                begun = time.monotonic()
                status = WORLD.stop()
                self.assertEqual(status, 0)
                self.assertLess(time.monotonic() - begun, 5 * SLOW)
                self.assertEqual(idle.until_closed(), [])
                text = writer.communicate(timeout=10 * SLOW)[0]
                self.assertIn(writer.returncode, (0, 8), text)
                self.assertIn("version 2: stored", text)
        WORLD.start()
        self.assertRegex(WORLD.poc("xb-reader", "history", "XA").out, r"(?m)^2 .* confirmed")

    def test_drain_answers_lookups(self):
        """Whoever pipelines while SIGTERM comes gets whole answers, in order, then the end."""
        with WORLD.client() as client:
            client.send(b"".join(wire.frame(wire.request(number, wire.LOOKUP, wire.lookup("XB")))
                                 for number in range(1, 501)))
            first = client.answer()
            WORLD.daemon.send_signal(signal.SIGTERM)
            self.assertEqual([first.id] + [answer.id for answer in client.until_closed()], list(range(1, 501)))
        self.assertEqual(WORLD.stop(), 0)
        WORLD.start()

    def test_second_daemon(self):
        """Two daemons never share a data folder; nor may one take the other's port."""
        conf = WORLD.path("second.conf")
        shutil.copy(WORLD.path("pocd.conf"), conf)
        with open(conf, encoding="utf-8") as file:
            text = file.read()
        with open(conf, "w", encoding="utf-8") as file:
            file.write(text.replace(f":{WORLD.port}", f":{free_port()}").replace("file = pocd.log", "file = second.log"))
        second = run(POCD, "-c", conf, expect=None)
        self.assertIn(second.status, range(1, 9))
        self.assertRegex(second.err, r"^pocd: .*(in use|another)")
        self.assertEqual(len(second.err.splitlines()), 1, second.err)
        data = WORLD.path("second-data")
        made = run(POCADM, "init", data, "--origin", "second.example/2026", "--listen", f"127.0.0.1:{WORLD.port}", env=WORLD.env)
        self.assertIn("no auditors yet", made.out)
        second = run(POCD, "-c", os.path.join(data, "pocd.conf"), expect=None)
        self.assertIn(second.status, range(1, 9))
        self.assertIn(str(WORLD.port), second.err)

    def test_check_config(self):
        self.assertEqual(run(POCD, "-c", WORLD.path("pocd.conf"), "--check-config").status, 0)
        with open(WORLD.path("pocd.conf"), encoding="utf-8") as file:
            lines = file.readlines()
        for bad, text in (("conections = 3\n", "conections"), ("idle_time = " + "9" * 300 + "\n", "too long"),
                          ("idle_time = soon\n", "limits.idle_time"), ("no sign of a value\n", "")):
            at = lines.index("[limits]\n") + 1
            conf = WORLD.path("check.conf")
            with open(conf, "w", encoding="utf-8") as file:
                file.writelines(lines[:at] + [bad] + lines[at:])
            result = run(POCD, "-c", conf, "--check-config", expect=None)
            self.assertIn(result.status, range(1, 9), bad)
            self.assertIn(f"line {at + 1}", result.err)
            self.assertIn(text, result.err)
            self.assertEqual(len(result.err.splitlines()), 1)
        self.assertIn("nothing.conf", run(POCD, "-c", "nothing.conf", "--check-config", expect=5).err)

    def test_bad_address(self):
        """What cannot be listened on is refused before anything is made (test_config has every case)."""
        for bad in ("127.0.0.1:0", "127.0.0.1:abc", "127.0.0.1"):
            result = run(POCADM, "init", WORLD.path("none"), "--origin", "x.example/1", "--listen", bad, expect=2, env=WORLD.env)
            self.assertIn(f'--listen: "{bad}" is not ADDRESS:PORT', result.err)
            self.assertFalse(os.path.exists(WORLD.path("none")))
        words = ("init", WORLD.path("open"), "--origin", "x.example/1", "--listen", "[::]:7437")
        self.assertIn("[::]:7437 is nothing that others can connect to", run(POCADM, *words, expect=2, env=WORLD.env).err)
        run(POCADM, "--server", "pocd.example.int:7437", *words, env=WORLD.env)
        with open(WORLD.path("open", "directory.info"), encoding="utf-8") as file:
            self.assertIn("\nserver = pocd.example.int:7437\n", file.read())
        for bad in ("abc", "0", "70000", ""):
            result = run(os.path.join(ROOT, "tests/lib/demo.sh"), "--dir", WORLD.path("none"), "--port", bad, expect=None)
            self.assertIn(result.status, (1, 2))
            self.assertIn("--port", result.err)
            self.assertFalse(os.path.exists(WORLD.path("none")))


if __name__ == "__main__":
    main()
