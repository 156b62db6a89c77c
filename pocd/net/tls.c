#include "pocd/net/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <string.h>

#include "proto/wire/tls.h"

enum { LEAF_CERTIFICATE_MAX = 4096, KEY_UPDATES_MAX = 32 };

static const unsigned char alpn[] = "\x05poc/1";

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
		       unsigned in_size, void *arg)
{
	(void)ssl;
	(void)arg;
	for (unsigned i = 0; i < in_size && i + 1 + in[i] <= in_size; i += 1u + in[i]) {
		if (in[i] == alpn[0] && memcmp(in + i + 1, alpn + 1, alpn[0]) == 0) {
			*out = in + i + 1;
			*out_size = alpn[0];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL asks choose_alpn only about an extension that was sent: a client that sends none is refused here. */
static int require_alpn(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *sent;
	size_t size;

	(void)arg;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &sent, &size) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static bool key_acceptable(EVP_PKEY *key)
{
	char group[32];
	size_t size;

	if (key == NULL)
		return false;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		return true;
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1)
		return false;
	return strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0;
}

/* Takes the leaf's key and nothing else: no chain is built, no date read.  Who the key is, U says later. */
static int verify_leaf(X509_STORE_CTX *ctx, void *arg)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);

	(void)arg;
	if (leaf == NULL || (sent != NULL && sk_X509_num(sent) > 1) || i2d_X509(leaf, NULL) > LEAF_CERTIFICATE_MAX ||
	    !key_acceptable(X509_get0_pubkey(leaf))) {
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

static void count_key_updates(int write, int version, int type, const void *bytes, size_t size, SSL *ssl, void *arg)
{
	(void)version;
	(void)arg;
	if (write == 0 && type == SSL3_RT_HANDSHAKE && size > 0 && *(const uint8_t *)bytes == SSL3_MT_KEY_UPDATE)
		SSL_set_app_data(ssl, (char *)SSL_get_app_data(ssl) + 1);
}

bool tls_flooded(SSL *ssl)
{
	return (uintptr_t)SSL_get_app_data(ssl) > KEY_UPDATES_MAX;
}

const char *tls_error(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return reason != NULL ? reason : "closed by peer";
}

SSL_CTX *tls_server_create(const char *cert_path, EVP_PKEY *key, struct refusal *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		refuse(why, STATUS_NO_MEMORY, "cert", "out of memory");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(ctx, 0);
	SSL_CTX_set_max_cert_list(ctx, 2L * LEAF_CERTIFICATE_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_leaf, NULL);
	SSL_CTX_set_client_hello_cb(ctx, require_alpn, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	SSL_CTX_set_msg_callback(ctx, count_key_updates);
	if (SSL_CTX_set1_groups_list(ctx, TLS_GROUPS) != 1)
		ERR_clear_error();
	if (SSL_CTX_use_certificate_file(ctx, cert_path, SSL_FILETYPE_PEM) != 1) {
		refuse(why, STATUS_INVALID, "cert", "%s: no certificate (%s)", cert_path, tls_error());
	} else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		refuse(why, STATUS_INVALID, "key", "%s: the private key does not belong to this certificate",
		       cert_path);
		ERR_clear_error();
	} else {
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

int tls_peer_spki(SSL *ssl, unsigned char **spki)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);

	*spki = NULL;
	return leaf != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), spki) : -1;
}
