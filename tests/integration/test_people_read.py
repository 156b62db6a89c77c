"""Reading, as people and scripts do it: lookup in every form, search, sync, history, export, without a network."""
import concurrent.futures
import csv
import datetime
import io
import json
import os
import re
import socket
import stat
import threading
import time
import unittest
import zoneinfo

from harness import SLOW, World, full_disk, ini_set, main, shifted

WORLD = None
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
FORMULAS = ["=1+2", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", 'say "hi"', "two, parts; three"]


def publish(user, place, pocs):
    path = os.path.join(WORLD.root, "publish.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"schema": "poc.record/1", "place": place, "pocs": pocs}, out, ensure_ascii=False)
    return WORLD.poc(user, "-y", "-q", "publish", path)


def office(names, channels=None, **more):
    channels = channels or [{"id": "e", "type": "email", "value": "desk@ae.example"}]
    return [{"name": "office", "content": {"names": [{"lang": "en", "text": name} for name in names], "channels": channels, **more}}]


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


class Lookup(unittest.TestCase):
    def test_document(self):
        for user in ("xa-reader", "xa-operator"):
            answer = WORLD.poc(user, "-o", "json", "lookup", "XB").json
            self.assertEqual(answer["schema"], "poc.lookup/1")
            self.assertEqual(answer["place"], "XB")
            self.assertIn(answer["open_now"], (True, False))
            verdict = answer["verdict"]
            self.assertEqual((verdict["status"], verdict["freshness"], verdict["signed_by"], verdict["answered_at"]),
                             ("valid", "fresh", "coordinator of XB", None))
            self.assertRegex(verdict["confirmed_at"], TIME)
            self.assertEqual(verdict["checkpoint"]["origin"], "pocd.demo.example/2026")
            self.assertRegex(verdict["checkpoint"]["time"], TIME)
            self.assertEqual(verdict["checkpoint"]["cosigners"], 0)
            self.assertGreater(verdict["checkpoint"]["size"], 10)
            self.assertEqual(verdict["withheld"], 1 if user == "xa-reader" else 0)

    def test_member_without_record(self):
        """Enrolled, and nothing published yet: not a stranger."""
        folder = os.path.join(WORLD.root, "xc")
        WORLD.poc_file(None, "-y", "state", "new", "XC", "--out", folder, "--directory", WORLD.path("directory.info"))
        enrol = next(os.path.join(f, name) for f, _, files in os.walk(folder) for name in files if name == "XC.enrol")
        WORLD.pocadm("-y", "-q", "state", "enrol", enrol, "--reference", "test")
        words = "XC: a member of the directory (enrolled) which has published no contacts"
        path = os.path.join(WORLD.root, "xc.proof")
        WORLD.poc("xa-reader", "sync")
        for command in (["lookup", "XC", "--save", path], ["--offline", "lookup", "XC"], ["history", "XC"], ["--offline", "verify", path]):
            result = WORLD.poc("xa-reader", *command, expect=5)
            self.assertIn(words, result.err)
            self.assertIn("prove", result.err)
        for place, enrolled in (("XC", True), ("XZ", False)):
            answer = WORLD.poc("xa-reader", "-o", "json", "lookup", place, expect=5).json
            self.assertEqual((answer["schema"], answer["error"]["code"], answer["enrolled"]), ("poc.lookup/1", "not-found", enrolled))
        self.assertIn("XC/unit: not in the directory", WORLD.poc("xa-reader", "lookup", "XC/unit", expect=5).err)
        self.assertIs(WORLD.poc("xa-reader", "-o", "json", "lookup", "XC", expect=5).json["suspended"], False)
        WORLD.pocadm("-y", "state", "suspend", "XC", "--reason", "test")
        WORLD.poc("xa-reader", "sync")
        for command in (["lookup", "XC", "--save", path], ["--offline", "lookup", "XC"], ["--offline", "verify", path]):
            self.assertIn(words + "; the state is SUSPENDED", WORLD.poc("xa-reader", *command, expect=5).err)
        self.assertIs(WORLD.poc("xa-reader", "-o", "json", "lookup", "XC", expect=5).json["suspended"], True)
        WORLD.pocadm("-y", "state", "lift", "XC")

    def test_names_in_six_languages(self):
        for names, code in ((("AE", "ARE", "ae", "United Arab Emirates", "Émirats arabes unis", "Emiratos Árabes Unidos",
                              "Объединенные Арабские Эмираты", "阿拉伯联合酋长国", "الإمارات العربية المتحدة"), "AE"),
                            (("AD", "AND", "Andorra", "Andorre", "Андорра", "安道尔", "أندورا"), "AD")):
            for name in names:
                with self.subTest(name):
                    self.assertEqual(WORLD.poc("xa-reader", "-o", "json", "lookup", name).json["place"], code)

    def test_filters(self):
        text = WORLD.poc("xa-reader", "lookup", "XB", "--kind", "diplomatic").out
        self.assertTrue(text.startswith("XB diplomatic  Ministry of Foreign Affairs of XB   hours not given   en\ncall 1  email  poc@mfa"))
        self.assertNotIn("XB-CERT", text)
        text = WORLD.poc("xa-operator", "lookup", "XB", "--section", "persons").out
        self.assertIn("Head of the duty desk", text)
        self.assertNotIn("-- office", text)

    def test_several(self):
        result = WORLD.poc("xa-reader", "lookup", "XZ", "XB", expect=5)
        self.assertIn("XB technical", result.out)
        self.assertRegex(result.err, r"^poc: XZ: not in the directory.*\n$")

    def test_another_directory(self):
        user = WORLD.variant("xa-reader", "elsewhere", {("directory", "id"): "ab" * 32})
        result = WORLD.poc(user, "lookup", "XB", expect=3)
        self.assertRegex(result.err, rf"^poc: 127\.0\.0\.1:{WORLD.port}: this server serves another directory\. If the council had to "
                                     r"found it anew: .*directory\.info.*\n$")

    def test_words(self):
        text = WORLD.poc("xa-reader", "lookup", "XB").out
        self.assertIn("hours         Mon-Fri 08:00-18:00 (Europe/Paris)\n", text)
        self.assertRegex(text, r"verified: signed by the coordinator of XB; confirmed " + TIME + r" \(.* ago\): fresh; no answered comm")
        self.assertRegex(text, r"checkpoint pocd.demo.example/2026, size \d+, of " + TIME + r" \(.* old\); operator's word only: no auditor")
        self.assertIn("1 section is withheld from this reader\n", text)
        for user, place in (("xa-operator", "XB"), ("xa-reader", "AD")):
            text = WORLD.poc(user, "lookup", place).out
            self.assertEqual([line for line in text.splitlines() if line != line.rstrip()], [])

    def test_call_first_by_the_hour(self):
        """Where the sun stands decides whom to call: the same record at four times of a week."""
        paris = zoneinfo.ZoneInfo("Europe/Paris")
        monday = datetime.datetime.now(paris).date()
        monday += datetime.timedelta(days=7 - monday.weekday())
        for day, hour, first, call in ((0, 13, r"OPEN until 18:00 \(13:00 there\)", "+999000002   duty desk"),
                                       (0, 3, r"CLOSED until 08:00 \(03:00 there\)", "+999000012   out of hours"),
                                       (0, 21, r"CLOSED until Tue 08:00 \(21:00 there\)", "+999000012   out of hours"),
                                       (5, 13, r"CLOSED until Mon 08:00 \(13:00 there\)", "+999000012   out of hours")):
            at = datetime.datetime.combine(monday + datetime.timedelta(days=day), datetime.time(hour), paris).timestamp()
            text = WORLD.poc("xa-reader", "--offline", "lookup", "XB", env=shifted(at - time.time() + 1), expect=None).out
            lines = text.splitlines()
            self.assertRegex(lines[1], "^XB technical  XB-CERT   " + first)
            self.assertIn("call 1  phone  " + call, lines[2])

    @classmethod
    def setUpClass(cls):
        WORLD.poc("xa-reader", "sync")


class Searching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        publish("ae-coordinator", "AE", [
            {"id": "t", "kind": "technical", "sections": office(
                ["Falcon Desk"], languages=["ar", "en-GB"], memberships=[{"organisation": "FIRST"}],
                hours={"zone": "Asia/Dubai", "always": True})},
            {"id": "d", "kind": "diplomatic", "sections": office(["Bureau of Owls"], languages=["fr"])}])

    def found(self, *words):
        return [(f["place"], f["poc"]) for f in WORLD.poc("xb-reader", "-o", "json", "search", *words).json["found"]]

    def test_filters(self):
        self.assertEqual(self.found("falcon"), [("AE", "t")])
        self.assertEqual(self.found("FALCON DESK"), [("AE", "t")])
        self.assertEqual(self.found("desk@ae"), [("AE", "t"), ("AE", "d")])
        self.assertEqual(self.found("United Arab", "--kind", "diplomatic"), [("AE", "d")])
        self.assertEqual(self.found("--member", "first"), [("AE", "t")])
        self.assertEqual(self.found("--language", "fr", "--kind", "diplomatic"), [("AE", "d")])
        self.assertEqual(self.found("--language", "en", "Falcon"), [("AE", "t")])
        self.assertIn(("AE", "t"), self.found("--open-now"))
        self.assertNotIn(("AE", "d"), self.found("--open-now"))
        self.assertEqual(self.found("no such team anywhere"), [])
        text = WORLD.poc("xb-reader", "search", "falcon").out
        self.assertRegex(text, r"^AE +technical +Falcon Desk +open +email desk@ae.example\n$")
        self.assertEqual(WORLD.poc("xb-reader", "search", "nothing like it").err, "poc: nothing found\n")

    def test_columns_by_width(self):
        publish("ad-coordinator", "AD", [{"id": f"t{i}", "kind": "technical", "sections": office([name], [
            {"id": "e", "type": "email", "value": "birds@ad.example"}])} for i, name in enumerate(
            ["Columbus one", "Columbus " + "é" * 60, "Columbus " + "中" * 30])])
        lines = WORLD.poc("xb-reader", "search", "columbus").out.splitlines()
        widths = {sum(2 if "一" <= c <= "鿿" else 1 for c in line[:line.index(" email ")]) for line in lines}
        self.assertEqual((len(lines), len(widths)), (3, 1), lines)
        self.assertNotIn("\\x", "".join(lines))

    def test_documents(self):
        for words, schema in ((["search", "x"], "poc.search/1"), (["sync"], "poc.sync/1"), (["status"], "poc.status/1"),
                              (["history", "XB"], "poc.history/1"), (["export", "--format", "json"], "poc.export/1"),
                              (["user", "list"], "poc.user-list/1"), (["key", "show"], "poc.key-show/1"), (["key", "show", "XB"], "poc.key-show/1")):
            with self.subTest(words):
                self.assertEqual(WORLD.poc("xb-coordinator", "-o", "json", *words).json["schema"], schema)
        for words, schema in ((["state", "list"], "poc.state-list/1"), (["stats"], "poc.stats/1")):
            self.assertEqual(WORLD.pocadm("-o", "json", *words).json["schema"], schema)

    def test_sync_tells_changes(self):
        WORLD.poc("ad-reader", "sync")
        WORLD.poc("xb-coordinator", "-y", "-q", "confirm")
        changed = WORLD.poc("ad-reader", "-o", "json", "sync").json["changed"]
        self.assertEqual([(c["name"], c["change"]) for c in changed], [("R/XB", "changed")])
        self.assertGreater(changed[0]["seq"], 1)
        self.assertEqual(WORLD.poc("ad-reader", "-o", "json", "sync").json["changed"], [])
        self.assertTrue(WORLD.poc("ad-reader", "-n", "sync").out.startswith("dry run: the copy is of checkpoint "))


class Exporting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        publish("ae-coordinator", "AE", [
            {"id": f"t{i}", "kind": "technical", "sections": office([name], [{"id": "a", "type": "note", "value": name}, {
                "id": "p", "type": "phone", "value": "+97140000000"}])} for i, name in enumerate(FORMULAS)])

    def test_csv(self):
        text = WORLD.poc("xa-reader", "export", "--format", "csv").out
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["place"] == "AE"]
        self.assertEqual([row["value"] for row in rows if row["type"] == "phone"], ["+97140000000"] * len(FORMULAS))
        names = [row["name"] for row in rows if row["type"] == "note"]
        self.assertEqual([name.removeprefix("'") for name in names], FORMULAS)
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                self.assertFalse(cell[:1] in tuple("=@-\t\r") or re.match(r"\+.*[^0-9]", cell[:99]), cell)

    def test_json_is_what_publish_takes(self):
        records = WORLD.poc("xa-coordinator", "export", "--format", "json").json["records"]
        again = WORLD.poc("xa-coordinator", "export", "-f", "json", "-", cwd=WORLD.root).json["records"]
        for record in again + records:  # the time of asking
            del record["verdict"]
        self.assertEqual(again, records)
        self.assertFalse(os.path.exists(os.path.join(WORLD.root, "-")))
        self.assertEqual([r["place"] for r in records], ["AD", "AE", "XA", "XB"])
        own = next(r for r in records if r["place"] == "XA")
        path = os.path.join(WORLD.root, "own.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(own, out)
        self.assertIn("nothing changes", WORLD.poc("xa-coordinator", "-y", "publish", path).err)

    def test_bundle_verifies_anywhere(self):
        path = os.path.join(WORLD.root, "all.proof")
        WORLD.poc("xa-reader", "export", path)
        result = WORLD.poc("xb-reader", "--offline", "verify", path)
        self.assertEqual([line.split(":")[0] for line in result.out.splitlines()], ["AD", "AE", "XA", "XB"])
        with open(path, "rb") as file:
            bundle = file.read()
        with open(path, "wb") as file:
            file.write(bundle[:-1])
        self.assertEqual(len(WORLD.poc("xb-reader", "--offline", "verify", path, expect=6).err.splitlines()), 1)
        WORLD.poc("xa-reader", "-n", "export", path + ".dry")
        self.assertFalse(os.path.exists(path + ".dry"))

    def test_for_the_owner_only(self):
        path = os.path.join(WORLD.root, "private")
        for words in (["export", path], ["export", "--format", "csv", path], ["lookup", "XB", "--save", path]):
            with open(path, "w", encoding="ascii"):
                os.chmod(path, 0o644)
            WORLD.poc("xa-operator", *words)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, words)

    def test_verify_at(self):
        path = os.path.join(WORLD.root, "xb.proof")
        bundle = os.path.join(WORLD.root, "at.proof")
        WORLD.poc("xa-reader", "lookup", "XB", "--save", path)
        WORLD.poc("xa-reader", "export", bundle)
        text = WORLD.poc("xa-reader", "--offline", "verify", path).out
        self.assertTrue(text.startswith("XB technical"), text)
        self.assertRegex(text.splitlines()[-1], "^as of " + TIME + ", under T 1; later events unknown$")
        result = WORLD.poc("xa-reader", "verify", path, "--at", "2099-01-01T00:00:00Z", expect=7)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        self.assertIn("STALE", result.out)
        # ages are those at the time asked for
        confirmed = WORLD.poc("xa-reader", "-o", "json", "verify", path).json["verdict"]["confirmed_at"]
        at = datetime.datetime.fromisoformat(confirmed.replace("Z", "+00:00")) + datetime.timedelta(days=10)
        out = WORLD.poc("xa-reader", "verify", path, "--at", at.strftime("%Y-%m-%dT%H:%M:%SZ"), expect=7).out
        self.assertIn(f"confirmed {confirmed} (10 days ago)", out)
        self.assertRegex(out, r"checkpoint .* of \S+ \((9|10) days old, STALE\)")
        # what no calendar or clock has is no time
        for moment in ("2026-02-30T12:00:00Z", "2026-11-31T12:00:00Z", "2026-11-24T12:00:60Z", "2026-11-24T24:00:00Z", "2026-11-24 12:00:00Z"):
            self.assertIn("--at takes a time like", WORLD.poc("xa-reader", "verify", path, "--at", moment, expect=2).err)
        # before the proof: said first, and exit status 7
        for file in (path, bundle):
            result = WORLD.poc("xa-reader", "verify", file, "--at", "2020-01-01T00:00:00Z", expect=7)
            self.assertRegex(result.out.splitlines()[0], r"^TOO EARLY: --at is \d+ days before this proof")
            self.assertEqual(result.out.count("TOO EARLY"), 1)
        verdict = WORLD.poc("xa-reader", "-o", "json", "verify", path, "--at", "2020-01-01T00:00:00Z", expect=7).json["verdict"]
        self.assertEqual(verdict["judged_at"], verdict["checkpoint"]["time"])
        self.assertGreater(verdict["clock_behind"], 86400)
        answer = WORLD.poc("xa-reader", "-o", "json", "verify", path, "--at", "2099-01-01T00:00:00Z", expect=7).json
        self.assertEqual((answer["schema"], answer["verdict"]["freshness"]), ("poc.verify/1", "stale"))
        absent = os.path.join(WORLD.root, "xz.proof")
        WORLD.poc("xa-reader", "lookup", "XZ", "--save", absent, expect=5)
        self.assertIn("XZ: not in the directory as of", WORLD.poc("xb-reader", "verify", absent, expect=5).err)


    def test_verify_another_file(self):
        """Not an alarm: a text is no proof; and what may be a damaged one stays refused as such."""
        path, words = os.path.join(WORLD.root, "which"), "no saved answer, bundle or story"
        WORLD.poc("xa-reader", "lookup", "XB", "--save", path)
        with open(path, "rb") as file:
            good = file.read()
        key = WORLD.key_files("xa-reader")[1]
        for text in ("/etc/passwd", key, os.path.join(WORLD.root, "teams.csv"), WORLD.conf("xa-reader")):
            result = WORLD.poc("xa-reader", "verify", text, expect=2)
            self.assertEqual((result.out, len(result.err.splitlines())), ("", 1), result)
            self.assertIn(f"{text} is a text, and {words}", result.err)
        self.assertEqual(WORLD.poc("xa-reader", "-o", "json", "verify", "/etc/passwd", expect=2).json["error"]["code"], "usage")
        for place in (0, 1):
            for byte in (0, 0x0a, 0x20, 0x41, 0xff):
                with open(path, "wb") as file:
                    file.write(good[:place] + bytes([byte]) + good[place + 1:])
                self.assertIn(words, WORLD.poc("xa-reader", "verify", path, expect=6).err)
        for damage, told in ((b"", True), (good[1:], True), (b"\x30\x82\x01", True), (good[:-1], False), (good[:9], False)):
            with open(path, "wb") as file:
                file.write(damage)
            self.assertEqual(words in WORLD.poc("xa-reader", "verify", path, expect=6).err, told, damage[:9])


class Units(unittest.TestCase):
    """A unit that is listed and absent, and one that is there and not listed."""
    @classmethod
    def setUpClass(cls):
        for place in ("AE/energy", "AE/rogue"):
            publish("ae-coordinator", place, [{"id": "t", "kind": "technical", "sections": office([place])}])
        path = os.path.join(WORLD.root, "ae.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"schema": "poc.record/1", "place": "AE", "pocs": [{"id": "t", "kind": "technical", "sections": office(["AE"])}],
                       "sections": [{"name": "units", "content": {"units": ["bank", "energy"]}}]}, out)
        WORLD.poc("ae-coordinator", "-y", "-q", "publish", path)
        WORLD.poc("xa-reader", "sync")

    def test_lookup(self):
        absent, unlisted = "AE lists the unit bank, which has no record here\n", "AE does not list the unit rogue, which has a record\n"
        for mode in (["--offline"], ["--online"]):
            with self.subTest(mode):
                text = WORLD.poc("xa-reader", *mode, "lookup", "AE", "--section", "units").out
                self.assertTrue(text.endswith(unlisted + absent), text)
                self.assertNotIn("unit energy,", text)
                remarks = WORLD.poc("xa-reader", "-o", "json", *mode, "lookup", "AE", "--section", "units").json["remarks"]
                self.assertEqual([(r["unit"], r["code"]) for r in remarks], [("rogue", "unit-unlisted"), ("bank", "unit-absent")])
                self.assertTrue(WORLD.poc("xa-reader", *mode, "lookup", "AE/rogue").out.endswith(unlisted))
                self.assertNotIn("list the unit", WORLD.poc("xa-reader", *mode, "lookup", "AE/energy").out)
                self.assertIn("though its state lists it as a unit", WORLD.poc("xa-reader", *mode, "lookup", "AE/bank", expect=5).err)
        self.assertNotIn("though", WORLD.poc("xa-reader", "lookup", "AE/none", expect=5).err)
        user = WORLD.variant("xa-reader", "no-copy", {})
        self.assertIn("not checked", WORLD.poc(user, "lookup", "AE", "--section", "units").err)

    def test_search_columns(self):
        lines = [line for line in WORLD.poc("xa-reader", "--offline", "search").out.splitlines() if not line.startswith("OFFLINE")]
        self.assertTrue(any(line.startswith("AE/energy ") for line in lines), lines)
        self.assertEqual(len({re.search(" (technical|diplomatic) ", line).start() for line in lines}), 1, lines)

    def test_bundle(self):
        path = os.path.join(WORLD.root, "units.proof")
        WORLD.poc("xa-reader", "--offline", "export", path)
        lines = WORLD.poc("xb-reader", "verify", path).out.splitlines()
        self.assertEqual(lines[-2:], ["AE does not list the unit rogue, which has a record", "AE lists the unit bank, which has no record here"])
        remarks = WORLD.poc("xb-reader", "-o", "json", "verify", path).json["remarks"]
        self.assertEqual([r["code"] for r in remarks], ["unit-unlisted", "unit-absent"])


