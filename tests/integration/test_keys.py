"""Keys of people, states and servers: which were compared with their owners, who is suspended, and how they are rotated while
everybody goes on."""
import os
import sys
import unittest

import wire
from harness import ROOT, World, main

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import canonical
import forge

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


def submit(world, user, *envelopes):
    """Hands envelopes in as one group, waits until they are proven."""
    body = b"".join(wire.element(1, wire.field(1, each)) for each in envelopes) + wire.field(2, 1)
    with world.client(user) as client:
        answer = client.call(wire.SUBMIT, body)
        assert answer.kind == wire.SUBMIT_ANSWER, answer.text


def envelope(world, user, place, name):
    """The current envelope of K or S, from a saved answer."""
    path = os.path.join(world.root, "saved.proof")
    world.poc(user, "lookup", place, "--save", path, expect=None)
    with open(path, "rb") as file:
        proof = canonical.decode("Proof", file.read())
    return forge.item(proof, name)["envelopes"][-1]


def change_authority(world, state):
    """A new authority in the place of the old one, signed by both, in the name of the state."""
    path = world.path("states", f"{state}-authority.key")
    old, new = forge.Signer.load(path), forge.Signer.fresh()
    keys = envelope(world, "xa-reader", state, f"K/{state}")
    submit(world, "xa-reader", forge.change(keys, old, new, head=forge.next_head(keys), authority=[{"spki": new.spki}]))
    with open(path, "wb") as file:
        file.write(new.private.private_bytes(forge.serialization.Encoding.PEM, forge.serialization.PrivateFormat.PKCS8,
                                             forge.serialization.NoEncryption()))


class Counterparts(unittest.TestCase):
    def test_compared_by_telephone(self):
        shown = WORLD.poc("xa-operator", "key", "show", "XB")
        fingerprint = shown.out.splitlines()[1].split()[-1]
        self.assertEqual([len(group) for group in fingerprint.split("-")], [4] * 8, shown)
        self.assertNotIn("authority keys", WORLD.poc("xa-operator", "lookup", "XB").out)
        dry = WORLD.poc("xa-operator", "-n", "key", "verified", "XB")
        self.assertIn(fingerprint, dry.out)
        WORLD.poc("xa-operator", "key", "verified", "XB", expect=2)  # asks, and there is nobody to answer
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "lookup", "XB").json["verdict"]["authority_keys"],
                         {"status": "never", "verified_at": None})
        done = WORLD.poc("xa-operator", "-y", "-o", "json", "key", "verified", "XB").json
        self.assertEqual(done["fingerprints"], [fingerprint])
        self.assertIn("authority keys: verified on", WORLD.poc("xa-operator", "lookup", "XB").out)
        self.assertIn("authority keys: verified on", WORLD.poc("xa-operator", "key", "show", "XB").out)
        WORLD.poc("xa-operator", "sync")
        self.assertIn("authority keys: verified on", WORLD.poc("xa-operator", "--offline", "lookup", "XB").out)
        verdict = WORLD.poc("xa-operator", "-o", "json", "lookup", "XB").json["verdict"]["authority_keys"]
        self.assertEqual(verdict, {"status": "verified", "verified_at": done["verified_at"]})
        sent = WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")
        self.assertIn("authority keys: verified on", sent.out)

        change_authority(WORLD, "XB")
        self.assertIn("KEYS CHANGED", WORLD.poc("xa-operator", "lookup", "XB").out)
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "lookup", "XB").json["verdict"]["authority_keys"]["status"],
                         "changed")
        self.assertIn("KEYS CHANGED", WORLD.poc("xa-operator", "key", "show", "XB").out)
        dry = WORLD.poc("xa-operator", "-n", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")
        self.assertIn("KEYS CHANGED: XB", dry.err)  # before anything is sent
        sent = WORLD.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")
        self.assertIn("KEYS CHANGED: XB", sent.err)
        self.assertEqual(sent.json["recipients"][0]["authority_keys"]["status"], "changed")
        self.assertNotIn("KEYS", WORLD.poc("xa-reader", "lookup", "XB").out)  # who never compared is told nothing
        WORLD.poc("xa-operator", "-y", "key", "verified", "XB")
        self.assertIn("authority keys: verified on", WORLD.poc("xa-operator", "lookup", "XB").out)

    def test_what_was_compared_is_never_lost_unnoticed(self):
        WORLD.variant("xa-operator", "xa-damaged", {})
        WORLD.poc("xa-damaged", "-y", "key", "verified", "AD")
        folder = WORLD.path("users", "xa-damaged.state")
        path = os.path.join(folder, os.listdir(folder)[0], "known")
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            data[20] ^= 1
            file.seek(0)
            file.write(data)
        shown = WORLD.poc("xa-damaged", "lookup", "AD")  # whom to call is told all the same
        self.assertIn("KEYS: which authority keys", shown.out)
        self.assertEqual(WORLD.poc("xa-damaged", "-o", "json", "lookup", "AD").json["verdict"]["authority_keys"]["status"], "unknown")
        self.assertIn("is damaged", WORLD.poc("xa-damaged", "-y", "key", "verified", "AD", expect=1).err)

    def test_own_keys(self):
        keys = WORLD.poc("xa-coordinator", "-o", "json", "key", "show").json["keys"]
        self.assertEqual([each["key"] for each in keys][:1], ["user"])
        self.assertIn("coordinator", [each["key"] for each in keys])
        self.assertEqual(len({each["fingerprint"] for each in keys}), len(keys))

    def test_units_have_none(self):
        WORLD.poc("xa-operator", "-y", "key", "verified", "XB/north", expect=2)
        WORLD.poc("xa-operator", "-y", "key", "verified", "XZ", expect=5)


class Suspension(unittest.TestCase):
    def test_suspended_and_lifted(self):
        notice = WORLD.poc("xa-operator", "-o", "json", "notice", "send", "--to", "AE", "--subject", "s", "--text", "t").json["id"]
        WORLD.poc("ae-operator", "notice", "list")
        shown = WORLD.pocadm("-n", "state", "suspend", "AE", "--reason", "stolen keys")
        self.assertIn("AE (United Arab Emirates) will be SUSPENDED at once: stolen keys", shown.out)
        self.assertEqual(WORLD.poc("xa-reader", "lookup", "AE").status, 0)
        WORLD.pocadm("state", "suspend", "AE", "--reason", "stolen keys", expect=2)  # asks
        with WORLD.client("ae-reader") as session:
            WORLD.pocadm("-y", "state", "suspend", "AE", "--reason", "stolen keys")
            session.until_closed()
        looked = WORLD.poc("xa-reader", "-o", "json", "lookup", "AE", expect=7)
        self.assertEqual(looked.json["verdict"]["status"], "suspended")
        WORLD.poc("ae-reader", "lookup", "XB", expect=7)
        WORLD.poc("ae-operator", "notice", "ack", notice, expect=None)
        steps = WORLD.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]
        self.assertNotIn("acknowledged", [each["step"] for each in steps])
        WORLD.poc("xa-operator", "notice", "send", "--to", "AE", "--subject", "s", "--text", "t", expect=7)
        entry = next(each for each in WORLD.pocadm("-o", "json", "state", "list").json["states"] if each["state"] == "AE")
        self.assertEqual((entry["suspended"], entry["reason"]), (True, "stolen keys"))
        again = WORLD.pocadm("-y", "state", "suspend", "AE", "--reason", "other")
        self.assertIn("nothing to do", again.err)

        self.assertIn("it was for: stolen keys", WORLD.pocadm("-n", "state", "lift", "AE").out)
        WORLD.pocadm("-y", "state", "lift", "AE")
        WORLD.poc("xa-reader", "lookup", "AE")
        WORLD.poc("ae-reader", "lookup", "XB")
        WORLD.poc("ae-operator", "notice", "flush", expect=None)
        WORLD.poc("ae-operator", "notice", "ack", notice)
        self.assertIn("nothing to do", WORLD.pocadm("-y", "state", "lift", "AE").err)

    def test_refused(self):
        WORLD.pocadm("-y", "state", "suspend", "AE", expect=2)
        WORLD.pocadm("-y", "state", "suspend", "AE", "--reason", "a\nb", expect=2)
        WORLD.pocadm("-y", "state", "suspend", "XZ", "--reason", "r", expect=5)
        WORLD.pocadm("-y", "state", "suspend", "AE/unit", "--reason", "r", expect=2)
        refused = WORLD.pocadm("-y", "state", "suspend", "@directory", "--reason", "r", expect=4)
        self.assertIn("nobody could ever lift it", refused.err)


