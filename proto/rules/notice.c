#include "proto/rules/notice.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/keys/sealed.h"
#include "proto/rules/rules.h"
#include "proto/rules/signed.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"

static const struct prescan_limits core_limits = {.depth = 4, .fields = 2048, .memory = 512 * 1024};
static const struct prescan_limits inner_limits = {.depth = 4, .fields = 4096, .memory = 4 * 1024 * 1024};

/* ---- Words */

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const char *const category_names[] = {"unknown", "notification", "request-information",  "request-assistance",
					     "update",  "closure",      "communications-check", "note"};
static const char *const urgency_names[] = {"unknown", "routine", "urgent", "emergency"};
static const char *const tlp_names[] = {"unknown",   "TLP:CLEAR",        "TLP:GREEN",
					"TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"};
static const char *const stage_names[] = {"unknown", "early-warning", "notification", "intermediate", "final"};

static const char *word_of(const char *const *words, size_t n, int value)
{
	return words[value > 0 && (size_t)value < n ? value : 0];
}

static int word_find(const char *const *words, size_t n, const char *text)
{
	for (size_t i = 1; i < n; i++) {
		if (strcmp(words[i], text) == 0)
			return (int)i;
	}
	return 0;
}

const char *category_name(Poc__Category category)
{
	return word_of(category_names, COUNT(category_names), (int)category);
}

bool category_parse(const char *text, Poc__Category *out)
{
	*out = (Poc__Category)word_find(category_names, COUNT(category_names), text);
	return *out != 0;
}

const char *urgency_name(Poc__Urgency urgency)
{
	return word_of(urgency_names, COUNT(urgency_names), (int)urgency);
}

bool urgency_parse(const char *text, Poc__Urgency *out)
{
	*out = (Poc__Urgency)word_find(urgency_names, COUNT(urgency_names), text);
	return *out != 0;
}

const char *notice_tlp_name(Poc__NoticeTlp tlp)
{
	return word_of(tlp_names, COUNT(tlp_names), (int)tlp);
}

bool notice_tlp_parse(const char *text, Poc__NoticeTlp *out)
{
	char upper[32] = "TLP:";
	const size_t skip = strncmp(text, "TLP:", 4) == 0 || strncmp(text, "tlp:", 4) == 0 ? 4 : 0;

	*out = POC__NOTICE_TLP__NOTICE_TLP_UNSPECIFIED;
	if (strlen(text + skip) >= sizeof upper - 4)
		return false;
	for (size_t i = skip; text[i] != '\0'; i++)
		upper[4 + i - skip] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
	*out = (Poc__NoticeTlp)word_find(tlp_names, COUNT(tlp_names),
					 strcmp(upper, "TLP:WHITE") == 0 ? "TLP:CLEAR" : upper);
	return *out != 0;
}

const char *stage_name(Poc__Stage stage)
{
	return word_of(stage_names, COUNT(stage_names), (int)stage);
}

bool stage_parse(const char *text, Poc__Stage *out)
{
	*out = (Poc__Stage)word_find(stage_names, COUNT(stage_names), text);
	return *out != 0;
}

/* ---- Ids */

static const char base32_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648, without padding */
enum { ID_DIGITS = 26, ID_GROUP = 4, ID_PREFIX_LEAST = 4 };

int notice_new_id(struct notice_id *out)
{
	return RAND_bytes(out->bytes, sizeof out->bytes) == 1 ? 0 : STATUS_FAILED;
}

static char id_digit(const struct notice_id *id, unsigned at)
{
	unsigned value = 0;

	for (unsigned bit = 5 * at; bit < 5 * at + 5; bit++)
		value = value << 1 | (bit < 8 * NOTICE_ID_SIZE ? id->bytes[bit / 8] >> (7 - bit % 8) & 1U : 0);
	return base32_digits[value];
}

