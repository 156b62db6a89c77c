#!/usr/bin/python3
"""storm_notices: kill -9 at random moments under eight senders of notices and four receivers, by libpoc over real TLS.

As storm.py; each round the folder's feeds are judged: every notice and receipt that was answered is once in each feed where it
belongs, any other wholly or not at all, in the order of its author; what a reader was shown stands where it stood.  In the
end every receiver has opened each of its notices once, and poc lists each of them once.

    storm_notices.py [--kills N] [--seed N]
"""
from notices import NoticeWorld
from storm import main

if __name__ == "__main__":
    main(NoticeWorld, "kill -9 at random moments under notices and receipts")
