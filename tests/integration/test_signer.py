"""The process that holds the log keys: the daemon never has them in its memory; what it signs, what it refuses to sign; its death;
databases that are older than what it has signed; other keys by SIGHUP."""
import base64
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from harness import POC, POCD, SLOW, World, main, run

WORLD = None
HELLO, START, PREPARE, SIGN, DONE, REFUSED = 1, 2, 3, 4, 16, 17


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


def seed(path):
    """The 32 bytes of a private Ed25519 key."""
    with open(path, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    return key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())


def in_memory(pid, needle):
    """How often bytes stand in the memory of a process."""
    found = 0
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line or end - begin > 1 << 31:
                continue  # kernel's pages; the database's address space holds no key
            try:
                mem.seek(begin)
                found += mem.read(end - begin).count(needle)
            except OSError:
                continue
    return found


def signer_pid():
    """The daemon's one child, which any of its threads may have started."""
    found = []
    for task in os.listdir(f"/proc/{WORLD.daemon.pid}/task"):
        with open(f"/proc/{WORLD.daemon.pid}/task/{task}/children", encoding="ascii") as file:
            found += file.read().split()
    if len(found) != 1:
        raise AssertionError(f"the daemon's children: {found}")
    return int(found[0])


class Memory(unittest.TestCase):
    def test_the_daemon_never_has_the_key(self):
        WORLD.poc("xa-coordinator", "-y", "confirm")  # it has been used
        log, server = (seed(WORLD.path("keys", name)) for name in ("log.key", "server.key"))
        pid = WORLD.daemon.pid
        self.assertEqual(in_memory(pid, log), 0)
        self.assertGreater(in_memory(pid, server), 0, "the search finds the key that the daemon does hold")
        if os.geteuid() == 0:  # nobody else may look
            self.assertGreater(in_memory(signer_pid(), log), 0)
            self.assertEqual(in_memory(signer_pid(), server), 0)

    def test_privileges(self):
        pid = signer_pid()
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            self.assertEqual(file.read(), "pocd-signer\n")
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            self.assertRegex(file.read(), r"Max core file size +0 +0 ")
        try:
            links = sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
        except PermissionError:
            self.assertNotEqual(os.geteuid(), 0)  # it cannot be looked into, which is as good
            return
        self.assertEqual([link for link in links if not link.startswith(("/dev/null", "socket:", "pipe:"))],
                         [WORLD.path("log.signed")])
        self.assertEqual(len([link for link in links if link.startswith("socket:")]), 1)


