#include "clients/cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/escape.h"
#include "clients/cli/place.h"
#include "clients/cli/strings.h"
#include "clients/libpoc/verdict.h"
#include "proto/rules/rules.h"
#include "proto/rules/zone.h"

/* Colour on a terminal only, and not against NO_COLOR. */
static const char *paint(const char *code)
{
	static int wanted = -1;

	if (wanted < 0) {
		const char *no = getenv("NO_COLOR");
		wanted = isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0');
	}
	return wanted ? code : "";
}

static const Poc__Hours *poc_hours(const struct draft_poc *poc)
{
	for (size_t i = 0; i < poc->n_sections; i++) {
		if (poc->sections[i].content != NULL && poc->sections[i].content->hours != NULL)
			return poc->sections[i].content->hours;
	}
	return NULL;
}

static const char *best_text(Poc__Text *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text_has_latin(texts[i]->text))
			return texts[i]->text;
	}
	return n > 0 ? texts[0]->text : NULL;
}

const char *show_poc_name(const struct draft_poc *poc)
{
	for (size_t i = 0; i < poc->n_sections; i++) {
		const Poc__Content *content = poc->sections[i].content;
		const char *name = content != NULL ? best_text(content->names, content->n_names) : NULL;
		if (name != NULL)
			return name;
	}
	return poc->id;
}

/* What is to be said of hours in a zone that this machine's database lacks. */
static const char *zone_text(const Poc__Hours *hours)
{
	static char text[140];

	snprintf(text, sizeof text, tr("hours unknown: this machine does not know the time zone %.64s"), hours->zone);
	return text;
}

/* NULL and *out: open or closed.  Else why that cannot be told. */
static const char *hours_text(const Poc__Hours *hours, int64_t now, struct opening *out)
{
	if (hours != NULL && !hours_at(hours, now, out))
		return zone_text(hours);
	return hours == NULL || !out->known ? tr("hours not given") : NULL;
}

int show_open_now(const struct draft_poc *poc, int64_t now)
{
	struct opening opening = {0};

	return hours_text(poc_hours(poc), now, &opening) == NULL ? opening.open : -1;
}

static void join(char *out, size_t size, char *const *words, size_t n)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && used + 1 < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", words[i]);
}

static int64_t days_of(const struct tm *tm)
{
	return civil_days(tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday);
}

/* "18:00", or "Mon 08:00" when it is not today there, or "Mon 2026-12-07 08:00" when that could be taken for a Monday
 * before it: the time of the change by the clocks of then. */
static void clock_text(char out[32], const Poc__Hours *hours, const struct opening *opening)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	struct opening then;

	out[0] = '\0';
	if (opening->changes_at == 0 || !hours_at(hours, opening->changes_at, &then))
		return;
	const struct tm *tm = &then.local, *today = &opening->local;
	const int64_t ahead = days_of(tm) - days_of(today);
	char date[24] = "";
	if (ahead > 6)
		snprintf(date, sizeof date, " %04d-%02d-%02d", (tm->tm_year + 1900) % 10000, (tm->tm_mon + 1) % 100,
			 tm->tm_mday % 100);
	if (ahead == 0)
		snprintf(out, 32, "%02d:%02d", tm->tm_hour, tm->tm_min);
	else
		snprintf(out, 32, "%s%s %02d:%02d", days[tm->tm_wday], date, tm->tm_hour, tm->tm_min);
}

static void print_opening(const Poc__Hours *hours, int64_t now)
{
	struct opening opening = {0};
	char until[32] = "";

	const char *unknown = hours_text(hours, now, &opening);
	if (unknown != NULL) {
		printf("%s", unknown);
		return;
	}
	clock_text(until, hours, &opening);
	if (opening.open)
		printf("%sOPEN%s", paint("\033[32m"), paint("\033[0m"));
	else
		printf("%sCLOSED%s", paint("\033[31m"), paint("\033[0m"));
	if (opening.changes_at == 0 && opening.open)
		printf(" %s", tr("24/7"));
	else if (until[0] != '\0')
		printf(tr(" until %s"), until);
	printf(tr(" (%02d:%02d there)"), opening.local.tm_hour, opening.local.tm_min);
}

