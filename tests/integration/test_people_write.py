"""Writing, as people do it: joining in three commands, editing, publishing, confirming, withdrawing, and what goes wrong."""
import contextlib
import json
import os
import socket
import stat
import threading
import time
import unittest

from harness import POC, SLOW, World, main, run, shifted

import wire

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


def yesterday():
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))


class Writes(unittest.TestCase):
    def one_line(self, result, *words):
        lines = result.err.splitlines()
        self.assertEqual(len(lines), 1, result)
        for word in words:
            self.assertIn(word, lines[0], result)

    def path(self, name):
        return os.path.join(WORLD.root, name)

    def write(self, name, document):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(document if isinstance(document, str) else json.dumps(document, ensure_ascii=False))
        return self.path(name)

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def editor(self, name, script):
        path = self.write(name, "#!/bin/sh\n" + script)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return path

    def seq(self, place="XA", user="xa-coordinator"):
        return WORLD.poc(user, "-o", "json", "history", place).json["versions"][-1]["seq"]


class Joining(Writes):
    def join(self, handle, *flags, invite_env=None):
        home = {"XDG_CONFIG_HOME": self.path("home-" + handle), "XDG_STATE_HOME": self.path("state-" + handle)}
        invited = WORLD.poc("xa-coordinator", "user", "invite", handle, *flags, cwd=WORLD.root, env=invite_env)
        self.one_line(invited, f"{handle}.invite", f"poc setup {handle}.invite")
        with open(self.path(handle + ".invite"), encoding="ascii") as file:
            self.assertNotIn("PRIVATE", file.read())
        made = WORLD.poc_file(None, "-o", "json", "setup", handle + ".invite", cwd=WORLD.root, env=home).json
        self.assertEqual(made["request"], handle + ".request")
        WORLD.poc_file(None, "lookup", "XB", env=home, expect=4)
        added = WORLD.poc("xa-coordinator", "-y", "user", "add", handle + ".request", cwd=WORLD.root)
        self.assertIn(made["check_code"], added.out)
        self.assertIn("proven", added.out)
        return home, added

    def test_three_commands(self):
        home, added = self.join("duty-2", "--role", "operator", "--kind", "technical", "--not-after", "2099-01-01")
        for words in ("XA/duty-2", "role        operator", "serves      technical", "until       2099-01-01T00:00:00Z"):
            self.assertIn(words, added.out)
        answer = WORLD.poc_file(None, "lookup", "XB", env=home)
        self.assertIn("Head of the duty desk", answer.out)  # an operator sees AMBER
        self.assertEqual(answer.err, "")
        status = WORLD.poc_file(None, "-o", "json", "status", env=home).json
        self.assertEqual((status["handle"], status["roles"], status["not_after"]), ("duty-2", ["operator"], "2099-01-01T00:00:00Z"))
        listed = WORLD.poc("xa-coordinator", "-o", "json", "user", "list").json["users"]
        self.assertIn("duty-2", [user["handle"] for user in listed])
        text = WORLD.poc("xa-coordinator", "user", "list").out  # the same in words: person or service, roles, kinds
        self.assertRegex(text, r"(?m)^duty-2 +person +operator +technical +\S+")
        self.assertRegex(text, r"(?m)^reads user coordinator  +\S*coordinator\S*  +\S{39}$")

    def test_setup_again(self):
        WORLD.poc("xa-coordinator", "user", "invite", "duty-21", "--role", "operator", cwd=WORLD.root)
        conf, request = self.path("again/duty-21.conf"), self.path("duty-21.request")

        def setup(invite="duty-21.invite", into=conf, **more):
            return WORLD.poc_file(into, "-o", "json", "setup", invite, cwd=WORLD.root, **more)

        def files():
            return {name: self.read(name) for name in [request] + [os.path.join(self.path("again"), name)
                                                                   for name in sorted(os.listdir(self.path("again")))]}
        first, before = setup(), files()
        second = setup()
        self.assertEqual(second.json, first.json)
        self.one_line(second, "set up by this invitation already: nothing to do")
        self.assertIn(first.json["check_code"], WORLD.poc_file(conf, "setup", "duty-21.invite", cwd=WORLD.root).out)
        # a setting that was changed since does not matter; other keys, another user, another invitation under the name do
        with open(conf, "a", encoding="ascii") as out:
            out.write("\n[directory]\nmax_age = 2d\n")
        setup()
        before[conf] = self.read(conf)
        WORLD.poc("xa-coordinator", "user", "invite", "duty-22", "--role", "operator", cwd=WORLD.root)
        self.one_line(setup("duty-22.invite", expect=1), conf, "exists already", "-c FILE")
        self.assertFalse(os.path.exists(self.path("duty-22.request")))
        self.one_line(setup(into=self.path("again/other.conf"), expect=1), "duty-21.request exists already")
        os.unlink(self.path("duty-21.invite"))
        WORLD.poc("xa-coordinator", "user", "invite", "duty-21", "--role", "reader", cwd=WORLD.root)
        self.one_line(setup(expect=1), conf, "exists already")
        os.unlink(self.path("duty-21.invite"))
        WORLD.poc("xa-coordinator", "user", "invite", "duty-21", "--role", "operator", cwd=WORLD.root)
        setup()
        self.assertEqual(files(), before)
        for name in ("duty-21.crt", "duty-21-reading.key"):
            path = os.path.join(self.path("again"), name)
            os.rename(path, path + "-away")
            self.one_line(setup(expect=1), conf, "exists already")
            os.rename(path + "-away", path)

    def test_what_must_be_asked(self):
        result = WORLD.poc("xa-coordinator", "user", "invite", "duty-4", expect=2)
        self.one_line(result, "--role")
        WORLD.poc("xa-coordinator", "user", "invite", "duty-4", "--role", "chef", expect=2)
        result = WORLD.poc("xa-coordinator", "user", "invite", "Duty Four", "--role", "reader", expect=2)
        self.one_line(result, "[a-z0-9-]")
        for command in (["user", "invite", "duty-4", "--role", "reader"], ["key", "new", "--holder", "desk", "--kind", "technical", "x.key"]):
            result = WORLD.poc("xa-coordinator", *command, "--not-after", "2001-01-01", expect=2)
            self.one_line(result, "--not-after 2001-01-01: that day has begun already")
        self.one_line(WORLD.poc("xa-coordinator", "key", "new", "--kind", "technical", self.path("x.key"), expect=2), "--holder")
        result = WORLD.poc("xa-coordinator", "user", "remove", "reader", expect=2)
        self.one_line(result, "not a terminal", "--yes")
        result = WORLD.poc("xa-coordinator", "-y", "user", "remove", "nobody", expect=5)
        self.one_line(result, "XA has no user nobody")
        WORLD.poc("xa-reader", "lookup", "XB")

    def test_nobody_locks_the_state_out(self):
        before = len(WORLD.poc("xa-coordinator", "-o", "json", "user", "list").json["users"])
        result = WORLD.poc("xa-coordinator", "-y", "user", "remove", "coordinator", expect=2)
        self.one_line(result, "XA/coordinator is you", "--myself")
        result = WORLD.poc("xa-coordinator", "-y", "-q", "user", "remove", "--myself", "coordinator", expect=4)
        self.one_line(result, "XA would be left without a coordinator")
        # nor by a request that makes a mere reader of the last one
        WORLD.poc("xa-coordinator", "user", "invite", "coordinator", "--role", "reader", "--out", self.path("lesser.invite"))
        WORLD.poc_file(self.path("lesser.conf"), "setup", self.path("lesser.invite"))
        result = WORLD.poc("xa-coordinator", "-y", "-q", "user", "add", self.path("lesser.request"), expect=4)
        self.one_line(result, "XA would be left without a coordinator")
        # one whose time is over is none
        self.join("late", "--role", "coordinator", "--not-after", yesterday(), invite_env=shifted(-3 * 86400))
        WORLD.poc("xa-coordinator", "-y", "user", "remove", "--myself", "coordinator", expect=4)
        home, _ = self.join("second", "--role", "coordinator")
        with open(os.path.join(home["XDG_CONFIG_HOME"], "poc", "poc.conf"), "a", encoding="ascii") as conf:
            conf.write(f"[coordinator]\nkey = {WORLD.path('states', 'XA-signing.key')}\n")
        # with a second one, who may leave again by an explicit word
        WORLD.poc_file(None, "-y", "user", "remove", "second", env=home, expect=2)
        gone = WORLD.poc_file(None, "-y", "user", "remove", "late", "second", "--myself", env=home, expect=None)
        self.assertIn(gone.status, (0, 8), gone)  # 8: the session was over before the proof was asked for
        self.assertEqual(len(WORLD.poc("xa-coordinator", "-o", "json", "user", "list").json["users"]), before)

    def test_the_same_request_twice(self):
        self.join("duty-8", "--role", "operator")
        again = WORLD.poc("xa-coordinator", "-o", "json", "user", "add", self.path("duty-8.request")).json
        self.assertEqual(again["results"], [])
        result = WORLD.poc("xa-coordinator", "user", "add", self.path("duty-8.request"))  # and so does not ask
        self.one_line(result, "XA/duty-8 is listed already, just so: nothing to do")
        self.assertEqual(result.out, "")
        # the same key with a longer time is a change, and no new key
        with open(self.path("duty-8.request"), encoding="ascii") as file:
            text = file.read()
        result = WORLD.poc("xa-coordinator", "-n", "user", "add", self.write("longer.request", text + "not_after = 4070908800\n"))
        self.assertIn("XA/duty-8: listed already with this key; now as follows", result.out)
        self.assertIn("until       no end -> 2099-01-01", result.out)

    def test_what_a_request_changes_is_said(self):
        self.join("duty-9", "--role", "operator", "--kind", "technical")
        with open(self.path("duty-9.request"), encoding="ascii") as file:
            text = file.read()
        more = self.write("more.request", text.replace("role = operator", "role = coordinator\nrole = operator"))
        result = WORLD.poc("xa-coordinator", "-n", "user", "add", more)
        self.assertRegex(result.out, r"(?m)^  role +operator -> operator,coordinator$")
        self.assertRegex(result.out, r"(?m)^  serves +technical$")
        self.assertIn("ATTENTION   this makes XA/duty-9 a COORDINATOR, who speaks for XA", result.out)
        less = self.write("less.request", text.replace("role = operator", "role = reader").replace("kind = technical\n", ""))
        result = WORLD.poc("xa-coordinator", "-n", "user", "add", less)
        self.assertRegex(result.out, r"(?m)^  role +operator -> reader$")
        self.assertRegex(result.out, r"(?m)^  serves +technical -> none$")
        self.assertNotIn("ATTENTION", result.out)
        # somebody new, and a new key for one who has the role
        for handle, known in (("chief", False), ("coordinator", True)):
            WORLD.poc("xa-coordinator", "user", "invite", handle, "--role", "coordinator", "--out", self.path(handle + ".invite"))
            WORLD.poc_file(self.path(handle + ".conf"), "setup", self.path(handle + ".invite"))
            result = WORLD.poc("xa-coordinator", "-n", "user", "add", self.path(handle + ".request"))
            self.assertEqual("a new key for a user that is listed" in result.out, known)
            self.assertRegex(result.out, r"(?m)^  role +coordinator$")
            self.assertIn(f"ATTENTION   this makes XA/{handle} a COORDINATOR", result.out)

    def test_key_new_takes_its_type_at_its_word(self):
        for words, expect in ((["--type", "rsa"], "ed25519, p256 or p384"),
                              (["--type", "ed25519", "--holder", "desk", "--kind", "technical"], "a reading key is a P-384 key")):
            for dry in ([], ["-n"]):
                self.one_line(WORLD.poc("xa-coordinator", *dry, "-y", "key", "new", *words, self.path("typed.key"), expect=2), expect)
        self.assertFalse(os.path.exists(self.path("typed.key")))

    def test_key_new_leaves_nothing_behind(self):
        """Unless it may be listed by now: then nothing else reads what is sent to it."""
        path = self.path("desk.key")
        new = ["key", "new", "--holder", "desk", "--kind", "technical", path]
        self.one_line(WORLD.poc("xa-coordinator", "-q", *new, expect=2), "--yes")
        self.assertFalse(os.path.exists(path))
        stranger = self.path("stranger.key")
        WORLD.poc("xa-coordinator", "key", "new", stranger)
        WORLD.variant("xa-coordinator", "xa-forger", {("coordinator", "key"): stranger})
        self.one_line(WORLD.poc("xa-forger", "-y", *new, expect=None), "U/XA")
        self.assertFalse(os.path.exists(path))
        with WORLD.settings(reload=False, log__checkpoint_interval="1h"):
            WORLD.stop()
            WORLD.start()
            WORLD.poc("xb-coordinator", "-y", "-t", "1", "confirm", expect=None)
            WORLD.poc("xa-coordinator", "-y", "-t", "1", *new, expect=3)  # no answer in time: it may be stored, and is
        WORLD.stop()
        WORLD.start()
        self.assertTrue(os.path.exists(path))
        listed = WORLD.poc("xa-coordinator", "-o", "json", "user", "list").json["reading_keys"]
        self.assertIn("desk", [key["holder"] for key in listed])

    def test_request_of_another_state(self):
        WORLD.poc("xb-coordinator", "user", "invite", "duty-5", "--role", "reader", "--out", self.path("duty-5.invite"))
        WORLD.poc_file(self.path("duty-5.conf"), "setup", self.path("duty-5.invite"))
        # each of the two files in the other's place
        result = WORLD.poc_file(self.path("duty-x.conf"), "setup", self.path("duty-5.request"), expect=1)
        self.one_line(result, "this is a request, for the coordinator's poc user add")
        result = WORLD.poc("xb-coordinator", "-y", "user", "add", self.path("duty-5.invite"), expect=1)
        self.one_line(result, "this is an invitation; poc setup")
        result = WORLD.poc("xa-coordinator", "-y", "user", "add", self.path("duty-5.request"), expect=4)
        self.one_line(result, "another state")

    def test_removal_ends_sessions_within_a_second(self):
        home, _ = self.join("duty-6", "--role", "reader")
        conf = os.path.join(home["XDG_CONFIG_HOME"], "poc", "poc")
        context = WORLD.context()
        context.load_cert_chain(conf + ".crt", conf + ".key")
        client = wire.Client(WORLD.connect(context=context))
        self.assertEqual(client.call(wire.HELLO, WORLD.hello("xa-reader")).kind, wire.HELLO_ANSWER)
        begun = time.monotonic()
        WORLD.poc("xa-coordinator", "-y", "-q", "user", "remove", "duty-6")
        removed = time.monotonic()
        client.connection.settimeout(10)
        try:
            while client.connection.recv(4096):
                pass
        except ConnectionError:
            pass
        self.assertLess(time.monotonic() - removed, 1.0 * SLOW, f"the removal itself took {removed - begun:.2f} s")
        client.close()
        self.one_line(WORLD.poc_file(None, "--online", "lookup", "XB", env=home, expect=4), "not listed")

    def test_end_of_an_entry(self):
        day = 86400
        for days, expect in ((20, "this user's entry ends in 1"), (6, "this user's entry ends in 5 days"), (40, None)):
            until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * day))
            home, _ = self.join(f"until-{days}", "--role", "reader", "--not-after", until)
            result = WORLD.poc_file(None, "lookup", "XB", env=home)
            if expect:
                self.one_line(result, expect, until)
                self.assertEqual(WORLD.poc_file(None, "-q", "lookup", "XB", env=home).err, "")
            else:
                self.assertEqual(result.err, "")
        home, _ = self.join("over", "--role", "reader", "--not-after", yesterday(), invite_env=shifted(-3 * 86400))
        self.one_line(WORLD.poc_file(None, "lookup", "XB", env=home, expect=4), "its time there is over")


