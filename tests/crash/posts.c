#include "tests/crash/posts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pocd/directory/rows.h"
#include "proto/proof/hash.h"

/* A notice or receipt: in so many feeds it belongs. */
struct post {
	struct hash hash;
	size_t desks;
	uint64_t answered; /* when; UINT64_MAX: never */
	int64_t stored_ms;
};

struct shown {
	char desk[8];
	uint64_t cursor, when;
	struct hash hash;
};

struct posts {
	size_t n_posts, n_shown, n_answered, post_room, shown_room;
	struct post *posts;
	struct shown *shown;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "posts: %s\n", what);
	exit(2);
}

/* ---- The log */

static void *grow(void *list, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return list;
	*room = *room > 0 ? 2 * *room : 256;
	list = realloc(list, *room * size);
	must(list != NULL, "out of memory");
	return list;
}

static struct hash hash_from(const char *hex)
{
	struct hash hash;

	must(hash_from_hex(hex, &hash) == 0, "a line of the log is wrong");
	return hash;
}

static void add_post(struct posts *posts, const char *hex, size_t desks)
{
	posts->posts = grow(posts->posts, posts->n_posts, &posts->post_room, sizeof *posts->posts);
	posts->posts[posts->n_posts++] = (struct post){.hash = hash_from(hex), .desks = desks, .answered = UINT64_MAX};
}

/* The first answer counts; it comes soon after the post. */
static void take_answer(struct posts *posts, const char *hex, int64_t stored_ms, uint64_t when)
{
	const struct hash hash = hash_from(hex);

	for (size_t i = posts->n_posts; i-- > 0;) {
		struct post *post = &posts->posts[i];
		if (hash_compare(&post->hash, &hash) != 0)
			continue;
		if (post->answered == UINT64_MAX) {
			post->answered = when;
			post->stored_ms = stored_ms;
		}
		posts->n_answered++;
		return;
	}
	must(false, "an answer to what nobody posted");
}

static void take_line(struct posts *posts, const char *line)
{
	char hex[65], to[80], desk[8];
	unsigned long long when, cursor;
	long long stored_ms;

	if (sscanf(line, "sent %*s %*u %64s %*s %79s", hex, to) == 2) {
		add_post(posts, hex, strchr(to, ',') != NULL ? 3 : 2);
	} else if (sscanf(line, "said %*s %*s %64s", hex) == 1) {
		add_post(posts, hex, 2);
	} else if (sscanf(line, "posted %64s %*s %lld %*d %llu", hex, &stored_ms, &when) == 3) {
		take_answer(posts, hex, stored_ms, when);
	} else if (sscanf(line, "entry %7s %llu %64s %*s %llu", desk, &cursor, hex, &when) == 4) {
		posts->shown = grow(posts->shown, posts->n_shown, &posts->shown_room, sizeof *posts->shown);
		struct shown *shown = &posts->shown[posts->n_shown++];
		*shown = (struct shown){.cursor = cursor, .when = when, .hash = hash_from(hex)};
		memcpy(shown->desk, desk, sizeof desk);
	}
}

static int by_hash(const void *a, const void *b)
{
	return hash_compare(&((const struct post *)a)->hash, &((const struct post *)b)->hash);
}

struct posts *posts_read(const char *text)
{
	struct posts *posts = calloc(1, sizeof *posts);

	must(posts != NULL, "out of memory");
	for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		take_line(posts, line);
	if (posts->n_posts > 0)
		qsort(posts->posts, posts->n_posts, sizeof *posts->posts, by_hash);
	return posts;
}

void posts_destroy(struct posts *posts)
{
	if (posts == NULL)
		return;
	free(posts->posts);
	free(posts->shown);
	free(posts);
}

size_t posts_answered(const struct posts *posts)
{
	return posts->n_answered + posts->n_shown;
}

/* ---- The folder */

struct walk {
	const struct posts *posts;
	struct store_view *view;
	size_t *found; /* of each post, in how many feeds */
	struct refusal *why;
};

static int read_entry(struct store_view *view, const uint8_t *key, size_t key_size, const struct store_value *value,
		      struct row_step *step, struct hash *hash)
{
	struct row_feed row;
	const uint8_t *item;
	size_t size;
	int status = row_read_feed(key, key_size, value, &row);

	if (status == 0)
		status = row_read_step(view, row.number, row.step, step);
	if (status == 0)
		status = row_read_item(view, step, &item, &size);
	if (status == 0)
		*hash = hash_of(item, size);
	return status;
}

static int each_entry(void *ctx, const uint8_t *key, size_t key_size, const struct store_value *value)
{
	struct walk *walk = ctx;
	struct row_step step;
	struct post wanted = {0};
	char hex[65];

	if (read_entry(walk->view, key, key_size, value, &step, &wanted.hash) != 0)
		return refuse(walk->why, STATUS_DAMAGED, "", "a feed cannot be read");
	if (step.fact)
		return 0;
	const struct post *post = bsearch(&wanted, walk->posts->posts, walk->posts->n_posts, sizeof wanted, by_hash);
	hash_to_hex(&wanted.hash, hex);
	if (post == NULL)
		return refuse(walk->why, STATUS_DAMAGED, "", "%s is there and nobody posted it", hex);
	if (post->answered != UINT64_MAX && post->stored_ms != (int64_t)step.stored_ms)
		return refuse(walk->why, STATUS_DAMAGED, "", "%s is there with another time", hex);
	walk->found[post - walk->posts->posts]++;
	return 0;
}

static int check_post(const struct post *post, size_t found, uint64_t before, struct refusal *why)
{
	char hex[65];

	hash_to_hex(&post->hash, hex);
	if (found != post->desks && (found > 0 || post->answered < before))
		return refuse(why, STATUS_DAMAGED, "", "%s was %s and is in %zu of %zu feeds", hex,
			      post->answered < before ? "acknowledged" : "posted", found, post->desks);
	return 0;
}

static int check_shown(struct store_view *view, const struct shown *shown, struct refusal *why)
{
	uint8_t key[ROW_KEY_MAX];
	struct store_value value;
	struct row_step step;
	struct hash hash;
	const size_t size = row_feed_key(key, shown->desk, POC__POC_KIND__POC_KIND_TECHNICAL, shown->cursor);

	if (store_get(view, TABLE_FEED, key, size, &value) != 0 ||
	    read_entry(view, key, size, &value, &step, &hash) != 0 || hash_compare(&hash, &shown->hash) != 0)
		return refuse(why, STATUS_DAMAGED, "", "entry %" PRIu64 " of %s was seen and is lost", shown->cursor,
			      shown->desk);
	return 0;
}

int posts_check(const struct posts *posts, struct store_view *view, uint64_t before, struct refusal *why)
{
	struct walk walk = {posts, view, calloc(posts->n_posts + 1, sizeof *walk.found), why};

	must(walk.found != NULL, "out of memory");
	int status = store_walk(view, TABLE_FEED, NULL, 0, each_entry, &walk);
	for (size_t i = 0; i < posts->n_posts && status == 0; i++)
		status = check_post(&posts->posts[i], walk.found[i], before, why);
	for (size_t i = 0; i < posts->n_shown && status == 0; i++) {
		if (posts->shown[i].when < before)
			status = check_shown(view, &posts->shown[i], why);
	}
	free(walk.found);
	return status;
}
