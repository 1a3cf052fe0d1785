/* SPDX-License-Identifier: MIT */
/*
 * tls_openssl.h - OpenSSL's libssl, loaded when TLS is asked for; certificates
 *
 * Functions are called as ossl.SSL_read(...). Macros of OpenSSL's headers that call functions
 * cannot be used; SSL_CTX_ctrl is what most of them stand for.
 */
#ifndef SRC_PROXY_TLS_OPENSSL_H
#define SRC_PROXY_TLS_OPENSSL_H

#ifdef WGW_HAVE_TLS

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stddef.h>

#define PROXY_OPENSSL_FUNCTIONS(F)                                                                 \
	F(BIO_free)                                                                                \
	F(BIO_new_mem_buf)                                                                         \
	F(ERR_clear_error)                                                                         \
	F(ERR_peek_last_error)                                                                     \
	F(ERR_reason_error_string)                                                                 \
	F(EVP_PKEY_free)                                                                           \
	F(OPENSSL_init_ssl)                                                                        \
	F(PEM_read_bio_PrivateKey)                                                                 \
	F(PEM_read_bio_X509)                                                                       \
	F(PEM_read_bio_X509_AUX)                                                                   \
	F(SSL_CTX_ctrl)                                                                            \
	F(SSL_CTX_free)                                                                            \
	F(SSL_CTX_new)                                                                             \
	F(SSL_CTX_set_alpn_select_cb)                                                              \
	F(SSL_CTX_set_options)                                                                     \
	F(SSL_CTX_use_PrivateKey)                                                                  \
	F(SSL_CTX_use_certificate)                                                                 \
	F(SSL_do_handshake)                                                                        \
	F(SSL_free)                                                                                \
	F(SSL_get_error)                                                                           \
	F(SSL_new)                                                                                 \
	F(SSL_read)                                                                                \
	F(SSL_select_next_proto)                                                                   \
	F(SSL_set_accept_state)                                                                    \
	F(SSL_set_fd)                                                                              \
	F(SSL_shutdown)                                                                            \
	F(SSL_write)                                                                               \
	F(TLS_server_method)                                                                       \
	F(X509_check_private_key)                                                                  \
	F(X509_cmp_current_time)                                                                   \
	F(X509_free)                                                                               \
	F(X509_get0_notAfter)

struct proxy_openssl {
#define F(name) __typeof__(name) *name;
	PROXY_OPENSSL_FUNCTIONS(F)
#undef F
};

extern struct proxy_openssl ossl;

/* Loads the library and the system's openssl.cnf, for all later calls. NULL, or a sentence that
 * says why not. */
const char *proxy_tls_load(void);

enum proxy_tls_file { PROXY_TLS_CERT, PROXY_TLS_KEY };

/**
 * struct proxy_tls_verdict - on a certificate and its key
 * @file:	Which of the two @text is about
 * @text:	Why there is no context; with one: a warning, or ""
 */
struct proxy_tls_verdict {
	enum proxy_tls_file file;
	char text[256];
};

/* A context for servers: @cert has the certificate and those that lead to its root, @key the
 * private key, both as PEM. TLS 1.2 and later, or what openssl.cnf demands. NULL and *verdict. */
SSL_CTX *proxy_tls_context(const char *cert, size_t cert_len, const char *key, size_t key_len,
			   struct proxy_tls_verdict *verdict);
/* OpenSSL's words for what has just failed; forgets it. */
const char *proxy_tls_reason(void);

#endif
#endif