class Publishing(Writes):
    def changed(self, text, place="XA", user="xa-coordinator"):
        record = WORLD.record(user, place)
        record["pocs"][0]["sections"][0]["content"]["descriptions"] = [{"lang": "en", "text": text}]
        return record

    def fresh(self, record, place):
        """A record made of another: neither base nor digests."""
        record = {**json.loads(json.dumps(record)), "place": place}
        record.pop("based_on")
        for section in [s for poc in record["pocs"] for s in poc["sections"]] + record.get("sections", []):
            section.pop("digest", None)
        return record

    def test_stale_draft(self):
        """A colleague published since the draft was made: nothing of that is lost unseen."""
        stale = self.write("stale.json", self.changed("From the old one"))
        base = WORLD.record("xa-coordinator", "XA")["based_on"]
        self.assertEqual(base["seq"], self.seq())
        WORLD.poc("xa-coordinator", "-y", "publish", self.write("colleague.json", self.changed("By a colleague")))
        for words in (["publish", stale], ["-n", "publish", stale]):
            result = WORLD.poc("xa-coordinator", "-y", *words, expect=1)
            self.one_line(result, f"XA was changed meanwhile: version {base['seq'] + 1} is current, signed by the coordinator of XA, 20",
                          f"the draft was made from version {base['seq']}.", "poc edit XA", "poc publish --replace")
        self.assertEqual(WORLD.poc("xa-coordinator", "-y", "-o", "json", "publish", stale, expect=1).json["error"]["code"], "conflict")
        self.assertIn("By a colleague", WORLD.poc("xb-reader", "lookup", "XA").out)
        # a version that XA has never come to is no earlier one of XA's
        foreign = {**self.changed("Made from another's"), "based_on": {"seq": self.seq() + 14, "value": "00" * 32}}
        result = WORLD.poc("xa-coordinator", "-y", "publish", self.write("foreign.json", foreign), expect=1)
        self.one_line(result, f"made from version {self.seq() + 14} of a record that is not XA's", "poc publish --replace")
        self.assertNotIn("meanwhile", result.err)
        # another version of that very number, as after a restore
        other = json.loads(json.dumps(self.changed("x")))
        other["based_on"]["value"] = "ab" * 32
        self.one_line(WORLD.poc("xa-coordinator", "-y", "publish", self.write("other.json", other), expect=1),
                      f"made from another version {base['seq'] + 1}.")
        for seq, words in ((0, "there was none when the draft was made"), (99, "made from version 99")):
            other["based_on"] = {"seq": seq, **({"value": "ab" * 32} if seq else {})}
            self.one_line(WORLD.poc("xa-coordinator", "-y", "publish", self.write("other.json", other), expect=1), words)
        other["place"] = "XA/nowhere"
        self.one_line(WORLD.poc("xa-coordinator", "-y", "publish", self.write("other.json", other), expect=1),
                      "XA/nowhere has no record", "version 99")
        WORLD.poc("xa-coordinator", "-y", "publish", "--replace", stale)
        self.assertIn("From the old one", WORLD.poc("xb-reader", "lookup", "XA").out)
        # an exported document says it too, and a draft that says nothing is said to
        export = WORLD.poc("xa-coordinator", "-o", "json", "export").json["records"]
        self.assertIn({"seq": self.seq(), "value": WORLD.record("xa-coordinator", "XA")["based_on"]["value"]},
                      [record["record"]["based_on"] for record in export])
        blind = self.write("blind.json", self.fresh(self.changed("Blind"), "XA"))
        result = WORLD.poc("xa-coordinator", "-n", "publish", blind)
        self.assertIn(f"does not say which version it was made from; it replaces version {self.seq()}", result.err)

    def test_what_a_draft_says_counts(self):
        digest = self.changed("Digest")
        digest["pocs"][0]["sections"][0]["digest"] = "00" * 32
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", self.write("digest.json", digest), expect=1)
        self.one_line(result, "XA: pocs[0].sections[0].digest: is not that of the current record")
        digest["pocs"][0]["id"] = "new"
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", self.write("digest.json", digest), expect=1)
        self.one_line(result, "XA: pocs[0].sections[0].digest: is of no section of the current record")
        whole = {"record": self.changed("x"), "colour": "blue"}
        self.one_line(WORLD.poc("xa-coordinator", "-y", "publish", self.write("whole.json", whole), expect=1), "whole.json: colour: unknown key")
        # an expiry alone is a change, and the wrong one is refused
        record = WORLD.record("xa-coordinator", "XA")
        record["expires"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 30 * 86400))
        path = self.write("expires.json", record)
        self.assertIn(f'XA + expires: "{record["expires"]}"', WORLD.poc("xa-coordinator", "-n", "publish", path).out)
        WORLD.poc("xa-coordinator", "-y", "publish", path)
        self.assertEqual(WORLD.record("xb-reader", "XA")["expires"], record["expires"])
        self.assertEqual(WORLD.poc("xa-coordinator", "-o", "json", "publish", path).json["unchanged"], ["XA"])
        record = WORLD.record("xa-coordinator", "XA")
        record["expires"] = "2001-01-01T00:00:00Z"
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", self.write("expires.json", record), expect=1)
        self.one_line(result, "XA: expires: must lie ahead")

    def test_near_types(self):
        """A type of channel that is nearly a known one is published, and said; other words are nobody's business."""
        record = WORLD.record("ad-coordinator", "AD")
        channels = record["pocs"][0]["sections"][0]["content"]["channels"]
        channels += [{"id": "x1", "type": "e-mail", "value": "desk@ad.example"}, {"id": "x2", "type": "tel", "value": "376 800"},
                     {"id": "x3", "type": "xmpp", "value": "desk@ad.example"},
                     {"id": "x4", "type": "telephone", "value": "800-CALL-AD", "source": "a list"}]
        path = self.write("near.json", record)
        result = WORLD.poc("ad-coordinator", "-n", "publish", path)
        self.assertEqual([line.partition(" is of the type ")[2] for line in result.err.splitlines()],
                         ['"e-mail", which programs do not know: "email"?', '"tel", which programs do not know: "phone"?', ""])
        self.assertIn("poc: AD: the channel x1 of ", result.err)
        remarks = WORLD.poc("ad-coordinator", "-o", "json", "-n", "publish", path).json["remarks"]
        self.assertEqual([(each["code"], each["place"], each["channel"]) for each in remarks],
                         [("near-type", "AD", "x1"), ("near-type", "AD", "x2")])

    def test_useless_drafts(self):
        """What the rules allow and nobody could use is told before it is signed."""
        record = self.changed("Useless")
        office = record["pocs"][0]["sections"][0]["content"]
        office["hours"]["zone"] = "Europe/Pariss"
        path = self.write("zone.json", record)
        result = WORLD.poc("xa-coordinator", "-n", "publish", path, expect=1)
        self.one_line(result, "zone.json: pocs[0].sections[0].content.hours.zone", '"Europe/Pariss"')
        # a machine without a database of zones cannot tell, and takes any
        blind = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /usr/share/zoneinfo && exec "$@"', "sh"]
        if run(*blind, "true", expect=None).status == 0:
            run(*blind, POC, "-c", WORLD.conf("xa-coordinator"), "-n", "publish", path, env=WORLD.env)
        record = self.changed("Useless")
        office = record["pocs"][0]["sections"][0]["content"]
        office["hours"]["weekly"] = [{"day": 1, "open": "22:00", "close": "06:00"}]
        result = WORLD.poc("xa-coordinator", "-n", "publish", self.write("night.json", record), expect=1)
        self.one_line(result, "night.json: pocs[0].sections[0].content.hours.weekly[0].close", "two intervals", "until 24:00", "from 00:00")
        office["hours"]["weekly"] = [{"day": 1, "open": "22:00", "close": "24:00"}, {"day": 2, "open": "00:00", "close": "06:00"}]
        WORLD.poc("xa-coordinator", "-n", "publish", self.write("night.json", record))
        office["languages"] = ["en", "english"]
        result = WORLD.poc("xa-coordinator", "-n", "publish", self.write("tongue.json", record), expect=1)
        self.one_line(result, "content.languages[1]", '"english" is no language\'s tag', "pt-BR")
        record = self.changed("Useless")
        for section in record["pocs"][1]["sections"]:
            section["content"].pop("channels")
        result = WORLD.poc("xa-coordinator", "-n", "publish", self.write("mute.json", record), expect=1)
        self.one_line(result, "mute.json: pocs[1].channels", "nobody could reach it")
        for section in record["pocs"][1]["sections"]:
            section["content"]["websites"] = ["https://mfa.example"]
        WORLD.poc("xa-coordinator", "-n", "publish", self.write("mute.json", record))
        record["pocs"][0]["sections"][0]["content"]["descriptions"] = [{"lang": "ru", "text": "Описание"}]
        result = WORLD.poc("xa-coordinator", "-n", "publish", self.write("script.json", record), expect=1)
        self.one_line(result, "descriptions", "Latin script")

    def test_publish_shows_asks_and_proves(self):
        before = self.seq()
        path = self.write("new.json", self.changed("Published once"))
        result = WORLD.poc("xa-coordinator", "publish", path, expect=2)
        self.assertIn('XA + pocs[technical-1].sections[office].content.descriptions[0].text: "Published once"', result.out)
        self.one_line(result, "not a terminal", "--yes")
        result = WORLD.poc("xa-coordinator", "-n", "publish", path)
        self.one_line(result, "dry run: nothing was sent")
        self.assertEqual(self.seq(), before)
        dry = WORLD.poc("xa-coordinator", "-n", "-o", "json", "publish", path).json
        self.assertEqual((dry["dry_run"], dry["results"], len(dry["changes"]["XA"])), (True, [], 1))
        done = WORLD.poc("xa-coordinator", "-y", "-o", "json", "publish", path).json
        self.assertEqual((done["schema"], done["proven"], done["results"][0]["name"], done["results"][0]["seq"]),
                         ("poc.publish/1", True, "R/XA", before + 1))
        for more in ([], ["-q"], ["-o", "json"]):  # the same again: nothing to do
            WORLD.poc("xa-coordinator", "-y", *more, "publish", path)
        self.assertEqual(self.seq(), before + 1)
        again = WORLD.poc("xa-coordinator", "-y", "-o", "json", "publish", path).json
        self.assertEqual((again["results"], again["unchanged"]), ([], ["XA"]))

    def test_whole_lookup_document_and_comments(self):
        document = WORLD.poc("xa-coordinator", "-o", "json", "lookup", "XA").json
        document["record"]["pocs"][0]["sections"][0]["content"]["languages"] = ["en", "fr", "ar"]
        path = self.write("document.json", "# of the lookup\n" + json.dumps(document, indent=1))
        WORLD.poc("xa-coordinator", "-y", "publish", path)
        self.assertIn("en, fr, ar", WORLD.poc("xb-reader", "lookup", "XA").out.splitlines()[0])

    def test_history_has_every_version(self):
        WORLD.poc("xa-coordinator", "-y", "confirm")
        record = WORLD.poc("xa-coordinator", "-o", "json", "history", "XA").json
        self.assertEqual([v["seq"] for v in record["versions"]], list(range(1, len(record["versions"]) + 1)))
        self.assertTrue(all(v["signed_by"] == "coordinator of XA" for v in record["versions"]))

    def test_bundle_is_all_or_nothing(self):
        before = self.seq()
        good = self.write("good.json", self.changed("One of a bundle"))
        unit = self.fresh(self.changed("A unit"), "XA/south")
        bad = json.loads(json.dumps(unit))
        bad["pocs"][0]["sections"][0]["content"]["channels"][0]["value"] = "none"
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", good, self.write("unit.json", bad), expect=1)
        self.one_line(result, "unit.json", "channels[0]")
        self.assertEqual(self.seq(), before)
        WORLD.poc("xb-reader", "lookup", "XA/south", expect=5)
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", good, good, expect=1)
        self.one_line(result, "XA: two drafts of one place")
        self.assertEqual(self.seq(), before)
        done = WORLD.poc("xa-coordinator", "-y", "-o", "json", "publish", good, self.write("unit.json", unit)).json
        self.assertEqual([r["name"] for r in done["results"]], ["R/XA", "R/XA/south"])
        self.assertIn("A unit", WORLD.poc("xb-reader", "lookup", "XA/south").out)

    def test_confirm_changes_nothing_else(self):
        before = WORLD.record("xa-coordinator", "XA")
        result = WORLD.poc("xa-coordinator", "confirm", expect=2)
        self.one_line(result, "--yes")
        self.assertIn("is still correct", result.out)
        self.assertEqual(WORLD.poc("xa-coordinator", "-q", "confirm", expect=2).out, "")
        self.assertEqual(WORLD.poc("xa-coordinator", "-q", "withdraw", expect=2).out, "")
        self.assertNotIn("is still correct", WORLD.poc("xa-coordinator", "-q", "-y", "confirm").out)
        time.sleep(1.1)  # confirmation times are seconds
        done = WORLD.poc("xa-coordinator", "-y", "-o", "json", "confirm").json
        self.assertEqual(done["schema"], "poc.confirm/1")
        after = WORLD.record("xa-coordinator", "XA")
        self.assertGreater(after["confirmed"], before["confirmed"])
        for record in (before, after):
            for member in ("confirmed", "expires", "based_on"):
                record.pop(member)
        self.assertEqual(before, after)
        self.assertEqual(WORLD.poc("xa-coordinator", "-o", "json", "history", "XA").json["versions"][-1]["change"], "confirmed")
        self.assertEqual(len(WORLD.poc("xa-coordinator", "-y", "-o", "json", "confirm", "XA", "XA").json["results"]), 1)
        WORLD.poc("xa-coordinator", "-y", "confirm", "--all", "XA")
        result = WORLD.poc("xa-coordinator", "-y", "confirm", "XA/north", expect=5)
        self.one_line(result, "XA/north has no record to confirm")

    def test_withdraw(self):
        unit = self.changed("To be withdrawn", "AD", "ad-coordinator")
        unit["pocs"].append({"id": "second", "kind": "diplomatic", "sections": [{"name": "office", "content": {
            "names": [{"lang": "en", "text": "Second"}], "channels": [{"id": "e", "type": "email", "value": "b@ad.example"}]}}]})
        WORLD.poc("ad-coordinator", "-y", "publish", self.write("ad.json", unit))
        result = WORLD.poc("ad-coordinator", "-y", "withdraw", "--poc", "third", expect=5)
        self.one_line(result, "AD has no point of contact third")
        result = WORLD.poc("ad-coordinator", "withdraw", "--poc", "second", expect=2)
        self.assertIn("AD, second will be withdrawn at once", result.out)
        WORLD.poc("ad-coordinator", "-y", "withdraw", "--poc", "second")
        last = WORLD.record("ad-coordinator", "AD")["pocs"][0]["id"]
        self.one_line(WORLD.poc("ad-coordinator", "-y", "withdraw", "--poc", last, expect=1),
                      f"{last} is the only point of contact of AD", "poc withdraw AD")
        WORLD.poc("xa-reader", "lookup", "AD", "--kind", "diplomatic", expect=5)
        WORLD.poc("ad-coordinator", "-y", "withdraw")
        result = WORLD.poc("xa-reader", "lookup", "AD", expect=5)
        self.one_line(result, "AD (Andorra): withdrawn by its state (proven)")
        answer = WORLD.poc("xa-reader", "-o", "json", "lookup", "AD", expect=5).json
        self.assertEqual((answer["place"], answer["verdict"]["status"]), ("AD", "withdrawn"))
        self.one_line(WORLD.poc("ad-coordinator", "withdraw"), "AD is withdrawn already, since version 4, 20", "nothing to do")
        done = WORLD.poc("ad-coordinator", "-o", "json", "withdraw", "--poc", last).json
        self.assertEqual((done["results"], done["unchanged"]), ([], ["AD"]))
        self.one_line(WORLD.poc("ad-coordinator", "-y", "withdraw", "AD/none", expect=5), "AD/none has no record to withdraw")
        self.one_line(WORLD.poc("ad-coordinator", "-y", "confirm", expect=5), "AD is withdrawn")
        self.one_line(WORLD.poc("ad-coordinator", "-y", "confirm", "--all"), "AD has no record to confirm")
        self.assertEqual([v["change"] for v in WORLD.poc("xa-reader", "-o", "json", "history", "AD").json["versions"]],
                         ["published", "published", "published", "withdrawn"])
        self.assertNotIn("AD ", WORLD.poc("xa-reader", "search", "Andorra").out)
        self.one_line(WORLD.poc("ad-coordinator", "-y", "publish", self.path("ad.json"), expect=1), "AD was changed meanwhile")
        blind = self.write("ad-blind.json", self.fresh(unit, "AD"))  # it may be older than the withdrawal
        for words in (["-y", "publish"], ["-n", "publish"]):
            self.one_line(WORLD.poc("ad-coordinator", *words, blind, expect=1), "AD is withdrawn since version 4, signed by the coordinator of AD",
                          "poc publish --replace")
        self.assertEqual(WORLD.poc("ad-coordinator", "-o", "json", "-y", "publish", blind, expect=1).json["error"]["code"], "conflict")
        WORLD.poc("xa-reader", "lookup", "AD", expect=5)
        WORLD.poc("ad-coordinator", "-n", "publish", "--replace", blind)
        WORLD.poc("ad-coordinator", "-y", "publish", "--replace", self.path("ad.json"))  # and back again
        WORLD.poc("xa-reader", "lookup", "AD", "--kind", "diplomatic")

    def test_quota(self):
        """A state that has changed as much as it may is told so; others go on."""
        WORLD.stop()
        with WORLD.settings(reload=False, limits__changes_per_hour="1"):
            WORLD.start()
            WORLD.poc("ae-coordinator", "-y", "confirm")
            late = WORLD.poc("ae-coordinator", "-y", "confirm", expect=4)
            self.assertRegex(late.err, "^poc: .*AE has changed as much as it may in an hour")
            WORLD.poc("xb-coordinator", "-y", "confirm")
            WORLD.stop()
        WORLD.start()
        WORLD.poc("ae-coordinator", "-y", "confirm")


