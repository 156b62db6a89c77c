"""Notices without a connection: kept in the outbox, sent once, sealed anew where a key has gone; read from what is kept."""
import contextlib
import fcntl
import glob
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import unittest

from follower import Follower
from harness import POC, SLOW, World, full_disk, main, shifted


class ShortRoad:
    """Stands before the server, until its clients have sent it so many bytes: then everything breaks, and nobody is let in."""

    def __init__(self, server, size):
        self.server, self.left, self.sockets = server, size, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shut()
        for each in (self.listener, *self.sockets):
            each.close()

    def shut(self):
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                self.sockets += client, server
                threading.Thread(target=self.carry, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.carry, args=(server, client, False), daemon=True).start()

    def carry(self, source, sink, counts):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.left -= len(data) if counts else 0
                if self.left < 0:
                    self.shut()
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class Outbox(unittest.TestCase):
    """With a daemon that comes and goes."""

    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)

    def tearDown(self):
        if self.world.daemon is None:
            self.world.start()

    def files(self):
        return glob.glob(self.world.path("users", "xa-operator.state", "*", "outbox", "*"))

    def outbox(self):
        return [path for path in self.files() if not path.endswith(".reason")]

    def subjects(self):
        return [each["subject"] for each in self.world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"]]

    def queue(self, subject):
        answer = self.world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", subject, "--text", "t",
                                expect=8).json
        self.assertIsNone(answer["stored"])
        return answer["id"]

    def test_offline_then_flushed_once(self):
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        first, second = self.queue("offline one"), self.queue("offline two")
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "flush", expect=8).json["waiting"], 2)
        kept = self.outbox()
        self.assertEqual(len(kept), 2)
        copies = [shutil.copy(path, self.world.root) for path in kept]
        world.start()
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "flush").json, {"schema": "poc.notice-flush/1",
                                                                                            "sent": 2, "waiting": 0,
                                                                                            "refused": []})
        self.assertEqual(self.files(), [])
        # a crash between answer and removal: posted again, stored once
        for copy, path in zip(copies, kept):
            shutil.copy(copy, path)
        world.poc("xa-operator", "notice", "list")  # any online command sends what waits
        self.assertEqual(self.files(), [])
        got = self.subjects()
        self.assertEqual([got.count("offline one"), got.count("offline two")], [1, 1])
        ids = [each["id"] for each in world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"]]
        self.assertLess(ids.index(first), ids.index(second))

    def test_refused_stays_visible(self):
        """What was promised and then refused is said, even to the quiet, and shown until it is discarded."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        send = ("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t")
        first, second = (world.poc(*send, expect=8).json["id"] for _ in range(2))
        damaged = sorted(self.outbox())[1]
        with open(damaged, "wb") as out:
            out.write(b"\xff\xff not a message")
        world.start()
        world.pocadm("state", "suspend", "XB", "-y", "--reason", "test")
        try:
            listed = world.poc("xa-operator", "-q", "-o", "json", "notice", "list", "--sent")
            self.assertIn(f"refused, and set aside in the outbox: notice {first}: ", listed.err)
            self.assertIn(f"damaged file {os.path.basename(damaged)}", listed.err)
            self.assertIn("XB is suspended", listed.err)
            refused = listed.json["refused"]
            self.assertEqual([(each["id"], each["what"]) for each in refused], [(first, "notice"), (None, "damaged")])
            self.assertIn("XB is suspended", refused[0]["message"])
            # the one that was damaged is gone, and its id with it
            self.assertNotIn(second, listed.out)
            flushed = world.poc("xa-operator", "-o", "json", "notice", "flush", expect=7)
            self.assertEqual(flushed.json, {"schema": "poc.notice-flush/1", "sent": 0, "waiting": 0, "refused": refused})
            self.assertEqual([(each["subject"], each["to"]) for each in refused], [("s", ["XB"]), (None, [])])
            for command in ("notice", "flush"), ("notice", "list"), ("handover",), ("status",):
                told = world.poc("xa-operator", *command, expect=None)
                self.assertRegex(told.out, f'refused: notice {first}, "s", to XB technical: .*XB is suspended', command)
                self.assertEqual(world.poc("xa-operator", "-o", "json", *command, expect=None).json["refused"], refused, command)
            self.assertIn("XB is suspended", world.poc("xa-operator", "notice", "remind", first, expect=5).err)
            world.poc("xa-operator", "-n", "notice", "flush", "--discard", first[:9])
            self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "flush", "--discard", first[:9]).json["discarded"],
                             [f"notice {first}"])
            world.poc("xa-operator", "notice", "flush", "--discard", first, expect=5)
            world.poc("xa-operator", "notice", "flush", "--discard", refused[1]["file"])
            self.assertEqual(self.files(), [])
            self.assertIn("0 refused", world.poc("xa-operator", "notice", "flush").out)
        finally:
            world.pocadm("state", "lift", "XB", "-y")

    def test_refused_is_read_and_sent_anew(self):
        """What was refused keeps what it says until it is discarded, and can be sent anew with its attachments."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        path, folder = os.path.join(world.root, "lost.txt"), os.path.join(world.root, "saved")
        with open(path, "wb") as out:
            out.write(b"\0 bytes")
        os.mkdir(folder)
        first = world.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "orig", "--text", "t").json["id"]
        world.poc("xa-operator", "notice", "list")
        late = ("--reply-by", "1s", "--offline", "--text", "the lost words")
        sent = world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB,@directory,AE", "--subject", "too late", "--urgency",
                         "urgent", "--tlp", "GREEN", "--exercise", "ex-1", "--escalate", "diplomatic", "--set", "sector=energy", "--attach", path,
                         *late, expect=8).json["id"]
        answer = world.poc("xa-operator", "-o", "json", "notice", "reply", first, *late, expect=8).json["id"]
        # while they wait as well
        saved, = world.poc("xa-operator", "--offline", "-o", "json", "notice", "save", sent, folder).json["files"]
        self.assertEqual((saved["file"], saved["size"]), ("lost.txt", 7))
        os.unlink(os.path.join(folder, "lost.txt"))
        time.sleep(2)
        # what says that it is an answer goes with it, without a word
        refused = world.poc("xa-operator", "-o", "json", "notice", "flush", expect=1)
        self.assertEqual([each["id"] for each in refused.json["refused"]], [sent, answer])
        self.assertNotIn("answered", refused.err)
        shown = world.poc("xa-operator", "notice", "show", sent).out
        for words in ("refused ", "lies in the past", "too late", "the lost words", "AE technical", "XB technical", "lost.txt (7 bytes)",
                      "*** EXERCISE ex-1", f"poc notice save {sent} DIR, then poc notice send --reply-by TIME <DIR/{sent}.json"):
            self.assertIn(words, shown)
        self.assertIn(f"then poc notice reply {first} --reply-by TIME <DIR/{answer}.json",
                      world.poc("xa-operator", "notice", "show", answer).out)
        shown = world.poc("xa-operator", "-o", "json", "notice", "show", sent).json
        self.assertEqual((shown["subject"], shown["text"], shown["to"], shown["refused"], shown["in_outbox_code"]),
                         ("too late", "the lost words", ["@directory", "AE", "XB"], True, "invalid"))
        for which in "--sent", "--all":
            row, = [line for line in world.poc("xa-operator", "notice", "list", which).out.splitlines() if line.startswith(sent[:9])]
            self.assertRegex(row, ' refused .*EXERCISE ex-1: "too late"')
        saved = world.poc("xa-operator", "-o", "json", "notice", "save", sent, folder).json["files"]
        self.assertEqual([each["file"] for each in saved], ["lost.txt", f"{sent}.json"])
        world.poc("xa-operator", "notice", "save", answer, folder)
        form = os.path.join(folder, f"{sent}.json")
        with open(form, encoding="utf-8") as again:
            anew = world.poc("xa-operator", "-o", "json", "notice", "send", "--reply-by", "1h", stdin=again).json["id"]
        got = world.poc("ae-operator", "-o", "json", "notice", "show", anew).json
        self.assertEqual((got["text"], got["to"], got["urgency"], got["tlp"], got["exercise"], got["content"]["sector"]),
                         ("the lost words", ["@directory", "AE", "XB"], "urgent", "TLP:GREEN", "ex-1", "energy"))
        self.assertEqual(got["content"]["attachments"][0]["size"], 7)
        parties = world.poc("xa-operator", "notice", "show", anew).out
        for party in "to             @directory coordinator", "to             AE technical", "escalates to XB diplomatic at":
            self.assertIn(party, parties)
        with open(os.path.join(folder, f"{answer}.json"), encoding="utf-8") as again:
            world.poc("xa-operator", "notice", "reply", first, "--reply-by", "1h", stdin=again)
        for notice in sent, answer:
            world.poc("xa-operator", "notice", "flush", "--discard", notice)
        self.assertEqual(self.files(), [])

    def test_withdrawn(self):
        """What waits can be withdrawn, with a question; never while it is being sent."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        send = ("xa-operator", "--offline", "-o", "json", "notice", "send", "--to", "XB", "--subject", "withdrawn", "--text", "t")
        first, second = (world.poc(*send, expect=8).json["id"] for _ in range(2))
        discard = ("xa-operator", "notice", "flush", "--discard")
        self.assertIn("--yes is needed", world.poc(*discard, first, expect=2).err)
        self.assertIn(f"would be withdrawn: notice {first}", world.poc("xa-operator", "-n", *discard[1:], first).out)
        self.assertEqual(len(self.outbox()), 2)
        sender = os.open(os.path.dirname(self.outbox()[0]), os.O_RDONLY)
        try:
            fcntl.flock(sender, fcntl.LOCK_SH)  # as whoever sends does
            self.assertIn("it is being sent", world.poc("xa-operator", "-y", *discard[1:], first, expect=1).err)
            self.assertEqual(len(self.outbox()), 2)
        finally:
            os.close(sender)
        self.assertIn(f"withdrawn: notice {first}", world.poc("xa-operator", "-y", *discard[1:], first[:9]).out)
        self.assertEqual(len(self.files()), 2)  # the other and why it waits
        self.assertEqual(world.poc("xa-operator", "-y", "-o", "json", *discard[1:], second).json["withdrawn"], [f"notice {second}"])
        self.assertEqual(self.files(), [])
        self.assertIn("neither waits nor was refused", world.poc(*discard, first, expect=5).err)
        world.poc("xa-operator", "notice", "flush")
        self.assertNotIn("withdrawn", self.subjects())
        # what says that it is an answer goes with the answer
        asked = world.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "q", "--text", "t").json["id"]
        world.poc("xa-operator", "notice", "list")
        answer = world.poc("xa-operator", "--offline", "-o", "json", "notice", "reply", asked, "--text", "t", expect=8).json["id"]
        self.assertEqual(len(self.outbox()), 2)
        self.assertEqual(world.poc("xa-operator", "-y", "-o", "json", *discard[1:], answer).json["withdrawn"],
                         [f"notice {answer}", f"answered {asked}"])
        self.assertEqual(self.files(), [])

    def test_leftovers_go(self):
        """What a send that was killed has left behind goes when it is some minutes old; what is being written now stays."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.poc("xa-operator", "--offline", "notice", "send", "--to", "XB", "--subject", "beside leftovers", "--text", "t", expect=8)
        path, = self.outbox()
        names = [path + ".XJkrch", path + ".reason.aB3x19"]
        for name in names:
            shutil.copy(path, name)
        kept = len(self.files())
        world.poc("xa-operator", "--offline", "notice", "list")
        self.assertEqual(len(self.files()), kept)
        for name in (*names, path, path + ".reason"):
            os.utime(name, (time.time() - 3600,) * 2)
        world.poc("xa-operator", "--offline", "notice", "list")
        self.assertEqual(sorted(self.files()), [path, path + ".reason"])
        world.poc("xa-operator", "notice", "flush")
        self.assertEqual(self.files(), [])

    def test_deadline_passes_while_it_waits(self):
        """What would be overdue or escalated before anybody saw it is refused like a past deadline; what was stored is not."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        send = ("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--text", "t", "--reply-by", "2s")
        plain = world.poc(*send, "--subject", "too late", "--offline", expect=8).json["id"]
        escalates = world.poc(*send, "--subject", "too late, up", "--escalate", "diplomatic", "--offline", expect=8).json["id"]
        world.poc("xa-operator", "notice", "send", "--to", "XB", "--text", "t", "--subject", "in time", "--reply-by",
                  f"{8 * SLOW}s", "--offline", expect=8)
        copies = {path: shutil.copy(path, world.root) for path in self.outbox()}
        time.sleep(3)
        told = world.poc("xa-operator", "-o", "json", "notice", "flush", expect=1)
        self.assertEqual(told.json["sent"], 1)
        self.assertEqual({each["id"]: "lies in the past" in each["message"] for each in told.json["refused"]},
                         {plain: True, escalates: True})
        self.assertIn("the time to escalate it lies in the past", told.err)
        self.assertEqual([subject for subject in self.subjects() if subject.startswith("too late")], [])
        for notice in plain, escalates:
            world.poc("xa-operator", "notice", "flush", "--discard", notice)
        # its answer was lost: stored all the same, and posted again after its time
        time.sleep(8 * SLOW)
        self.assertIn("in time", self.subjects())
        path = sorted(copies)[-1]
        shutil.copy(copies[path], path)
        world.poc("xa-operator", "notice", "flush")
        self.assertEqual(self.files(), [])

    def test_asked_to_stay_offline(self):
        """--offline posts to nobody, though the server is there; a text of several lines reads as such."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        sent = world.poc("xa-operator", "--offline", "-o", "json", "notice", "send", "--to", "XB", "--subject", "kept back",
                         "--text", "first\nfrom           forged", expect=8).json
        self.assertEqual([sent[name] for name in ("stored", "code", "message", "retry")],
                         [None, "queued", "no server was asked: --offline", None])
        self.assertEqual(len(self.outbox()), 1)
        self.assertNotIn("kept back", self.subjects())
        self.assertIn(": no server was asked: --offline\n", world.poc("xa-operator", "--offline", "notice", "list", "--sent").out)
        listed = world.poc("xa-operator", "--offline", "notice", "list", "--exercise", "none-such")
        self.assertIn("no such notices\npoc: 1 in the outbox, to go with", listed.err)
        world.poc("xa-operator", "notice", "flush")
        self.assertEqual(self.files(), [])
        shown = world.poc("xb-operator", "notice", "show", sent["id"]).out
        self.assertIn("\n\n  first\n  from           forged\n\n", shown)

    def test_waiting_is_visible(self):
        """What waits is shown by its id, in the lists and in the status, in text and in JSON; acts upon it say that it waits."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        send = ("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "the waiting one", "--text", "see you")
        plain, marked = world.poc(*send, expect=8).json["id"], world.poc(*send, "--exercise", "ex-1", expect=8).json["id"]
        for offline in ((), ("--offline",)):
            shown = world.poc("xa-operator", *offline, "notice", "show", plain[:9]).out
            self.assertRegex(shown, r"in the outbox +since 2\d{3}-.*Z: not stored yet")
            for words in ("the waiting one", "see you", "XB technical", plain):
                self.assertIn(words, shown)
            self.assertIn("*** EXERCISE ex-1", world.poc("xa-operator", *offline, "notice", "show", marked).out)
        shown = world.poc("xa-operator", "-o", "json", "notice", "show", plain).json
        self.assertEqual((shown["subject"], shown["text"], shown["to"], shown["step"], shown["schema"]),
                         ("the waiting one", "see you", ["XB"], None, "poc.notice-show/1"))
        self.assertRegex(shown["in_outbox_since"], "^2")
        self.assertIn(f"notice {plain} waits in the outbox since", world.poc("xa-operator", "notice", "remind", plain, expect=5).err)
        for which in "--sent", "--all":
            rows = [line for line in world.poc("xa-operator", "notice", "list", which).out.splitlines() if "in the outbox" in line]
            self.assertEqual([line[:9] for line in rows], [plain[:9], marked[:9]])
            self.assertIn('EXERCISE ex-1: "the waiting one"', rows[1])
        rows = world.poc("xa-operator", "notice", "list", "--sent", "--exercise", "ex-1").out
        self.assertEqual((rows.count("in the outbox"), plain[:9] in rows), (1, False))
        listed = world.poc("xa-operator", "notice", "list")
        self.assertEqual((listed.out.count("in the outbox"), listed.err.count("2 in the outbox")), (0, 1))
        listed = world.poc("xa-operator", "-o", "json", "notice", "list", "--sent").json["in_outbox"]
        self.assertEqual([(one["id"], one["what"], one["to"], one["exercise"]) for one in listed],
                         [(plain, "notice", ["XB"], None), (marked, "notice", ["XB"], "ex-1")])
        self.assertEqual(world.poc("xa-operator", "-o", "json", "status", expect=3).json["in_outbox"], listed)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "handover").json["in_outbox"], listed)
        self.assertRegex(world.poc("xa-operator", "handover").out, f"2 wait in the outbox\nin the outbox since .*: notice {plain}: ")
        self.assertRegex(world.poc("xa-operator", "status", expect=3).out,
                         f"\nEXERCISE ex-1: in the outbox since .*Z: notice {marked}: no connection: ")
        self.says_why(plain, [plain, marked])
        world.start()
        world.poc("xa-operator", "notice", "flush")
        self.assertEqual(self.files(), [])
        self.assertNotIn("outbox", world.poc("xa-operator", "notice", "show", plain).out)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "status").json["in_outbox"], [])

    def says_why(self, notice, both):
        """Why something waits is shown wherever it is; a reason that was tampered with is none, and nobody's words."""
        world, why = self.world, r"no connection: 127\.0\.0\.1:\d+: Connection refused"
        for command, before in ((("notice", "list", "--sent"), r"\n {11}waiting since 2.*Z: "), (("notice", "show", notice), r"\nwaits +"),
                                (("-n", "notice", "flush"), rf"would be sent: notice {notice}, waiting since 2.*Z: "),
                                (("status",), rf"in the outbox since 2.*Z: notice {notice}: "),
                                (("notice", "status", notice), "not stored yet: ")):
            answer = world.poc("xa-operator", *command, expect=None)
            self.assertRegex(answer.out + answer.err, f"{before}{why}\n", command)
        listed = world.poc("xa-operator", "-o", "json", "notice", "list", "--sent").json["in_outbox"]
        self.assertEqual([(one["id"], one["code"]) for one in listed], [(each, "unreachable") for each in both])
        self.assertRegex(listed[0]["message"], f"^{why}$")
        self.assertEqual(world.poc("xa-operator", "-o", "json", "-n", "notice", "flush").json["in_outbox"], listed)
        shown = world.poc("xa-operator", "-o", "json", "notice", "show", notice).json
        self.assertEqual((shown["in_outbox_code"], shown["in_outbox_message"]), ("unreachable", listed[0]["message"]))
        unknown = "the reason is not known any more"
        for kept, words, code in ((b"3 \xff\xfe", unknown, "failed"), (b"-3 no", unknown, "failed"), (b"3", unknown, "failed"),
                                  (b"3 a\0b", unknown, "failed"), (b"3 " + bytes(5000), unknown, "failed"),
                                  (b"18 \x1b[2J\nnotice: stored", "\x1b[2J\nnotice: stored", "busy")):
            for path in self.files():
                if path.endswith(".reason"):
                    with open(path, "wb") as out:
                        out.write(kept)
            shown = world.poc("xa-operator", "-o", "json", "notice", "show", notice).json
            self.assertEqual((shown["in_outbox_code"], shown["in_outbox_message"]), (code, words))
        self.assertIn("\nwaits          \\u001b[2J\\u000anotice: stored\n", world.poc("xa-operator", "notice", "show", notice).out)

    def test_held_back_says_why(self):
        """What a server does not take for now is named, with the reason, by each command that tries again."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.poc("xb-operator", "notice", "list", "--all")  # fetches all that there is
        world.stop()
        self.queue("there is room for")
        notice = self.queue("too much")
        with world.settings(reload=False, notices__backlog="3K"):
            world.start()
            for command in ("notice", "list"), ("handover",):
                told = world.poc("xa-operator", *command).err
                self.assertRegex(told, f"still in the outbox, not taken for now: notice {notice}: XB has not fetched 1 notice of XA yet")
                self.assertEqual(world.poc("xa-operator", "-q", *command).err, "")
            self.assertIn("poc: XB has not fetched", world.poc("xa-operator", "notice", "flush", expect=8).err)
            self.assertEqual(len(self.outbox()), 1)
            waits, = world.poc("xa-operator", "--offline", "-o", "json", "notice", "list", "--sent").json["in_outbox"]
            self.assertEqual(waits["code"], "quota")
            self.assertIn("XB has not fetched", waits["message"])
            self.assertRegex(world.poc("xa-operator", "--offline", "notice", "show", notice).out, r"\nwaits +XB has not fetched")
            world.stop()
        with world.settings(reload=False, notices__backlog="1K"):
            world.start()
            # what never has room waits for nothing
            refused = world.poc("ae-operator", "notice", "send", "--to", "AD", "--subject", "s", "--text", "t", expect=1)
            self.assertRegex(refused.err, r"of AE to AD that it has not fetched at most 1024 bytes are kept, and this one has \d+")
            world.stop()
        world.start()
        world.poc("xa-operator", "notice", "flush")
        self.assertEqual(self.files(), [])

    def test_quota(self):
        """A quota that is used up says when to try again, and loses nothing; private notes have one of their own."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        asked = world.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "q", "--text", "t").json["id"]
        world.stop()
        over = (r"XA has sent as many notices as it may in an hour; again from 20..-..-..T..:..:..Z, in \d+ min: "
                "kept in the outbox, sent by the next command")
        send = ("notice", "send", "--to", "XB", "--text", "t", "--subject")
        with world.settings(reload=False, notices__per_hour="2"):
            world.start()
            for _ in range(2):
                world.poc("xa-operator", *send, "s")
            late = world.poc("xa-operator", *send, "over quota", "--urgency", "emergency", expect=8)
            self.assertRegex(late.err, over)
            self.assertIn("XB technical  XB-CERT", late.out)  # whom to call meanwhile
            world.poc("xa-operator", "notice", "note", asked, "--text", "no room left")
            self.assertRegex(world.poc("xa-operator", "notice", "reply", asked, "--text", "the answer", expect=8).err, over)
            self.assertEqual(len(self.outbox()), 3)
            # the answer is not spoken of before it is there
            flushed = world.poc("xa-operator", "notice", "flush", expect=8)
            self.assertIn("0 sent, 3 waiting, 0 refused", flushed.out)
            self.assertRegex(flushed.err, "again from 20")
            listed = world.poc("xa-operator", "--offline", "notice", "list", "--sent")
            rows = listed.out.splitlines()
            self.assertEqual([line[:9] in late.out for line in rows[rows.index("-- outbox") + 1:]][:2], [True, False])
            self.assertIn("poc: 1 more in the outbox, not all of it taken for now", listed.err)
            self.assertNotIn("answered", world.poc("xb-operator", "notice", "status", asked).out.split("not in this story")[0])
            self.assertNotIn("over quota", self.subjects())
            # one after the other
            world.poc("ae-operator", *send, "first")
            several = world.poc("ae-operator", "-o", "json", *send, "several", "--to", "AD,XA", "--separately", expect=8)
            self.assertEqual([each["stored"] is not None for each in several.json["notices"]], [True, False, False])
            self.assertEqual([each["code"] for each in several.json["notices"]], [None, "quota", "quota"])
            for each in several.json["notices"][1:]:
                self.assertRegex(each["message"], r"AE has sent as many .*; again from 20")
                self.assertTrue(900 < each["retry"] <= 1801, each)
            self.assertIsNone(several.json["notices"][0]["retry"])
            world.stop()
        world.start()
        self.assertIn("3 sent, 0 waiting", world.poc("xa-operator", "notice", "flush").out)
        self.assertIn("2 sent, 0 waiting", world.poc("ae-operator", "notice", "flush").out)
        self.assertIn("over quota", self.subjects())
        self.assertEqual(world.poc("xb-operator", "-o", "json", "notice", "status", asked).json["step"], "answered")
        self.assertEqual(self.files(), [])

    def test_unasked_is_not_refused(self):
        """A clock that is wrong, a full disk, another directory in the server's place, a mirror alone: no server has judged what
        waits, and it goes on waiting."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        notice = world.poc("xa-operator", "-o", "json", "--offline", "notice", "send", "--to", "XB", "--subject", "unjudged", "--text", "t",
                           expect=8).json["id"]
        world.poc("xb-coordinator", "-y", "confirm")  # there is a head to keep
        held = {("state", "dir"): world.setting("xa-operator", "state", "dir")}
        for words, more in (("clock", {"env": shifted(-2 * 365 * 86400)}), ("cannot", {"preexec_fn": full_disk})):
            told = world.poc("xa-operator", "-o", "json", "notice", "flush", expect=8, **more)
            self.assertEqual((told.json["sent"], told.json["waiting"], told.json["refused"]), (0, 1, []), words)
            waits = world.poc("xa-operator", "--offline", "-o", "json", "notice", "list").json["in_outbox"]
            self.assertEqual([each["id"] for each in waits], [notice])
            if words == "clock":  # on a full disk no reason can be kept
                self.assertIn(words, waits[0]["message"])
        with World() as other:
            there = world.variant("xa-operator", "xa-elsewhere", {**held, ("directory", "server"): f"127.0.0.1:{other.port}"})
            self.assertIn("0 sent, 1 waiting, 0 refused", world.poc(there, "notice", "flush", expect=8).out)
        mirror = Follower(world, "XA", "mirror").start()
        self.addCleanup(mirror.stop)
        there = world.variant("xa-operator", "xa-mirrored", {**held, ("directory", "server"): f"127.0.0.1:{mirror.port}",
                                                             ("directory", "server_pin"): mirror.pin()})
        end, waits = time.monotonic() + 30 * SLOW, [{"code": "behind"}]
        while waits[0]["code"] in ("behind", "busy"):  # until it has a head, and that which we hold
            self.assertLess(time.monotonic(), end)
            self.assertIn("0 sent, 1 waiting, 0 refused", world.poc(there, "notice", "flush", expect=8).out)
            waits = world.poc("xa-operator", "--offline", "-o", "json", "notice", "list").json["in_outbox"]
        self.assertEqual(waits[0]["code"], "mirror")
        self.assertIn("1 sent, 0 waiting", world.poc("xa-operator", "notice", "flush").out)
        self.assertIn("unjudged", self.subjects())

    def test_report_waits_like_a_notice(self):
        """A report without a server is kept, and the next command sends it."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        report = ("report", "XB", "+999000002", "--reason", "no-answer")
        told = world.poc("xa-operator", *report, expect=8)
        self.assertIn("in the outbox, for the coordinator of XB and the directory's staff", told.out)
        self.assertIn("kept in the outbox", told.err)
        document = world.poc("xa-operator", "-o", "json", *report, expect=8).json
        self.assertEqual((document["schema"], document["stored"], document["recipients"], document["code"], document["retry"]),
                         ("poc.report/1", None, 2, "unreachable", None))
        self.assertRegex(document["message"], "^no connection: ")
        self.assertEqual(len(self.outbox()), 2)
        world.poc("xa-operator", "report", "XB", "+1", "--reason", "wrong", expect=5)
        world.poc("ad-operator", *report, expect=3)  # it has no local copy
        world.start()
        world.poc("xa-operator", "notice", "list")
        self.assertEqual(self.files(), [])
        stored = world.poc("xa-operator", "-o", "json", *report).json
        self.assertEqual([stored[name] for name in ("code", "message", "retry")], [None] * 3)
        one, = world.poc("xb-coordinator", "-o", "json", "report").json["channels"]
        self.assertEqual((one["value"], one["counts"]), ("+999000002", {"no-answer": 3, "wrong": 0, "bounced": 0}))

    def other_keys(self):
        """XB's operator gets another machine, with other keys."""
        world = self.world
        for name in "xb-operator.conf", "xb-operator.key", "xb-operator.crt", "xb-operator-reading.key", "xb-operator.request":
            os.unlink(world.path("users", name))
        world.poc("xb-operator", "setup", world.path("states", "XB-operator.invite"), "--request",
                  world.path("users", "xb-operator.request"))
        world.poc("xb-coordinator", "-y", "user", "add", world.path("users", "xb-operator.request"))

    def test_stale_key_is_sealed_anew(self):
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        notice = self.queue("to a key that goes")
        world.start()
        self.other_keys()
        world.poc("xa-operator", "notice", "flush")
        self.assertIn("to a key that goes", world.poc("xb-operator", "notice", "show", notice).out)

    def test_sealed_anew_by_one(self):
        """Of several commands that send at once one seals a notice anew: another's would be a second one under its id."""
        world = self.world
        world.poc("xa-operator", "-q", "sync")
        world.stop()
        subjects = [f"one of {number}" for number in range(6)]
        for subject in subjects:
            self.queue(subject)
        world.start()
        self.other_keys()
        flushing = [subprocess.Popen([POC, "-c", world.conf("xa-operator"), "-t", "10", "notice", "flush"], env=world.env, text=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)]
        for each in flushing:
            told = each.communicate(timeout=60 * SLOW)[0]
            self.assertEqual(each.returncode, 0, told)
        self.assertEqual(self.files(), [])
        got = self.subjects()
        self.assertEqual([got.count(subject) for subject in subjects], [1] * 6)

    def test_order_by_any_clock(self):
        """What is said last counts, though the clock was set back meanwhile."""
        world = self.world
        notice = world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t").json["id"]
        world.poc("xb-operator", "notice", "show", notice)
        world.poc("xb-operator", "-q", "sync")
        say = ("xb-operator", "--offline", "notice")
        world.poc(*say, "accept", notice, expect=8, env=shifted(300))
        world.poc(*say, "decline", "--reason", "other", notice, expect=8)
        world.poc(*say, "accept", notice, expect=8, env=shifted(-300))
        listed = world.poc("xb-operator", "--offline", "-o", "json", "notice", "list").json["in_outbox"]
        self.assertEqual([each["what"] for each in listed], ["accepted", "declined", "accepted"])
        self.assertIn("3 sent, 0 waiting, 0 refused", world.poc("xb-operator", "notice", "flush").out)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["step"], "accepted")

    def test_changed_mind_within_a_second(self):
        """However fast somebody changes their mind without a server: each is a statement of its own, and the last one counts."""
        world = self.world

        def noted():
            notice = world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t").json["id"]
            world.poc("xb-operator", "notice", "show", notice)
            world.poc("xb-operator", "-q", "sync")
            time.sleep(1 - time.time() % 1)
            return notice

        accept, decline = ("accept",), ("decline", "--reason", "other")
        say = ("xb-operator", "--offline", "notice")
        notice = noted()
        for words in accept, decline, accept:
            said = world.poc(*say, "-o", "json", *words, notice, expect=8)
            self.assertEqual((said.json["code"], said.json["message"]), ("queued", "no server was asked: --offline"))
            self.assertNotIn("no server can be reached", said.err)
        self.assertIn("3 sent, 0 waiting", world.poc("xb-operator", "notice", "flush").out)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["step"], "accepted")
        # the first one is stored already
        notice = noted()
        said = world.poc("xb-operator", "-o", "json", "notice", "accept", notice).json
        self.assertEqual([said[name] for name in ("code", "message", "retry")], [None] * 3)
        for words in decline, accept:
            world.poc(*say, *words, notice, expect=8)
        world.poc("xb-operator", "notice", "flush")
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["step"], "accepted")
        # who holds it is told by the times of what was said
        notice = noted()
        for step, shift in ("take", 0), ("release", 0), ("take", 60), ("release", 0), ("take", -60):
            world.poc(*say, step, notice, expect=8, env=shifted(shift))
        self.assertIn("5 sent, 0 waiting", world.poc("xb-operator", "notice", "flush").out)
        taken = {each["id"]: each["taken_by"] for each in world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"]}
        self.assertEqual(taken[notice], "operator")

    def test_sealed_anew_keeps_its_turn(self):
        """A reply that is sealed anew, and loses its connection then, is still sent before what says that it is one."""
        world, large = self.world, os.path.join(self.world.root, "large")
        with open(large, "wb") as out:
            out.write(os.urandom(200_000))
        asked = world.poc("xb-operator", "-o", "json", "notice", "send", "--to", "XA", "--subject", "q", "--text", "t").json["id"]
        world.poc("xa-operator", "notice", "list")
        world.poc("xa-operator", "-q", "sync")
        world.poc("xa-operator", "--offline", "notice", "reply", asked, "--text", "t", "--attach", large, expect=8)
        self.other_keys()
        with ShortRoad(world.port, 300_000) as road:
            far = world.variant("xa-operator", "xa-far", {("directory", "server"): f"127.0.0.1:{road.port}",
                                                          ("state", "dir"): world.setting("xa-operator", "state", "dir")})
            self.assertIn("0 sent, 2 waiting, 0 refused", world.poc(far, "notice", "flush", expect=8).out)
        self.assertIn("2 sent, 0 waiting, 0 refused", world.poc("xa-operator", "notice", "flush").out)
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "status", asked).json["step"], "answered")

    def test_reach_by_verified_time(self):
        """Whether a recipient is open is told by the time that is proven, where this machine's clock lies before that."""
        world = self.world
        record = world.record("xb-coordinator", "XB")
        poc = next(each for each in record["pocs"] if each["kind"] == "technical")
        content = next(each["content"] for each in poc["sections"] if "hours" in each["content"])
        now = time.gmtime()
        content["hours"] = {"zone": "UTC", "weekly": [{"day": now.tm_wday + 1, "open": "00:00", "close": "24:00"}]}
        path = os.path.join(world.root, "today.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(record, out)
        world.poc("xb-coordinator", "-y", "publish", path)
        world.poc("xa-operator", "-q", "sync")
        sent = world.poc("xa-operator", "--offline", "-o", "json", "notice", "send", "--to", "XB", "--subject", "s", "--text", "t",
                         expect=8, env=shifted(-2 * 86400)).json
        self.assertEqual([each["open_now"] for each in sent["recipients"]], [True])
        world.poc("xa-operator", "notice", "flush")

    def test_reading_without_a_server(self):
        world = self.world
        notice = world.poc("xa-operator", "-o", "json", "notice", "send", "--to", "XB", "--subject", "kept", "--text",
                           "readable offline").json["id"]
        world.poc("xb-operator", "notice", "show", notice)
        world.poc("xb-operator", "-q", "sync")
        world.stop()
        self.assertIn("readable offline", world.poc("xb-operator", "notice", "show", notice).out)
        self.assertIn("kept in the outbox, sent by", world.poc("xb-operator", "notice", "ack", notice, expect=8).err)
        # what waits is not kept twice, but where something else was said since
        files = world.path("users", "xb-operator.state", "*", "outbox", "*[!n]")
        for words, n, again in ((["ack"], 1, True), (["take"], 2, False), (["take"], 2, True), (["accept"], 3, False),
                                (["decline", "--reason", "other"], 4, False), (["decline", "--reason", "duplicate"], 5, False),
                                (["decline", "--reason", "duplicate"], 5, True), (["release"], 6, False), (["take"], 7, False)):
            said = world.poc("xb-operator", "notice", words[0], notice, *words[1:], expect=8).out
            self.assertEqual((len(glob.glob(files)), "waits in the outbox already" in said), (n, again), words)
        again = world.poc("xb-operator", "-o", "json", "notice", "ack", notice, expect=8).json
        self.assertEqual([again[name] for name in ("repeated", "code", "retry")], [True, "unreachable", None])
        self.assertRegex(again["message"], "^no connection: ")
        shown = world.poc("xb-operator", "notice", "show", notice).out
        self.assertRegex(shown, r"\nin the outbox +acknowledged, since 2.*Z: not stored yet: no connection: .*\nin the outbox +taken, since ")
        self.assertEqual([each["what"] for each in world.poc("xb-operator", "-o", "json", "notice", "show", notice).json["in_outbox"]][:4],
                         ["acknowledged", "taken", "accepted", "declined"])
        listed = world.poc("xb-operator", "notice", "list")
        rows = listed.out[listed.out.index(notice[:9]):].splitlines()
        self.assertIn(" stored ", rows[0])
        self.assertRegex(rows[1], "^ {11}in the outbox: acknowledged, since 2.*Z: not stored yet: no connection: ")
        self.assertRegex(rows[7], "^ {11}in the outbox: taken, since 2.*Z: not stored yet: no connection: ")
        self.assertNotRegex(listed.err, r"\d in the outbox")
        self.assertIn("7 in the outbox", world.poc("xb-operator", "notice", "list", "--sent").err)
        waits = world.poc("xb-operator", "-o", "json", "notice", "list").json["in_outbox"]
        self.assertEqual([each["desk"] for each in waits], [{"place": "XB", "kind": "technical"}] * 7)
        world.start()
        world.poc("xb-operator", "notice", "flush")
        self.assertEqual(world.poc("xa-operator", "-o", "json", "notice", "status", notice).json["step"], "declined")


if __name__ == "__main__":
    main()
