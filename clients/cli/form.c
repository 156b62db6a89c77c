#include "clients/cli/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/near.h"
#include "clients/libpoc/content.h"
#include "pocd/base/ini.h"
#include "proto/rules/names.h"
#include "proto/rules/notice.h"
#include "proto/rules/rules.h"
#include "proto/rules/users.h"
#include "proto/wire/prescan.h"
#include "proto/wire/utf8.h"

/* ---- The fields */

enum kind {
	TEMPLATE_TITLE,
	TEMPLATE_ASKS,
	HEADER,      /* a word or line that its own check knows */
	HEADER_FLAG, /* true or false */
	HEADER_LIST, /* places: a text with commas, or a list */
	LINE,        /* content from here on, judged by the rules of notices */
	FLAG,
	TIME,
	NUMBER,
	LIST,
	INDICATORS,
	JSON_ONLY,
	OWN /* the template's own fields */
};

struct field {
	const char *name;
	enum kind kind;
	unsigned use; /* of enum form_use */
	bool (*valid)(const char *text);
	const char *help;
};

enum { ALWAYS = FORM_SEND | FORM_REPLY | FORM_NOTE, TALK = FORM_SEND | FORM_REPLY };

static bool any_line(const char *text)
{
	return text_check(text, 2000, false, "", NULL) == 0;
}

static bool kind_valid(const char *text)
{
	Poc__PocKind kind;

	return poc_kind_parse(text, &kind);
}

static bool category_valid(const char *text)
{
	Poc__Category category;

	return category_parse(text, &category) && category != POC__CATEGORY__CATEGORY_NOTE;
}

static bool urgency_valid(const char *text)
{
	Poc__Urgency urgency;

	return urgency_parse(text, &urgency);
}

static bool tlp_valid(const char *text)
{
	Poc__NoticeTlp tlp;

	return notice_tlp_parse(text, &tlp);
}

/* Whether it is past is told when the notice is made: a template does not grow old by it. */
static bool when_valid(const char *text)
{
	int64_t time;
	uint64_t span;

	return time_from_text(text, &time) == 0 || (ini_duration_ms(text, &span) && span >= 1000);
}

static const struct field fields[] = {
    {"title", TEMPLATE_TITLE, 0, NULL, NULL},
    {"asks", TEMPLATE_ASKS, 0, NULL, NULL},
    {"to", HEADER_LIST, FORM_SEND, any_line, "to whom: places, with commas between them"},
    {"kind", HEADER, FORM_SEND, kind_valid, "technical (default), diplomatic or coordinator"},
    {"category", HEADER, TALK, category_valid,
     "notification, request-information, request-assistance, update, closure or communications-check"},
    {"urgency", HEADER, TALK, urgency_valid, "routine, urgent or emergency"},
    {"tlp", HEADER, TALK, tlp_valid, "CLEAR, GREEN, AMBER, AMBER+STRICT or RED"},
    {"exercise", HEADER, FORM_SEND, id_valid, "the exercise's name, [a-z0-9-], 1 to 40 characters: marked for ever"},
    {"reply_by", HEADER, TALK, when_valid, "when an answer is wanted: 24h, or a time like 2026-11-24T12:00:00Z"},
    {"escalate", HEADER, FORM_SEND, any_line,
     "who sees it when nobody acknowledges it by then: diplomatic, or a place"},
    {"separately", HEADER_FLAG, FORM_SEND, NULL, "yes: one notice to each recipient, who do not see each other"},
    {"subject", LINE, ALWAYS, NULL, "one line"},
    {"stage", LINE, TALK, NULL, "early-warning, notification, intermediate or final"},
    {"rsit_class", LINE, TALK, NULL, "class or class/value of the taxonomy RSIT, e.g. availability/ddos"},
    {"rsit_version", LINE, TALK, NULL, "the taxonomy's version"},
    {"states", LIST, TALK, NULL, "states affected: two letters each, with commas between them"},
    {"cross_border", FLAG, TALK, NULL, "yes: more than one state is concerned"},
    {"malicious", FLAG, TALK, NULL, "yes: it is suspected to be an act, and no accident"},
    {"started", TIME, TALK, NULL, "when it began, e.g. 2026-11-24T12:00:00Z"},
    {"detected", TIME, TALK, NULL, "when it was noticed"},
    {"sector", LINE, TALK, NULL, "e.g. energy"},
    {"critical_infrastructure", FLAG, TALK, NULL, "yes: it is concerned"},
    {"indicators", INDICATORS, TALK, NULL,
     "one a line, indented: TYPE VALUE, or TYPE VALUE -- NOTE; e.g. ip 192.0.2.1"},
    {"assistance", LINE, TALK, NULL, "what is sought"},
    {"language", LINE, TALK, NULL, "of this notice, e.g. en"},
    {"reply_channel", LINE, TALK, NULL, "how you want to be reached"},
    {"our_reference", LINE, TALK, NULL, "your own ticket"},
    {"earlier_contact", LINE, TALK, NULL, "reference to a contact elsewhere"},
    {"template", LINE, TALK, NULL, "what this form was made from"},
    {"template_version", NUMBER, TALK, NULL, "and its version"},
    {"attachments", JSON_ONLY, ALWAYS, NULL, NULL},
    {"fields", OWN, ALWAYS, NULL, NULL},
    {"text", LINE, ALWAYS, NULL, NULL},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const struct field *find(const char *name)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	}
	return NULL;
}

