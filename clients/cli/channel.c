#include "clients/cli/channel.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "proto/rules/rules.h"

enum { WORD_MAX = 41 };

/* The known type first, then what is meant by it, without hyphens and numbers. */
static const char *const words[][12] = {
    {"phone", "tel", "telephone", "telephon", "telefon", "telefono", "telefone", "mobile", "mobilephone", "cellphone",
     "phonenumber"},
    {"email", "mail", "emailaddress", "mailbox", "courriel", "correo"},
    {"fax", "telefax", "facsimile", "faxnumber"},
    {"sms", "textmessage"},
    {"web", "www", "website", "homepage", "url"},
    {"portal", "webportal"},
    {"signal"},
    {"threema"},
    {"matrix"},
};

enum { KNOWN = sizeof words / sizeof *words, EACH = sizeof *words / sizeof **words };

/* "e-mail-2": "email". */
static void letters_of(const char *type, char out[WORD_MAX])
{
	size_t n = 0;

	for (; *type != '\0' && n < WORD_MAX - 1; type++) {
		if (*type >= 'a' && *type <= 'z')
			out[n++] = *type;
	}
	out[n] = '\0';
}

/* One letter more, fewer or another, or two that changed places. */
static bool one_slip(const char *a, const char *b)
{
	size_t same = 0, n = strlen(a), m = strlen(b);

	while (a[same] != '\0' && a[same] == b[same])
		same++;
	a += same;
	b += same;
	n -= same;
	m -= same;
	if (n == 0 || m == 0)
		return n + m == 1;
	return strcmp(a + 1, b) == 0 || strcmp(a, b + 1) == 0 || strcmp(a + 1, b + 1) == 0 ||
	       (n > 1 && m > 1 && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0);
}

const char *channel_meant(const char *type)
{
	enum { LONG_ENOUGH = 5 }; /* of shorter words too many are one letter away */
	char letters[WORD_MAX];

	for (size_t i = 0; i < KNOWN; i++) {
		if (strcmp(type, words[i][0]) == 0)
			return NULL;
	}
	letters_of(type, letters);
	for (size_t i = 0; i < KNOWN; i++) {
		for (size_t j = 0; j < EACH && words[i][j] != NULL; j++) {
			if (strcmp(letters, words[i][j]) == 0)
				return words[i][0];
		}
	}
	for (size_t i = 0; i < KNOWN; i++) {
		if (strlen(words[i][0]) >= LONG_ENOUGH && one_slip(letters, words[i][0]))
			return words[i][0];
	}
	return NULL;
}

/* Whether the known type would take the value too. */
static bool would_do(const char *known, const char *value)
{
	if (strcmp(known, "phone") == 0 || strcmp(known, "fax") == 0 || strcmp(known, "sms") == 0)
		return e164_valid(value);
	if (strcmp(known, "email") == 0)
		return mailbox_valid(value);
	return (strcmp(known, "web") != 0 && strcmp(known, "portal") != 0) || url_valid(value);
}

static void remark(const struct draft *draft, const char *poc, const Poc__Channel *channel, json_t *list)
{
	const char *meant = channel_meant(channel->type);
	char message[400];

	if (meant == NULL || (channel->source[0] != '\0' && !would_do(meant, channel->value)))
		return;
	snprintf(message, sizeof message,
		 tr("%s: the channel %s of %s is of the type \"%s\", which programs do not know: \"%s\"?"),
		 place_text(&draft->name), channel->id, poc, channel->type, meant);
	json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "code", "near-type", "place",
					      place_text(&draft->name), "channel", channel->id, "message", message));
}

void channel_remarks(const struct draft *draft, json_t *list)
{
	for (size_t i = 0; i < draft->n_pocs; i++) {
		const struct draft_poc *poc = &draft->pocs[i];
		for (size_t j = 0; j < poc->n_sections; j++) {
			const Poc__Content *content = poc->sections[j].content;
			if (content == NULL)
				continue;
			for (size_t k = 0; k < content->n_channels; k++)
				remark(draft, poc->id, content->channels[k], list);
			for (size_t k = 0; k < content->n_persons; k++) {
				for (size_t l = 0; l < content->persons[k]->n_channels; l++)
					remark(draft, poc->id, content->persons[k]->channels[l], list);
			}
		}
	}
}
