/* poc: the program of national CERTs, operators, coordinators and a state's authority. */
#include "clients/cli/ceremony_show.h"
#include "clients/poc/commands.h"
#include "clients/poc/notice.h"

static const struct flag lookup_flags[] = {
    {"kind", 'k', "KIND", "technical or diplomatic only"},
    {"section", 0, "NAME", "this section only; \"units\" asks for the state's units"},
    {"save", 0, "FILE", "keep the answer with all that proves it"},
    {NULL, 0, NULL, NULL},
};

static const struct flag verify_flags[] = {
    {"at", 0, "TIME", "judge freshness at this time (RFC 3339), not now"},
    {NULL, 0, NULL, NULL},
};

static const struct flag search_flags[] = {
    {"kind", 'k', "KIND", "technical or diplomatic"},
    {"language", 'l', "TAG", "speaks this language"},
    {"member", 'm', "ORG", "member of this organisation"},
    {"open-now", 0, NULL, "open now"},
    {NULL, 0, NULL, NULL},
};

static const struct flag export_flags[] = {
    {"format", 'f', "bundle|json|csv", "bundle (default): verifiable by anybody"},
    {NULL, 0, NULL, NULL},
};

static const struct flag publish_flags[] = {
    {"replace", 0, NULL, "whatever version is current, though the draft was made from another"},
    {NULL, 0, NULL, NULL},
};

static const struct flag confirm_flags[] = {
    {"all", 0, NULL, "the state's record and those of all its units"},
    {NULL, 0, NULL, NULL},
};

static const struct flag withdraw_flags[] = {
    {"poc", 0, "ID", "only this point of contact"},
    {NULL, 0, NULL, NULL},
};

static const struct flag setup_flags[] = {
    {"request", 0, "FILE", "where the request goes (default: beside the invitation)"},
    {"key", 0, "FILE|URI", "the user's key, where there is one already: a file, or pkcs11:... for one in a token"},
    {"seal", 0, NULL, "under a passphrase, which is asked for"},
    {NULL, 0, NULL, NULL},
};

