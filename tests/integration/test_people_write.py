"""Writing, as people do it: joining in three commands, editing, publishing, confirming, withdrawing, and what goes wrong."""
import contextlib
import json
import os
import socket
import stat
import threading
import time
import unittest

from harness import SLOW, World, main

import wire

WORLD = None


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


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

    def editor(self, name, script):
        path = self.write(name, "#!/bin/sh\n" + script)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return path

    def seq(self, place="XA", user="xa-coordinator"):
        return WORLD.poc(user, "-o", "json", "history", place).json["versions"][-1]["seq"]


class Joining(Writes):
    def join(self, handle, *flags):
        home = {"XDG_CONFIG_HOME": self.path("home-" + handle), "XDG_STATE_HOME": self.path("state-" + handle)}
        invited = WORLD.poc("xa-coordinator", "user", "invite", handle, *flags, cwd=WORLD.root)
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
        result = WORLD.poc_file(None, "setup", "duty-2.invite", cwd=WORLD.root, env=home, expect=1)
        self.one_line(result, "already")
        listed = WORLD.poc("xa-coordinator", "-o", "json", "user", "list").json["users"]
        self.assertIn("duty-2", [user["handle"] for user in listed])
        text = WORLD.poc("xa-coordinator", "user", "list").out  # the same in words: person or service, roles, kinds
        self.assertRegex(text, r"(?m)^duty-2 +person +operator +technical +\S+")

    def test_what_must_be_asked(self):
        result = WORLD.poc("xa-coordinator", "user", "invite", "duty-4", expect=2)
        self.one_line(result, "--role")
        WORLD.poc("xa-coordinator", "user", "invite", "duty-4", "--role", "chef", expect=2)
        result = WORLD.poc("xa-coordinator", "user", "invite", "Duty Four", "--role", "reader", expect=2)
        self.one_line(result, "[a-z0-9-]")
        result = WORLD.poc("xa-coordinator", "user", "remove", "reader", expect=2)
        self.one_line(result, "not a terminal", "--yes")
        result = WORLD.poc("xa-coordinator", "-y", "user", "remove", "nobody", expect=5)
        self.one_line(result, "XA has no user nobody")
        WORLD.poc("xa-reader", "lookup", "XB")

    def test_request_of_another_state(self):
        WORLD.poc("xb-coordinator", "user", "invite", "duty-5", "--role", "reader", "--out", self.path("duty-5.invite"))
        WORLD.poc_file(self.path("duty-5.conf"), "setup", self.path("duty-5.invite"))
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
        home, _ = self.join("over", "--role", "reader", "--not-after", "2001-01-01")
        self.one_line(WORLD.poc_file(None, "lookup", "XB", env=home, expect=4), "its time there is over")


class Publishing(Writes):
    def changed(self, text, place="XA", user="xa-coordinator"):
        record = WORLD.record(user, place)
        record["pocs"][0]["sections"][0]["content"]["descriptions"] = [{"lang": "en", "text": text}]
        return record

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
        unit = self.changed("A unit")
        unit["place"] = "XA/south"
        bad = json.loads(json.dumps(unit))
        bad["pocs"][0]["sections"][0]["content"]["channels"][0]["value"] = "none"
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", good, self.write("unit.json", bad), expect=1)
        self.one_line(result, "unit.json", "channels[0]")
        self.assertEqual(self.seq(), before)
        WORLD.poc("xb-reader", "lookup", "XA/south", expect=5)
        # refused by the directory, not by the program: the same name twice
        result = WORLD.poc("xa-coordinator", "-y", "-q", "publish", good, good, expect=1)
        self.one_line(result)
        self.assertEqual(self.seq(), before)
        done = WORLD.poc("xa-coordinator", "-y", "-o", "json", "publish", good, self.write("unit.json", unit)).json
        self.assertEqual([r["name"] for r in done["results"]], ["R/XA", "R/XA/south"])
        self.assertIn("A unit", WORLD.poc("xb-reader", "lookup", "XA/south").out)

    def test_confirm_changes_nothing_else(self):
        before = WORLD.record("xa-coordinator", "XA")
        result = WORLD.poc("xa-coordinator", "confirm", expect=2)
        self.one_line(result, "--yes")
        time.sleep(1.1)  # confirmation times are seconds
        done = WORLD.poc("xa-coordinator", "-y", "-o", "json", "confirm").json
        self.assertEqual(done["schema"], "poc.confirm/1")
        after = WORLD.record("xa-coordinator", "XA")
        self.assertGreater(after["confirmed"], before["confirmed"])
        for record in (before, after):
            for member in ("confirmed", "expires"):
                record.pop(member)
        self.assertEqual(before, after)
        self.assertEqual(WORLD.poc("xa-coordinator", "-o", "json", "history", "XA").json["versions"][-1]["change"], "confirmed")
        WORLD.poc("xa-coordinator", "-y", "confirm", "--all")
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
        WORLD.poc("xa-reader", "lookup", "AD", "--kind", "diplomatic", expect=5)
        WORLD.poc("ad-coordinator", "-y", "withdraw")
        result = WORLD.poc("xa-reader", "lookup", "AD", expect=5)
        self.one_line(result, "AD (Andorra): withdrawn by its state (proven)")
        answer = WORLD.poc("xa-reader", "-o", "json", "lookup", "AD", expect=5).json
        self.assertEqual((answer["place"], answer["verdict"]["status"]), ("AD", "withdrawn"))
        self.one_line(WORLD.poc("ad-coordinator", "-y", "withdraw", expect=5), "AD has no record to withdraw")
        self.one_line(WORLD.poc("ad-coordinator", "-y", "confirm", expect=5), "AD is withdrawn")
        self.assertEqual([v["change"] for v in WORLD.poc("xa-reader", "-o", "json", "history", "AD").json["versions"]],
                         ["published", "published", "published", "withdrawn"])
        self.assertNotIn("AD ", WORLD.poc("xa-reader", "search", "Andorra").out)
        WORLD.poc("ad-coordinator", "-y", "publish", self.path("ad.json"))  # and back again
        WORLD.poc("xa-reader", "lookup", "AD", "--kind", "diplomatic")


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
        self.one_line(self.edit(': >"$1"', "-y", expect=1), "empty: nothing was changed")
        result = self.edit("exit 3", "-y", expect=1)
        self.assertIn("the editor", result.err.splitlines()[0])
        os.unlink(self.kept(result))
        self.assertEqual(self.seq(), before)

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
        self.assertIn("XA was changed by another meanwhile", result.err.splitlines()[0])
        self.assertEqual(self.seq(), before + 1)
        kept = self.kept(result)
        with open(kept, encoding="utf-8") as file:
            self.assertIn("Foreign Office", file.read())
        os.unlink(kept)
        self.assertNotIn("Foreign Office", WORLD.poc("xb-reader", "lookup", "XA").out)


if __name__ == "__main__":
    main()