/* ---- Whom to call */

enum { CALLS_MAX = 128 };

struct call {
	const Poc__Channel *channel;
	const char *section;
	int rank; /* smaller first */
	size_t order;
};

static bool valid_now(const Poc__Channel *c, int64_t now)
{
	return (c->valid_from == 0 || now >= c->valid_from) && (c->valid_until == 0 || now < c->valid_until);
}

/* Reachable now before the others: its own hours, or being meant for out of hours, or the office's. */
static int rank_of(const Poc__Channel *c, int office_open, int64_t now)
{
	struct opening opening = {0};

	if (c->hours != NULL && hours_at(c->hours, now, &opening) && opening.known)
		return opening.open ? 0 : 2;
	if (office_open == 0)
		return c->out_of_hours ? 0 : 2;
	return c->out_of_hours ? 1 : 0;
}

static int by_rank(const void *a, const void *b)
{
	const struct call *x = a, *y = b;

	return x->rank != y->rank ? x->rank - y->rank : x->order < y->order ? -1 : x->order > y->order;
}

static size_t collect(const struct draft_poc *poc, const struct show_filter *filter, int64_t now,
		      struct call calls[CALLS_MAX])
{
	size_t n = 0;
	int office_open = show_open_now(poc, now);

	for (size_t i = 0; i < poc->n_sections; i++) {
		const struct draft_section *s = &poc->sections[i];
		if (s->content == NULL || (filter->section != NULL && strcmp(filter->section, s->name) != 0))
			continue;
		for (size_t j = 0; j < s->content->n_channels && n < CALLS_MAX; j++) {
			const Poc__Channel *c = s->content->channels[j];
			if (valid_now(c, now)) {
				calls[n] = (struct call){c, s->name, rank_of(c, office_open, now), n};
				n++;
			}
		}
	}
	qsort(calls, n, sizeof *calls, by_rank);
	return n;
}

const Poc__Channel *show_first_call(const struct draft_poc *poc, int64_t now)
{
	static const struct show_filter all;
	struct call calls[CALLS_MAX];

	return collect(poc, &all, now, calls) > 0 ? calls[0].channel : NULL;
}

const char *show_no_channel(const struct draft_poc *poc)
{
	static char text[600];
	const char *site = NULL;
	bool withheld = false, later = false;

	for (size_t i = 0; i < poc->n_sections; i++) {
		const Poc__Content *content = poc->sections[i].content;
		withheld = withheld || content == NULL;
		later = later || (content != NULL && content->n_channels > 0);
		if (site == NULL && content != NULL && content->n_websites > 0)
			site = content->websites[0];
	}
	snprintf(text, sizeof text, "%s%s%.500s",
		 withheld ? tr("no channel that this reader may see")
		 : later  ? tr("NO CHANNEL is valid now")
			  : tr("NO CHANNEL is given"),
		 site != NULL ? tr("; web site ") : "", site != NULL ? site : "");
	return text;
}

static void print_call(size_t number, const struct call *call, int64_t now)
{
	const Poc__Channel *c = call->channel;
	char languages[128], extra[400] = "";
	const char *note = best_text(c->notes, c->n_notes);
	struct opening opening = {0};

	bool always = c->hours != NULL && c->hours->always;
	join(languages, sizeof languages, c->languages, c->n_languages);
	snprintf(extra, sizeof extra, "%s%s%s%s%s%s%s", note != NULL || always ? "   " : "", note != NULL ? note : "",
		 note != NULL && always ? " " : "", always ? "24/7" : "", languages[0] != '\0' ? "   " : "", languages,
		 call->rank == 2 ? tr("   (closed now)") : "");
	cli_line(tr("call %zu  %-6s %s%s"), number, c->type, c->value, extra);
	if (c->hours != NULL && !hours_at(c->hours, now, &opening))
		cli_line("        %-6s %s", "", zone_text(c->hours));
}

