"""Each key of the directory is rotated by the public commands, with lookups and notices going on throughout in other processes:
no lookup fails and no notice is lost; and a client that was away all the time catches up by itself."""
import calendar
import json
import os
import re
import shutil
import threading
import time
import unittest

from harness import POC, POCADM, SLOW, World, ini_set, main, run

OFFLINE = "/nonexistent"  # a home without configuration and state
ONLINE = ("--online", "-t", str(20 * SLOW))  # by a server or not at all, however busy the machine is


class Load:
    """Lookups and notices from processes of their own while something is done: with Load(world) as load: ..."""

    def __init__(self, world):
        self.world, self.stopped, self.failures, self.lookups, self.sent = world, threading.Event(), [], 0, []

    def _lookups(self):
        while not self.stopped.is_set():
            result = self.world.poc("xa-reader", *ONLINE, "lookup", "XB", expect=None)
            self.lookups += 1
            if result.status != 0:
                self.failures.append(str(result))

    def _notices(self):
        while not self.stopped.is_set():
            result = self.world.poc("xa-operator", *ONLINE, "-o", "json", "notice", "send", "--to", "XB", "--subject", f"load {len(self.sent)}",
                                    "--text", "while keys rotate", expect=None)
            if result.status != 0:
                self.failures.append(str(result))
                continue
            self.sent.append(result.json["id"])

    def __enter__(self):
        self.threads = [threading.Thread(target=each) for each in (self._lookups, self._notices)]
        for thread in self.threads:
            thread.start()
        self.await_more()
        return self

    def await_more(self):
        """Until two lookups and two notices more are through."""
        lookups, sent, end = self.lookups + 2, len(self.sent) + 2, time.monotonic() + 30 * SLOW
        while (self.lookups < lookups or len(self.sent) < sent) and not self.failures and time.monotonic() < end:
            time.sleep(0.02)

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.await_more()
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Rotation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.dir = cls.world.path("ceremony")
        os.mkdir(cls.dir)
        cls.offline = {**cls.world.env, "HOME": OFFLINE, "XDG_STATE_HOME": OFFLINE}

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def setUp(self):
        self.file = os.path.join(self.dir, self._testMethodName)

    def key(self, name, kind="p384"):
        """A new key; returns its file, and that of its public half."""
        path = os.path.join(self.dir, name + ".key")
        run(POC, "key", "new", path, "--type", kind, env=self.world.env)
        run("openssl", "pkey", "-in", path, "-pubout", "-out", path[:-4] + ".pub")
        return path, path[:-4] + ".pub"

    def sign(self, program, group, file, key, *copies, expect=0):
        """On a machine without configuration, state and network."""
        return run(program, "-y", group, "sign", file, *copies, "--key", key, "--directory", self.world.path("directory.info"),
                   env=self.offline, expect=expect)

    def away(self, name, user="xb-reader"):
        """A client that has seen the present, and then nothing until it is asked again."""
        name = self.world.variant(user, name, {})
        self.look(name, "XA")
        return name

    def look(self, client, place):
        """By a server, never by the local copy."""
        self.world.poc(client, *ONLINE, "lookup", place)

    def trust(self, *flags, keys, load=None):
        """One whole ceremony of T."""
        if os.path.exists(self.file):
            os.unlink(self.file)
        self.world.pocadm("-y", "trust", "draft", self.file, *flags)
        for key in keys:
            self.sign(POCADM, "trust", self.file, key)
        if load:
            load.await_more()
        return self.world.pocadm("-y", "trust", "publish", self.file)

    def check(self, load):
        """No lookup failed; every notice that was sent is there at its recipient."""
        self.assertEqual(load.failures, [])
        self.assertGreater(load.lookups, 3)
        self.assertGreater(len(load.sent), 3)
        there = {notice["id"] for notice in self.world.poc("xb-operator", "-o", "json", "notice", "list", "--all").json["notices"]}
        self.assertLessEqual(set(load.sent), there)

    def check_store(self):
        """A whole replay of the database, by the rules of each time."""
        backup = self.file + ".backup"
        self.world.pocadm("backup", "-d", self.world.path("data"), backup)
        os.unlink(backup)

    def test_root(self):
        world = self.world
        away = self.away("root-away")
        old, (new_2, public_2), (new_3, public_3) = world.path("keys/root.key"), self.key("root-2"), self.key("root-3")
        with Load(world) as load:
            world.pocadm("-y", "trust", "draft", self.file, "--root-add", public_2, "--root-add", public_3, "--root-drop", old,
                         "--root-threshold", "2")
            text = world.pocadm("trust", "show", self.file).out
            self.assertIn("root keys that must sign: 2 of 2, was 1 of 1", text)
            self.assertEqual((text.count("  in    root key"), text.count("  out   root key")), (2, 1))
            self.assertIn("3 signatures are missing", text)
            copy = self.file + ".copy"
            shutil.copy(self.file, copy)
            self.sign(POCADM, "trust", self.file, old)
            self.sign(POCADM, "trust", copy, new_2)  # two at a time, each with a copy
            refused = world.pocadm("-y", "trust", "publish", self.file, copy, expect=6).err
            self.assertIn("1 signature is missing: 1 by root keys of T version", refused)
            self.sign(POCADM, "trust", self.file, new_3, copy)
            self.assertIn("complete", world.pocadm("trust", "show", self.file).out)
            for _ in range(2):
                self.assertIn("dry run: nothing was sent", world.pocadm("--dry-run", "trust", "publish", self.file).err)
            world.pocadm("-y", "trust", "publish", self.file)
        self.check(load)
        self.assertIn("nothing to do", world.pocadm("-y", "trust", "publish", self.file).err)
        # the old key counts no more
        self.world.pocadm("-y", "trust", "draft", self.file + "-2")
        self.assertIn("not one that is asked", self.sign(POCADM, "trust", self.file + "-2", old, expect=4).err)
        self.look(away, "XA")
        # and back, for the tests that follow
        self.trust("--root-add", old, "--root-drop", new_2, "--root-drop", new_3, "--root-threshold", "1", keys=(old, new_2, new_3))
        self.look(away, "XA")
        self.check_store()

    def test_log(self):
        """Old and new listed together, the daemon has both, the old one dropped: nobody notices."""
        world, root = self.world, self.world.path("keys/root.key")
        away, overlap = self.away("log-away"), self.away("log-overlap")
        old, (new, public) = world.path("keys/log.key"), self.key("log-2", "ed25519")
        conf = world.path("pocd.conf")
        with Load(world) as load:
            # the daemon must have a key before T may name nothing else
            self.world.pocadm("-y", "trust", "draft", self.file, "--log-add", public, "--log-drop", old)
            self.sign(POCADM, "trust", self.file, root)
            refused = world.pocadm("-y", "trust", "publish", self.file, expect=None)
            self.assertNotEqual(refused.status, 0)
            self.assertIn("none of the log keys", refused.err)
            os.unlink(self.file)
            ini_set(conf, {("log", "key"): f"{old}, {new}"})
            world.reload()
            world.wait_log("log.keys sign=1 wait=1", seconds=30)
            self.trust("--log-add", public, keys=(root,), load=load)
            world.wait_log("log.keys sign=2 wait=0", seconds=30)
            self.look(overlap, "XA")
            self.trust("--log-drop", old, keys=(root,), load=load)
            load.await_more()
            ini_set(conf, {("log", "key"): new})
            world.reload()
        self.check(load)
        for client in (away, overlap):
            self.look(client, "XA")
        # a configuration whose keys T does not list is refused, and what was there goes on
        ini_set(conf, {("log", "key"): old})
        world.reload("server.reload_failed")
        ini_set(conf, {("log", "key"): new})
        world.reload()
        world.stop()
        world.start()
        self.look(away, "XA")
        self.check_store()

    def test_enrolment(self):
        """S goes along, signed by the new keys; nothing of it changes."""
        world, root = self.world, self.world.path("keys/root.key")
        away = self.away("enrolment-away")
        (new, public), states = self.key("enrolment-2"), world.pocadm("state", "list").out
        with Load(world) as load:
            world.pocadm("-y", "trust", "draft", self.file, "--enrolment-add", public, "--enrolment-drop", world.path("keys/enrolment.key"))
            self.sign(POCADM, "trust", self.file, root)
            self.assertIn("1 signature is missing: 1 by enrolment keys", world.pocadm("-y", "trust", "publish", self.file, expect=6).err)
            self.sign(POCADM, "trust", self.file, new)
            world.pocadm("-y", "trust", "publish", self.file)
        self.check(load)
        self.assertEqual(world.pocadm("state", "list").out, states)
        self.look(away, "XA")
        ini_set(world.conf("directory-admin"), {("enrolment", "key"): new})
        run(POC, "state", "new", "XQ", "--out", self.file + ".XQ", "--directory", world.path("directory.info"), env=world.env)
        world.pocadm("-y", "state", "enrol", self.file + ".XQ/XQ.enrol", "--reference", "after the rotation")

    def test_authority(self):
        world, old = self.world, self.world.path("states/XB-authority.key")
        away = self.away("authority-away", "xa-reader")
        keys = [self.key(f"xb-authority-{i}") for i in (2, 3)]
        with Load(world) as load:
            world.poc("xb-coordinator", "-y", "state", "draft", self.file, "--authority-add", keys[0][1], "--authority-add", keys[1][1],
                      "--authority-drop", old, "--threshold", "2")
            self.sign(POC, "state", self.file, keys[0][0])
            self.sign(POC, "state", self.file, keys[1][0])
            self.assertIn("1 by authority keys of K version 1", world.poc("xb-coordinator", "-y", "state", "submit", self.file, expect=6).err)
            self.sign(POC, "state", self.file, old)
            self.assertNotIn("key announce", world.poc("xb-coordinator", "-n", "state", "submit", self.file).err)
            self.assertIn("the authority of XB has other keys now: its people run poc key announce",
                          world.poc("xb-coordinator", "-y", "state", "submit", self.file).err)
        self.check(load)
        self.look(away, "XB")

    def test_coordinator(self):
        """The old key goes in one bundle with all that it had signed, units included."""
        world, authority = self.world, self.world.path("states/AD-authority.key")
        away = self.away("coordinator-away", "xa-reader")
        new, public = self.key("ad-coordinator", "ed25519")
        record = {"schema": "poc.record/1", "place": "AD/bank", "pocs": world.record("ad-coordinator", "AD")["pocs"]}
        for poc in record["pocs"]:
            for section in poc["sections"]:
                section.pop("digest", None)
        unit = self.file + ".json"
        with open(unit, "w", encoding="utf-8") as out:
            json.dump(record, out)
        world.poc("ad-coordinator", "-y", "publish", unit)
        confirmed = world.poc("xa-reader", "-o", "json", "lookup", "AD").json["verdict"]["confirmed_at"]
        with Load(world) as load:
            world.poc("ad-coordinator", "-y", "state", "draft", self.file, "--coordinator-add", public, "--coordinator-drop",
                      world.path("states/AD-signing.key"))
            self.sign(POC, "state", self.file, authority)
            refused = world.poc("ad-coordinator", "-y", "state", "submit", self.file, expect=1).err
            self.assertIn("U/AD, R/AD, R/AD/bank", refused)
            self.assertIn("U/AD, R/AD, R/AD/bank", world.poc("ad-coordinator", "--dry-run", "state", "submit", self.file, "--key", new).out)
            submitted = world.poc("ad-coordinator", "-y", "state", "submit", self.file, "--key", new)
            self.assertNotIn("key announce", submitted.err)  # the state is who it was
        self.check(load)
        # the old key signs nothing more; the new one does; who confirmed when is as it was
        self.assertEqual(world.poc("xa-reader", "-o", "json", "lookup", "AD").json["verdict"]["confirmed_at"], confirmed)
        old = world.poc("ad-coordinator", "-o", "json", "key", "show", world.path("states/AD-signing.key")).json["keys"][0]["fingerprint"]
        for words in (["confirm"], ["user", "remove", "reader"]):
            refused = world.poc("ad-coordinator", "-y", *words, expect=4).err
            self.assertIn(f"the [coordinator] key of the configuration, {old}, is not one of K/AD (any more)", refused)
        ini_set(world.conf("ad-coordinator"), {("coordinator", "key"): new})
        world.poc("ad-coordinator", "-y", "confirm")
        self.look(away, "AD")
        self.look(away, "AD/bank")

    def test_coordinator_of_many_units(self):
        """More than one bundle holds: the new key is added first; then all is signed anew before the K that drops the old."""
        world, authority = self.world, self.world.path("states/AE-authority.key")
        new, public = self.key("ae-coordinator", "ed25519")
        record = world.record("ae-coordinator", "AE")
        for section in (section for poc in record["pocs"] for section in poc["sections"]):
            section.pop("digest", None)
        files = []
        for i in range(66):
            files.append(f"{self.file}-{i}.json")
            with open(files[-1], "w", encoding="utf-8") as out:
                json.dump({"schema": "poc.record/1", "place": f"AE/unit-{i}", "pocs": record["pocs"]}, out)
        for first in range(0, len(files), 33):
            world.poc("ae-coordinator", "-y", "-q", "publish", *files[first:first + 33])
        draft = ("-y", "-q", "state", "draft", self.file)
        world.poc("ae-coordinator", *draft, "--coordinator-add", public, "--coordinator-drop", world.path("states/AE-signing.key"))
        self.sign(POC, "state", self.file, authority)
        refused = world.poc("ae-coordinator", "-y", "-q", "state", "submit", self.file, "--key", new, expect=None)
        self.assertIn("first a K that adds the new coordinator key", refused.err)
        os.unlink(self.file)
        world.poc("ae-coordinator", *draft, "--coordinator-add", public)
        self.sign(POC, "state", self.file, authority)
        world.poc("ae-coordinator", "-y", "-q", "state", "submit", self.file)
        os.unlink(self.file)
        world.poc("ae-coordinator", *draft, "--coordinator-drop", world.path("states/AE-signing.key"))
        self.sign(POC, "state", self.file, authority)
        dry = world.poc("ae-coordinator", "-n", "state", "submit", self.file, "--key", new)
        self.assertIn("R/AE/unit-1", dry.out)
        result = world.poc("ae-coordinator", "-y", "state", "submit", self.file, "--key", new)
        self.assertIn("64 of 68 are signed anew", result.err)
        world.poc("xa-reader", "lookup", "AE/unit-65")
        world.poc("xa-reader", "lookup", "AE")
        self.check_store()

    def test_staff(self):
        """The directory's own coordinator key: documents and results of checks come along."""
        world = self.world
        new, public = self.key("staff", "ed25519")
        text = self.file + ".txt"
        with open(text, "w", encoding="utf-8") as out:
            out.write("An announcement.\n")
        world.pocadm("-y", "document", "publish", "news", text, "--kind", "announcement", "--title", "News")
        admin = world.conf("directory-admin")
        world.poc_file(admin, "-y", "state", "draft", self.file, "--coordinator-add", public, "--coordinator-drop",
                       world.path("keys/coordinator.key"))
        self.sign(POC, "state", self.file, world.path("keys/authority.key"))
        out = world.poc_file(admin, "-y", "state", "submit", self.file, "--key", new).out
        self.assertIn("U/@directory, D/news", out)
        ini_set(admin, {("coordinator", "key"): new})
        self.assertIn("An announcement.", world.pocadm("document", "show", "news").out)

    def test_server(self):
        """The new TLS key is listed beside the old one, taken over by SIGHUP, and the old one dropped."""
        world, admin, conf = self.world, self.world.conf("directory-admin"), self.world.path("pocd.conf")
        away = self.away("server-away")
        invite, request, server = (world.path("server-2" + end) for end in (".invite", ".request", ".conf"))
        with Load(world) as load:
            world.poc_file(admin, "user", "invite", "server-2", "--role", "server", "--service", "--out", invite)
            world.poc_file(server, "setup", invite, "--request", request)
            world.poc_file(admin, "-y", "user", "add", request)
            load.await_more()
            ini_set(conf, {("server", "cert"): world.path("server-2.crt"), ("server", "key"): world.path("server-2.key")})
            world.reload()
            load.await_more()
            world.poc_file(admin, "-y", "user", "remove", "server")
        self.check(load)
        self.look(away, "XA")

    def test_refused_before_anything_is_written(self):
        world, root = self.world, self.world.path("keys/root.key")

        def draft(*flags, expect):
            result = world.pocadm("-y", "trust", "draft", self.file, *flags, expect=expect)
            self.assertFalse(os.path.exists(self.file))
            return result.err

        self.assertIn("threshold of 2 cannot be met", draft("--root-threshold", "2", expect=1))
        self.assertIn("quorum", draft("--quorum", "3", expect=1))
        self.assertIn("no such key", draft("--root-drop", "AAAA-BBBB", expect=5))
        self.assertIn("listed already", draft("--root-add", root, expect=2))
        # drafted before another became current
        world.pocadm("-y", "trust", "draft", self.file)
        for file, key in (("/none", root), (self.file, "/none")):
            for program, kind in ((POCADM, "trust"), (POC, "state")):
                self.assertIn("/none: No such file", self.sign(program, kind, file, key, expect=5).err)
        self.assertIn("/none: No such file", world.pocadm("-y", "trust", "draft", self.file + "-2", "--root-add", "/none", expect=5).err)
        other = self.file + "-other"
        world.pocadm("-y", "trust", "draft", other, "--max-age", "23h")
        for file in (self.file, other):
            self.sign(POCADM, "trust", file, root)
        world.pocadm("-y", "trust", "publish", other)
        self.assertIn("draft anew", world.pocadm("-y", "trust", "publish", self.file, expect=1).err)
        # expired while it was signed
        os.unlink(self.file)
        world.pocadm("-y", "trust", "draft", self.file, "--expires", f"{3 * SLOW}s")  # longer than drafting takes, however busy
        time.sleep(3 * SLOW + 0.1)
        self.assertIn("expired", self.sign(POCADM, "trust", self.file, root, expect=1).err)
        # one changed byte
        with open(other, "r+b") as file:
            file.seek(200)
            byte = file.read(1)[0]
            file.seek(200)
            file.write(bytes([byte ^ 1]))
        self.assertIn(other, self.sign(POCADM, "trust", other, root, expect=6).err)

    def test_stolen_root(self):
        """A root threshold is gone: nothing repairs that from inside, and the refusal says what to do."""
        world = self.world
        other = World()
        try:
            self.assertNotEqual(other.setting("xa-reader", "directory", "id"), world.setting("xa-reader", "directory", "id"))
            lost = world.variant("xa-reader", "repin", {("directory", "server"): f"127.0.0.1:{other.port}",
                                                        ("directory", "server_pin"): other.setting("xa-reader", "directory", "server_pin")})
            result = world.poc(lost, "lookup", "XB", expect=None)
            self.assertNotEqual(result.status, 0)
            self.assertIn("put its id, server and server_pin into [directory]", result.err)
            # and so it is done: another id is another directory, nothing is carried over
            ini_set(world.conf("repin"), {("directory", "id"): other.setting("xa-reader", "directory", "id")})
            shutil.copy(other.key_files("xa-reader")[0], world.path("repin.crt"))
            shutil.copy(other.key_files("xa-reader")[1], world.path("repin.key"))
            ini_set(world.conf("repin"), {("user", "cert"): world.path("repin.crt"), ("user", "key"): world.path("repin.key")})
            world.poc(lost, "lookup", "XB")
        finally:
            other.close()


