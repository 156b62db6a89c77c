#include "clients/cli/near.h"

#include <stdbool.h>
#include <string.h>

enum { LONGEST = 64, SHORT = 4, BEGINNING = 3 };

static char plain(char c)
{
	if (c == '-')
		return '_';
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment, by three rows of its table. */
static unsigned distance(const char *a, size_t length_a, const char *b, size_t length_b)
{
	unsigned rows[3][LONGEST + 1];

	for (unsigned j = 0; j <= length_b; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= length_a; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *before = rows[(i - 1) % 3], *second = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			row[j] = least(before[j], row[j - 1]) + 1;
			row[j] = least(row[j], before[j - 1] + (plain(a[i - 1]) != plain(b[j - 1])));
			if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) && plain(a[i - 2]) == plain(b[j - 1]))
				row[j] = least(row[j], second[j - 2] + 1);
		}
	}
	return rows[length_a % 3][length_b];
}

static bool begins(const char *typed, size_t length, const char *meant)
{
	for (size_t i = 0; i < length; i++) {
		if (plain(typed[i]) != plain(meant[i]))
			return false;
	}
	return true;
}

unsigned near_distance(const char *typed, const char *meant)
{
	const size_t length = strlen(typed), whole = strlen(meant);

	if (length == 0 || length > LONGEST || whole > LONGEST)
		return NEAR_NOT;
	const unsigned far = distance(typed, length, meant, whole);
	if (far <= (length <= SHORT || whole <= SHORT ? NEAR_MOST / 2 : NEAR_MOST))
		return far;
	return length >= BEGINNING && length < whole && begins(typed, length, meant) ? NEAR_MOST : NEAR_NOT;
}
