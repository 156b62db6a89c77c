"""Followers: mirrors and auditors of a directory, quorum, and logs that contradict what was seen."""
import os
import re
import shutil
import subprocess
import unittest

from follower import Follower, publish_trust, wait_for
from harness import POCD, World, ini_set, main, run, shifted
from ports import free_port


def checkpoint(world, user="xa-reader"):
    return world.poc(user, "-o", "json", "status", expect=None).json["checkpoint"]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def work(follower, since=0):
    """What its last catching up took, as it says itself."""
    line = [line for line in follower.log()[since:].splitlines() if "follow.connected" in line][-1]
    return {name: int(value) for name, value in re.findall(r" ([a-z_]+)=(\d+)(?= |$)", line)}


def both_signed(world):
    """The size of the checkpoint, once it has two signatures."""
    found = checkpoint(world)
    return found["size"] if found["cosigners"] == 2 else None


def start_auditors(test, world, states, quorum, **fields):
    """Auditors of these states, started, and a trust root that asks for so many of them."""
    followers = [Follower(world, state, f"auditor{i}", sign=True) for i, state in enumerate(states)]
    for follower in followers:
        follower.start()
        test.addCleanup(follower.stop)
        follower.wait_log("follow.connected")
    publish_trust(world, followers, quorum, **fields)
    return followers


