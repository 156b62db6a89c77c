"""Real input: every row of every list in data/contacts is accounted for, and every state of the national list is looked up."""
import csv
import json
import os
import tempfile
import unittest

from harness import DATA, POCADM, World, main, run

CONTACTS = os.path.join(DATA, "contacts")
OUTCOMES = {"imported", "merged", "conflict", "incomplete", "skipped"}


def lines_of(name):
    """Where the rows of a list begin: lines of a CSV file (rows of nothing left out), numbers of a JSON list."""
    with open(os.path.join(CONTACTS, name), encoding="utf-8-sig", newline="") as file:
        if name.endswith(".json"):
            content = json.load(file)
            return list(range(1, (len(content) if isinstance(content, list) else 1) + 1))
        reader, lines, before = csv.reader(file), [], 0
        for row in reader:
            if any(cell.strip() for cell in row):
                lines.append(before + 1)
            before = reader.line_num
        return lines[1:]


def same(address):
    """What counts as one address: without regard to case, scheme, www. and a last slash."""
    return address.lower().removeprefix("https://").removeprefix("http://").removeprefix("www.").rstrip("/")


def values_of(draft):
    """All addresses of a draft: of channels, and web sites."""
    contents = [s["content"] for p in draft["pocs"] for s in p["sections"]]
    return {c["value"] for content in contents for c in content.get("channels", [])} | {w for c in contents for w in c.get("websites", [])}


