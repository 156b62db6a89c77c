"""harness: a directory server with states, made by the public commands, for tests of the real programs over real TLS.

    with World() as world:
        answer = world.poc("xa-reader", "lookup", "XB")        # Result(status, out, err)
        world.poc("xa-reader", "lookup", "XZ", expect=5)

A world has the states XA and XB (records with several sections) and AD and AE (made from a two-row team list), each with the
users reader, operator and coordinator.  Everything lives in a private folder that is removed at the end; on failure the end
of the daemon's log is shown.  Only processes started here are ended.
"""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import wire
from ports import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("POCD_BUILD") or os.path.join(ROOT, "build")
POCD = os.path.join(BUILD, "pocd", "pocd")
POC = os.path.join(BUILD, "clients", "poc")
POCADM = os.path.join(BUILD, "clients", "pocadm")
DATA = os.path.join(ROOT, "tests", "data")
SLOW = 6 if os.environ.get("POCD_SLOW") else 1  # sanitizers
PATIENT = ("-t", str(5 * SLOW)) if SLOW > 1 else ()
TEAMS = """iso2,team,mailbox,phone,website,source,source_date
AD,AD-CERT,cert@cert.example.ad,+376 800 000,https://cert.example.ad,test,2024-01-01
AE,AE-CERT,cert@cert.example.ae,+971 4 000 0000,https://cert.example.ae,test,2024-01-01
"""