class Reload(unittest.TestCase):
    def test_reload(self):
        since = len(WORLD.log())
        with WORLD.client("xa-reader") as session:
            done = WORLD.pocadm("-o", "json", "reload").json
            self.assertEqual((done["pid"], done["restart_needed"]), (WORLD.daemon.pid, False))
            self.assertEqual(session.call(wire.GET_HEAD, b"").kind, wire.HEAD_ANSWER)  # nobody is cut off
        WORLD.wait_log("server.reload ", since)
        with WORLD.settings(reload=False, log__heartbeat="7m"):
            self.assertIn("needs a restart", WORLD.pocadm("reload").out)

    def test_a_wrong_configuration_is_not_sent(self):
        since = len(WORLD.log())
        with WORLD.settings(reload=False, limits__connections="many"):
            self.assertIn("limits.connections", WORLD.pocadm("reload", expect=1).err)
        with WORLD.settings(reload=False, server__key="absent.key"):
            WORLD.pocadm("reload", expect=1)
        self.assertNotIn("server.reload", WORLD.log()[since:])
        WORLD.pocadm("reload", WORLD.path("absent.conf"), expect=5)

    def test_nobody_is_signalled_where_nobody_serves(self):
        pid = WORLD.daemon.pid
        WORLD.kill()
        with open(WORLD.path("data", "pocd.lock"), encoding="ascii") as file:
            self.assertIn(str(pid), file.read())  # left behind, and not believed
        self.assertIn("no pocd serves", WORLD.pocadm("reload", expect=5).err)
        WORLD.start()
        self.assertEqual(WORLD.pocadm("-o", "json", "reload").json["pid"], WORLD.daemon.pid)

    def test_metrics(self):
        lines = WORLD.pocadm("metrics").out.splitlines()
        stats = WORLD.pocadm("-o", "json", "stats").json["counters"]
        self.assertEqual({line.split()[0] for line in lines if not line.startswith("#")}, {f"pocd_{name}" for name in stats})
        for comment, value in zip(lines[::2], lines[1::2]):
            name, number = value.split()
            self.assertEqual(comment, f"# TYPE {name} untyped")
            self.assertGreaterEqual(int(number), 0)
        WORLD.poc("xa-reader", "status")
        self.assertEqual(WORLD.pocadm("metrics").status, 0)


if __name__ == "__main__":
    main()