static void print_next_changes(const struct draft_poc *poc, int64_t now)
{
	for (size_t i = 0; i < poc->n_sections; i++) {
		const Poc__Content *content = poc->sections[i].content;
		for (size_t j = 0; content != NULL && j < content->n_channels; j++) {
			const Poc__Channel *c = content->channels[j];
			if (c->valid_from > now)
				cli_line(tr("from %s  %-6s %s"), time_text(c->valid_from), c->type, c->value);
		}
	}
}

static void print_header(const struct draft *draft, const struct draft_poc *poc, int64_t now)
{
	char languages[128] = "";

	for (size_t i = 0; i < poc->n_sections && languages[0] == '\0'; i++) {
		const Poc__Content *content = poc->sections[i].content;
		if (content != NULL)
			join(languages, sizeof languages, content->languages, content->n_languages);
	}
	printf("%s%s %s%s  ", paint("\033[1m"), place_text(&draft->name), poc_kind_name(poc->kind), paint("\033[0m"));
	char *name = escape_text(show_poc_name(poc), 0), *spoken = escape_text(languages, 0);
	printf("%s   ", name != NULL ? name : poc->id);
	print_opening(poc_hours(poc), now);
	printf("%s%s\n", languages[0] != '\0' ? "   " : "", spoken != NULL ? spoken : "");
	free(name);
	free(spoken);
}

/* ---- Details */

/* A line of words, of which some may be empty. */
static void print_words(const char *label, const char *first, const char *second, const char *third)
{
	const char *words[] = {first, second, third};
	char line[1200] = "";
	size_t used = 0;

	for (size_t i = 0; i < 3 && used + 1 < sizeof line; i++) {
		if (words[i] != NULL && words[i][0] != '\0')
			used +=
			    (size_t)snprintf(line + used, sizeof line - used, "%s%s", used > 0 ? " " : "", words[i]);
	}
	cli_line("  %-13s %s", label, line);
}

/* A text of several lines stays within its column: nothing in it can pass for a line of ours. */
static void print_text(const char *label, const Poc__Text *text)
{
	bool tagged = text->lang[0] != '\0' && strcmp(text->lang, "und") != 0;

	for (const char *at = text->text; at != NULL;) {
		const char *end = strchr(at, '\n');
		size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
		if (end == NULL && tagged)
			cli_line("  %-13s %.*s [%s]", label, (int)length, at, text->lang);
		else
			cli_line("  %-13s %.*s", label, (int)length, at);
		label = "";
		at = end != NULL ? end + 1 : NULL;
	}
}

static void print_texts(const char *label, Poc__Text *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print_text(label, texts[i]);
}

/* "09:00-12:00 14:00-17:00" of a weekday (0: of any). */
static void intervals_text(Poc__Interval *const *list, size_t n, unsigned day, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && used + 16 < size; i++) {
		const Poc__Interval *w = list[i];
		if (day == 0 || w->day == day)
			used += (size_t)snprintf(out + used, size - used, "%s%02u:%02u-%02u:%02u", used > 0 ? " " : "",
						 w->open / 60, w->open % 60, w->close / 60, w->close % 60);
	}
}

enum { DAY_TEXT = 120 };

/* "Mon-Fri 08:00-18:00, Sat 09:00-12:00" */
static void week_text(const Poc__Hours *hours, char *out, size_t size)
{
	static const char *const days[] = {"", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	char text[9][DAY_TEXT] = {""};
	size_t used = 0;

	out[0] = '\0';
	for (unsigned day = 1; day <= 7; day++)
		intervals_text(hours->weekly, hours->n_weekly, day, text[day], DAY_TEXT);
	for (unsigned day = 1, last; day <= 7 && used + 1 < size; day = last + 1) {
		for (last = day; text[day][0] != '\0' && last < 7 && strcmp(text[last + 1], text[day]) == 0;)
			last++;
		if (text[day][0] == '\0')
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s%s%s %s", used > 0 ? ", " : "", days[day],
					 last > day ? "-" : "", last > day ? days[last] : "", text[day]);
	}
}

