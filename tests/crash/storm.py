#!/usr/bin/python3
"""storm: kill -9 at random moments under eight writers, over real TLS.

Each round: the server runs for a random while under writers that publish without a pause, is killed (sometimes while it starts,
sometimes while it drains), and its folder is judged: every acknowledged write is there exactly once under its first answer,
any other wholly or not at all, log and map recompute to the stored checkpoint, no head that a client saw is gone.  Then it is
started again, which must take less than a second, and the writers send again what was not acknowledged.

    storm.py [--kills N] [--seed N]
"""
import argparse
import os
import random
import statistics
import time

from crash import KILL, SLOW, TERM, World

ROUNDS_A_WORLD = 25  # then a fresh one, so that each round costs the same however many there are
START_SECONDS = 1.0


class Storm:
    def __init__(self, world, seed):
        self.world, self.dice = world, random.Random(seed)
        self.starts, self.used, self.kills, self.acknowledged, self.unanswered, self.repeated = [], [], 0, 0, 0, 0

    def start(self):
        self.starts.append(self.world.start())
        self.used.append(self.world.processor_seconds())

    def kill(self):
        """At a random moment of the server's life."""
        way = self.dice.random()
        if way < 0.1:  # while it starts
            self.world.end(KILL)
            self.world.spawn()
            time.sleep(self.dice.uniform(0, 0.3))
        elif way < 0.2:  # while it drains
            self.world.server.send_signal(TERM)
            time.sleep(self.dice.uniform(0, 0.05))
        self.world.end(KILL)
        self.kills += 1

    def one_round(self):
        self.start()
        time.sleep(self.dice.uniform(*self.world.ROUND) * SLOW)
        self.kill()
        self.world.judge()

    def campaign(self, kills):
        """Rounds over one world; then everything comes to an end, and the whole check passes."""
        self.world.fresh()
        self.world.write()
        for number in range(kills):
            try:
                self.one_round()
            except AssertionError as error:
                raise AssertionError(f"after kill {self.kills} (round {number} of this world):\n{error}") from None
        log = self.world.log
        self.unanswered += len(log.unanswered())
        self.start()
        self.world.finish_writing()
        status = self.world.end(TERM)
        if status != 0:
            raise AssertionError(f"pocd ended with {status}")
        self.world.judge(since=0)
        self.world.check()
        if log.unanswered():
            raise AssertionError(f"never answered: {log.unanswered()}")
        self.world.judge_end()
        self.acknowledged += len(log.sent)
        self.repeated += log.repeated

    def run(self, kills):
        while self.kills < kills:
            self.campaign(min(ROUNDS_A_WORLD, kills - self.kills))

    def report(self):
        late = sum(seconds >= START_SECONDS for seconds in self.starts)
        print(f"storm: {self.kills} kills under {self.world.WHO}, {self.acknowledged} acknowledged, none lost; "
              f"{self.repeated} sent again and answered as at first, {self.unanswered} of them unanswered at the last kill")
        print(f"storm: start with {self.world.states} states: median {statistics.median(self.starts):.3f} s, "
              f"greatest {max(self.starts):.3f} s, {late} of {len(self.starts)} took {START_SECONDS:g} s or more; "
              f"processor time at most {max(self.used):.2f} s")
        return late

    def slow_start(self, late):
        """Judged by the clock on a machine that has time for the test, else by processor time alone."""
        if max(self.used) >= START_SECONDS:
            return True
        if os.getloadavg()[0] > 2 * os.cpu_count():
            print(f"storm: the machine is too busy to judge starts by the clock (load {os.getloadavg()[0]:.0f})")
            return False
        return late > len(self.starts) // 20


def main(world_of=World, description="kill -9 at random moments under eight writers"):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    kills = options.kills if SLOW == 1 else max(1, options.kills // 16)
    print(f"storm: seed {options.seed}, {kills} kills", flush=True)
    with world_of() as world:
        storm = Storm(world, options.seed)
        storm.run(kills)
        late = storm.report()
    if storm.acknowledged < 10 * kills:
        raise SystemExit("storm: too few writes")
    if SLOW == 1 and storm.slow_start(late):
        raise SystemExit("storm: too slow a start")


if __name__ == "__main__":
    main()
