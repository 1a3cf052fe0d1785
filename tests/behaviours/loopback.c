/* SPDX-License-Identifier: MIT */
/*
 * loopback.c - datagrams between sockets of one host: bound on the wildcard, on loopback, on an
 * address of its own, or not at all
 */
#include "behave.h"

static long send_to(int fd, const char *text, int port, const char *data)
{
	union address a;
	socklen_t len = make_address(&a, text, port);

	return sendto(fd, data, strlen(data), 0, &a.any, len);
}

/* What arrives at @fd, and whether it comes from the port of @sender. */
static void receive_from(int fd, int sender)
{
	union address a = {0};
	socklen_t len = sizeof(a);
	char data[64] = "";

	wait_in(fd);
	if (recvfrom(fd, data, sizeof(data) - 1, MSG_DONTWAIT, &a.any, &len) < 0)
		printf("recvfrom: %s\n", err_name(errno));
	else
		printf("\"%s\" from %s, its port %d\n", data, address_text(&a, len),
		       port_of(&a) == local_port(sender));
}

static int bound(bool v6, const char *text)
{
	int fd = udp_socket(v6);

	if (bind_to(fd, text, 0))
		die("bind");
	return fd;
}

/* A datagram from @a to @b, which is known as @name, and one back to where it came from. */
static void there_and_back(int a, int b, const char *name)
{
	union address from;
	socklen_t len = sizeof(from);
	char data[64];

	said("sendto", send_to(a, name, local_port(b), "there"));
	wait_in(b);
	recvfrom(b, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT, &from.any, &len);
	receive_from(b, a);
	said("back", sendto(b, "back", 4, 0, &from.any, len));
	receive_from(a, b);
}

/* struct pair - addresses that @a and @b are bound to ("": not), and by which @a knows @b */
static const struct pair {
	bool a6, b6;
	const char *a, *b, *name;
} pairs[] = {
	{false, false, "127.0.0.1", "0.0.0.0", "127.0.0.1"},
	{false, false, "0.0.0.0", "127.0.0.1", "127.0.0.1"},
	{false, false, "0.0.0.0", "0.0.0.0", "127.0.0.1"},
	{false, false, "127.0.0.5", "0.0.0.0", "127.0.0.77"},
	{false, false, "0.0.0.0", "127.0.0.5", "127.0.0.5"},
	{false, false, "", "127.0.0.5", "127.0.0.5"},
	{false, false, "", "0.0.0.0", "127.0.0.5"},
	{true, true, "::1", "::", "::1"},
	{true, true, "::", "::1", "::1"},
	{true, true, "::", "::", "::1"},
	{true, true, "", "::", "::1"},
	{false, true, "127.0.0.1", "::", "127.0.0.1"},
	{true, false, "::", "127.0.0.1", "::ffff:127.0.0.1"},
	{true, false, "::", "0.0.0.0", "::ffff:127.0.0.1"},
	{true, true, "::ffff:127.0.0.1", "::", "::ffff:127.0.0.1"},
};

CASE(wildcard_and_loopback)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		const struct pair *p = &pairs[i];
		int a = *p->a ? bound(p->a6, p->a) : udp_socket(p->a6), b = bound(p->b6, p->b);

		printf("%s to %s\n", p->a, p->b);
		there_and_back(a, b, p->name);
		close(a);
		close(b);
	}
}

CASE(wildcard_and_loopback_connected)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		const struct pair *p = &pairs[i];
		int a = *p->a ? bound(p->a6, p->a) : udp_socket(p->a6), b = bound(p->b6, p->b),
		    port;

		printf("%s to %s\n", p->a, p->b);
		port = *p->a ? local_port(a) : 0;
		did("connect", connect_to(a, p->name, local_port(b)));
		show_names(a);
		printf("keeps its port: %d\n", port == 0 || local_port(a) == port);
		said("send", send(a, "there", 5, 0));
		receive_from(b, a);
		did("connect",
		    connect_to(b, p->a6 && !p->b6 ? "127.0.0.1" : p->name, local_port(a)));
		said("send", send(b, "back", 4, 0));
		receive_from(a, b);
		close(a);
		close(b);
	}
}

