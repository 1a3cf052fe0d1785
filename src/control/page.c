/* SPDX-License-Identifier: MIT */
/*
 * page.c - the status page: one document without anything from elsewhere
 *
 * Names, addresses and reasons come from files and peers: all text is escaped, and the policy that
 * goes along allows no script but the one with this answer's nonce.
 */
#include "src/control/page.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "src/config/values.h"
#include "src/control/show.h"

enum { FLOWS_MAX = 200, NONCE_BYTES = (WGW_PAGE_NONCE_BYTES - 1) / 2 };

void wgw_page_policy(char nonce[WGW_PAGE_NONCE_BYTES], char policy[WGW_PAGE_POLICY_BYTES])
{
	uint8_t bytes[NONCE_BYTES];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(nonce, WGW_PAGE_NONCE_BYTES, bytes, sizeof(bytes));
	snprintf(policy, WGW_PAGE_POLICY_BYTES,
		 "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
		 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
		 "frame-ancestors 'none'",
		 nonce, nonce);
}

/** put() - text, escaped; NULL: nothing */
static void put(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

static void put_list(FILE *out, const struct wgw_strings *list)
{
	for (size_t i = 0; i < list->n; i++) {
		fputs(i ? ", " : "", out);
		put(out, list->at[i]);
	}
}

static void put_state(FILE *out, enum wgw_state state)
{
	const char *word = wgw_state_word(state);

	fprintf(out, "<span class=\"state %s\">%s</span>", word, word);
}

/** put_size() - a cell with a number of bytes */
static void put_size(FILE *out, const char *label, uint64_t bytes)
{
	char size[WGW_SIZE_BYTES];

	fprintf(out, "<td class=\"num\" data-label=\"%s\">%s</td>", label,
		wgw_size_text(bytes, size));
}

/* ---- peers ---- */

static void put_handshake(FILE *out, const struct wgw_peer_status *p, time_t now)
{
	char span[WGW_SPAN_BYTES];
	int64_t age = (int64_t)now - (int64_t)p->last_handshake_s;

	fputs("<td data-label=\"Handshake\">", out);
	if (p->last_handshake_s == 0)
		fputs("never", out);
	else if (age <= 0)
		fputs("now", out);
	else
		fprintf(out, "%s ago", wgw_span_text((uint64_t)age, span));
	fputs("</td>", out);
}

static void put_peer(FILE *out, const struct wgw_peer_status *p, time_t now)
{
	char key[WGW_KEY_TEXT_LEN + 1];

	fputs("<tr><td data-label=\"Peer\"><span>", out);
	if (p->name) {
		fputs("<strong>", out);
		put(out, p->name);
		fputs("</strong><br>", out);
	}
	fprintf(out, "<code class=\"soft\">%s</code></span></td><td data-label=\"State\"><span>",
		wgw_key_text(p->public_key, key));
	put_state(out, p->state);
	if (p->reason) {
		fputs("<br><span class=\"soft\">", out);
		put(out, p->reason);
		fputs("</span>", out);
	}
	fputs("</span></td><td data-label=\"Endpoint\"><span><code>", out);
	put(out, p->endpoint ? p->endpoint : "none");
	fputs("</code>", out);
	if (p->endpoint_host && (!p->endpoint || strcmp(p->endpoint, p->endpoint_host) != 0)) {
		fputs("<br><span class=\"soft\">", out);
		put(out, p->endpoint_host);
		fputs("</span>", out);
	}
	fputs("</span></td><td data-label=\"Allowed IPs\"><span><code>", out);
	put_list(out, &p->allowed_ips);
	if (p->routes.n > 0) {
		fputs("<br>", out);
		put_list(out, &p->routes);
	}
	fputs("</code></span></td>", out);
	put_handshake(out, p, now);
	put_size(out, "Received", p->rx_bytes);
	put_size(out, "Sent", p->tx_bytes);
	fputs("</tr>\n", out);
}

static void put_peers(FILE *out, const struct wgw_status *s, time_t now)
{
	fputs("<h3>Peers</h3>\n<div class=\"scroll\"><table><thead><tr><th>Peer</th><th>State</th>"
	      "<th>Endpoint</th><th>Allowed IPs</th><th>Latest handshake</th>"
	      "<th class=\"num\">Received</th><th class=\"num\">Sent</th></tr></thead>\n<tbody>\n",
	      out);
	for (size_t i = 0; i < s->n_peers; i++)
		put_peer(out, &s->peers[i], now);
	fputs("</tbody></table></div>\n", out);
}

/* ---- connections ---- */

static void put_flow(FILE *out, const struct wgw_flow *f)
{
	char span[WGW_SPAN_BYTES];

	fprintf(out,
		"<tr><td data-label=\"Protocol\">%s</td><td data-label=\"State\">%s</td>"
		"<td data-label=\"Way\">%s</td><td data-label=\"Local\"><code>",
		f->protocol, f->state, f->direct ? "direct" : "tunnel");
	put(out, f->local);
	fputs("</code></td><td data-label=\"Remote\"><code>", out);
	put(out, f->remote);
	fprintf(out, "</code></td><td class=\"num\" data-label=\"Process\">%d</td>", f->pid);
	put_size(out, "In", f->in);
	put_size(out, "Out", f->out);
	fprintf(out, "<td data-label=\"Age\">%s</td></tr>\n",
		wgw_span_text(f->age_ms / 1000, span));
}

static void put_flows(FILE *out, const struct wgw_flows *flows)
{
	fprintf(out, "<h3>Open connections (%zu)</h3>\n", flows->n);
	if (flows->n == 0) {
		fputs("<p class=\"soft\">None.</p>\n", out);
		return;
	}
	fputs("<div class=\"scroll\"><table><thead><tr><th>Protocol</th><th>State</th><th>Way</th>"
	      "<th>Local</th><th>Remote</th><th class=\"num\">Process</th><th class=\"num\">In</th>"
	      "<th class=\"num\">Out</th><th>Age</th></tr></thead>\n<tbody>\n",
	      out);
	for (size_t i = 0; i < flows->n && i < FLOWS_MAX; i++)
		put_flow(out, &flows->at[i]);
	fputs("</tbody></table></div>\n", out);
	if (flows->n > FLOWS_MAX)
		fprintf(out, "<p class=\"soft\">and %zu more</p>\n", flows->n - FLOWS_MAX);
}

/* ---- refusals ---- */

static const struct {
	const char *counter, *words;
} refusals[] = {
	{"refused_destinations_total",
	 "connections to destinations that no peer is allowed to carry"},
	{"dropped_no_peer_total", "outgoing packets without a peer"},
	{"dropped_no_endpoint_total", "outgoing packets to a peer without an endpoint"},
	{"dropped_unsent_total", "outgoing packets whose handshake never came"},
	{"dropped_by_kernel_total", "outgoing datagrams the kernel did not take"},
	{"dropped_source_refused_total", "incoming packets from a source the peer may not use"},
	{"dropped_bad_mac_total", "incoming datagrams that are not authentic"},
	{"dropped_replayed_total", "incoming datagrams that came twice"},
	{"dropped_malformed_total", "incoming datagrams that are malformed"},
	{"dropped_rate_limited_total", "incoming handshakes beyond the rate limit"},
	{"dropped_fenced_total", "incoming packets to nobody"},
};

static void put_refusals(FILE *out, const struct wgw_status *s)
{
	bool any = false;

	fputs("<h3>Refused</h3>\n", out);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		uint64_t n = wgw_counter(&s->counters, refusals[i].counter);

		if (n == 0)
			continue;
		if (!any)
			fputs("<div class=\"refused\"><table><tbody>\n", out);
		any = true;
		fprintf(out, "<tr><td>%s</td><td class=\"num\">%" PRIu64 "</td></tr>\n",
			refusals[i].words, n);
	}
	fputs(any ? "</tbody></table></div>\n" : "<p class=\"soft\">Nothing.</p>\n", out);
}

