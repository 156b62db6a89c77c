#include "clients/cli/replacing.h"

#include "clients/cli/strings.h"
#include "proto/rules/register.h"
#include "proto/rules/trust.h"

int64_t replacing_from(struct poc *poc, enum client_mode mode, const Poc__Trust *trust, const char *state)
{
	const Poc__Replacement *replacement = trust_replacement(trust, state);
	struct client_record record = {0};
	struct name name;

	if (replacement == NULL || !name_make(NAME_RECORD, state, NULL, &name))
		return 0;
	const int64_t from = replacement->not_before; /* trust may be of a head that is moved now */
	/* whatever comes of it: the state is judged, if it says whose it is */
	client_lookup(poc, mode, &name, NULL, 0, &record);
	const bool under_way = record.verified.enrolled && !record.verified.replaced;
	client_record_finish(&record);
	return under_way ? from : 0;
}

size_t replacing_count(struct poc *poc, enum client_mode mode)
{
	static const char *const names[] = {"S", "T"};
	struct client_envelope found[2] = {0};
	size_t count = 0;

	if (client_envelopes(poc, mode, names, 2, found) == 0 && found[0].envelope != NULL &&
	    found[1].envelope != NULL) {
		const Poc__Register *reg = found[0].envelope->payload.register_;
		for (size_t i = 0; i < reg->n_entries; i++)
			count +=
			    !reg->entries[i]->suspended &&
			    replacing_from(poc, mode, found[1].envelope->payload.trust, reg->entries[i]->state) != 0;
	}
	client_envelopes_finish(found, 2);
	return count;
}

bool replacing_state(struct poc *poc, enum client_mode mode, const char *state)
{
	static const char *const names[] = {"T"};
	struct client_envelope found = {0};
	const bool is = client_envelopes(poc, mode, names, 1, &found) == 0 && found.envelope != NULL &&
			replacing_from(poc, mode, found.envelope->payload.trust, state) != 0;

	client_envelopes_finish(&found, 1);
	return is;
}

void replacing_tell(struct cli *cli, const struct poc *poc, const char *state, bool suspended, json_t *document)
{
	const Poc__Entry *entry = client_entry(poc, state);
	const bool flagged = entry != NULL && entry->suspended;

	if (document != NULL) {
		json_object_set_new(document, "suspended", json_boolean(suspended));
		json_object_set_new(document, "suspended_for", flagged ? json_string(entry->reason) : json_null());
	}
	if (suspended && !cli->json)
		cli_line(tr("%s is SUSPENDED: %s"), state,
			 flagged ? entry->reason : tr("the council is replacing its authority"));
}