class Lists(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def imported(self, name, *flags, expect=0):
        """Imports by the program; returns the report and the drafts by place."""
        out = os.path.join(self.folder.name, "drafts-" + name)
        report = run(POCADM, "-o", "json", "import", os.path.join(CONTACTS, name), "--out", out, *flags, expect=expect).json
        drafts = {}
        for file in sorted(os.listdir(out)) if os.path.isdir(out) else []:
            with open(os.path.join(out, file), encoding="utf-8") as text:
                draft = json.load(text)
                drafts[draft["place"]] = draft
        return report, drafts

    def accounted(self, name, report, drafts):
        """Every row once, with an outcome; what is not skipped is in drafts that exist; skipped says why."""
        self.assertEqual([row["line"] for row in report["rows"]], lines_of(name))
        self.assertEqual(sum(report["counts"].values()), len(report["rows"]))
        self.assertEqual(report["drafts"], len(drafts))
        for row in report["rows"]:
            self.assertIn(row["outcome"], OUTCOMES)
            if row["outcome"] == "skipped":
                self.assertTrue(row["reason"], row)
            else:
                self.assertLessEqual(set(row["places"].split(", ")), set(drafts), row)
            if row["outcome"] in ("conflict", "incomplete"):
                self.assertTrue(row["reason"], row)
        for draft in drafts.values():
            self.assertTrue(draft["pocs"])
            for poc in draft["pocs"]:
                self.assertEqual([s["tlp"] for s in poc["sections"]], ["TLP:CLEAR"])
                self.assertTrue(poc["sections"][0]["content"]["channels"], poc)  # a web site counts

    def test_every_list(self):
        for name, flags, rows, skipped in (("national_teams.csv", [], 116, 1), ("european_teams_2012.csv", [], 98, 24),
                                           ("csirt_regions_france.csv", ["--state", "FR"], 15, 0), ("certopedia.json", [], 11, 0),
                                           ("first_global_irt_team.json", [], 1, 0)):
            with self.subTest(name):
                report, drafts = self.imported(name, *flags)
                self.accounted(name, report, drafts)
                self.assertEqual((len(report["rows"]), report["counts"]["skipped"]), (rows, skipped))
        self.assertEqual(sorted(os.listdir(CONTACTS)), sorted(["national_teams.csv", "european_teams_2012.csv", "csirt_regions_france.csv",
                                                               "certopedia.json", "first_global_irt_team.json"]))

    def test_national_list_loses_no_value(self):
        report, drafts = self.imported("national_teams.csv")
        with open(os.path.join(CONTACTS, "national_teams.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        states = {row["iso2"] for row in rows} - {"EU"}  # the Union is no state: that row says so
        self.assertEqual(set(drafts), states)
        self.assertEqual([r["reason"] for r in report["rows"] if r["outcome"] == "skipped"], ['"EU" is no state\'s code or name'])
        for row in rows:
            if row["iso2"] in drafts:
                values = {same(value) for value in values_of(drafts[row["iso2"]])}
                for field in ("mailbox", "website"):
                    self.assertTrue(not row[field] or same(row[field]) in values, row)

    def test_newest_source_comes_first(self):
        path = os.path.join(self.folder.name, "list.csv")
        with open(path, "w", encoding="utf-8") as out:
            out.write("iso2,team,mailbox,source,source_date\nBR,CERT.br,old@cert.br,a,2020-01-01\nBR,CERT.BR,new@cert.br,b,2024-01-01\n")
        out = os.path.join(self.folder.name, "d")
        report = run(POCADM, "-o", "json", "import", path, "--out", out).json
        self.assertEqual([row["outcome"] for row in report["rows"]], ["imported", "conflict"])
        self.assertEqual(report["rows"][1]["reason"], "mailbox differs: new@cert.br, line 2 has old@cert.br")
        with open(os.path.join(out, "BR.json"), encoding="utf-8") as file:
            channels = json.load(file)["pocs"][0]["sections"][0]["content"]["channels"]
        self.assertEqual([(c["value"], c["source"], c["source_date"]) for c in channels],
                         [("new@cert.br", "b", "2024-01-01"), ("old@cert.br", "a", "2020-01-01")])

    def test_other_scripts(self):
        """A list in another script costs no team its draft, nor what else is known of it."""
        path = os.path.join(self.folder.name, "list.csv")
        with open(path, "w", encoding="utf-8") as out:
            out.write("country,team,mailbox,description,constituency\nRU,Центр,x@y.example,Описание,Страна\nBG,CERT BG,a@bg.example,Описание,All\n")
        out = os.path.join(self.folder.name, "d")
        report = run(POCADM, "-o", "json", "import", path, "--out", out).json
        self.assertEqual([row["outcome"] for row in report["rows"]], ["incomplete", "imported"])
        self.assertIn("Latin script", report["rows"][0]["reason"])
        with open(os.path.join(out, "RU.json"), encoding="utf-8") as file:
            content = json.load(file)["pocs"][0]["sections"][0]["content"]
        self.assertEqual([text["text"] for text in content["names"]], ["Центр", "x@y.example"])
        self.assertEqual(content["incomplete"], ["name"])
        for texts in (content["descriptions"], content["constituency"]["descriptions"]):
            self.assertEqual([text["lang"] for text in texts], ["und", "en"])

    def test_a_bad_number_costs_nothing_else(self):
        path = os.path.join(self.folder.name, "list.csv")
        with open(path, "w", encoding="utf-8") as out:
            out.write("country,team,mailbox,phone\nNZ,CERT NZ,info@cert.nz.example,+64 4 000\nBR,CERT.br,a@cert.br.example,+55 11 ask for the desk\n")
        report = run(POCADM, "-o", "json", "import", path, "--out", os.path.join(self.folder.name, "d")).json
        self.assertEqual([row["outcome"] for row in report["rows"]], ["imported", "imported"])
        for place, number in (("NZ", "+64 4 000"), ("BR", "+55 11 ask for the desk")):
            with open(os.path.join(self.folder.name, "d", place + ".json"), encoding="utf-8") as file:
                channels = json.load(file)["pocs"][0]["sections"][0]["content"]["channels"]
            self.assertEqual([(c["type"], c["value"]) for c in channels][0], ("telephone", number))

    def test_nothing_usable_is_an_error(self):
        result = run(POCADM, "import", os.path.join(CONTACTS, "csirt_regions_france.csv"), "--out", self.folder.name + "/x", expect=1)
        self.assertEqual(len([line for line in result.out.splitlines() if "no country: say which with --state" in line]), 15)
        self.assertIn("pocadm: no draft was made: none of the 15 rows could be used", result.err)
        self.assertFalse(os.path.exists(self.folder.name + "/x"))
        report, _ = self.imported("csirt_regions_france.csv", expect=1)  # every row is accounted for all the same
        self.accounted("csirt_regions_france.csv", report, {})
        self.assertEqual((report["schema"], report["error"]["code"]), ("poc.import/1", "invalid"))

    def test_edited_drafts_are_kept(self):
        _, before = self.imported("national_teams.csv")
        out = os.path.join(self.folder.name, "drafts-national_teams.csv")
        self.imported("national_teams.csv")  # the same again is no loss
        for name in ("FR.json", "GB.json"):
            with open(os.path.join(out, name), "a", encoding="utf-8") as file:
                file.write("\n# edited\n")
        os.unlink(os.path.join(out, "US.json"))
        command = [POCADM, "import", os.path.join(CONTACTS, "national_teams.csv"), "--out", out]
        for dry in ([], ["-n"]):
            result = run(*command, *dry, expect=1)
            self.assertEqual(result.err.count("was edited since"), 2, result)
            for words in (f"{out}/FR.json was edited since", f"{out}/GB.json was edited since", "nothing was written: 2 drafts", "--force"):
                self.assertIn(words, result.err)
        report = run(*command, "-o", "json", expect=1).json
        self.assertEqual((report["kept"], report["error"]["code"], len(report["rows"])), ([f"{out}/FR.json", f"{out}/GB.json"], "conflict", 116))
        self.assertFalse(os.path.exists(os.path.join(out, "US.json")))
        _, after = self.imported("national_teams.csv", "--force")
        self.assertEqual(after, before)

    def test_dry_run_writes_nothing(self):
        report, drafts = self.imported("national_teams.csv", "--dry-run")
        self.assertEqual((report["drafts"], drafts), (49, {}))


class Published(unittest.TestCase):
    """The whole list by the demo's public commands, then looked up from abroad."""

    def test_every_state_is_looked_up(self):
        with open(os.path.join(CONTACTS, "national_teams.csv"), encoding="utf-8") as file:
            teams = file.read()
        states = sorted({row["iso2"] for row in csv.DictReader(teams.splitlines())} - {"EU"})
        with World(teams=teams) as world:
            answer = world.poc("xa-reader", "-o", "json", "lookup", *states).json
            self.assertEqual([result["place"] for result in answer["results"]], states)
            for result in answer["results"]:
                self.assertEqual((result["verdict"]["status"], result["verdict"]["freshness"]), ("valid", "fresh"))
                with open(world.path("drafts", result["place"] + ".json"), encoding="utf-8") as file:
                    self.assertEqual(values_of(result["record"]), values_of(json.load(file)))
            for code in states:
                for role in ("reader", "operator", "coordinator"):
                    self.assertTrue(os.path.exists(world.conf(f"{code.lower()}-{role}")))
            text = world.poc("fr-reader", "lookup", "UY").out
            self.assertTrue(text.startswith("UY technical  CERTuy"), text)
            self.assertIn("incomplete    email", text)
            found = world.poc("fr-reader", "-o", "json", "search", "--kind", "technical").json["found"]
            self.assertEqual(sorted({team["place"] for team in found} - {"XA", "XB"}), states)


if __name__ == "__main__":
    main()
