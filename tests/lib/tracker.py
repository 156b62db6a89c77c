"""tracker: what clients/gateway/request-tracker talks to, in the tests; it answers as RT 5.0.3 does."""
import http.server
import json
import re
import threading
import urllib.parse


class Tracker(http.server.ThreadingHTTPServer):
    """What the gateway uses of Request Tracker's REST 2.  A ticket may have "merged"; blind: the user may see none."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), TrackerRequest)
        self.tickets, self.comments, self.down, self.blind, self.elsewhere = {}, [], False, False, None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class TrackerRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self):
        if self.server.elsewhere:
            self.answer(301, {}, Location=self.server.elsewhere + self.path)
            return False
        if self.server.down or self.headers["Authorization"] != "token of-the-test":
            self.answer(503 if self.server.down else 401, {"message": "no"})
            return False
        return True

    def do_GET(self):  # pylint: disable=invalid-name
        if not self.allowed():
            return
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
        queue, words, merged = re.fullmatch(r"(?:Queue = '(.*?)' AND )?Subject LIKE '(.*?)'( AND EffectiveId > 0)?", query).groups()
        found = [n for n, ticket in self.server.tickets.items()
                 if words in ticket["Subject"] and queue in (None, ticket["Queue"]) and (merged or not ticket.get("merged"))]
        self.answer(200, {"items": [{"type": "ticket", "id": str(n)} for n in found if not self.server.blind]})

    def do_POST(self):  # pylint: disable=invalid-name
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        comment = re.fullmatch(r"/REST/2.0/ticket/(\d+)/comment", self.path)
        if comment:
            self.server.comments.append((int(comment.group(1)), document["Content"]))
            self.answer(201, ["Comments added"])
        else:
            number = len(self.server.tickets) + 1
            self.server.tickets[number] = document
            self.answer(201, {"type": "ticket", "id": str(number)})