CASE(to_itself)
{
	static const char *const names[] = {"0.0.0.0", "127.0.0.1", "::", "::1"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const bool v6 = strchr(names[i], ':');
		int fd = bound(v6, names[i]);

		said("sendto", send_to(fd, v6 ? "::1" : "127.0.0.1", local_port(fd), "self"));
		receive_from(fd, fd);
		did("connect", connect_to(fd, v6 ? "::1" : "127.0.0.1", local_port(fd)));
		said("send", send(fd, "again", 5, 0));
		receive_from(fd, fd);
		show_names(fd);
		close(fd);
	}
}

CASE(own_address_and_loopback)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int a = bound(v6, self(v6)), b = bound(v6, v6 ? "::1" : "127.0.0.1"), w;

		there_and_back(a, b, v6 ? "::1" : "127.0.0.1");
		there_and_back(b, a, self(v6));
		w = bound(v6, v6 ? "::" : "0.0.0.0");
		there_and_back(b, w, self(v6));
		there_and_back(w, b, v6 ? "::1" : "127.0.0.1");
		there_and_back(a, w, v6 ? "::1" : "127.0.0.1");
		did("connect", connect_to(b, self(v6), local_port(a)));
		said("send", send(b, "there", 5, 0));
		receive_from(a, b);
		show_names(b);
	}
}

/* A server's way to have one socket for each client: the connected ones come first. */
CASE(connected_before_bound)
{
	int server = udp_socket(false), of_client = udp_socket(false), client, other;

	set_int(server, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(of_client, SOL_SOCKET, SO_REUSEADDR, 1);
	did("bind", bind_to(server, "0.0.0.0", 0));
	client = bound(false, "127.0.0.1");
	other = bound(false, "127.0.0.1");
	said("sendto", send_to(client, "127.0.0.1", local_port(server), "first"));
	receive_from(server, client);
	did("bind", bind_to(of_client, "0.0.0.0", local_port(server)));
	did("connect", connect_to(of_client, "127.0.0.1", local_port(client)));
	said("sendto", send_to(client, "127.0.0.1", local_port(server), "second"));
	receive_from(of_client, client);
	said("sendto", send_to(other, "127.0.0.1", local_port(server), "of another"));
	receive_from(server, other);
	said("send", send(of_client, "answer", 6, 0));
	receive_from(client, server);
}

CASE(address_in_use)
{
	static const char *const names[] = {"0.0.0.0", "127.0.0.1", "127.0.0.5", "::", "::1"};
	enum { N = sizeof(names) / sizeof(*names) };

	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++) {
			int a = bound(i > 2, names[i]), b = udp_socket(j > 2);

			printf("%s after %s: ", names[j], names[i]);
			did("bind", bind_to(b, names[j], local_port(a)));
			close(a);
			close(b);
		}
	}
}

CASE(port_is_free_after_close)
{
	int fd = bound(false, "0.0.0.0"), port = local_port(fd), failed = 0;

	for (int i = 0; i < 200; i++) {
		close(fd);
		fd = udp_socket(false);
		failed += bind_to(fd, i % 2 ? "0.0.0.0" : "127.0.0.1", port) != 0;
	}
	printf("%d failed\n", failed);
}

/* What a connected socket is told when who was there has gone. */
CASE(gone)
{
	static const char *const names[] = {"0.0.0.0", "127.0.0.1", ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		for (size_t j = 0; j < 2; j++) {
			int a = *names[i] ? bound(false, names[i]) : udp_socket(false);
			int b = bound(false, names[j]);

			printf("%s to %s\n", names[i], names[j]);
			did("connect", connect_to(a, "127.0.0.1", local_port(b)));
			said("send", send(a, "x", 1, 0));
			wait_in(b);
			close(b);
			nap_ms(100);
			said("send", send(a, "y", 1, 0));
			nap_ms(200);
			printf("SO_ERROR %s\n", so_error(a));
			close(a);
		}
	}
}

