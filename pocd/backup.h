/* backup: a directory's database in one file: the LMDB image as store_lmdb_copy writes it, and behind it one line,
 *
 *     pocd-backup-v1 <SHA-256 of the image, 64 digits>\n
 *
 * so that a file that was cut short or altered is told from a good one before anything looks into it, and the image is
 * checked where it lies.  It holds no keys. */
#ifndef POCD_BACKUP_H
#define POCD_BACKUP_H

#include "pocd/offline.h"

/* Writes the backup of a data folder, which a daemon may hold, to a new file (mode 0600), and checks it whole before it
 * takes its name: what stands there is good.  0, STATUS_CONFLICT where the file exists already, or what store_lmdb_copy
 * and offline_check say, with *why; then nothing is left behind. */
int backup_write(const char *folder, const char *path, struct offline_report *report, struct refusal *why);

/* Checks a backup as offline_check does a folder, where it lies.  STATUS_INVALID where it is none. */
int backup_check(const char *path, struct offline_report *report, struct refusal *why);

/* Makes a data folder of a backup.  The folder must not exist or be empty.  The whole is checked there before it is
 * done; what does not hold leaves nothing behind. */
int backup_restore(const char *path, const char *folder, struct offline_report *report, struct refusal *why);

#endif
