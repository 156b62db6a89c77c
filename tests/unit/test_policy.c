#include "tests/lib/unit.h"

#include "pocd/directory/policy.h"

enum { COLUMNS_MAX = 32, LINE_ROOM = 1024 };

/* The rows of the table in docs/policy.md: principals as facts. */
struct row {
	const char *name;
	struct principal_facts facts;
};

#define ROLE(role) (1U << POC__ROLE__ROLE_##role)

static const struct row rows[] = {
    {"unlisted", {0}},
    {"reader", {.roles = ROLE(READER)}},
    {"operator", {.roles = ROLE(OPERATOR)}},
    {"coordinator", {.roles = ROLE(COORDINATOR)}},
    {"alert", {.roles = ROLE(ALERT)}},
    {"mirror", {.roles = ROLE(MIRROR)}},
    {"editor", {.editor = true}},
    {"suspended", {.roles = ROLE(READER) | ROLE(OPERATOR) | ROLE(COORDINATOR), .suspended = true}},
    {"suspended mirror", {.roles = ROLE(READER) | ROLE(OPERATOR) | ROLE(MIRROR), .suspended = true}},
    {"@directory admin", {.roles = ROLE(ADMIN), .directory = true}},
    {"@directory server", {.roles = ROLE(SERVER), .directory = true}},
    {"@directory service", {.roles = ROLE(SERVICE), .directory = true}},
    {"@directory coordinator", {.roles = ROLE(COORDINATOR), .directory = true}},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

/* table[row][operation][relation], as the document says. */
struct table {
	bool seen[ROWS], cells[ROWS][OP_COUNT][2];
};

static size_t split(char *line, char *cells[COLUMNS_MAX])
{
	size_t n = 0;

	for (char *cell = strtok(line, "|\n"); cell != NULL && n < COLUMNS_MAX; cell = strtok(NULL, "|\n")) {
		while (*cell == ' ')
			cell++;
		char *end = cell + strlen(cell);
		while (end > cell && end[-1] == ' ')
			*--end = '\0';
		if (*cell != '\0')
			cells[n++] = cell;
	}
	return n;
}

static void read_row(struct table *table, char *cells[], const enum operation *columns)
{
	for (size_t r = 0; r < ROWS; r++) {
		if (strcmp(cells[0], rows[r].name) != 0)
			continue;
		assert_false(table->seen[r]);
		table->seen[r] = true;
		for (size_t c = 0; c < OP_COUNT; c++) {
			const char *cell = cells[c + 1];
			bool yes = strcmp(cell, "yes") == 0, own = strcmp(cell, "own") == 0;
			assert_true(yes || own || strcmp(cell, "-") == 0);
			table->cells[r][columns[c]][OBJECT_OWN] = yes || own;
			table->cells[r][columns[c]][OBJECT_OTHER] = yes;
		}
		return;
	}
	fail_msg("docs/policy.md has a row that the test does not know: %s", cells[0]);
}

static void read_columns(char *cells[], enum operation *columns)
{
	for (size_t c = 0; c < OP_COUNT; c++) {
		bool found = false;
		for (int op = 0; op < OP_COUNT && !found; op++) {
			found = strcmp(cells[c + 1], operation_name((enum operation)op)) == 0;
			columns[c] = (enum operation)op;
		}
		if (!found)
			fail_msg("no operation is called %s", cells[c + 1]);
	}
}

static void read_table(struct table *table)
{
	FILE *file = fopen(TEST_DATA "/../../docs/policy.md", "r");
	enum operation columns[OP_COUNT];
	char line[LINE_ROOM], *cells[COLUMNS_MAX];
	bool header = true;

	memset(table, 0, sizeof *table);
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		if (line[0] != '|' || line[1] == '-')
			continue;
		assert_int_equal(split(line, cells), OP_COUNT + 1);
		if (header)
			read_columns(cells, columns);
		else
			read_row(table, cells, columns);
		header = false;
	}
	fclose(file);
	for (size_t r = 0; r < ROWS; r++)
		assert_true(table->seen[r]);
}

static void test_every_cell(void **context)
{
	struct table table;

	(void)context;
	read_table(&table);
	for (size_t r = 0; r < ROWS; r++) {
		for (int op = 0; op < OP_COUNT; op++) {
			for (int relation = OBJECT_OWN; relation <= OBJECT_OTHER; relation++) {
				struct verdict verdict =
				    policy_decide(&rows[r].facts, (enum operation)op, (enum relation)relation);
				if (verdict.allowed != table.cells[r][op][relation])
					fail_msg("%s, %s, %s: the code says %s", rows[r].name,
						 operation_name((enum operation)op),
						 relation == OBJECT_OWN ? "own" : "other",
						 verdict.allowed ? "yes" : "no");
				assert_non_null(verdict.rule);
			}
		}
	}
}

/* Several roles may what one of them may; suspension takes all but reading the proof of the directory, and
 * from mirrors the log. */
static void test_all_role_sets(void **context)
{
	(void)context;
	for (unsigned roles = 0; roles < 1U << 9; roles += 2) {
		for (unsigned flags = 0; flags < 8; flags++) {
			struct principal_facts who = {roles, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0};
			for (int op = 0; op < OP_COUNT; op++) {
				for (int relation = OBJECT_OWN; relation <= OBJECT_OTHER; relation++) {
					struct principal_facts one = who;
					one.roles = 0;
					bool any =
					    policy_decide(&one, (enum operation)op, (enum relation)relation).allowed;
					for (unsigned role = 1; role < 9; role++) {
						one.roles = roles & 1U << role;
						any |= policy_decide(&one, (enum operation)op, (enum relation)relation)
							   .allowed;
					}
					bool all =
					    policy_decide(&who, (enum operation)op, (enum relation)relation).allowed;
					assert_int_equal(any, all);
					bool mirror = op == OP_FOLLOW && !who.directory && (roles & ROLE(MIRROR)) != 0;
					if (who.suspended && op != OP_TRUST_READ && !mirror)
						assert_false(all);
				}
			}
		}
	}
}

static void test_reader_classes(void **context)
{
	struct table table;

	(void)context;
	read_table(&table);
	for (size_t r = 0; r < ROWS; r++) {
		for (int relation = OBJECT_OWN; relation <= OBJECT_OTHER; relation++) {
			enum reader_class class = policy_reader_class(&rows[r].facts, (enum relation)relation);
			assert_int_equal(section_entitled(POC__TLP__TLP_AMBER_STRICT, class),
					 table.cells[r][OP_SECTION_AMBER_STRICT][relation]);
			assert_int_equal(section_entitled(POC__TLP__TLP_AMBER, class),
					 table.cells[r][OP_SECTION_AMBER][relation]);
		}
	}
	/* what a mirror is given, and while its state is suspended */
	struct principal_facts mirror = {.roles = ROLE(MIRROR)};
	assert_int_equal(policy_mirror_class(&mirror, OBJECT_OWN), READER_OWN);
	assert_int_equal(policy_mirror_class(&mirror, OBJECT_OTHER), READER_OPERATOR);
	mirror.suspended = true;
	assert_int_equal(policy_mirror_class(&mirror, OBJECT_OWN), READER_PLAIN);
	assert_int_equal(policy_mirror_class(&mirror, OBJECT_OTHER), READER_PLAIN);
	struct verdict verdict = policy_decide(&rows[1].facts, OP_COUNT, OBJECT_OWN);
	assert_false(verdict.allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cell), cmocka_unit_test(test_all_role_sets),
					   cmocka_unit_test(test_reader_classes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
