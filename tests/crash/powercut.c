/* powercut DIR BASE JOURNAL ACKS IMAGES SEED [--no-barrier] [--keep N]: power cuts, from the journal of a data file.
 *
 * IMAGES times: cuts the power at a random moment of the journal.  What was synced before is on the disk; of each write
 * since, each sector of 512 bytes is there or not, and the file may have its old length.  The image is put into
 * DIR/data.mdb and opened: it must pass all checks, recompute to its checkpoint, and hold every write of ACKS (the log
 * of the program writer, or of correspondent) that was acknowledged before that moment, and all that a client had seen.
 * BASE is the file as it was before the journal.
 *
 * --no-barrier takes every sync but those of meta pages for nothing, as a disk that lies would: images must then be
 * bad.
 * --keep N leaves every Nth image in DIR/1, DIR/2, ... for other looks.  Prints a line of counts; exit status 1 if any
 * is bad. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pocd/directory/notices_check.h"
#include "pocd/ledger/ledger.h"
#include "tests/crash/disk.h"
#include "tests/crash/posts.h"

enum { SECTOR = 512, SHOWN = 5, WAYS = 4 };

struct bytes {
	uint8_t *at;
	size_t size;
};

struct ack {
	uint64_t nanoseconds, seq, leaf, head; /* head alone for a head line */
	char name[80];
	struct hash value;
};

struct cut {
	const char *folder;
	struct bytes journal;
	size_t n_records, n_acks;
	const struct disk_record **records;
	struct ack *acks;
	struct posts *posts;
	bool no_barrier;
	uint64_t random;
	/* the disk between two records */
	struct bytes durable;
	size_t at;      /* records before it have returned */
	size_t pending; /* writes from this record on are not synced, as far as they are no DISK_DURABLE */
	unsigned bad, torn;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t next_random(struct cut *cut)
{
	cut->random ^= cut->random >> 12;
	cut->random ^= cut->random << 25;
	cut->random ^= cut->random >> 27;
	return cut->random * UINT64_C(2685821657736338717);
}

static struct bytes read_all(const char *path)
{
	struct stat st;
	FILE *file = fopen(path, "re");

