"""Keys of people, states and servers: which were compared with their owners, who is suspended, and how they are rotated while
everybody goes on."""
import contextlib
import csv
import io
import os
import re
import shutil
import sys
import threading
import unittest

from cryptography.hazmat.primitives.asymmetric import rsa

import wire
from harness import POC, POCADM, ROOT, SLOW, World, ini_get, main, run, shifted

sys.path.insert(0, os.path.join(ROOT, "tests", "reference"))
import canonical
import forge

SERVER = 7  # role, of payload.proto
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


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def current(world, user, name):
    """The current envelope of T, S, K, U by its name."""
    with world.client(user) as client:
        answer = client.call(wire.GET_ENVELOPES, wire.element(1, name.encode()))
        return forge.item(canonical.decode("Proof", answer.body), name)["envelopes"][-1]


def change_authority(world, state):
    """A new authority in the place of the old one, signed by both, in the name of the state."""
    path = world.path("states", f"{state}-authority.key")
    old, new = forge.Signer.load(path), forge.Signer.fresh()
    keys = current(world, "xa-reader", f"K/{state}")
    submit(world, "xa-reader", forge.change(keys, old, new, head=forge.next_head(keys), authority=[{"spki": new.spki}]))
    with open(path, "wb") as file:
        file.write(new.private.private_bytes(forge.serialization.Encoding.PEM, forge.serialization.PrivateFormat.PKCS8,
                                             forge.serialization.NoEncryption()))


class Load:
    """Lookups and notices by other processes that go on meanwhile; none may fail."""

    def __init__(self, lookups=(("xb-reader", "XA"),), sender="xb-operator", to="XA"):
        self.lookups, self.sender, self.to = lookups, sender, to
        self.done, self.sent, self.faults, self.end = {}, [], [], threading.Event()

    def _look_up(self, user, place):
        while not self.end.is_set():
            result = WORLD.poc(user, "-t", str(20 * SLOW), "lookup", place, expect=None)
            if result.status != 0:
                self.faults.append(str(result))
            self.done[user] = self.done.get(user, 0) + 1

    def _send(self):
        while not self.end.is_set():
            result = WORLD.poc(self.sender, "-t", str(20 * SLOW), "-o", "json", "notice", "send", "--to", self.to, "--subject", "load",
                               "--text", f"number {len(self.sent)}", expect=None)
            if result.status != 0:
                self.faults.append(str(result))
            else:
                self.sent.append(result.json["id"])

    def check(self, case, reader):
        """Nothing failed, and who received the notices reads each of them."""
        case.assertEqual(self.faults, [])
        listed = {each["id"] for each in WORLD.poc(reader, "-o", "json", "notice", "list", "--all").json["notices"]}
        case.assertLessEqual(set(self.sent), listed)
        for number, each in enumerate(self.sent):
            case.assertIn(f"number {number}", WORLD.poc(reader, "notice", "show", each).out)

    @contextlib.contextmanager
    def running(self):
        threads = [threading.Thread(target=self._look_up, args=pair) for pair in self.lookups]
        threads.append(threading.Thread(target=self._send))
        for thread in threads:
            thread.start()
        try:
            yield self
            before, sent = dict(self.done), len(self.sent)  # and it goes on afterwards
            while not self.faults and (len(self.sent) < sent + 2 or any(self.done.get(user, 0) < before.get(user, 0) + 2
                                                                        for user, _ in self.lookups)):
                self.end.wait(0.05)
        finally:
            self.end.set()
            for thread in threads:
                thread.join()


def own_fingerprint(user):
    return WORLD.poc(user, "-o", "json", "key", "show").json["keys"][0]["fingerprint"]


