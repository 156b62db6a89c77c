"""Keys kept well: passphrases from a file, a descriptor, the terminal; key files that others can read; keys in tokens."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest
import unittest.mock

from harness import POC, POCADM, POCD, SLOW, Result, World, ini_get, ini_set, main, run

WORLD = None
MODULES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"]


def setUpModule():
    global WORLD
    WORLD = World()


def tearDownModule():
    WORLD.close()


def typed(command, *answers, expect=0):
    """Runs a program that has a terminal, typing each answer when it asks for a passphrase."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, WORLD.env)
    answers, shown, asked, end = list(answers), b"", 0, time.monotonic() + 30 * SLOW
    while time.monotonic() < end:
        try:
            shown += os.read(terminal, 4096) if select.select([terminal], [], [], 0.1)[0] else b""
        except OSError:
            break
        if len(re.findall(rb"assphrase of [^\n]*: |Once more, of [^\n]*: ", shown)) > asked:
            asked += 1
            os.write(terminal, (answers.pop(0) if answers else "").encode() + b"\n")
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    result = Result(command, status, shown.decode(), "")
    if status != expect or answers:
        raise AssertionError(f"expected {expect}, not typed {answers}: {result}")
    return result


def told(command, secret, expect=0, **more):
    """Runs a program with a passphrase on a descriptor and no terminal."""
    reading, writing = os.pipe()
    os.write(writing, secret)
    os.close(writing)
    try:
        return run(*command[:1], "--passphrase-fd", reading, *command[1:], pass_fds=[reading], expect=expect, env=WORLD.env,
                   start_new_session=True, **more)
    finally:
        os.close(reading)


