/* quota: how many notices, or changes, a state may send in an hour.  What a state has not used comes back evenly over
 * the hour, so a burst may take all of it at once.  Any thread.
 *
 * state: whose account; that of "XA note" has what stays at its own desks, so that it keeps nothing from going abroad.
 */
#ifndef POCD_DIRECTORY_QUOTA_H
#define POCD_DIRECTORY_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rules/names.h"

enum { QUOTA_ACCOUNT = STATE_MAX_LENGTH + sizeof " note" };

struct quota;

/* per_hour 0: no limit.  NULL when out of memory. */
struct quota *quota_create(uint64_t per_hour);
void quota_destroy(struct quota *quota); /* NULL allowed */

/* Whether the state has one left; if not, *retry_ms says when. */
bool quota_left(struct quota *quota, const char *state, uint64_t now_ms, uint32_t *retry_ms);

/* Uses one up, if there is one.  When there is no memory to remember it, it does not count. */
void quota_take(struct quota *quota, const char *state, uint64_t now_ms);

#endif