def listed(state):
    """Fingerprints of a state's users by handle, and the entries of reading keys."""
    document = WORLD.poc("xb-reader", "-o", "json", "user", "list", state).json
    return {each["handle"]: each["fingerprint"] for each in document["users"]}, document["reading_keys"]


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
        told = [each["fingerprint"] for each in WORLD.poc("xb-reader", "-o", "json", "key", "show", "XA").json["keys"]
                if each["key"] == "authority"]
        self.assertEqual([each["fingerprint"] for each in keys if each["key"] == "authority"], told)
        WORLD.poc("xa-coordinator", "-y", "key", "new", WORLD.path("users", "shown.key"), "--holder", "desk", "--kind", "diplomatic")
        away = WORLD.variant("xa-coordinator", "xa-shown", {("notices", "reading_key"): "shown.key"})
        self.assertRegex(WORLD.poc(away, "key", "show").out, r"(?m)^desk diplomatic +\w{4}-")
        WORLD.variant(away, "xa-away", {("directory", "server"): "127.0.0.1:1", ("state", "dir"): "xa-shown.state"})
        self.assertEqual([line.split()[0] for line in WORLD.poc("xa-away", "key", "show").out.splitlines()][-1], "authority")
        WORLD.variant(away, "xa-nothing", {("directory", "server"): "127.0.0.1:1"})
        nothing = WORLD.poc("xa-nothing", "key", "show")
        self.assertNotIn("authority", nothing.out)
        self.assertIn("which authority keys XA has is not known here", nothing.err)

    def test_units_have_none(self):
        WORLD.poc("xa-operator", "-y", "key", "verified", "XB/north", expect=2)
        WORLD.poc("xa-operator", "-y", "key", "verified", "XZ", expect=5)