static void print_week(const Poc__Hours *hours)
{
	char line[1000];

	if (hours == NULL)
		return;
	week_text(hours, line, sizeof line);
	cli_line("  %-13s %s (%s)", tr("hours"), hours->always ? "24/7" : line, hours->zone);
	for (size_t i = 0; i < hours->n_exceptions; i++) {
		const Poc__Exception *e = hours->exceptions[i];
		intervals_text(e->intervals, e->n_intervals, 0, line, sizeof line);
		print_words(tr("except"), e->date, e->n_intervals == 0 ? tr("closed") : line, e->note);
	}
}

static void print_constituency(const Poc__Constituency *c)
{
	char numbers[800];
	size_t used = 0;

	if (c == NULL)
		return;
	print_texts(tr("serves"), c->descriptions, c->n_descriptions);
	numbers[0] = '\0';
	for (size_t i = 0; i < c->n_asns && used + 16 < sizeof numbers; i++)
		used += (size_t)snprintf(numbers + used, sizeof numbers - used, "%sAS%u", i > 0 ? " " : "", c->asns[i]);
	for (size_t i = 0; i < c->n_prefixes && used + 60 < sizeof numbers; i++)
		used += (size_t)snprintf(numbers + used, sizeof numbers - used, "%s%s", used > 0 ? " " : "",
					 c->prefixes[i]);
	for (size_t i = 0; i < c->n_domains && used + 260 < sizeof numbers; i++)
		used +=
		    (size_t)snprintf(numbers + used, sizeof numbers - used, "%s%s", used > 0 ? " " : "", c->domains[i]);
	if (used > 0)
		cli_line("  %-13s %s (%s)", tr("constituency"), numbers, tr("the state's own claim"));
}

static void print_persons(const Poc__Content *content)
{
	for (size_t i = 0; i < content->n_persons; i++) {
		const Poc__Person *p = content->persons[i];
		const char *name = best_text(p->names, p->n_names), *position = best_text(p->positions, p->n_positions);
		cli_line("  %-13s %s%s%s", tr("person"), name != NULL ? name : p->id, position != NULL ? ", " : "",
			 position != NULL ? position : "");
		for (size_t j = 0; j < p->n_channels; j++)
			cli_line("    %-11s %s", p->channels[j]->type, p->channels[j]->value);
	}
}

static bool is_channel(const Poc__Content *content, const char *value)
{
	for (size_t i = 0; i < content->n_channels; i++) {
		if (strcmp(content->channels[i]->value, value) == 0)
			return true;
	}
	return false;
}

static void print_section(const struct draft_section *s)
{
	const Poc__Content *c = s->content;

	printf("  -- %s, %s%s\n", s->name, tlp_name(s->tlp),
	       c == NULL ? tr(": withheld from this reader, or erased") : "");
	if (c == NULL)
		return;
	print_texts(tr("name"), c->names, c->n_names);
	print_texts(tr("institution"), c->institutions, c->n_institutions);
	print_texts(tr("about"), c->descriptions, c->n_descriptions);
	print_week(c->hours);
	for (size_t i = 0; i < c->n_websites; i++) {
		if (!is_channel(c, c->websites[i])) /* told among the calls already */
			cli_line("  %-13s %s", tr("web site"), c->websites[i]);
	}
	for (size_t i = 0; i < c->n_pgp_keys; i++)
		cli_line("  %-13s %s%s", tr("PGP"), c->pgp_keys[i]->fingerprint,
			 c->pgp_keys[i]->key.len > 0 ? tr(" (key in the record)") : "");
	for (size_t i = 0; i < c->n_memberships; i++)
		print_words(tr("member of"), c->memberships[i]->organisation, c->memberships[i]->reference, NULL);
	print_constituency(c->constituency);
	print_persons(c);
	print_texts(tr("address"), c->addresses, c->n_addresses);
	for (size_t i = 0; i < c->n_sources; i++)
		print_words(tr("source"), c->sources[i]->name, c->sources[i]->date, c->sources[i]->note);
	if (c->n_incomplete > 0) {
		char missing[200];
		join(missing, sizeof missing, c->incomplete, c->n_incomplete);
		cli_line("  %-13s %s", tr("incomplete"), missing);
	}
	for (size_t i = 0; i < c->n_units; i++)
		cli_line("  %-13s %s", tr("unit"), c->units[i]);
}

