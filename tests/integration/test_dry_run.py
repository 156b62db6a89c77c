"""-n: every command that changes something says in words what it would do, and does none of it."""
import hashlib
import json
import os
import unittest

from harness import POC, POCADM, ROOT, World, main, run
from test_docs import commands_of

READER, OPERATOR, THEIRS, COORDINATOR, STAFF = "xa-reader", "xa-operator", "xb-operator", "xa-coordinator", "directory-admin"
PROGRAMS = {"poc": POC, "pocadm": POCADM}

# Of each command that changes something: who, arguments, and words of what it would do.  {names} are of the world below.
SEND = ["--to", "XB,AD", "--subject", "s-subject", "--text", "t", "--reply-by", "24h", "--escalate", "diplomatic"]
CHANGES = {
    "poc": [
        ("setup", "xa-new", ["{invite}"], ["xa-new.conf, keys beside it", "new.request would be made"]),
        ("lookup", READER, ["XB", "--save", "{new}"], ["{new} was not written"]),
        ("sync", READER, [], ["dry run: the copy is "]),
        ("export", READER, ["{new}"], ["{new} would be written, ", " bytes"]),
        ("edit", COORDINATOR, ["{draft}"], ["XA + ", "would be published: R/XA version 2"]),
        ("publish", COORDINATOR, ["{draft}"], ["XA + ", "would be published: R/XA version 2"]),
        ("confirm", COORDINATOR, ["XA"], ["would be published: R/XA version 2"]),
        ("withdraw", COORDINATOR, ["XA"], ["XA will be withdrawn", "would be published: R/XA version 2"]),
        ("notice send", OPERATOR, SEND, ['would be sent: "s-subject", from XA technical', "notification, routine, TLP:AMBER",
                                         "to XB technical, 2 reading keys", "to AD technical, 2 reading keys", "answer wanted by 2",
                                         "if nobody has acknowledged it by 2", "to XB diplomatic, 2 reading keys", "bytes, padded and encrypted"]),
        ("notice ack", THEIRS, ["{notice}", "--answer-by", "12h"], ["would be said: acknowledged, of {notice}, for XB technical, answer by 2"]),
        ("notice accept", THEIRS, ["{notice}"], ["would be said: accepted, of {notice}"]),
        ("notice decline", THEIRS, ["{notice}", "--reason", "duplicate"], ["would be said: declined, of {notice}", "reason duplicate"]),
        ("notice reply", THEIRS, ["{notice}", "--text", "t"], ['would be sent: "Re: first"', "to XA technical", "would be said: answered"]),
        ("notice close", THEIRS, ["{notice}"], ["would be said: closed, of {notice}"]),
        ("notice take", THEIRS, ["{notice}"], ["would be said: taken, of {notice}"]),
        ("notice release", THEIRS, ["{taken}"], ["would be said: released, of {taken}"]),
        ("notice note", THEIRS, ["{notice}", "--text", "t"], ['would be sent: "note", from XB technical', "to XB technical"]),
        ("notice remind", OPERATOR, ["{notice}"], ['would be sent: "Reminder: first"', "to XB technical"]),
        ("notice escalate", OPERATOR, ["{notice}", "--to", "AD"], ['would be sent: "Escalated: first"', "to AD technical"]),
        ("notice forward", THEIRS, ["{notice}", "--to", "AD"], ['would be sent: "Fwd: first"', "to AD technical"]),
        ("notice status", OPERATOR, ["{notice}", "--save", "{new}"], ["{new} was not written"]),
        ("notice save", THEIRS, ["{notice}", "{folder}"], ["would be written: {folder}/attached.txt  4"]),
        ("notice watch", THEIRS, ["--once", "--exec", "touch {new}"], ['"event":"notice"']),
        ("notice flush", "ad-operator", [], ["would be sent: notice {queued}"]),
        ("report", OPERATOR, ["XB", "+999000002", "--reason", "wrong"],
         ["would be reported to the coordinator of XB and the directory's staff: technical-1/phone-1, +999000002: wrong"]),
        ("user invite", COORDINATOR, ["duty-7", "--role", "reader", "--out", "{new}"], ["{new} would be written"]),
        ("user add", COORDINATOR, ["{request}"], ["XA/new", "would be published: U/XA version "]),
        ("user remove", COORDINATOR, ["reader"], ["would be published: U/XA version "]),
        ("key new", READER, ["{new}"], ["{new} would be made"]),
        ("key new", COORDINATOR, ["{new}", "--holder", "archive", "--kind", "technical"],
         ["{new} would be made, and published in the users of XA, its holder archive"]),
        ("key verified", READER, ["XB"], ["these 1 fingerprints would be remembered as compared with XB"]),
        ("key rotate", COORDINATOR, ["user"], ["would be made, and take the place of"]),
        ("key rotate", OPERATOR, ["reading"], ["would take the place of"]),
        ("key announce", THEIRS, [], ["nothing to announce"]),
        ("state new", READER, ["XD", "--out", "{new}"], ["XD.enrol would be made in {new}"]),
        ("state draft", COORDINATOR, ["{new}", "--coordinator-add", "{key}"], ["coordinator", "{new} was not written"]),
        ("state sign", COORDINATOR, ["{ceremony}", "--key", "{authority}"], ["coordinator", "{ceremony} stays as it is"]),
        ("state submit", COORDINATOR, ["{signed}"], ["would be published: K/XA version 2"]),
    ],
    "pocadm": [
        ("init", STAFF, ["{new}", "--origin", "x.example/1"], ["a directory with the origin x.example/1 would be made in {new}"]),
        ("state enrol", STAFF, ["{enrol}", "--reference", "r"], ["XD", "would be published: S version "]),
        ("state suspend", STAFF, ["AD", "--reason", "r"], ["AD", "SUSPENDED", "would be published: S version "]),
        ("state lift", STAFF, ["AE"], ["AE", "would be published: S version "]),
        ("state replace", STAFF, ["{new}", "{replacement}"], ["{new} was not written"]),
        ("trust draft", STAFF, ["{new}", "--max-age", "3d"], ["{new} was not written"]),
        ("trust sign", STAFF, ["{trust}", "--key", "{root}"], ["{trust} stays as it is"]),
        ("trust publish", STAFF, ["{trust-signed}"], ["would be published: T version 2"]),
        ("document publish", STAFF, ["d", "{template}"], ["would be published: D/d version 1"]),
        ("document withdraw", STAFF, ["kept"], ["would be published: D/kept version 2"]),
        ("key rotate", STAFF, ["tls"], ["dry run: nothing was changed"]),
        ("ping start", STAFF, ["XB"], ["XB", "would be asked"]),
        ("ping report", STAFF, ["--publish"], ["would be published for 1 state; 0 coordinators would be told"]),
        ("ping cancel", STAFF, ["{round}"], ["2 checks would be closed"]),
        ("import", STAFF, ["{teams}", "--out", "{new}"], ["2 drafts would be written to {new}"]),
        ("backup", STAFF, ["{new}"], ["would be copied to {new}"]),
        ("restore", STAFF, ["{backup}", "{new}"], ["{new} was not written"]),
        ("signed", STAFF, ["{conf}", "--forget"], ["would become"]),
        ("remind", STAFF, [], ["nothing was sent"]),
        ("reload", STAFF, ["{conf}"], ["would take it"]),
    ],
}
READS = {"poc": {"search", "verify", "history", "status", "notice list", "notice show", "notice timing", "handover", "readers", "user list", "key show",
                 "state show"},
         "pocadm": {"state list", "trust show", "document list", "document show", "document history", "check", "stats", "metrics"}}


