#include "pocd/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pocd/signer_message.h"
#include "proto/keys/keystore_open.h"
#include "proto/keys/keystore_pkcs11.h"
#include "proto/keys/passphrase.h"

struct signer {
	size_t n_keys;
	struct keystore_key *keys[SIGNER_KEYS_MAX];
	struct signed_file *memory;
};

/* ---- Privileges */

/* Whatever is open but standard error, the socket and the passphrase was not meant for this process. */
static void close_others(bool passphrase)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing >= 0) {
		dup2(nothing, STDIN_FILENO);
		dup2(nothing, STDOUT_FILENO);
	}
	close_range(passphrase ? SIGNER_PASSPHRASE + 1 : SIGNER_PASSPHRASE, ~0U, 0);
	fcntl(SIGNER_SOCKET, F_SETFD, FD_CLOEXEC);
}

static void give_up_privileges(void)
{
	struct rlimit no_core = {0, 0}, few_files = {32, 32};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no debugger, no reading of /proc/PID/mem by the same user */
	prctl(PR_SET_NAME, "pocd-signer", 0, 0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	setrlimit(RLIMIT_NOFILE, &few_files);
	umask(077);
	/* It ends when the daemon does, and not before: a terminal's ^C and systemd's SIGTERM go to both, and the
	 * daemon has a last checkpoint to be signed. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#endif

/* From here on no socket and no other program: what lies about in a process without either is hard to carry away.
 * Only a second fence: where the kernel or the processor does not have it, it is left out. */
static void fence(void)
{
#ifdef NATIVE
#define REFUSED(number)                                                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
	struct sock_filter filter[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    REFUSED(SYS_socket),
	    REFUSED(SYS_connect),
	    REFUSED(SYS_bind),
	    REFUSED(SYS_execve),
	    REFUSED(SYS_execveat),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
#undef REFUSED
	const struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

/* ---- Keys */

static int open_keys(struct signer *signer, const struct signer_options *options, struct refusal *why)
{
	struct passphrase passphrase = {.file = options->passphrase_file, .fd = options->passphrase_fd, .ask = true};
	bool tokens = false;
	int status = 0;

	for (size_t i = 0; status == 0 && i < options->keys->n; i++) {
		status = passphrase_open(&passphrase, options->keys->paths[i], &signer->keys[i], why);
		if (status != 0)
			break;
		signer->n_keys++;
		if (keystore_public(signer->keys[i])->algorithm != KEY_ED25519)
			status = refuse(why, STATUS_INVALID, "log.key", "%.*s: a log key is an Ed25519 key",
					keystore_pkcs11_shown(options->keys->paths[i]), options->keys->paths[i]);
		tokens = tokens || keystore_is_token(options->keys->paths[i]);
	}
	passphrase_finish(&passphrase);
	if (status != 0)
		return status;
	if (!tokens)
		fence(); /* the module of a token may have to speak to it over the network */
	return signed_open(options->memory, &signer->memory, why);
}

/* ---- Requests */

static int answer_hello(struct signer *signer, struct signer_message *m)
{
	signer_begin(m, SIGNER_DONE);
	signer_put_number(m, 1, signer->n_keys);
	for (size_t i = 0; i < signer->n_keys; i++) {
		const struct public_key *key = keystore_public(signer->keys[i]);
		signer_put_bytes(m, key->spki, key->spki_size);
	}
	return 0;
}

static int answer_start(struct signer *signer, struct signer_message *m, struct refusal *why)
{
	struct signed_head last, published;

	signer_get_head(m, &published);
	uint64_t leaves = signer_get_number(m, 8);
	if (m->bad || m->at != m->size)
		return refuse(why, STATUS_MALFORMED, "", "a malformed request to the signer");
	int status = signed_last(signer->memory, &last, why);
	if (status == 0)
		status = signed_judge_start(&last, &published.head, leaves, why);
	if (status == 0 && published.head.size > last.head.size) {
		/* what is published was signed, be it before there was a memory */
		last = published;
		status = signed_advance(signer->memory, &last, why);
	}
	if (status != 0)
		return status;
	signer_begin(m, SIGNER_DONE);
	signer_put_head(m, &last);
	return 0;
}

static int answer_prepare(struct signer *signer, struct signer_message *m, struct refusal *why)
{
	struct signed_head next;

	signer_get_head(m, &next);
	if (m->bad || m->at != m->size || next.head.size == 0)
		return refuse(why, STATUS_MALFORMED, "", "a malformed request to the signer");
	int status = signed_advance(signer->memory, &next, why);
	if (status == 0)
		signer_begin(m, SIGNER_DONE);
	return status;
}

static int answer_sign(struct signer *signer, struct signer_message *m, struct refusal *why)
{
	struct signed_head last;
	char text[NOTE_MAX];
	uint8_t signature[SIGNATURE_MAX];
	size_t size, signature_size;
	uint64_t key = signer_get_number(m, 1);
	const uint8_t *bytes = signer_get_bytes(m, &size);

	if (m->bad || m->at != m->size || key >= signer->n_keys)
		return refuse(why, STATUS_MALFORMED, "", "a malformed request to the signer");
	int status = signed_last(signer->memory, &last, why);
	if (status != 0)
		return status;
	long prepared = last.head.size > 0 ? checkpoint_format(&last.head, text, sizeof text) : -1;
	if (prepared < 0 || (size_t)prepared != size || memcmp(text, bytes, size) != 0)
		return refuse(why, STATUS_DENIED, "", "the signer signs the head that was prepared last, nothing else");
	if (keystore_sign(signer->keys[key], bytes, size, signature, &signature_size) != 0)
		return refuse(why, STATUS_FAILED, "", "the log key does not sign");
	signer_begin(m, SIGNER_DONE);
	signer_put_bytes(m, signature, signature_size);
	return 0;
}

static int answer(struct signer *signer, int type, struct signer_message *m, struct refusal *why)
{
	switch (type) {
	case SIGNER_HELLO:
		return answer_hello(signer, m);
	case SIGNER_START:
		return answer_start(signer, m, why);
	case SIGNER_PREPARE:
		return answer_prepare(signer, m, why);
	case SIGNER_SIGN:
		return answer_sign(signer, m, why);
	default:
		return refuse(why, STATUS_MALFORMED, "", "an unknown request to the signer");
	}
}

/* broken: why there are no keys, told to whoever asks. */
static int serve(struct signer *signer, const struct refusal *broken)
{
	struct signer_message message;
	int type;

	while ((type = signer_receive(SIGNER_SOCKET, &message, -1)) > 0) {
		struct refusal why = *broken;
		int status = broken->code != 0 ? broken->code : answer(signer, type, &message, &why);
		if (status != 0) {
			signer_begin(&message, SIGNER_REFUSED);
			signer_put_number(&message, 1, (uint64_t)status);
			signer_put_bytes(&message, why.message, strlen(why.message));
		}
		if (signer_send(SIGNER_SOCKET, &message) != 0)
			return 1;
	}
	return type == 0 ? 0 : 1;
}

int signer_run(const struct signer_options *options, struct refusal *why)
{
	struct signer signer = {0};
	int type;
	socklen_t size = sizeof type;

	if (getsockopt(SIGNER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
		fputs("pocd: --signer is for pocd's own use: it starts its signer by itself\n", stderr);
		return 2;
	}
	close_others(options->passphrase_fd == SIGNER_PASSPHRASE);
	give_up_privileges();
	if (why->code == 0)
		open_keys(&signer, options, why);
	int status = serve(&signer, why);
	for (size_t i = 0; i < signer.n_keys; i++)
		keystore_close(signer.keys[i]);
	signed_close(signer.memory);
	return status;
}
