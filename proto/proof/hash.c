#include "proto/proof/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const struct hash hash_zero;

/* The algorithm is fetched once per process and the context kept per thread: fetching and allocating are what makes the
 * one-shot SHA256() slow. */
static EVP_MD *algorithm;
static pthread_key_t context_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local EVP_MD_CTX *thread_context;

static void context_free(void *context)
{
	EVP_MD_CTX_free(context);
}

static void start(void)
{
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!algorithm || pthread_key_create(&context_key, context_free) != 0)
		abort();
}

static EVP_MD_CTX *context_of_thread(void)
{
	if (thread_context)
		return thread_context;
	pthread_once(&once, start);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	/* The key's only job is to free the context when its thread ends. */
	if (!context || pthread_setspecific(context_key, context) != 0)
		abort();
	/* The first initialisation names the algorithm, later ones reuse it. */
	if (EVP_DigestInit_ex2(context, algorithm, NULL) != 1)
		abort();
	thread_context = context;
	return context;
}

void hash_thread_finish(void)
{
	if (!thread_context)
		return;
	pthread_setspecific(context_key, NULL);
	EVP_MD_CTX_free(thread_context);
	thread_context = NULL;
}

struct hash hash_parts(const struct hash_part *parts, size_t n)
{
	EVP_MD_CTX *context = context_of_thread();
	struct hash out;

	if (EVP_DigestInit_ex2(context, NULL, NULL) != 1)
		abort();
	for (size_t i = 0; i < n; i++)
		if (parts[i].size > 0 && EVP_DigestUpdate(context, parts[i].bytes, parts[i].size) != 1)
			abort();
	if (EVP_DigestFinal_ex(context, out.bytes, NULL) != 1)
		abort();
	return out;
}

struct hash hash_of(const void *bytes, size_t size)
{
	return hash_parts(&(struct hash_part){bytes, size}, 1);
}

static struct hash hash_prefixed(const char *prefix, const void *bytes, size_t size)
{
	const struct hash_part parts[] = {{prefix, strlen(prefix)}, {bytes, size}};
	return hash_parts(parts, 2);
}

struct hash hash_name(const char *name)
{
	return hash_prefixed("pocd-name-v1\n", name, strlen(name));
}

struct hash hash_section(const void *bytes, size_t size)
{
	return hash_prefixed("pocd-section-v1\n", bytes, size);
}

struct hash hash_event(const void *bytes, size_t size)
{
	return hash_prefixed("pocd-event-v1\n", bytes, size);
}

int hash_compare(const struct hash *a, const struct hash *b)
{
	return memcmp(a->bytes, b->bytes, HASH_SIZE);
}

void hash_to_hex(const struct hash *hash, char out[2 * HASH_SIZE + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < HASH_SIZE; i++) {
		out[2 * i] = digits[hash->bytes[i] >> 4];
		out[2 * i + 1] = digits[hash->bytes[i] & 15];
	}
	out[2 * HASH_SIZE] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hash_from_hex(const char *text, struct hash *out)
{
	struct hash hash;

	if (strnlen(text, 2 * HASH_SIZE + 1) != 2 * HASH_SIZE)
		return -1;
	for (size_t i = 0; i < HASH_SIZE; i++) {
		const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -1;
		hash.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*out = hash;
	return 0;
}
