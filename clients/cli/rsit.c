#include "clients/cli/rsit.h"

#include <stddef.h>
#include <string.h>

/* Each class with its values: the taxonomy's machine-readable form, which is CC0. */
static const struct {
	const char *class;
	const char *values; /* between blanks */
} classes[] = {
    {"abusive-content", " spam harmful-speech violence "},
    {"malicious-code", " infected-system c2-server malware-distribution malware-configuration "},
    {"information-gathering", " scanner sniffing social-engineering "},
    {"intrusion-attempts", " ids-alert brute-force exploit "},
    {"intrusions", " privileged-account-compromise unprivileged-account-compromise application-compromise "
		   "system-compromise burglary "},
    {"availability", " dos ddos misconfiguration sabotage outage "},
    {"information-content-security",
     " unauthorised-information-access unauthorised-information-modification data-loss data-leak "},
    {"fraud", " unauthorised-use-of-resources copyright masquerade phishing "},
    {"vulnerable",
     " weak-crypto ddos-amplifier potentially-unwanted-accessible information-disclosure vulnerable-system "},
    {"other", " other undetermined "},
    {"test", " test "},
};

static bool has_value(const char *values, const char *value)
{
	const size_t length = strlen(value);

	for (const char *at = strstr(values, value); length > 0 && at != NULL; at = strstr(at + 1, value)) {
		if (at[-1] == ' ' && at[length] == ' ')
			return true;
	}
	return false;
}

bool rsit_known(const char *text)
{
	const char *slash = strchr(text, '/');
	const size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		if (strlen(classes[i].class) == length && memcmp(classes[i].class, text, length) == 0)
			return slash == NULL || (strchr(slash, ' ') == NULL && has_value(classes[i].values, slash + 1));
	}
	return false;
}