/* ---- Own fields */

static json_t *own_find(const json_t *list, const char *name)
{
	size_t i;
	json_t *one;

	json_array_foreach((json_t *)list, i, one)
	{
		const char *each = json_string_value(json_object_get(one, "name"));
		if (each != NULL && strcmp(each, name) == 0)
			return one;
	}
	return NULL;
}

static const char *own_value(const json_t *one)
{
	const char *value = json_string_value(json_object_get(one, "value"));

	return value != NULL ? value : "";
}

/* Puts one in its place of the list: ascending by name, as the rules of notices want it. */
static int own_put(json_t *form, const char *name, const char *value)
{
	json_t *list = json_object_get(form, "fields");
	size_t at = 0;

	if (list == NULL && json_object_set_new(form, "fields", list = json_array()) != 0)
		return STATUS_NO_MEMORY;
	json_t *old = own_find(list, name);
	if (old != NULL)
		return json_object_set_new(old, "value", json_string(value)) == 0 ? 0 : STATUS_NO_MEMORY;
	while (at < json_array_size(list) &&
	       strcmp(json_string_value(json_object_get(json_array_get(list, at), "name")), name) < 0)
		at++;
	return json_array_insert_new(list, at, json_pack("{s:s,s:s}", "name", name, "value", value)) == 0
		   ? 0
		   : STATUS_NO_MEMORY;
}

/* ---- Names that are not known */

static void nearer(const char *name, const char *each, const char **best, unsigned *far)
{
	const unsigned distance = near_distance(name, each);

	if (distance < *far) {
		*far = distance;
		*best = each;
	}
}

/* The field that somebody may have meant by a name that there is not; NULL: none.  Borrowed. */
static const char *meant_by(const char *name, const json_t *declared)
{
	const char *best = NULL;
	unsigned far = NEAR_NOT;
	size_t i;
	json_t *one;

	for (i = 0; i < FIELDS; i++) {
		if (fields[i].use != 0 && fields[i].kind != JSON_ONLY && fields[i].kind != OWN)
			nearer(name, fields[i].name, &best, &far);
	}
	json_array_foreach((json_t *)declared, i, one)
	{
		const char *each = json_string_value(json_object_get(one, "name"));
		if (each != NULL)
			nearer(name, each, &best, &far);
	}
	return best;
}

static int refuse_unknown(const char *name, const json_t *declared, struct refusal *why)
{
	const char *meant = meant_by(name, declared);

	if (meant != NULL)
		return refuse(why, STATUS_INVALID, "", "unknown template field \"%.60s\": did you mean \"%.60s\"?",
			      name, meant);
	return refuse(why, STATUS_INVALID, "", "unknown template field \"%.60s\"", name);
}

/* ---- What a value may be */