class Offline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        WORLD.poc("xa-operator", "sync")
        cls.cut = WORLD.variant("xa-operator", "cut", {("directory", "server"): "127.0.0.1:1", ("state", "dir"): WORLD.setting("xa-operator", "state", "dir")})

    def first(self, result, age=r"\d+ s"):
        self.assertRegex(result.out.splitlines()[0], r"^OFFLINE, copy of (\d{4}-\d\d-\d\d )?\d\d:\d\dZ, " + age + " old$", result)

    def test_automatic_fallback(self):
        for words in (["lookup", "XB"], ["search", "XB-CERT"], ["--offline", "lookup", "XB"], ["--offline", "search", "XB-CERT"]):
            result = WORLD.poc(self.cut, *words)
            self.first(result)
            self.assertIn("XB", result.out.splitlines()[1])
            self.assertEqual(result.out.count("OFFLINE"), 1)
        self.assertEqual(WORLD.poc(self.cut, "lookup", "XB", "XA").out.count("OFFLINE"), 1)
        answer = WORLD.poc(self.cut, "-o", "json", "lookup", "XB").json
        self.assertTrue(answer["verdict"]["offline"])
        self.assertTrue(WORLD.poc(self.cut, "-o", "json", "search", "XB-CERT").json["offline"])
        self.assertIn("Connection refused", WORLD.poc(self.cut, "-v", "lookup", "XB").err)

    def test_nothing_to_save(self):
        path = os.path.join(WORLD.root, "offline.proof")
        result = WORLD.poc(self.cut, "lookup", "XB", "--save", path, expect=3)
        self.first(result)
        self.assertIn("offline.proof was not written", result.err)
        self.assertFalse(os.path.exists(path))

    def test_insisting(self):
        for words in (["--online", "lookup", "XB"], ["-s", "127.0.0.1:2", "lookup", "XB"], ["--online", "search", "XB"],
                      ["-s", "127.0.0.1:2", "search", "XB"], ["--online", "export", "/tmp/never"]):
            self.assertEqual(WORLD.poc(self.cut, *words, expect=3).out, "")

    def test_silent_servers_cost_five_seconds(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            name = WORLD.variant("xa-operator", "silent", {("directory", "server"): f"127.0.0.1:{port},127.0.0.1:{port}",
                                                           ("state", "dir"): WORLD.setting("xa-operator", "state", "dir")})
            begun = time.monotonic()
            self.first(WORLD.poc(name, "lookup", "XB"))
            self.assertLess(time.monotonic() - begun, 7 * SLOW)
            begun = time.monotonic()
            self.first(WORLD.poc(name, "-t", "1", "search", "XB"))
            self.assertLess(time.monotonic() - begun, 3 * SLOW)
            # the second server answers although the first is silent
            ini_set(WORLD.conf(name), {("directory", "server"): f"127.0.0.1:{port},127.0.0.1:{WORLD.port}"})
            self.assertTrue(WORLD.poc(name, "lookup", "XB").out.startswith("XB technical"))

    def test_old_copy(self):
        for hours, status in ((5, 0), (30, 7)):
            for words in (["lookup", "XB"], ["search", "XB-CERT"]):
                result = WORLD.poc(self.cut, *words, env=shifted(hours * 3600), expect=status)
                self.first(result, "5 h" if hours == 5 else "30 h")
                self.assertIn("XB", result.out.splitlines()[1])  # printed all the same
                self.assertEqual(len(result.err.splitlines()), 1 if status else 0, result)

    def test_damaged_copy(self):
        """Named with its path, whatever is wrong with it, and what makes it anew."""
        user = WORLD.variant("xa-operator", "damaged-copy", {})
        WORLD.poc(user, "sync")
        path = next(os.path.join(folder, name) for folder, _, files in os.walk(WORLD.path("users", "damaged-copy.state"))
                    for name in files if name.startswith("copy"))
        with open(path, "rb") as file:
            good = file.read()
        section = good.index("+999000002".encode())  # in a section: the map does not cover it, its digest does
        for damage in (b"", good[:len(good) // 2], good[:-1], good[:200] + bytes([good[200] ^ 1]) + good[201:],
                       good[:section] + b"-" + good[section + 1:]):
            for words in (["lookup", "XB"], ["search", "XB-CERT"], ["search"], ["export", os.path.join(WORLD.root, "damaged.bundle")]):
                with open(path, "wb") as file:
                    file.write(damage)
                result = WORLD.poc(user, "--offline", *words, expect=6)
                self.assertEqual(result.out.replace(result.out.splitlines()[0] + "\n" if result.out.startswith("OFFLINE") else "", ""), "", result)
                self.assertEqual([line for line in result.err.splitlines()[:-1] if "offline: this is the copy" not in line], [], result)
                for word in (f"the local copy {path} is damaged or was altered (", "poc sync makes it anew"):
                    self.assertIn(word, result.err)
            WORLD.poc(user, "sync")
            self.assertIn("XB technical", WORLD.poc(user, "--offline", "lookup", "XB").out)
        with open(path, "wb"):
            pass
        self.assertIn(f"local copy  UNUSABLE: the local copy {path} is damaged", WORLD.poc(user, "--offline", "status").out)

    def test_copy_of_fewer_auditors(self):
        """A good copy that the configuration asks more for since is not called damaged."""
        user, more = WORLD.variant("xa-operator", "fewer", {}), {("state", "dir"): "fewer.state"}
        WORLD.poc(user, "sync")
        for key, value, said in (("quorum", "2", "has the signatures of 0 auditors, and the configuration asks for 2; poc sync"),
                                 ("own_auditor", "auditor.xa", "was not signed by the auditor auditor.xa, which the configuration asks")):
            asks = WORLD.variant("xa-operator", "fewer-" + key, {("directory", key): value, **more})
            for words in (["lookup", "XB"], ["search", "XB-CERT"]):
                result = WORLD.poc(asks, "--offline", *words, expect=6)
                self.assertIn(said, result.err)
                self.assertNotIn("damaged", result.err)
            shown = WORLD.poc(asks, "--offline", "status").out
            self.assertIn("local copy  UNUSABLE: the local copy's checkpoint", shown)
        self.assertIn("XB", WORLD.poc(user, "--offline", "lookup", "XB").out)
        asks = WORLD.variant("xa-operator", "fewer-held", {("directory", "quorum"): "2", **more})
        self.assertRegex(WORLD.poc(asks, "--offline", "status").out, r"\nauditors +0, 2 needed\n")

    def test_clock_before_the_copy(self):
        for words in (["lookup", "XB"], ["--offline", "lookup", "XB"], ["search", "XB-CERT"], ["--offline", "search", "XB-CERT"]):
            result = WORLD.poc(self.cut, *words, env=shifted(-30 * 86400), expect=7)
            lines = result.out.splitlines()
            self.assertRegex(lines[0], r"^OFFLINE, copy of 20\S+ \S+Z; CLOCK: this machine's clock is (29|30) days BEHIND it, and cannot be right$")
            self.assertIn("XB", lines[1])
            self.assertNotRegex(result.out, r"\((29|30) days")
            self.assertEqual(len(result.err.splitlines()), 1, result)
            self.assertIn("clock", result.err)
        # a server is there, and the clock is wrong: search has the copy
        result = WORLD.poc("xa-operator", "search", "XB-CERT", env=shifted(-30 * 86400), expect=7)
        self.assertIn("BEHIND", result.out.splitlines()[0])
        # a few minutes are nothing
        self.first(WORLD.poc(self.cut, "lookup", "XB", env=shifted(-60)), r"\d+ s")

    def test_synced_in_passing_at_most_hourly(self):
        name = WORLD.variant("xa-reader", "passing", {})
        result = WORLD.poc(name, "-v", "lookup", "XB")
        self.assertIn("brought up to date in passing", result.err)
        self.assertNotIn("passing", WORLD.poc(name, "-v", "lookup", "XB").err)
        self.assertIn("passing", WORLD.poc(name, "-v", "lookup", "XB", env=shifted(3700)).err)
        # search is of the copy: what was published a moment ago is in it
        record = WORLD.record("ad-coordinator", "AD")
        record["pocs"][0]["sections"][0]["content"]["descriptions"] = [{"lang": "en", "text": "Heron watch"}]
        path = os.path.join(WORLD.root, "heron.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        self.assertIn("nothing found", WORLD.poc(name, "search", "heron").err)
        WORLD.poc("ad-coordinator", "-y", "publish", path)
        self.assertIn("AD ", WORLD.poc(name, "search", "heron").out)
        self.first(WORLD.poc(name, "--offline", "lookup", "XB"), r"\d+ (s|min)")

    def test_status(self):
        result = WORLD.poc(self.cut, "status", expect=3)
        self.assertIn("server      not connected", result.out)
        self.assertIn("local copy  of ", result.out)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        answer = WORLD.poc(self.cut, "-o", "json", "status", expect=3).json
        self.assertEqual((answer["server"], answer["error"]["code"]), (None, "unreachable"))
        WORLD.poc(self.cut, "--offline", "status")


class FullDisk(unittest.TestCase):
    """Whom to call is told also where it cannot be remembered; nothing is signed there."""
    def setUp(self):
        self.user, self.writer = WORLD.variant("xa-operator", "full", {}), WORLD.variant("xb-coordinator", "full-writer", {})
        for user in (self.user, self.writer):
            WORLD.poc(user, "sync")
        WORLD.poc("xb-coordinator", "-y", "-q", "confirm")

    def loud(self, result):
        line = result.err.splitlines()[-1]
        self.assertRegex(line, r"NOT REMEMBERED: .*cannot write /.*/(held|copy)\S*: File too large\): a later rollback .* unnoticed$")

    def test_reading(self):
        held = WORLD.poc(self.user, "-o", "json", "--offline", "status").json["checkpoint"]["size"]
        for user in (self.user, WORLD.variant("xa-operator", "full-first", {})):
            result = WORLD.poc(user, "-q", "lookup", "XB", "XZ", "AE", preexec_fn=full_disk, expect=5)
            self.assertIn("XB technical", result.out)
            self.assertIn("AE technical", result.out)
            self.loud(result)
            result = WORLD.poc(user, "-o", "json", "lookup", "XB", preexec_fn=full_disk, expect=1)
            self.loud(result)
            self.assertEqual((result.json["place"], result.json["verdict"]["freshness"], result.json["error"]["code"]), ("XB", "fresh", "io"))
            self.assertGreater(result.json["verdict"]["checkpoint"]["size"], held)
            result = WORLD.poc(user, "search", "XB-CERT", preexec_fn=full_disk, expect=1)
            self.assertIn("XB-CERT", result.out)
            self.loud(result)
            answer = WORLD.poc(user, "-o", "json", "search", "XB-CERT", preexec_fn=full_disk, expect=1).json
            self.assertEqual((answer["found"][0]["place"], answer["error"]["code"]), ("XB", "io"))
        self.assertEqual(WORLD.poc(self.user, "-o", "json", "--offline", "status").json["checkpoint"]["size"], held)
        self.assertEqual(WORLD.poc(self.user, "lookup", "XB").err, "")

    def test_writing(self):
        before = WORLD.poc("xa-operator", "-o", "json", "history", "XB").json["versions"]
        result = WORLD.poc(self.writer, "-y", "confirm", preexec_fn=full_disk, expect=1)
        self.assertIn("File too large", result.err)
        for words in (["sync"], ["history", "XB"]):
            WORLD.poc(self.user, *words, preexec_fn=full_disk, expect=1)
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "history", "XB").json["versions"], before)


class Concurrent(unittest.TestCase):
    def test_many_processes_one_held_state(self):
        name = WORLD.variant("xa-reader", "many", {})
        publisher = WORLD.variant("ad-coordinator", "publisher", {})

        one_at_a_time = threading.Lock()  # of two at once one is told of the conflict, as it should be

        def work(number):
            if number % 4 == 0:
                with one_at_a_time:
                    return WORLD.poc(publisher, "-y", "-q", "confirm")
            return WORLD.poc(name, *(["sync"] if number % 4 == 1 else ["lookup", "XB", "AD"]))
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            results = list(pool.map(work, range(24)))
        self.assertEqual([str(r) for r in results if r.err], [])
        size = WORLD.poc(name, "-o", "json", "--offline", "status").json["checkpoint"]["size"]
        self.assertLessEqual(size, WORLD.poc(name, "-o", "json", "status").json["checkpoint"]["size"])
        seen = [v["seq"] for v in WORLD.poc(name, "-o", "json", "history", "AD").json["versions"]]
        self.assertEqual(seen, list(range(1, len(seen) + 1)))


if __name__ == "__main__":
    main()
