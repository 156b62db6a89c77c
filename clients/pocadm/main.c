/* pocadm: the program of the directory's staff. */
#include "clients/cli/ceremony_show.h"
#include "clients/pocadm/commands.h"

static const struct flag init_flags[] = {
    {"origin", 0, "NAME", "first line of every checkpoint, e.g. pocd.example.int/2026a"},
    {"listen", 0, "ADDRESS:PORT",
     "where pocd will listen (default: 127.0.0.1:7437); clients are told --server, or the same"},
    {"roots", 0, "N", "number of root keys (default: 1)"},
    {"root-threshold", 0, "K", "how many of them must sign (default: more than half)"},
    {"enrolments", 0, "N", "number of enrolment keys (default: 1)"},
    {"enrolment-threshold", 0, "K", "how many of them must sign (default: more than half)"},
    {"seal", 0, NULL, "under a passphrase, which is asked for"},
    {NULL, 0, NULL, NULL},
};

static const struct flag enrol_flags[] = {
    {"reference", 'r', "TEXT", "of the nomination (note verbale)"},
    {"date", 'd', "YYYY-MM-DD", "of the nomination (default: today)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag import_flags[] = {
    {"out", 'O', "DIR", "where the drafts go (default: drafts)"},
    {"force", 0, NULL, "write over drafts that were edited since"},
    {"charset", 0, "NAME", "of the file (default: UTF-8)"},
    {"map", 'm', "HEADER=FIELD", "what a column holds (may be given several times)", true},
    {"source", 0, "NAME", "name of the list, where its rows name none"},
    {"source-date", 0, "DATE", "its date, likewise"},
    {"state", 0, "CC", "country of rows that name none"},
    {NULL, 0, NULL, NULL},
};

static const struct flag backup_flags[] = {
    {"data", 'd', "DIR", "the data folder (default: data beside the configuration)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag signed_flags[] = {
    {"forget", 'f', NULL, "let the log key sign again from where the database is; the daemon must not run"},
    {NULL, 0, NULL, NULL},
};

static const struct flag ping_start_flags[] = {
    {"all", 'a', NULL, "every state of the register"},
    {"deadline", 'd', "TIME", "answers wanted by then: a time, or a span such as 48h (default: 48h)"},
    {"round", 'r', "ROUND", "go on with this round, where it was interrupted"},
    {NULL, 0, NULL, NULL},
};

static const struct flag ping_report_flags[] = {
    {"csv", 0, NULL, "one line of comma-separated values for each point of contact"},
    {"publish", 'p', NULL, "sign and publish the results as P/CC; tell coordinators of what was not answered"},
    {NULL, 0, NULL, NULL},
};

static const struct command ping_commands[] = {
    {"start", "--all|STATE...", "ask points of contact whether anybody is there", 0, -1, ping_start_flags,
     pocadm_cmd_ping_start, NULL},
    {"report", "[ROUND]", "who answered: by a person, by a program, not at all", 0, 1, ping_report_flags,
     pocadm_cmd_ping_report, NULL},
    {"cancel", "ROUND", "close what a round asked", 1, 1, NULL, pocadm_cmd_ping_cancel, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct flag suspend_flags[] = {
    {"reason", 0, "TEXT", "why: published in the register, where every state can read it"},
    {NULL, 0, NULL, NULL},
};

static const struct flag replace_flags[] = {
    {"signing", 0, "SPAN", "time that the council needs to sign it, after which the delay counts (default: 24h)"},
    {"expires", 0, "SPAN", "how long the new T is to last (default: 730d)"},
    {NULL, 0, NULL, NULL},
};

static const struct command state_commands[] = {
    {"enrol", "CC.enrol... --reference R", "list states in the register", 1, -1, enrol_flags, pocadm_cmd_state_enrol,
     NULL},
    {"suspend", "STATE --reason TEXT", "refuse its sessions, records, notices and receipts, at once", 1, 1,
     suspend_flags, pocadm_cmd_state_suspend, NULL},
    {"lift", "STATE", "end a suspension, at once", 1, 1, NULL, pocadm_cmd_state_lift, NULL},
    {"list", "", "the register of states", 0, 0, NULL, pocadm_cmd_state_list, NULL},
    {"replace", "FILE CC.FILE",
     "draft a T by which the council puts a new authority in the place of one that is lost or stolen", 2, 2,
     replace_flags, pocadm_cmd_state_replace, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct flag publish_flags[] = {
    {"kind", 'k', "KIND", "template (default), code-list or announcement"},
    {"title", 0, "TEXT", "one line; a template says its own"},
    {NULL, 0, NULL, NULL},
};

static const struct command document_commands[] = {
    {"publish", "NAME FILE", "sign a template of notices, a code list or an announcement for everybody", 2, 2,
     publish_flags, pocadm_cmd_document_publish, NULL},
    {"withdraw", "NAME", "say that it is not to be used any more", 1, 1, NULL, pocadm_cmd_document_withdraw, NULL},
    {"list", "", "the directory's documents", 0, 0, NULL, pocadm_cmd_document_list, NULL},
    {"show", "NAME", "read one", 1, 1, NULL, pocadm_cmd_document_show, NULL},
    {"history", "NAME", "all versions of one", 1, 1, NULL, pocadm_cmd_document_history, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct flag trust_draft_flags[] = {
    {"root-add", 0, "FILE", "a further root key: its public key is enough (may be given several times)", true},
    {"root-drop", 0, "KEY", "drop one: a fingerprint, its first groups, or a file (several times)", true},
    {"root-threshold", 0, "K", "how many root keys must sign"},
    {"enrolment-add", 0, "FILE", "a further enrolment key (several times)", true},
    {"enrolment-drop", 0, "KEY", "drop one (several times)", true},
    {"enrolment-threshold", 0, "K", "how many enrolment keys must sign"},
    {"log-add", 0, "FILE", "a further log key (several times)", true},
    {"log-drop", 0, "KEY", "drop one (several times)", true},
    {"auditor-add", 0, "NAME,STATE,FILE", "an auditor and its public key (several times)", true},
    {"auditor-drop", 0, "NAME", "drop one (several times)", true},
    {"quorum", 0, "K", "how many auditors must sign a checkpoint; 0: none"},
    {"max-age", 0, "SPAN", "after which an answer is stale"},
    {"replacement-delay", 0, "SPAN", "before a replaced authority counts"},
    {"expires", 0, "SPAN", "how long this T is to last (default: 730d)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag sign_flags[] = {
    {"key", 'k', "FILE", "the key that signs (default: that of [root])"},
    {"directory", 0, "FILE", "the directory's description, directory.info, where there is no configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct flag show_flags[] = {
    {"directory", 0, "FILE", "the directory's description, directory.info, where there is no configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct flag trust_publish_flags[] = {
    {"data", 0, "DIR", "where the log keys are lost: into a data folder that no daemon holds"},
    {"log-key", 0, "FILE", "with --data: a log key that the new T lists, which signs"},
    {"keys", 0, "FILE", "of a T that replaces an authority: the state's ceremony file (repeatable)"},
    {"directory", 0, "FILE", "the directory's description, directory.info, where there is no configuration"},
    {NULL, 0, NULL, NULL},
};

static const struct command trust_commands[] = {
    {"draft", "FILE", "propose the next trust root", 1, 1, trust_draft_flags, pocadm_cmd_trust_draft, NULL},
    {"sign", "FILE [COPY...] --key KEY", "add one signature, without network", 1, -1, sign_flags, ceremony_cmd_sign,
     NULL},
    {"show", "FILE [COPY...]", "what it changes and who has signed, without network", 1, -1, show_flags,
     ceremony_cmd_show, NULL},
    {"publish", "FILE [COPY...]", "check everything, then publish", 1, -1, trust_publish_flags,
     pocadm_cmd_trust_publish, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct command key_commands[] = {
    {"rotate", "tls [POCD.CONF]", "a new key for the server, without dropping a connection", 1, 2, NULL,
     pocadm_cmd_key_rotate, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct command commands[] = {
    {"init", "DIR --origin NAME", "make a directory: keys, trust root, register, pocd.conf", 1, 1, init_flags,
     pocadm_cmd_init, NULL},
    {"state", NULL, "states: enrol, suspend, lift, list, replace", 0, 0, NULL, NULL, state_commands},
    {"trust", NULL, "the trust root: draft, sign, show, publish", 0, 0, NULL, NULL, trust_commands},
    {"document", NULL, "documents: publish, withdraw, list, show, history", 0, 0, NULL, NULL, document_commands},
    {"key", NULL, "keys of the directory: rotate", 0, 0, NULL, NULL, key_commands},
    {"ping", NULL, "communications checks: start, report, cancel", 0, 0, NULL, NULL, ping_commands},
    {"import", "FILE", "a list of teams into drafts, one a state", 1, 1, import_flags, pocadm_cmd_import, NULL},
    {"check", "DIR|FILE", "recompute everything in a data folder that no daemon holds, or in a backup", 1, 1, NULL,
     pocadm_cmd_check, NULL},
    {"backup", "FILE", "the database in one file, also while the daemon runs; checked", 1, 1, backup_flags,
     pocadm_cmd_backup, NULL},
    {"restore", "FILE DIR", "make a data folder of a backup; checked", 2, 2, NULL, pocadm_cmd_restore, NULL},
    {"signed", "FILE", "what the log key has signed last, as the daemon's configuration FILE says", 1, 1, signed_flags,
     pocadm_cmd_signed, NULL},
    {"remind", "", "tell coordinators what is due: confirmations, users, reading keys, the trust root", 0, 0, NULL,
     pocadm_cmd_remind, NULL},
    {"stats", "", "the server's counters, and what is due", 0, 0, NULL, pocadm_cmd_stats, NULL},
    {"metrics", "", "the server's counters in the text format of Prometheus", 0, 0, NULL, pocadm_cmd_metrics, NULL},
    {"reload", "[POCD.CONF]", "check the daemon's configuration, then have it taken, without dropping a connection", 0,
     1, NULL, pocadm_cmd_reload, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
	return cli_main("pocadm", "The directory's staff: create, enrol, ping, import, remind, check, back up.",
			commands, argc, argv);
}