class Announcement(unittest.TestCase):
    def announce(self, user, *flags):
        return WORLD.poc(user, "-o", "json", *flags, "key", "announce").json

    def test_those_who_wrote_are_told_once(self):
        self.assertIn("nothing to announce", WORLD.poc("xa-operator", "key", "announce").err)
        for kind in ("technical", "diplomatic"):
            WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--kind", kind, "--subject", "s", "--text", "t")
        WORLD.poc("ad-operator", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")
        WORLD.poc("xb-operator", "notice", "send", "--to", "AE", "--subject", "s", "--text", "t")  # who wrote nothing
        with open(WORLD.path("states", "XB-authority.key"), "rb") as file:
            before = file.read()
        change_authority(WORLD, "XB")
        fingerprint = WORLD.poc("xa-operator", "-o", "json", "key", "show", "XB").json["keys"][0]["fingerprint"]
        dry = self.announce("xb-operator", "-n")
        self.assertEqual([(each["to"], each["result"]) for each in dry["notices"]], [("AD", "would-be-sent"), ("XA", "would-be-sent")])
        done = self.announce("xb-operator")
        self.assertEqual((done["sent"], done["sent_before"], done["not_sent"]), (2, 0, 0))
        told = next(each["id"] for each in done["notices"] if each["to"] == "XA")
        self.assertEqual([each["id"] for each in dry["notices"]], [each["id"] for each in done["notices"]])
        shown = WORLD.poc("xa-operator", "notice", "show", told).out
        self.assertIn("The authority keys of XB have changed", shown)
        self.assertIn(fingerprint, shown)
        again = self.announce("xb-operator")
        self.assertEqual((again["sent"], again["sent_before"]), (0, 2))
        WORLD.variant("xb-operator", "xb-elsewhere", {})  # another machine of the same desk
        self.assertEqual(self.announce("xb-elsewhere")["sent_before"], 2)
        change_authority(WORLD, "XB")  # another change, another notice
        self.assertEqual(self.announce("xb-operator")["sent"], 2)
        with open(WORLD.path("states", "XB-authority.key"), "rb") as file:
            self.assertNotEqual(file.read(), before)

    def test_who_wrote_long_ago_is_not(self):
        WORLD.poc("xb-operator", "notice", "send", "--to", "AD", "--subject", "s", "--text", "t")
        change_authority(WORLD, "AD")
        late = WORLD.poc("ad-operator", "-n", "-o", "json", "key", "announce", env=shifted(91 * 86400), expect=None)
        self.assertEqual(late.json.get("notices"), [], late)
        self.assertEqual(len(self.announce("ad-operator", "-n")["notices"]), 1)


class RotateUser(unittest.TestCase):
    def offline_client(self, name):
        WORLD.variant("xb-reader", name, {})
        WORLD.poc(name, "sync")
        return name

    def test_by_a_coordinator(self):
        conf, before = WORLD.conf("xa-coordinator"), own_fingerprint("xa-coordinator")
        offline, stolen = self.offline_client("xb-away"), WORLD.variant("xa-coordinator", "xa-stolen", {})
        self.assertIn("dry run", WORLD.poc("xa-coordinator", "-n", "key", "rotate", "user").err)
        with open(conf, encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn("next_key", text)
        with Load(lookups=(("xb-reader", "XA"), ("xa-coordinator", "XB"))).running() as load:
            WORLD.poc("xa-coordinator", "key", "rotate", "user", expect=2)  # nobody said yes: both keys stand in the configuration,
            self.assertIn("next_key", read(conf))
            self.assertEqual(listed("XA")[0]["coordinator"], before)  # and the old one in U
            WORLD.poc("xa-coordinator", "-y", "key", "rotate", "user")  # goes on where that was
        load.check(self, "xa-operator")
        after = own_fingerprint("xa-coordinator")
        self.assertNotEqual(after, before)
        self.assertEqual(listed("XA")[0]["coordinator"], after)
        self.assertNotIn("next_key", read(conf))
        self.assertEqual(os.stat(conf).st_mode & 0o777, 0o600)
        for line in text.splitlines():  # all else stays as it was
            if not re.match(r"(cert|key) = ", line):
                self.assertIn(line, read(conf))
        WORLD.poc(offline, "lookup", "XA")
        WORLD.poc(stolen, "lookup", "XB", expect=4)  # the old key
        WORLD.poc("xa-coordinator", "-y", "confirm", "XA")
        self.assertIn("OFFLINE", WORLD.poc("xa-coordinator", "--offline", "lookup", "XB").out)  # the copy came along
        WORLD.poc("xa-coordinator", "-y", "key", "rotate", "user")  # once more, another name
        self.assertIn("-3.key", ini_get(conf, "user", "key"))

    def test_lost(self):
        """Invited and added anew: that alone drops both old keys, and nothing is left to be removed."""
        invite, request, conf = (WORLD.path("users", "reader-2." + end) for end in ("invite", "request", "conf"))
        WORLD.poc("xb-coordinator", "user", "invite", "lost", "--role", "operator", "--kind", "technical", "--out", WORLD.path("users", "lost.invite"))
        WORLD.poc("lost", "setup", WORLD.path("users", "lost.invite"))
        WORLD.poc("xb-coordinator", "-y", "user", "add", WORLD.path("users", "lost.request"))
        WORLD.poc("lost", "lookup", "XA")
        before, reads = listed("XB")
        WORLD.poc("xb-coordinator", "user", "invite", "lost", "--role", "operator", "--kind", "technical", "--out", invite)
        self.assertIn("-c FILE sets up another user beside it", WORLD.poc("lost", "setup", invite, expect=None).err)
        WORLD.poc_file(conf, "setup", invite)
        shown = WORLD.poc("xb-coordinator", "-y", "user", "add", request).out
        self.assertIn("XB/lost: a new key for a user that is listed", shown)
        now, read_by = listed("XB")
        self.assertEqual({**before, "lost": ""}, {**now, "lost": ""})
        self.assertNotEqual(before["lost"], now["lost"])
        keys = [[each["fingerprint"] for each in entries if each["handle"] == "lost"] for entries in (reads, read_by)]
        self.assertEqual([len(each) for each in keys], [1, 1])
        self.assertNotEqual(*keys)
        WORLD.poc("lost", "lookup", "XA", expect=4)
        WORLD.poc_file(conf, "lookup", "XA")
        WORLD.poc("xb-coordinator", "-y", "user", "remove", "lost")
        WORLD.poc_file(conf, "lookup", "XA", expect=4)  # that was the person

    def test_by_request(self):
        conf, before = WORLD.conf("xa-operator"), own_fingerprint("xa-operator")
        request = WORLD.path("users", "xa-operator.rotate.request")
        with Load(lookups=(("xb-reader", "XA"), ("xa-operator", "XB"))).running() as load:
            first = WORLD.poc("xa-operator", "-o", "json", "key", "rotate", "user").json
            again = WORLD.poc("xa-operator", "-o", "json", "key", "rotate", "user").json  # still waits
            self.assertEqual(first, again)
            self.assertEqual((first["step"], first["request"]), ("requested", request))
            self.assertEqual(listed("XA")[0]["operator"], before)
            shown = WORLD.poc("xa-coordinator", "-y", "user", "add", request)
            self.assertIn(first["check_code"], shown.out)
        note = WORLD.poc("xa-operator", "lookup", "XB")
        self.assertIn("poc key rotate user ends the change", note.err)
        load.check(self, "xa-operator")
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "key", "rotate", "user").json["step"], "ended")
        self.assertEqual(own_fingerprint("xa-operator"), first["fingerprint"])
        self.assertEqual(listed("XA")[0]["operator"], first["fingerprint"])
        self.assertNotIn("next_key", read(conf))
        WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")

    def test_refused(self):
        WORLD.poc("xa-operator", "key", "rotate", "coordinator", expect=2)
        WORLD.poc("xa-operator", "key", "rotate", "user", "--overlap", "1d", expect=2)
        WORLD.poc("xa-operator", "key", "rotate", "desk", expect=4)
        WORLD.variant("xb-operator", "xb-waits", {("directory", "server"): "127.0.0.1:1"})
        text = read(WORLD.conf("xb-waits"))
        WORLD.poc("xb-waits", "key", "rotate", "user", expect=3)
        self.assertEqual(read(WORLD.conf("xb-waits")), text)  # nothing was begun