/* ---- the document ---- */

static void put_tunnel(FILE *out, const struct wgw_page *page, size_t i)
{
	const struct wgw_status *s = page->tunnels->at[i];
	char span[WGW_SPAN_BYTES];

	fputs("<section>\n<h2>", out);
	put(out, s->label ? s->label : s->name);
	fputc(' ', out);
	put_state(out, s->state);
	fputs("</h2>\n<p class=\"facts\">", out);
	if (s->reason) {
		put(out, s->reason);
		fputs(" &middot; ", out);
	}
	put_list(out, &s->addresses);
	fputs(s->dns.n ? " &middot; DNS " : "", out);
	put_list(out, &s->dns);
	fprintf(out, " &middot; MTU %u &middot; up for %s &middot; process %d</p>\n", s->mtu,
		wgw_span_text(s->uptime_ms / 1000, span), s->pid);
	fprintf(out,
		"<div class=\"plot\" data-id=\"%s\"><div class=\"chart\"></div><div "
		"class=\"legend\">"
		"<i class=\"in\">&#9632; in <b class=\"now-in\"></b></i>"
		"<i class=\"out\">&#9632; out <b class=\"now-out\"></b></i>"
		"<i>last 3 minutes, up to <b class=\"top\"></b></i></div></div>\n",
		s->name);
	put_peers(out, s, page->now);
	put_flows(out, &page->flows[i]);
	put_refusals(out, s);
	fputs("</section>\n", out);
}

void wgw_page_html(FILE *out, const struct wgw_page *page)
{
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<title>wgwrap</title>\n<link rel=\"icon\" href=\"data:,\">\n"
		"<style nonce=\"%s\">\n%s</style>\n</head>\n<body>\n"
		"<header><h1>wgwrap</h1><span class=\"soft\">tunnels on this host</span>"
		"<span id=\"lost\" role=\"status\">no answer; trying "
		"again</span></header>\n<main>\n",
		page->nonce, wgw_page_style);
	for (size_t i = 0; i < page->tunnels->n; i++)
		put_tunnel(out, page, i);
	if (page->tunnels->n == 0)
		fputs("<section><h2>No tunnel is running.</h2></section>\n", out);
	fprintf(out,
		"</main>\n<footer>wgwrap %s. The same for programs: <code>/metrics</code>, "
		"<code>/readyz</code>, <code>/livez</code>, <code>wgwrap show "
		"--json</code>.</footer>\n"
		"<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n",
		page->version, page->nonce, wgw_page_script);
}