static bool section_wanted(const struct draft_section *s, const struct show_filter *filter)
{
	return filter->section == NULL || strcmp(filter->section, s->name) == 0;
}

static bool wanted(const struct draft_poc *poc, const struct show_filter *filter)
{
	bool section = filter->section == NULL;

	for (size_t i = 0; i < poc->n_sections; i++)
		section = section || section_wanted(&poc->sections[i], filter);
	return section && (filter->kind == 0 || filter->kind == poc->kind);
}

size_t show_count(const struct draft *draft, const struct show_filter *filter)
{
	size_t n = 0;

	for (size_t i = 0; i < draft->n_pocs; i++)
		n += wanted(&draft->pocs[i], filter);
	for (size_t i = 0; filter->section != NULL && filter->kind == 0 && i < draft->n_sections; i++)
		n += section_wanted(&draft->sections[i], filter);
	return n;
}

static void print_calls(const struct draft *draft, const struct draft_poc *poc, const struct show_filter *filter,
			int64_t now)
{
	struct call calls[CALLS_MAX];

	print_header(draft, poc, now);
	size_t n = collect(poc, filter, now, calls);
	for (size_t i = 0; i < n; i++)
		print_call(i + 1, &calls[i], now);
	if (n == 0 && filter->section == NULL)
		cli_line("%s", show_no_channel(poc));
	print_next_changes(poc, now);
}

static void print_details(const struct draft_poc *poc, const struct show_filter *filter)
{
	printf("\n%s, %s\n", poc->id, poc_kind_name(poc->kind));
	for (size_t i = 0; i < poc->n_sections; i++) {
		if (section_wanted(&poc->sections[i], filter))
			print_section(&poc->sections[i]);
	}
}

bool show_record(const struct draft *draft, const struct show_filter *filter, int64_t now)
{
	bool printed = false;

	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (!wanted(&draft->pocs[i], filter))
			continue;
		if (printed) /* which number belongs to whom is seen at a glance */
			putchar('\n');
		print_calls(draft, &draft->pocs[i], filter, now);
		printed = true;
	}
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (!wanted(&draft->pocs[i], filter))
			continue;
		print_details(&draft->pocs[i], filter);
	}
	for (size_t i = 0; i < draft->n_sections; i++) {
		if (draft->sections[i].content == NULL || !section_wanted(&draft->sections[i], filter))
			continue;
		print_section(&draft->sections[i]);
		printed = true;
	}
	return printed;
}

void show_clock(const struct poc_verdict *v)
{
	if (v->clock_behind > 0)
		printf(tr("CLOCK: this machine's clock is %s BEHIND the verified checkpoint; below it is taken to be "
			  "%s\n"),
		       span_text(v->clock_behind), time_text(v->judged));
	else if (v->clock_ahead > 0)
		printf(tr("CLOCK: this machine's clock is %s AHEAD of the server's: one of them is wrong\n"),
		       span_text(v->clock_ahead));
}

void show_too_early(const struct poc_verdict *v)
{
	printf(tr("TOO EARLY: --at is %s before this proof, which cannot say what held then; shown as of %s\n"),
	       span_text(v->clock_behind), time_text(v->judged));
}

