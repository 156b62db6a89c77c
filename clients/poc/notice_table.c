#include "clients/poc/notice.h"

#include <stddef.h>

static const struct flag send_flags[] = {
    {"to", 0, "PLACE[,PLACE]", "recipients (may be given several times)", true},
    {"kind", 'k', "KIND", "technical (default), diplomatic or coordinator"},
    {"subject", 0, "TEXT", "one line"},
    {"category", 0, "C",
     "notification (default), request-information, request-assistance, update, closure, communications-check"},
    {"urgency", 0, "U", "routine (default), urgent, emergency"},
    {"tlp", 0, "L", "CLEAR, GREEN, AMBER (default), AMBER+STRICT, RED"},
    {"text", 0, "TEXT", "what it says; else --file, standard input or $EDITOR"},
    {"file", 0, "FILE", "what it says, from a file"},
    {"attach", 0, "FILE", "a file that goes with it (may be given several times)", true},
    {"reply-by", 0, "TIME", "when an answer is wanted: 24h, or a time like 2026-11-24T12:00:00Z"},
    {"escalate", 0, "diplomatic|PLACE", "who is to see it when nobody has acknowledged it by --reply-by"},
    {"exercise", 0, "NAME", "of this exercise: marked for ever"},
    {"template", 0, "NAME|FILE", "a form to begin with: a document of the directory, or a file (INI or JSON)"},
    {"set", 0, "NAME=VALUE", "any field of the form (may be given several times)", true},
    {"no-input", 0, NULL, "do not read standard input, whatever it is"},
    {"edit", 0, NULL, "open the whole form in $EDITOR before it is sent"},
    {"ref", 0, "REFERENCE", "our own ticket"},
    {"separately", 0, NULL, "one notice to each recipient: they do not see each other"},
    {NULL, 0, NULL, NULL},
};

static const struct flag reply_flags[] = {
    {"kind", 'k', "KIND", "from our desk of this kind: technical, diplomatic or coordinator"},
    {"text", 0, "TEXT", "what it says; else --file, standard input or $EDITOR"},
    {"file", 0, "FILE", "what it says, from a file"},
    {"attach", 0, "FILE", "a file that goes with it (may be given several times)", true},
    {"subject", 0, "TEXT", "instead of \"Re: ...\""},
    {"category", 0, "C", "update (default), closure ..."},
    {"urgency", 0, "U", "that of the notice, if not given"},
    {"tlp", 0, "L", "that of the notice, if not given"},
    {"reply-by", 0, "TIME", "when an answer is wanted"},
    {"ref", 0, "REFERENCE", "our own ticket"},
    {"template", 0, "NAME|FILE", "a form to begin with: a document of the directory, or a file (INI or JSON)"},
    {"set", 0, "NAME=VALUE", "any field of the form (may be given several times)", true},
    {"no-input", 0, NULL, "do not read standard input, whatever it is"},
    {"edit", 0, NULL, "open the whole form in $EDITOR before it is sent"},
    {NULL, 0, NULL, NULL},
};

static const struct flag note_flags[] = {
    {"kind", 'k', "KIND", "for our desk of this kind: technical, diplomatic or coordinator"},
    {"text", 0, "TEXT", "what it says; else --file, standard input or $EDITOR"},
    {"file", 0, "FILE", "what it says, from a file"},
    {"no-input", 0, NULL, "do not read standard input, whatever it is"},
    {NULL, 0, NULL, NULL},
};

static const struct flag remind_flags[] = {
    {"text", 0, "TEXT", "what it says; else --file, standard input or $EDITOR"},
    {"file", 0, "FILE", "what it says, from a file"},
    {NULL, 0, NULL, NULL},
};

static const struct flag escalate_flags[] = {
    {"to", 0, "PLACE[,PLACE]", "recipients who do not have it yet (may be given several times)", true},
    {"kind", 'k', "KIND", "technical (default), diplomatic or coordinator"},
    {"text", 0, "TEXT", "a word before it"},
    {NULL, 0, NULL, NULL},
};

static const struct flag forward_flags[] = {
    {"to", 0, "PLACE[,PLACE]", "recipients (may be given several times); our own place: colleagues who came later",
     true},
    {"kind", 'k', "KIND", "technical (default), diplomatic or coordinator"},
    {"thread", 0, NULL, "all of its thread, oldest first: what they do not have yet"},
    {"text", 0, "TEXT", "a word before it"},
    {NULL, 0, NULL, NULL},
};

static const struct flag list_flags[] = {
    {"sent", 0, NULL, "what we have sent"},
    {"mine", 0, NULL, "what I have taken"},
    {"overdue", 0, NULL, "past its reply-by without an answer, on either side"},
    {"all", 0, NULL, "everything, closed and private notes too"},
    {"threads", 0, NULL, "a line a thread, of the newest activity last: open or closed, whose, by when"},
    {"thread", 0, "ID", "everything in the thread of this notice"},
    {"exercise", 0, "NAME", "of this exercise only"},
    {"headers", 0, NULL, "do not fetch and open them: no subjects, and nothing is delivered"},
    {"limit", 0, "N", "the newest of each desk (default: 500)"},
    {NULL, 0, NULL, NULL},
};

