/* story_view: a verified story before people's eyes and in JSON. */
#ifndef CLIENTS_POC_STORY_VIEW_H
#define CLIENTS_POC_STORY_VIEW_H

#include "clients/poc/duty.h"

/* Header, steps, and what has not been said yet; offline: of a saved file, whose head is given. */
void story_view_print(const struct story *story, const struct verified_head *head);
json_t *story_view_json(const struct story *story, const struct verified_head *head);

/* Verifies a saved story from a file and shows it.  at: the time that is asked about, 0 for the story's own.  0,
 * UNVERIFIED, printed, or CLOCK: at is before the story's own time, which is told. */
int story_view_file(struct cli *cli, struct poc *poc, const uint8_t *bytes, size_t size, int64_t at);

#endif
