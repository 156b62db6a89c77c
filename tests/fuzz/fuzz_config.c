/* pocd.conf: whatever the file, a refusal says where and why. */
#include <sys/mman.h>
#include <unistd.h>

#include "pocd/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct config config;
	struct refusal why = {0};
	char path[40];
	const int file = memfd_create("config", MFD_CLOEXEC);

	MUST(file >= 0 && write(file, bytes, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	const int status = config_read(path, &config, &why);
	MUST(status == 0 || (why.code == status && why.message[0]));
	close(file);
	return 0;
}