static const struct flag say_flags[] = {
    {"kind", 'k', "KIND", "for our desk of this kind only: technical, diplomatic or coordinator"},
    {NULL, 0, NULL, NULL},
};

static const struct flag ack_flags[] = {
    {"kind", 'k', "KIND", "for our desk of this kind only: technical, diplomatic or coordinator"},
    {"answer-by", 0, "TIME", "when an answer may be expected: 24h, or a time like 2026-11-24T12:00:00Z"},
    {NULL, 0, NULL, NULL},
};

static const struct flag decline_flags[] = {
    {"kind", 'k', "KIND", "for our desk of this kind only: technical, diplomatic or coordinator"},
    {"reason", 0, "R", "not-competent, wrong-recipient, cannot-read, no-capacity, duplicate, other"},
    {NULL, 0, NULL, NULL},
};

static const struct flag status_flags[] = {
    {"save", 0, "FILE", "keep the story with all that proves it; poc verify checks it offline"},
    {"wait", 0, "STEP", "wait until every recipient, and whom it was escalated to, has come so far"},
    {NULL, 0, NULL, NULL},
};

static const struct flag timing_flags[] = {
    {"exercise", 0, "NAME", "of which exercise"},
    {"format", 'f', "text|csv", "text (default), or csv for a spreadsheet; -o json has the same"},
    {NULL, 0, NULL, NULL},
};

static const struct flag watch_flags[] = {
    {"cursor", 0, "NAME", "each of several watchers shows everything once (default: \"default\")"},
    {"headers", 0, NULL, "do not fetch and open what is new"},
    {"exec", 0, "CMD", "run for each event, its JSON on standard input; shown again until it exits 0"},
    {"once", 0, NULL, "show what is new and end"},
    {NULL, 0, NULL, NULL},
};

static const struct flag flush_flags[] = {
    {"discard", 0, "ID", "forget one that was refused, withdraw one that waits; sends nothing"},
    {NULL, 0, NULL, NULL},
};

const struct flag poc_handover_flags[] = {
    {"since", 0, "TIME", "what happened since then: 12h (default), or a time"},
    {NULL, 0, NULL, NULL},
};

const struct command poc_notice_commands[] = {
    {"send", "--to PLACE[,PLACE] --subject S", "sign, encrypt and send a notice", 0, 0, send_flags, poc_cmd_notice_send,
     NULL},
    {"list", "", "notices of our desks; open ones that we received, if no flag says otherwise", 0, 0, list_flags,
     poc_cmd_notice_list, NULL},
    {"show", "ID|FILE", "read a notice, or a saved story", 1, 1, say_flags, poc_cmd_notice_show, NULL},
    {"ack", "ID", "say that it has been received; implies neither agreement nor responsibility", 1, 1, ack_flags,
     poc_cmd_notice_ack, NULL},
    {"accept", "ID", "say that we work on it", 1, 1, ack_flags, poc_cmd_notice_accept, NULL},
    {"decline", "ID --reason R", "say that we do not", 1, 1, decline_flags, poc_cmd_notice_decline, NULL},
    {"reply", "ID", "answer in the same thread", 1, 1, reply_flags, poc_cmd_notice_reply, NULL},
    {"close", "ID", "say that nothing more is to be done", 1, 1, say_flags, poc_cmd_notice_close, NULL},
    {"take", "ID", "tell colleagues that I work on it; invisible abroad", 1, 1, say_flags, poc_cmd_notice_take, NULL},
    {"release", "ID", "tell colleagues that I do not any more", 1, 1, say_flags, poc_cmd_notice_release, NULL},
    {"note", "ID", "a private note for colleagues", 1, 1, note_flags, poc_cmd_notice_note, NULL},
    {"remind", "ID", "remind the recipients who have not answered or acknowledged it", 1, 1, remind_flags,
     poc_cmd_notice_remind, NULL},
    {"escalate", "ID --to PLACE", "send it on, in its thread, to somebody else", 1, 1, escalate_flags,
     poc_cmd_notice_escalate, NULL},
    {"forward", "ID --to PLACE", "encrypt it, with its proofs, to a colleague or place", 1, 1, forward_flags,
     poc_cmd_notice_forward, NULL},
    {"status", "ID", "its whole story, each step with its proof", 1, 1, status_flags, poc_cmd_notice_status, NULL},
    {"timing", "--exercise NAME", "how long each step of an exercise took, of those that are proven", 0, 0,
     timing_flags, poc_cmd_notice_timing, NULL},
    {"save", "ID DIR", "write its attachments below a folder, never over a file", 2, 2, NULL, poc_cmd_notice_save,
     NULL},
    {"watch", "", "live events as JSON lines", 0, 0, watch_flags, poc_cmd_notice_watch, NULL},
    {"flush", "", "send what waits in the outbox", 0, 0, flush_flags, poc_cmd_notice_flush, NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