class RotateReading(unittest.TestCase):
    def test_own_by_request(self):
        with Load().running() as load:
            old = WORLD.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "old", "--text", "to the old key").json
            asked = WORLD.poc("xa-operator", "-o", "json", "key", "rotate", "reading").json
            WORLD.poc("xa-coordinator", "-y", "user", "add", asked["request"])
        load.check(self, "xa-operator")
        keys = [each["fingerprint"] for each in listed("XA")[1] if each["handle"] == "operator"]
        self.assertEqual(keys, [asked["fingerprint"]])
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "key", "rotate", "reading").json["step"], "ended")
        self.assertNotIn("next_reading_key", read(WORLD.conf("xa-operator")))
        self.assertIn("to the old key", WORLD.poc("xa-operator", "notice", "show", old["id"]).out)

    def test_both_by_one_request(self):
        """The second rotation that waits for a coordinator does not take the first one's new key out of the request."""
        for words in (["user", "reading"], ["reading", "user"]):
            first, second = (WORLD.poc("ad-operator", "-o", "json", "key", "rotate", each).json for each in words)
            self.assertEqual(first["request"], second["request"])
            self.assertNotEqual(first["check_code"], second["check_code"])
            self.assertIn(second["check_code"], WORLD.poc("ad-coordinator", "-y", "user", "add", second["request"]).out)
            made = dict(zip(words, (first["fingerprint"], second["fingerprint"])))
            users, reading = listed("AD")
            self.assertEqual(users["operator"], made["user"])
            self.assertEqual([each["fingerprint"] for each in reading if each["handle"] == "operator"], [made["reading"]])
            for each in words:
                self.assertEqual(WORLD.poc("ad-operator", "-o", "json", "key", "rotate", each).json["step"], "ended")

    def test_which_desk(self):
        conf = ini_get(WORLD.conf("ae-coordinator"), "notices", "reading_key")
        for kind in ("technical", "diplomatic"):
            WORLD.poc("ae-coordinator", "-y", "key", "new", WORLD.path("users", f"ae-{kind}.key"), "--holder", "desk", "--kind", kind)
        WORLD.variant("ae-coordinator", "ae-desks", {("notices", "reading_key"): f"{conf}, ae-technical.key, ae-diplomatic.key"})
        before = read(WORLD.conf("ae-desks"))
        self.assertIn("which desk's? ", WORLD.poc("ae-desks", "-y", "key", "rotate", "desk", expect=2).err)
        self.assertEqual(read(WORLD.conf("ae-desks")), before)
        WORLD.poc("ae-desks", "-y", "key", "rotate", "desk", "-k", "diplomatic")
        self.assertNotEqual(read(WORLD.conf("ae-desks")), before)

    def test_own_by_a_coordinator(self):
        before = [each["fingerprint"] for each in listed("XA")[1] if each["handle"] == "coordinator"]
        WORLD.poc("xa-coordinator", "key", "rotate", "reading", expect=2)  # asks
        self.assertIn("next_reading_key", read(WORLD.conf("xa-coordinator")))
        WORLD.poc("xa-coordinator", "-y", "key", "rotate", "reading", "--overlap", "1d")
        entries = [each for each in listed("XA")[1] if each["handle"] == "coordinator"]
        self.assertEqual(len(entries), 2)
        self.assertEqual([each["fingerprint"] for each in entries if each["not_after"] != "-" and each["fingerprint"] in before], before)

    def test_desk(self):
        path, desks = WORLD.path("users", "desk.key"), [each for each in listed("XA")[1] if each["holder"] == "desk"]
        before, others = len(desks), len([each for each in desks if "technical" in each["kinds"]])
        WORLD.poc("xa-coordinator", "-y", "key", "new", path, "--holder", "desk", "--kind", "technical")
        conf = WORLD.conf(WORLD.variant("xa-coordinator", "xa-desk", {("notices", "reading_key"): "desk.key"}))
        with Load().running() as load:
            WORLD.poc("xa-desk", "-y", "key", "rotate", "desk")
        load.check(self, "xa-operator")
        desks = [each for each in listed("XA")[1] if each["holder"] == "desk"]
        self.assertEqual(len(desks), before + 2)  # side by side, until all have the new one
        names = (ini_get(conf, "notices", "reading_key"), ini_get(conf, "notices", "old_reading_key"))
        self.assertEqual(names, ("desk-2.key", "desk.key"))
        # whoever reads with the desk's keys reads all, whichever was current then
        colleague = WORLD.variant("xa-operator", "xa-colleague", {("notices", "reading_key"): names[0], ("notices", "old_reading_key"): names[1]})
        load.check(self, colleague)
        # stolen: without an overlap the one whose overlap goes on is dropped as well
        done = WORLD.poc("xa-desk", "-y", "key", "rotate", "desk", "--overlap", "0")
        self.assertIn("desk-2.key, and any that it had replaced, opens nothing that is sent from now on", done.out)
        self.assertNotIn("until then", done.out)
        self.assertEqual(done.err.count("another key of a desk, which stays"), others)
        self.assertEqual((ini_get(conf, "notices", "reading_key"), ini_get(conf, "notices", "old_reading_key")),
                         ("desk-3.key", "desk-2.key, desk.key"))
        newest = WORLD.poc("xa-desk", "-o", "json", "key", "show", WORLD.path("users", "desk-3.key")).json["keys"][0]["fingerprint"]
        now = [each for each in listed("XA")[1] if each["holder"] == "desk"]
        self.assertEqual(len(now), before + 1)
        self.assertIn(newest, [each["fingerprint"] for each in now])
        sent = WORLD.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "s", "--text", "after the theft").json
        for key, opens in (("desk.key", False), ("desk-2.key", False), ("desk-3.key", True)):
            reader = WORLD.variant("xa-operator", "xa-with-" + key, {("notices", "reading_key"): key})
            WORLD.poc(reader, "notice", "list", "--all")
            self.assertEqual("after the theft" in WORLD.poc(reader, "notice", "show", sent["id"], expect=None).out, opens)


