/* journal: what the clients of a storm share: what they see goes to a file outside the server, one line each, until
 * SIGTERM says that it is enough. */
#ifndef TESTS_CRASH_JOURNAL_H
#define TESTS_CRASH_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

extern const char *journal_folder; /* the world, DIR of the command line */
extern atomic_bool journal_stop;   /* SIGTERM came: bring all to an end */

/* Takes "DIR LOG" off the command line, opens the log, holds SIGTERM back in this thread and those to come.  False
 * where these are not the arguments: usage was printed. */
bool journal_begin(int argc, char **argv);

/* Says on standard output that all is under way, waits for SIGTERM and sets journal_stop. */
void journal_wait(void);
void journal_end(void);

/* One line of the log: one write a call, so that lines of several threads do not mix. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program, with words, where something does not hold that the test itself relies on. */
void must(bool good, const char *what);

FILE *open_list(const char *name);    /* a file of the world; must be there; fclose */
unsigned long long nanoseconds(void); /* by the monotonic clock */
void pause_ms(long ms);               /* at most 999 */

#endif
