"""A unit of a state: its users, its desk, its editors; who of the others sees what goes to it."""
import json
import os
import re
import sys
import time
import unittest

from harness import ROOT, World, ini_get, ini_set, main, run


class UnitDesk(unittest.TestCase):
    """XB/bank has a record and a desk of its own; XB/port is another unit of the same state."""

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        for unit in "bank", "port":
            cls.publish(unit)
            cls.join(f"xb-{unit}", unit, "duty")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.world.root, name)

    @classmethod
    def publish(cls, unit, user="xb-coordinator", expect=0):
        record = cls.world.record("xb-reader", "XB")
        record["place"] = f"XB/{unit}"
        record.pop("based_on", None)
        for section in [each for poc in record["pocs"] for each in poc["sections"]]:
            section.pop("digest", None)
        return cls.publish_record(record, user, expect)

    @classmethod
    def publish_record(cls, record, user, expect=0):
        path = cls.path("record.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        return cls.world.poc(user, "-y", "publish", path, expect=expect)

    @classmethod
    def invite(cls, user, unit, handle, *words):
        """From the invitation to the request; the configuration is USER's."""
        world, invite = cls.world, cls.path(f"{user}.invite")
        words = words or ("--role", "operator", "--kind", "technical")
        world.poc("xb-coordinator", "user", "invite", handle, "--unit", unit, *words, "--out", invite)
        request = cls.path(f"{user}.request")
        return world.poc(user, "setup", invite, "--request", request), request

    @classmethod
    def join(cls, user, unit, handle, *words):
        _, request = cls.invite(user, unit, handle, *words)
        return cls.world.poc("xb-coordinator", "-y", "user", "add", request)

    def send(self, user="xa-operator", to="XB/bank", **more):
        return self.world.poc(user, "-o", "json", "notice", "send", "--to", to, "--subject", "Odd transfers", "--text", "We see them.",
                              **more).json["id"]

    def ids(self, user, *words):
        return [each["id"] for each in self.world.poc(user, "-o", "json", "notice", "list", *words).json["notices"]]

    def test_without_record(self):
        """Who has no record can write, and is told that nobody can answer; who would answer is told what there is not."""
        world = self.world
        self.join("xb-shy", "shy", "duty")
        send = ("notice", "send", "--subject", "s", "--text", "t", "--to")
        warning = "poc: XB/shy has no record: nobody can answer this notice, nor send one there, until it is published\n"
        for words in ("-n",), (), ("-q",):
            told = world.poc("xb-shy", *words, *send, "XA")
            self.assertEqual(warning in told.err, words != ("-q",), told.err)
        notice = world.poc("xb-shy", "-o", "json", *send, "XA").json["id"]
        self.assertNotIn("no record", world.poc("xb-bank", *send, "XA").err)
        self.assertNotIn("no record", world.poc("xb-shy", "notice", "note", notice, "--text", "t").err)
        for words in ("notice", "reply", notice, "--text", "t"), (*send, "XB/shy"), (*send, "XB,XB/shy", "--separately"), \
                (*send, "XB", "--reply-by", "1h", "--escalate", "XB/shy"), \
                ("notice", "forward", notice, "--thread", "--to", "XB/shy"):
            for dry in (), ("-n",):
                refused = world.poc("xa-operator", *dry, *words, expect=5)
                self.assertIn("there is no record of XB/shy", refused.err)
                self.assertEqual(refused.out, "")

    def test_joining(self):
        """The invitation says the unit, the check code binds it, the first user makes the unit's list."""
        world = self.world
        _, request = self.invite("xb-new", "new-unit", "duty")
        with open(world.conf("xb-new"), encoding="utf-8") as conf:
            self.assertIn("state = XB\nunit = new-unit\n", conf.read())
        code = re.search(r"(\w{4}-){3}\w{4}", world.poc("xb-coordinator", "-n", "user", "add", request).out).group()
        with open(request, encoding="utf-8") as file:
            text = file.read()
        elsewhere = self.path("elsewhere.request")
        with open(elsewhere, "w", encoding="utf-8") as file:
            file.write(text.replace("unit = new-unit\n", ""))
        self.assertNotIn(code, world.poc("xb-coordinator", "-n", "user", "add", elsewhere).out)
        self.assertIn("one after the other", world.poc("xb-coordinator", "-y", "user", "add", request, elsewhere, expect=2).err)
        self.assertIn("XB/new-unit has no users", world.poc("xb-reader", "user", "list", "XB/new-unit", expect=5).err)
        added = world.poc("xb-coordinator", "-y", "user", "add", request)
        self.assertIn("XB/new-unit/duty\n", added.out)
        self.assertIn("XB/new-unit has no record yet", added.err)
        listed = world.poc("xa-reader", "-o", "json", "user", "list", "XB/new-unit").json
        self.assertEqual((listed["state"], listed["unit"], [each["handle"] for each in listed["users"]]), ("XB", "new-unit", ["duty"]))
        self.assertEqual(len(listed["reading_keys"]), 1)
        again = world.poc("xb-coordinator", "-y", "user", "add", request)
        self.assertIn("XB/new-unit/duty is listed already", again.err)
        where = world.poc("xb-new", "-o", "json", "status").json
        self.assertEqual((where["state"], where["unit"], where["handle"], where["roles"]), ("XB", "new-unit", "duty", ["operator"]))
        self.assertIn("XB/new-unit/duty: operator", world.poc("xb-new", "status").out)

    def test_words(self):
        world = self.world
        self.assertIn("is not a unit's name", world.poc("xb-coordinator", "user", "invite", "duty", "--role", "operator", "--unit", "A/B",
                                                        expect=2).err)
        self.assertIn("@directory has no units", world.poc("directory-admin", "user", "invite", "duty", "--role", "admin", "--unit", "x",
                                                           expect=2).err)
        self.assertIn("XB/bank has no user nobody", world.poc("xb-coordinator", "-y", "user", "remove", "--unit", "bank", "nobody",
                                                              expect=5).err)
        broken = world.variant("xb-bank", "xb-broken", {("user", "unit"): "no/unit"})
        self.assertIn("is not a unit of a state", world.poc(broken, "status", expect=2).err)

    def test_lookup(self):
        """A unit's operator is one of its state's people: the same sections as any operator of it."""
        world = self.world
        self.assertIn("Head of the duty desk", world.poc("xb-bank", "lookup", "XA").out)
        self.assertIn("Head of the duty desk", world.poc("xb-bank", "lookup", "XB/port").out)
        world.poc("xb-bank", "sync")
        self.assertIn("Head of the duty desk", world.poc("xb-bank", "--offline", "lookup", "XA").out)
        self.assertNotIn("Head of the duty desk", world.poc("xa-reader", "lookup", "XB/bank").out)

    def test_notice(self):
        """From abroad to the unit and back; its state's other readers, and another unit, have no part in it."""
        world, notice = self.world, self.send()
        self.assertIn(notice, self.ids("xb-bank"))
        self.assertIn("We see them.", world.poc("xb-bank", "notice", "show", notice).out)
        self.assertIn("neither agreement", world.poc("xb-bank", "notice", "ack", notice).out)
        world.poc("xb-bank", "notice", "take", notice)
        answer = world.poc("xb-bank", "-o", "json", "notice", "reply", notice, "--text", "So do we.").json["id"]
        self.assertIn("So do we.", world.poc("xa-operator", "notice", "show", answer).out)
        steps = world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["steps"]
        self.assertEqual({(each["place"], each["step"]) for each in steps if each["step"] in ("delivered", "acknowledged", "answered")},
                         {("XB/bank", "delivered"), ("XB/bank", "acknowledged"), ("XB/bank", "answered")})
        for stranger in "xb-operator", "xb-coordinator", "xb-port":
            self.assertNotIn(notice, self.ids(stranger, "--all"), stranger)
            self.assertIn("no notice of ours", world.poc(stranger, "notice", "show", notice, expect=5).err)
        world.poc("xb-reader", "notice", "list", expect=4)
        # a configuration that claims the unit is not believed
        thief = world.variant("xb-operator", "xb-thief", {("user", "unit"): "bank"})
        self.assertIn("not listed in U/XB/bank", world.poc(thief, "notice", "list", expect=4).err)
        # nor is the unit's user one of the state's own desk
        climber = world.variant("xb-bank", "xb-climber", {("user", "unit"): None})
        self.assertIn("not listed in U/XB", world.poc(climber, "notice", "list", expect=4).err)

    def test_watch_and_saved_story(self):
        world, notice = self.world, self.send("xb-bank", "XA")
        events = [json.loads(line) for line in world.poc("xa-operator", "-o", "json", "notice", "watch", "--once").out.splitlines()]
        self.assertIn("XB/bank", [each["from"] for each in events if each.get("id") == notice])
        got = self.send()
        seen = world.poc("xb-bank", "notice", "watch", "--once").out
        self.assertIn(got, seen)
        self.assertIn(notice, self.ids("xb-bank", "--sent"))
        self.proven(notice)
        story = self.path("story")
        world.poc("xb-bank", "notice", "status", notice, "--save", story)
        self.assertIn("XB/bank", world.poc("xa-reader", "--offline", "verify", story).out)
        run(sys.executable, os.path.join(ROOT, "tests", "reference", "story.py"), "--id", world.setting("xb-bank", "directory", "id"), story)
        # who of the state takes part as one: a notice between unit and state
        inner = self.send("xb-bank", "XB")
        self.assertIn(inner, self.ids("xb-operator"))

    def proven(self, notice, user="xb-bank"):
        end = time.monotonic() + 30
        while not all(each["proven"] for each in world_steps(self.world, user, notice)):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def test_offline(self):
        """Without a server the unit's desk shows what it has."""
        world, notice = self.world, self.send()
        world.poc("xb-bank", "notice", "show", notice)
        world.poc("xb-bank", "sync")
        self.assertIn(notice, self.ids("xb-bank"))
        self.assertIn("We see them.", world.poc("xb-bank", "--offline", "notice", "show", notice).out)
        self.assertIn(notice, [each["id"] for each in world.poc("xb-bank", "--offline", "-o", "json", "notice", "list").json["notices"]])

    def test_desk_key(self):
        """A desk's reading key for the unit: notices are encrypted to it from then on, until it is dropped."""
        world, key = self.world, self.path("bank-desk.key")
        made = world.poc("xb-coordinator", "-y", "key", "new", "--holder", "desk", "--kind", "technical", "--unit", "bank", key)
        fingerprint = made.out.split()[0]
        listed = world.poc("xb-bank", "-o", "json", "user", "list").json
        self.assertIn(("desk", fingerprint), [(each["holder"], each["fingerprint"]) for each in listed["reading_keys"]])
        self.assertNotIn(fingerprint, world.poc("xb-reader", "user", "list").out)
        self.assertIn(fingerprint, world.poc("xb-reader", "user", "list", "--unit", "bank").out)
        notice = self.send()
        other = world.variant("xb-bank", "xb-desk", {("notices", "reading_key"): key})
        self.assertIn("We see them.", world.poc(other, "notice", "show", notice).out)
        world.poc("xb-coordinator", "-y", "user", "remove", "--unit", "bank", fingerprint)
        self.assertIn("not encrypted to any", world.poc(other, "notice", "show", self.send(), expect=4).err)

    def rotate(self, user, which, *words):
        return self.world.poc(user, "-y", "-o", "json", "key", "rotate", which, *words).json

    def test_rotation(self):
        """A unit's user and his keys stand in U/XB/bank: there they are rotated, by a request or with the coordinator's key."""
        world = self.world
        self.join("xb-turns", "bank", "turns")
        state = world.poc("xa-reader", "-o", "json", "user", "list", "XB").json

        def listed():
            found = world.poc("xa-reader", "-o", "json", "user", "list", "XB/bank").json
            return ({each["handle"]: each["fingerprint"] for each in found["users"]},
                    [each["fingerprint"] for each in found["reading_keys"] if each["handle"] == "turns"])

        users, old = listed()
        before = self.send()
        for which, place in (("user", 0), ("reading", 1)):
            asked = self.rotate("xb-turns", which)
            self.assertEqual(asked["step"], "requested")
            self.assertIn(asked["check_code"], world.poc("xb-coordinator", "-y", "user", "add", asked["request"]).out)
            self.assertEqual(self.rotate("xb-turns", which)["step"], "ended")
            self.assertEqual((listed()[0]["turns"], listed()[1][0])[place], asked["fingerprint"])
        self.assertEqual({handle for handle, key in listed()[0].items() if key != users[handle]}, {"turns"})
        self.assertNotEqual(listed()[1], old)
        for notice in (before, self.send()):  # by the old key, by the new one
            self.assertIn("We see them.", world.poc("xb-turns", "notice", "show", notice).out)
        world.poc("xb-turns", "notice", "ack", before)
        # whoever has the coordinator's key publishes it himself
        ini_set(world.conf("xb-turns"), {("coordinator", "key"): world.path("states", "XB-signing.key")})
        done = self.rotate("xb-turns", "user")
        self.assertEqual((done["step"], done["fingerprint"]), ("published", listed()[0]["turns"]))
        world.poc("xb-turns", "--online", "lookup", "XA")
        desk = world.path("users", "bank-desk.key")
        world.poc("xb-turns", "-y", "key", "new", desk, "--holder", "desk", "--kind", "technical")
        ini_set(world.conf("xb-turns"), {("notices", "reading_key"): f"{ini_get(world.conf('xb-turns'), 'notices', 'reading_key')}, bank-desk.key"})
        self.rotate("xb-turns", "desk", "--overlap", "0")
        self.assertIn("We see them.", world.poc("xb-turns", "notice", "show", self.send()).out)
        self.assertEqual(world.poc("xa-reader", "-o", "json", "user", "list", "XB").json, state)  # U/XB is as it was

    def test_removal_ends_it(self):
        world = self.world
        self.join("xb-relief", "bank", "relief")
        notice = self.send()
        self.assertIn(notice, self.ids("xb-relief"))
        removed = world.poc("xb-coordinator", "-y", "user", "remove", "--unit", "bank", "relief")
        self.assertIn("XB/bank/relief will be dropped", removed.out)
        self.assertIn("not listed", world.poc("xb-relief", "notice", "list", expect=4).err)
        world.poc("xb-relief", "--online", "lookup", "XA", expect=4)
        self.assertIn(self.send(), self.ids("xb-bank"))

    def test_editor(self):
        """An editor of the unit publishes its record, and no other."""
        world, key = self.world, self.path("bank-editor.key")
        self.assertIn("an editor is a unit's", world.poc("xb-coordinator", "-y", "key", "new", "--holder", "editor", key, expect=2).err)
        fingerprint = world.poc("xb-coordinator", "-y", "key", "new", "--holder", "editor", "--unit", "bank", key).out.split()[0]
        self.assertEqual([each["fingerprint"] for each in world.poc("xb-bank", "-o", "json", "user", "list").json["editors"]],
                         [fingerprint])
        editor = world.variant("xb-bank", "xb-editor", {("editor", "key"): key})
        world.poc(editor, "-y", "confirm")
        self.assertIn("editor of XB/bank", world.poc("xa-reader", "lookup", "XB/bank").out)
        refused = world.poc(editor, "-y", "confirm", "XB", expect=None)
        self.assertIn(refused.status, (4, 6), refused)
        # while the record stands by that signature alone the editor stays
        world.poc("xb-coordinator", "-y", "user", "remove", "--unit", "bank", fingerprint, expect=1)
        world.poc("xb-coordinator", "-y", "confirm", "XB/bank")
        world.poc("xb-coordinator", "-y", "user", "remove", "--unit", "bank", fingerprint)
        self.assertNotEqual(world.poc(editor, "-y", "confirm", expect=None).status, 0)


def world_steps(world, user, notice):
    return world.poc(user, "-o", "json", "notice", "status", notice).json["steps"]


if __name__ == "__main__":
    main()
