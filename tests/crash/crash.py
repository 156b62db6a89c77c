"""crash: a directory of 250 states under eight writers, whose server is killed, starved or cut off; and the judge, who compares
what was acknowledged outside the server with what is in its folder afterwards."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from harness import BUILD, POC, POCADM, POCD, SLOW, Result, ini_set, run  # noqa: E402
from ports import free_port  # noqa: E402

MAKE_WORLD, WRITER, FACTS = (os.path.join(BUILD, "tests/crash", name) for name in ("make_world", "writer", "facts"))
SHIM = os.path.join(BUILD, "tests/crash/libdisk.so")
# a sanitizer wants to be the first of all libraries, and can do without
SHIMMED = {"LD_PRELOAD": SHIM, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
STATES, WRITERS = 250, 8
TERM, KILL = signal.SIGTERM, signal.SIGKILL
READER = "AI"  # the state of reader.conf, which has no writer


class Sent:
    """A write that left a writer: its group, and its first answer (leaf, time) once there is one."""
    def __init__(self, group, name, seq):
        self.group, self.name, self.seq, self.answer, self.checkpoint = group, name, seq, None, 0


class Log:
    """What the writers said, read on from where it was left."""

    def __init__(self, path):
        self.path, self.offset = path, 0
        self.sent, self.groups, self.faults, self.refused, self.repeated = {}, {}, [], [], 0
        self.head = 0

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, "rb") as log:
                log.seek(self.offset)
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # it is just being written
                    self.offset += len(line)
                    self.take(line.decode().split(maxsplit=1))
        return self

    def take(self, line):
        kind, rest = line[0], line[1].split()
        if kind == "sent":
            self.sent[rest[3]] = Sent(rest[0], rest[1], int(rest[2]))
            self.groups.setdefault(rest[0], []).append(rest[3])
        elif kind == "ack":
            write = self.sent[rest[3]]
            self.repeated += rest[7] == "1"
            write.answer = write.answer or (int(rest[4]), int(rest[5]))
            write.checkpoint = max(write.checkpoint, int(rest[6]))
        elif kind == "head":
            self.head = max(self.head, int(rest[0]))
        elif kind == "refused":
            self.refused.append(line[1].strip())
        else:
            self.faults.append(line[1].strip())

    def acknowledged(self):
        return [value for value, write in self.sent.items() if write.answer]

    def unanswered(self):
        return [write.name for write in self.sent.values() if not write.answer]


class Facts:
    """What is in a folder: the output of the program facts."""

    def __init__(self, text):
        self.puts, self.by_value, self.missing, self.entries = [], {}, [], []
        self.sections = None
        for line in text.splitlines():
            kind, *rest = line.split()
            if kind == "put":
                put = (int(rest[0]), rest[1], int(rest[2]), rest[3], int(rest[4]))
                self.puts.append(put)
                self.by_value.setdefault(rest[3], []).append(put)
                if rest[5] != "0":
                    self.missing.append(rest[1])
            elif kind == "entry":
                self.entries.append((rest[0], int(rest[1]), *rest[2:]))
            elif kind == "sections":
                self.sections = (int(rest[0]), int(rest[1]))
            else:
                self.size, self.published = int(rest[0]), int(rest[1])


def judge(log, facts, first=0, least=0, others=()):
    """The faults of a folder, in words.  first: leaves before it were there before the writers; least: it had as many leaves
    once; others: names that others than the writers write."""
    faults = list(log.faults)
    faults += [f"{name} lacks a section" for name in facts.missing]
    if facts.sections and facts.sections[0] != facts.sections[1]:
        faults.append(f"{facts.sections[0]} sections are stored, {facts.sections[1]} are called for")
    if facts.size < least:
        faults.append(f"the log went back from {least} to {facts.size} leaves")
    if facts.published < log.head:
        faults.append(f"a client saw the head {log.head}, the last one stored is {facts.published}")
    for value, puts in facts.by_value.items():
        if len(puts) > 1:
            faults.append(f"{puts[0][1]} seq {puts[0][2]} is there {len(puts)} times")
        if puts[0][0] >= first and value not in log.sent and puts[0][1] not in others:
            faults.append(f"{puts[0][1]} seq {puts[0][2]} is there and nobody sent it")
    for value, write in log.sent.items():
        faults += judge_write(write, value, facts)
    for group, values in log.groups.items():
        faults += judge_group(group, values, facts)
    return faults


def judge_write(write, value, facts):
    what = f"{write.name} seq {write.seq}"
    puts = facts.by_value.get(value)
    if write.answer and not puts:
        return [f"{what} was acknowledged and is lost"]
    if not puts:
        return []
    leaf, name, seq, _, time_ms = puts[0]
    faults = []
    if (name, seq) != (write.name, write.seq):
        faults.append(f"{what} is stored as {name} seq {seq}")
    if write.answer and write.answer != (leaf, time_ms):
        faults.append(f"{what} was acknowledged as leaf {write.answer[0]}, and is leaf {leaf}")
    if write.checkpoint and not leaf < write.checkpoint <= facts.published:
        faults.append(f"{what} was said to be proven by {write.checkpoint}: leaf {leaf}, published {facts.published}")
    return faults


def judge_group(group, values, facts):
    leaves = sorted(facts.by_value[value][0][0] for value in values if value in facts.by_value)
    if leaves and (len(leaves) != len(values) or leaves[-1] - leaves[0] != len(values) - 1):
        return [f"the bundle {group} is half there"]
    return []


class World:
    """A folder with a directory, its server, and its writers.  Only processes that were started here are ended."""
    WRITER, LOG = WRITER, Log  # who writes, and who reads what they say
    WHO, STATES, ROUND = f"{WRITERS} writers", STATES, (0.05, 0.6)  # seconds of a round of the storm

    def __init__(self, states=None, root=None):
        self.states = states or self.STATES
        self.root = root or tempfile.mkdtemp(prefix="pocd-crash-")
        self.port = free_port()
        self.template, self.dir = os.path.join(self.root, "template"), os.path.join(self.root, "world")
        self.server = self.writers = None
        self.env = {**os.environ, "NO_COLOR": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": self.root}
        run(MAKE_WORLD, self.template, f"127.0.0.1:{self.port}", self.states, WRITERS, timeout=60)
        self.fresh()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and os.path.exists(self.path("pocd.log")):
            with open(self.path("pocd.log"), encoding="utf-8", errors="replace") as log:
                sys.stderr.write("".join(log.readlines()[-20:]))
        self.kill_all()
        shutil.rmtree(self.root, ignore_errors=True)

    def kill_all(self):
        for process in (self.writers, self.server):
            if process:
                process.kill()
                self.reap(process)
        self.writers = self.server = None

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def fresh(self):
        """Begins again with the directory as it was made."""
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.copytree(self.template, self.dir)
        self.log = self.LOG(self.path("acks"))
        self.first = self.facts(0).size
        self.least = self.first

    def set(self, **values):
        """Settings of pocd.conf: set(store__path="...")."""
        ini_set(self.path("pocd.conf"), {tuple(name.split("__", 1)): value for name, value in values.items()})

    # --- processes ---

    def spawn(self, **more):
        env = {**self.env, **more.pop("env", {})}
        self.server = subprocess.Popen([POCD, "-c", self.path("pocd.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, env=env, **more)

    def start(self, expect_ready=True, **more):
        """Starts the server; returns the seconds until it was ready, or the Result of its refusal."""
        begun = time.monotonic()
        self.spawn(**more)
        line = self.server.stdout.readline()
        if line.startswith("ready"):
            return time.monotonic() - begun
        err = self.server.stderr.read()
        result = Result([POCD], self.end(), line, err)
        if expect_ready:
            raise AssertionError(f"pocd does not start: {result}")
        return result

    def processor_seconds(self):
        """What the server and the children that it waited for have used so far."""
        with open(f"/proc/{self.server.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def end(self, number=None, timeout=20):
        """Ends the server by a signal, or waits for its own end; its exit status."""
        server, self.server = self.server, None
        if number is not None:
            server.send_signal(number)
        try:
            return server.wait(timeout=timeout * SLOW)
        except subprocess.TimeoutExpired:
            server.kill()
            raise AssertionError("pocd does not end") from None
        finally:
            self.reap(server)

    @staticmethod
    def reap(process):
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def write(self):
        """Starts the writers."""
        self.writers = subprocess.Popen([self.WRITER, self.dir, self.path("acks")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=self.env)
        if self.writers.stdout.readline() != "writing\n":
            raise AssertionError(f"the writers do not start: {self.writers.stderr.read()}")

    def finish_writing(self):
        """Lets the writers bring everything to an end, which needs a server."""
        writers, self.writers = self.writers, None
        writers.terminate()
        try:
            status = writers.wait(timeout=60 * SLOW)
        except subprocess.TimeoutExpired:
            writers.kill()
            raise AssertionError("the writers do not come to an end") from None
        finally:
            err = writers.stderr.read()
            self.reap(writers)
        if status != 0:
            raise AssertionError(f"the writers ended with {status}: {err}")

    def drop_writers(self):
        """Ends the writers where they stand."""
        writers, self.writers = self.writers, None
        writers.kill()
        self.reap(writers)

    def wait_acks(self, more=1, seconds=10):
        """Waits until so many more writes are acknowledged."""
        wanted, end = len(self.log.read().acknowledged()) + more, time.monotonic() + seconds * SLOW
        while len(self.log.read().acknowledged()) < wanted:
            if time.monotonic() > end:
                raise AssertionError(f"no {more} writes were acknowledged within {seconds} s: {self.log.refused[-3:]}")
            time.sleep(0.02)

    # --- looking ---

    def poc(self, *words, expect=0, **more):
        return run(POC, "-c", self.path("reader.conf"), *words, expect=expect, env=self.env, **more)

    def facts(self, since=None):
        return Facts(run(FACTS, self.path("data"), self.least if since is None else since, env=self.env).out)

    def judge(self, since=None):
        """Compares folder and acknowledgements while no server runs; raises on any fault."""
        facts = self.facts(since)
        faults = self.faults(facts)
        if faults:
            raise AssertionError("\n".join(faults[:20]))
        self.least = facts.size
        return facts

    def faults(self, facts):
        return judge(self.log.read(), facts, self.first, self.least, (f"R/{READER}",))

    # --- for controls of the judge ---

    def storm(self, rounds):
        """Some honest kills."""
        for _ in range(rounds):
            self.start()
            self.wait_acks(40, seconds=30)
            self.end(KILL)
            self.judge()

    def honest(self):
        """A whole round from the beginning to the end; its facts."""
        self.fresh()
        self.write()
        self.storm(2)
        self.start()
        self.finish_writing()
        self.end(TERM)
        return self.judge(since=0)

    def go_back(self):
        """An older folder takes the place of the newest, as if a commit had been lost or a copy restored; the writers go on."""
        self.fresh()
        self.write()
        self.storm(1)
        shutil.copytree(self.path("data"), self.path("older"))
        self.storm(1)
        shutil.rmtree(self.path("data"))
        shutil.move(self.path("older"), self.path("data"))
        self.forget_signed()

    def forget_signed(self):
        """The log key would not sign again what it has signed since."""
        os.remove(self.path("log.signed"))

    def judge_end(self):
        """After everything has come to an end."""
        if self.log.refused:
            raise AssertionError(f"refused: {self.log.refused[:5]}")

    def check(self):
        """pocadm check."""
        return run(POCADM, "check", self.path("data"), env=self.env, timeout=120)

    def log_text(self):
        with open(self.path("pocd.log"), encoding="utf-8", errors="replace") as log:
            return log.read()
