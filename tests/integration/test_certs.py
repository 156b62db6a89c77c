"""Every certificate of certs/make-pki against the real daemon: who is let in, as whom, and who is not; the same of servers
before poc.  Accepted is the pinned key, whatever else the certificate says."""
import base64
import json
import os
import random
import re
import shutil
import ssl
import unittest

import wire
from harness import POCD, ROOT, World, ini_get, main, run

WORLD, PKI, CASES = None, None, []
MAKE, CHECK = (os.path.join(ROOT, "certs", name) for name in ("make-pki", "check-pki"))


def setUpModule():
    global WORLD, PKI
    WORLD = World()
    unittest.addModuleCleanup(WORLD.close)
    PKI = os.path.join(WORLD.root, "pki")
    run(MAKE, PKI)
    with open(os.path.join(PKI, "cases.json"), encoding="utf-8") as file:
        CASES.extend(json.load(file))
    requests = [request(kind) for kind in ("ed25519", "p256", "p384")]
    WORLD.poc("xa-coordinator", "-y", "user", "add", *requests)


def request(kind):
    """What poc setup would have written for a key that it made: a user pki-<kind>, reader of XA."""
    path = os.path.join(WORLD.root, f"pki-{kind}.request")
    with open(os.path.join(PKI, f"listed-{kind}.spki"), "rb") as file:
        spki = base64.b64encode(file.read()).decode()
    with open(path, "w", encoding="ascii") as out:
        out.write(f"[request]\nserver = 127.0.0.1:{WORLD.port}\nid = {WORLD.setting('xa-reader', 'directory', 'id')}\n"
                  f"state = XA\nhandle = pki-{kind}\nrole = reader\nkey = {spki}\n")
    return path


def pki(name):
    return os.path.join(PKI, name)


def context(cert, key):
    made = WORLD.context()
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client's own library shall not spare the server a bad certificate
    made.load_cert_chain(cert, key)
    return made


def ask(made):
    """Hello and a lookup with a certificate: the handle, "" for nobody; raises if there is no handshake.  With TLS 1.3 the
    client is done before the server has judged, so a refusal shows at the first answer."""
    with WORLD.client(greet=False, context=made) as client:
        answer = client.call(wire.HELLO, WORLD.hello())
        assert answer.kind == wire.HELLO_ANSWER, answer.text
        handle = dict(wire.decode(answer.body)).get(3, b"").decode()
        answer = client.call(wire.LOOKUP, wire.lookup("XB"))
        if handle:
            assert answer.kind == wire.PROOF, answer.text
        else:
            assert (answer.kind, answer.code) == (wire.ERROR, wire.DENIED), answer.text
        return handle


class Clients(unittest.TestCase):
    def tearDown(self):
        self.assertTrue(WORLD.alive(), "pocd has died")

    def test_cases(self):
        """Each certificate gets what cases.json says, for one handshake and the user that it names."""
        for case in CASES:
            with self.subTest(case["name"], why=case["why"]):
                made = context(pki(case["name"] + ".crt"), pki(case["name"] + ".key"))
                if case["expect"] == "refused":
                    with self.assertRaises((ssl.SSLError, ConnectionError, wire.Closed)):
                        ask(made)
                else:
                    self.assertEqual(ask(made), "pki-" + case["user"] if case["expect"] == "listed" else "")
        self.assertGreaterEqual(len(CASES), 30)
        self.assertNotIn("\x1b", WORLD.log())

    def test_mutants(self):
        """Any changed byte: the same user, nobody, or no handshake; never another user."""
        dice = random.Random(1)
        tried = {"": 0, "pki-ed25519": 0, "refused": 0}
        with open(pki("good-ed25519.crt"), encoding="ascii") as file:
            good = ssl.PEM_cert_to_DER_cert(file.read())
        mutant = os.path.join(WORLD.root, "mutant.crt")
        for _ in range(150):
            data = bytearray(good)
            for _ in range(dice.choice((1, 1, 2, 8))):
                data[dice.randrange(4, len(data))] = dice.randrange(256)
            with open(mutant, "w", encoding="ascii") as out:
                out.write(ssl.DER_cert_to_PEM_cert(bytes(data)))
            try:
                made = context(mutant, pki("good-ed25519.key"))
            except (ssl.SSLError, ValueError):
                continue  # openssl does not read it, or it has another key: no client would send it
            try:
                tried[ask(made)] += 1
            except (ssl.SSLError, ConnectionError, wire.Closed):
                tried["refused"] += 1
        self.assertGreater(tried["pki-ed25519"], 15, tried)

    def test_poc_with_expired(self):
        """The client library sends whatever certificate it is given."""
        conf = WORLD.path("users", "pki.conf")
        with open(WORLD.conf("xa-reader"), encoding="utf-8") as file:
            text = file.read()
        text = re.sub("(?m)^cert = .*$", f"cert = {pki('expired.crt')}", text)
        text = re.sub("(?m)^key = .*$", f"key = {pki('expired.key')}", text)
        text = re.sub("(?m)^dir = .*$", "dir = pki.state", text)
        with open(conf, "w", encoding="utf-8") as out:
            out.write(text)
        self.assertRegex(WORLD.poc("pki", "status").out, r"(?m)^we are +XA/pki-ed25519: reader$")
        WORLD.poc("pki", "lookup", "XB")