void show_offline(int64_t copy_time, int64_t now)
{
	time_t at = (time_t)copy_time;
	struct tm tm;
	char clock[24] = "";

	if (gmtime_r(&at, &tm) != NULL)
		strftime(clock, sizeof clock, llabs(now - copy_time) < 86400 ? "%H:%MZ" : "%Y-%m-%d %H:%MZ", &tm);
	if (copy_time - now > CLOCK_TOLERANCE)
		printf(tr("OFFLINE, copy of %s; CLOCK: this machine's clock is %s BEHIND it, and cannot be right\n"),
		       clock, span_text(copy_time - now));
	else
		printf(tr("OFFLINE, copy of %s, %s old\n"), clock, span_text(now > copy_time ? now - copy_time : 0));
}

/* ---- Verdict */

static const char *freshness_word(const struct poc_verdict *v)
{
	return freshness_name((enum freshness)v->freshness);
}

const char *show_standing(const struct poc_verdict *v)
{
	return v->status == POC_WITHDRAWN ? "withdrawn" : v->status == POC_SUSPENDED ? "suspended" : "valid";
}

static const char *keys_word(const struct poc_verdict *v)
{
	static const char *const words[] = {"never", "verified", "changed", "unknown"};

	return words[v->keys];
}

/* Nothing where nobody ever compared them: that is so of most states. */
void show_keys(const struct poc_verdict *v)
{
	if (v->keys == POC_KEYS_VERIFIED)
		printf(tr("authority keys: verified on %s with the state itself, and the same now\n"),
		       time_text(v->keys_verified));
	else if (v->keys == POC_KEYS_CHANGED)
		printf(
		    tr("KEYS CHANGED: the state's authority keys are not those that were verified on %s: compare them "
		       "again, by telephone (poc key show, poc key verified)\n"),
		    time_text(v->keys_verified));
	else if (v->keys == POC_KEYS_UNKNOWN)
		puts(tr("KEYS: which authority keys were verified with their states cannot be read any more; poc key "
			"show says why"));
}

const char *show_suspended_for(const struct poc_verdict *v)
{
	return v->suspended_for[0] != '\0' ? v->suspended_for : tr("the council is replacing its authority");
}

static void print_suspended(const struct poc_verdict *v)
{
	char *reason = escape_text(show_suspended_for(v), 0);

	printf(tr("; the state is SUSPENDED: %s"), reason != NULL ? reason : "");
	free(reason);
}

void show_verdict(const struct poc_verdict *v)
{
	const int64_t now = v->judged;
	int64_t time = v->time_ms / 1000;
	const bool late = !v->offline && now - time > CHECKPOINT_LATE;

	printf("%s%s%s", paint("\033[1m"), tr("verified: "), paint("\033[0m"));
	printf(tr("signed by the %s"), v->signed_by);
	if (v->status == POC_SUSPENDED)
		print_suspended(v);
	if (v->replaced)
		printf("; %s", tr("the state's authority was replaced by the council"));
	if (v->status == POC_WITHDRAWN)
		printf("; %s", tr("WITHDRAWN by its state"));
	/* the directory lets a signer's clock be ahead by some minutes */
	printf(now < v->confirmed ? tr("; confirmed %s (%s in the future): %s") : tr("; confirmed %s (%s ago): %s"),
	       time_text(v->confirmed), span_text(now < v->confirmed ? v->confirmed - now : now - v->confirmed),
	       freshness_word(v));
	if (v->answered != 0)
		printf(v->answered_automatically ? tr("; last answered %s (%s ago), by a program\n")
						 : tr("; last answered %s (%s ago)\n"),
		       time_text(v->answered), span_text(now < v->answered ? 0 : now - v->answered));
	else
		printf("; %s\n", tr("no answered communications check"));
	printf(tr("checkpoint %s, size %llu, of %s (%s old%s)"), v->origin, (unsigned long long)v->size,
	       time_text(time), span_text(now - time),
	       v->checkpoint_stale ? tr(", STALE")
	       : late              ? tr(", LATE: more than 15 minutes")
				   : "");
	if (v->auditors == 0 || v->quorum == 0)
		printf("; %s\n", tr("operator's word only: no auditor"));
	else
		printf(tr("; cosigned by %u of %u auditors, %u needed\n"), v->cosigners, v->auditors, v->quorum);
	show_keys(v);
	if (v->trust_expired)
		puts(tr("the trust root has expired: ask the directory's staff for a ceremony"));
	if (v->withheld == 1)
		puts(tr("1 section is withheld from this reader"));
	else if (v->withheld > 1)
		printf(tr("%zu sections are withheld from this reader\n"), v->withheld);
}

