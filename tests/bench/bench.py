#!/usr/bin/python3
"""bench: speed and memory of the daemon beside the floor, in one table: `./dev bench`.

Server and load generator run on a core each; every run of the daemon has a run of the floor beside it, and a goal is the
ratio of the two, so that a slow or busy machine weighs on both.  CPU is what the scheduler accounts to the server's threads
(/proc/PID/task/*/schedstat, ns) between the first request and the last.  A figure is the median of all rounds, with least
and greatest.  The exit status is 0 when everything was measured, whatever was met or missed.

--smoke is a test: a tiny world, short runs, every answer looked into."""
import argparse
import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
from ports import free_port  # noqa: E402  pylint: disable=wrong-import-position

PATIENCE = 120  # seconds that any one step may take
ANSWER_POST = 66  # bytes of the answer to a Post
BUDGET = 570  # seconds for everything: a slow or busy machine gets fewer rounds


def cores():
    """One core for the server, another for the load; the same one where there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


class Failure(Exception):
    """The bench itself cannot go on."""


class Process:
    """A program of the bench, pinned to a core, that is ended with the bench."""

    def __init__(self, core, *command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=pinned(core))

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(timeout=PATIENCE)
            raise Failure(f"{' '.join(self.command)} ended with {self.process.returncode}")
        return line.rstrip("\n")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self, signal_it=False):
        """Closes its stdin (or sends SIGTERM), which ends it; kills it when that does not help."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if signal_it:
            self.process.terminate()
        try:
            status = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status


class Server(Process):
    """Floor or daemon, once it is ready."""

    def __init__(self, bench, is_floor, *command):
        begun = time.monotonic()
        self.is_floor = is_floor
        super().__init__(bench.server_core, *command)
        self.address = self.line().split()[-1]
        self.start_seconds = time.monotonic() - begun

    def cpu_ns(self):
        """Of all threads; none of them ends while the server runs."""
        tasks = f"/proc/{self.process.pid}/task"
        total = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total

    def move(self, core):
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), {core})

    def memory(self, field):
        """RssAnon or RssFile, in bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":")) * 1024

    def stop(self):
        status = self.end(signal_it=not self.is_floor)
        if status != 0:
            raise Failure(f"{self.command[0]} ended with {status}")


class Spread:
    """Samples of one figure."""

    def __init__(self, samples):
        self.samples = list(samples)

    @property
    def median(self):
        return statistics.median(self.samples)

    def text(self, form):
        if len(self.samples) == 1:
            return form.format(self.samples[0])
        return f"{form.format(self.median)} [{form.format(min(self.samples))} {form.format(max(self.samples))}]"


class Table:
    """Lines of the result: figure, floor, ratio, goal, met or missed."""

    HEAD = ("what", "figure", "floor", "ratio", "goal", "")
    WIDTHS = (47, 24, 24, 19, 12, 6)

    def __init__(self):
        self.missed, self.lines = 0, 0
        self.put(self.HEAD)

    def put(self, cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, self.WIDTHS)).rstrip(), flush=True)

    def add(self, what, figure, floor="", ratio="", goal="", met=None):
        self.lines += 1
        self.missed += met is False
        self.put((what, figure, floor, ratio, goal, {None: "", True: "met", False: "missed"}[met]))

    def ratio(self, what, daemon, floor, form, goal):
        """A goal that is a ratio to the floor: each round's own."""
        ratio = Spread(a / b for a, b in zip(daemon.samples, floor.samples))
        self.add(what, daemon.text(form), floor.text(form), ratio.text("{:.2f}"), f"<= {goal}", ratio.median <= goal)