static int check_title(const json_t *value, struct refusal *why)
{
	return json_is_string(value) ? text_check(json_string_value(value), 200, false, "title", why)
				     : refuse(why, STATUS_INVALID, "title", "must be a text");
}

/* Whether there are such fields is checked at the end, when the own ones are known. */
static int check_asks(const json_t *value, struct refusal *why)
{
	size_t i;
	json_t *one;

	if (!json_is_array(value))
		return refuse(why, STATUS_INVALID, "asks", "must be a list of names");
	json_array_foreach((json_t *)value, i, one)
	{
		if (!json_is_string(one))
			return refuse(why, STATUS_INVALID, "asks", "must be a list of names");
	}
	return 0;
}

static int check_header(const struct field *field, const json_t *value, struct refusal *why)
{
	size_t i;
	json_t *one;

	if (field->kind == HEADER_FLAG)
		return json_is_boolean(value) ? 0 : refuse(why, STATUS_INVALID, field->name, "must be true or false");
	if (field->kind == HEADER_LIST && json_is_array(value)) {
		json_array_foreach((json_t *)value, i, one)
		{
			if (!json_is_string(one) || !field->valid(json_string_value(one)))
				return refuse(why, STATUS_INVALID, field->name, "must be places");
		}
		return 0;
	}
	if (!json_is_string(value))
		return refuse(why, STATUS_INVALID, field->name, "must be a text");
	return field->valid(json_string_value(value)) ? 0
						      : refuse(why, STATUS_INVALID, field->name, "\"%.60s\" is not: %s",
							       json_string_value(value), field->help);
}

