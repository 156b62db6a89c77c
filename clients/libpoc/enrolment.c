#include "clients/libpoc/enrolment.h"

#include <string.h>

#include "proto/wire/poc.pb-c.h"
#include "proto/wire/prescan.h"

int enrolment_encode(const ProtobufCBinaryData *keys, const ProtobufCBinaryData *users, uint8_t **out, size_t *size)
{
	Poc__Submit submit = POC__SUBMIT__INIT;
	Poc__Write writes[2] = {POC__WRITE__INIT, POC__WRITE__INIT}, *pointers[] = {&writes[0], &writes[1]};

	writes[0].envelope = *keys;
	writes[1].envelope = *users;
	submit.writes = pointers;
	submit.n_writes = 2;
	return message_encode(&submit, out, size);
}

static int check(const struct enrolment *e, const struct hash *directory, struct refusal *why)
{
	if (e->keys->name.kind != NAME_KEYS || e->users->name.kind != NAME_USERS || e->keys->seq != 1 ||
	    e->users->seq != 1 || e->users->name.unit[0] != '\0' ||
	    strcmp(e->keys->name.state, e->users->name.state) != 0 || !state_code_valid(e->keys->name.state))
		return refuse(why, STATUS_INVALID, "", "an enrolment file holds K(1) and U(1) of one state");
	if (hash_compare(&e->keys->directory_id, directory) != 0 ||
	    hash_compare(&e->users->directory_id, directory) != 0)
		return refuse(why, STATUS_INVALID, "", "made for another directory");
	return 0;
}

int enrolment_decode(const uint8_t *bytes, size_t size, const struct hash *directory, struct enrolment *out,
		     struct refusal *why)
{
	ProtobufCMessage *message;
	int status = message_decode(&poc__submit__descriptor, bytes, size, NULL, &message, why);

	memset(out, 0, sizeof *out);
	if (status != 0)
		return refuse(why, STATUS_INVALID, "", "not an enrolment file");
	const Poc__Submit *submit = (const Poc__Submit *)message;
	if (submit->n_writes != 2)
		status = refuse(why, STATUS_INVALID, "", "not an enrolment file");
	if (status == 0)
		status =
		    envelope_parse(submit->writes[0]->envelope.data, submit->writes[0]->envelope.len, &out->keys, why);
	if (status == 0)
		status =
		    envelope_parse(submit->writes[1]->envelope.data, submit->writes[1]->envelope.len, &out->users, why);
	message_free(message);
	if (status == 0)
		status = check(out, directory, why);
	if (status != 0)
		enrolment_finish(out);
	return status;
}

void enrolment_finish(struct enrolment *enrolment)
{
	envelope_destroy(enrolment->keys);
	envelope_destroy(enrolment->users);
	memset(enrolment, 0, sizeof *enrolment);
}