class Servers(unittest.TestCase):
    """The daemon shows certificates of the server's own key: pinned, accepted; of another key: not."""

    def with_server(self, cert, key):
        return WORLD.settings(server__cert=cert, server__key=key)

    def own(self, name, *options):
        """A certificate of the server's own key, made by openssl."""
        path = os.path.join(WORLD.root, name + ".crt")
        run("openssl", "req", "-x509", "-new", "-key", WORLD.path("keys", "server.key"), "-out", path, "-subj", "/CN=" + name,
            *options)
        return path

    def test_own_key(self):
        for cert in (self.own("soon-over", "-days", "1"), self.own("elsewhere.example", "-addext", "extendedKeyUsage=critical,clientAuth"),
                     self.own("ca", "-addext", "basicConstraints=critical,CA:TRUE")):
            with self.subTest(cert), self.with_server(cert, WORLD.path("keys", "server.key")):
                WORLD.poc("xa-reader", "--online", "lookup", "XB")

    def test_other_key(self):
        """A server with a key that is neither pinned nor listed is told nothing and believed nothing."""
        for name in ("stranger", "good-p256", "good-p384"):
            with self.subTest(name), self.with_server(pki(name + ".crt"), pki(name + ".key")):
                answer = WORLD.poc("xa-reader", "--online", "lookup", "XB", expect=3)
                self.assertEqual(len(answer.err.splitlines()), 1, answer.err)
        WORLD.poc("xa-reader", "--online", "lookup", "XB")

    def test_bad_settings(self):
        """What pocd cannot serve with is found by --check-config, and a reload keeps what was there."""
        cases = [("rsa.crt", "rsa.key", "Ed25519"), ("p521.crt", "p521.key", "Ed25519"), ("good-p256.crt", "good-p384.key", "belong"),
                 ("cases.json", "good-p256.key", "certificate"), ("good-p256.crt", "cases.json", "private key")]
        for cert, key, text in cases:
            with self.subTest(cert + " " + key), WORLD.settings(reload=False, server__cert=pki(cert), server__key=pki(key)):
                answer = run(POCD, "-c", WORLD.path("pocd.conf"), "--check-config", expect=None)
                self.assertIn(answer.status, (1, 4), answer)
                self.assertIn(text, answer.err)
                since = len(WORLD.log())
                WORLD.reload(expect="server.reload_failed")
                self.assertIn(text, WORLD.log()[since:])
        WORLD.poc("xa-reader", "--online", "lookup", "XB")
        self.assertEqual(ini_get(WORLD.path("pocd.conf"), "server", "cert"), "server.crt")


class Scripts(unittest.TestCase):
    def test_check(self):
        self.assertRegex(run(CHECK, PKI).out, r"^\d\d certificates, 0 faults\n$")

    def test_check_finds(self):
        """A certificate that is good where it should be bad, and the reverse, are found."""
        for name, instead in (("expired", "good-ed25519"), ("rsa", "stranger"), ("good-p384", "p521"), ("too-large", "largest"),
                              ("not-its-key", "good-p256"), ("bad-signature", "good-ed25519"), ("chain", "twice")):
            with self.subTest(name):
                copy = os.path.join(WORLD.root, "pki-" + name)
                shutil.copytree(PKI, copy)
                for end in (".crt", ".key"):
                    shutil.copy2(os.path.join(copy, instead + end), os.path.join(copy, name + end))
                self.assertIn(f"{name}: ", run(CHECK, copy, expect=1).out)

    def test_never_over(self):
        """A folder that exists is left alone."""
        run(MAKE, PKI, expect=1)
        self.assertRegex(run(MAKE, expect=2).err, "make-pki DIR")


if __name__ == "__main__":
    main()