/* Judged as in a notice that says nothing else. */
static int check_content(const char *name, const json_t *value, struct refusal *why)
{
	Poc__NoticeContent *content = NULL;
	json_t *alone = json_pack("{s:s}", "subject", "-");

	if (alone == NULL || json_object_set(alone, name, (json_t *)value) != 0) {
		json_decref(alone);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	int status = notice_content_from_json(alone, &content, why);
	if (status == 0)
		status = notice_content_check(content, why);
	message_free(content);
	json_decref(alone);
	return status;
}

static int check_own(const char *name, const char *value, const json_t *declared, struct refusal *why)
{
	if (declared != NULL && own_find(declared, name) == NULL)
		return refuse_unknown(name, declared, why);
	if (find(name) != NULL)
		return refuse(why, STATUS_INVALID, "", "\"%s\" is a field of every notice, and stands above [fields]",
			      name);
	if (!id_valid(name))
		return refuse(why, STATUS_INVALID, "", "\"%.60s\": names of fields match [a-z0-9-]{1,40}", name);
	return value[0] == '\0' ? 0 : text_check(value, 2000, true, name, why);
}

/* *out: the same in order. */
static int check_owns(const json_t *value, const json_t *declared, json_t *form, struct refusal *why)
{
	size_t i;
	json_t *one;
	int status = json_is_array(value) ? 0 : refuse(why, STATUS_INVALID, "fields", "must be a list");

	json_array_foreach((json_t *)value, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		const json_t *text = json_object_get(one, "value");
		if (status != 0)
			break;
		if (name == NULL || (text != NULL && !json_is_string(text)) ||
		    json_object_size(one) > 1 + (text != NULL))
			status =
			    refuse(why, STATUS_INVALID, "fields", "must be a list of {\"name\": ..., \"value\": ...}");
		else if (own_find(json_object_get(form, "fields"), name) != NULL)
			status = refuse(why, STATUS_INVALID, "fields", "\"%.60s\" is given twice", name);
		else
			status = check_own(name, own_value(one), declared, why);
		if (status == 0 && own_put(form, name, own_value(one)) != 0)
			status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	return status;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum { WORDS_MAX = 400 };

/* Takes the reference of a list; returns it as the rules of notices want it: ascending, each once.  One that cannot be
 * so is returned as it is, to be refused. */
static json_t *in_order(json_t *list)
{
	const char *words[WORDS_MAX];
	const size_t n = json_array_size(list);
	bool good = n > 0 && n <= WORDS_MAX;

	for (size_t i = 0; i < n && good; i++) {
		words[i] = json_string_value(json_array_get(list, i));
		good = words[i] != NULL;
	}
	json_t *sorted = good ? json_array() : NULL;
	if (sorted == NULL)
		return list;
	qsort(words, n, sizeof *words, compare_words);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(words[i - 1], words[i]) != 0)
			json_array_append_new(sorted, json_string(words[i]));
	}
	json_decref(list);
	return sorted;
}

/* Takes the reference of value. */
static int put(json_t *form, const struct field *field, json_t *value, const json_t *declared, struct refusal *why)
{
	int status = 0;

	if (value == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	if (json_is_string(value) && json_string_length(value) == 0) { /* not given */
		json_decref(value);
		return 0;
	}
	if (field->kind == LIST)
		value = in_order(value);
	switch (field->kind) {
	case TEMPLATE_TITLE:
		status = check_title(value, why);
		break;
	case TEMPLATE_ASKS:
		status = check_asks(value, why);
		break;
	case HEADER:
	case HEADER_FLAG:
	case HEADER_LIST:
		status = check_header(field, value, why);
		break;
	case OWN:
		status = check_owns(value, declared, form, why);
		json_decref(value);
		return status;
	default:
		status = check_content(field->name, value, why);
	}
	if (status != 0)
		json_decref(value);
	else if (json_object_set_new(form, field->name, value) != 0)
		status = refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	return status;
}

static int check_asked(const json_t *form, struct refusal *why)
{
	size_t i;
	json_t *one;

	json_array_foreach(json_object_get(form, "asks"), i, one)
	{
		const struct field *field = find(json_string_value(one));
		bool known = field != NULL ? field->use != 0 && field->kind != OWN && field->kind != JSON_ONLY
					   : own_find(json_object_get(form, "fields"), json_string_value(one)) != NULL;
		if (!known)
			return refuse(why, STATUS_INVALID, "asks", "unknown template field \"%.60s\"",
				      json_string_value(one));
	}
	return 0;
}

/* ---- As other systems write */

char *form_plain(const char *text, size_t size, size_t *plain_size)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t start = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
	char *copy = malloc(size + 1), *to = copy;

	if (copy == NULL)
		return NULL;
	for (size_t i = start; i < size; i++) {
		if (text[i] != '\r' || i + 1 == size || text[i + 1] != '\n')
			*to++ = text[i];
	}
	*to = '\0';
	if (plain_size != NULL)
		*plain_size = (size_t)(to - copy);
	return copy;
}

/* Every text in a document, however deep: the parser bounds that. */
static int plain_strings(json_t *json)
{
	json_t *value;
	const char *name;
	size_t i;
	int status = 0;

	if (json_is_string(json)) {
		char *plain = form_plain(json_string_value(json), json_string_length(json), &i);
		status = plain != NULL && json_string_setn(json, plain, i) == 0 ? 0 : STATUS_NO_MEMORY;
		free(plain);
	}
	json_array_foreach(json, i, value)
	{
		if (status == 0)
			status = plain_strings(value);
	}
	json_object_foreach(json, name, value)
	{
		if (status == 0)
			status = plain_strings(value);
	}
	return status;
}

/* A script that means one and names none must not send a live notice; the text form shows its fields empty. */
static bool empty_exercise(const char *name, const char *value)
{
	return strcmp(name, "exercise") == 0 && value != NULL && value[0] == '\0';
}

static int refuse_exercise(struct refusal *why)
{
	return refuse(why, STATUS_USAGE, "exercise", "is empty: leave it out where the notice is of none");
}

/* ---- JSON */

static int parse_json(const char *text, size_t size, const json_t *declared, json_t *form, struct refusal *why)
{
	json_error_t error;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error), *value;
	const char *name;
	int status = 0;

	if (json == NULL)
		return refuse(why, STATUS_INVALID, "", "line %d: %.200s", error.line, error.text);
	if (plain_strings(json) != 0) {
		json_decref(json);
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	}
	json_object_foreach(json, name, value)
	{
		const struct field *field = find(name);
		if (strcmp(name, "schema") == 0)
			continue;
		status = empty_exercise(name, json_string_value(value)) ? refuse_exercise(why)
			 : field != NULL ? put(form, field, json_incref(value), declared, why)
					 : refuse_unknown(name, NULL, why);
		if (status != 0)
			break;
	}
	json_decref(json);
	return status;
}