void notice_id_print(const struct notice_id *id, char out[NOTICE_ID_TEXT])
{
	size_t n = 0;

	for (unsigned i = 0; i < ID_DIGITS; i++) {
		if (i > 0 && i % ID_GROUP == 0)
			out[n++] = '-';
		out[n++] = id_digit(id, i);
	}
	out[n] = '\0';
}

bool notice_id_matches(const struct notice_id *id, const char *prefix)
{
	unsigned n = 0;

	for (; *prefix != '\0'; prefix++) {
		const char digit = (char)(*prefix >= 'a' && *prefix <= 'z' ? *prefix - 'a' + 'A' : *prefix);
		if (digit == '-')
			continue;
		if (n == ID_DIGITS || digit != id_digit(id, n))
			return false;
		n++;
	}
	return n >= ID_PREFIX_LEAST;
}

/* ---- Rules of the core */

static bool place_ok(const char *place)
{
	struct name record;

	return strcmp(place, STATE_DIRECTORY) == 0 || place_parse(place, &record);
}

bool desk_valid(const char *place, Poc__PocKind kind)
{
	return place_ok(place) && kind != POC__POC_KIND__POC_KIND_UNSPECIFIED &&
	       (strcmp(place, STATE_DIRECTORY) != 0 || kind == POC__POC_KIND__POC_KIND_COORDINATOR);
}

bool desk_users(const char *place, struct name *out)
{
	const char *slash = strchr(place, '/');
	char state[STATE_MAX_LENGTH + 1];
	const size_t size = slash != NULL ? (size_t)(slash - place) : strlen(place);

	if (size >= sizeof state)
		return false;
	memcpy(state, place, size);
	state[size] = '\0';
	return name_make(NAME_USERS, state, slash != NULL ? slash + 1 : NULL, out);
}

static int check_desk(const Poc__Desk *desk, const char *field, struct refusal *why)
{
	if (desk == NULL || !desk_valid(desk->place, desk->kind))
		return refuse(why, STATUS_INVALID, field, "no place and kind of a point of contact");
	if (desk->n_keys == 0)
		return refuse(why, STATUS_NO_READING_KEY, field, "%s %s has no reading key", desk->place,
			      poc_kind_name(desk->kind));
	if (desk->n_keys > NOTICE_DESK_KEYS_MAX)
		return refuse(why, STATUS_INVALID, field, "at most %d reading keys", NOTICE_DESK_KEYS_MAX);
	for (size_t i = 0; i < desk->n_keys; i++) {
		if (desk->keys[i].len != HASH_SIZE ||
		    (i > 0 && memcmp(desk->keys[i - 1].data, desk->keys[i].data, HASH_SIZE) >= 0))
			return refuse(why, STATUS_INVALID, field, "keys are 32 bytes each, ascending and distinct");
	}
	return 0;
}

static int compare_desks(const Poc__Desk *a, const Poc__Desk *b)
{
	const int order = strcmp(a->place, b->place);

	return order != 0 ? order : (int)a->kind - (int)b->kind;
}

static int check_recipients(const Poc__Core *core, struct refusal *why)
{
	char field[48];

	if (core->n_to == 0 || core->n_to > NOTICE_DESKS_MAX)
		return refuse(why, STATUS_INVALID, "core.to", "1 to %d recipients", NOTICE_DESKS_MAX);
	for (size_t i = 0; i < core->n_to; i++) {
		snprintf(field, sizeof field, "core.to[%zu]", i);
		const int status = check_desk(core->to[i], field, why);
		if (status != 0)
			return status;
		if (i > 0 && compare_desks(core->to[i - 1], core->to[i]) >= 0)
			return refuse(why, STATUS_INVALID, field, "recipients ascend by place and kind, each once");
	}
	if (core->category == POC__CATEGORY__CATEGORY_NOTE &&
	    (core->n_to != 1 || compare_desks(core->to[0], core->from) != 0 || core->n_escalations > 0))
		return refuse(why, STATUS_INVALID, "core.to", "a note goes to one's own desk alone");
	return 0;
}