static const struct flag invite_flags[] = {
    {"role", 'r', "ROLE", "reader, operator, coordinator, alert, mirror (may be given several times)", true},
    {"kind", 'k', "KIND", "POC kinds served (may be given several times)", true},
    {"service", 0, NULL, "a program, not a person"},
    {"unit", 0, "NAME", "a user of this unit of the state: its desk's"},
    {"not-after", 0, "DATE", "end of the user's time, YYYY-MM-DD"},
    {"out", 'O', "FILE", "where to (default: HANDLE.invite)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag remove_flags[] = {
    {"myself", 0, NULL, "drop oneself too"},
    {"unit", 0, "NAME", "users of this unit of the state"},
    {NULL, 0, NULL, NULL},
};

static const struct flag list_flags[] = {
    {"unit", 0, "NAME", "of this unit of the own state"},
    {NULL, 0, NULL, NULL},
};

static const struct flag key_new_flags[] = {
    {"type", 0, "ed25519|p256|p384", "kind of key (default: ed25519)"},
    {"holder", 0, "desk|archive|editor",
     "a reading key, or one that signs a unit's record, which U is to list: published by the coordinator"},
    {"kind", 'k', "KIND", "whose notices it reads: technical, diplomatic, coordinator (may be given several times)",
     true},
    {"unit", 0, "NAME", "a key of this unit of the state"},
    {"not-after", 0, "DATE", "end of the reading key's time, YYYY-MM-DD"},
    {"seal", 0, NULL, "under a passphrase, which is asked for"},
    {NULL, 0, NULL, NULL},
};

static const struct flag rotate_flags[] = {
    {"overlap", 0, "SPAN",
     "how long the old reading key stays listed beside the new one (default: desk 7d, reading 0)"},
    {"kind", 'k', "KIND", "of several keys of desks, that which reads notices of this kind"},
    {"request", 0, "FILE",
     "where the request goes, where another coordinator publishes (default: NAME.rotate.request beside NAME.conf)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag state_new_flags[] = {
    {"out", 'O', "DIR", "folder for keys, configuration and CC.enrol"},
    {"directory", 0, "FILE", "the directory's description, directory.info, where no configuration exists yet"},
    {"authorities", 0, "N", "number of authority keys (default: 1)"},
    {"threshold", 0, "K", "how many of them must sign (default: all)"},
    {"seal", 0, NULL, "under a passphrase, which is asked for"},
    {NULL, 0, NULL, NULL},
};

static const struct flag state_draft_flags[] = {
    {"state", 0, "CC", "whose keys (default: one's own state's)"},
    {"authority-add", 0, "FILE", "a further authority key: its public key is enough (may be given several times)",
     true},
    {"authority-drop", 0, "KEY", "drop one: a fingerprint, its first groups, or a file (several times)", true},
    {"threshold", 0, "K", "how many authority keys must sign"},
    {"coordinator-add", 0, "FILE", "a further coordinator key (several times)", true},
    {"coordinator-drop", 0, "KEY", "drop one (several times)", true},
    {NULL, 0, NULL, NULL},
};

static const struct flag state_sign_flags[] = {
    {"key", 'k', "FILE", "the key that signs (default: that of [authority])"},
    {"directory", 0, "FILE", "the directory's description, directory.info, where there is no configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct flag state_show_flags[] = {
    {"directory", 0, "FILE", "the directory's description, directory.info, where there is no configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct flag state_submit_flags[] = {
    {"key", 'k', "FILE", "the coordinator key that signs anew what a dropped one had signed (default: [coordinator])"},
    {NULL, 0, NULL, NULL},
};

static const struct flag report_flags[] = {
    {"reason", 0, "R", "no-answer, wrong or bounced"},
    {NULL, 0, NULL, NULL},
};

static const struct flag readers_flags[] = {
    {"since", 0, "TIME", "from that day on: 30d (default), or a time"},
    {NULL, 0, NULL, NULL},
};

static const struct command user_commands[] = {
    {"invite", "HANDLE --role ROLE", "write an invitation: no secrets in it", 1, 1, invite_flags, poc_cmd_user_invite,
     NULL},
    {"add", "FILE.request...", "show the check codes, ask, publish", 1, -1, NULL, poc_cmd_user_add, NULL},
    {"remove", "HANDLE...", "drop users: their sessions end within a second", 1, -1, remove_flags, poc_cmd_user_remove,
     NULL},
    {"list", "[PLACE]", "the users of a state, or of a unit, as published", 0, 1, list_flags, poc_cmd_user_list, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct command key_commands[] = {
    {"new", "FILE", "make a key file", 1, 1, key_new_flags, poc_cmd_key_new, NULL},
    {"show", "[STATE|FILE]", "fingerprints to read aloud", 0, 1, NULL, poc_cmd_key_show, NULL},
    {"verified", "STATE", "remember that its authority keys were compared with the state itself", 1, 1, NULL,
     poc_cmd_key_verified, NULL},
    {"rotate", "user|reading|desk", "a new key in the place of the old one, while everybody goes on", 1, 1,
     rotate_flags, poc_cmd_key_rotate, NULL},
    {"announce", "", "tell those who wrote to us in the last 90 days that our authority keys changed", 0, 0, NULL,
     poc_cmd_key_announce, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct command state_commands[] = {
    {"new", "CC --out DIR", "make a state's keys and its enrolment file", 1, 1, state_new_flags, poc_cmd_state_new,
     NULL},
    {"draft", "FILE", "propose the state's next keys", 1, 1, state_draft_flags, poc_cmd_state_draft, NULL},
    {"sign", "FILE [COPY...] --key KEY", "add one signature, without network", 1, -1, state_sign_flags,
     ceremony_cmd_sign, NULL},
    {"show", "FILE [COPY...]", "what it changes and who has signed, without network", 1, -1, state_show_flags,
     ceremony_cmd_show, NULL},
    {"submit", "FILE [COPY...]", "check everything, then publish", 1, -1, state_submit_flags, poc_cmd_state_submit,
     NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct command commands[] = {
    {"setup", "INVITE", "first start on a machine: keys, configuration, request", 1, 1, setup_flags, poc_cmd_setup,
     NULL, true},
    {"lookup", "PLACE...", "whom do I call now, and is it proven", 1, -1, lookup_flags, poc_cmd_lookup, NULL},
    {"search", "[TEXT]", "search the verified local copy", 0, 1, search_flags, poc_cmd_search, NULL},
    {"sync", "", "bring the local copy up to date", 0, 0, NULL, poc_cmd_sync, NULL},
    {"verify", "FILE", "check a saved answer or bundle, without network", 1, 1, verify_flags, poc_cmd_verify, NULL},
    {"history", "PLACE", "every version of a record", 1, 1, NULL, poc_cmd_history, NULL},
    {"export", "[FILE]", "write the local copy", 0, 1, export_flags, poc_cmd_export, NULL},
    {"status", "", "where we stand: server, checkpoint, local copy, our own entry", 0, 0, NULL, poc_cmd_status, NULL},
    {"edit", "[PLACE|FILE]", "own record, or a draft, as a form in $EDITOR, then signed and published", 0, 1, NULL,
     poc_cmd_edit, NULL},
    {"publish", "FILE...", "sign and publish records (JSON)", 1, -1, publish_flags, poc_cmd_publish, NULL},
    {"confirm", "[PLACE...]", "say that a record is still correct", 0, -1, confirm_flags, poc_cmd_confirm, NULL},
    {"withdraw", "[PLACE]", "withdraw a record, at once", 0, 1, withdraw_flags, poc_cmd_withdraw, NULL},
    {"notice", NULL, "incident notices: send, list, show, ack, status ...", 0, 0, NULL, NULL, poc_notice_commands},
    {"handover", "", "what the next shift must know: open notices, deadlines, notes", 0, 0, poc_handover_flags,
     poc_cmd_handover, NULL},
    {"report", "[PLACE CHANNEL --reason R]",
     "tell a state that a channel of its record does not work; or what was told us", 0, 2, report_flags, poc_cmd_report,
     NULL},
    {"readers", "", "which states have read our own state's records, as the server counts it", 0, 0, readers_flags,
     poc_cmd_readers, NULL},
    {"user", NULL, "own users: invite, add, remove, list", 0, 0, NULL, NULL, user_commands},
    {"key", NULL, "keys: new, show, verified, rotate, announce", 0, 0, NULL, NULL, key_commands},
    {"state", NULL, "a state's authority: new, draft, sign, show, submit", 0, 0, NULL, NULL, state_commands},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
	return cli_main("poc", "Points of contact for computer incidents: look up, verify, publish.", commands, argc,
			argv);
}