/* ---- Values as a text has them */

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

static void trim_end(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && strchr(" \t\n", text[length - 1]) != NULL)
		text[--length] = '\0';
}

/* Words between commas or blanks; NULL: too many. */
static json_t *list_of(char *text)
{
	json_t *list = json_array();
	char *rest = NULL;

	for (char *word = strtok_r(text, ", \t\n", &rest); word != NULL; word = strtok_r(NULL, ", \t\n", &rest)) {
		if (json_array_size(list) == WORDS_MAX) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, json_string(word));
	}
	return list;
}

static json_t *indicator_of(char *line)
{
	size_t type = strcspn(line, " \t");
	char *value = skip_blanks(line + type), *note = strstr(value, " -- ");

	if (note != NULL) {
		*note = '\0';
		note = skip_blanks(note + 4);
		trim_end(note);
	}
	trim_end(value);
	line[type] = '\0';
	json_t *one = json_pack("{s:s,s:s}", "type", line, "value", value);
	if (note != NULL)
		json_object_set_new(one, "note", json_string(note));
	return one;
}

static json_t *indicators_of(char *text)
{
	json_t *list = json_array();

	for (char *line = strsep(&text, "\n"); line != NULL; line = strsep(&text, "\n")) {
		line = skip_blanks(line);
		if (line[0] != '\0')
			json_array_append_new(list, indicator_of(line));
	}
	return list;
}

/* NULL: no value that the field can hold. */
static json_t *value_of(const struct field *field, char *text)
{
	char *end;

	switch (field->kind) {
	case TEMPLATE_ASKS:
	case LIST:
		return list_of(text);
	case INDICATORS:
		return indicators_of(text);
	case NUMBER: {
		unsigned long long number = strtoull(text, &end, 10);
		return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number <= INT64_MAX
			   ? json_integer((json_int_t)number)
			   : NULL;
	}
	case FLAG:
	case HEADER_FLAG:
		if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
			return json_true();
		return strcmp(text, "no") == 0 || strcmp(text, "false") == 0 ? json_false() : NULL;
	default:
		return json_string(text);
	}
}

static const char *wanted(const struct field *field)
{
	return field->kind == FLAG || field->kind == HEADER_FLAG ? "must be yes or no"
	       : field->kind == NUMBER                           ? "must be a number"
								 : "too many";
}

/* value is changed. */
static int set_known(json_t *form, const struct field *field, char *value, struct refusal *why)
{
	json_t *json = value_of(field, value);

	return json != NULL ? put(form, field, json, NULL, why)
			    : refuse(why, STATUS_INVALID, field->name, "%s", wanted(field));
}

static int set_own(json_t *form, const char *name, const char *value, const json_t *declared, struct refusal *why)
{
	int status = check_own(name, value, declared, why);

	return status == 0 && own_put(form, name, value) != 0 ? refuse(why, STATUS_NO_MEMORY, "", "out of memory")
							      : status;
}

/* An own field by its bare name, which may be a slip of the hand: one that is near another's name is none, unless the
 * template has it. */
static int set_bare(json_t *form, const char *name, const char *value, const json_t *declared, struct refusal *why)
{
	const bool expected = declared != NULL && own_find(declared, name) != NULL;
	const char *meant = expected ? NULL : meant_by(name, declared);

	if (meant == NULL || declared != NULL)
		return set_own(form, name, value, declared, why);
	return refuse(why, STATUS_INVALID, "",
		      "there is no such field: did you mean \"%s\"?  For a field of your own: " FORM_OWN "%.60s", meant,
		      name);
}