class RotateServer(unittest.TestCase):
    def servers(self):
        users = WORLD.poc("directory-admin", "-o", "json", "user", "list", "@directory").json["users"]
        return {each["handle"] for each in users if "server" in each["roles"]}

    def test_under_load(self):
        WORLD.variant("xb-reader", "xb-offline", {})
        WORLD.poc("xb-offline", "sync")
        pin = WORLD.setting("directory-admin", "directory", "server_pin")
        self.assertIn("dry run", WORLD.pocadm("-n", "key", "rotate", "tls").err)
        WORLD.pocadm("key", "rotate", "tls", expect=2)  # asks
        before = self.servers()
        with WORLD.client("xa-reader") as session, Load(lookups=(("xb-reader", "XA"), ("xa-reader", "XB"))).running() as load:
            done = WORLD.pocadm("-y", "-o", "json", "key", "rotate", "tls").json
            self.assertEqual(session.call(wire.GET_HEAD, b"").kind, wire.HEAD_ANSWER)  # the connection from before stands
        load.check(self, "xa-operator")
        self.assertNotEqual(done["server_pin"], pin)
        self.assertEqual(WORLD.setting("directory-admin", "directory", "server_pin"), done["server_pin"])
        self.assertEqual(ini_get(WORLD.path("directory.info"), "directory", "server_pin"), done["server_pin"])
        self.assertEqual((len(self.servers()), self.servers() & before), (1, set()))
        WORLD.poc("xb-offline", "lookup", "XA")  # it knows the old key only
        WORLD.variant("xb-reader", "xb-first", {("directory", "server_pin"): pin})  # and so does who never connected
        WORLD.poc("xb-first", "lookup", "XA")
        WORLD.stop()
        WORLD.start()  # the new key is what it starts with
        WORLD.poc("xa-reader", "lookup", "XB")

    def list_server(self, handle, key):
        """U/@directory with one more server's key, by the coordinator's hand."""
        users, coordinator = current(WORLD, "xa-reader", "U/@directory"), forge.Signer.load(WORLD.path("keys", "coordinator.key"))
        listed_now = forge.payload_of(users)["users"]
        server = next(each for each in listed_now if SERVER in each["roles"])
        again = sorted([*listed_now, {**server, "handle": handle, "spki": key.spki}], key=lambda each: each["handle"])
        submit(WORLD, "xa-reader", forge.change(users, coordinator, head=forge.next_head(users), users=again))

    def test_resumed(self):
        """Cut off between its steps, it goes on where it was."""
        conf = WORLD.path("pocd.conf")
        name = ini_get(conf, "server", "key")
        base, _, number = name.removesuffix(".key").partition("-")
        following = f"{base}-{int(number or 1) + 1}"
        # after the first step: the key is there, and U lists both
        run(POC, "key", "new", WORLD.path(following + ".key"), env=WORLD.env)
        run("openssl", "req", "-x509", "-key", WORLD.path(following + ".key"), "-subj", "/CN=pocd", "-days", "9999", "-out",
            WORLD.path(following + ".crt"))
        self.list_server("cut-off", forge.Signer.load(WORLD.path(following + ".key")))
        shown = WORLD.pocadm("-y", "key", "rotate", "tls")
        self.assertIn("listed already, by a run before", shown.out)
        self.assertEqual(ini_get(conf, "server", "key"), following + ".key")
        self.assertEqual(self.servers(), {"cut-off"})
        # after the second step: U lists the old key still
        self.list_server("old", forge.Signer.load(WORLD.path(name)))
        self.assertIn("will be dropped", WORLD.pocadm("-y", "key", "rotate", "tls").out)
        self.assertEqual(self.servers(), {"cut-off"})
        WORLD.poc("xa-reader", "lookup", "XB")

    def test_refused(self):
        WORLD.pocadm("-y", "key", "rotate", "root", expect=2)
        with WORLD.settings(reload=False, limits__connections="many"):
            WORLD.pocadm("-y", "key", "rotate", "tls", expect=1)
        before = self.servers()
        WORLD.stop()
        WORLD.pocadm("-y", "key", "rotate", "tls", expect=3)
        WORLD.start()
        self.assertEqual(self.servers(), before)