json_t *show_keys_json(const struct poc_verdict *v)
{
	return json_pack("{s:s,s:o}", "status", keys_word(v), "verified_at", cli_time_json(v->keys_verified));
}

json_t *show_verdict_json(const struct poc_verdict *v)
{
	return json_pack(
	    "{s:s,s:o,s:s,s:s,s:b,s:o,s:o,s:b,s:b,s:i,s:o,s:I,s:I,s:o,s:b,s:{s:s,s:I,s:o,s:i,s:i,s:i,s:b}}", "status",
	    show_standing(v), "suspended_for",
	    v->suspended_for[0] != '\0' ? json_string(v->suspended_for) : json_null(), "freshness", freshness_word(v),
	    "signed_by", v->signed_by, "replaced", (int)v->replaced, "confirmed_at", cli_time_json(v->confirmed),
	    "answered_at", cli_time_json(v->answered), "answered_automatically", (int)v->answered_automatically,
	    "offline", (int)v->offline, "withheld", (int)v->withheld, "judged_at", cli_time_json(v->judged),
	    "clock_behind", (json_int_t)v->clock_behind, "clock_ahead", (json_int_t)v->clock_ahead, "authority_keys",
	    show_keys_json(v), "trust_expired", (int)v->trust_expired, "checkpoint", "origin", v->origin, "size",
	    (json_int_t)v->size, "time", cli_time_json(v->time_ms / 1000), "cosigners", (int)v->cosigners, "auditors",
	    (int)v->auditors, "quorum", (int)v->quorum, "stale", (int)v->checkpoint_stale);
}

static void add_remark(json_t *list, const char *poc, const char *channel, const char *code, const char *message)
{
	json_t *remark = json_pack("{s:s,s:s,s:s}", "poc", poc, "code", code, "message", message);

	if (channel != NULL)
		json_object_set_new(remark, "channel", json_string(channel));
	json_array_append_new(list, remark);
}

/* What the text form says in words of a POC's calls, for programs. */
static void add_remarks(json_t *list, const struct draft_poc *poc, int64_t now)
{
	const struct show_filter all = {0};
	const Poc__Hours *hours = poc_hours(poc);
	struct call calls[CALLS_MAX];
	struct opening opening = {0};
	size_t n = collect(poc, &all, now, calls);

	if (n == 0)
		add_remark(list, poc->id, NULL, "no-channel", show_no_channel(poc));
	if (hours != NULL && !hours_at(hours, now, &opening))
		add_remark(list, poc->id, NULL, "unknown-zone", zone_text(hours));
	for (size_t i = 0; i < n; i++) {
		hours = calls[i].channel->hours;
		if (hours != NULL && !hours_at(hours, now, &opening))
			add_remark(list, poc->id, calls[i].channel->id, "unknown-zone", zone_text(hours));
	}
}