int form_set(json_t *form, const char *name, const char *value, const json_t *declared, struct refusal *why)
{
	const bool own = strncmp(name, FORM_OWN, strlen(FORM_OWN)) == 0;
	const struct field *field = own ? NULL : find(name);

	if (!utf8_valid(value, strlen(value)))
		return refuse(why, STATUS_INVALID, "", "must be UTF-8");
	if (field != NULL && (field->use == 0 || field->kind == JSON_ONLY || field->kind == OWN))
		return refuse(why, STATUS_INVALID, "", "\"%s\" is no field of a notice", name);
	if (empty_exercise(name, value))
		return refuse_exercise(why);
	if (field != NULL && value[0] == '\0') {
		json_object_del(form, name);
		return 0;
	}
	char *copy = form_plain(value, strlen(value), NULL);
	if (copy == NULL)
		return refuse(why, STATUS_NO_MEMORY, "", "out of memory");
	int status = field != NULL ? set_known(form, field, copy, why)
		     : own         ? set_own(form, name + strlen(FORM_OWN), copy, declared, why)
				   : set_bare(form, name, copy, declared, why);
	free(copy);
	return status;
}

/* ---- The text form */

struct reader {
	json_t *form;
	const json_t *declared;
	struct refusal *why;
	unsigned line, begun; /* 1 for the first; where the open field began */
	bool own;             /* below [fields] */
	const char *name;     /* of the open field; NULL: none */
	char *value, *end;    /* its value so far, in place: what is put together is never longer than its lines */
	unsigned blank;       /* empty lines since */
	json_t *seen;         /* names that were given, with or without a value */
};

static int at_line(struct reader *r, unsigned line, int status)
{
	char message[sizeof r->why->message];

	if (r->why == NULL || status == STATUS_NO_MEMORY)
		return status;
	snprintf(message, sizeof message, "line %u: %s%s%.240s", line, r->why->field,
		 r->why->field[0] != '\0' ? ": " : "", r->why->message);
	return refuse(r->why, status, "", "%s", message);
}

/* What is open is complete. */
static int close_field(struct reader *r)
{
	const struct field *field = r->name != NULL ? find(r->name) : NULL;
	int status = 0;

	if (r->name == NULL)
		return 0;
	trim_end(r->value);
	if (r->own)
		status = set_own(r->form, r->name, r->value, r->declared, r->why);
	else if (r->value[0] != '\0')
		status = set_known(r->form, field, r->value, r->why);
	r->name = NULL;
	return status == 0 ? 0 : at_line(r, r->begun, status);
}

static bool may_be_set(const struct field *field)
{
	return field != NULL && field->kind != JSON_ONLY && field->kind != OWN && strcmp(field->name, "text") != 0;
}

static int open_field(struct reader *r, char *line)
{
	char *equals = strchr(line, '=');

	if (equals == NULL)
		return refuse(r->why, STATUS_INVALID, "", "\"%.60s\" is no \"name = value\"", line);
	*equals = '\0';
	trim_end(line);
	if (!r->own && !may_be_set(find(line)))
		return refuse_unknown(line, NULL, r->why);
	if (json_object_get(r->seen, line) != NULL)
		return refuse(r->why, STATUS_INVALID, "", "\"%.60s\" is given twice", line);
	if (json_object_set_new(r->seen, line, json_true()) != 0)
		return refuse(r->why, STATUS_NO_MEMORY, "", "out of memory");
	r->name = line;
	r->begun = r->line;
	r->value = skip_blanks(equals + 1);
	r->end = r->value + strlen(r->value);
	r->blank = 0;
	return 0;
}

static int go_on(struct reader *r, const char *line)
{
	const char *more = line[0] == '\t' ? line + 1 : line + strspn(line, " ");
	size_t length = strlen(more);

	if (r->name == NULL)
		return refuse(r->why, STATUS_INVALID, "",
			      "begins with a blank, and there is nothing that it continues");
	/* the newlines take the place of those that stood before the lines, the blank that of itself */
	for (; r->end > r->value && r->blank > 0; r->blank--)
		*r->end++ = '\n';
	if (r->end > r->value)
		*r->end++ = '\n';
	memmove(r->end, more, length + 1);
	r->end += length;
	r->blank = 0;
	return 0;
}

