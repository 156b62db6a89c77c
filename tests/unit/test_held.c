#include "tests/lib/unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/libpoc/held.h"
#include "tests/lib/world.h"

enum { START = 1790000000, UPDATES = 150 };

struct place {
	struct world *world;
	char dir[64];
	char *path;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **context)
{
	struct place *p = calloc(1, sizeof *p);
	struct refusal why = {0};

	p->world = world_create(START);
	snprintf(p->dir, sizeof p->dir, "/tmp/test_held.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	char below[96];
	snprintf(below, sizeof below, "%s/a/b", p->dir);
	if (held_prepare(below, &p->world->directory_id, &p->path, &why) != 0)
		fail_msg("%s", why.message);
	*context = p;
	return 0;
}

static int teardown(void **context)
{
	struct place *p = *context;

	nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	world_destroy(p->world);
	free(p->path);
	free(p);
	return 0;
}

static int load(struct place *p, struct held *held)
{
	struct refusal why = {0};

	return held_load(p->path, &p->world->directory_id, held, &why);
}

static struct hash root_of(uint64_t size)
{
	return hash_of(&size, sizeof size);
}

/* A first held state as a first contact leaves it. */
static void begin(struct place *p, struct held *held)
{
	struct refusal why = {0};
	struct hash root = root_of(4);

	assert_int_equal(load(p, held), 0);
	assert_true(held->empty);
	held->trust = calloc(2, sizeof(struct envelope *));
	assert_int_equal(envelope_parse(p->world->trust.bytes, p->world->trust.size, &held->trust[0], &why), 0);
	held->n_trust = 1;
	assert_int_equal(envelope_parse(p->world->reg.bytes, p->world->reg.size, &held->reg, &why), 0);
	held_advance(held, 4, &root, (int64_t)START * 1000);
	assert_int_equal(held_store(p->path, &p->world->directory_id, held, &why), 0);
}

static void test_round_trip(void **context)
{
	struct place *p = *context;
	struct held held, again;
	struct hash value = hash_of("k", 1), root;
	struct held_head largest;
	struct refusal why = {0};
	bool changed;

	begin(p, &held);
	for (uint64_t size = 5; size < 205; size++) {
		root = root_of(size);
		held_advance(&held, size, &root, (int64_t)START * 1000 + (int64_t)size);
	}
	assert_int_equal(held_note_key(&held, "XB", 2, &value, &changed, &why), 0);
	assert_true(changed);
	assert_int_equal(held_note_key(&held, "XA", 1, &value, &changed, &why), 0);
	assert_int_equal(held_store(p->path, &p->world->directory_id, &held, &why), 0);
	assert_int_equal(load(p, &again), 0);
	assert_false(again.empty);
	assert_int_equal(again.size, 204);
	assert_int_equal(again.time_ms, held.time_ms);
	assert_memory_equal(&again.reg->value, &p->world->reg.value, HASH_SIZE);
	assert_memory_equal(&again.trust[0]->value, &p->world->trust.value, HASH_SIZE);
	assert_int_equal(again.n_heads, held.n_heads);
	assert_true(again.n_heads <= HELD_HEADS_MAX);
	root = root_of(203);
	assert_memory_equal(held_root_of(&again, 203), &root, HASH_SIZE);
	assert_true(held_largest(&again, 202, &largest));
	assert_int_equal(largest.size, 202);
	assert_true(held_largest(&again, 4, &largest));
	assert_false(held_largest(&again, 3, &largest));
	assert_null(held_root_of(&again, 1000));
	/* keys never go back */
	assert_int_equal(held_find_key(&again, "XB")->seq, 2);
	assert_null(held_find_key(&again, "XC"));
	assert_int_equal(held_note_key(&again, "XB", 1, &value, &changed, &why), STATUS_UNVERIFIED);
	assert_int_equal(held_note_key(&again, "XB", 2, &hash_zero, &changed, &why), STATUS_UNVERIFIED);
	assert_int_equal(held_note_key(&again, "XB", 2, &value, &changed, &why), 0);
	assert_false(changed);
	held_finish(&again);
	held_finish(&held);
}

static void test_folder(void **context)
{
	struct place *p = *context;
	struct stat st;
	struct held held;
	struct refusal why = {0};
	char *path, file[256];

	begin(p, &held);
	held_finish(&held);
	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(file, sizeof file, "%s/held", p->path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(file, sizeof file, "%s/a/b", p->dir);
	assert_int_equal(chmod(p->path, 0770), 0);
	assert_int_equal(held_prepare(file, &p->world->directory_id, &path, &why), STATUS_DENIED);
	assert_int_equal(chmod(p->path, 0700), 0);
	snprintf(file, sizeof file, "%s/held/x", p->path);
	assert_int_equal(held_prepare(file, &p->world->directory_id, &path, &why), STATUS_IO);
}

static void test_damage(void **context)
{
	struct place *p = *context;
	struct held held;
	struct refusal why = {0};
	uint8_t *bytes;
	size_t size;

	begin(p, &held);
	held_finish(&held);
	assert_int_equal(held_read_file(p->path, "held", 1 << 20, &bytes, &size, &why), 0);
	for (size_t i = 0; i < size; i += 7) {
		bytes[i] ^= 0x10;
		assert_int_equal(held_write_file(p->path, "held", bytes, size, &why), 0);
		assert_int_equal(load(p, &held), STATUS_DAMAGED);
		bytes[i] ^= 0x10;
	}
	for (size_t i = 0; i < size; i += 13) {
		assert_int_equal(held_write_file(p->path, "held", bytes, i, &why), 0);
		assert_int_equal(load(p, &held), STATUS_DAMAGED);
	}
	assert_int_equal(held_write_file(p->path, "held", bytes, size, &why), 0);
	assert_int_equal(load(p, &held), 0);
	held_finish(&held);
	free(bytes);
}

static void test_loss(void **context)
{
	struct place *p = *context;
	struct held held, first;
	struct refusal why = {0};
	char file[256], lock[256];

	begin(p, &held);
	snprintf(file, sizeof file, "%s/held", p->path);
	snprintf(lock, sizeof lock, "%s/lock", p->path);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(load(p, &first), STATUS_DAMAGED);
	/* nor is it written over what is lost */
	assert_int_equal(held_store(p->path, &p->world->directory_id, &held, &why), STATUS_DAMAGED);
	held_finish(&held);
	/* the lock gone too, but a copy shows that there was something */
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(held_write_file(p->path, "copy-0123", "x", 1, &why), 0);
	assert_int_equal(load(p, &first), STATUS_DAMAGED);
	snprintf(file, sizeof file, "%s/copy-0123", p->path);
	assert_int_equal(unlink(file), 0);
	/* an empty folder is a first contact; so is one that broke off before anything was held */
	assert_int_equal(load(p, &first), 0);
	assert_true(first.empty);
	int fd = held_lock(p->path, &why);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(load(p, &first), 0);
	assert_true(first.empty);
}

static void test_compare_and_swap(void **context)
{
	struct place *p = *context;
	struct held one, two;
	struct refusal why = {0};
	struct hash root = root_of(9);

	begin(p, &one);
	assert_int_equal(load(p, &two), 0);
	held_advance(&one, 9, &root, 0);
	assert_int_equal(held_store(p->path, &p->world->directory_id, &one, &why), 0);
	root = root_of(7);
	held_advance(&two, 7, &root, 0);
	assert_int_equal(held_store(p->path, &p->world->directory_id, &two, &why), STATUS_CONFLICT);
	held_finish(&two);
	assert_int_equal(load(p, &two), 0);
	assert_int_equal(two.size, 9);
	/* the one that stored may go on */
	root = root_of(12);
	held_advance(&one, 12, &root, 0);
	assert_int_equal(held_store(p->path, &p->world->directory_id, &one, &why), 0);
	held_finish(&one);
	held_finish(&two);
}

/* One process: moves on from what is stored now, again and again.  The log here has one root per size; a fork would be
 * a size that is not greater than the one before, or a key that went back. */
static int keep_moving(struct place *p, const char *state)
{
	struct refusal why = {0};

	for (uint64_t i = 1; i <= UPDATES;) {
		struct held held;
		bool changed;
		if (load(p, &held) != 0)
			return 1;
		uint64_t size = held.size + 1;
		struct hash root = root_of(size), value = hash_of(&i, sizeof i);
		const struct hash *known = held_root_of(&held, held.size), expected = root_of(held.size);
		if (known == NULL || hash_compare(known, &expected) != 0)
			return 2;
		held_advance(&held, size, &root, 0);
		if (held_note_key(&held, state, i, &value, &changed, &why) != 0 || !changed)
			return 3;
		int status = held_store(p->path, &p->world->directory_id, &held, &why);
		held_finish(&held);
		if (status == 0)
			i++;
		else if (status != STATUS_CONFLICT)
			return 4;
	}
	return 0;
}

static void test_two_processes(void **context)
{
	struct place *p = *context;
	static const char *const states[] = {"XA", "XB"};
	struct held held;
	pid_t children[2];

	begin(p, &held);
	held_finish(&held);
	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			_exit(keep_moving(p, states[i]));
	}
	for (int i = 0; i < 2; i++) {
		int result;
		assert_int_equal(waitpid(children[i], &result, 0), children[i]);
		assert_true(WIFEXITED(result));
		assert_int_equal(WEXITSTATUS(result), 0);
	}
	assert_int_equal(load(p, &held), 0);
	assert_int_equal(held.size, 4 + 2 * UPDATES); /* no update was lost */
	for (int i = 0; i < 2; i++)
		assert_int_equal(held_find_key(&held, states[i])->seq, UPDATES);
	held_finish(&held);
}

/* Several first contacts at once: one stores, the others see it. */
static void test_first_contacts(void **context)
{
	struct place *p = *context;
	struct held one, two;
	struct refusal why = {0};
	struct hash root = root_of(5);

	assert_int_equal(load(p, &two), 0);
	assert_true(two.empty);
	begin(p, &one);
	two.trust = calloc(2, sizeof(struct envelope *));
	assert_int_equal(envelope_parse(p->world->trust.bytes, p->world->trust.size, &two.trust[0], &why), 0);
	two.n_trust = 1;
	assert_int_equal(envelope_parse(p->world->reg.bytes, p->world->reg.size, &two.reg, &why), 0);
	held_advance(&two, 5, &root, 0);
	assert_int_equal(held_store(p->path, &p->world->directory_id, &two, &why), STATUS_CONFLICT);
	held_finish(&one);
	held_finish(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_folder, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_compare_and_swap, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_first_contacts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
