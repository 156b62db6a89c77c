"""follower: daemons that follow a World's: mirrors and auditors on loopback, and trust roots that list auditors."""
import os
import signal
import subprocess
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import wire
from harness import POCD, ROOT, SLOW, ini_set
from ports import free_port

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import forge  # noqa: E402  pylint: disable=wrong-import-position


class Follower:
    """A mirror of a state, or with sign=True its auditor.  Its folder and its user outlive the daemon."""

    def __init__(self, world, state, name, sign=False, source=None):
        self.world, self.state, self.name, self.daemon, self.port = world, state, name, None, free_port()
        self.user = f"{state.lower()}-{name}"
        self.dir = os.path.join(world.root, self.user)
        os.mkdir(self.dir, 0o700)
        self.join()
        certificate, key = world.key_files(self.user)
        self.signer = None
        if sign:
            private = ed25519.Ed25519PrivateKey.generate()
            self.signer = forge.Signer(private)
            with open(os.open(self.path("auditor.key"), os.O_CREAT | os.O_WRONLY, 0o600), "wb") as out:
                out.write(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                serialization.NoEncryption()))
        with open(self.path("pocd.conf"), "w", encoding="utf-8") as out:
            out.write(f"""[server]
listen = 127.0.0.1:{self.port}
cert = {certificate}
key = {key}

[store]
path = data

[follow]
server = 127.0.0.1:{source.port if source else world.port}
server_pin = {source.pin() if source else world.setting("xa-reader", "directory", "server_pin")}
id = {world.setting("xa-reader", "directory", "id")}
state = {state}
{"key = auditor.key" if sign else ""}

[diagnostics]
level = debug
file = pocd.log
""")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def join(self):
        """A user of the state with the role mirror."""
        world, invite = self.world, self.path("user.invite")
        coordinator = f"{self.state.lower()}-coordinator"
        world.poc(coordinator, "user", "invite", self.name, "--role", "mirror", "--service", "--out", invite)
        world.poc(self.user, "setup", invite, "--request", self.path("user.request"))
        world.poc(coordinator, "-y", "-q", "user", "add", self.path("user.request"))

    def pin(self):
        with open(self.world.key_files(self.user)[0], "rb") as file:
            from cryptography import x509  # pylint: disable=import-outside-toplevel
            key = x509.load_pem_x509_certificate(file.read()).public_key()
        return forge.sha(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hex()

    def public(self):
        """File of the public half of an auditor's key."""
        path = self.path("auditor.pub")
        with open(path, "wb") as out:
            out.write(self.signer.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                                    serialization.PublicFormat.SubjectPublicKeyInfo))
        return path

    def start(self, **more):
        # pylint: disable=consider-using-with
        self.daemon = subprocess.Popen([POCD, "-c", self.path("pocd.conf")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, text=True, env={**self.world.env, **more})
        line = self.daemon.stdout.readline()
        if not line.startswith("ready"):
            raise AssertionError(f"{self.user}: {self.daemon.stderr.read()}")
        return self

    def stop(self, number=signal.SIGTERM):
        if self.daemon is None:
            return 0
        self.daemon.send_signal(number)
        status = self.daemon.wait(timeout=40 * SLOW)
        self.daemon.stdout.close()
        self.daemon.stderr.close()
        self.daemon = None
        return status

    def cut_off(self, off=True):
        """From the next start on it asks where nobody listens; or the world's server again."""
        ini_set(self.path("pocd.conf"), {("follow", "server"): f"127.0.0.1:{free_port() if off else self.world.port}"})

    def log(self):
        with open(self.path("pocd.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, since=0, seconds=10):
        wait_for(lambda: text in self.log()[since:], f"{self.user} never said {text!r}", seconds)

    def settings(self, user, name=None):
        """A copy of a user's configuration that asks this follower alone."""
        return self.world.variant(user, name or f"{user}-at-{self.user}", {
            ("directory", "server"): f"127.0.0.1:{self.port}", ("directory", "server_pin"): self.pin()})


def wait_for(true, otherwise, seconds=10):
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(otherwise)


def current_trust(world):
    """The newest T, as the server gives it."""
    with world.client("directory-admin") as client:
        answer = client.call(wire.GET_HEAD, b"")
    proof = dict(wire.decode(answer.body))[1]
    return [value for number, value in wire.decode(proof) if number == 2][-1]


def publish_trust(world, followers, quorum, **fields):
    """Signs the next T with the root key of the world, which lists these auditors."""
    root = forge.Signer.load(world.path("keys", "root.key"))
    trust = current_trust(world)
    auditors = [{"name": f"auditor.{f.user}", "spki": f.signer.spki, "state": f.state} for f in followers]
    envelope = forge.change(trust, root, head=forge.next_head(trust, forge.payload_of(trust)["head"].get("directory_id") or
                                                              bytes.fromhex(world.setting("xa-reader", "directory", "id"))),
                            issued=int(time.time()), auditors=auditors, quorum=quorum, **fields)
    with world.client("directory-admin") as client:
        answer = client.call(wire.SUBMIT, wire.element(1, wire.field(1, envelope)))
    if answer.kind != wire.SUBMIT_ANSWER:
        raise AssertionError(answer.text)
    return envelope


def make_versions(world, name, n, fresh=None):
    """Publishes n more versions of T or of a state's K, which say what the current one says; with fresh, which makes private
    keys, each has a new key in the place of the root's or the authority's."""
    directory = bytes.fromhex(world.setting("xa-reader", "directory", "id"))
    with world.client("directory-admin", timeout=120) as client:
        if name == "T":
            envelope, key = current_trust(world), world.path("keys", "root.key")
        else:
            answer = client.call(wire.GET_ENVELOPES, wire.field(1, name))
            item = next(value for number, value in wire.decode(answer.body) if number == 4)
            envelope = [value for number, value in wire.decode(item) if number == 3][-1]
            key = world.path("states", f"{name[2:]}-authority.key")
        signers, fields = [forge.Signer.load(key)], {}
        for begin in range(0, n, 50):
            group = b""
            for _ in range(begin, min(begin + 50, n)):
                if fresh:
                    signers = [signers[-1], forge.Signer(fresh())]
                    fields = {"root_keys" if name == "T" else "authority": [{"spki": signers[-1].spki}]}
                envelope = forge.change(envelope, *signers, head=forge.next_head(envelope, directory), issued=int(time.time()),
                                        **fields)
                group += wire.element(1, wire.field(1, envelope))
            answer = client.call(wire.SUBMIT, group + wire.field(2, 1))
            if answer.kind != wire.SUBMIT_ANSWER:
                raise AssertionError(answer.text)