json_t *show_json(const struct draft *draft, const struct poc_verdict *verdict)
{
	json_t *open = json_null(), *remarks = json_array();
	const int64_t now = verdict->judged;

	for (size_t i = 0; i < draft->n_pocs; i++) {
		int state = show_open_now(&draft->pocs[i], now);
		if (state >= 0 && !json_is_true(open))
			open = state != 0 ? json_true() : json_false();
		add_remarks(remarks, &draft->pocs[i], now);
	}
	return json_pack("{s:s,s:o,s:o,s:o,s:o}", "place", place_text(&draft->name), "record", draft_to_json(draft),
			 "open_now", open, "remarks", remarks, "verdict", show_verdict_json(verdict));
}

int show_status(const struct poc_verdict *v)
{
	if (v->status == POC_WITHDRAWN)
		return STATUS_WITHDRAWN;
	if (v->status == POC_SUSPENDED)
		return STATUS_SUSPENDED;
	if (v->clock_behind > 0)
		return STATUS_CLOCK;
	return v->freshness == 2 || v->checkpoint_stale || v->trust_expired ? STATUS_STALE : 0;
}

/* ---- Whom a notice reaches */

enum { REACH_TEXT = 140 };

static const struct draft_poc *first_of_kind(const struct draft *draft, Poc__PocKind kind)
{
	for (size_t i = 0; i < draft->n_pocs; i++) {
		if (draft->pocs[i].kind == kind)
			return &draft->pocs[i];
	}
	return NULL;
}

/* "open until 18:00", "closed, opens in 5 h 20"; *open: 1, 0, or -1 where no hours are given. */
static void reach_text(const struct draft_poc *poc, int64_t now, char out[REACH_TEXT], int *open)
{
	struct opening opening = {0};
	const Poc__Hours *hours = poc_hours(poc);
	const char *unknown = hours_text(hours, now, &opening);
	char until[32];

	*open = -1;
	snprintf(out, REACH_TEXT, "%s", unknown != NULL ? unknown : "");
	if (unknown != NULL)
		return;
	*open = opening.open;
	if (opening.changes_at == 0) {
		snprintf(out, REACH_TEXT, "%s", opening.open ? tr("open 24/7") : tr("closed"));
	} else if (opening.open) {
		clock_text(until, hours, &opening);
		snprintf(out, REACH_TEXT, tr("open until %s there"), until);
	} else {
		snprintf(out, REACH_TEXT, tr("closed, opens in %s"), span_text(opening.changes_at - now));
	}
}

bool show_reach(const struct draft *draft, Poc__PocKind kind, int64_t now)
{
	const struct show_filter all = {0};
	const struct draft_poc *poc = first_of_kind(draft, kind);
	struct call calls[CALLS_MAX];
	char opening[REACH_TEXT], call[700] = "";
	int open;

	if (poc == NULL)
		return false;
	reach_text(poc, now, opening, &open);
	if (collect(poc, &all, now, calls) > 0)
		snprintf(call, sizeof call, "; %s %s %.500s", tr("call"), calls[0].channel->type,
			 calls[0].channel->value);
	else
		snprintf(call, sizeof call, "; %.600s", show_no_channel(poc));
	cli_line("%s %s  %s  %s%s", place_text(&draft->name), poc_kind_name(kind), show_poc_name(poc), opening, call);
	return true;
}

json_t *show_reach_json(const struct draft *draft, Poc__PocKind kind, int64_t now)
{
	const struct show_filter all = {0};
	const struct draft_poc *poc = first_of_kind(draft, kind);
	struct call calls[CALLS_MAX];
	char opening[REACH_TEXT];
	int open;

	if (poc == NULL)
		return NULL;
	reach_text(poc, now, opening, &open);
	size_t n = collect(poc, &all, now, calls);
	return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o}", "place", place_text(&draft->name), "kind", poc_kind_name(kind),
			 "name", show_poc_name(poc), "open_now", open < 0 ? json_null() : json_boolean(open), "opening",
			 opening, "next_channel",
			 n > 0
			     ? json_pack("{s:s,s:s}", "type", calls[0].channel->type, "value", calls[0].channel->value)
			     : json_null());
}
