#include "clients/libpoc/known.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KNOWN_MAX = 1024, LINE_MAX_LENGTH = 160, FILE_MAX = (KNOWN_MAX + 2) * LINE_MAX_LENGTH };

static const char file_name[] = "known", first_line[] = "pocd-known-1";

/* The file: a line of its own kind, then "STATE SEQ AUTHORITY AT" for each state, ascending, then the SHA-256 of all
 * before it. */
struct list {
	size_t n;
	struct known known[KNOWN_MAX];
};

static bool take_line(char *line, struct list *list)
{
	struct known *k = &list->known[list->n];
	char state[STATE_MAX_LENGTH + 1], authority[65];
	int end = 0;

	if (list->n == KNOWN_MAX ||
	    sscanf(line, "%10s %" SCNu64 " %64s %" SCNd64 "%n", state, &k->seq, authority, &k->at, &end) != 4 ||
	    line[end] != '\0' || !state_valid(state) || hash_from_hex(authority, &k->authority) != 0 || k->seq == 0 ||
	    k->at <= 0)
		return false;
	if (list->n > 0 && strcmp(list->known[list->n - 1].state, state) >= 0)
		return false;
	strcpy(k->state, state);
	list->n++;
	return true;
}

static bool parse(char *text, size_t size, struct list *list)
{
	char sum[2 * HASH_SIZE + 1], *rest = text;
	const size_t tail = 2 * HASH_SIZE + 1; /* the last line */

	if (size <= tail || text[size - 1] != '\n' || strlen(text) != size)
		return false;
	struct hash hash = hash_of((const uint8_t *)text, size - tail);
	hash_to_hex(&hash, sum);
	if (memcmp(sum, text + size - tail, tail - 1) != 0)
		return false;
	text[size - tail] = '\0';
	const char *first = strsep(&rest, "\n");
	if (first == NULL || strcmp(first, first_line) != 0)
		return false;
	for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0'; line = strsep(&rest, "\n")) {
		if (!take_line(line, list))
			return false;
	}
	return rest == NULL;
}

/* Empty where there is no file yet.  NULL with *status; else free it. */
static struct list *load(const char *folder, int *status, struct refusal *why)
{
	struct list *list = calloc(1, sizeof *list);
	uint8_t *bytes;
	size_t size;

	if (list == NULL) {
		*status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
		return NULL;
	}
	*status = folder != NULL ? held_read_file(folder, file_name, FILE_MAX, &bytes, &size, why) : STATUS_NOT_FOUND;
	if (*status == 0) {
		bytes[size] = '\0'; /* held_read_file leaves room for it */
		if (!parse((char *)bytes, size, list))
			*status = STATUS_DAMAGED;
		free(bytes);
	}
	if (*status == STATUS_NOT_FOUND)
		*status = 0;
	if (*status == STATUS_DAMAGED || *status == STATUS_TOO_LARGE)
		*status = refuse(why, STATUS_DAMAGED, "state.dir",
				 "%.200s/%s is damaged: which keys were compared is lost.  Find out why, move it away, "
				 "and compare them again",
				 folder, file_name);
	if (*status == 0)
		return list;
	free(list);
	return NULL;
}

int known_find(const char *folder, const char *state, struct known *out, struct refusal *why)
{
	int status;
	struct list *list = load(folder, &status, why);

	if (list == NULL)
		return status;
	bool found = false;
	for (size_t i = 0; i < list->n && !found; i++) {
		found = strcmp(list->known[i].state, state) == 0;
		if (found)
			*out = list->known[i];
	}
	free(list);
	return found ? 0 : refuse(why, STATUS_NOT_FOUND, state, "the keys of %s were never compared", state);
}

static int put(struct list *list, const struct known *known, struct refusal *why)
{
	size_t i = 0;

	while (i < list->n && strcmp(list->known[i].state, known->state) < 0)
		i++;
	if (i == list->n || strcmp(list->known[i].state, known->state) != 0) {
		if (list->n == KNOWN_MAX)
			return refuse(why, STATUS_TOO_LARGE, known->state, "more than %d states", KNOWN_MAX);
		memmove(&list->known[i + 1], &list->known[i], (list->n - i) * sizeof *list->known);
		list->n++;
	}
	list->known[i] = *known;
	return 0;
}

static int save(const char *folder, const struct list *list, struct refusal *why)
{
	char *text = malloc(FILE_MAX), hex[2 * HASH_SIZE + 1];

	if (text == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	size_t used = (size_t)snprintf(text, FILE_MAX, "%s\n", first_line);
	for (size_t i = 0; i < list->n; i++) {
		const struct known *k = &list->known[i];
		hash_to_hex(&k->authority, hex);
		used += (size_t)snprintf(text + used, FILE_MAX - used, "%s %" PRIu64 " %s %" PRId64 "\n", k->state,
					 k->seq, hex, k->at);
	}
	struct hash sum = hash_of((const uint8_t *)text, used);
	hash_to_hex(&sum, hex);
	used += (size_t)snprintf(text + used, FILE_MAX - used, "%s\n", hex);
	int status = held_write_file(folder, file_name, text, used, why);
	free(text);
	return status;
}

int known_note(const char *folder, const struct known *known, struct refusal *why)
{
	int status, lock = held_lock(folder, why);

	if (lock < 0)
		return STATUS_IO;
	struct list *list = load(folder, &status, why);
	if (list != NULL)
		status = put(list, known, why);
	if (list != NULL && status == 0)
		status = save(folder, list, why);
	free(list);
	close(lock);
	return status;
}

void known_judge(const char *folder, const char *state, const struct hash *authority, struct poc_verdict *verdict)
{
	struct known known = {0};
	int status = known_find(folder, state, &known, NULL);

	verdict->keys = status == STATUS_NOT_FOUND                       ? POC_KEYS_NEVER
			: status != 0                                    ? POC_KEYS_UNKNOWN
			: hash_compare(&known.authority, authority) == 0 ? POC_KEYS_VERIFIED
									 : POC_KEYS_CHANGED;
	verdict->keys_verified = status == 0 ? known.at : 0;
}
