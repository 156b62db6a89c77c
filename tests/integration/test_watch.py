"""A watcher goes on through whatever befalls its connection, and shows everything once."""
import contextlib
import json
import os
import queue
import resource
import socket
import subprocess
import threading
import time
import unittest

from harness import POC, SLOW, World, file_limit, main

PATIENCE = 60 * SLOW  # a dead connection is found dead by the next question, after 20 s and 5 s


class Road:
    """Stands between clients and the server.  block(): from then on what is connected stays so, and nothing passes any more,
    without a word to either end; new connections pass.  short: so many connections from the first break after 100 KB.
    trap(): what is connected breaks at its next question."""

    def __init__(self, server):
        self.server, self.sockets, self.blocked, self.short, self.trapped = server, [], 0, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for each in (self.listener, *self.sockets):
            each.close()

    def block(self):
        self.blocked = len(self.sockets)

    def trap(self):
        self.trapped = len(self.sockets)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                number = len(self.sockets)
                self.sockets += client, server
                for ends in (client, server), (server, client):
                    threading.Thread(target=self.carry, args=(number, *ends), daemon=True).start()

    def carry(self, number, source, sink):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if number < 2 * self.short and passed > 100_000 or number < self.trapped and source is self.sockets[number]:
                    for end in source, sink:
                        end.shutdown(socket.SHUT_RDWR)
                    return
                if number >= self.blocked:
                    sink.sendall(data)
            if number >= self.blocked:
                sink.shutdown(socket.SHUT_WR)


