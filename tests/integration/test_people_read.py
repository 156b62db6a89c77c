"""Reading, as people and scripts do it: lookup in every form, search, sync, history, export, without a network."""
import concurrent.futures
import csv
import datetime
import io
import json
import os
import re
import socket
import time
import unittest
import zoneinfo

from harness import SLOW, World, ini_set, main, shifted

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

    def test_verify_at(self):
        path = os.path.join(WORLD.root, "xb.proof")
        WORLD.poc("xa-reader", "lookup", "XB", "--save", path)
        text = WORLD.poc("xa-reader", "--offline", "verify", path).out
        self.assertTrue(text.startswith("XB technical"), text)
        self.assertRegex(text.splitlines()[-1], "^as of " + TIME + ", under T 1; later events unknown$")
        result = WORLD.poc("xa-reader", "verify", path, "--at", "2099-01-01T00:00:00Z", expect=7)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        self.assertIn("STALE", result.out)
        answer = WORLD.poc("xa-reader", "-o", "json", "verify", path, "--at", "2099-01-01T00:00:00Z", expect=7).json
        self.assertEqual((answer["schema"], answer["verdict"]["freshness"]), ("poc.verify/1", "stale"))
        absent = os.path.join(WORLD.root, "xz.proof")
        WORLD.poc("xa-reader", "lookup", "XZ", "--save", absent, expect=5)
        self.assertIn("XZ: not in the directory as of", WORLD.poc("xb-reader", "verify", absent, expect=5).err)


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

    def test_synced_in_passing_at_most_hourly(self):
        name = WORLD.variant("xa-reader", "passing", {})
        result = WORLD.poc(name, "-v", "lookup", "XB")
        self.assertIn("brought up to date in passing", result.err)
        self.assertNotIn("passing", WORLD.poc(name, "-v", "lookup", "XB").err)
        self.assertIn("passing", WORLD.poc(name, "-v", "lookup", "XB", env=shifted(3700)).err)
        self.first(WORLD.poc(name, "--offline", "lookup", "XB"), r"\d+ (s|min)")

    def test_status(self):
        result = WORLD.poc(self.cut, "status", expect=3)
        self.assertIn("server      not connected", result.out)
        self.assertIn("local copy  of ", result.out)
        self.assertEqual(len(result.err.splitlines()), 1, result)
        answer = WORLD.poc(self.cut, "-o", "json", "status", expect=3).json
        self.assertEqual((answer["server"], answer["error"]["code"]), (None, "unreachable"))
        WORLD.poc(self.cut, "--offline", "status")


class Concurrent(unittest.TestCase):
    def test_many_processes_one_held_state(self):
        name = WORLD.variant("xa-reader", "many", {})
        publisher = WORLD.variant("ad-coordinator", "publisher", {})

        def work(number):
            if number % 4 == 0:
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