static int check_escalations(const Poc__Core *core, struct refusal *why)
{
	char field[48];
	int64_t last = core->created;

	if (core->n_escalations > NOTICE_ESCALATIONS_MAX)
		return refuse(why, STATUS_INVALID, "core.escalations", "at most %d", NOTICE_ESCALATIONS_MAX);
	for (size_t i = 0; i < core->n_escalations; i++) {
		snprintf(field, sizeof field, "core.escalations[%zu].to", i);
		const int status = check_desk(core->escalations[i]->to, field, why);
		if (status != 0)
			return status;
		if (core->escalations[i]->at <= last)
			return refuse(why, STATUS_INVALID, field,
				      "escalations come after the notice, one after the other");
		if (core->escalations[i]->at - core->created > NOTICE_AHEAD_MAX)
			return refuse(why, STATUS_INVALID, field, "lies more than ten years ahead");
		last = core->escalations[i]->at;
		for (size_t j = 0; j < core->n_to; j++) {
			if (compare_desks(core->escalations[i]->to, core->to[j]) == 0)
				return refuse(why, STATUS_INVALID, field, "is a recipient already");
		}
		if (compare_desks(core->escalations[i]->to, core->from) == 0)
			return refuse(why, STATUS_INVALID, field, "is the sender's own desk");
	}
	return 0;
}

static int check_core(const Poc__Core *core, struct refusal *why)
{
	if (core->directory_id.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "core.directory_id", "must be 32 bytes");
	if (core->id.len != NOTICE_ID_SIZE || core->thread.len != NOTICE_ID_SIZE ||
	    (core->answers.len != 0 && core->answers.len != NOTICE_ID_SIZE))
		return refuse(why, STATUS_INVALID, "core.id", "ids have %d bytes", NOTICE_ID_SIZE);
	if (memcmp(core->id.data, core->thread.data, NOTICE_ID_SIZE) == 0 && core->answers.len != 0)
		return refuse(why, STATUS_INVALID, "core.answers", "the first notice of a thread answers none");
	if (!handle_valid(core->handle))
		return refuse(why, STATUS_INVALID, "core.handle", "no handle of a user");
	if (core->category == 0 || core->urgency == 0 || core->tlp == 0)
		return refuse(why, STATUS_INVALID, "core.category", "category, urgency and TLP must be given");
	if (core->exercise[0] != '\0' && !id_valid(core->exercise))
		return refuse(why, STATUS_INVALID, "core.exercise", "must match [a-z0-9-]{1,40}");
	if (core->created <= 0)
		return refuse(why, STATUS_INVALID, "core.created", "missing");
	if (core->reply_by != 0 && core->reply_by <= core->created)
		return refuse(why, STATUS_INVALID, "core.reply_by", "lies before the notice");
	if (core->reply_by != 0 && core->reply_by - core->created > NOTICE_AHEAD_MAX)
		return refuse(why, STATUS_INVALID, "core.reply_by", "lies more than ten years ahead");
	int status = check_desk(core->from, "core.from", why);
	if (status == 0)
		status = check_recipients(core, why);
	return status != 0 ? status : check_escalations(core, why);
}

/* ---- Parsing */

static int parse(struct notice *n, struct refusal *why)
{
	ProtobufCMessage *message;
	int status = signed_parse(n->bytes, n->size, NOTICE_TYPE, &n->outer, why);

	if (status == 0)
		status = message_decode(&poc__notice__descriptor, n->outer->payload.data, n->outer->payload.len,
					&core_limits, &message, why);
	if (status != 0)
		return status;
	n->header = (Poc__Notice *)message;
	if (n->header->body_hash.len != HASH_SIZE || n->header->inner_hash.len != HASH_SIZE)
		return refuse(why, STATUS_INVALID, "body_hash", "must be 32 bytes");
	if (n->header->body_size == 0 || n->header->body_size > NOTICE_BODY_MAX)
		return refuse(why, STATUS_TOO_LARGE, "body_size", "a body has 1 to %d bytes", NOTICE_BODY_MAX);
	status = message_decode(&poc__core__descriptor, n->header->core.data, n->header->core.len, &core_limits,
				&message, why);
	if (status != 0)
		return status;
	n->core = (Poc__Core *)message;
	status = check_core(n->core, why);
	if (status != 0)
		return status;
	memcpy(n->id.bytes, n->core->id.data, NOTICE_ID_SIZE);
	memcpy(n->thread.bytes, n->core->thread.data, NOTICE_ID_SIZE);
	return desk_users(n->core->from->place, &n->users) ? 0 : refuse(why, STATUS_INVALID, "core.from", "no place");
}