/* *text: whether what follows is the text. */
static int section(struct reader *r, const char *line, bool *text)
{
	*text = strcmp(line, "[text]") == 0;
	if (*text || (strcmp(line, "[fields]") == 0 && !r->own)) {
		r->own = true;
		return 0;
	}
	return refuse(r->why, STATUS_INVALID, "", "\"%.60s\": there are [fields] and [text], once each, in this order",
		      line);
}

static int take_line(struct reader *r, char *line, bool *text)
{
	bool blank = line[strspn(line, " \t")] == '\0';

	if (line[0] == '#' || line[0] == ';')
		return 0;
	if (blank && line[0] == '\0') {
		r->blank++;
		return 0;
	}
	if (line[0] == ' ' || line[0] == '\t')
		return blank && r->name == NULL ? 0 : at_line(r, r->line, go_on(r, line));
	int status = close_field(r);
	if (status != 0)
		return status;
	trim_end(line);
	return at_line(r, r->line, line[0] == '[' ? section(r, line, text) : open_field(r, line));
}

static int parse_lines(struct reader *r, char *rest)
{
	bool text = false;
	int status = 0;

	while (rest != NULL && !text && status == 0) {
		char *line = strsep(&rest, "\n");
		r->line++;
		status = take_line(r, line, &text);
	}
	if (status == 0)
		status = close_field(r);
	if (status != 0 || !text || rest == NULL)
		return status;
	rest += strspn(rest, "\n");
	trim_end(rest);
	return at_line(r, r->line, put(r->form, find("text"), json_string(rest), NULL, r->why));
}

/* text is changed. */
static int parse_text(char *text, const json_t *declared, json_t *form, struct refusal *why)
{
	struct reader r = {.form = form, .declared = declared, .why = why, .seen = json_object()};
	int status = r.seen != NULL ? parse_lines(&r, text) : refuse(why, STATUS_NO_MEMORY, "", "out of memory");

	json_decref(r.seen);
	return status;
}

int form_parse(const char *text, size_t size, const json_t *declared, json_t **out, struct refusal *why)
{
	json_t *form = json_object();
	size_t start = 0;

	*out = NULL;
	if (size > FORM_MAX) {
		json_decref(form);
		return refuse(why, STATUS_TOO_LARGE, "", "%zu bytes, at most %d", size, FORM_MAX);
	}
	char *plain = form_plain(text, size, &size);
	if (plain != NULL)
		start = strspn(plain, " \t\r\n");
	int status = form == NULL || plain == NULL ? refuse(why, STATUS_NO_MEMORY, "", "out of memory")
		     : !utf8_valid(plain, size)
			 ? refuse(why, STATUS_INVALID, "", "must be UTF-8, without a byte of zero")
		     : plain[start] == '{' ? parse_json(plain, size, declared, form, why)
					   : parse_text(plain, declared, form, why);
	free(plain);
	if (status == 0)
		status = check_asked(form, why);
	if (status != 0)
		json_decref(form);
	else
		*out = form;
	return status;
}

/* ---- Putting together, taking apart */

int form_merge(json_t *into, const json_t *from)
{
	const char *name;
	json_t *value, *one;
	size_t i;
	int status = 0;

	json_object_foreach((json_t *)from, name, value)
	{
		if (status == 0 && strcmp(name, "fields") != 0)
			status = json_object_set(into, name, value) == 0 ? 0 : STATUS_NO_MEMORY;
	}
	json_array_foreach(json_object_get(from, "fields"), i, one)
	{
		if (status == 0)
			status = own_put(into, json_string_value(json_object_get(one, "name")), own_value(one));
	}
	return status;
}

const char *form_foreign(const json_t *form, enum form_use use)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)form, name, value)
	{
		const struct field *field = find(name);
		if (field != NULL && field->use != 0 && (field->use & use) == 0 && strcmp(name, "exercise") != 0)
			return field->name;
	}
	return NULL;
}