def shifted(seconds):
    """Environment of a program whose clock is off by so many seconds."""
    return {"LD_PRELOAD": os.path.join(BUILD, "tests", "lib", "libclock_shift.so"), "CLOCK_SHIFT": str(int(seconds)),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def file_limit(size, again=False):
    """preexec_fn of a program whose files may have so many bytes; again: the limit may be lifted later."""
    def limit():
        if SLOW > 1:  # ThreadSanitizer writes a file itself, before the program can ignore the signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY if again else size))
    return limit


full_disk = file_limit(0)  # it can write to pipes and to no file


class Result:
    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"$ {' '.join(self.command)}\nexit status {self.status}\n{self.out}{self.err}"


def run(*command, expect=0, timeout=60, **more):
    """Runs a program to its end; expect=None accepts any exit status."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout * SLOW,
                          stdin=more.pop("stdin", subprocess.DEVNULL), **more)
    result = Result([str(word) for word in command], done.returncode, done.stdout, done.stderr)
    if expect is not None and result.status != expect:
        raise AssertionError(f"expected exit status {expect}:\n{result}")
    return result


class World:
    def __init__(self, teams=TEAMS, keep=False):
        self.root = tempfile.mkdtemp(prefix="pocd-test-")
        self.dir = os.path.join(self.root, "world")
        self.keep, self.port, self.daemon = keep, free_port(), None
        self.env = {**os.environ, "POCD_BUILD": BUILD, "NO_COLOR": "1", "HOME": self.root, "TZ": "UTC", "LC_ALL": "C.UTF-8",
                    "XDG_STATE_HOME": os.path.join(self.root, "xdg")}
        list_file = os.path.join(self.root, "teams.csv")
        with open(list_file, "w", encoding="utf-8") as out:
            out.write(teams)
        try:
            self.demo = run(os.path.join(ROOT, "tests/lib/demo.sh"), "--dir", self.dir, "--teams", list_file, "--port", self.port,
                            "--no-wait", timeout=120 + 3 * len(teams.splitlines()), env={**self.env, "DEMO_LATER": "no"})
            # from here on the daemon is a child of the test: it can be waited for
            run(os.path.join(ROOT, "tests/lib/demo.sh"), "--dir", self.dir, "--stop", env=self.env)
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_log()
        self.close()

    def show_log(self):
        if os.path.exists(self.path("pocd.log")):
            with open(self.path("pocd.log"), encoding="utf-8", errors="replace") as log:
                sys.stderr.write("".join(log.readlines()[-40:]))

    def close(self):
        status = self.stop() if self.daemon else 0
        if os.path.exists(self.path("pocd.pid")):
            run(os.path.join(ROOT, "tests/lib/demo.sh"), "--dir", self.dir, "--stop", env=self.env, expect=None)
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)
        if status != 0:
            raise AssertionError(f"pocd ended with {status}")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def conf(self, user):
        return self.path("users", user + ".conf")

    def setting(self, user, section, name):
        """A value of a user's configuration."""
        return ini_get(self.conf(user), section, name)

    @contextlib.contextmanager
    def settings(self, reload=True, **values):
        """Runs the daemon with other settings for a while: settings(limits__idle_time="1s")."""
        path = self.path("pocd.conf")
        with open(path, encoding="utf-8") as conf:
            before = conf.read()
        ini_set(path, {tuple(name.split("__", 1)): value for name, value in values.items()})
        try:
            if reload:
                self.reload()
            yield
        finally:
            with open(path, "w", encoding="utf-8") as conf:
                conf.write(before)
            if reload and self.daemon:
                self.reload()

    # --- the daemon ---

    def start(self, expect_ready=True, prefix=(), **more):
        """Starts pocd and waits for its readiness line; returns how long that took, in seconds.  With expect_ready=False it may
        also refuse: then returns a Result.  prefix: a command that execs what follows it."""
        begun = time.monotonic()
        self.daemon = subprocess.Popen([*prefix, POCD, "-c", self.path("pocd.conf")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, text=True, env=self.env, **more)
        line = self.daemon.stdout.readline()
        if not line.startswith("ready"):
            status = self.daemon.wait(timeout=10 * SLOW)
            text = self.daemon.stderr.read()
            self._forget()
            if expect_ready:
                raise AssertionError(f"pocd ended with {status}: {text}")
            return Result([POCD], status, line, text)
        return time.monotonic() - begun

    def _forget(self):
        for stream in (self.daemon.stdout, self.daemon.stderr):
            stream.close()
        self.daemon = None

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Ends the daemon and returns its exit status (negative: the signal)."""
        self.daemon.send_signal(number)
        try:
            status = self.daemon.wait(timeout=timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
            self._forget()
            raise AssertionError("pocd did not end in time") from None
        self._forget()
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def forget_signed(self):
        """Lets the log key sign again from where the database is: for tests that put an older one in its place."""
        if os.path.exists(self.path("log.signed")):
            self.pocadm("-y", "-q", "signed", self.path("pocd.conf"), "--forget")

    def reload(self, expect="server.reload "):
        """SIGHUP, and waits until the log says how that went."""
        since = len(self.log())
        self.daemon.send_signal(signal.SIGHUP)
        self.wait_log(expect, since)

    def proc(self, name, field):
        """A number of /proc/<the daemon>/name: RssAnon in KiB of status, or a field of stat by its place."""
        with open(f"/proc/{self.daemon.pid}/{name}", encoding="ascii") as file:
            if name == "stat":
                return int(file.read().rsplit(")", 1)[1].split()[field - 3])
            return int(next(line for line in file if line.startswith(field + ":")).split()[1])

    def cpu_seconds(self):
        return (self.proc("stat", 14) + self.proc("stat", 15)) / os.sysconf("SC_CLK_TCK")

    def alive(self):
        return self.daemon.poll() is None

    def log(self):
        with open(self.path("pocd.log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_log(self, text, since=0, seconds=5):
        """Waits until the log (from offset since) holds text."""
        end = time.monotonic() + seconds * SLOW
        while time.monotonic() < end:
            if text in self.log()[since:]:
                return True
            time.sleep(0.02)
        raise AssertionError(f"the log never said {text!r}")

    # --- the programs ---

    def poc_file(self, conf, *words, expect=0, env=None, **more):
        """poc with any configuration file (None: the one that it finds)."""
        head = [POC, *PATIENT] if conf is None else [POC, "-c", conf, *PATIENT]
        return run(*head, *words, expect=expect, env={**self.env, **(env or {})}, **more)

    def variant(self, user, name, values):
        """A copy of a user's configuration beside it, with other values {(section, key): value}, and a held state of its own
        unless values say otherwise.  Returns the name to use as user."""
        shutil.copy(self.conf(user), self.conf(name))
        ini_set(self.conf(name), {("state", "dir"): name + ".state", **values})
        return name

    def poc(self, user, *words, expect=0, env=None, **more):
        return run(POC, "-c", self.conf(user), *PATIENT, *words, expect=expect, env={**self.env, **(env or {})}, **more)

    def pocadm(self, *words, expect=0, **more):
        return run(POCADM, "-c", self.conf("directory-admin"), *PATIENT, *words, expect=expect, env=self.env, **more)

    def record(self, user, place):
        """The record of a place, as `poc lookup -o json` gives it and `poc publish` takes it."""
        return self.poc(user, "-o", "json", "lookup", place).json["record"]

    # --- raw TLS ---

    def key_files(self, user):
        """Certificate and key file of a user, from its configuration."""
        return tuple(os.path.normpath(os.path.join(self.path("users"), self.setting(user, "user", name)))
                     for name in ("cert", "key"))

    def context(self, user=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["poc/1"])
        if user:
            context.load_cert_chain(*self.key_files(user))
        return context

    def connect(self, user="xa-reader", timeout=5, context=None):
        """A TLS connection without any frame sent yet."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=timeout * SLOW)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return (context or self.context(user)).wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def client(self, user="xa-reader", greet=True, **more):
        """A wire.Client; greeted unless told otherwise."""
        client = wire.Client(self.connect(user, **more))
        if greet:
            answer = client.call(wire.HELLO, self.hello(user))
            if answer.kind != wire.HELLO_ANSWER:
                client.close()
                raise AssertionError(f"hello of {user}: {answer.text}")
        return client

    def hello(self, user="xa-reader", **more):
        return wire.hello(bytes.fromhex(self.setting(user, "directory", "id")), self.setting(user, "user", "state"), **more)


def _ini_lines(path):
    """Lines of a configuration as (section, name or None, value, line)."""
    section = ""
    with open(path, encoding="utf-8") as conf:
        for line in conf:
            name, sign, value = (part.strip() for part in line.partition("="))
            if line.startswith("["):
                section = line.strip()[1:-1]
            is_value = bool(sign) and not line.startswith(("[", ";", "#"))
            yield section, name if is_value else None, value, line


def ini_get(path, section, name):
    return next(value for in_section, key, value, _ in _ini_lines(path) if (in_section, key) == (section, name))


def ini_set(path, values):
    """Sets {(section, name): value}; None takes a line away."""
    kept = [line for section, name, _, line in _ini_lines(path) if (section, name) not in values]
    for (section, name), value in values.items():
        if value is None:
            continue
        head = f"[{section}]\n"
        if head not in kept:
            kept.append(head)
        kept.insert(kept.index(head) + 1, f"{name} = {value}\n")
    with open(path, "w", encoding="utf-8") as conf:
        conf.writelines(kept)


def main():
    unittest.main(verbosity=2)
