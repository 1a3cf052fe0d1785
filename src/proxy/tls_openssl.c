/* SPDX-License-Identifier: MIT */
/*
 * tls_openssl.c - OpenSSL's libssl: its functions, and contexts made of certificates
 *
 * The library is loaded by the TLS process alone (tls.c), in the version whose headers were there
 * at build time: a start of wgwrap without TLS costs nothing for it.
 */
#ifdef WGW_HAVE_TLS

#include "src/proxy/tls_openssl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wg/library.h"

#define NAME_OF(x)    #x
#define SONAME(major) "libssl.so." NAME_OF(major)

struct proxy_openssl ossl;

const char *proxy_tls_load(void)
{
	static const struct wg_symbol symbols[] = {
#define F(name) {#name, &ossl.name},
		PROXY_OPENSSL_FUNCTIONS(F)
#undef F
			{NULL, NULL},
	};
	SSL_CTX *first;

	if (!wg_library_load(SONAME(OPENSSL_VERSION_MAJOR), symbols))
		return SONAME(OPENSSL_VERSION_MAJOR) ", OpenSSL's TLS library, is not installed";
	if (ossl.OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
		return proxy_tls_reason();
	/* what is loaded at first use has to be loaded while files can be opened */
	first = ossl.SSL_CTX_new(ossl.TLS_server_method());
	if (!first)
		return proxy_tls_reason();
	ossl.SSL_CTX_free(first);
	return NULL;
}

const char *proxy_tls_reason(void)
{
	int err = errno;
	unsigned long code = ossl.ERR_peek_last_error();
	const char *text = ossl.ERR_reason_error_string(code);

	ossl.ERR_clear_error();
	if (text)
		return text;
	/* OpenSSL has no words for what the kernel said */
	if (ERR_SYSTEM_ERROR(code))
		err = ERR_GET_REASON(code);
	return err ? strerror(err) : "an unknown error of OpenSSL";
}

/* ---- certificates ---- */

static int bad(struct proxy_tls_verdict *v, enum proxy_tls_file file, const char *text)
{
	v->file = file;
	snprintf(v->text, sizeof(v->text), "%s", text);
	ossl.ERR_clear_error();
	return -1;
}

/* The certificates behind the first: the chain. 0 or -1. */
static int take_chain(SSL_CTX *ctx, BIO *bio, struct proxy_tls_verdict *v)
{
	X509 *next;

	while ((next = ossl.PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 0, next) != 1) {
			ossl.X509_free(next);
			return bad(v, PROXY_TLS_CERT, proxy_tls_reason());
		}
	}
	if (ERR_GET_REASON(ossl.ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return bad(v, PROXY_TLS_CERT, "one of its certificates cannot be read");
	ossl.ERR_clear_error();
	return 0;
}

/* *@leaf is the caller's also after a failure. 0 or -1. */
static int take_certificate(SSL_CTX *ctx, BIO *bio, X509 **leaf, struct proxy_tls_verdict *v)
{
	*leaf = ossl.PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (!*leaf)
		return bad(v, PROXY_TLS_CERT, "there is no certificate in it (PEM)");
	if (ossl.SSL_CTX_use_certificate(ctx, *leaf) != 1)
		return bad(v, PROXY_TLS_CERT, proxy_tls_reason());
	if (ossl.X509_cmp_current_time(ossl.X509_get0_notAfter(*leaf)) < 0)
		bad(v, PROXY_TLS_CERT, "the certificate has expired");
	return take_chain(ctx, bio, v);
}

static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
	(void)buf, (void)size, (void)rwflag;
	*(bool *)asked = true;
	return -1;
}

static int take_key(SSL_CTX *ctx, BIO *bio, const X509 *leaf, struct proxy_tls_verdict *v)
{
	bool asked = false;
	EVP_PKEY *key = ossl.PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	int err = 0;

	if (!key)
		return bad(v, PROXY_TLS_KEY,
			   asked ? "the key is encrypted; 'openssl pkey' writes it without a "
				   "passphrase"
				 : "there is no private key in it (PEM)");
	if (ossl.X509_check_private_key(leaf, key) != 1)
		err = bad(v, PROXY_TLS_KEY, "the key does not belong to the certificate");
	else if (ossl.SSL_CTX_use_PrivateKey(ctx, key) != 1)
		err = bad(v, PROXY_TLS_KEY, proxy_tls_reason());
	ossl.EVP_PKEY_free(key);
	return err;
}

static int take_files(SSL_CTX *ctx, BIO *cert, BIO *key, struct proxy_tls_verdict *v)
{
	X509 *leaf = NULL;
	int err;

	if (!cert || !key)
		return bad(v, PROXY_TLS_CERT, "out of memory");
	err = take_certificate(ctx, cert, &leaf, v);
	if (!err)
		err = take_key(ctx, key, leaf, v);
	ossl.X509_free(leaf);
	return err;
}

/* ---- contexts ---- */

/* Browsers offer h2 too, which is not spoken here (RFC 7301 section 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char own[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl, (void)arg;
	if (ossl.SSL_select_next_proto(&chosen, out_len, own, sizeof(own) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void set_options(SSL_CTX *ctx)
{
	long min = ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, NULL);

	if (min < TLS1_2_VERSION)
		ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
	ossl.SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					      SSL_OP_CLEANSE_PLAINTEXT);
	ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE,
			  SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS,
			  NULL);
	/* a record in one read, not two */
	ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_READ_AHEAD, 1, NULL);
	/* sessions are resumed by tickets, which take no memory here */
	ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
	ossl.SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
}

SSL_CTX *proxy_tls_context(const char *cert, size_t cert_len, const char *key, size_t key_len,
			   struct proxy_tls_verdict *verdict)
{
	SSL_CTX *ctx = ossl.SSL_CTX_new(ossl.TLS_server_method());
	BIO *cert_bio = ossl.BIO_new_mem_buf(cert, (int)cert_len);
	BIO *key_bio = ossl.BIO_new_mem_buf(key, (int)key_len);
	int err;

	*verdict = (struct proxy_tls_verdict){0};
	if (ctx)
		set_options(ctx);
	err = ctx ? take_files(ctx, cert_bio, key_bio, verdict)
		  : bad(verdict, PROXY_TLS_CERT, proxy_tls_reason());
	ossl.BIO_free(cert_bio);
	ossl.BIO_free(key_bio);
	if (!err)
		return ctx;
	ossl.SSL_CTX_free(ctx);
	return NULL;
}

#endif