class LostLogKey(unittest.TestCase):
    """No daemon starts without a log key that T lists: the next T goes into the data folder."""

    def test_lost(self):
        with World() as world:
            trust, new, root = world.path("trust"), world.path("log-2.key"), world.path("keys/root.key")
            data, conf = world.path("data"), world.path("pocd.conf")
            publish = ("-y", "trust", "publish", trust, "--data", data, "--log-key", new)
            world.poc("xa-reader", "lookup", "XB")
            run(POC, "key", "new", new, env=world.env)
            world.pocadm("-y", "trust", "draft", trust, "--auditor-add", f"auditor.xa,XA,{world.path('none.pub')}", expect=5)
            world.pocadm("-y", "trust", "draft", trust, "--log-add", new, "--log-drop", world.path("keys/log.key"))
            self.assertIn("signatures are missing", world.pocadm(*publish, expect=6).err)
            world.pocadm("-y", "trust", "sign", trust, "--key", root)
            self.assertNotEqual(world.pocadm(*publish, expect=None).status, 0)  # a daemon holds it
            world.stop()
            ini_set(conf, {("log", "key"): new})
            refused = world.start(expect_ready=False)
            self.assertIn("not one that the trust root lists", refused.err)
            world.pocadm("-n", *publish[1:])
            other = world.path("log-3.key")
            run(POC, "key", "new", other, env=world.env)
            self.assertIn("log key", world.pocadm(*publish[:-1], other, expect=1).err)  # not one that this T lists
            world.pocadm(*publish[:-1], world.path("none.key"), expect=5)
            world.pocadm(*publish)
            world.pocadm("check", data)
            world.start()
            world.poc("xa-reader", "lookup", "XB")
            self.assertNotEqual(0, world.pocadm(*publish, expect=None).status)  # it is running