class Resending(Writes):
    """The connection is lost after the directory stored a write and before its answer came."""

    def proxy(self, listener):
        """Passes bytes on; the first connection is cut once a large message (the write) has gone through."""
        cut = threading.Event()

        def pump(source, sink, upwards):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    if not upwards and cut.is_set() and not self.second:
                        continue  # the answer is lost
                    sink.sendall(data)
                    if upwards and len(data) > 2000 and not cut.is_set():
                        cut.set()
                        time.sleep(1)
                        break
            for side in (source, sink):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

        self.second, threads, open_sockets = False, [], []
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.second = cut.is_set()
                server = socket.create_connection(("127.0.0.1", WORLD.port))
                open_sockets += [client, server]
                for way in ((client, server, True), (server, client, False)):
                    threads.append(threading.Thread(target=pump, args=way, daemon=True))
                    threads[-1].start()
        for thread in threads:
            thread.join(10)
        for each in open_sockets:
            each.close()

    def test_sent_again_gives_the_first_answer(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=self.proxy, args=(listener,), daemon=True)
            thread.start()
            name = WORLD.variant("xb-coordinator", "lossy", {("directory", "server"): f"127.0.0.1:{listener.getsockname()[1]}"})
            before = self.seq("XB", "xb-coordinator")
            record = WORLD.record("xb-coordinator", "XB")
            record["pocs"][0]["sections"][0]["content"]["descriptions"] = [
                {"lang": lang, "text": "long " * 150} for lang in ("en", "fr", "de")]
            done = WORLD.poc(name, "-y", "-o", "json", "publish", self.write("long.json", record)).json
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
        self.assertEqual([(r["seq"], r["repeated"]) for r in done["results"]], [(before + 1, True)])
        self.assertTrue(done["proven"])
        self.assertEqual(self.seq("XB", "xb-coordinator"), before + 1)