	must(file != NULL && fstat(fileno(file), &st) == 0, path);
	struct bytes bytes = {malloc((size_t)st.st_size + 1), (size_t)st.st_size};
	must(bytes.at != NULL && fread(bytes.at, 1, bytes.size, file) == bytes.size, path);
	bytes.at[bytes.size] = '\0';
	fclose(file);
	return bytes;
}

/* ---- Journal and acknowledgements */

static void index_journal(struct cut *cut)
{
	for (int pass = 0; pass < 2; pass++) {
		size_t n = 0;
		for (size_t at = 0; at + sizeof(struct disk_record) <= cut->journal.size; n++) {
			const struct disk_record *r = (const void *)(cut->journal.at + at);
			if (pass == 1)
				cut->records[n] = r;
			must(r->size % 8 == 0, "a write of odd size"); /* LMDB has none, and records stay aligned */
			at += sizeof *r + r->size;
		}
		if (pass == 0)
			cut->records = calloc(n + 1, sizeof *cut->records);
		must(cut->records != NULL, "journal");
		cut->n_records = n;
	}
	must(cut->n_records > 2, "the journal is empty");
}

static bool read_ack(char *line, struct ack *ack)
{
	char hex[65];
	unsigned long long seq, leaf, checkpoint, nanoseconds;

	*ack = (struct ack){0};
	if (sscanf(line, "ack %*s %79s %llu %64s %llu %*d %llu %*d %llu", ack->name, &seq, hex, &leaf, &checkpoint,
		   &nanoseconds) == 6) {
		must(hash_from_hex(hex, &ack->value) == 0, "acks");
		ack->seq = seq;
		ack->leaf = leaf;
		ack->head = checkpoint;
		ack->nanoseconds = nanoseconds;
		return true;
	}
	if (sscanf(line, "head %llu %llu", &checkpoint, &nanoseconds) != 2)
		return false;
	ack->head = checkpoint;
	ack->nanoseconds = nanoseconds;
	return true;
}

static void read_acks(struct cut *cut, const char *path)
{
	struct bytes text = read_all(path);
	size_t capacity = 0;

	cut->posts = posts_read((const char *)text.at);
	for (char *line = strtok((char *)text.at, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (cut->n_acks == capacity) {
			capacity = capacity > 0 ? 2 * capacity : 1024;
			cut->acks = realloc(cut->acks, capacity * sizeof *cut->acks);
			must(cut->acks != NULL, "acks");
		}
		cut->n_acks += read_ack(line, &cut->acks[cut->n_acks]);
	}
	free(text.at);
	must(cut->n_acks + posts_answered(cut->posts) > 0, "nothing was acknowledged");
}

/* ---- The disk */

static void resize(struct bytes *file, size_t size)
{
	if (size == file->size)
		return;
	file->at = realloc(file->at, size + 1);
	must(file->at != NULL, "image");
	if (size > file->size)
		memset(file->at + file->size, 0, size - file->size);
	file->size = size;
}

static void copy_in(struct bytes *file, const struct disk_record *r, size_t from, size_t size)
{
	if (r->offset + from + size > file->size)
		resize(file, r->offset + from + size);
	memcpy(file->at + r->offset + from, (const uint8_t *)(r + 1) + from, size);
}

static bool is_write(const struct disk_record *r)
{
	return r->kind == DISK_WRITE || r->kind == DISK_DURABLE;
}

static void settle_pending(struct cut *cut, size_t end)
{
	for (size_t i = cut->pending; i < end; i++) {
		if (cut->records[i]->kind == DISK_WRITE)
			copy_in(&cut->durable, cut->records[i], 0, cut->records[i]->size);
	}
	cut->pending = end;
}

/* The next call returns. */
static void step(struct cut *cut)
{
	const struct disk_record *r = cut->records[cut->at++];

	if (r->kind == DISK_SYNC && !cut->no_barrier)
		settle_pending(cut, cut->at);
	else if (r->kind == DISK_DURABLE)
		copy_in(&cut->durable, r, 0, r->size);
	else if (r->kind == DISK_SIZE)
		resize(&cut->durable, r->offset);
}

static void tear(struct cut *cut, struct bytes *image, const struct disk_record *r, unsigned way)
{
	for (size_t from = 0; from < r->size; from += SECTOR) {
		size_t size = r->size - from < SECTOR ? r->size - from : SECTOR;
		if (way == 1 || (way > 1 && next_random(cut) % 2 == 0))
			copy_in(image, r, from, size);
	}
}

/* What is on the disk if the power goes now, while the next call is under way. */
static struct bytes make_image(struct cut *cut)
{
	struct bytes image = {malloc(cut->durable.size + 1), cut->durable.size};
	unsigned way = (unsigned)(next_random(cut) % WAYS); /* nothing of it, all, sectors, whole writes */
	size_t end = cut->at < cut->n_records ? cut->at + 1 : cut->at, reach = image.size;

	must(image.at != NULL, "image");
	memcpy(image.at, cut->durable.at, image.size);
	for (size_t i = cut->pending; i < end; i++) {
		const struct disk_record *r = cut->records[i];
		if (!is_write(r) || (r->kind == DISK_DURABLE && i < cut->at))
			continue;
		if (r->offset + r->size > reach)
			reach = r->offset + r->size;
		tear(cut, &image, r, way < 3 ? way : (unsigned)(next_random(cut) % 2));
		cut->torn++;
	}
	if (next_random(cut) % 2 == 0 && reach > image.size)
		resize(&image, reach); /* the new length arrived before the bytes */
	return image;
}

/* ---- Looking at an image */

static void write_image(const char *folder, const struct bytes *image)
{
	char path[4200];

	must(mkdir(folder, 0700) == 0 || errno == EEXIST, folder);
	snprintf(path, sizeof path, "%s/data.mdb", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0, path);
	for (size_t done = 0; done < image->size;) {
		ssize_t n = write(fd, image->at + done, image->size - done);
		must(n > 0, path);
		done += (size_t)n;
	}
	close(fd);
}

static int check_ack(struct store_view *view, const struct ack *ack, uint64_t published, struct refusal *why)
{
	struct hash value;
	uint64_t leaf;
	const uint8_t *bytes;
	size_t size;

	if (ack->head > published)
		return refuse(why, STATUS_DAMAGED, "", "the head %" PRIu64 " was seen, %" PRIu64 " is the last",
			      ack->head, published);
	if (ack->name[0] == '\0')
		return 0;
	if (ledger_read_version(view, ack->name, ack->seq, &value, &leaf) != 0 || leaf != ack->leaf ||
	    hash_compare(&value, &ack->value) != 0 ||
	    ledger_read_envelope(view, &ack->value, &bytes, &size, NULL, NULL) != 0)
		return refuse(why, STATUS_DAMAGED, "", "%s seq %" PRIu64 " was acknowledged and is lost", ack->name,
			      ack->seq);
	return 0;
}

static int check_acks(const struct cut *cut, struct store *store, uint64_t publications, uint64_t before,
		      struct refusal *why)
{
	struct store_view *view;
	uint64_t published = 0;
	const char *note;
	size_t note_size;
	int status = store_view_begin(store, &view);

	if (status != 0)
		return refuse(why, status, "", "the image cannot be read");
	if (publications > 0)
		status = ledger_read_publication(view, publications, &published, &note, &note_size);
	for (size_t i = 0; i < cut->n_acks && status == 0; i++) {
		if (cut->acks[i].nanoseconds < before)
			status = check_ack(view, &cut->acks[i], published, why);
	}
	if (status == 0)
		status = posts_check(cut->posts, view, before, why);
	store_view_end(view);
	return status;
}

static int check_image(const struct cut *cut, uint64_t before, struct refusal *why)
{
	struct store_lmdb_options options = {.path = cut->folder, .read_only = 1};
	struct ledger_report report;
	struct notices_report notices;
	struct store *store;
	int status = store_lmdb_open(&options, &store, why);

	if (status != 0)
		return status;
	status = ledger_check(store, &report, why);
	if (status == 0)
		status = notices_check(store, &notices, why);
	if (status == 0)
		status = check_acks(cut, store, report.publications, before, why);
	store_close(store);
	return status;
}

static void look(struct cut *cut, unsigned keep)
{
	struct bytes image = make_image(cut);
	uint64_t before = cut->at < cut->n_records ? cut->records[cut->at]->nanoseconds : UINT64_MAX;
	struct refusal why = {0};
	char kept[4200];

	write_image(cut->folder, &image);
	if (check_image(cut, before, &why) != 0 && cut->bad++ < SHOWN)
		printf("before record %zu of %zu: %s\n", cut->at, cut->n_records, why.message);
	if (keep > 0) {
		snprintf(kept, sizeof kept, "%s/%u", cut->folder, keep);
		write_image(kept, &image);
	}
	free(image.at);
}

/* ---- */

static int by_number(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/* The moments, in order, so that the journal is walked once. */
static size_t *choose(struct cut *cut, size_t n)
{
	size_t *moments = calloc(n, sizeof *moments);

	must(moments != NULL && n > 0, "images");
	for (size_t i = 0; i < n; i++)
		moments[i] = 1 + next_random(cut) % cut->n_records;
	qsort(moments, n, sizeof *moments, by_number);
	return moments;
}

static void run(struct cut *cut, size_t images, size_t keep)
{
	size_t *moments = choose(cut, images);

	for (size_t i = 0; i < images; i++) {
		while (cut->at < moments[i])
			step(cut);
		look(cut, keep > 0 && i % keep == 0 ? (unsigned)(1 + i / keep) : 0);
	}
	free(moments);
}

int main(int argc, char **argv)
{
	struct cut cut = {.folder = argc > 1 ? argv[1] : ""};
	size_t keep = 0;

	for (int i = 7; i < argc; i++) {
		cut.no_barrier = cut.no_barrier || strcmp(argv[i], "--no-barrier") == 0;
		if (strcmp(argv[i], "--keep") == 0 && i + 1 < argc)
			keep = strtoull(argv[++i], NULL, 10);
	}
	if (argc < 7) {
		fputs("usage: powercut DIR BASE JOURNAL ACKS IMAGES SEED [--no-barrier] [--keep N]\n", stderr);
		return 2;
	}
	cut.durable = read_all(argv[2]);
	cut.journal = read_all(argv[3]);
	cut.random = strtoull(argv[6], NULL, 10) | 1;
	index_journal(&cut);
	read_acks(&cut, argv[4]);
	run(&cut, strtoull(argv[5], NULL, 10), keep);
	printf("%s images of %zu calls, %u unsynced writes torn, %zu acknowledgements: %u bad\n", argv[5],
	       cut.n_records, cut.torn, cut.n_acks + posts_answered(cut.posts), cut.bad);
	free(cut.durable.at);
	free(cut.journal.at);
	free(cut.records);
	free(cut.acks);
	posts_destroy(cut.posts);
	return cut.bad > 0 ? 1 : 0;
}
