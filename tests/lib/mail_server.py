"""mail_server: a mail server of the tests' own, as far as smtplib asks of one."""
import email
import email.policy
import socketserver
import threading


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MailRequest)
        self.mails = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def stop(self):
        self.shutdown()
        self.server_close()


class MailRequest(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line + b"\r\n")

    def take(self):
        self.say(b"354 go on")
        mail = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            mail += line[1:] if line.startswith(b".") else line
        self.server.mails.append(email.message_from_bytes(mail, policy=email.policy.default))

    def handle(self):
        self.say(b"220 ready")
        while line := self.rfile.readline():
            verb = line.strip().lower()
            if verb == b"data":
                self.take()
            self.say(b"221 bye" if verb == b"quit" else b"250 done")
            if verb == b"quit":
                return
