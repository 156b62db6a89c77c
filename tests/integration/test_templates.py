"""What a notice says: templates, the whole form in the editor, fields by flags and by JSON."""
import json
import os
import stat
import unittest

from harness import POCADM, World, main, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHIPPED = os.path.join(ROOT, "clients", "templates")
WORLD = None


def setUpModule():
    global WORLD
    WORLD = World().__enter__()


def tearDownModule():
    WORLD.__exit__(None, None, None)


class Forms(unittest.TestCase):
    def write(self, name, text):
        path = os.path.join(WORLD.root, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def send(self, *words, expect=0, **more):
        return WORLD.poc("xa-operator", "-o", "json", "notice", "send", *words, expect=expect, **more)

    def content(self, answer):
        return WORLD.poc("xb-operator", "-o", "json", "notice", "show", answer.json["id"]).json

    def received(self):
        return len(WORLD.poc("xb-operator", "-o", "json", "notice", "list", "--all").json["notices"])

    def edit(self, script, *words, expect=0, user="xa-operator"):
        path = self.write("editor", "#!/bin/sh\n" + script + "\n")
        os.chmod(path, 0o700)
        return WORLD.poc(user, "-o", "json", "notice", *words, "--edit", env={"EDITOR": path, "VISUAL": ""}, expect=expect)

    def kept(self, result):
        line = result.err.splitlines()[-1]
        self.assertIn("what you wrote is kept in ", line)
        path = line.split("kept in ")[1].split(";")[0]
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        return path

    def test_shipped(self):
        """Each serves as it is, says what it asks for, and asks for no blame."""
        for name in sorted(os.listdir(SHIPPED)):
            path = os.path.join(SHIPPED, name)
            with open(path, encoding="utf-8") as file:
                self.assertNotIn("attribut", file.read().lower())
            sent = self.send("--to", "XB", "--template", path, "--text", "t")
            self.assertRegex(sent.err, "^poc: the template also asks for: [a-z_, -]+$")
            shown = self.content(sent)
            self.assertEqual((shown["content"]["template"], shown["content"]["template_version"]), (name[:-4], 1))
            self.assertIsNotNone(shown["reply_by"])
        self.assertGreaterEqual(len(os.listdir(SHIPPED)), 3)

    def test_template_and_flags(self):
        path = os.path.join(SHIPPED, "incident-notification.ini")
        sent = self.send("--to", "XB", "--template", path, "--text", "t", "--urgency", "emergency", "--set", "impact=mail is down",
                         "--set", "states=XB,AD", "--set", "cross_border=yes", "--set", "rsit_class=availability/ddos", "--set",
                         "rsit_version=1003", "--set", "indicators=ip 192.0.2.1 -- flood", "--set", "started=2026-11-24T12:00:00Z")
        self.assertNotIn("impact", sent.err)
        self.assertIn("measures-taken", sent.err)
        shown = self.content(sent)
        said = shown["content"]
        self.assertEqual((shown["urgency"], said["stage"], said["states"], said["cross_border"], said["rsit_class"]),
                         ("emergency", "notification", ["AD", "XB"], True, "availability/ddos"))
        self.assertEqual(said["fields"], [{"name": "impact", "value": "mail is down"}])
        self.assertEqual(said["indicators"], [{"type": "ip", "value": "192.0.2.1", "note": "flood"}])
        text = WORLD.poc("xb-operator", "notice", "show", sent.json["id"]).out
        for words in ("incident-notification, version 1", "availability/ddos, RSIT 1003", "cross-border", "impact         mail is down"):
            self.assertIn(words, text)

    def test_unknown_fields(self):
        before = self.received()
        good = os.path.join(SHIPPED, "incident-notification.ini")
        bad = self.write("bad.ini", "subject = s\n\ncolour = red\n")
        asks = self.write("asks.json", json.dumps({"subject": "s", "asks": ["colour"]}))
        stdin = self.write("in.json", json.dumps({"text": "t", "fields": [{"name": "colour", "value": "red"}]}))
        for words, said in ((["--template", bad], "bad.ini: line 3: unknown template field"),
                            (["--template", asks], "asks.json: asks: unknown template field"),
                            (["--template", good, "--set", "colour=red"], "--set colour: unknown template field"),
                            (["--subject", "s", "--set", "sectr=energy"], '--set sectr: there is no such field: did you mean "sector"?'),
                            (["--template", good, "--set", "impcat=x"], 'did you mean "impact"?'),
                            (["--subject", "s", "--set", "stage=middle"], "--set stage: must be early-warning")):
            result = WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--text", "t", *words, expect=1)
            self.assertIn(said, result.err)
            self.assertEqual(len(result.err.splitlines()), 1, result.err)
        with open(stdin, encoding="utf-8") as file:
            result = WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--template", good, expect=1, stdin=file)
        self.assertIn('standard input: unknown template field "colour"', result.err)
        WORLD.poc("xa-operator", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t", "--set", "stage", expect=2)
        self.assertEqual(self.received(), before)

    def test_own_fields(self):
        """One that is far from every known name, and one that is near and meant."""
        sent = self.send("--to", "XB", "--subject", "s", "--text", "t", "--set", "vessel=MV Test", "--set", "fields.sectr=b")
        self.assertEqual(self.content(sent)["content"]["fields"],
                         [{"name": "sectr", "value": "b"}, {"name": "vessel", "value": "MV Test"}])

    def test_whole_form(self):
        """The form shows what template and flags have said, takes every field, and goes when the notice is sent."""
        script = """
        grep -q '^to = XB$' "$1" && grep -q '^stage = early-warning$' "$1" && grep -q '(asked for)' "$1" || exit 9
        sed -i -e 's/^sector = .*/sector = energy/' -e 's/^malicious = .*/malicious = yes/' -e 's/^states = .*/states = XB, AD/' \\
            -e 's/^critical_infrastructure = .*/critical_infrastructure = yes/' -e 's/^urgency = .*/urgency =/' \\
            -e 's/^indicators = .*/indicators =\\n\\tip 192.0.2.1\\n\\tdomain a.example -- C2/' \\
            -e 's/^assistance = .*/assistance = block it\\n\\n\\tand tell us/' -e 's/^next-message = .*/next-message = tomorrow/' "$1"
        printf '# no comment here\\nbye\\n' >> "$1"
        """
        shown = self.content(self.edit(script, "send", "--to", "XB", "--template", os.path.join(SHIPPED, "early-warning.ini")))
        said = shown["content"]
        self.assertEqual((shown["urgency"], said["sector"], said["malicious"], said["critical_infrastructure"], said["states"]),
                         ("routine", "energy", True, True, ["AD", "XB"]))
        self.assertEqual((said["assistance"], shown["text"]), ("block it\n\nand tell us", "# no comment here\nbye"))
        self.assertEqual(said["fields"], [{"name": "next-message", "value": "tomorrow"}])
        self.assertEqual(len(said["indicators"]), 2)
        left = [f for _, _, files in os.walk(WORLD.root) for f in files if f.startswith("notice-")]
        self.assertEqual(left, [])

    def test_nothing_typed_is_lost(self):
        before = self.received()
        mistake = 'sed -i -e "s/^subject = .*/subject = A long story/" -e "s/^stage = .*/stage = middle/" "$1"; echo told >> "$1"'
        result = self.edit(mistake, "send", "--to", "XB", expect=1)
        self.assertRegex(result.err.splitlines()[0] + result.json["error"]["message"], r"line \d+: stage")
        path = self.kept(result)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("A long story", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("stage = middle", "stage = final"))
        shown = self.content(self.send("--template", path))  # the form is a template
        self.assertEqual((shown["subject"], shown["text"], shown["content"]["stage"]), ("A long story", "told", "final"))
        os.unlink(path)
        for script, words, expect in (('sed -i "s/^to = .*/to = Atlantis/" "$1"; echo t >> "$1"', ["--subject", "s"], 5),
                                      ('echo "colour = red" >> "$1"; exit 3', ["--subject", "s"], 1),
                                      ('echo t >> "$1"', [], 2)):
            os.unlink(self.kept(self.edit(script, "send", "--to", "XB", *words, expect=expect)))
        self.assertIn("empty", self.edit(': > "$1"', "send", "--to", "XB", "--subject", "s", expect=1).json["error"]["message"])
        left = [f for _, _, files in os.walk(WORLD.root) for f in files if f.startswith("notice-")]
        self.assertEqual((left, self.received()), ([], before + 1))

    def test_reply(self):
        """A reply's form has what a reply can say."""
        notice = self.send("--to", "XB", "--subject", "s", "--text", "t").json["id"]
        script = 'grep -q "^to =" "$1" && exit 9; grep -q "^subject = Re: s" "$1" || exit 9; sed -i "s/^stage = .*/stage = final/" "$1"; echo ok >> "$1"'
        sent = self.edit(script, "reply", notice, user="xb-operator").json["id"]
        self.assertEqual(WORLD.poc("xa-operator", "-o", "json", "notice", "show", sent).json["content"]["stage"], "final")
        result = self.edit('sed -i "1i to = AD" "$1"; echo ok >> "$1"', "reply", notice, user="xb-operator", expect=1)
        self.assertIn("to: is no field of this form", result.json["error"]["message"])
        os.unlink(self.kept(result))

    def test_document(self):
        """A template as the directory's document: versions, history, dry run, withdrawal; readers verify it."""
        path = os.path.join(SHIPPED, "early-warning.ini")
        WORLD.pocadm("-n", "document", "publish", "early-warning", path)
        WORLD.pocadm("document", "show", "early-warning", expect=5)
        done = WORLD.pocadm("-y", "-o", "json", "document", "publish", "early-warning", path).json
        self.assertEqual([(r["name"], r["seq"]) for r in done["results"]], [("D/early-warning", 1)])
        WORLD.pocadm("-y", "document", "publish", "early-warning", path)  # the same: nothing to do
        shown = WORLD.pocadm("-o", "json", "document", "show", "early-warning").json
        self.assertEqual((shown["seq"], shown["kind"], shown["template"]["stage"]), (1, "template", "early-warning"))
        sent = self.send("--to", "XB", "--template", "early-warning", "--text", "t", "--set", "next-message=tomorrow")
        self.assertIn("the template also asks for: detected", sent.err)
        said = self.content(sent)["content"]
        self.assertEqual((said["template"], said["template_version"], said["fields"]),
                         ("D/early-warning", 1, [{"name": "next-message", "value": "tomorrow"}]))
        result = self.send("--to", "XB", "--template", "early-warning", "--text", "t", "--set", "colour=red", expect=1)
        self.assertIn("unknown template field", result.json["error"]["message"])
        WORLD.poc("xa-operator", "sync")
        offline = self.send("--to", "XB", "--template", "D/early-warning", "--text", "t", "--subject", "s")
        self.assertEqual(self.content(offline)["content"]["template_version"], 1)
        # later versions
        changed = self.write("changed.ini", "title = Early warning, shorter\nsubject = s\n")
        WORLD.pocadm("-y", "document", "publish", "early-warning", changed)
        listed = WORLD.pocadm("-o", "json", "document", "list").json["documents"]
        self.assertEqual([(d["name"], d["seq"], d["title"]) for d in listed if d["kind"] == "template"],
                         [("D/early-warning", 2, "Early warning, shorter")])
        versions = WORLD.pocadm("-o", "json", "document", "history", "early-warning").json["versions"]
        self.assertEqual([v["seq"] for v in versions], [1, 2])
        self.assertEqual(self.content(self.send("--to", "XB", "--template", "early-warning", "--text", "t"))["content"]["template_version"], 2)
        WORLD.pocadm("-y", "document", "withdraw", "early-warning")
        self.send("--to", "XB", "--template", "early-warning", "--text", "t", expect=5)
        self.send("--to", "XB", "--template", "never-there", "--text", "t", expect=5)
        self.assertTrue(WORLD.pocadm("-o", "json", "document", "show", "early-warning").json["withdrawn"])

    def test_other_documents(self):
        path = self.write("news.txt", "The round of checks begins on Monday.\n")
        WORLD.pocadm("-y", "document", "publish", "news", path, "--kind", "announcement", expect=2)
        WORLD.pocadm("-y", "document", "publish", "news", path, "--kind", "gossip", "--title", "t", expect=2)
        WORLD.pocadm("-y", "document", "publish", "News", path, "--kind", "announcement", "--title", "t", expect=2)
        WORLD.pocadm("-y", "document", "publish", "news", path, "--kind", "announcement", "--title", "News")
        self.assertIn("on Monday", WORLD.pocadm("document", "show", "news").out)
        self.assertIn("is no template", self.send("--to", "XB", "--template", "news", "--text", "t", expect=2).json["error"]["message"])
        bad = self.write("bad2.ini", "subject = s\ncolour = red\n")
        result = WORLD.pocadm("-y", "document", "publish", "bad", bad, expect=1)
        self.assertIn("line 2: unknown template field", result.err)
        WORLD.pocadm("document", "show", "bad", expect=5)

    def test_who_may_sign(self):
        """No state's coordinator publishes a document, whatever its key."""
        words = ["-y", "document", "publish", "mine", os.path.join(SHIPPED, "early-warning.ini")]
        result = run(POCADM, "-c", WORLD.conf("xa-coordinator"), *words, expect=4, env=WORLD.env)
        self.assertIn("is not one of K/@directory", result.err)
        run(POCADM, "-c", WORLD.conf("xa-operator"), *words, expect=4, env=WORLD.env)
        WORLD.pocadm("document", "show", "mine", expect=5)

    def test_in_the_local_copy(self):
        """A bundle holds documents too, and verifies."""
        WORLD.pocadm("-y", "document", "publish", "kept", os.path.join(SHIPPED, "request-for-information.ini"))
        bundle = os.path.join(WORLD.root, "bundle")
        WORLD.poc("xb-reader", "sync")
        WORLD.poc("xb-reader", "export", bundle)
        WORLD.poc("xb-reader", "--offline", "verify", bundle)


if __name__ == "__main__":
    main()