class Watcher:
    """poc notice watch: .next() is the next notice's subject."""

    def __init__(self, world, user):
        self.process = subprocess.Popen([POC, "-c", world.conf(user), "notice", "watch"], env=world.env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.subjects, self.said = queue.Queue(), []
        self.threads = [threading.Thread(target=self.read), threading.Thread(target=lambda: self.said.extend(self.process.stderr))]
        for thread in self.threads:
            thread.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "notice":
                self.subjects.put(event["subject"])

    def next(self, seconds=PATIENCE):
        return self.subjects.get(timeout=seconds)

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30 * SLOW)
        for thread in self.threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def send(self, to, subject):
        self.world.poc("xa-operator", "notice", "send", "--to", to, "--subject", subject, "--text", "t")

    def watch(self, user):
        watcher = Watcher(self.world, user)
        self.addCleanup(watcher.close)
        return watcher

    def check_nothing_more(self, watcher):
        time.sleep(1)
        self.assertTrue(watcher.subjects.empty())
        self.assertIsNone(watcher.process.poll())

    def test_server_is_killed(self):
        world, watcher = self.world, self.watch("ae-operator")
        self.send("AE", "before")
        self.assertEqual(watcher.next(), "before")
        for round_ in range(3):
            world.kill()
            time.sleep(0.3)
            world.start()
            self.send("AE", f"after {round_}")
            self.assertEqual(watcher.next(), f"after {round_}")
        self.check_nothing_more(watcher)
        self.assertIn("trying again in", "".join(watcher.said))

    def test_road_is_cut_without_a_word(self):
        world = self.world
        road = Road(world.port)
        self.addCleanup(road.close)
        world.variant("ad-operator", "ad-far", {("directory", "server"): f"127.0.0.1:{road.port}"})
        watcher = self.watch("ad-far")
        self.send("AD", "before")
        self.assertEqual(watcher.next(), "before")
        road.block()
        begun = time.monotonic()
        self.send("AD", "while nobody hears")
        self.send("AD", "and another")
        self.assertEqual([watcher.next(), watcher.next()], ["while nobody hears", "and another"])
        self.assertLess(time.monotonic() - begun, PATIENCE)
        self.send("AD", "live again")
        self.assertEqual(watcher.next(10 * SLOW), "live again")
        self.check_nothing_more(watcher)
        for line in watcher.said:
            self.assertRegex(line, r"^poc: \S.*: trying again in")

    def test_replaced_by_a_question(self):
        """A connection that a question found dead was replaced on the way: the new one is watched like any other."""
        world = self.world
        road = Road(world.port)
        self.addCleanup(road.close)
        world.variant("xa-operator", "xa-far", {("directory", "server"): f"127.0.0.1:{road.port}"})
        watcher = self.watch("xa-far")
        for subject in "before", "the event passes", "live again":
            world.poc("ae-operator", "notice", "send", "--to", "XA", "--subject", subject, "--text", "t")
            while watcher.next(15 * SLOW) != subject:
                pass
            time.sleep(1)
            road.trap()
        self.check_nothing_more(watcher)
        self.assertEqual(watcher.said, [])

    def test_closed_streams(self):
        """Where standard error was closed, no connection or file takes its place, to which notes would be written."""
        world = self.world
        self.send("XB", "s")
        for number in 0, 2:
            process = subprocess.Popen([POC, "-c", world.conf("xb-operator"), "notice", "watch", "--cursor", f"closed-{number}"],
                                       env=world.env, stdout=subprocess.PIPE, preexec_fn=lambda closed=number: os.close(closed))
            try:
                self.assertIn(b'"event"', process.stdout.readline())
                self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{number}"), "/dev/null")
            finally:
                process.terminate()
                process.wait(timeout=30 * SLOW)
                process.stdout.close()
        # what is asked for and nobody can read is an error still
        told = world.poc("xb-operator", "notice", "list", preexec_fn=lambda: os.close(1), expect=1)
        self.assertIn("the output cannot be written", told.err)

    def test_cursor_on_a_full_disk(self):
        """What a command took is not given to it again and again while the cursor cannot be written."""
        world, taken = self.world, os.path.join(self.world.root, "taken")
        os.mkdir(taken)
        world.poc("xb-operator", "notice", "watch", "--once", "--cursor", "full")
        for subject in "first", "second":
            self.send("XB", subject)
        time.sleep(2)  # until there is nothing new to keep
        world.poc("xb-operator", "notice", "list", "--headers")
        process = subprocess.Popen([POC, "-c", world.conf("xb-operator"), "notice", "watch", "--headers", "--cursor", "full", "--exec",
                                    f"mktemp {taken}/$POC_EVENT.XXXXXX"], env=world.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, preexec_fn=file_limit(0, again=True))
        try:
            end = time.monotonic() + 10 * SLOW
            while not os.listdir(taken):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)
            time.sleep(2)
            self.assertIsNone(process.poll())
            self.assertEqual(len(os.listdir(taken)), 1)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            while sum(name.startswith("notice") for name in os.listdir(taken)) < 2:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)
        finally:
            process.terminate()
            said = process.communicate(timeout=30 * SLOW)[1]
        self.assertIn("cannot write", said)
        time.sleep(0.5)
        self.assertEqual(sum(name.startswith("notice") for name in os.listdir(taken)), 2)
        self.assertEqual(world.poc("xb-operator", "notice", "watch", "--once", "--cursor", "full").out, "")

    def test_once_without_a_server(self):
        """What is kept here is shown, and the exit status says that there may be more."""
        world = self.world
        self.send("XB", "kept here")
        world.poc("xb-operator", "notice", "list")
        world.variant("xb-operator", "xb-alone", {("directory", "server"): "127.0.0.1:1", ("state", "dir"): world.setting("xb-operator", "state", "dir")})
        answer = world.poc("xb-alone", "notice", "watch", "--once", "--cursor", "cron", expect=3)
        self.assertIn("kept here", answer.out)
        self.assertEqual(len(answer.err.strip().splitlines()), 1, answer)
        self.assertEqual(world.poc("xb-alone", "notice", "watch", "--once", "--cursor", "cron", expect=3).out, "")
        self.assertIn("kept here", world.poc("xb-alone", "--offline", "notice", "watch", "--once", "--cursor", "asked").out)

    def test_body_is_cut_through(self):
        """What broke while it was fetched is shown whole by the next connection, not without its words by this one."""
        world, attached = self.world, os.path.join(self.world.root, "large")
        with open(attached, "wb") as out:
            out.write(os.urandom(400_000))
        road = Road(world.port)
        self.addCleanup(road.close)
        world.variant("xb-operator", "xb-far", {("directory", "server"): f"127.0.0.1:{road.port}"})
        world.poc("xb-operator", "notice", "list")
        world.poc("xb-far", "notice", "watch", "--once")
        road.short = len(road.sockets) // 2 + 2
        watcher = self.watch("xb-far")
        time.sleep(1)
        world.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "large", "--text", "t", "--attach", attached)
        self.assertEqual(watcher.next(), "large")
        self.check_nothing_more(watcher)
        self.assertIn("trying again in", "".join(watcher.said))


if __name__ == "__main__":
    main()