class DryRun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = world = World()
        cls.addClassCleanup(world.close)
        cls.names = names = {name: os.path.join(world.root, name) for name in
                             ("new", "draft", "folder", "key", "ceremony", "signed", "trust", "trust-signed", "backup", "invite", "request",
                              "replacement")}
        names.update(template=os.path.join(ROOT, "clients/templates/early-warning.ini"), teams=os.path.join(world.root, "teams.csv"),
                     root=world.path("keys", "root.key"), authority=world.path("states", "XA-authority.key"))
        names["conf"] = world.path("pocd.conf")
        cls.people()
        cls.notices()
        cls.ceremonies()

    @classmethod
    def people(cls):
        world, names = cls.world, cls.names
        record = world.record(COORDINATOR, "XA")
        record["pocs"][0]["sections"][0]["content"]["names"][0]["text"] = "Another name"
        record["pocs"][0]["sections"][0].pop("digest", None)
        with open(names["draft"], "w", encoding="utf-8") as out:
            json.dump(record, out)
        os.rename(names["draft"], names["draft"] + ".json")
        names["draft"] += ".json"
        world.poc(COORDINATOR, "user", "invite", "new", "--role", "reader", "--out", names["invite"])
        world.poc("xa-new-2", "setup", names["invite"], "--request", names["request"])
        world.pocadm("-y", "document", "publish", "kept", names["template"])
        world.pocadm("-y", "state", "suspend", "AE", "--reason", "r")
        founded = os.path.join(world.root, "xd")
        world.poc(READER, "state", "new", "XD", "--out", founded)
        names["enrol"] = os.path.join(founded, "XD.enrol")

    @classmethod
    def notices(cls):
        world, names = cls.world, cls.names
        os.mkdir(names["folder"])
        attached = os.path.join(world.root, "attached.txt")
        with open(attached, "w", encoding="utf-8") as out:
            out.write("text")
        names["notice"] = world.poc(OPERATOR, "-o", "json", "notice", "send", "--to", "XB", "--subject", "first", "--text", "t",
                                    "--attach", attached).json["id"]
        world.poc(THEIRS, "notice", "show", names["notice"])
        names["taken"] = world.poc(OPERATOR, "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t").json["id"]
        world.poc(THEIRS, "notice", "take", names["taken"])
        world.poc("ad-operator", "-q", "sync")
        names["queued"] = world.poc("ad-operator", "--offline", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s",
                                    "--text", "t", expect=8).json["id"]
        names["round"] = world.pocadm("-o", "json", "ping", "start", "XB").json["round"]
        world.poc(THEIRS, "notice", "ack", next(n["id"] for n in world.poc(THEIRS, "-o", "json", "notice", "list").json["notices"]
                                                if n["category"] == "communications-check"))

    @classmethod
    def ceremonies(cls):
        world, names = cls.world, cls.names
        world.poc(READER, "key", "new", names["key"])
        for name in "ceremony", "signed":
            world.poc(COORDINATOR, "-y", "state", "draft", names[name], "--coordinator-add", names["key"])
        world.poc(COORDINATOR, "-y", "state", "sign", names["signed"], "--key", names["authority"])
        fresh = names["replacement"] + ".key"
        world.poc(READER, "key", "new", fresh, "--type", "p384")
        world.poc(COORDINATOR, "-y", "state", "draft", names["replacement"], "--authority-add", fresh, "--authority-drop", names["authority"],
                  "--coordinator-add", names["key"], "--coordinator-drop", world.path("states", "XA-signing.key"))
        world.poc(COORDINATOR, "-y", "state", "sign", names["replacement"], "--key", fresh)
        for name in "trust", "trust-signed":
            world.pocadm("-y", "trust", "draft", names[name], "--max-age", "2d")
        world.pocadm("-y", "trust", "sign", names["trust-signed"], "--key", names["root"])
        world.pocadm("backup", names["backup"])

    def state(self):
        """All that a dry run must not touch: what the directory serves, and every file but what is kept of it here."""
        world, files = self.world, {}
        for folder, _, found in os.walk(world.root):
            if ".state" in folder or folder.startswith(world.path("data")):
                continue
            for name in found:
                if not name.startswith(("pocd.log", "log.signed")):
                    with open(os.path.join(folder, name), "rb") as file:
                        files[os.path.join(folder, name)] = hashlib.sha256(file.read()).hexdigest()
        served = [world.poc(READER, "-o", "json", *words).json for words in
                  (["history", "XA"], ["history", "XB"], ["user", "list", "XA"], ["key", "show", "XA"], ["key", "show", "XB"])]
        served.append([world.pocadm("-o", "json", *words).json for words in (["state", "list"], ["document", "list"], ["trust", "show", self.names["trust"]])])
        served.append([[(n["id"], n["step"], n["taken_by"]) for n in
                        world.poc(user, "-o", "json", "notice", "list", "--all", "--headers").json["notices"]]
                       for user in (OPERATOR, THEIRS)])
        return files, json.loads(json.dumps(served, sort_keys=True))

    def walk(self, program):
        before = self.state()
        table = CHANGES[program]
        every = {command for command, _ in commands_of(PROGRAMS[program])}
        self.assertEqual({row[0] for row in table} | READS[program], every)
        self.assertFalse({row[0] for row in table} & READS[program])
        for command, user, args, words in table:
            with self.subTest(command=command, user=user):
                args = [arg.format(**self.names) for arg in args]
                call = [PROGRAMS[program], "-c", self.world.conf(user), "-n"]
                env = {**self.world.env, "EDITOR": "true", "VISUAL": ""}
                done = run(*call, *command.split(), *args, env=env)
                for word in words:
                    self.assertIn(word.format(**self.names), done.out + done.err, done)
                if command not in ("notice watch", "key announce"):
                    self.assertIn("dry run", done.out + done.err, done)
                document = run(*call, "-o", "json", *command.split(), *args, env=env)
                if command not in ("notice watch", "lookup", "notice status"):
                    self.assertTrue(document.json["dry_run"], document)
        after = self.state()
        self.assertEqual(before, after)

    def test_poc(self):
        self.walk("poc")

    def test_pocadm(self):
        self.walk("pocadm")


if __name__ == "__main__":
    main()