/* Nobody but the peer is heard. */
CASE(connected_filters)
{
	static const char *const names[] = {"0.0.0.0", "127.0.0.1", ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int a = *names[i] ? bound(false, names[i]) : udp_socket(false);
		int b = bound(false, "0.0.0.0"), c = bound(false, "127.0.0.1");
		char byte;

		did("connect", connect_to(a, "127.0.0.1", local_port(b)));
		said("peer", send_to(b, "127.0.0.1", local_port(a), "peer"));
		receive_from(a, b);
		said("another", send_to(c, "127.0.0.1", local_port(a), "another"));
		nap_ms(200);
		said("recv", recv(a, &byte, 1, MSG_DONTWAIT));
		close(a);
		close(b);
		close(c);
	}
}

/* Of those that are equal the kernel takes the one that was bound last. */
CASE(newest_of_a_shared_port)
{
	static const char *const names[] = {"0.0.0.0", "127.0.0.1"};
	enum { MANY = 3 };
	int fd[MANY], sender = udp_socket(false), port;

	for (int i = 0; i < 2; i++) {
		port = 0;
		for (int k = 0; k < MANY; k++) {
			fd[k] = udp_socket(false);
			set_int(fd[k], SOL_SOCKET, SO_REUSEADDR, 1);
			did("bind", bind_to(fd[k], names[i], port));
			port = local_port(fd[k]);
		}
		for (int k = MANY - 1; k >= 0; k--) {
			said("sendto", send_to(sender, "127.0.0.1", port, "to one"));
			receive_from(fd[k], sender);
			close(fd[k]);
		}
	}
}

CASE(bind_again)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	int taken = bound(false, "127.0.0.1"), fd = udp_socket(false);

	for (int i = 0; i < 3; i++)
		did("bind", bind_to(fd, "127.0.0.1", local_port(taken)));
	did("bind elsewhere", bind_to(fd, "127.0.0.1", 0));
	there_and_back(fd, taken, "127.0.0.1");
	close(fd);
	fd = udp_socket(false);
	said("sendto", send_to(fd, "127.0.0.1", local_port(taken), "there"));
	receive_from(taken, fd);
	did("bind after sending", bind_to(fd, "127.0.0.1", 0));
	did("bind after sending", bind_to(fd, "0.0.0.0", 0));
	there_and_back(fd, taken, "127.0.0.1");
	close(fd);
	fd = udp_socket(false);
	did("connect", connect_to(fd, "127.0.0.1", local_port(taken)));
	did("bind after connect", bind_to(fd, "127.0.0.1", 0));
	did("disconnect", connect(fd, &none, sizeof(none)));
	did("bind after disconnect", bind_to(fd, "127.0.0.1", 0));
	there_and_back(fd, taken, "127.0.0.1");
}

/* The names of @fd, and whether its port is still @first. */
static void show_port(int fd, int first)
{
	show_names(fd);
	printf("its port is the first: %d\n", local_port(fd) == first);
}

static void disconnect(int fd)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};

	did("disconnect", connect(fd, &none, sizeof(none)));
}

/* What nobody asked for goes with a disconnect, and only then: @bind_ip NULL: no bind() */
static void connect_and_disconnect(const char *bind_ip, const char *peer_ip, bool named)
{
	int peers[] = {bound(false, "0.0.0.0"), bound(false, "0.0.0.0")}, fd = udp_socket(false),
	    first;
	int port = 0;

	printf("bound to %s, peers on %s, port named: %d\n", bind_ip ? bind_ip : "nothing", peer_ip,
	       named);
	if (named) {
		port = local_port(peers[1]);
		close(peers[1]);
		peers[1] = bound(false, "0.0.0.0");
	}
	if (bind_ip)
		did("bind", bind_to(fd, bind_ip, port));
	did("connect", connect_to(fd, peer_ip, local_port(peers[0])));
	first = local_port(fd);
	did("connect elsewhere", connect_to(fd, peer_ip, local_port(peers[1])));
	show_port(fd, first);
	said("send", send(fd, "there", 5, 0));
	receive_from(peers[1], fd);
	disconnect(fd);
	show_port(fd, first);
	said("sendto", send_to(fd, peer_ip, local_port(peers[0]), "without a peer"));
	receive_from(peers[0], fd);
	there_and_back(fd, peers[0], peer_ip);
	did("connect again", connect_to(fd, peer_ip, local_port(peers[0])));
	disconnect(fd);
	did("bind again", bind_to(fd, bind_ip ? bind_ip : "0.0.0.0", first));
	show_port(fd, first);
	there_and_back(fd, peers[1], peer_ip);
	did("and again", bind_to(fd, bind_ip ? bind_ip : "0.0.0.0", 0));
	close(fd);
	close(peers[0]);
	close(peers[1]);
}