class Suspension(unittest.TestCase):
    def shown_as_suspended(self):
        """Nowhere left out, nowhere as if it were not."""
        found = WORLD.poc("xa-reader", "-o", "json", "search", "-k", "technical").json["found"]
        self.assertEqual({each["place"] for each in found if each["suspended"]}, {"AE"})
        lines = WORLD.poc("xa-reader", "search", "-k", "technical").out.splitlines()
        self.assertEqual({line.split()[0] for line in lines if "SUSPENDED" in line}, {"AE"})
        rows = csv.DictReader(io.StringIO(WORLD.poc("xa-reader", "export", "-f", "csv").out))
        standing = {(row["place"] == "AE", row["status"]) for row in rows}
        self.assertEqual(standing, {(True, "suspended"), (False, "valid")})
        told = "AE is SUSPENDED: stolen keys"
        for words in (["history", "AE"], ["key", "show", "AE"], ["-n", "key", "verified", "AE"]):
            self.assertIn(told, WORLD.poc("xa-reader", *words).out, words)
        for words in (["history", "AE"], ["key", "show", "AE"]):
            told_json = WORLD.poc("xa-reader", "-o", "json", *words).json
            self.assertEqual((told_json["suspended"], told_json["suspended_for"]), (True, "stolen keys"), words)
            self.assertIs(WORLD.poc("xa-reader", "-o", "json", words[0], *words[1:-1], "XB").json["suspended"], False)
        self.assertIs(WORLD.poc("xa-reader", "-n", "-o", "json", "key", "verified", "AE").json["suspended"], True)
        own = WORLD.poc("ae-reader", "status").out
        self.assertIn(told, own)
        self.assertNotIn("not listed", own)
        own = WORLD.poc("ae-reader", "-o", "json", "status").json
        self.assertEqual((own["suspended"], own["suspended_for"]), (True, "stolen keys"))
        self.assertIs(WORLD.poc("xa-reader", "-o", "json", "status").json["suspended"], False)
        looked = WORLD.poc("xa-reader", "lookup", "AE", expect=7)
        self.assertIn("; the state is SUSPENDED: stolen keys; ", looked.out)
        self.assertEqual((looked.out + looked.err).count("stolen keys"), 1)
        self.assertEqual(looked.err.strip(), "poc: AE (United Arab Emirates): the state is suspended")

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
        saved = os.path.join(WORLD.root, "suspended.proof")
        WORLD.poc("xa-reader", "lookup", "AE", "--save", saved, expect=7)
        identity = WORLD.setting("xa-reader", "directory", "id")
        verified = run(sys.executable, os.path.join(ROOT, "tests", "reference", "verify.py"), "--id", identity, saved, expect=7)
        self.assertIn("suspended", verified.out)  # the independent verifier reads the register with its reason
        self.shown_as_suspended()
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

    def test_a_reason_without_suspension(self):
        register, key = current(WORLD, "xa-reader", "S"), forge.Signer.load(WORLD.path("keys", "enrolment.key"))
        entries = [{**each, "reason": "r"} for each in forge.payload_of(register)["entries"]]
        with self.assertRaisesRegex(AssertionError, "only of a suspension"):
            submit(WORLD, "xa-reader", forge.change(register, key, head=forge.next_head(register), entries=entries))