class Signer:
    """pocd --signer with the test as its daemon."""

    def __init__(self, conf, passphrase=None):
        self.socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        os.write(writing, passphrase or b"")
        os.close(writing)
        command = [POCD, "--signer", "-c", conf] + (["--passphrase-fd", "4"] if passphrase else [])
        with its:
            self.process = subprocess.Popen(["sh", "-c", f'exec "$@" 3<&{its.fileno()} 4<&{reading}', "sh", *command],
                                            pass_fds=(its.fileno(), reading), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                            text=True, start_new_session=True)  # no terminal to ask on
        os.close(reading)
        self.socket.settimeout(20 * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.status = self.process.wait(timeout=10 * SLOW)
        self.process.stderr.close()

    def raw(self, message):
        self.socket.send(message)
        return self.socket.recv(5000)

    def ask(self, kind, body=b""):
        """The answer's bytes, or the words of the refusal."""
        answer = self.raw(bytes([kind]) + body)
        if answer[0] == DONE:
            return answer[1:]
        return answer[4:].decode()


def field(data):
    return struct.pack(">H", len(data)) + data


def text(size, root=b"r", origin="signer.test/1"):
    return f"{origin}\n{size}\n{base64.b64encode(root * 32).decode()}\n".encode()


def head(size, root=b"r", origin="signer.test/1", ms=1700000000000):
    return field(text(size, root, origin)) + struct.pack(">Q", ms)


NOTHING = field(b"") + bytes(8)


class Rules(unittest.TestCase):
    """What the signer does for a daemon that somebody has taken over."""

    def setUp(self):
        self.dir = os.path.join(WORLD.root, self.id().rsplit(".", 1)[1])
        os.mkdir(self.dir)
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.write_key(serialization.NoEncryption())
        self.conf = os.path.join(self.dir, "pocd.conf")
        self.configure()

    def write_key(self, encryption, mode=0o600):
        path = os.path.join(self.dir, "log.key")
        with open(path, "wb") as file:
            file.write(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        os.chmod(path, mode)

    def configure(self, more=""):
        with open(self.conf, "w", encoding="ascii") as file:
            file.write("[server]\ncert = a\nkey = b\n[store]\npath = c\n[log]\nkey = log.key\n" + more)

    def test_a_head_that_was_prepared(self):
        with Signer(self.conf) as signer:
            answer = signer.ask(HELLO)
            public = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            self.assertEqual(answer, b"\1" + field(public))
            self.assertEqual(signer.ask(START, NOTHING + struct.pack(">Q", 4)), NOTHING)
            sign = b"\0" + field(text(5))
            self.assertIn("prepared last, nothing else", signer.ask(SIGN, sign))
            self.assertEqual(signer.ask(PREPARE, head(5)), b"")
            signature = signer.ask(SIGN, sign)
            self.key.public_key().verify(signature[2:], text(5))
            self.assertEqual(signer.ask(PREPARE, head(5)), b"", "the same once more")
            for bad in (text(5)[:-1], text(5) + b"x\n", text(6), text(5, b"q"), b"", b"anything"):
                self.assertIn("nothing else", signer.ask(SIGN, b"\0" + field(bad)))
            self.assertIn("malformed", signer.ask(SIGN, b"\1" + field(text(5))))
        self.assertEqual(signer.status, 0)

    def test_never_less_never_otherwise(self):
        refused = (("will not sign size 4: that would take entries back", head(4)), ("another head of size 5", head(5, b"q")),
                   ("signs for signer.test/1, not for other.test/1", head(9, origin="other.test/1")))
        with Signer(self.conf) as signer:
            self.assertEqual(signer.ask(PREPARE, head(5)), b"")
            for words, bad in refused:
                self.assertIn(words, signer.ask(PREPARE, bad))
        with Signer(self.conf) as signer:  # it is remembered
            for words, bad in refused:
                self.assertIn(words, signer.ask(PREPARE, bad))
            self.assertEqual(signer.ask(PREPARE, head(6)), b"")
            with Signer(self.conf) as second:  # two with one memory are as one
                self.assertIn("will not sign size 5", second.ask(PREPARE, head(5)))
                self.assertEqual(second.ask(PREPARE, head(8)), b"")
            self.assertIn("will not sign size 7", signer.ask(PREPARE, head(7)))

    def test_start(self):
        def start(published, leaves):
            with Signer(self.conf) as signer:
                return signer.ask(START, published + struct.pack(">Q", leaves))
        self.assertEqual(start(head(10), 12), head(10))  # published before there was a memory
        with Signer(self.conf) as signer:
            signer.ask(PREPARE, head(13))
        self.assertEqual(start(head(10), 12), head(13), "signed and not stored: it lacks its STATE leaf only")
        self.assertIn("older than what the log key has signed: it ends at size 11, signed is size 13", start(head(10), 11))
        self.assertIn("older", start(NOTHING, 0))
        self.assertIn("another head of size 13", start(head(13, b"q"), 13))
        self.assertEqual(start(head(13), 13), head(13))
        self.assertEqual(start(head(20), 20), head(20))

    def test_malformed(self):
        with Signer(self.conf) as signer:
            for message in (b"\x63", b"\2", b"\3", b"\4", b"\3" + head(5)[:-1], b"\3" + head(5) + b"x", b"\3" + NOTHING,
                            b"\3\xff\xff" + bytes(100), b"\4\0\xff\xff", bytes([PREPARE]) + field(text(5) + b"more\n") + bytes(8),
                            bytes([PREPARE]) + field(b"\n5\n\n") + bytes(8)):
                self.assertEqual(signer.raw(message)[0], REFUSED, message)
            self.assertEqual(signer.ask(PREPARE, head(5)), b"", "and it goes on")

    def test_memory(self):
        memory = os.path.join(self.dir, "log.signed")
        with Signer(self.conf) as signer:
            for size in (5, 6, 7):
                signer.ask(PREPARE, head(size))
        self.assertEqual(os.stat(memory).st_mode & 0o777, 0o600)
        with open(memory, "rb") as file:
            good = file.read()
        newest = good.index(b"\n7\n") // 512 * 512

        def refusal(data):
            with open(memory, "wb") as file:
                file.write(data)
            with Signer(self.conf) as signer:
                return signer.ask(PREPARE, head(6))
        # a write that was cut short: the other copy counts
        self.assertEqual(refusal(good[:newest] + good[newest:newest + 512].replace(b"\n7\n", b"\n8\n") + good[newest + 512:]), b"")
        for bad in (b"", bytes(1024), good[:300], good.replace(b"sha256", b"sha255"), os.urandom(1024)):
            self.assertIn("is damaged: what the log key signed last is not known", refusal(bad))
        os.chmod(memory, 0o622)
        self.assertIn("others may write it", refusal(good))
        os.remove(memory)
        os.symlink("elsewhere", memory)
        with Signer(self.conf) as signer:
            self.assertIn("symbolic link", signer.ask(HELLO))

    def test_passphrases(self):
        """From a file, from a descriptor; none, a wrong one, a file that others can read."""
        self.write_key(serialization.BestAvailableEncryption(b"open sesame"))

        def hello(passphrase=None):
            with Signer(self.conf, passphrase) as signer:
                return signer.ask(HELLO)
        self.assertRegex(hello(), r"log\.key: needs a passphrase$")
        file = os.path.join(self.dir, "pass")
        self.configure("passphrase_file = pass\n")
        for content, mode, words in ((b"open sesame\n", 0o640, "others may read or write it"), (b"open sesam\n", 0o600, "wrong passphrase"),
                                     (b"\nopen sesame\n", 0o600, "no passphrase in it"), (b"x" * 600, 0o600, "longer than 511")):
            with open(file, "wb") as out:
                out.write(content)
            os.chmod(file, mode)
            self.assertIn(words, hello())
        with open(file, "wb") as out:
            out.write(b"open sesame\n")
        self.assertEqual(hello()[:1], b"\1")
        for content, words in ((b"open sesame\n", None), (b"open sesame", None), (b"wrong", "wrong passphrase")):
            answer = hello(content)
            if words:
                self.assertIn(words, answer)
            else:
                self.assertEqual(answer[:1], b"\1")

    def test_keys_that_others_can_read(self):
        for mode in (0o640, 0o604, 0o620):
            self.write_key(serialization.NoEncryption(), mode)
            with Signer(self.conf) as signer:
                self.assertRegex(signer.ask(HELLO), r"log\.key: others may read or write it \(mode 0\d+\); chmod 600 it$")

    def test_by_hand(self):
        result = run(POCD, "--signer", "-c", self.conf, expect=2)
        self.assertIn("for pocd's own use", result.err)


class Death(unittest.TestCase):
    def tearDown(self):
        WORLD.stop()
        WORLD.start()

    def test_it_is_started_again_once(self):
        before = signer_pid()
        os.kill(before, signal.SIGKILL)
        WORLD.poc("xa-coordinator", "-y", "confirm")
        self.assertNotEqual(signer_pid(), before)
        self.assertRegex(WORLD.log(), f"signer.died pid={before}\n.*signer.restarted pid={signer_pid()}\n")
        # again, at once: what is accepted stays stored, lookups go on, and the log says it
        since = len(WORLD.log())
        os.kill(signer_pid(), signal.SIGKILL)
        result = WORLD.poc("xa-coordinator", "-y", "confirm", expect=8)
        self.assertIn("stored", result.out)
        WORLD.poc("xb-reader", "lookup", "XA")
        WORLD.wait_log("publish.failed", since)
        self.assertIn("the signer is dead and was started again less than a minute ago", WORLD.log()[since:])
        seq = int(re.search(r"version (\d+): stored", result.out).group(1))
        WORLD.stop()
        WORLD.start()
        self.assertEqual(WORLD.poc("xb-reader", "-o", "json", "history", "XA").json["versions"][-1]["seq"], seq)

    def test_one_that_hangs_is_no_obstacle_to_lookups(self):
        os.kill(signer_pid(), signal.SIGSTOP)
        writer = subprocess.Popen([POC, "-c", WORLD.conf("xa-coordinator"), "-y", "confirm"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=WORLD.env)
        time.sleep(0.5)
        WORLD.poc("xb-reader", "lookup", "XA")
        os.kill(signer_pid(), signal.SIGCONT)
        self.assertIn(writer.wait(timeout=30 * SLOW), (0, 8))

    def test_it_ends_with_the_daemon(self):
        pid = signer_pid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)  # a terminal's ^C goes to both: the daemon has a last checkpoint to be signed
        WORLD.poc("xa-coordinator", "-y", "confirm")
        self.assertEqual(signer_pid(), pid)
        WORLD.kill()
        end = time.monotonic() + 5 * SLOW
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
            time.sleep(0.02)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        WORLD.start()


class Reload(unittest.TestCase):
    def test_another_memory(self):
        """Another signer takes over between two checkpoints; nothing is lost."""
        before = signer_pid()
        with WORLD.settings(log__signed="moved.signed"):
            after = signer_pid()
            self.assertNotEqual(after, before)
            WORLD.poc("xa-coordinator", "-y", "confirm")
            self.assertEqual(signer_pid(), after)
            self.assertIn("has signed up to size", WORLD.pocadm("signed", WORLD.path("pocd.conf")).out)
        WORLD.poc("xa-coordinator", "-y", "confirm")

    def test_a_key_that_no_trust_root_lists(self):
        before, other = signer_pid(), WORLD.path("keys", "other.key")
        if not os.path.exists(other):
            WORLD.poc("xa-coordinator", "key", "new", other)
        for value, words in (("keys/other.key", "not one that the trust root lists"), ("keys/none.key", "none.key"),
                             ("keys/root.key", "a log key is an Ed25519 key")):
            with WORLD.settings(reload=False, log__key=value):
                since = len(WORLD.log())
                WORLD.reload(expect="server.reload_failed")
                self.assertIn(words, WORLD.log()[since:])
            WORLD.poc("xa-coordinator", "-y", "confirm")
            self.assertEqual(signer_pid(), before)
        WORLD.reload()


class Older(unittest.TestCase):
    def test_way_on(self):
        """A database from before: refused; what was signed is said, forgotten on request, and only then."""
        conf, once = WORLD.path("pocd.conf"), WORLD.variant("xa-coordinator", "once", {})
        WORLD.stop()
        shutil.copytree(WORLD.path("data"), WORLD.path("older"))
        WORLD.start()
        WORLD.poc(once, "-y", "confirm")
        WORLD.stop()
        shutil.rmtree(WORLD.path("data"))
        os.rename(WORLD.path("older"), WORLD.path("data"))
        for _ in range(2):
            result = WORLD.start(expect_ready=False)
            self.assertEqual(result.status, 1)
            self.assertRegex(result.err, r"^pocd: this database is older than what the log key has signed: it ends at size \d+, "
                                         r"signed is size \d+ of \S+; was a backup restored\? pocd\(8\), THE SIGNER\n$")
        signed = WORLD.pocadm("-o", "json", "signed", conf).json
        self.assertIn(f"signed is size {signed['size']} of", result.err)
        self.assertEqual(WORLD.pocadm("signed", conf, "--forget", expect=2).out, "")  # not without --yes
        WORLD.pocadm("-n", "signed", conf, "--forget")
        self.assertEqual(WORLD.start(expect_ready=False).status, 1)
        self.assertIn("forgotten", WORLD.pocadm("-y", "signed", conf, "--forget").out)
        WORLD.pocadm("signed", conf, expect=5)
        WORLD.start()
        WORLD.poc("xa-reader", "lookup", "XB")


if __name__ == "__main__":
    main()