CASE(port_of_connects)
{
	const char *const own[] = {self(false)};
	const char *const on_loopback[] = {NULL, "0.0.0.0", "127.0.0.1", "127.0.0.5"};

	for (int named = 0; named < 2; named++) {
		for (size_t i = 0; i < sizeof(on_loopback) / sizeof(*on_loopback); i++)
			connect_and_disconnect(on_loopback[i], "127.0.0.1", named);
		for (size_t i = 0; i < 2; i++)
			connect_and_disconnect(on_loopback[i], *own, named);
		connect_and_disconnect(*own, *own, named);
	}
}

/* The same of a host that is elsewhere. */
CASE(port_of_connects_elsewhere)
{
	const char *const ips[] = {NULL, "0.0.0.0", self(false)};

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		int fd = udp_socket(false), first;

		if (ips[i])
			did("bind", bind_to(fd, ips[i], 0));
		did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
		first = local_port(fd);
		disconnect(fd);
		show_port(fd, first);
		did("bind again", bind_to(fd, ips[i] ? ips[i] : "0.0.0.0", first));
		show_port(fd, first);
		did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
		show_port(fd, first);
		disconnect(fd);
		show_port(fd, first);
		did("bind a third time", bind_to(fd, "0.0.0.0", 0));
		close(fd);
	}
}

/* The port that was given up is nobody's any more, whatever it was used for: datagrams leave from the one
 * that is asked for next. @bind_ip NULL: no bind() before; @peer: connected to, @via: written to first */
static void disconnect_and_bind(const char *bind_ip, const char *peer, const char *via)
{
	int receiver = bound(false, "127.0.0.1"), wanted = bound(false, "0.0.0.0"),
	    fd = udp_socket(false), other = udp_socket(false), first, port = local_port(wanted);

	printf("bound to %s, sent to %s, connected to %s\n", bind_ip ? bind_ip : "nothing",
	       via ? via : "nobody", peer);
	close(wanted);
	if (bind_ip)
		did("bind", bind_to(fd, bind_ip, 0));
	if (via)
		said("sendto", send_to(fd, via, local_port(receiver), "before"));
	if (via)
		receive_from(receiver, fd);
	did("connect", connect_to(fd, peer, ECHO_UDP_PORT));
	first = local_port(fd);
	disconnect(fd);
	did("another takes the port", bind_to(other, "127.0.0.1", first));
	did("bind again", bind_to(fd, "0.0.0.0", port));
	printf("as asked for: %d\n", local_port(fd) == port);
	said("sendto", send_to(fd, "127.0.0.1", local_port(receiver), "after"));
	receive_from(receiver, fd);
	close(fd);
	close(other);
	close(receiver);
}

CASE(port_after_a_disconnect)
{
	const char *const ips[] = {NULL, "0.0.0.0", self(false)};

	for (size_t i = 0; i < sizeof(ips) / sizeof(*ips); i++) {
		disconnect_and_bind(ips[i], host(false), NULL);
		disconnect_and_bind(ips[i], host(false), i < 2 ? "127.0.0.1" : NULL);
		if (i < 2)
			disconnect_and_bind(ips[i], "127.0.0.1", "127.0.0.1");
	}
}

/* Who closes a socket in which something is unread has sent what it has sent. */
CASE(sent_before_a_close)
{
	int receiver = bound(false, "127.0.0.1"), fd, sender;

	for (int i = 0; i < 20; i++) {
		fd = bound(false, i % 2 ? "127.0.0.1" : "0.0.0.0");
		sender = udp_socket(false);
		send_to(sender, "127.0.0.1", local_port(fd), "unread");
		wait_in(fd);
		said("sendto", send_to(fd, "127.0.0.1", local_port(receiver), "last"));
		close(fd);
		receive_from(receiver, sender);
		close(sender);
	}
}

CASE(loopback_does_not_go_out)
{
	int fd = bound(false, "127.0.0.1");

	did("connect", connect_to(fd, host(false), ECHO_UDP_PORT));
	show_names(fd);
}
