/* posts: what the log of the program correspondent says was posted, answered and shown, against the feeds of a folder.
 */
#ifndef TESTS_CRASH_POSTS_H
#define TESTS_CRASH_POSTS_H

#include "pocd/store/store.h"
#include "proto/wire/status.h"

struct posts;

/* Reads the log's text.  Ends the program if it cannot be read. */
struct posts *posts_read(const char *text);
void posts_destroy(struct posts *posts);
size_t posts_answered(const struct posts *posts); /* how many answers, and entries shown to readers */

/* Whether the folder holds all that was answered or shown before a moment of the monotonic clock (nanoseconds), and
 * every other post wholly or not at all.  0, or STATUS_DAMAGED and *why. */
int posts_check(const struct posts *posts, struct store_view *view, uint64_t before, struct refusal *why);

#endif
