"""A server that lies (tests/liar), met by unmodified poc programs: each lie is found by whom docs/keys.md says, with
that exit status and one clear line, and leaves nothing behind: the truth is believed again afterwards.  Before it lies the
same server tells the truth, and poc is content."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, POC, ROOT, SLOW, ini_set, main, run

LIAR = os.path.join(BUILD, "tests", "liar", "liar")

# Attack -> what poc says of it, and how it is met where that is not the usual: a lookup of XB by XA's reader.
WORDS = {
    "forged-record": "R/XB is not signed by a key of the current K/XB",
    "authority-record": "R/XB is not signed by a key of the current K/XB",
    "dropped-key": "R/XB is not signed by a key of the current K/XB",
    "directory-record": "R/XB is of another directory",
    "usurped-keys": "too few signatures by the authority keys before",
    "older-keys": "K/XB",
    "keys-kept-back": "the server does not give K/XB",
    "early-replacement": "the council's replacement does not count yet",
    "short-delay": "not_before lies less than",
    "unlisted-state": "XD is not in the register",
    "forged-register": "too few enrolment keys signed the register",
    "older-register": "the register went back",
    "other-anchor": "the register dropped XB or changed its anchor",
    "state-struck": "the register dropped XB or changed its anchor",
    "trust-by-stranger": r"too few root signatures of T\(2\)",
    "trust-half-signed": r"too few root signatures of T\(3\)",
    "trust-own-auditors": "0 of the 2 auditors that the earlier trust root asks for signed",
    "transition-by-thieves": "0 of the 2 auditors that the earlier trust root asks for signed",
    "transition-unlogged": "the checkpoint's log does not hold this trust root",
    "transition-of-another": "T does not follow the one before",
    "trust-withheld": "the checkpoint holds another trust root|the proof has no trust root",
    "protocol-of-tomorrow": "the directory asks for version 2 of the protocol, this program speaks 1",
    "dropped-log-key": "no log key of the trust root signed the checkpoint",
    "other-log-key": "no log key of the trust root signed the checkpoint",
    "other-directory": "this is another directory's trust root|no log key of the trust root signed the checkpoint",
    "stale-checkpoint": "the server is behind",
    "hidden-rollback": "the server hides that its head is older",
    "split-view": "contradicts what was verified before",
    "split-same-size": "contradicts what was verified before",
    "split-other-auditors": "the auditor auditor-xa.example has not signed the checkpoint",
    "dropped-entry": "contradicts what was verified before",
    "rewritten-history": "contradicts what was verified before",
    "far-past": "",
    "far-future": "",
    "future-leaf": "",
    "below-quorum": "1 auditors signed the checkpoint, 2 are needed",
    "one-auditor-twice": "1 auditors signed the checkpoint, 2 are needed",
    "unlisted-auditor": "1 auditors signed the checkpoint, 2 are needed",
    "impostor-auditor": "1 auditors signed the checkpoint, 2 are needed",
    "replayed-cosignatures": "the cosignature of auditor auditor-xa.example is wrong",
    "present": "the map proof of R/XD does not lead to the checkpoint",
    "absent": "the map proof of R/XB does not lead to the checkpoint",
    "absent-elsewhere": "the map proof of R/XB does not lead to the checkpoint",
    "claimed-not-found": "there is no such record",
    "claimed-withdrawn": "the state has withdrawn its record",
    "changed-byte": "the map proof of R/XB does not lead to the checkpoint",
    "older-record": "the map proof of R/XB does not lead to the checkpoint",
    "other-record": "the map proof of R/XB does not lead to the checkpoint",
    "record-kept-back": "the record R/XB is missing",
    "section-withheld": "section office of R/XB is missing, though this reader may see it",
    "section-exchanged": "section office of R/XB is missing, though this reader may see it",
    "two-states": "section persons of R/XB is missing, though this reader may see it",
    "users-kept-back": "the server keeps back U/XA",
    "users-denied": "the server does not show U/XA, .* and keeps back 2 sections",
    "users-not-copied": "the server keeps back U/XA",
    "altered-receipt": "step 3, accepted XB: signature is not that of operator in U/XB",
    "backdated-receipt": "step 3, accepted XB: signature is not that of operator in U/XB",
    "judged-before": "step 3, accepted XB: it is judged by a publication before it was stored",
    "receipt-of-another": "step 3, accepted XB: signature is not that of operator in U/XB",
    "anchor-of-another": "step 2, acknowledged XB: the item is not in the batch that its evidence names",
    "backdated-fact": "step 1, stored: the item is not in the batch that its evidence names",
    "directory-notice": "the notice is of another directory",
    "replayed-notice": "",
    "endless-proof": "its map proof has a wrong length",
    "endless-path": "the checkpoint has a wrong form",
    "endless-chain": "K/XB is version 2, the next one is 3",
    "moving-head": "moves faster than it can be read",
    "endless-history": "the history of R/XB does not end at the current version",
    "endless-pages": "the server's changes are of a longer log than it shows",
    "oversize-answer": "a frame of impossible size",
    "unfinished-answer": "no answer within the time limit",
    "flood-of-events": "no answer within the time limit",
    "other-tls-key": "which is neither the pinned one nor in U/@directory",
}
# Attack -> place that is looked up and the truth's exit status.
PLACES = {"unlisted-state": ("XD", 5), "present": ("XD", 5), "forged-register": ("XC", 7), "older-register": ("XC", 7)}
# Of lies that stay in the log.  The council's T stands: the state is suspended until the time comes.  A name never vanishes
# from the map, so that of a state without register nothing can be said until it is enrolled.
AFTER = {"early-replacement": ("XB", 7), "unlisted-state": ("XB", 0)}
SHOWN = {"far-past": "stale", "far-future": "clock", "future-leaf": "clock"}  # the answer is shown; its verdict


def listed():
    return run(LIAR, "--list").out.splitlines()


class Liar:
    """The program, and the clients that it makes configurations for."""

    def __init__(self, attack):
        self.dir = tempfile.mkdtemp(prefix="pocd-liar-")
        self.clients = 0
        self.env = {**os.environ, "HOME": self.dir, "NO_COLOR": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8",
                    "XDG_STATE_HOME": os.path.join(self.dir, "xdg")}
        self.process = subprocess.Popen([LIAR, "--attack", attack, self.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.hears("ready")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        status = self.process.wait(timeout=20 * SLOW)
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        if status != 0:
            raise AssertionError(f"the liar ended with {status}")

    def hears(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise AssertionError(f"the liar said {line!r} in place of {word!r}")

    def tell(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        self.hears(word)

    def client(self, user="reader", **directory):
        """A configuration of its own, that has seen nothing yet."""
        self.clients += 1
        path = os.path.join(self.dir, f"client-{self.clients}.conf")
        shutil.copy(os.path.join(self.dir, user + ".conf"), path)
        ini_set(path, {("state", "dir"): f"client-{self.clients}.state",
                       **{("directory", name): value for name, value in directory.items()}})
        return path

    def held(self, conf):
        """What a client holds, byte for byte."""
        found = {}
        for folder, _, names in os.walk(conf[:-len(".conf")] + ".state"):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.relpath(os.path.join(folder, name), self.dir)] = file.read()
        return found

    def poc(self, conf, *words, expect=0):
        return run(POC, "-c", conf, *words, expect=expect, env=self.env)

    def notice(self, conf, *words, expect=0):
        return self.poc(conf, "-t", str(5 * SLOW), "-o", "json", "notice", *words, expect=expect)

    def sync(self, conf, expect):
        return self.poc(conf, "-t", str(2 * SLOW), "-o", "json", "sync", expect=expect)

    def lookup(self, conf, place, expect):
        """One lookup that asks the server and no copy."""
        return self.poc(conf, "-t", str(2 * SLOW), "--online", "-o", "json", "lookup", place, expect=expect)


class Lies(unittest.TestCase):
    maxDiff = None

    def test_document_shows_the_table(self):
        with open(os.path.join(ROOT, "docs", "keys.md"), encoding="utf-8") as document:
            rows = [line.strip() for line in document if line.startswith("| `")]
        self.assertEqual(rows, listed())
        self.assertEqual(sorted(WORDS), sorted(re.match(r"\| `([^`]+)`", row).group(1) for row in rows))

    def test_two_clients_compare(self):
        """Each is content with its own view; whoever hears what the other was told finds the split."""
        with Liar("split-view") as liar:
            one, other = liar.client(), liar.client()
            liar.lookup(one, "XB", 0)
            liar.tell("lie")
            liar.lookup(other, "XB", 0)
            self.judge("split-view", liar.lookup(one, "XB", 6))
            liar.tell("truth")
            self.judge("split-view", liar.lookup(other, "XB", 6))
            liar.lookup(one, "XB", 0)

    def meet(self, attack, who, when, status):
        place, truth = PLACES.get(attack, ("XB", 0))
        user = "operator" if "of that user" in who else "reader"
        setting = {"own_auditor": "auditor-xa.example"} if "own_auditor" in who else {}
        with Liar(attack) as liar:
            seen, new = liar.client(user, **setting), liar.client(user, **setting)
            control, held = liar.lookup(seen, place, truth), liar.held(seen)
            liar.tell("lie")
            for conf in [seen] * ("not verified" not in who) + [new] * ("has seen" not in who):
                found = liar.lookup(conf, place, status)
                self.judge(attack, found)
            if status in (3, 6) and when == "before anything is asked":  # no such head is held
                self.assertEqual(liar.held(seen), held)
            liar.tell("truth")
            for conf in (seen, new):
                after = liar.lookup(conf, *AFTER.get(attack, (place, truth)))
                if attack not in AFTER:
                    self.assertEqual(self.told(after), self.told(control))

    def meet_sync(self, attack, status):
        """The copy is fetched from nothing, and brought up to date."""
        with Liar(attack) as liar:
            seen, new = liar.client(), liar.client()
            self.assertTrue(liar.sync(seen, 0).json["kept"])
            liar.tell("lie")
            for conf in (seen, new):
                self.judge(attack, liar.sync(conf, status))
            self.assertIn("OFFLINE", liar.poc(seen, "--offline", "lookup", "XB").out)  # the copy is what it was
            liar.tell("truth")
            for conf in (seen, new):
                self.assertTrue(liar.sync(conf, 0).json["kept"])

    def meet_history(self, attack, status):
        with Liar(attack) as liar:
            seen, new = liar.client(), liar.client()
            liar.lookup(seen, "XB", 0)
            liar.tell("lie")
            for conf in (seen, new):
                found = liar.poc(conf, "-t", str(2 * SLOW), "-o", "json", "history", "XB", expect=status)
                self.assertNotIn("versions", found.json)
                self.judge(attack, found)
            liar.tell("truth")
            for conf in (seen, new):
                liar.lookup(conf, "XB", 0)

    def meet_foreign(self, attack, status):
        """Beside the desk's own notice stands one that is not of this directory."""
        with Liar(attack) as liar:
            seen, new = liar.client("operator"), liar.client("operator")
            number = self.only_notice(liar, seen)
            liar.tell("lie")
            for conf in (seen, new):
                answer = liar.notice(conf, "list", "--sent")
                found = {notice["id"]: notice for notice in answer.json["notices"]}
                foreign = next(each for each in found if each != number)
                self.assertEqual([found[each]["verified"] for each in (number, foreign)], [True, False])
                self.assertIn("1 entries of the feed of XA technical do not verify", answer.err)
                self.assertIn("NOT VERIFIED", liar.poc(conf, "--offline", "notice", "list", "--sent").out)
                self.judge(attack, liar.notice(conf, "status", foreign, expect=status))
            liar.tell("truth")
            for conf in (seen, new):
                steps = liar.notice(conf, "status", number).json["steps"]
                self.assertEqual([step["step"] for step in steps], ["stored", "acknowledged"])

    def meet_story(self, attack, status):
        """A notice that was stored and acknowledged; the lie tells another story of it."""
        def told(answer):
            return [(step["place"], step["step"], step["time"]) for step in answer.json["steps"]]

        with Liar(attack) as liar:
            seen, new = liar.client("operator"), liar.client("operator")
            number = self.only_notice(liar, seen)
            control = told(liar.notice(seen, "status", number))
            self.assertEqual([step for _, step, _ in control], ["stored", "acknowledged"])
            liar.tell("lie")
            for conf in (seen, new):
                found = liar.notice(conf, "status", number, expect=status)
                if status != 0:
                    self.judge(attack, found)
                self.assertEqual(self.only_notice(liar, conf), number)
            liar.tell("truth")
            for conf in (seen, new):
                self.assertEqual(told(liar.notice(conf, "status", number)), control)

    def only_notice(self, liar, conf):
        """The one that the desk has, which has come no further than it has."""
        (notice,) = liar.notice(conf, "list", "--sent").json["notices"]
        self.assertEqual(notice["step"], "acknowledged")
        return notice["id"]

    @staticmethod
    def told(result):
        """What was found, without what differs from one look to the next."""
        return result.json.get("record"), result.json.get("verdict", {}).get("status"), result.json.get("error", {}).get("code")

    def judge(self, attack, found):
        if attack in SHOWN:
            self.assertIn(SHOWN[attack], found.out + found.err)
            self.assertTrue(found.json["record"])
            return
        self.assertNotIn("record", found.json)
        self.assertRegex(found.json["error"]["message"], WORDS[attack])
        self.assertNotIn("\n", found.json["error"]["message"])


def add(attack, who, when, status):
    def test(self):
        if "in the list" in when:
            self.meet_foreign(attack, status)
        elif "poc sync" in when:
            self.meet_sync(attack, status)
        elif "poc history" in when:
            self.meet_history(attack, status)
        elif "sender's desk" in who:
            self.meet_story(attack, status)
        else:
            self.meet(attack, who, when, status)
    setattr(Lies, "test_" + attack.replace("-", "_"), test)


with contextlib.suppress(FileNotFoundError):  # then the first test says so
    for row in listed():
        _, name, _, by, moment, code, _ = (cell.strip() for cell in row.split("|"))
        add(name.strip("`"), by, moment, int(code))


if __name__ == "__main__":
    main()