class AlgorithmsThatDoNotCount(unittest.TestCase):
    """RSA signs nothing here: it is not taken, and where a list holds it, it is marked and not counted."""

    def setUp(self):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.rsa = forge.Signer(key)
        self.file = os.path.join(WORLD.root, "rsa.pub")
        with open(self.file, "wb") as file:
            file.write(key.public_key().public_bytes(forge.serialization.Encoding.PEM,
                                                     forge.serialization.PublicFormat.SubjectPublicKeyInfo))

    def test_not_taken(self):
        draft = os.path.join(WORLD.root, "rsa.ceremony")
        self.assertIn("--authority-add " + self.file + ": a key of an algorithm that never counts",
                      WORLD.poc("ad-coordinator", "-y", "state", "draft", draft, "--authority-add", self.file, expect=1).err)
        WORLD.poc("ad-coordinator", "-y", "state", "draft", draft, "--coordinator-add", self.file, expect=1)
        for path in ("/etc/passwd", WORLD.path("pocd.conf")):
            refused = WORLD.poc("ad-coordinator", "-y", "state", "draft", draft, "--authority-add", path, expect=1).err
            self.assertIn(path + ": no key that is known here: neither a public nor a private one in PEM form", refused)
        self.assertFalse(os.path.exists(draft))
        self.assertRegex(WORLD.poc("xa-reader", "key", "show", self.file).out, r"^unknown algorithm (\w{4}-){7}\w{4}  of an algorithm that does")

    def test_listed(self):
        old = forge.Signer.load(WORLD.path("states", "AD-authority.key"))
        keys = current(WORLD, "xa-reader", "K/AD")
        submit(WORLD, "xa-reader", forge.change(keys, old, head=forge.next_head(keys), authority=sorted(
            [{"spki": old.spki}, {"spki": self.rsa.spki}], key=lambda each: forge.sha(each["spki"]))))
        shown = WORLD.poc("xa-reader", "key", "show", "AD").out
        self.assertIn("1 of 1 authority keys sign", shown)
        self.assertEqual(shown.count("that does not count"), 1)
        told = WORLD.poc("xa-reader", "-o", "json", "key", "show", "AD").json["keys"]
        self.assertEqual(sorted(each["counts"] for each in told if each["key"] == "authority"), [False, True])
        compared = WORLD.poc("xa-reader", "-n", "key", "verified", "AD").out
        self.assertIn("1 of 1 authority keys sign:", compared)
        self.assertEqual(compared.count("that does not count"), 1)
        draft = os.path.join(WORLD.root, "ad.ceremony")
        public = WORLD.poc("ad-coordinator", "-y", "state", "draft", draft, "--authority-add", WORLD.path("states", "XB-authority.key"))
        self.assertIn("authority keys that must sign: 1 of 2, was 1 of 1", public.out)


