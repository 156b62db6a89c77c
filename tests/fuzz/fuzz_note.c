/* Signed notes, checkpoints, verifier keys: no input verifies by a key that never signed. */
#include <string.h>

#include "proto/proof/checkpoint.h"
#include "proto/proof/note.h"
#include "tests/fuzz/fuzz.h"

static void check_checkpoint(const struct note *note)
{
	struct checkpoint checkpoint;
	char text[NOTE_MAX];
	if (checkpoint_parse(note->text, note->text_size, &checkpoint, NULL) != 0)
		return;
	MUST(checkpoint_format(&checkpoint, text, sizeof text) == (long)note->text_size);
	MUST(memcmp(text, note->text, note->text_size) == 0);
}

static void check_vkey(const uint8_t *bytes, size_t size)
{
	char text[400];
	struct note_key key;
	if (size >= sizeof text)
		return;
	memcpy(text, bytes, size);
	text[size] = '\0';
	if (note_key_parse(text, &key) == 0)
		MUST(strncmp(text, key.name, strlen(key.name)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const uint8_t unused[32] = {1, 2, 3};
	struct note note;
	struct note_key key;

	check_vkey(bytes, size);
	if (note_parse((const char *)bytes, size, &note, NULL) != 0)
		return 0;
	MUST(note.n_lines > 0 && note.n_lines <= NOTE_LINES_MAX && note.text_size < size);
	check_checkpoint(&note);
	for (size_t i = 0; i < note.n_lines; i++) {
		char name[NOTE_NAME_MAX + 1];
		snprintf(name, sizeof name, "%.*s", (int)note.lines[i].name_length, note.lines[i].name);
		MUST(note_key_init(&key, name, NOTE_ED25519, unused) == 0);
		MUST(note_verify(&note, &key, NULL) != NOTE_GOOD);
		memcpy(key.hash, note.lines[i].key_hash, sizeof key.hash);
		MUST(note_verify(&note, &key, NULL) == NOTE_BAD);
	}
	return 0;
}