class Auditors(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def checkpoint(self):
        return checkpoint(self.world)

    def test_quorum(self):
        """A change is proven once its quorum has signed; below it the last such checkpoint goes on being served."""
        world = self.world
        a, b, c = start_auditors(self, world, ["XA", "XB", "AD"], 2)
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        self.assertEqual(self.checkpoint()["quorum"], 2)
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        # one's own auditor, and more than T asks for
        own = world.variant("xa-reader", "own", {("directory", "own_auditor"): "auditor." + a.user, ("directory", "quorum"): "3"})
        self.assertIn("cosigned by 3 of 3 auditors, 3 needed", world.poc(own, "lookup", "XB").out)
        a.stop()
        world.poc("xb-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 2, "never cosigned by two")
        fresh = world.variant("xa-reader", "fresh", {("directory", "own_auditor"): "auditor." + a.user})
        self.assertIn(f"auditor.{a.user} has not signed", world.poc(fresh, "lookup", "XB", expect=6).err)
        # below quorum
        b.stop()
        served = self.checkpoint()["size"]
        result = world.poc("ad-coordinator", "-y", "confirm", expect=8)
        self.assertIn("stored, but not yet published", result.err)
        world.poc("xa-coordinator", "-y", "confirm", expect=8)  # and so long as it lasts
        world.wait_log("quorum.missing", seconds=15)
        self.assertEqual(self.checkpoint()["size"], served)
        self.assertEqual(world.poc("xa-reader", "lookup", "XB").status, 0, result)
        told = world.pocadm("stats").out
        self.assertRegex(told, r"\nquorum +1 of 3 auditors signed the newest checkpoint, 2 needed\n +BELOW QUORUM: ")
        counters = world.pocadm("-o", "json", "stats").json["counters"]
        self.assertEqual([counters[name] for name in ("quorum_signed", "quorum_needed", "quorum_auditors", "directory_below_quorum")],
                         [1, 2, 3, 1])
        # whoever is not of the staff sees that nothing newer comes
        found = self.checkpoint()
        self.assertEqual((found["late"], found["auditors"]), (False, 3))
        self.assertNotIn("LATE", world.poc("xa-reader", "status").out)
        later = {**shifted(20 * 60)}
        told = world.poc("xa-reader", "status", env=later).out
        self.assertIn("(20 min old, LATE: more than 15 minutes)", told)
        self.assertIn("2 of 3 cosigned, 2 needed\n            nothing newer is shown: fewer than 2 auditors sign it", told)
        found = world.poc("xa-reader", "-o", "json", "status", env=later).json["checkpoint"]
        self.assertTrue(found["late"])
        self.assertGreaterEqual(found["age"], 20 * 60)
        # it comes back, from what it has
        b.start()
        wait_for(lambda: self.checkpoint()["size"] > served, "never served again", 70)
        self.assertIn("quorum.reached", world.log())
        a.start()
        # a restart serves what had its quorum, and signs nothing before auditors are heard
        world.stop()
        world.start()
        self.assertGreaterEqual(self.checkpoint()["size"], served)
        world.wait_log("auditor.heard")
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: self.checkpoint()["cosigners"] == 3, "never cosigned by all")
        for follower in (a, b, c):
            self.assertNotIn("follow.refused", follower.log())


class Suspended(unittest.TestCase):
    """A state that is suspended still audits: the quorum may need it, also for the register that lifts the suspension."""

    def test_suspended_and_lifted(self):
        world = World()
        self.addCleanup(world.close)
        a, b = start_auditors(self, world, ["XA", "XB"], 2)
        wait_for(lambda: both_signed(world), "never cosigned")
        said = world.pocadm("-y", "state", "suspend", "XB", "--reason", "test").out
        self.assertIn("its auditors are still heard", said)
        self.assertIn("SUSPENDED", world.poc("xa-reader", "lookup", "XB", expect=7).out)
        world.poc("xb-reader", "--online", "lookup", "XA", expect=7)
        b.stop()
        b.start()  # as when it comes for the first time since then
        world.poc("xa-coordinator", "-y", "confirm")
        self.assertNotIn("ATTENTION", world.pocadm("-y", "state", "lift", "XB").out)
        self.assertIn("fresh", world.poc("xa-reader", "lookup", "XB").out)
        world.poc("xb-reader", "--online", "lookup", "XA")
        wait_for(lambda: both_signed(world), "never cosigned")
        self.assertNotIn("follow.refused", a.log() + b.log())


class Ghosts(unittest.TestCase):
    """An auditor that nobody runs would end all proof for good."""

    def test_nobody_runs_it(self):
        world = World()
        self.addCleanup(world.close)
        ceremony, key = world.path("T.ceremony"), world.path("ghost.key")
        world.poc_file(None, "key", "new", key, "--type", "ed25519")

        def ask(*words):
            if os.path.exists(ceremony):
                os.unlink(ceremony)
            world.pocadm("-y", "trust", "draft", ceremony, *words)
            world.pocadm("-y", "-q", "trust", "sign", ceremony, "--key", world.path("keys", "root.key"), "--directory", world.path("directory.info"))
            return world.pocadm("-y", "trust", "publish", ceremony, expect=1).err

        self.assertIn("0 of the 1 auditors that this T lists follow this directory", ask("--auditor-add", f"ghost,XA,{key}", "--quorum", "1"))
        auditor = Follower(world, "XA", "auditor", sign=True)
        auditor.start()
        self.addCleanup(auditor.stop)
        auditor.wait_log("follow.connected")
        self.assertIn("0 of the 1", ask("--auditor-add", f"ghost,XA,{key}", "--quorum", "1"))
        self.assertIn("0 of the 1", ask("--auditor-add", f"auditor,XB,{auditor.public()}", "--quorum", "1"))  # not its state
        self.assertIn("1 of the 2", ask("--auditor-add", f"auditor,XA,{auditor.public()}", "--auditor-add", f"ghost,XA,{key}", "--quorum", "2"))
        # nor one of a state that nobody knows, whatever the quorum
        os.unlink(ceremony)
        refused = world.pocadm("-y", "trust", "draft", ceremony, "--auditor-add", f"a.zz,ZZ,{key}", expect=5)
        self.assertIn("ZZ is not in the register of states", refused.err)
        auditor.state = "ZZ"
        with self.assertRaisesRegex(AssertionError, "is said to be of ZZ, which is not in the register"):
            publish_trust(world, [auditor], 0)
        self.assertEqual(checkpoint(world)["trust"], 1)
        world.poc("xa-coordinator", "-y", "confirm")
        self.assertEqual(world.poc("xa-reader", "lookup", "XA").status, 0)


class OtherAuditors(unittest.TestCase):
    """Auditors that are replaced wholly, twice: whoever was away meanwhile finds the way."""

    def replace(self, world, old, new):
        """As docs/keys.md has it."""
        ceremony, public = world.path("T.ceremony"), new.public()
        if os.path.exists(ceremony):
            os.unlink(ceremony)
        said = world.pocadm("-y", "trust", "draft", ceremony, "--auditor-add", f"auditor.{new.user},{new.state},{public}",
                            "--auditor-drop", f"auditor.{old.user}").out
        self.assertIn(f"auditor.{new.user}", said)
        self.assertIn(f"auditor.{old.user}", said)
        world.pocadm("-y", "-q", "trust", "sign", ceremony, "--key", world.path("keys", "root.key"), "--directory", world.path("directory.info"))
        world.pocadm("-y", "trust", "publish", ceremony)

    def test_all_replaced(self):
        world = World()
        self.addCleanup(world.close)
        (auditor,) = start_auditors(self, world, ["XA"], 1)
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        mirror = Follower(world, "XB", "mirror")
        check = (POCD, "-c", mirror.path("pocd.conf"), "--check-config")
        self.assertFalse(os.path.exists(mirror.path("data")))
        run(*check)  # its folder is made at its first start, where it can be
        ini_set(mirror.path("pocd.conf"), {("store", "path"): "missing/data"})
        self.assertIn("there is no such folder, and it cannot be made", run(*check, expect=5).err)
        ini_set(mirror.path("pocd.conf"), {("store", "path"): "data"})
        mirror.start()
        self.addCleanup(mirror.stop)
        there = mirror.settings("xb-reader")
        wait_for(lambda: world.poc(there, "lookup", "XB", expect=None).status == 0, "the mirror never answered")
        mirror.stop()
        away = world.variant("xb-reader", "away", {})
        world.poc(away, "status")
        for name in "second", "third":
            other = Follower(world, "AD", name, sign=True)
            other.start()
            self.addCleanup(other.stop)
            other.wait_log("follow.connected")
            size = checkpoint(world, "xa-operator")["size"]
            self.replace(world, auditor, other)
            wait_for(lambda: checkpoint(world, "xa-operator")["size"] > size, "never served", 70)  # pylint: disable=cell-var-from-loop
            auditor.stop()
            auditor = other
            size = checkpoint(world, "xa-operator")["size"]
            world.poc("xa-coordinator", "-y", "confirm")
            wait_for(lambda: checkpoint(world, "xa-operator")["size"] > size, "never served", 70)  # pylint: disable=cell-var-from-loop
        now = checkpoint(world, "xa-operator")
        found = checkpoint(world, away)
        self.assertEqual((found["trust"], found["quorum"], found["cosigners"]), (4, 1, 1), found)
        self.assertGreaterEqual(found["size"], now["size"])
        self.assertEqual(world.poc(away, "lookup", "XA").status, 0)
        # what it holds is whole again: the old ones are not needed any more
        world.poc(away, "--offline", "status")
        mirror.start()
        wait_for(lambda: checkpoint(world, there).get("size", 0) >= now["size"], "the mirror never went on", 70)
        self.assertEqual(world.poc(there, "lookup", "XA").status, 0)


class Forks(unittest.TestCase):
    """Copies of the data folder: what auditors have seen is not contradicted."""

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def test_restore(self):
        """An older backup signs nothing once auditors are heard, and says so; a follower's folder is the way on."""
        world = self.world
        a, b = start_auditors(self, world, ["XA", "XB"], 2)
        wait_for(lambda: checkpoint(world)["cosigners"] == 2, "never cosigned")
        saved, folder = os.path.join(world.root, "saved"), os.path.join(world.root, "restored")
        world.pocadm("backup", saved)
        world.poc("xa-coordinator", "-y", "confirm")
        size = wait_for(lambda: both_signed(world), "never cosigned")
        world.stop()
        since = len(world.log())
        world.pocadm("restore", saved, folder)  # with auditors nobody is asked
        with world.settings(reload=False, store__path=folder):
            # the signer remembers; where its memory is gone too, auditors do
            self.assertIn("older than what the log key has signed", world.start(expect_ready=False).err)
            world.forget_signed()
            world.start()
            world.wait_log("log.passed", since, 15)
            a.wait_log("follow.refused")
            stats = world.pocadm("-o", "json", "stats").json["counters"]
            self.assertEqual(stats["auditors_passed_size"], size)
            self.assertRegex(world.pocadm("stats").out, rf"\nlog +FORK: .* of size {size} of this directory")
            before = stats["directory_publications"]
            world.poc("xb-coordinator", "-y", "--timeout", "2", "confirm", expect=None)
            stats = world.pocadm("-o", "json", "stats").json["counters"]
            self.assertEqual(stats["directory_publications"], before)
            world.stop()
        # an auditor has it all
        b.stop()
        good = world.pocadm("-o", "json", "check", b.path("data")).json
        self.assertGreaterEqual(good["size"], size)
        shutil.copytree(b.path("data"), os.path.join(world.root, "promoted"))
        b.start()
        with world.settings(reload=False, store__path=os.path.join(world.root, "promoted")):
            world.start()
            world.poc("xa-coordinator", "-y", "confirm")
            wait_for(lambda: (both_signed(world) or 0) > size, "never cosigned")
            self.assertIn("fresh", world.poc("xa-reader", "lookup", "XA").out)
            world.stop()
        world.pocadm("check", os.path.join(world.root, "promoted"))
        world.forget_signed()
        world.start()

    def test_copy(self):
        """A second daemon on a copy of the folder: auditors refuse what does not lead on from what they have seen."""
        world = self.world
        (a,) = start_auditors(self, world, ["XA"], 1)
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        world.stop()
        copy = os.path.join(world.root, "copy")
        shutil.copytree(world.path("data"), copy)
        world.start()
        world.poc("xa-coordinator", "-y", "confirm")
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        world.stop()
        with world.settings(reload=False, store__path=copy):
            since = len(world.log())
            world.forget_signed()  # elsewhere there is none
            world.start()
            a.wait_log("follow.refused")
            world.wait_log("log.passed", since)
            result = world.poc("xa-reader", "lookup", "XB", expect=None)
            self.assertIn(result.status, (0, 7), result)
            world.stop()
        world.forget_signed()
        world.start()


class SplitView(unittest.TestCase):
    """One folder is copied, and both go on: some are shown this log, others that one, each with good signatures of the log key."""

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def second(self):
        """A daemon on a copy of everything that there is, at a port of its own; its folder."""
        world, port = self.world, free_port()
        folder = os.path.join(world.root, "second")
        world.stop()
        shutil.copytree(world.dir, folder)
        world.start()
        ini_set(os.path.join(folder, "pocd.conf"), {("server", "listen"): f"127.0.0.1:{port}"})
        # pylint: disable=consider-using-with
        daemon = subprocess.Popen([POCD, "-c", os.path.join(folder, "pocd.conf")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                  text=True, env=world.env)
        self.addCleanup(daemon.stdout.close)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.terminate)
        self.assertTrue(daemon.stdout.readline().startswith("ready"))
        return folder, port

    def test_noticed_by_an_auditor(self):
        """Two clients that ask no auditor are content each; an auditor's signature, or the auditor itself, tells them apart."""
        world = self.world
        (auditor,) = start_auditors(self, world, ["XA"], 0)
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        folder, port = self.second()
        there = {("directory", "server"): f"127.0.0.1:{port}"}
        world.poc("xb-coordinator", "-y", "confirm")
        world.poc(world.variant("xb-coordinator", "xb-second", there), "-y", "confirm")
        for user, values in (("one", {}), ("other", there)):
            world.poc(world.variant("ad-reader", user, values), "--online", "lookup", "XB")
        self.assertIn("contradicts what was verified before", world.poc(world.variant(
            "ad-reader", "one-there", {**there, ("state", "dir"): "one.state"}), "--online", "lookup", "XB", expect=6).err)
        # the client of the auditor's state believes the log that its auditor has signed
        own = {("directory", "own_auditor"): "auditor." + auditor.user}
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned")
        world.poc(world.variant("xa-reader", "own", own), "--online", "lookup", "XB")
        self.assertIn(f"auditor.{auditor.user} has not signed the checkpoint", world.poc(world.variant(
            "xa-reader", "own-there", {**own, **there}), "--online", "lookup", "XB", expect=6).err)
        # the auditor is shown the other log: it says so and signs nothing of it, and that log ends
        auditor.stop()
        ini_set(auditor.path("pocd.conf"), {("follow", "server"): f"127.0.0.1:{port}"})
        auditor.start()
        auditor.wait_log("follow.refused")
        wait_for(lambda: "log.passed" in read(os.path.join(folder, "pocd.log")), "the copy never said that it is one")
        self.assertEqual(checkpoint(world, world.variant("ad-reader", "another", there))["cosigners"], 0)
        # and goes on with the one that it knows
        auditor.stop()
        auditor.cut_off(False)
        auditor.start()
        world.poc("xb-coordinator", "-y", "confirm")
        wait_for(lambda: checkpoint(world)["cosigners"] == 1, "never cosigned again")


class Following(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def test_mirror(self):
        """From nothing: answers like the directory's own, and none that it has no right to give."""
        world = self.world
        mirror = Follower(world, "XA", "mirror")
        conf, pin = mirror.path("pocd.conf"), {("follow", "server_pin"): world.setting("xa-reader", "directory", "server_pin")}
        ini_set(conf, {each: None for each in pin})
        refused = run(POCD, "-c", conf, expect=1)
        self.assertIn("[follow] server_pin is missing: nothing is copied yet", mirror.log() + refused.err)
        ini_set(conf, pin)
        mirror.start()
        self.addCleanup(mirror.stop)
        mirror.wait_log("follow.connected")
        # what catching up took: a signature of each version and of each checkpoint at least; events have none
        took = work(mirror)
        self.assertEqual(took["leaves"], checkpoint(world)["size"])
        self.assertGreater(took["signatures"], took["leaves"] // 2)
        self.assertLess(took["signatures_cpu_ms"], took["cpu_ms"])
        reader = mirror.settings("xa-reader")
        wait_for(lambda: world.poc(reader, "lookup", "XB", expect=None).status == 0, "the mirror never answered")
        # an operator of its state sees through it what he sees at the directory, AMBER too; others what is GREEN
        for user, place in (("xa-reader", "XA"), ("xa-reader", "XB"), ("xa-operator", "XB"), ("xa-operator", "XA"), ("ad-reader", "XB")):
            there = mirror.settings(user)
            self.assertEqual(world.poc(there, "-o", "json", "lookup", place).json["record"],
                             world.poc(user, "-o", "json", "lookup", place).json["record"])
        self.assertIn("+999000022", world.poc(mirror.settings("xa-operator"), "lookup", "XB").out)
        self.assertIn("this mirror gives TLP:AMBER to users of XA alone",
                      world.poc(mirror.settings("ad-operator"), "lookup", "XB", expect=4).err)
        # whole copies, history, what is absent
        world.poc(reader, "sync")
        self.assertEqual(world.poc(reader, "-o", "json", "history", "XA").json, world.poc("xa-reader", "-o", "json", "history", "XA").json)
        world.poc(reader, "lookup", "XZ", expect=5)
        # no writes, no notices
        coordinator = mirror.settings("xa-coordinator")
        self.assertIn("is a mirror", world.poc(coordinator, "-y", "confirm", expect=4).err)
        self.assertIn("is a mirror", world.poc(mirror.settings("xa-operator"), "notice", "list", expect=4).err)
        # changes come at once
        world.poc("xb-coordinator", "-y", "confirm")
        seq = world.poc("xa-reader", "-o", "json", "history", "XB").json["versions"][-1]["seq"]
        wait_for(lambda: world.poc(reader, "-o", "json", "history", "XB").json["versions"][-1]["seq"] == seq, "the change never came")
        # its own state's people find it by what U/XA says of it; and go on to the next where it is down
        listed = world.variant("xa-reader", "listed", {("directory", "server"): f"127.0.0.1:{mirror.port}, 127.0.0.1:{world.port}"})
        self.assertIn(f":{mirror.port}", world.poc(listed, "status").out)
        self.assertIn("nor a mirror's of AD", world.poc(world.variant("ad-reader", "unlisted", {
            ("directory", "server"): f"127.0.0.1:{mirror.port}"}), "lookup", "XB", expect=3).err)
        # what is not a mirror's goes to the next
        def both(user):
            return world.variant(user, user + "-both", {("directory", "server"): f"127.0.0.1:{mirror.port}, 127.0.0.1:{world.port}"})

        first = both("xa-coordinator")
        self.assertIn(f":{mirror.port}", world.poc(first, "status").out)
        world.poc(first, "-y", "confirm")
        operator = both("xa-operator")
        sent = world.poc(operator, "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t").json
        self.assertTrue(sent["stored"])
        self.assertIn(sent["id"], [each["id"] for each in world.poc(operator, "-o", "json", "notice", "list", "--sent").json["notices"]])
        self.assertEqual(world.poc(operator, "-o", "json", "notice", "status", sent["id"]).json["steps"][0]["step"], "stored")
        # where that one is down, it says so
        alone = world.variant("xa-coordinator", "alone", {("directory", "server"): f"127.0.0.1:{mirror.port}, 127.0.0.1:{free_port()}"})
        self.assertIn("onnection refused", world.poc(alone, "-y", "confirm", expect=3).err)
        # a pinned mirror of another state lacks what an operator may see there
        pinned = world.variant("ad-operator", "pinned", {("directory", "server"): f"127.0.0.1:{mirror.port}, 127.0.0.1:{world.port}",
                                                         ("directory", "server_pin"): mirror.pin()})
        self.assertIn("+999000022", world.poc(pinned, "lookup", "XB").out)
        world.poc(pinned, "sync")
        # cut off it serves what it has, from its folder too; behind, clients move on
        mirror.stop()
        self.assertIn(f":{world.port}", world.poc(listed, "status").out)
        world.poc("xb-coordinator", "-y", "confirm")
        world.poc(listed, "lookup", "XB")
        down = world.port
        mirror.cut_off()
        mirror.start()
        mirror.wait_log("follow.lost")
        self.assertIn("fresh", world.poc(reader, "lookup", "XB").out)
        self.assertIn(f":{down}", world.poc(listed, "status").out)
        stale = {**shifted(3 * 86400)}
        mirror.stop()
        mirror.start(**stale)
        self.assertIn("while its copy is not too old",
                      world.poc(mirror.settings("xa-operator"), "lookup", "XB", expect=4, env=stale).err)
        mirror.stop()
        # far behind, it catches up; without a pin too, by what its copy says of the directory's servers
        mirror.cut_off(False)
        ini_set(conf, {each: None for each in pin})
        for _ in range(5):
            world.poc("xb-coordinator", "-y", "confirm")
        since = len(mirror.log())
        mirror.start()
        wait_for(lambda: f":{mirror.port}" in world.poc(listed, "status").out, "never caught up")
        self.assertLess(work(mirror, since)["leaves"], checkpoint(world)["size"] // 2)  # only what it lacked
        mirror.stop()
        world.pocadm("check", mirror.path("data"))


if __name__ == "__main__":
    main()