json_t *form_content(const json_t *form)
{
	json_t *content = json_object(), *own = json_array(), *value, *one;
	const char *name;
	size_t i;
	int failed = content == NULL || own == NULL;

	json_object_foreach((json_t *)form, name, value)
	{
		const struct field *field = find(name);
		if (field != NULL && field->kind >= LINE && field->kind != OWN)
			failed |= json_object_set(content, name, value);
	}
	json_array_foreach(json_object_get(form, "fields"), i, one)
	{
		if (own_value(one)[0] != '\0')
			failed |= json_array_append(own, one);
	}
	if (json_array_size(own) > 0)
		failed |= json_object_set(content, "fields", own);
	json_decref(own);
	if (failed == 0)
		return content;
	json_decref(content);
	return NULL;
}

json_t *form_missing(const json_t *form)
{
	json_t *missing = json_array(), *one;
	size_t i;

	json_array_foreach(json_object_get(form, "asks"), i, one)
	{
		const char *name = json_string_value(one);
		const json_t *own = own_find(json_object_get(form, "fields"), name);
		if (missing != NULL && (own != NULL ? own_value(own)[0] == '\0' : json_object_get(form, name) == NULL))
			json_array_append(missing, one);
	}
	return missing;
}

/* ---- Writing */

static bool asked(const json_t *form, const char *name)
{
	size_t i;
	json_t *one;

	json_array_foreach(json_object_get(form, "asks"), i, one)
	{
		if (strcmp(json_string_value(one), name) == 0)
			return true;
	}
	return false;
}

/* Further lines are indented. */
static void write_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		fputs(*text == '\n' ? "\n\t" : (char[]){*text, '\0'}, out);
}

static void write_list(FILE *out, const json_t *list)
{
	size_t i;
	json_t *one;

	json_array_foreach((json_t *)list, i, one)
	    fprintf(out, "%s%s", i > 0 ? ", " : "", json_string_value(one) != NULL ? json_string_value(one) : "");
}

static const char *member(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value != NULL ? value : "";
}

static void write_indicators(FILE *out, const json_t *list)
{
	size_t i;
	json_t *one;

	json_array_foreach((json_t *)list, i, one)
	{
		fprintf(out, "\n\t%s %s", member(one, "type"), member(one, "value"));
		const char *note = member(one, "note");
		fputs(note[0] != '\0' ? " -- " : "", out);
		for (; *note != '\0'; note++)
			fputc(*note == '\n' ? ' ' : *note, out);
	}
}

static void write_value(FILE *out, const struct field *field, const json_t *value)
{
	if (field->kind == INDICATORS)
		write_indicators(out, value);
	else if (json_is_array(value))
		write_list(out, value);
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", out);
	else if (json_is_integer(value))
		fprintf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_string(value))
		write_text(out, json_string_value(value));
}

static const char form_help[] =
    "# Lines that begin with # are comments; a line that begins with a blank continues the one "
    "before.\n"
    "# Every field but the subject may stay empty.  The text comes last, below [text].\n"
    "# Save and leave the editor to go on; an empty file gives up.\n";

static void write_own(FILE *out, const json_t *form)
{
	size_t i;
	json_t *one;

	if (json_array_size(json_object_get(form, "fields")) > 0)
		fputs("\n[fields]\n", out);
	json_array_foreach(json_object_get(form, "fields"), i, one)
	{
		if (asked(form, member(one, "name")))
			fputs("# asked for\n", out);
		fprintf(out, "%s = ", member(one, "name"));
		write_text(out, own_value(one));
		fputc('\n', out);
	}
}

char *form_write(const json_t *form, enum form_use use)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	fputs(form_help, out);
	if (json_object_get(form, "title") != NULL)
		fprintf(out, "\n# %s\n", member(form, "title"));
	for (size_t i = 0; i < FIELDS; i++) {
		const struct field *field = &fields[i];
		if (field->help == NULL || (field->use & use) == 0)
			continue;
		fprintf(out, "\n# %s%s\n%s = ", field->help, asked(form, field->name) ? " (asked for)" : "",
			field->name);
		write_value(out, field, json_object_get(form, field->name));
		fputc('\n', out);
	}
	write_own(out, form);
	fprintf(out, "\n%s[text]\n%s\n", asked(form, "text") ? "# asked for\n" : "", member(form, "text"));
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
