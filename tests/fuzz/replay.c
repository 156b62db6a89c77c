/* replay PATH...: feeds every file below the paths to the fuzz target it is linked with; of a .tsv file, every line's
 * second field, in hexadecimal. */
#include <ftw.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static size_t n_inputs;

/* The target gets memory of exactly the input's size, so that checkers see a read beyond it. */
static void feed(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	n_inputs++;
}

static void feed_line(char *line)
{
	char *hex = strchr(line, '\t');
	if (!hex)
		return;
	uint8_t *bytes = malloc(strlen(hex));
	size_t size = 0;
	if (!bytes)
		abort();
	for (hex++; hex[0] && hex[1] && hex[0] != '\n'; hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};
		bytes[size++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	feed(bytes, size);
	free(bytes);
}

static void feed_lines(FILE *file)
{
	char *line = NULL;
	size_t room = 0;
	while (getline(&line, &room, file) >= 0)
		feed_line(line);
	free(line);
}

static void feed_file(FILE *file)
{
	static uint8_t bytes[4 * 1024 * 1024];
	feed(bytes, fread(bytes, 1, sizeof bytes, file));
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	const size_t length = strlen(path);
	(void)status, (void)walk;

	if (kind != FTW_F)
		return 0;
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 1;
	}
	if (length > 4 && strcmp(path + length - 4, ".tsv") == 0)
		feed_lines(file);
	else
		feed_file(file);
	fclose(file);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (nftw(argv[i], visit, 16, FTW_PHYS) != 0)
			return 1;
	printf("%zu inputs\n", n_inputs);
	return n_inputs == 0;
}