class Editing(Writes):
    def edit(self, script, *words, user="xa-coordinator", **more):
        return WORLD.poc(user, *words, "edit", env={"EDITOR": self.editor("editor", script), "VISUAL": ""}, **more)

    def kept(self, result):
        """Where the program says that it keeps what was written."""
        line = result.err.splitlines()[-1]
        self.assertIn("what you wrote is kept in ", line, result)
        path = line.split("kept in ")[1].split(";")[0]
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        return path

    def test_edit(self):
        before = self.seq()
        result = self.edit('grep -q "^# The record of XA" "$1" && sed -i "s/duty desk/night desk/" "$1"', "-y")
        self.assertIn("night desk", result.out)
        self.assertEqual(self.seq(), before + 1)
        self.assertIn("night desk", WORLD.poc("xb-reader", "lookup", "XA").out)
        leftovers = [f for _, _, files in os.walk(WORLD.path("states")) for f in files if f.startswith("edit-")]
        self.assertEqual(leftovers, [])
        result = self.edit("true", "-y")  # nothing changed
        self.one_line(result, "XA: nothing changes")
        self.assertEqual(self.seq(), before + 1)
        self.assertEqual(self.edit("true", "-y", "-o", "json").json["schema"], "poc.edit/1")

    def test_giving_up(self):
        before = self.seq()
        self.one_line(self.edit(': >"$1"', "-y"), "empty: nothing was changed")
        self.assertEqual(self.edit(': >"$1"', "-y", "-o", "json").json["results"], [])
        self.one_line(self.edit("exit 3", "-y", expect=1), "the editor")  # nothing was written, nothing is kept
        result = WORLD.poc("xa-coordinator", "-y", "edit", "XA/blank", env={"EDITOR": "true", "VISUAL": ""})
        self.one_line(result, "the form is as it was: nothing was written")
        result = self.edit('sed -i "s/Ministry of Foreign/Lost Ministry of Foreign/" "$1"; exit 3', "-y", expect=1)
        self.assertIn("the editor", result.err.splitlines()[0])
        with open(self.kept(result), encoding="utf-8") as file:
            self.assertIn("Lost Ministry", file.read())
        os.unlink(self.kept(result))
        result = self.edit('sed -i "s/Ministry of Foreign/Tried Ministry of Foreign/" "$1"', "-n")
        os.unlink(self.kept(result))
        self.assertEqual(self.seq(), before)
        leftovers = [f for _, _, files in os.walk(WORLD.path("users")) for f in files if f.startswith("edit-")]
        self.assertEqual(leftovers, [])

    def test_no_editor(self):
        for words in (["edit"], ["edit", self.write("any.json", "{}")]):
            result = WORLD.poc("xa-coordinator", *words, env={"EDITOR": "", "VISUAL": ""}, expect=2)
            self.one_line(result, "no terminal", "EDITOR")

    def test_edit_what_is_not_ours(self):
        env = {"EDITOR": self.editor("editor", 'touch "$0.ran"'), "VISUAL": ""}
        self.one_line(WORLD.poc("xa-coordinator", "edit", "XB", env=env, expect=4), "XB is not a record of XA")
        self.one_line(WORLD.poc("xa-coordinator", "edit", "nosuch.json", env=env, expect=5), "nosuch.json: there is no such file")
        self.assertFalse(os.path.exists(env["EDITOR"] + ".ran"))

    def test_edit_a_file(self):
        before = self.seq()
        record = WORLD.record("xa-coordinator", "XA")
        path = self.write("draft.json", json.dumps(record, indent=1))
        env = {"EDITOR": self.editor("editor", 'sed -i "s/Ministry of Foreign Affairs/The Ministry of Foreign Affairs/" "$1"'), "VISUAL": ""}
        result = WORLD.poc("xa-coordinator", "-y", "edit", path, env=env)
        self.assertIn("The Ministry of Foreign", result.out)
        self.assertEqual(self.seq(), before + 1)
        env["EDITOR"] = self.editor("editor", 'sed -i "s/The Ministry/Ministry/" "$1"; exit 1')
        self.one_line(WORLD.poc("xa-coordinator", "-y", "edit", path, env=env, expect=1), "the editor")
        with open(path, encoding="utf-8") as file:
            self.assertNotIn("The Ministry", file.read())
        self.one_line(WORLD.poc("xa-coordinator", "-y", "publish", path, expect=1), "XA was changed meanwhile")

    def test_mistakes_are_named_and_kept(self):
        before = self.seq()
        result = self.edit('sed -i "s/\\"kind\\": \\"technical\\"/\\"kind\\": \\"technicla\\"/" "$1"', "-y", expect=1)
        self.assertIn("kind", result.err.splitlines()[0])
        path = self.kept(result)
        self.assertEqual(self.seq(), before)
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("technicla", "technical").replace("fictional state", "invented state")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        WORLD.poc("xa-coordinator", "-y", "publish", path)  # its comments are no obstacle
        self.assertEqual(self.seq(), before + 1)
        os.unlink(path)
        result = self.edit('sed -i "s/\\"place\\": \\"XA\\"/\\"place\\": \\"XA\\/east\\"/" "$1"', "-y", expect=1)
        self.assertIn("the form was of XA", result.err.splitlines()[0])
        os.unlink(self.kept(result))

    def test_two_editors(self):
        """While one edits, another publishes: the first learns of it, and loses nothing."""
        record = WORLD.record("xa-coordinator", "XA")
        record["pocs"][0]["sections"][0]["content"]["websites"] = ["https://other.example"]
        path = self.write("meanwhile.json", record)
        publish = f'"{os.environ["POCD_BUILD"]}/clients/poc" -c "{WORLD.conf("xa-coordinator")}" -y -q publish "{path}"'
        before = self.seq()
        result = self.edit(f'{publish} && sed -i "s/Ministry of Foreign Affairs/Foreign Office/" "$1"', "-y", expect=1)
        self.assertIn("XA was changed meanwhile: ", result.err.splitlines()[0])
        self.assertEqual(self.seq(), before + 1)
        kept = self.kept(result)
        with open(kept, encoding="utf-8") as file:
            self.assertIn("Foreign Office", file.read())
        os.unlink(kept)
        self.assertNotIn("Foreign Office", WORLD.poc("xb-reader", "lookup", "XA").out)


if __name__ == "__main__":
    main()