int notice_parse(const uint8_t *bytes, size_t size, struct notice **out, struct refusal *why)
{
	*out = NULL;
	if (size == 0 || size > NOTICE_HEADER_MAX)
		return refuse(why, STATUS_TOO_LARGE, "envelope", "a notice's header has 1 to %d bytes",
			      NOTICE_HEADER_MAX);
	struct notice *n = calloc(1, sizeof *n + size);
	if (n == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	memcpy(n + 1, bytes, size);
	n->bytes = (const uint8_t *)(n + 1);
	n->size = size;
	n->hash = hash_of(bytes, size);
	n->event = hash_event(bytes, size);
	const int status = parse(n, why);
	if (status != 0) {
		notice_destroy(n);
		return status;
	}
	*out = n;
	return 0;
}

void notice_destroy(struct notice *notice)
{
	if (notice == NULL)
		return;
	message_free(notice->core);
	message_free(notice->header);
	message_free(notice->outer);
	free(notice);
}

bool notice_signed_by(const struct notice *notice, const struct public_key *key, unsigned allowed)
{
	return signed_by(notice->outer, key, allowed);
}

int notice_authorised(const struct notice *notice, const Poc__Users *users, unsigned allowed, int64_t time,
		      const Poc__User **user, struct refusal *why)
{
	return signed_authorised(notice->outer, users, notice->core->handle, notice->core->from->kind, allowed, time,
				 user, why);
}

static bool same_desk(const Poc__Desk *desk, const char *place, Poc__PocKind kind)
{
	return desk->kind == kind && strcmp(desk->place, place) == 0;
}

enum notice_side notice_side(const struct notice *notice, const char *place, Poc__PocKind kind)
{
	const Poc__Core *core = notice->core;

	for (size_t i = 0; i < core->n_to; i++) {
		if (same_desk(core->to[i], place, kind))
			return SIDE_TO;
	}
	if (same_desk(core->from, place, kind))
		return SIDE_FROM;
	for (size_t i = 0; i < core->n_escalations; i++) {
		if (same_desk(core->escalations[i]->to, place, kind))
			return SIDE_ESCALATION;
	}
	return SIDE_NONE;
}

/* ---- Body */

static int order(const void *a, const void *b)
{
	return hash_compare(a, b);
}

static void add_ids(struct hash *out, size_t *n, const Poc__Desk *desk)
{
	for (size_t i = 0; i < desk->n_keys; i++)
		memcpy(out[(*n)++].bytes, desk->keys[i].data, HASH_SIZE);
}

/* The ids of all desks' keys, ascending and distinct; malloc. */
static struct hash *all_ids(const Poc__Core *core, size_t *n)
{
	enum { MOST = (1 + NOTICE_DESKS_MAX + NOTICE_ESCALATIONS_MAX) * NOTICE_DESK_KEYS_MAX };
	struct hash *ids = malloc(MOST * sizeof *ids);
	size_t kept = 0;

	*n = 0;
	if (ids == NULL)
		return NULL;
	add_ids(ids, n, core->from);
	for (size_t i = 0; i < core->n_to; i++)
		add_ids(ids, n, core->to[i]);
	for (size_t i = 0; i < core->n_escalations; i++)
		add_ids(ids, n, core->escalations[i]->to);
	qsort(ids, *n, sizeof *ids, order);
	for (size_t i = 0; i < *n; i++) {
		if (kept == 0 || hash_compare(&ids[kept - 1], &ids[i]) != 0)
			ids[kept++] = ids[i];
	}
	*n = kept;
	return ids;
}

int notice_check_body(const struct notice *notice, const uint8_t *body, size_t size, struct refusal *why)
{
	size_t n;
	const struct hash hash = hash_of(body, size);

	if (size != notice->header->body_size)
		return refuse(why, STATUS_INVALID, "body", "has %zu bytes, the header says %u", size,
			      notice->header->body_size);
	if (memcmp(hash.bytes, notice->header->body_hash.data, HASH_SIZE) != 0)
		return refuse(why, STATUS_INVALID, "body", "is not the one that the header was signed for");
	struct hash *ids = all_ids(notice->core, &n);
	if (ids == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	const int status = sealed_check(body, size, ids, n, why);
	free(ids);
	return status;
}

static int check_inner(const struct notice *notice, const uint8_t *bytes, size_t size, Poc__Inner **out,
		       struct refusal *why)
{
	ProtobufCMessage *message;
	const struct hash hash = hash_of(bytes, size);

	if (memcmp(hash.bytes, notice->header->inner_hash.data, HASH_SIZE) != 0)
		return refuse(why, STATUS_UNVERIFIED, "body", "holds another message than the header was signed for");
	if (message_decode(&poc__inner__descriptor, bytes, size, &inner_limits, &message, why) != 0)
		return refuse(why, STATUS_UNVERIFIED, "body", "holds no message");
	Poc__Inner *inner = (Poc__Inner *)message;
	if (inner->core.len != notice->header->core.len ||
	    memcmp(inner->core.data, notice->header->core.data, inner->core.len) != 0) {
		message_free(inner);
		return refuse(why, STATUS_UNVERIFIED, "body", "belongs to another header");
	}
	if (inner->salt.len != HASH_SIZE || inner->content == NULL || notice_content_check(inner->content, why) != 0) {
		message_free(inner);
		return refuse(why, STATUS_UNVERIFIED, "body", "holds no valid content");
	}
	*out = inner;
	return 0;
}

int notice_open(const struct notice *notice, const uint8_t *body, size_t size, const struct keystore_key *key,
		Poc__Inner **out, struct refusal *why)
{
	uint8_t *inner;
	size_t inner_size;

	*out = NULL;
	int status = notice_check_body(notice, body, size, why);
	if (status != 0)
		return status == STATUS_NO_MEMORY ? status
						  : (why != NULL ? (why->code = STATUS_UNVERIFIED) : STATUS_UNVERIFIED);
	status = sealed_open(body, size, key, &inner, &inner_size, why);
	if (status != 0)
		return status;
	status = check_inner(notice, inner, inner_size, out, why);
	sealed_free(inner, inner_size);
	return status;
}

/* ---- Rules of the content */

enum {
	SUBJECT_MAX = 200,
	TEXT_MAX = 100000,
	SHORT_MAX = 200,
	VALUE_MAX = 500,
	FIELD_MAX = 2000,
	FILE_NAME_MAX = 120,
	INDICATORS_MAX = 500,
	FIELDS_MAX = 100,
	ATTACHMENTS_MAX = 32,
	STATES_MAX = 300
};

static int optional(const char *text, size_t max, enum text_form form, const char *field, struct refusal *why)
{
	return text[0] == '\0' ? 0 : text_check(text, max, form, field, why);
}

static int check_attachment(const Poc__Attachment *attachment, const char *field, struct refusal *why)
{
	const char *name = attachment->name;
	int status = text_check(name, FILE_NAME_MAX, TEXT_LINE, field, why);

	if (status == 0)
		status = optional(attachment->media_type, SHORT_MAX, TEXT_LINE, field, why);
	if (status != 0)
		return status;
	if (strchr(name, '/') != NULL || strchr(name, '\\') != NULL || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return refuse(why, STATUS_INVALID, field, "a file name without folder");
	return 0;
}

static int check_lists(const Poc__NoticeContent *content, struct refusal *why)
{
	char field[48];
	int status = 0;

	if (content->n_states > STATES_MAX || content->n_indicators > INDICATORS_MAX ||
	    content->n_fields > FIELDS_MAX || content->n_attachments > ATTACHMENTS_MAX)
		return refuse(why, STATUS_TOO_LARGE, "content",
			      "at most %d states, %d indicators, %d fields, %d attachments", STATES_MAX, INDICATORS_MAX,
			      FIELDS_MAX, ATTACHMENTS_MAX);
	for (size_t i = 0; status == 0 && i < content->n_states; i++) {
		if (!state_code_valid(content->states[i]))
			status = refuse(why, STATUS_INVALID, "states",
					"\"%.20s\" is no state's code: two capital letters", content->states[i]);
		else if (i > 0 && strcmp(content->states[i - 1], content->states[i]) >= 0)
			status = refuse(why, STATUS_INVALID, "states", "must be ascending and distinct");
	}
	for (size_t i = 0; status == 0 && i < content->n_indicators; i++) {
		const Poc__Indicator *one = content->indicators[i];
		snprintf(field, sizeof field, "indicators[%zu]", i);
		status = id_valid(one->type) ? text_check(one->value, VALUE_MAX, TEXT_LINE, field, why)
					     : refuse(why, STATUS_INVALID, field, "type must match [a-z0-9-]{1,40}");
		if (status == 0)
			status = optional(one->note, FIELD_MAX, TEXT_LOGS, field, why);
	}
	for (size_t i = 0; status == 0 && i < content->n_fields; i++) {
		const Poc__Field *one = content->fields[i];
		snprintf(field, sizeof field, "fields[%zu]", i);
		if (!id_valid(one->name) || (i > 0 && strcmp(content->fields[i - 1]->name, one->name) >= 0))
			status = refuse(why, STATUS_INVALID, field, "names match [a-z0-9-]{1,40} and ascend");
		else
			status = text_check(one->value, FIELD_MAX, TEXT_LOGS, field, why);
	}
	for (size_t i = 0; status == 0 && i < content->n_attachments; i++) {
		snprintf(field, sizeof field, "attachments[%zu]", i);
		status = check_attachment(content->attachments[i], field, why);
	}
	return status;
}

int notice_content_check(const Poc__NoticeContent *content, struct refusal *why)
{
	const struct {
		const char *text, *field;
		size_t max;
		enum text_form form;
	} texts[] = {
	    {content->text, "text", TEXT_MAX, TEXT_LOGS},
	    {content->template_, "template", SHORT_MAX, TEXT_LINE},
	    {content->rsit_class, "rsit_class", SHORT_MAX, TEXT_LINE},
	    {content->rsit_version, "rsit_version", SHORT_MAX, TEXT_LINE},
	    {content->sector, "sector", SHORT_MAX, TEXT_LINE},
	    {content->assistance, "assistance", FIELD_MAX, TEXT_LOGS},
	    {content->reply_channel, "reply_channel", VALUE_MAX, TEXT_LINE},
	    {content->our_reference, "our_reference", SHORT_MAX, TEXT_LINE},
	    {content->earlier_contact, "earlier_contact", VALUE_MAX, TEXT_LINE},
	};
	int status = text_check(content->subject, SUBJECT_MAX, TEXT_LINE, "subject", why);

	for (size_t i = 0; status == 0 && i < COUNT(texts); i++)
		status = optional(texts[i].text, texts[i].max, texts[i].form, texts[i].field, why);
	if (status != 0)
		return status;
	if (content->language[0] != '\0' && !language_tag_valid(content->language))
		return refuse(why, STATUS_INVALID, "language", "no BCP 47 language tag");
	if (content->detected < 0 || content->started < 0)
		return refuse(why, STATUS_INVALID, "detected", "negative time");
	return check_lists(content, why);
}

/* ---- Making */

/* Size classes: powers of two with one step between, so that padding hides all but the order of size. */
static size_t size_class(size_t size)
{
	size_t class = 1024;

	while (class < size) {
		if (class + class / 2 >= size)
			return class + class / 2;
		class *= 2;
	}
	return class;
}

/* Room that the CMS of the largest body must leave for recipients. */
enum { CMS_RECIPIENT = 226, CMS_REST = 256 };

static int fill_desk(Poc__Desk *desk, const struct notice_keys *keys, ProtobufCBinaryData *room, struct refusal *why)
{
	if (keys->n == 0 || keys->n > NOTICE_DESK_KEYS_MAX)
		return refuse(why, keys->n == 0 ? STATUS_NO_READING_KEY : STATUS_INVALID, "keys",
			      keys->n == 0 ? "%s %s has no reading key" : "%s %s has too many reading keys",
			      desk->place, poc_kind_name(desk->kind));
	desk->keys = room;
	desk->n_keys = keys->n;
	for (size_t i = 0; i < keys->n; i++) {
		ProtobufCBinaryData id = {HASH_SIZE, (uint8_t *)keys->keys[i].id.bytes};
		size_t at = i;
		for (; at > 0 && memcmp(room[at - 1].data, id.data, HASH_SIZE) > 0; at--)
			room[at] = room[at - 1];
		room[at] = id;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return hash_compare(&((const struct public_key *)a)->id, &((const struct public_key *)b)->id);
}

/* All desks' keys, each once; malloc. */
static struct public_key *gather(const struct notice_keys *keys, size_t n_desks, size_t *n)
{
	size_t total = 0, kept = 0;

	for (size_t i = 0; i < n_desks; i++)
		total += keys[i].n;
	struct public_key *all = malloc((total > 0 ? total : 1) * sizeof *all);
	if (all == NULL)
		return NULL;
	*n = 0;
	for (size_t i = 0; i < n_desks; i++)
		for (size_t j = 0; j < keys[i].n; j++)
			all[(*n)++] = keys[i].keys[j];
	qsort(all, *n, sizeof *all, by_id);
	for (size_t i = 0; i < *n; i++) {
		if (kept == 0 || hash_compare(&all[kept - 1].id, &all[i].id) != 0)
			all[kept++] = all[i];
	}
	*n = kept;
	return all;
}

/* Packs the inner message, padded to its size class or as far as the body may grow. */
static int pack_inner(const ProtobufCBinaryData *core, const Poc__NoticeContent *content, size_t n_recipients,
		      uint8_t **out, size_t *size, struct refusal *why)
{
	Poc__Inner inner = POC__INNER__INIT;
	uint8_t salt[HASH_SIZE];
	const size_t most = NOTICE_BODY_MAX - n_recipients * CMS_RECIPIENT - CMS_REST;

	if (RAND_bytes(salt, sizeof salt) != 1)
		return refuse(why, STATUS_FAILED, "", "no random numbers");
	inner.core = *core;
	inner.salt = (ProtobufCBinaryData){sizeof salt, salt};
	inner.content = (Poc__NoticeContent *)content;
	const size_t bare = poc__inner__get_packed_size(&inner);
	if (bare > most)
		return refuse(why, STATUS_TOO_LARGE, "content", "%zu bytes with attachments, at most %zu", bare, most);
	const size_t class = size_class(bare) < most ? size_class(bare) : most;
	const size_t room = class - bare;
	size_t padding = room > 2 ? room - 2 : 0; /* tag and length: two bytes below 128, then three, then four */
	if (padding >= 128)
		padding -= padding - 1 >= 16384 ? 2 : 1;
	uint8_t *zeros = calloc(1, padding > 0 ? padding : 1);
	if (zeros == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	inner.padding = (ProtobufCBinaryData){padding, zeros};
	const int status = message_encode(&inner, out, size);
	free(zeros);
	return status != 0 ? refuse(why, status, "", "out of memory") : 0;
}

static int seal_and_sign(const ProtobufCBinaryData *core, const Poc__NoticeContent *content,
			 const struct public_key *keys, size_t n, const struct keystore_key *signer, uint8_t **header,
			 size_t *header_size, uint8_t **body, size_t *body_size, struct refusal *why)
{
	Poc__Notice notice = POC__NOTICE__INIT;
	uint8_t *inner;
	size_t inner_size;
	int status = pack_inner(core, content, n, &inner, &inner_size, why);

	if (status != 0)
		return status;
	struct hash inner_hash = hash_of(inner, inner_size);
	status = sealed_make(inner, inner_size, keys, n, body, body_size, why);
	sealed_free(inner, inner_size);
	if (status != 0)
		return status;
	struct hash body_hash = hash_of(*body, *body_size);
	notice.core = *core;
	notice.body_hash = (ProtobufCBinaryData){HASH_SIZE, body_hash.bytes};
	notice.body_size = (uint32_t)*body_size;
	notice.inner_hash = (ProtobufCBinaryData){HASH_SIZE, inner_hash.bytes};
	return signed_make(&notice.base, NOTICE_TYPE, signer, header, header_size, why);
}

static int fill_core(Poc__Core *core, const struct notice_keys *keys, ProtobufCBinaryData *room, struct refusal *why)
{
	int status = fill_desk(core->from, keys++, room, why);

	for (size_t i = 0; status == 0 && i < core->n_to; i++)
		status = fill_desk(core->to[i], keys++, room += NOTICE_DESK_KEYS_MAX, why);
	for (size_t i = 0; status == 0 && i < core->n_escalations; i++)
		status = fill_desk(core->escalations[i]->to, keys++, room += NOTICE_DESK_KEYS_MAX, why);
	return status;
}

/* The lists lay in memory that ends with notice_make. */
static void empty_core(Poc__Core *core)
{
	core->from->n_keys = 0;
	core->from->keys = NULL;
	for (size_t i = 0; i < core->n_to; i++) {
		core->to[i]->n_keys = 0;
		core->to[i]->keys = NULL;
	}
	for (size_t i = 0; i < core->n_escalations; i++) {
		core->escalations[i]->to->n_keys = 0;
		core->escalations[i]->to->keys = NULL;
	}
}

int notice_make(Poc__Core *core, const Poc__NoticeContent *content, const struct notice_keys *keys,
		const struct keystore_key *signer, uint8_t **header, size_t *header_size, uint8_t **body,
		size_t *body_size, struct refusal *why)
{
	const size_t n_desks = 1 + core->n_to + core->n_escalations;
	size_t n_all = 0;

	*header = *body = NULL;
	int status = notice_content_check(content, why);
	if (status != 0)
		return status;
	if (core->n_to > NOTICE_DESKS_MAX || core->n_escalations > NOTICE_ESCALATIONS_MAX)
		return refuse(why, STATUS_INVALID, "core.to", "at most %d recipients", NOTICE_DESKS_MAX);
	ProtobufCBinaryData *room = malloc(n_desks * NOTICE_DESK_KEYS_MAX * sizeof *room), packed = {0, NULL};
	struct public_key *all = gather(keys, n_desks, &n_all);
	if (room == NULL || all == NULL)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	else
		status = fill_core(core, keys, room, why);
	if (status == 0)
		status = check_core(core, why);
	if (status == 0 && message_encode(core, &packed.data, &packed.len) != 0)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	if (status == 0)
		status = seal_and_sign(&packed, content, all, n_all, signer, header, header_size, body, body_size, why);
	if (status != 0) {
		free(*body);
		*body = NULL;
	}
	empty_core(core);
	free(packed.data);
	free(all);
	free(room);
	return status;
}