class Replacement(unittest.TestCase):
    """The authority of a state is stolen, and its coordinator key: the council puts others in their place."""

    def test_replacement(self):
        with World() as world:
            folder = world.path("ceremony")
            os.mkdir(folder)
            offline = {**world.env, "HOME": OFFLINE, "XDG_STATE_HOME": OFFLINE}
            info, root = world.path("directory.info"), world.path("keys/root.key")
            stolen, new = world.path("states/XB-authority.key"), os.path.join(folder, "new.key")
            keys, trust, thief = (os.path.join(folder, name) for name in ("XB.keys", "trust", "thief"))
            signing = os.path.join(folder, "signing.key")
            newer = os.path.join(folder, "newer.key")
            run(POC, "key", "new", new, "--type", "p384", env=world.env)
            run(POC, "key", "new", newer, "--type", "p384", env=world.env)
            run(POC, "key", "new", signing, env=world.env)
            # a short delay, by a T of its own
            self.assertNotIn("ATTENTION", world.pocadm("-y", "-n", "trust", "draft", trust + ".longer", "--replacement-delay", "96h").out)
            world.pocadm("-y", "trust", "draft", trust, "--replacement-delay", "0s", expect=2)
            shown = world.pocadm("-y", "trust", "draft", trust, "--replacement-delay", "4s").out
            self.assertIn("ATTENTION  the delay of replacements is shortened", shown)
            self.assertIn("ATTENTION  the delay of replacements is less than 24 hours", shown)
            run(POCADM, "-y", "trust", "sign", trust, "--key", root, "--directory", info, env=offline)
            world.pocadm("-y", "trust", "publish", trust)
            os.unlink(trust)
            # the state's people draft and sign; the council names their K
            world.poc("xb-coordinator", "-y", "state", "draft", keys, "--authority-add", new, "--authority-drop", stolen,
                      "--coordinator-add", signing, "--coordinator-drop", world.path("states/XB-signing.key"))
            self.assertIn("1 signature is missing: 1 by authority keys of K version 2", world.pocadm("-y", "state", "replace", trust, keys, expect=6).err)
            done = run(POC, "-y", "state", "sign", keys, "--key", new, "--directory", info, env=offline)
            self.assertIn("only if the council names its code", done.out)
            code = world.poc("xb-coordinator", "-o", "json", "state", "show", keys).json["proposals"][0]["code"]
            world.poc("xb-coordinator", "-y", "state", "draft", thief)  # what the thief has in hand
            run(POC, "-y", "state", "sign", thief, "--key", stolen, "--directory", info, env=offline)
            world.pocadm("-y", "state", "replace", trust, keys, "--signing", "1s")
            time.sleep(2.5)  # both are whole seconds
            run(POCADM, "-y", "trust", "sign", trust, "--key", root, "--directory", info, env=offline)
            self.assertIn("took too long", world.pocadm("-y", "trust", "publish", trust, "--keys", keys, expect=1).err)
            os.unlink(trust)
            drafted = world.pocadm("-y", "state", "replace", trust, keys, "--signing", "8s" if SLOW == 1 else "30s")
            self.assertIn(code, drafted.out)
            counts = calendar.timegm(time.strptime(re.search(r"not before (\S+)Z", drafted.out).group(1), "%Y-%m-%dT%H:%M:%S"))
            run(POCADM, "-y", "trust", "sign", trust, "--key", root, "--directory", info, env=offline)
            self.assertIn("--keys FILE", world.pocadm("-y", "trust", "publish", trust, expect=2).err)
            world.pocadm("-y", "trust", "publish", trust, "--keys", keys)
            # visible at once: suspended; neither the thief nor the new K gets ahead
            self.assertIn("SUSPENDED", world.poc("xa-reader", "lookup", "XB", expect=7).out)
            # nor is anything encrypted to it, whatever a server would say: nothing is sent by a dry run
            world.poc("xa-operator", "sync")
            for where in "--online", "--offline":
                done = world.poc("xa-operator", where, "-n", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t",
                                 expect=7)
                self.assertIn("XB is suspended", done.err)
            admin = world.conf("directory-admin")
            self.assertIn("replaces the authority", world.poc_file(admin, "-y", "state", "submit", thief, expect=None).err)
            self.assertIn("counts from", world.poc_file(admin, "-y", "state", "submit", keys, "--key", signing, expect=4).err)
            time.sleep(max(0.0, counts + 1 - time.time()))
            world.poc_file(admin, "-y", "state", "submit", keys, expect=1)  # users and record would be orphans
            self.assertIn("U/XB, R/XB", world.poc_file(admin, "-y", "state", "submit", keys, "--key", signing).out)
            out = world.poc("xa-reader", "lookup", "XB").out
            self.assertIn("replaced by the council", out)
            for state, replaced in (("XB", True), ("XA", False)):
                verdict = world.poc("xa-reader", "-o", "json", "lookup", state).json["verdict"]
                self.assertEqual((verdict["status"], verdict["replaced"]), ("valid", replaced))
            ini_set(world.conf("xb-coordinator"), {("coordinator", "key"): signing})
            world.poc("xb-coordinator", "-y", "confirm")
            # it is over: a suspension by the register is lifted for good
            world.pocadm("-y", "state", "suspend", "XB", "--reason", "test")
            self.assertNotIn("ATTENTION", world.pocadm("-y", "state", "lift", "XB").out)
            self.assertIn("valid", world.poc("xa-reader", "-o", "json", "lookup", "XB").out)
            # whoever changes K while the council signs would make its T vain: it is not published
            for path in keys, trust, thief:
                os.unlink(path)
            world.poc("xb-coordinator", "-y", "state", "draft", keys, "--authority-add", newer, "--authority-drop", new)
            run(POC, "-y", "state", "sign", keys, "--key", newer, "--directory", info, env=offline)
            world.pocadm("-y", "state", "replace", trust, keys, "--signing", "1h")
            run(POCADM, "-y", "trust", "sign", trust, "--key", root, "--directory", info, env=offline)
            world.poc("xb-coordinator", "-y", "state", "draft", thief)
            run(POC, "-y", "state", "sign", thief, "--key", new, "--directory", info, env=offline)
            world.poc("xb-coordinator", "-y", "state", "submit", thief)
            self.assertIn("has changed since", world.pocadm("-y", "trust", "publish", trust, "--keys", keys, expect=1).err)
            # a second time: ceremonies show what they change, not what stands
            for each in (trust, keys):
                os.unlink(each)
            world.poc("xb-coordinator", "-y", "state", "draft", keys, "--authority-add", newer, "--authority-drop", new)
            run(POC, "-y", "state", "sign", keys, "--key", newer, "--directory", info, env=offline)
            drafted = world.pocadm("-y", "state", "replace", trust, keys, "--signing", "30s").out
            self.assertEqual(re.findall(r"(in|out) +authority replaced", drafted), ["in"])
            run(POCADM, "-y", "trust", "sign", trust, "--key", root, "--directory", info, env=offline)
            self.assertNotIn("SUSPENDED", world.pocadm("state", "list").out)  # the first replacement is over
            self.assertIn(" 0 suspended", world.poc("xa-reader", "status").out)
            world.pocadm("-y", "trust", "publish", trust, "--keys", keys)
            self.assertRegex(world.pocadm("state", "list").out, r"(?m)^XB .* SUSPENDED by the council, whose new keys count from \S+Z on; ")
            states = {each["state"]: each for each in world.pocadm("-o", "json", "state", "list").json["states"]}
            self.assertEqual([(states[each]["suspended"], states[each]["replaced_from"] is not None) for each in ("XA", "XB")],
                             [(False, False), (True, True)])
            self.assertIn(" 1 suspended", world.poc("xa-reader", "status").out)
            self.assertIn("by the council, until it has replaced", world.pocadm("-y", "state", "lift", "XB").err)
            self.assertNotIn("authority replaced", world.pocadm("-y", "trust", "draft", world.path("third.ceremony")).out)


if __name__ == "__main__":
    main()
