"""notices: eight operators who send notices to four others, under whom the server is killed; and the judge, who compares what
was answered and seen outside the server with the feeds in its folder afterwards."""
import os
from collections import Counter, defaultdict

import crash
from crash import BUILD, POC
from harness import run

CORRESPONDENT = os.path.join(BUILD, "tests/crash/correspondent")


class Post:
    """A notice or receipt that left its author, and when it was stored, once there was an answer.  desks: in whose feeds it is
    to be; step: "notice" or the receipt's."""

    def __init__(self, author, number, step, notice, desks):
        self.author, self.number, self.step, self.id, self.desks = author, number, step, notice, desks
        self.answer, self.name = None, f"{author} {step} {number}"


class NoticeLog(crash.Log):
    """What the correspondents said: .sent {hash: Post}, .seen {desk: {cursor: (hash, id)}}, .opened {(desk, hash): times}."""

    def __init__(self, path):
        super().__init__(path)
        self.seen, self.opened, self.senders = defaultdict(dict), Counter(), {}

    def take(self, line):
        kind, rest = line[0], line[1].split()
        if kind == "sent":
            self.senders[rest[3]] = rest[0]
            self.sent[rest[2]] = Post(rest[0], int(rest[1]), "notice", rest[3], [rest[0], *rest[4].split(",")])
        elif kind == "said":
            self.sent[rest[2]] = Post(rest[0], rest[3], rest[1], rest[3], [rest[0], self.senders[rest[3]]])
        elif kind == "posted":
            post = self.sent[rest[0]]
            self.repeated += rest[3] == "1"
            post.answer = post.answer or int(rest[2])
        elif kind == "entry":
            before = self.seen[rest[0]].setdefault(int(rest[1]), (rest[2], rest[3]))
            if before != (rest[2], rest[3]):
                self.faults.append(f"entry {rest[1]} of {rest[0]} changed before a reader's eyes")
        elif kind == "opened":
            self.opened[rest[0], rest[1]] += 1
        elif kind == "refused":
            self.refused.append(line[1].strip())
        else:
            self.faults.append(line[1].strip())


def judge(log, facts, ended=False):
    """The faults of a folder, in words.  ended: every feed was read to its end."""
    faults, feeds = list(log.faults), defaultdict(dict)
    for desk, cursor, value, notice, what in facts.entries:
        if cursor in feeds[desk]:
            faults.append(f"cursor {cursor} of {desk} is there twice")
        feeds[desk][cursor] = (value, notice, what)
    for desk, feed in feeds.items():
        faults += judge_feed(log, desk, feed)
    where = defaultdict(Counter)
    for desk, _, value, _, _ in facts.entries:
        where[value][desk] += 1
    for value, post in log.sent.items():
        faults += judge_post(post, where.get(value, Counter()))
    faults += judge_seen(log, feeds, ended)
    return faults


def judge_post(post, where):
    if any(times > 1 for times in where.values()):
        return [f"{post.name} arrived twice: {dict(where)}"]
    if not where and not post.answer:
        return []
    lacking = [desk for desk in post.desks if not where[desk]]
    if not lacking:
        return [f"{post.name} went to {desk} too" for desk in where if where[desk] and desk not in post.desks]
    return [f"{post.name} was acknowledged and is lost at {lacking}" if post.answer else f"{post.name} is half there"]


def judge_feed(log, desk, feed):
    """Nothing that nobody sent; numbers without a gap; per author the order in which it was sent; facts once."""
    faults, last, facts = [], {}, Counter()
    if sorted(feed) != list(range(1, len(feed) + 1)):
        faults.append(f"the feed of {desk} has a gap")
    arrived = set()
    for cursor in sorted(feed):
        value, notice, what = feed[cursor]
        post = log.sent.get(value)
        if what in ("stored", "delivered"):
            facts[notice, what] += 1
        elif post is None or post.step != what:
            faults.append(f"{what} {notice} is at {desk} and nobody sent it")
        elif what == "notice":
            arrived.add(notice)
            if post.number <= last.get(post.author, -1):
                faults.append(f"{desk} has {post.name} after number {last[post.author]}")
            last[post.author] = post.number
        if what != "notice" and notice not in arrived:
            faults.append(f"{desk} has {what} of {notice} before the notice")
    own = {notice for value, notice, what in feed.values() if what == "notice" and log.sent.get(value) and
           log.sent[value].author == desk}
    faults += [f"{desk} has no stored, or two, of {notice}" for notice in own if facts[notice, "stored"] != 1]
    return faults


def judge_seen(log, feeds, ended):
    """What a reader was shown stands where it stood; in the end each has opened each notice once."""
    faults = []
    for desk, seen in log.seen.items():
        for cursor, shown in seen.items():
            if feeds[desk].get(cursor, ())[:2] != shown:
                faults.append(f"entry {cursor} of {desk} was seen and is lost")
    if not ended:
        return faults
    for value, post in log.sent.items():
        if post.step != "notice":
            continue
        for desk in post.desks[1:]:
            if log.opened[desk, value] != 1:
                faults.append(f"{desk} opened {post.name} {log.opened[desk, value]} times")
    for desk, feed in feeds.items():
        notices = {cursor for cursor, entry in feed.items() if entry[2] == "notice"}
        if not notices <= set(log.seen[desk]):
            faults.append(f"{desk} was not shown all its notices")
    return faults


class NoticeWorld(crash.World):
    """As World, with correspondents in place of writers."""
    WRITER, LOG, WHO = CORRESPONDENT, NoticeLog, "8 senders and 4 receivers"
    STATES, ROUND = 16, (0.1, 0.9)
    ended = False

    def fresh(self):
        self.ended = False
        super().fresh()

    def finish_writing(self):
        super().finish_writing()
        self.ended = True

    def faults(self, facts):
        faults = judge(self.log.read(), facts, self.ended)
        if facts.size < self.least:
            faults.append(f"the log went back from {self.least} to {facts.size} leaves")
        return faults

    def parties(self, role):
        with open(self.path("correspondents"), encoding="ascii") as file:
            return [line.split()[1] for line in file if line.startswith(role)]

    def listed(self, desk):
        """Ids of the notices that poc lists for a desk."""
        answer = run(POC, "-c", self.path(f"{desk}-operator.conf"), "-o", "json", "notice", "list", "--all", "--limit", "100000",
                     env=self.env)
        return [each["id"] for each in answer.json["notices"]]

    def judge_end(self):
        """Errors that may be tried again are a kill's; and what the program poc makes of it all, from nothing."""
        self.start()
        for desk in self.parties("receiver"):
            wanted = Counter(post.id for post in self.log.sent.values() if post.step == "notice" and desk in post.desks)
            listed = Counter(self.listed(desk))
            if listed != wanted:
                raise AssertionError(f"poc lists at {desk}: {len(listed)} notices, {len(wanted)} were sent; " +
                                     f"{list((listed - wanted) + (wanted - listed))[:5]}")
        self.end(crash.TERM)