class Passphrases(unittest.TestCase):
    def setUp(self):
        self.dir = os.path.join(WORLD.root, self.id().rsplit(".", 1)[1])
        os.mkdir(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def silent(self, *words, **more):
        """No terminal: nobody is asked."""
        return run(POC, *words, env=WORLD.env, start_new_session=True, **more)

    def test_new_and_open(self):
        key = self.path("a.key")
        made = typed([POC, "key", "new", "--seal", key], "open sesame", "open sesame")
        self.assertNotIn("sesame", made.out)  # no echo
        with open(key, encoding="ascii") as file:
            self.assertIn("BEGIN ENCRYPTED PRIVATE KEY", file.read())
        fingerprint = made.out.split()[-1]
        for answers, status in ((["open sesame"], 0), (["wrong", "open sesame"], 0), (["wrong"] * 3, 4), ([""], 4)):
            shown = typed([POC, "key", "show", key], *answers, expect=status).out
            self.assertEqual(fingerprint in shown, status == 0, shown)
        self.assertIn("wrong passphrase", typed([POC, "key", "show", key], *["wrong"] * 3, expect=4).out)
        self.assertIn(fingerprint, told([POC, "key", "show", key], b"open sesame\nmore").out)
        result = told([POC, "key", "show", key], b"shut", expect=4)
        self.assertEqual(result.err, f"poc: {key}: wrong passphrase\n")
        result = self.silent("key", "show", key, expect=4)
        self.assertEqual(result.err, f"poc: {key}: needs a passphrase\n")

    def test_new_by_descriptor(self):
        key = self.path("b.key")
        made = told([POC, "key", "new", key], b"secret\n")
        self.assertIn(made.out.strip(), told([POC, "key", "show", key], b"secret").out)
        self.silent("key", "show", key, expect=4)

    def test_two_that_differ(self):
        key = self.path("c.key")
        shown = typed([POC, "key", "new", "--seal", key], "one", "two", expect=1).out
        self.assertIn("not the same", shown)
        self.assertFalse(os.path.exists(key))
        self.assertIn("no terminal to ask on", self.silent("key", "new", "--seal", key, expect=4).err)

    def test_bad_descriptors(self):
        for value in ("2", "99", "x", "-1", ""):
            self.assertIn("--passphrase-fd", self.silent("--passphrase-fd", value, "key", "show", "x", expect=2).err)
            self.assertEqual(run(POCD, "-c", "x", "--passphrase-fd", value, expect=2).status, 2)

    def test_a_user(self):
        """The whole way: keys made under a passphrase by setup, a coordinator's key, a passphrase file."""
        WORLD.poc("xa-coordinator", "user", "invite", "sealed", "--role", "operator", "--out", self.path("sealed.invite"))
        conf = self.path("sealed.conf")
        typed([POC, "-c", conf, "setup", "--seal", self.path("sealed.invite")], "of a user", "of a user")
        WORLD.poc("xa-coordinator", "-y", "user", "add", self.path("sealed.request"))
        lookup = ["-c", conf, "lookup", "XB"]
        self.assertEqual(self.silent(*lookup, expect=4).err.count("\n"), 1)
        told([POC, *lookup], b"of a user")
        typed([POC, *lookup], "of a user")
        secret = self.path("secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("of a user\n")
        ini_set(conf, {("user", "passphrase_file"): "secret"})
        for mode, status in ((0o640, 4), (0o604, 4), (0o600, 0), (0o400, 0)):
            os.chmod(secret, mode)
            result = self.silent(*lookup, expect=status)
            if status:
                self.assertRegex(result.err, rf"^poc: {secret}: others may read or write it \(mode {mode:04o}\); chmod 600 it\n$")
        self.silent("-c", conf, "notice", "list")  # the reading key too

    def test_keys_that_others_can_read(self):
        """Every program, every kind of key, one line."""
        conf = WORLD.conf("xa-coordinator")
        user = os.path.join(os.path.dirname(conf), ini_get(conf, "user", "key"))
        coordinator = os.path.join(os.path.dirname(conf), ini_get(conf, "coordinator", "key"))
        words = r": others may read or write it \(mode 0640\); chmod 600 it\n$"
        for path, command in ((user, [POC, "-c", conf, "lookup", "XB"]), (coordinator, [POC, "-c", conf, "-y", "confirm"]),
                              (WORLD.path("keys", "admin.key"), [POCADM, "-c", WORLD.conf("directory-admin"), "stats"]),
                              (WORLD.path("keys", "server.key"), [POCD, "-c", WORLD.path("pocd.conf"), "--check-config"]),
                              (WORLD.path("keys", "log.key"), [POCD, "-c", WORLD.path("pocd.conf"), "--check-config"])):
            mode = os.stat(path).st_mode & 0o777
            os.chmod(path, 0o640)
            try:
                self.assertRegex(run(*command, expect=4, env=WORLD.env).err, f"^poc.*{os.path.basename(path)}{words}")
            finally:
                os.chmod(path, mode)

    def test_a_sealed_directory(self):
        """pocadm init --seal: the daemon's keys too."""
        folder = self.path("sealed")
        typed([POCADM, "init", folder, "--origin", "sealed.example/1", "--seal"], "of a directory", "of a directory")
        command, conf = [POCD, "-c", os.path.join(folder, "pocd.conf"), "--check-config"], os.path.join(folder, "pocd.conf")
        result = run(*command, expect=4, start_new_session=True)
        self.assertRegex(result.err, r"^pocd: .*server\.key: needs a passphrase\n$")
        typed(command, "of a directory", "of a directory")
        with open(self.path("secret"), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("of a directory\n")
        ini_set(conf, {("server", "passphrase_file"): self.path("secret"), ("log", "passphrase_file"): self.path("secret")})
        run(*command, start_new_session=True)

    def test_rotating_a_sealed_server_key(self):
        """pocadm key rotate tls: the new key is sealed as the old one was, and both are opened by the same file."""
        conf, secret = WORLD.path("pocd.conf"), self.path("secret")
        with open(secret, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("of the server\n")

        def key():
            return os.path.join(WORLD.dir, ini_get(conf, "server", "key"))

        old, sealed = key(), self.path("sealed.key")
        run("openssl", "pkcs8", "-topk8", "-in", old, "-out", sealed, "-passout", f"file:{secret}")
        os.chmod(sealed, 0o600)
        os.replace(sealed, old)
        ini_set(conf, {("server", "passphrase_file"): secret})
        WORLD.reload()
        rotate = [POCADM, "-c", WORLD.conf("directory-admin"), "-y", "-o", "json", "key", "rotate", "tls"]
        os.rename(secret, secret + ".away")  # refused before anything is made
        self.assertNotEqual(run(*rotate, expect=None, env=WORLD.env, start_new_session=True).status, 0)
        self.assertEqual((key(), os.path.exists(old[:-4] + "-2.key")), (old, False))
        os.rename(secret + ".away", secret)
        done = run(*rotate, env=WORLD.env, start_new_session=True).json
        self.assertNotEqual(key(), old)
        with open(key(), encoding="ascii") as file:
            self.assertIn("BEGIN ENCRYPTED PRIVATE KEY", file.read())
        self.assertEqual(os.stat(key()).st_mode & 0o777, 0o600)
        self.assertIn(done["fingerprint"], told([POC, "key", "show", key()], b"of the server").out)
        WORLD.poc("xa-reader", "--online", "lookup", "XB")
        WORLD.stop()
        WORLD.start()
        WORLD.poc("xa-reader", "--online", "lookup", "XB")


class Tokens(unittest.TestCase):
    """Where OpenSSL has the provider, keys in SoftHSM; elsewhere, what is missing is said."""

    def provider(self):
        folder = subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True, check=True).stdout.split('"')[1]
        return os.path.exists(os.path.join(folder, "pkcs11.so"))

    def test_without_the_provider(self):
        if self.provider():
            self.skipTest("the provider pkcs11 is there: test_tokens uses it")
        # a provider that is not there leaves a few hundred bytes in OpenSSL 3.0, once
        leaks = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        result = WORLD.poc("xa-reader", "key", "show", "pkcs11:token=t;object=o;type=private", expect=1, env=leaks)
        self.assertRegex(result.err, r'^poc: pkcs11:token=t;object=o;type=private: a key in a token needs OpenSSL\'s provider "pkcs11", '
                                     r"which is not installed here \(.*pkcs11-provider.*\)\n$")
        name = WORLD.variant("xa-reader", "token", {("user", "key"): "pkcs11:token=t;object=o;type=private"})
        self.assertIn("not installed here", WORLD.poc(name, "lookup", "XB", expect=1, env=leaks).err)
        with WORLD.settings(reload=False, log__key="pkcs11:token=t;object=log;type=private"):
            since = len(WORLD.log())
            WORLD.reload(expect="server.reload_failed")
            self.assertIn("not installed here", WORLD.log()[since:])
        WORLD.reload()

    def test_no_pin_is_printed(self):
        """A PIN in the URI is refused before anything else, and neither it nor where it lies is shown."""
        leaks = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        refused = r"pkcs11:token=t;object=o;?: a PIN may not stand in the URI"
        for uri in ("pkcs11:token=t;object=o?pin-value=4711", "pkcs11:token=t;object=o;pin-value=4711",
                    "pkcs11:token=t;object=o?module-name=m&pin-value=4711"):
            name = WORLD.variant("xa-coordinator", "pin", {("user", "key"): uri})
            state = WORLD.variant("xa-coordinator", "pin-state", {("coordinator", "key"): uri})
            for result in (WORLD.poc("xa-reader", "key", "show", uri, expect=1), WORLD.poc(name, "-o", "json", "lookup", "XB", expect=1),
                           WORLD.poc(name, "key", "show", expect=1), WORLD.poc(name, "-n", "key", "rotate", "user", expect=1),
                           WORLD.poc(state, "key", "show", expect=1),
                           WORLD.pocadm("-n", "trust", "draft", WORLD.path("pin.ceremony"), "--log-add", uri, expect=1)):
                self.assertRegex(result.out + result.err, refused)
                self.assertNotRegex(result.out + result.err, "4711|pin-value")
            for key in ("log__key", "server__key"):
                with WORLD.settings(reload=False, **{key: uri}):
                    since = len(WORLD.log())
                    WORLD.reload(expect="server.reload_failed")
                    checked = run(POCD, "-c", WORLD.path("pocd.conf"), "--check-config", expect=1)
                    for text in (WORLD.log()[since:], checked.err):
                        self.assertRegex(text, refused)
                        self.assertNotRegex(text, "4711|pin-value")
        WORLD.reload()
        with open(self.pin_file(), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("4711")
        told = WORLD.poc("xa-reader", "key", "show", f"pkcs11:token=t;object=o?pin-source=file:{self.pin_file()}", expect=None, env=leaks)
        self.assertIn("pkcs11:token=t;object=o: ", told.err)
        self.assertNotRegex(told.err, "4711|pin-source")

    def pin_file(self):
        return os.path.join(WORLD.root, "pin")

    def test_tokens(self):
        module = next((path for path in MODULES if os.path.exists(path)), None)
        if not self.provider():
            self.skipTest("no provider pkcs11: what is said then is tested instead")
        if not module or not shutil.which("softhsm2-util") or not shutil.which("pkcs11-tool"):
            self.skipTest("no softhsm2 and opensc to make a token with")
        folder = os.path.join(WORLD.root, "tokens")
        os.makedirs(os.path.join(folder, "store"))
        with open(os.path.join(folder, "softhsm2.conf"), "w", encoding="ascii") as conf:
            conf.write(f"directories.tokendir = {folder}/store\nobjectstore.backend = file\nlog.level = ERROR\n")
        WORLD.env.update({"SOFTHSM2_CONF": os.path.join(folder, "softhsm2.conf"), "PKCS11_PROVIDER_MODULE": module})
        run("softhsm2-util", "--init-token", "--free", "--label", "desk", "--pin", "4711", "--so-pin", "12345678", env=WORLD.env)
        for number, (label, kind) in enumerate((("user", "EC:secp256r1"), ("signing", "EC:secp384r1"), ("log", "EC:edwards25519"))):
            run("pkcs11-tool", "--module", module, "--token-label", "desk", "--login", "--pin", "4711", "--keypairgen",
                "--key-type", kind, "--label", label, "--id", f"0{number + 1}", "--usage-sign", env=WORLD.env)
        self.pin = os.path.join(folder, "pin")
        with open(self.pin, "w", encoding="ascii") as file:
            file.write("4711")
        os.chmod(self.pin, 0o600)
        with self.subTest("opened"):
            self.opened()
        with self.subTest("a user"):
            self.a_user()
        with self.subTest("log key"):
            self.log_key(folder)

    def uri(self, label, more=True):
        return f"pkcs11:token=desk;object={label};type=private" + (f"?pin-source=file:{self.pin}" if more else "")

    def opened(self):
        shown = WORLD.poc("xa-reader", "key", "show", self.uri("user")).out
        self.assertRegex(shown, r"ecdsa-p256-sha256 +\S{39}")
        self.assertRegex(WORLD.poc("xa-reader", "key", "show", self.uri("signing")).out, "ecdsa-p384-sha384")
        self.assertRegex(WORLD.poc("xa-reader", "key", "show", self.uri("log")).out, "ed25519")
        self.assertEqual(told([POC, "key", "show", self.uri("user", False)], b"4711\n").out, shown)
        for words, uri in (("no such private key", self.uri("nobody")), ("a PIN may not stand in the URI", self.uri("user", False) + "?pin-value=4711"),
                           ("absolute path", self.uri("user", False) + "?pin-source=file:pin")):
            self.assertIn(words, WORLD.poc("xa-reader", "key", "show", uri, expect=None).err)
        result = run(POC, "key", "show", self.uri("user", False), env=WORLD.env, expect=4, start_new_session=True)
        self.assertIn("needs a PIN", result.err)
        self.assertIn("wrong PIN", told([POC, "key", "show", self.uri("user", False)], b"4712", expect=5).err)
        os.chmod(self.pin, 0o644)
        self.assertIn("others may read or write it", WORLD.poc("xa-reader", "key", "show", self.uri("user"), expect=4).err)
        os.chmod(self.pin, 0o600)

    def a_user(self):
        """TLS and signatures with a user's key that never leaves the token."""
        invite, request = (os.path.join(WORLD.root, "token." + end) for end in ("invite", "request"))
        conf = os.path.join(WORLD.root, "token", "token.conf")
        WORLD.poc("xa-coordinator", "user", "invite", "token", "--role", "operator", "--kind", "technical", "--out", invite)
        WORLD.poc_file(conf, "setup", "--key", self.uri("user"), invite)
        WORLD.poc("xa-coordinator", "-y", "user", "add", request)
        WORLD.poc_file(conf, "--online", "lookup", "XB")
        WORLD.poc_file(conf, "-y", "notice", "send", "--to", "XB", "--subject", "from a token", "--text", "x")
        told = WORLD.poc_file(conf, "-n", "key", "rotate", "user", expect=1)
        self.assertIn("in a token, where only its own tools make another", told.err)

    def log_key(self, folder):
        """A directory of its own, whose log key is in the token: listed in its first trust root by way of the file that it replaces
        would need a ceremony, so here the signer is asked directly."""
        from test_signer import HELLO, PREPARE, SIGN, Signer, field, head, text
        conf = os.path.join(folder, "pocd.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(f"[server]\ncert = a\nkey = b\n[store]\npath = c\n[log]\nkey = {self.uri('log')}\n")
        with unittest.mock.patch.dict(os.environ, WORLD.env), Signer(conf) as signer:
            spki = signer.ask(HELLO)
            self.assertIsInstance(spki, bytes, spki)
            self.assertEqual(signer.ask(PREPARE, head(5)), b"")
            signature = signer.ask(SIGN, b"\0" + field(text(5)))
            from cryptography.hazmat.primitives.serialization import load_der_public_key
            load_der_public_key(spki[3:]).verify(signature[2:], text(5))


if __name__ == "__main__":
    main()