class Postgres:
    """A throw-away PostgreSQL with its durable defaults and TLS, on the server's core, below the bench's folder.  It is
    installed when this is root's machine, and never run by root: its own user does."""

    def __init__(self, bench, world):
        self.bench, self.world = bench, world
        self.folder = os.path.join(bench.folder, "postgresql")
        self.port = free_port()
        self.absent = None
        self.bin = self.find()
        self.running = False

    def find(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found and os.geteuid() == 0 and not self.bench.smoke:
            subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "postgresql"], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE,
                           env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            self.absent = "not installed"
        elif os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode != 0:
            self.absent = "no user postgres"
        return found[-1] if found else None

    def run(self, name, *words, core=None):
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run([*as_user, os.path.join(self.bin, name), *(str(word) for word in words)], cwd="/", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
                              preexec_fn=pinned(self.bench.server_core if core is None else core))
        if done.returncode != 0:
            raise Failure(f"{name}: {done.stdout}")
        return done.stdout

    def __enter__(self):
        if self.absent:
            return self
        os.chmod(self.bench.folder, 0o711)
        os.mkdir(self.folder)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        data = f"{self.folder}/data"
        self.run("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
        for source, name in ((f"{self.world}/server.crt", "server.crt"), (f"{self.world}/keys/server.key", "server.key")):
            shutil.copy(source, f"{data}/{name}")
            if os.geteuid() == 0:
                shutil.chown(f"{data}/{name}", "postgres", "postgres")
            os.chmod(f"{data}/{name}", 0o600)
        self.run("pg_ctl", "-D", data, "-w", "-l", f"{self.folder}/log", "start", "-o",
                 f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder} -c ssl=on")
        self.running = True
        with open(f"{self.folder}/insert.sql", "w", encoding="ascii") as script:
            script.write(f"INSERT INTO notice (header, body) VALUES ('\\\\x{bytes(700).hex()}', '\\\\x{bytes(1300).hex()}');\n")
        os.chmod(f"{self.folder}/insert.sql", 0o644)
        self.psql("CREATE TABLE notice (id bigserial PRIMARY KEY, header bytea, body bytea)")
        return self

    def target(self):
        return ["-d", f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres sslmode=require"]

    def psql(self, statement):
        self.run("psql", *self.target(), "-q", "-c", statement)

    def inserts(self, clients, seconds):
        """A second; 0 when pgbench had not even all connections in its time."""
        said = self.run("pgbench", "-n", "-M", "prepared", "-c", clients, "-j", 1, "-T",
                        3 * max(1, round(seconds)), "-f", f"{self.folder}/insert.sql", self.target()[1], core=self.bench.load_core)
        rate = re.search(r"tps = ([0-9.]+)", said)
        return float(rate.group(1)) if rate else 0

    def __exit__(self, *what):
        if self.running:
            self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")


class Bench:
    def __init__(self, options):
        self.server_core, self.load_core = cores()
        self.rounds, self.seconds, self.smoke = options.rounds, options.seconds, options.smoke
        self.build = options.build
        self.folder = tempfile.mkdtemp(prefix="bench-", dir=self.build)
        self.running = []
        self.end = time.monotonic() + BUDGET

    def close(self):
        for process in self.running:
            if process.process.poll() is None:
                process.end(signal_it=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def program(self, name):
        return os.path.join(self.build, *name.split("/"))

    # --- what runs ---

    def world(self, name, **options):
        """Makes a world; returns its folder and the seconds that took."""
        folder = os.path.join(self.folder, name)
        options["port"] = free_port()
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        begun = time.monotonic()
        done = subprocess.run([self.program("tests/bench/world"), folder, *words], stdout=subprocess.DEVNULL,
                              timeout=8 * PATIENCE, check=False)
        if done.returncode != 0:
            raise Failure(f"world {name} ended with {done.returncode}")
        return folder, time.monotonic() - begun

    def check(self, world):
        """What is put past the judging must be what judging would have let in."""
        done = subprocess.run([self.program("clients/pocadm"), "check", f"{world}/data"], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if done.returncode != 0 or "good: " not in done.stdout:
            raise Failure(f"pocadm check {world}: {done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def server(self, world, floor_size=None, append=None, conf="pocd.conf"):
        """The daemon over a world, or the floor with answers of a size (which appends what it gets to a file)."""
        if floor_size is None:
            command = [self.program("pocd/pocd"), "-c", f"{world}/{conf}"]
        else:
            command = [self.program("tests/bench/floor"), "--cert", f"{world}/server.crt", "--key", f"{world}/keys/server.key",
                       "--size", round(floor_size), *(["--append", append] if append else [])]
        server = Server(self, floor_size is not None, *command)
        self.running.append(server)
        yield server
        server.stop()
        self.running.remove(server)

    @contextlib.contextmanager
    def load(self, server, world, mode, *words):
        """The load generator, connected and waiting for go()."""
        load = Process(self.load_core, self.program("tests/bench/load"), mode, "--server", server.address, "--world", world,
                       *(["--floor"] if server.is_floor else []), *words)
        self.running.append(load)
        if load.line() != "ready":
            raise Failure("load is not ready")
        yield load
        if load.end() != 0:
            raise Failure(f"{' '.join(load.command)} failed")
        self.running.remove(load)

    def measure(self, server, world, mode, *words):
        """One run: the load's own figures, and the server's CPU per answer in microseconds."""
        with self.load(server, world, mode, *words) as load:
            before = server.cpu_ns()
            load.go()
            result = json.loads(load.line())
            result["cpu_us"] = (server.cpu_ns() - before) / 1000 / max(1, result["answers"])
        if result["answers"] == 0 and mode != "idle":
            raise Failure(f"{' '.join(load.command)}: no answer came")
        return result

    def walk(self, server, world):
        """Asks for every place once and looks into each answer; returns the mean size of answers."""
        return self.measure(server, world, "lookup", "--connections", 8, "--outstanding", 16, "--walk", "--check")["bytes"]

    def affordable(self, rounds):
        """Rounds, or fewer when the time runs out: half of what is left is for the worlds still to be made."""
        left = self.end - time.monotonic()
        return rounds if left > BUDGET / 2 else min(rounds, 3) if left > BUDGET / 8 else 1

    def rounds_of(self, daemon, floor, world, mode, *words):
        """Interleaved rounds; returns figures of both, by name."""
        results = [(self.measure(daemon, world, mode, "--seconds", self.seconds, *words),
                    self.measure(floor, world, mode, "--seconds", self.seconds, *words))
                   for _ in range(self.affordable(self.rounds))]
        return tuple({key: Spread(pair[side][key] for pair in results) for key in results[0][side]} for side in (0, 1))

    # --- what is measured ---

    def lookups(self, table, world, name, many, few):
        """Server CPU of lookups at 50 x 1 and 8 x 16; returns the most lookups a second."""
        with self.server(world) as daemon:
            size = self.walk(daemon, world)
            with self.server(world, size) as floor:
                top = 0
                for connections, outstanding, goal in ((50, 1, many), (8, 16, few)):
                    ours, floors = self.rounds_of(daemon, floor, world, "lookup", "--connections", connections, "--outstanding",
                                                  outstanding)
                    table.ratio(f"{name}: {connections} x {outstanding}, {size:.0f} B, CPU us", ours["cpu_us"], floors["cpu_us"],
                                "{:.2f}", goal)
                    top = top or statistics.median(a / s for a, s in zip(ours["answers"].samples, ours["seconds"].samples))
                if name == "250 states":
                    ours, floors = self.rounds_of(daemon, floor, world, "lookup")
                    table.ratio(f"{name}: ping-pong p50, us of time", ours["p50_us"], floors["p50_us"], "{:.1f}", 1.15)
            table.add(f"{name}: RssFile, MB", f"{daemon.memory('RssFile') / 1e6:.1f}")
            return daemon.memory("RssAnon"), top

    def memory(self, table, name, used, goal):
        table.add(f"{name}: RssAnon, MB", f"{used / 1e6:.1f}", goal=f"<= {goal}", met=used <= goal * 1e6)

    def handshakes(self, table, world):
        with self.server(world) as daemon, self.server(world, 100) as floor:
            ours, floors = self.rounds_of(daemon, floor, world, "handshake")
            table.ratio("full handshake, pins looked up, CPU us", ours["cpu_us"], floors["cpu_us"], "{:.0f}", 1.1)

    def idle(self, table, world, connections=5000):
        """Memory of connections that do nothing; of the floor a fifth as many will do."""
        figures = []
        for size, n in ((None, connections), (1000, connections // 5)):
            with self.server(world, size) as server:
                self.measure(server, world, "lookup", "--seconds", "0.2")  # what the first connection costs once
                before = server.memory("RssAnon")
                with self.load(server, world, "idle", "--connections", n) as load:
                    load.go()
                    load.line()
                    figures.append((server.memory("RssAnon") - before) / n / 1024)
        table.add(f"an idle connection, of {connections}, KB", f"{figures[0]:.1f}", f"{figures[1]:.1f}", goal="<= 28",
                  met=figures[0] <= 28)

    def publish(self, table, world, top, rounds=3):
        """Publishing as fast as it goes beside lookups at a fifth of what the daemon can do."""
        with self.server(world) as daemon:
            self.walk(daemon, world)
            stored, lookups = self.beside(daemon, world, "publish", [f"publish-{n}" for n in range(1, self.affordable(rounds) + 1)],
                                          top / 5, 4 * self.seconds)
        table.add("publishing from 8 clients, stored/s", stored.text("{:.0f}"), goal=">= 2000", met=stored.median >= 2000)
        self.p99(table, f"lookups' p99 at {top / 5:.0f}/s meanwhile, ms", *lookups)

    def beside(self, daemon, world, mode, files, rate, seconds):
        """Lookups at a rate, alone and while each file of writes is stored; returns the writes stored a second (of a
        flood: refused), and the lookups' p99 in ms: beside them and alone."""
        words = ("--connections", 50, "--outstanding", 16, "--rate", rate, "--seconds", seconds)
        stored, alone, beside = [], [], []
        for file in files:
            alone.append(self.measure(daemon, world, "lookup", *words)["p99_us"] / 1000)
            with self.load(daemon, world, "lookup", *words) as load, \
                    self.load(daemon, world, mode, "--connections", 8, "--outstanding", 16, "--seconds", seconds,
                              "--frames", f"{world}/{file}") as writer:
                load.go()
                writer.go()
                result = json.loads(writer.line())
                stored.append(result["refused" if mode == "flood" else "answers"] / result["seconds"])
                beside.append(json.loads(load.line())["p99_us"] / 1000)
        return Spread(stored), (beside, alone)

    @staticmethod
    def p99(table, what, beside, alone):
        ratio = Spread(a / b for a, b in zip(beside, alone))
        table.add(what, Spread(beside).text("{:.2f}"), f"alone {Spread(alone).median:.2f}", ratio.text("{:.2f}"), "<= 2",
                  ratio.median <= 2)

    # --- notices ---

    def post(self, server, world, number, connections, outstanding):
        """Notices stored a second."""
        result = self.measure(server, world, "post", "--connections", connections, "--outstanding", outstanding, "--frames",
                              f"{world}/notices-{number}")
        return result["answers"] / result["seconds"]

    def notices(self, table, world, shapes=((50, 1, 0.7), (8, 16, 0.6), (1, 1, 0.6)), rounds=3):
        """Notices stored a second beside the durable floor, and how soon a watcher is told."""
        rates, number = {}, 0
        with self.server(world) as daemon, self.server(world, ANSWER_POST, f"{world}/appended") as floor:
            for connections, outstanding, goal in shapes:
                pairs = []
                for _ in range(rounds):
                    number += 1
                    pairs.append([self.post(server, world, number, connections, outstanding) for server in (daemon, floor)])
                ours, floors = Spread(pair[0] for pair in pairs), Spread(pair[1] for pair in pairs)
                ratio = Spread(pair[0] / pair[1] for pair in pairs)
                rates[connections] = ours.median
                table.add(f"notices of 2 KB: {connections} x {outstanding}, stored/s", ours.text("{:.0f}"), floors.text("{:.0f}"),
                          ratio.text("{:.2f}"), f">= {goal}", ratio.median >= goal)
            self.alerts(table, daemon, world)
        return rates, number

    def alerts(self, table, daemon, world):
        """From sending to a live watcher's being told, beside one durable append to the same disk."""
        told = self.measure(daemon, world, "alert", "--frames", f"{world}/alerts")["p50_us"]
        raw = self.raw_disk(f"{world}/raw")
        table.add("notice to live watcher, p50, us of time", f"{told:.0f}", f"disk {raw:.0f}", f"{told / raw:.2f}", "<= 3",
                  told <= 3 * raw)

    @staticmethod
    def raw_disk(path, times=300):
        """Microseconds that appending 2 KB and syncing it takes."""
        taken = []
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        for _ in range(times):
            begun = time.perf_counter()
            os.write(fd, bytes(2000))
            os.fdatasync(fd)
            taken.append(time.perf_counter() - begun)
        os.close(fd)
        os.unlink(path)
        return statistics.median(taken) * 1e6

    def beside_notices(self, table, world, number, top, rounds=3):
        """Lookups at a fifth of what the daemon can do while notices are stored."""
        with self.server(world) as daemon:
            files = [f"notices-{number + n}" for n in range(1, rounds + 1)]
            _, lookups = self.beside(daemon, world, "post", files, top / 5, self.seconds)
        self.p99(table, f"lookups' p99 at {top / 5:.0f}/s beside notices, ms", *lookups)

    def beside_flood(self, table, world, number, top, rounds=3):
        """The same while a state whose quota is used up sends on and on."""
        with open(f"{world}/pocd.conf", encoding="ascii") as file:
            conf = file.read()
        with open(f"{world}/quota.conf", "w", encoding="ascii") as file:
            file.write(conf.replace("per_hour = 0", "per_hour = 1"))
        with self.server(world, conf="quota.conf") as daemon:
            refused, lookups = self.beside(daemon, world, "flood", rounds * [f"notices-{number}"], top / 5, self.seconds)
        table.add("notices over a quota, refused/s", refused.text("{:.0f}"))
        self.p99(table, f"lookups' p99 at {top / 5:.0f}/s beside them, ms", *lookups)

    def against_postgresql(self, table, world, ours):
        """Single-row inserts of the same size over TLS, at the best number of clients."""
        with Postgres(self, world) as postgres:
            if postgres.absent:
                table.add("PostgreSQL: inserts/s", postgres.absent)
                return
            best, clients = max((postgres.inserts(clients, self.seconds), clients) for clients in (1, 4, 8, 16, 32, 50))
        table.add(f"notices, beside PostgreSQL's inserts at {clients}, /s", f"{ours:.0f}", f"{best:.0f}", f"{ours / best:.2f}",
                  ">= 3", ours >= 3 * best)

    def start(self, table, name, world, goal=None, times=3):
        taken = []
        for _ in range(times):
            with self.server(world) as daemon:
                taken.append(daemon.start_seconds)
        taken = Spread(taken)
        table.add(f"{name}: start, s", taken.text("{:.2f}"), goal=f"< {goal}" if goal else "",
                  met=taken.median < goal if goal else None)

    def cold_sync(self, table, world, name, goal=None, times=5):
        """The whole of poc sync with nothing held: from its start to its end."""
        with open(os.path.join(world, "directory.id"), "rb") as file:
            directory = file.read().hex()
        with open(os.path.join(world, "clients.txt"), encoding="ascii") as file:
            state, certificate, key = file.readline().split()
        spki = subprocess.run(["openssl", "x509", "-in", f"{world}/server.crt", "-noout", "-pubkey"], check=True, capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=spki, check=True, capture_output=True).stdout
        taken, conf = [], os.path.join(world, "sync.conf")
        with self.server(world) as daemon:
            for i in range(times):
                with open(conf, "w", encoding="ascii") as out:
                    out.write(f"[directory]\nid = {directory}\nserver = {daemon.address}\nserver_pin = {hashlib.sha256(der).hexdigest()}\n"
                              f"[user]\nstate = {state}\ncert = {certificate}\nkey = {key}\n[state]\ndir = sync.{i}\n")
                begun = time.monotonic()
                subprocess.run([self.program("clients/poc"), "-c", conf, "-q", "sync"], check=True, stdout=subprocess.DEVNULL)
                taken.append(time.monotonic() - begun)
        taken = Spread(taken)
        table.add(f"{name}: cold poc sync, s", taken.text("{:.2f}"), goal=f"<= {goal}" if goal else "",
                  met=taken.median <= goal if goal else None)

    @contextlib.contextmanager
    def mirror(self, world, patience):
        """The mirror of a mirrored world, from nothing, once it has caught up with the server, whose core is the other one;
        and what it says of that."""
        mirror = Server(self, False, self.program("pocd/pocd"), "-c", f"{world}/mirror.conf")
        self.running.append(mirror)
        mirror.move(self.load_core)
        end, said = time.monotonic() + patience, ""
        while "follow.connected" not in said:
            time.sleep(0.05)
            with open(f"{world}/mirror.log", encoding="utf-8") as log:
                said = log.read()
            if time.monotonic() > end or "follow.refused" in said:
                raise Failure(f"the mirror does not catch up: {said}")
        line = next(line for line in said.splitlines() if "follow.connected" in line)
        yield mirror, {name: int(value) for name, value in re.findall(r" ([a-z_]+)=(\d+)(?= |$)", line)}
        mirror.stop()
        self.running.remove(mirror)

    def mirrored(self, table, world, patience=3 * PATIENCE):
        """How fast a mirror catches up, by the CPU of all its threads; and what its lookups cost beside the server's."""
        with self.server(world) as primary, self.mirror(world, patience) as (mirror, said):
            all_s, signatures_s = mirror.cpu_ns() / 1e9, said["signatures_cpu_ms"] / 1e3
            rate = said["leaves"] / (all_s - signatures_s)
            table.add(f"mirror, {said['leaves']} leaves: /s, signatures apart", f"{rate:.0f}",
                      f"with them {said['leaves'] / all_s:.0f}", f"{signatures_s / all_s:.0%} are theirs", ">= 100000", rate >= 100000)
            table.add("mirror: CPU of a signature, us", f"{signatures_s / said['signatures'] * 1e6:.1f}",
                      f"{said['signatures']} verified")
            mirror.move(self.server_core)
            for server in (mirror, primary):
                self.walk(server, world)
            for connections, outstanding in ((50, 1), (8, 16)):
                ours, theirs = self.rounds_of(mirror, primary, world, "lookup", "--connections", connections, "--outstanding",
                                              outstanding)
                table.ratio(f"mirror beside primary: {connections} x {outstanding}, CPU us", ours["cpu_us"], theirs["cpu_us"],
                            "{:.2f}", 1.05)
            table.add("mirror: RssAnon, MB", f"{mirror.memory('RssAnon') / 1e6:.1f}", f"primary {primary.memory('RssAnon') / 1e6:.1f}")

    def mirrored_leaves(self, seconds):
        """A million, or as many as the time that is left allows: each is signed by the bench and verified by the mirror.
        seconds: what the world of 100,000 records took, by which machines are told apart."""
        left = self.end - time.monotonic() - 110  # for the lookups and the followers
        fit = int(left / (seconds * 12.8e-6)) // 100000 * 100000
        return max(100000, min(1000000, fit - 100000))  # the last versions come on top

    def followers(self, table):
        """Auditors beside none, and long chains."""
        os.environ["POCD_BUILD"] = self.build
        import followers  # pylint: disable=import-outside-toplevel
        figures = followers.measure()
        more = figures["cosigned_ms"] - figures["alone_ms"]
        table.add("publish to proven by 4 of 5 auditors, p50 ms", f"{figures['cosigned_ms']:.1f}",
                  f"none {figures['alone_ms']:.1f}", f"+{more:.1f}", "<= +50", more <= 50)
        walk = followers.walk_seconds()
        table.add("first lookup over 1,000 versions of T and K, s", f"{walk:.2f}", goal="<= 1", met=walk <= 1)
        table.add("a version of T and one of K that change their keys, ms, P-384", f"{followers.change_ms(followers.p384):.1f}",
                  f"Ed25519 {followers.change_ms(followers.ed25519.Ed25519PrivateKey.generate):.1f}")

    def run(self):
        table = Table()
        small, _ = self.world("small", states=250)
        self.start(table, "250 states", small, 1)
        used, top = self.lookups(table, small, "250 states", 1.25, 1.6)
        self.memory(table, "250 states", used, 16)
        self.cold_sync(table, small, "250 states", 0.5)
        self.idle(table, small)
        posts, _ = self.world("posts", states=250, notices=4000, rounds=13)
        rates, number = self.notices(table, posts)
        self.beside_notices(table, posts, number, top)
        self.beside_flood(table, posts, number + 4, top)
        self.against_postgresql(table, posts, rates[50])
        shutil.rmtree(posts)
        pins, _ = self.world("pins", states=250, users=40)
        self.handshakes(table, pins)
        shutil.rmtree(pins)
        large, seconds = self.world("large", states=250, units=399, publish=10000, rounds=3)
        table.add("100,000 records: made (and 30,000 to publish), s", f"{seconds:.0f}", goal="<= 60", met=seconds <= 60)
        self.start(table, "100,000 records", large)
        used, top = self.lookups(table, large, "100,000 records", 1.5, 3)
        self.memory(table, "100,000 records", used, 128)
        self.publish(table, large, top)
        shutil.rmtree(large)
        leaves = self.mirrored_leaves(seconds)
        long, _ = self.world("long", states=250, units=399, leaves=leaves, mirror=free_port())
        self.lookups(table, long, f"100,000, {leaves / 1e6:.1f}M leaves", 1.5, 3)
        self.mirrored(table, long)
        shutil.rmtree(long)
        self.followers(table)
        print(f"{table.lines} figures, {table.missed} missed; {self.rounds} rounds of {self.seconds} s")

    def run_million(self):
        table = Table()
        self.million(table, 1000000)
        print(f"{table.lines} figures, {table.missed} missed")

    def run_mirror(self):
        table = Table()
        world, _ = self.world("long", states=250, units=399, leaves=1000000, mirror=free_port())
        self.mirrored(table, world, 10 * PATIENCE)
        print(f"{table.lines} figures, {table.missed} missed; {self.rounds} rounds of {self.seconds} s")

    def million(self, table, stored, states=250, notices=4000, rounds=3):
        """Memory and rates of a directory that has had a million notices, beside one that had none: a world of its own, since it
        takes minutes to make and 8 GB of disk.  Returns the bytes of memory that the daemon has for each."""
        name = f"{stored} notices"
        empty, _ = self.world("empty", states=states, notices=notices, rounds=3 * rounds)
        full, seconds = self.world("full", states=states, stored=stored, notices=notices, rounds=3 * rounds)
        table.add(f"{name}: made, s", f"{seconds:.0f}")
        with self.server(full) as many, self.server(empty) as none:
            table.add(f"{name}: start, s", f"{many.start_seconds:.1f}", f"none {none.start_seconds:.1f}")
            self.memory(table, f"{name}, started", many.memory("RssAnon"), 200)
            self.same_rates(table, name, (many, full), (none, empty), rounds)
            self.memory(table, f"{name}, at last", many.memory("RssAnon"), 200)
            return (many.memory("RssAnon") - none.memory("RssAnon")) / stored

    def same_rates(self, table, name, many, none, rounds, shapes=((50, 1), (8, 16), (1, 1))):
        """Notices stored a second by two daemons in turn, and how soon a watcher of theirs is told."""
        number = 0
        for connections, outstanding in shapes:
            pairs = []
            for _ in range(rounds):
                number += 1
                pairs.append([self.post(*of, number, connections, outstanding) for of in (many, none)])
            ratio = Spread(a / b for a, b in pairs)
            table.add(f"{name}: {connections} x {outstanding}, stored/s", Spread(a for a, _ in pairs).text("{:.0f}"),
                      f"none {statistics.median(b for _, b in pairs):.0f}", ratio.text("{:.2f}"), ">= 0.9", ratio.median >= 0.9)
        told = [self.measure(*of, "alert", "--frames", f"{of[1]}/alerts")["p50_us"] for of in (many, none)]
        table.add(f"{name}: to a watcher, p50, us", f"{told[0]:.0f}", f"none {told[1]:.0f}", f"{told[0] / told[1]:.2f}", "<= 1.1",
                  told[0] <= 1.1 * told[1])

    def run_smoke(self):
        """All modes once, briefly."""
        self.rounds = 1
        self.seconds = 0.3
        table = Table()
        world, _ = self.world("tiny", states=3, units=5, users=3, leaves=100, publish=10, rounds=1)
        self.start(table, "tiny", world, times=1)
        self.cold_sync(table, world, "tiny", times=1)
        _, top = self.lookups(table, world, "tiny", 1.25, 1.6)
        self.idle(table, world, 20)
        self.handshakes(table, world)
        self.publish(table, world, top, rounds=1)
        posts, _ = self.world("posts", states=3, stored=200, notices=100, rounds=5)
        self.check(posts)
        _, number = self.notices(table, posts, rounds=1)
        self.beside_notices(table, posts, number, top, rounds=1)
        self.beside_flood(table, posts, number + 2, top, rounds=1)
        mirrored, _ = self.world("mirrored", states=3, units=5, leaves=100, mirror=free_port())
        self.check(mirrored)
        self.mirrored(table, mirrored)
        held = self.million(table, 5000, states=3, notices=100, rounds=1)
        if table.lines < 28:
            raise Failure("figures are missing")
        if held > 400 and "POCD_SLOW" not in os.environ:  # a sanitizer keeps what was freed
            raise Failure(f"the daemon holds {held:.0f} bytes of each stored notice in memory")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="build folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run")
    parser.add_argument("--million", action="store_true", help="over a million stored notices, instead of all else")
    parser.add_argument("--mirror", action="store_true", help="a mirror of a million leaves, instead of all else")
    parser.add_argument("--smoke", action="store_true", help="a short test")
    options = parser.parse_args()
    bench = Bench(options)
    try:
        run = bench.run_smoke if bench.smoke else bench.run_million if options.million else bench.run_mirror if options.mirror else bench.run
        run()
    except (Failure, OSError, ValueError, subprocess.SubprocessError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
