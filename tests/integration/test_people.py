"""Bad input for people: each gives one clear line on stderr and its exit status, and changes nothing."""
import datetime
import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import unittest

from harness import POC, POCADM, World, file_limit, main, run, shifted

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


class People(unittest.TestCase):
    def one_line(self, result, *words, program="poc"):
        """stderr is one line of the program's that holds each of the words."""
        lines = result.err.splitlines()
        self.assertEqual(len(lines), 1, result)
        self.assertTrue(lines[0].startswith(program + ": "), result)
        for word in words:
            self.assertIn(word, lines[0], result)

    def refused(self, status, words, *command, user="xa-reader", **more):
        result = WORLD.poc(user, *command, expect=status, **more)
        self.one_line(result, *words)
        self.assertEqual(result.out, "", result)
        return result

    def write(self, name, text):
        path = os.path.join(WORLD.root, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path


class Places(People):
    def test_unknown_state(self):
        self.refused(5, ['"Atlantis"', "no place"], "lookup", "Atlantis")
        for name, codes in (("Korea", ["KP (North Korea)", "KR (South Korea)"]), ("congo", ["CD (", "CG ("]), ("Corée/unit", ["KP (", "KR ("])):
            self.refused(2, ["can mean several states", *codes], "lookup", name)
        self.refused(2, ["can mean several states"], "-n", "state", "new", "Korea")
        self.refused(5, ["XZ: not in the directory", "absence is proven by checkpoint"], "lookup", "XZ")
        self.refused(5, ["BR (Brazil): not in the directory"], "lookup", "Brasil")
        self.refused(5, ["XB/unit-nine: not in the directory"], "lookup", "XB/unit-nine")
        self.refused(5, ["XZ: not in the directory; proven"], "history", "XZ")

    def test_reserved_forms_say_so(self):
        for place in ("192.0.2.1", "2001:db8::/32", "AS64500", "example.org"):
            self.refused(2, [place, "reserved for a later version"], "lookup", place)

    def test_what_the_record_has_not(self):
        result = WORLD.poc("xa-reader", "lookup", "AD", "--kind", "diplomatic", expect=5)
        self.one_line(result, "AD (Andorra) has no diplomatic point of contact")
        self.assertTrue(result.out.startswith("verified: "), result)
        result = WORLD.poc("xa-reader", "lookup", "XB", "--section", "cellar", expect=5)
        self.one_line(result, "XB has no section cellar")

    def test_each_of_several_is_told(self):
        result = WORLD.poc("xa-reader", "lookup", "XZ", "XB", "Atlantis", expect=5)
        self.assertEqual(len(result.err.splitlines()), 2, result)
        self.assertIn("XB technical", result.out)
        answer = WORLD.poc("xa-reader", "-o", "json", "lookup", "XZ", "XB", "Atlantis", expect=5).json
        self.assertEqual(answer["schema"], "poc.lookup/1")
        self.assertEqual(["error" in r for r in answer["results"]], [True, False, True])
        self.assertEqual(answer["results"][0]["error"]["code"], "not-found")
        self.assertEqual(answer["results"][1]["verdict"]["status"], "valid")


class Usage(People):
    def test_usage(self):
        self.refused(2, ["which command?", "poc --help"])
        self.refused(2, ["which command?", "poc user --help"], "user")
        self.refused(2, ['unknown command "looks"'], "looks")
        self.refused(2, ["usage: poc lookup PLACE..."], "lookup")
        self.refused(2, ["usage: poc sync"], "sync", "now")
        self.refused(2, ["unknown flag --frob"], "lookup", "--frob", "XB")
        self.refused(2, ["unknown flag -Z"], "lookup", "-Z", "XB")
        self.refused(2, ["--save needs a value"], "lookup", "XB", "--save")
        self.refused(2, ["--output is text or json"], "-o", "xml", "lookup", "XB")
        self.refused(2, ["--timeout takes seconds"], "-t", "0", "lookup", "XB")
        self.refused(2, ["--offline and --online"], "--offline", "--online", "lookup", "XB")
        self.refused(2, ["--kind is technical or diplomatic"], "lookup", "XB", "--kind", "cook")
        self.refused(2, ["--save takes one place"], "lookup", "XB", "XA", "--save", "x")
        self.refused(2, ["--at takes a time like"], "verify", "x", "--at", "yesterday")
        self.refused(2, ["--format is bundle, json or csv"], "export", "--format", "pdf")
        self.refused(2, ["history asks a server", "--offline"], "--offline", "history", "XB")

    def test_errors_in_json_too(self):
        for words, status, code in ((["lookup", "XZ"], 5, "not-found"), (["lookup"], 2, "usage"), (["verify", "/none"], 5, "not-found"),
                                    (["publish", "x"], 4, "denied"), (["lookup", "XB", "--frob"], 2, "usage"),
                                    (["-s", "127.0.0.1:1", "lookup", "XB"], 3, "unreachable")):
            result = WORLD.poc("xa-reader", "-o", "json", *words, expect=status)
            self.one_line(result)
            error = result.json["error"]
            self.assertEqual((error["code"], sorted(error)), (code, ["code", "exit_status", "message"]))
            self.assertEqual(result.json["schema"], f"poc.{next((w for w in words if w in ('verify', 'publish')), 'lookup')}/1")
            self.assertIn(error["message"], result.err)

    def test_verify_takes_files(self):
        """A pipe that nobody writes into is not waited for; standard input is read."""
        path = os.path.join(WORLD.root, "fifo")
        os.mkfifo(path)
        self.refused(2, [f"{path} is not a regular file", '"-"'], "verify", path, timeout=10)
        self.refused(2, ["is not a regular file"], "verify", WORLD.root)
        proof = os.path.join(WORLD.root, "stdin.proof")
        WORLD.poc("xa-reader", "lookup", "XB", "--save", proof)
        with open(proof, "rb") as file:
            self.assertIn("XB technical", WORLD.poc("xa-reader", "verify", "-", stdin=file).out)

    def test_schema_of_errors(self):
        for words, schema in ((["looks"], "error"), (["user"], "error"), (["user", "add", "/none"], "user-add"), (["edit"], "edit"),
                              (["notice", "show"], "notice-show"), (["notice", "ack", "ABCD"], "notice-ack"), (["status", "x"], "status")):
            answer = WORLD.poc("xa-reader", "-o", "json", *words, expect=None).json
            self.assertEqual((answer["schema"], "error" in answer), (f"poc.{schema}/1", True), words)
        self.assertEqual(WORLD.pocadm("-o", "json", "state", "enrol", "/none", expect=2).json["schema"], "poc.state-enrol/1")

    def test_options_end(self):
        self.refused(5, ['"-x" is no place'], "lookup", "--", "-x")
        self.assertIn("XB", WORLD.poc("xa-reader", "lookup", "--", "XB").out)

    def test_help_and_version_at_every_level(self):
        for words in ([], ["lookup"], ["user"], ["user", "invite"], ["key"], ["key", "new"], ["state"], ["state", "new"], ["verify"]):
            for flag in ("-h", "--help"):
                result = run(POC, *words, flag, env=WORLD.env)
                self.assertTrue(result.out.startswith("usage: poc "), result)
                self.assertEqual(result.err, "")
        for words in ([], ["init"], ["state"], ["state", "enrol"], ["import"], ["check"]):
            self.assertTrue(run(POCADM, *words, "-h", env=WORLD.env).out.startswith("usage: pocadm "))
        for flag in ("-V", "--version"):
            self.assertRegex(run(POC, flag).out, r"^poc \d+\.\d+")
            self.assertRegex(run(POCADM, flag).out, r"^pocadm \d+\.\d+")


class Configuration(People):
    def bad(self, text, status, *words):
        path = self.write("bad.conf", text)
        result = WORLD.poc_file(path, "lookup", "XB", expect=status)
        self.one_line(result, *words)

    def test_configuration(self):
        self.bad("[directory]\nservr = x\n", 1, "bad.conf, line 2", 'unknown key "servr"', "[directory]")
        self.bad("[directroy]\nserver = x\n", 1, "bad.conf, line 2", "[directroy]")
        self.bad("[directory]\n; fine\nserver = " + "a" * 3000 + "\n", 1, "bad.conf, line 3", "too long")
        self.bad("[directory]\nquorum = many\n", 1, "bad.conf, line 2", "not a number")
        self.bad("[directory]\nmax_age = soon\n", 1, "bad.conf, line 2", "not a duration")
        self.bad("[directory]\nid = 12\n[user]\nstate = XA\nkey = x\n", 2, "directory id")
        self.bad("", 2, "no directory is configured", "poc setup INVITE")
        result = WORLD.poc_file(os.path.join(WORLD.root, "none.conf"), "lookup", "XB", expect=2)
        self.one_line(result, "none.conf: there is no such file")
        result = WORLD.poc_file(None, "lookup", "XB", expect=2)
        self.one_line(result, "no configuration file found")

    def test_flag_beats_environment_beats_files(self):
        good, other = WORLD.conf("xa-reader"), self.write("other.conf", "; nothing\n")
        WORLD.poc_file(None, "lookup", "XB", env={"POC_CONFIG": good})
        WORLD.poc_file(other, "lookup", "XB", env={"POC_CONFIG": good}, expect=2)
        answer = WORLD.poc_file(None, "lookup", "XB", env={"POC_CONFIG": good, "POC_OUTPUT": "json"})
        self.assertEqual(answer.json["place"], "XB")
        answer = WORLD.poc_file(None, "-o", "text", "lookup", "XB", env={"POC_CONFIG": good, "POC_OUTPUT": "json"})
        self.assertTrue(answer.out.startswith("XB technical"), answer)
        self.one_line(WORLD.poc_file(None, "--online", "lookup", "XB", env={"POC_CONFIG": good, "POC_SERVER": "127.0.0.1:1"}, expect=3),
                      "127.0.0.1:1")
        WORLD.poc_file(None, "-s", f"127.0.0.1:{WORLD.port}", "--online", "lookup", "XB",
                       env={"POC_CONFIG": good, "POC_SERVER": "127.0.0.1:1"})
        home = os.path.join(WORLD.root, "home-config")
        os.makedirs(os.path.join(home, "poc"))
        shutil.copy(self.write("user.conf", "[directory]\nservr = x\n"), os.path.join(home, "poc", "poc.conf"))
        self.one_line(WORLD.poc_file(None, "lookup", "XB", env={"XDG_CONFIG_HOME": home}, expect=1), "poc/poc.conf, line 2")
        WORLD.poc_file(None, "lookup", "XB", env={"XDG_CONFIG_HOME": home, "POC_CONFIG": good})


class Keys(People):
    def test_wrong_keys(self):
        os.chmod(self.write("garbage.key", "this is no key\n"), 0o600)
        self.write("open.key", "this is no key\n")
        for name, values, status, words in (
                ("k-other", {("user", "key"): "xb-reader.key"}, 1, ["does not belong to the certificate", "xa-reader.crt"]),
                ("k-none", {("user", "key"): "absent.key"}, 1, ["absent.key: No such file"]),
                ("k-garbage", {("user", "key"): os.path.join(WORLD.root, "garbage.key")}, 1, ["garbage.key", "no private key"]),
                ("k-open", {("user", "key"): os.path.join(WORLD.root, "open.key")}, 4, ["open.key", "chmod 600"]),
                ("k-alien", {("user", "key"): "xb-reader.key", ("user", "cert"): "xb-reader.crt"}, 4, ["not listed"]),
                ("k-state", {("user", "state"): "QQ"}, 4, ["not listed"]),
                ("k-no", {("user", "key"): None}, 4, ["no user key", "poc setup INVITE"]),
                ("k-pin", {("directory", "server_pin"): "ab" * 32}, 0, []),  # listed in U/@directory all the same
                ("k-badpin", {("directory", "server_pin"): "xyz"}, 2, ["server's pin"]),
                ("k-id", {("directory", "id"): "ab" * 32}, 3, ["directory"])):
            with self.subTest(name):
                WORLD.variant("xa-reader", name, values)
                result = WORLD.poc(name, "lookup", "XB", expect=status)
                if status:
                    self.one_line(result, *words)

    def test_no_permission(self):
        record = self.write("record.json", json.dumps(WORLD.record("xa-reader", "XB")))
        for words in (["publish", record], ["confirm"], ["withdraw"], ["edit"], ["user", "add", "x"], ["user", "remove", "reader"],
                      ["user", "invite", "duty-9", "--role", "reader"]):
            with self.subTest(words[0]):
                self.refused(4, ["the configuration holds no [coordinator] key"], *words)
        self.refused(4, ["XB is not a record of XA"], "-y", "publish", record, user="xa-coordinator")
        self.refused(4, ["XB is not a record of XA"], "-y", "withdraw", "XB", user="xa-coordinator")
        # somebody else's key in the place of the coordinator's: the directory says no
        WORLD.variant("xa-coordinator", "k-forger", {("coordinator", "key"): "../states/XB-signing.key"})
        result = WORLD.poc("k-forger", "-y", "-q", "confirm", "XA", expect=None)
        self.assertIn(result.status, (4, 6), result)
        self.one_line(result)


class Files(People):
    def test_what_the_demo_goes_on_with(self):
        hint = next(line for line in WORLD.demo.out.splitlines() if "notice send --to" in line and "..." in line)
        words = shlex.split(hint.split("     ")[0])
        WORLD.poc_file(words[2], *words[3:], "--text", "x")

    def test_wrong_files(self):
        text = self.write("shopping.txt", "milk\neggs\n")
        self.refused(2, ["shopping.txt is a text, and no saved answer"], "verify", text)
        self.refused(5, ["/none: No such file"], "verify", "/none")
        self.refused(5, ["/none: No such file"], "publish", "/none", user="xa-coordinator")
        self.refused(1, ["shopping.txt, line 1"], "publish", text, user="xa-coordinator")
        bad = json.loads(json.dumps(WORLD.record("xa-coordinator", "XA")))
        bad["pocs"][0]["sections"][0]["content"]["channels"][0]["value"] = "call me"
        self.refused(1, ["bad.json", "channels[0]", "value"], "publish", self.write("bad.json", json.dumps(bad)), user="xa-coordinator")
        bad["colour"] = "blue"
        self.refused(1, ["bad.json", "colour"], "publish", self.write("bad.json", json.dumps(bad)), user="xa-coordinator")
        self.refused(1, ["shopping.txt", "line 1"], "setup", text, user="nobody-yet")
        enrol = WORLD.path("states", "XA.enrol")
        self.refused(1, ["XA.enrol: not an invitation"], "setup", enrol, user="nobody-yet")
        self.refused(1, ["XA.enrol: not a request"], "user", "add", enrol, user="xa-coordinator")
        self.refused(1, ["shopping.txt", "line 1"], "user", "add", text, user="xa-coordinator")
        result = WORLD.pocadm("import", text, expect=1)
        self.one_line(result, "no column is known", "--map", program="pocadm")
        result = WORLD.pocadm("state", "enrol", text, "--reference", "x", expect=1)
        self.one_line(result, "shopping.txt", program="pocadm")
        result = WORLD.pocadm("check", WORLD.root + "/none", expect=5)
        self.one_line(result, "No such file", program="pocadm")
        result = WORLD.pocadm("check", text, expect=2)
        self.one_line(result, "shopping.txt is no backup of pocadm", "poc verify", program="pocadm")

    def test_fingerprint_of_a_certificate(self):
        cert, key = WORLD.key_files("xa-reader")
        shown = WORLD.poc("xa-reader", "key", "show", key).out
        self.assertEqual(WORLD.poc("xa-reader", "key", "show", cert).out, shown)
        self.refused(1, ["no.crt: no key that is known here"], "key", "show", self.write("no.crt", "milk"))
        words = "PRIVATE KEY-----"  # no key is written here, not even the lines around one
        private = self.write("open-private.key", f"-----BEGIN {words}\nmilk\n-----END {words}\n")
        os.chmod(private, 0o644)
        self.refused(4, ["open-private.key: others may read"], "key", "show", private)

    def test_never_over_what_is_there(self):
        there = self.write("there", "precious")
        self.refused(1, ["there", "exists"], "key", "new", there)
        self.refused(1, ["there exists already"], "user", "invite", "duty-9", "--role", "reader", "--out", there, user="xa-coordinator")
        result = WORLD.pocadm("init", WORLD.dir, "--origin", "x.example/1", expect=1)
        self.one_line(result, "exists already and is not empty", program="pocadm")
        with open(there, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_founding_twice(self):
        out, info = os.path.join(WORLD.root, "founding"), WORLD.path("directory.info")
        self.refused(5, ["/none: No such file"], "state", "new", "QQ", "--out", out, "--directory", "/none")
        self.assertFalse(os.path.exists(out))
        WORLD.poc("xa-reader", "state", "new", "QQ", "--out", out, "--directory", info)
        before = sorted(os.listdir(out))
        self.refused(1, ["founding holds the keys of QQ already"], "state", "new", "QQ", "--out", out, "--authorities", "2")
        self.assertEqual(sorted(os.listdir(out)), before)
        enrol = os.path.join(out, "QQ.enrol")
        result = WORLD.pocadm("-y", "-q", "state", "enrol", enrol, enrol, "--reference", "x", expect=1)
        self.one_line(result, "QQ: two enrolments of one state", program="pocadm")
        # a second time there is nothing to do; other keys are another matter
        again = WORLD.path("states", "XA.enrol")
        result = WORLD.pocadm("state", "enrol", again, "--reference", "x")
        self.one_line(result, "XA is enrolled already by this file: nothing to do", program="pocadm")
        self.assertEqual(result.out, "")
        self.assertEqual(WORLD.pocadm("-o", "json", "state", "enrol", again, "--reference", "x").json["results"], [])
        WORLD.poc("xa-reader", "state", "new", "XA", "--out", out)
        result = WORLD.pocadm("-y", "-q", "state", "enrol", os.path.join(out, "XA.enrol"), "--reference", "x", expect=1)
        self.one_line(result, "XA is enrolled already", program="pocadm")

    def test_nomination(self):
        """What the flags say is judged before any file or key is looked at, in the flags' words."""
        today = datetime.datetime.now(datetime.timezone.utc).date()
        later = (today + datetime.timedelta(days=2)).isoformat()
        for flags, words in (([], "--reference R: which note verbale"),
                             (["--reference", ""], "--reference: the value is empty"),
                             (["--reference", "x" * 201], "--reference: longer than 200"),
                             (["--reference", "a\nb"], "--reference: "),
                             (["--reference", "x", "--date", later], f"--date {later}: that day is still to come"),
                             (["--reference", "x", "-d", "2099-02-30"], "--date takes YYYY-MM-DD")):
            self.one_line(WORLD.pocadm("state", "enrol", "/none", *flags, expect=2), words, program="pocadm")
        result = WORLD.pocadm("state", "enrol", WORLD.path("states", "XA.enrol"), "--reference", "x", "--date", today.isoformat())
        self.one_line(result, "nothing to do", program="pocadm")

    def test_half_made_is_taken_away(self):
        """A full disk, wherever it strikes, leaves what was there before, and no more; then the same command goes through."""
        invite, info = os.path.join(WORLD.root, "full.invite"), WORLD.path("directory.info")
        WORLD.poc("xa-coordinator", "user", "invite", "full", "--role", "operator", "--out", invite)
        folder = os.path.join(WORLD.root, "full")
        mine = os.path.join(folder, "b", "mine")
        for command in ([None, "-c", os.path.join(folder, "a", "poc.conf"), "setup", invite],
                        [WORLD.conf("xa-reader"), "state", "new", "QM", "--out", os.path.join(folder, "b"), "--directory", info]):
            failed = 0
            for limit in range(0, 4000, 100):
                result = WORLD.poc_file(*command, expect=None,
                                        preexec_fn=file_limit(limit))
                if result.status == 0:
                    break
                failed += 1
                self.one_line(result, "File too large")
                self.assertEqual(result.out, "")
                if command[0] is None:
                    self.assertFalse(os.path.exists(folder), result)
                    self.assertFalse(os.path.exists(os.path.join(WORLD.root, "full.request")), result)
                elif failed == 1:
                    self.assertFalse(os.path.exists(os.path.join(folder, "b")), result)
                    os.mkdir(os.path.join(folder, "b"))  # what others made stays
                    with open(mine, "w", encoding="ascii") as file:
                        file.write("precious")
                else:
                    self.assertEqual(os.listdir(os.path.join(folder, "b")), ["mine"], result)
            self.assertGreater(failed, 3)
            self.assertEqual(result.status, 0, result)

    def test_founding_where_nothing_can_be_made(self):
        out = self.write("a-file", "")
        self.refused(1, ["a-file/QL: cannot be made", "Not a directory"], "state", "new", "QL", "--out", out + "/QL")

    def test_written_is_what_the_path_leads_to(self):
        real, link, fifo = (os.path.join(WORLD.root, name) for name in ("real.proof", "link.proof", "fifo.proof"))
        self.write("real.proof", "old")
        os.symlink("real.proof", link)
        WORLD.poc("xa-reader", "lookup", "XB", "--save", link)
        self.assertEqual(os.readlink(link), "real.proof")
        self.assertFalse(os.path.islink(real))
        WORLD.poc("xa-reader", "--offline", "verify", real)
        os.mkfifo(fifo)
        with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
            WORLD.poc("xa-reader", "--offline", "export", fifo)
            taken = reader.communicate(timeout=60)[0]
        self.assertTrue(stat.S_ISFIFO(os.lstat(fifo).st_mode))
        WORLD.poc("xa-reader", "--offline", "export", real)  # of the same copy, whatever is published meanwhile
        with open(real, "rb") as file:
            self.assertEqual(file.read(), taken)
        os.symlink("nowhere/x", link + ".broken")
        for path, words in ((link + ".broken", "No such file"), (WORLD.root, "Is a directory")):
            result = WORLD.poc("xa-reader", "lookup", "XB", "--save", path, expect=1)
            self.one_line(result, words)
        self.assertTrue(os.path.islink(link + ".broken"))

    def test_output_that_cannot_be_written(self):
        self.one_line(WORLD.poc("xa-reader", "lookup", "XB", "--save", "/none/x", expect=1), "/none/x")
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([POC, "-c", WORLD.conf("xa-reader"), "lookup", "XB"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  env=WORLD.env, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, "poc: the output cannot be written\n"))


class Machine(People):
    def test_no_server(self):
        self.refused(3, ["127.0.0.1:1: Connection refused"], "-s", "127.0.0.1:1", "lookup", "XB")
        self.refused(3, ["nowhere.invalid"], "-s", "nowhere.invalid:7437", "lookup", "XB")
        WORLD.variant("xa-reader", "alone", {("directory", "server"): "127.0.0.1:1"})
        self.refused(3, ["Connection refused", "no local copy", "poc sync"], "lookup", "XB", user="alone")
        self.refused(3, ["Connection refused", "no local copy"], "search", "XB", user="alone")
        self.refused(3, ["Connection refused"], "sync", user="alone")
        self.refused(3, ["no local copy"], "--offline", "lookup", "XB", user="alone")

    def test_damaged_held_state(self):
        name = WORLD.variant("xa-reader", "damaged", {})
        WORLD.poc(name, "sync")
        folder = next(f for f, _, files in os.walk(WORLD.path("users", "damaged.state")) if "held" in files)
        held = os.path.join(folder, "held")
        with open(held, "rb") as file:
            good = file.read()
        for damage in (good[:40], b"", good[:100] + bytes([good[100] ^ 1]) + good[101:]):
            with open(held, "wb") as file:
                file.write(damage)
            self.refused(1, ["held", "damaged"], "lookup", "XB", user=name)
            self.refused(1, ["held"], "--offline", "lookup", "XB", user=name)
        os.unlink(held)  # lost while the rest of the folder is there: never a first contact
        self.refused(1, ["held"], "lookup", "XB", user=name)
        with open(held, "wb") as file:
            file.write(good)
        WORLD.poc(name, "lookup", "XB")

    def test_state_folder_of_another(self):
        """Who may not read or make it is told which, and its permission."""
        top = tempfile.mkdtemp(prefix="pocd-test-")
        self.addCleanup(shutil.rmtree, top)
        poc, conf, state = (os.path.join(top, name) for name in ("poc", "poc.conf", "state"))
        shutil.copy(POC, poc)
        with open(conf, "w", encoding="ascii") as out:
            out.write(f"[directory]\nid = {'ab' * 32}\nserver = 127.0.0.1:1\n[state]\ndir = {state}\n")
        for path, mode in ((top, 0o755), (poc, 0o755), (conf, 0o644)):
            os.chmod(path, mode)
        folder = os.path.join(state, "ab" * 8)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

        def refused(*words):
            result = run(poc, "-c", conf, "--offline", "lookup", "XB", expect=1, cwd="/", env={"LC_ALL": "C.UTF-8"}, **nobody)
            self.one_line(result, "Permission denied", f"this is user {65534 if nobody else os.geteuid()}", *words)
        os.makedirs(folder)
        for path in (folder, state):
            os.chmod(path, 0)
            refused(folder, f"({path} has mode 0000")
            os.chmod(path, 0o755)
        with open(os.path.join(folder, "held"), "wb"):
            pass
        os.chmod(os.path.join(folder, "held"), 0)
        refused(os.path.join(folder, "held"), "held has mode 0000")
        shutil.rmtree(state)
        os.chmod(top, 0o555)
        refused(folder, f"({top} has mode 0555")
        os.chmod(top, 0o755)

    def test_clock_far_off(self):
        name = WORLD.variant("xa-reader", "clock", {})

        def behind(seconds, span):
            """Whom to call is shown, by the checkpoint's time, and the first line says what is wrong."""
            result = WORLD.poc(name, "lookup", "XB", "XA", env=shifted(-seconds), expect=7)
            lines = result.out.splitlines()
            self.assertRegex(lines[0], rf"^CLOCK: this machine's clock is {span} BEHIND the verified checkpoint; below it is taken to be 20\d\d-")
            self.assertTrue(lines[1].startswith("XB technical  XB-CERT"), result)
            self.assertTrue(lines[2].startswith("call 1 "), result)
            self.assertEqual(result.out.count("CLOCK"), 1)
            self.assertRegex(result.out, r"confirmed \S+ \(\d+ (s|min) ago\): fresh")
            self.assertEqual(len(result.err.splitlines()), 2, result)
            self.assertIn("clock is before the verified checkpoint", result.err)
        behind(3 * 86400, r"(2 days|71 h|3 days)")
        behind(3600, r"\d\d min")
        verdict = WORLD.poc(name, "-o", "json", "lookup", "XB", env=shifted(-3600), expect=7).json["verdict"]
        self.assertTrue(3000 < verdict["clock_behind"] <= 3600, verdict)
        self.assertEqual((verdict["freshness"], verdict["clock_ahead"]), ("fresh", 0))
        # such a clock signs nothing, and what it saw is not held: a correct one goes on
        self.refused(7, ["clock"], "-y", "confirm", user=WORLD.variant("xa-coordinator", "slow-signer", {}), env=shifted(-3600))
        self.assertNotIn("CLOCK", WORLD.poc(name, "lookup", "XB").out)
        # nor does one that is ahead: what it signs would be fresh for longer than anybody vouches for
        self.assertEqual(WORLD.poc("slow-signer", "-y", "-q", "confirm", env=shifted(1200), expect=1).err,
                         "poc: R/XA, confirmed: lies in the future: check the signer's clock\n")
        # ahead: everything verifies and looks old
        result = WORLD.poc(name, "lookup", "XB", env=shifted(3 * 86400), expect=7)
        self.assertRegex(result.out.splitlines()[0], r"^CLOCK: this machine's clock is 3 days AHEAD of the server's: one of them is wrong$")
        self.assertIn("STALE", result.out)
        self.one_line(result, "XB: verified but stale")
        # a quarter of an hour without a publication is said, and no more than said
        result = WORLD.poc(name, "lookup", "XB", env=shifted(1200))
        self.assertIn("LATE: more than 15 minutes", result.out)
        self.assertNotIn("LATE", WORLD.poc(name, "lookup", "XB").out)
        # behind what this client has seen: told as well
        behind(3 * 86400, r"(2 days|71 h|3 days)")

    def test_reading_by_a_slow_clock(self):
        """What is verified is shown, under a first line; nothing that was seen by such a clock is kept."""
        name, slow = WORLD.variant("xa-coordinator", "slow-reader", {}), shifted(-3 * 3600)
        first = r"^CLOCK: this machine's clock is (2 h|3 h|179 min) BEHIND the verified checkpoint; below it is taken to be 20"
        reading = {("history", "XB"): "published", ("status",): "coordinator", ("user", "list"): "XA", ("key", "show", "XB"): "authority",
                   ("sync",): "added", ("-n", "sync"): "dry run"}

        def read_all():
            for words, shown in reading.items():
                result = WORLD.poc(name, *words, env=slow, expect=7)
                self.assertRegex(result.out.splitlines()[0], first, result)
                self.assertIn("operator" if words == ("user", "list") else shown, "\n".join(result.out.splitlines()[1:]))
                self.one_line(result, "clock is before the verified checkpoint")
                document = WORLD.poc(name, "-o", "json", *words, env=slow, expect=7).json
                self.assertTrue(10000 < document["clock_behind"] <= 10800, document)
                self.assertNotIn("error", document)
        read_all()
        self.assertIn("NOT KEPT", WORLD.poc(name, "sync", env=slow, expect=7).out)
        self.assertIn("no local copy", WORLD.poc(name, "--offline", "lookup", "XB", expect=3).err)
        document = WORLD.poc(name, "-o", "json", "sync").json  # by a clock that is right
        self.assertEqual((document["kept"], document["clock_behind"], document["clock_ahead"]), (True, 0, 0))
        # now there is a copy, which may be as old as it is for such a clock
        reading[("sync",)] = "changed; "
        read_all()
        result = WORLD.poc(name, "--offline", "status", env=slow, expect=7)
        self.assertRegex(result.out.splitlines()[0], first, result)
        # ahead: said, and what is shown is right
        result = WORLD.poc(name, "history", "XB", env=shifted(3 * 3600))
        self.assertRegex(result.out.splitlines()[0], r"^CLOCK: this machine's clock is \S+ \S+ AHEAD of the server's")
        # nothing is signed by a slow clock
        self.refused(7, ["clock"], "-y", "confirm", user=name, env=slow)
        self.refused(7, ["checkpoint lies"], "-y", "user", "remove", "reader", user=name, env=slow)


if __name__ == "__main__":
    main()
