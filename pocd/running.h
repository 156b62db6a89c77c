/* running: who serves a data folder, and how its last reload went: a line in the folder's lock file, which is locked
 * for as long as the daemon lives.  So a process id that is read there, while the lock is held, is that of the holder,
 * and never one that was left behind. */
#ifndef POCD_RUNNING_H
#define POCD_RUNNING_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/wire/status.h"

enum running_reload {
	RUNNING_GOOD,   /* everything was taken */
	RUNNING_PARTLY, /* the rest needs a restart */
	RUNNING_REFUSED /* the settings before are kept */
};

enum { RUNNING_RESTART = 400 };

struct running {
	pid_t pid;
	uint64_t reloads; /* since it started */
	enum running_reload last;
	char restart[RUNNING_RESTART]; /* of RUNNING_PARTLY: the keys that need one, with commas between; else empty */
};

/* The daemon says who it is, in a folder whose lock it holds.  Failing is of no consequence but for those who ask. */
void running_note(const char *folder, const struct running *running);

/* 0, NOT_FOUND (nobody serves the folder), BUSY (another program holds it, or a daemon that is still starting), IO. */
int running_find(const char *folder, struct running *out, struct refusal *why);

#endif
