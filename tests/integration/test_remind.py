"""Reminders of what is due, sent by a service of the directory's staff: each once, whatever becomes of the state folder;
poc status and pocadm stats tell the same."""
import os
import shutil
import time
import unittest

from harness import POCADM, SLOW, World, main, run, shifted

DAY = 86400


def date(days):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * DAY))


class Remind(unittest.TestCase):
    def setUp(self):
        self.world = World()  # time does not go back: one for each
        self.addCleanup(self.world.close)
        self.join("directory-admin", "directory-remind", "--role", "service", "--service")

    def join(self, coordinator, user, *words):
        """A further user of a state, or of the directory's staff."""
        world = self.world
        invite, request = world.path(f"{user}.invite"), world.path(f"{user}.request")
        world.poc(coordinator, "user", "invite", user.split("-", 1)[1], *words, "--out", invite)
        world.poc(user, "setup", invite, "--request", request)
        world.poc(coordinator, "-y", "user", "add", request)

    def remind(self, *words, user="directory-remind", expect=0):
        return run(POCADM, "-c", self.world.conf(user), "-o", "json", *words, "remind", expect=expect, env=self.world.env).json

    def results(self, document):
        return sorted((each["to"], each["matter"], each["days"], each["result"]) for each in document["reminders"])

    def later(self, days):
        """From here on it is so many days later, for everybody."""
        self.world.stop()
        self.world.env.update(shifted(days * DAY))
        self.world.start()

    def await_checkpoint(self):
        """That of before the pause does not stand for another heartbeat of ten minutes."""
        end = time.monotonic() + 30 * SLOW
        while self.world.poc("xa-reader", "-o", "json", "status", expect=None).json["checkpoint"]["age"] > 60:
            self.assertLess(time.monotonic(), end, "no new checkpoint")
            time.sleep(0.5)

    def due(self, user):
        return {(each["matter"], each["place"], each["what"], each["days"])
                for each in self.world.poc(user, "-o", "json", "status").json["due"]}

    def test_service_of_init(self):
        """pocadm init makes a service that reminds and asks; it is no coordinator."""
        world = self.world
        self.join("xa-coordinator", "xa-guest", "--role", "operator", "--not-after", date(20))
        service = ["-c", world.path("directory-service.conf"), "-o", "json", "-y"]
        sent = run(POCADM, *service, "remind", env=world.env).json
        self.assertEqual(self.results(sent), [("XA", "user", 30, "sent")])
        self.assertEqual(sorted(each["result"] for each in run(POCADM, *service, "ping", "start", "XB", env=world.env).json["results"]),
                         ["asked", "asked"])
        asked = world.poc("xb-operator", "-o", "json", "notice", "list").json["notices"]
        self.assertEqual({each["handle"] for each in asked if each["category"] == "communications-check"}, {"service"})
        self.assertIn("no [coordinator] key", run(POCADM, *service, "ping", "report", "--publish", expect=4, env=world.env).out)
        # copied as the manual page says, it is whole
        folder = os.path.join(world.root, "poc")
        os.makedirs(os.path.join(folder, "keys"))
        for name in "directory-service.conf", "service.crt", "keys/service.key", "keys/service-reading.key":
            shutil.copy(world.path(name), os.path.join(folder, name))
        moved = run(POCADM, "-c", os.path.join(folder, "directory-service.conf"), "-o", "json", "remind", env=world.env).json
        self.assertEqual(self.results(moved), [("XA", "user", 30, "sent-before")])

    def test_once(self):
        world = self.world
        self.join("xa-coordinator", "xa-guest", "--role", "operator", "--not-after", date(20))
        self.assertEqual(self.due("xa-reader"), {("user", "XA", "guest", 30)})
        self.assertEqual(self.due("xb-reader"), set())
        self.assertIn("XA: user guest ends " + date(20), world.poc("xa-reader", "status").out)
        shown = self.remind("--dry-run")
        self.assertEqual(self.results(shown), [("XA", "user", 30, "would-be-sent")])
        self.assertEqual((shown["sent"], shown["dry_run"]), (0, True))
        self.assertEqual(self.results(self.remind()), [("XA", "user", 30, "sent")])
        self.assertEqual(self.results(self.remind()), [("XA", "user", 30, "sent-before")])
        shutil.rmtree(os.path.join(world.path("users"), world.setting("directory-remind", "state", "dir")))
        self.assertEqual(self.results(self.remind()), [("XA", "user", 30, "sent-before")])
        notices = world.poc("xa-coordinator", "-o", "json", "notice", "list").json["notices"]
        self.assertEqual([(each["from"], each["from_kind"], each["handle"], each["recipients"][0]["kind"]) for each in notices],
                         [("@directory", "coordinator", "remind", "coordinator")])
        self.assertIn("XA: user guest ends " + date(20),
                      world.poc("xa-coordinator", "-o", "json", "notice", "show", notices[0]["id"]).json["text"])
        due = run(POCADM, "-c", world.conf("directory-admin"), "-o", "json", "stats", env=world.env).json["due"]
        self.assertEqual([(each["matter"], each["place"], each["what"]) for each in due], [("user", "XA", "guest")])
        # the next threshold is another matter
        self.later(14)
        self.assertEqual(self.results(self.remind()), [("XA", "user", 7, "sent")])
        self.assertEqual(self.results(self.remind()), [("XA", "user", 7, "sent-before")])

    def test_years(self):
        """Confirmations, a state that cannot be reached, silence, the trust root."""
        world = self.world
        self.join("ad-coordinator", "ad-guest", "--role", "operator", "--not-after", date(110))
        world.poc("ad-coordinator", "-y", "withdraw")
        self.later(92)
        found = self.remind()
        self.assertEqual(self.results(found), [("AD", "user", 30, "not-sent")] + [
            (cc, "confirmation", 30, "sent") for cc in ("AE", "XA", "XB")])
        self.assertEqual((found["sent"], found["not_sent"]), (3, 1))
        self.assertIn("the record of AD is withdrawn", found["reminders"][0]["error"])
        self.await_checkpoint()
        self.assertIn(("confirmation", "XB", "", 30), self.due("xb-reader"))
        world.poc("xa-coordinator", "-y", "confirm")
        self.assertNotIn("confirmation", {each[0] for each in self.due("xa-reader")})
        self.later(122)
        found = self.results(self.remind())
        self.assertIn(("AE", "confirmation", 0, "sent"), found)
        self.assertNotIn("XA", {cc for cc, matter, _, _ in found if matter == "confirmation"})
        world.poc("xa-reader", "lookup", "AE", expect=7)  # stale, and there
        self.later(650)
        self.await_checkpoint()
        self.assertIn(("@directory", "trust-root", 90, "sent"), self.results(self.remind()))
        self.assertIn(("trust-root", "@directory", "", 90), self.due("directory-admin"))
        self.assertIn(("@directory", "trust-root", 90, "sent-before"), self.results(self.remind()))
        listed = world.poc("directory-remind", "-o", "json", "notice", "list").json["notices"]
        self.assertEqual([each["to"] for each in listed], [["@directory"]])

    def test_others(self):
        """No state speaks as the directory."""
        answer = run(POCADM, "-c", self.world.conf("xa-coordinator"), "-o", "json", "remind", expect=4, env=self.world.env)
        self.assertEqual(answer.json["error"]["code"], "denied")


if __name__ == "__main__":
    main()