class Reload(unittest.TestCase):
    def test_reload(self):
        since = len(WORLD.log())
        with WORLD.client("xa-reader") as session:
            done = WORLD.pocadm("-o", "json", "reload").json
            self.assertEqual((done["pid"], done["restart_needed"]), (WORLD.daemon.pid, False))
            self.assertEqual(session.call(wire.GET_HEAD, b"").kind, wire.HEAD_ANSWER)  # nobody is cut off
        WORLD.wait_log("server.reload ", since)
        with WORLD.settings(reload=False, log__heartbeat="7m"):
            self.assertIn("a restart is needed for log.heartbeat", WORLD.pocadm("reload").out)
            self.assertEqual(WORLD.pocadm("-o", "json", "reload").json["restart_keys"], ["log.heartbeat"])

    def test_a_wrong_configuration_is_not_sent(self):
        since = len(WORLD.log())
        with WORLD.settings(reload=False, limits__connections="many"):
            self.assertIn("limits.connections", WORLD.pocadm("reload", expect=1).err)
        with WORLD.settings(reload=False, server__key="absent.key"):
            WORLD.pocadm("reload", expect=1)
        self.assertNotIn("server.reload", WORLD.log()[since:])
        WORLD.pocadm("reload", WORLD.path("absent.conf"), expect=5)

    def test_keys_that_only_the_daemon_may_read(self):
        """For root the keys are another user's, and for the unit's ExecReload= the credentials are not there: the daemon judges."""
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("not the superuser, or no setpriv")
        WORLD.stop()
        self.addCleanup(WORLD.start)
        self.addCleanup(run, "chown", "-R", "0:0", WORLD.root)
        self.addCleanup(WORLD.stop)
        run("chown", "-R", "65534:65534", WORLD.root)
        WORLD.start(prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
        conf, since = WORLD.path("pocd.conf"), len(WORLD.log())
        self.assertIn("has taken", run(POCADM, "reload", conf, env=WORLD.env).out)
        WORLD.wait_log("server.reload ", since)
        self.assertIn("belongs to another user", run(POCADM, "-n", "reload", conf, env=WORLD.env, expect=4).err)
        os.chmod(WORLD.path("keys", "server.key"), 0o644)
        self.assertIn("the daemon refused it", run(POCADM, "reload", conf, env=WORLD.env, expect=1).err)
        os.chmod(WORLD.path("keys", "server.key"), 0o600)
        self.assertIn("has taken", run(POCADM, "reload", conf, env=WORLD.env).out)

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
