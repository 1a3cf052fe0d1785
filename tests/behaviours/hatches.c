/* SPDX-License-Identifier: MIT */
/* hatches.c - ways to the kernel and to names that are not the usual functions of libc */
#include <aio.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "behave.h"

/* ---- other definitions of the same functions ---- */

struct calls {
	int (*socket)(int, int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	ssize_t (*recv)(int, void *, size_t, int);
	int (*getpeername)(int, struct sockaddr *, socklen_t *);
};

static void find(void *handle, struct calls *c)
{
	void *found[] = {dlsym(handle, "socket"), dlsym(handle, "connect"), dlsym(handle, "recv"),
			 dlsym(handle, "getpeername")};

	memcpy(c, found, sizeof(*c));
}

/* Says hello through @c. */
static void hello(const struct calls *c)
{
	union address a;
	char data[16] = "";
	socklen_t len = make_address(&a, host(false), HELLO_PORT);
	int fd = c->socket(AF_INET, SOCK_STREAM, 0);

	did("connect", c->connect(fd, &a.any, len));
	said("recv", c->recv(fd, data, sizeof(data) - 1, MSG_WAITALL));
	len = sizeof(a);
	did("getpeername", c->getpeername(fd, &a.any, &len));
	printf("\"%s\" from %s\n", data, address_text(&a, len));
}

CASE(functions_of_libcs_handle)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW);
	struct calls c;

	find(libc, &c);
	hello(&c);
}

CASE(another_libc_by_dlmopen)
{
	void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	struct calls c;

	if (!libc) {
		printf("%s\n", dlerror());
		return;
	}
	find(libc, &c);
	hello(&c);
}

/* Half a connection by each: what libc's own functions make is what the others find. */
CASE(mixed_definitions)
{
	struct calls direct;
	char data[16] = "";
	union address a;
	socklen_t len;
	int fd = tcp_socket(false, 0);

	find(dlopen("libc.so.6", RTLD_NOW), &direct);
	len = make_address(&a, host(false), HELLO_PORT);
	did("connect", direct.connect(fd, &a.any, len));
	show_names(fd);
	said("recv", recv(fd, data, sizeof(data) - 1, MSG_WAITALL));
	fd = direct.socket(AF_INET6, SOCK_STREAM, 0);
	did("connect", connect_to(fd, host(true), HELLO_PORT));
	show_names(fd);
	printf("domain %d\n", get_int(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
}

/* ---- what _FORTIFY_SOURCE calls ---- */

ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
ssize_t __read_chk(int, void *, size_t, size_t);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);

CASE(fortified_names)
{
	struct timespec second = {1, 0};
	char data[16] = "";
	union address a = {0};
	socklen_t len = sizeof(a);
	int fd = server(false, "echo"), udp = udp_socket(false);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	send(fd, "123456789", 9, 0);
	said("poll", __poll_chk(&p, 1, 60000, sizeof(p)));
	said("ppoll", __ppoll_chk(&p, 1, &second, NULL, sizeof(p)));
	said("recv", __recv_chk(fd, data, 3, sizeof(data), 0));
	said("read", __read_chk(fd, data, 3, sizeof(data)));
	said("recvfrom", __recvfrom_chk(fd, data, 3, sizeof(data), 0, NULL, NULL));
	connect_to(udp, host(false), ECHO_UDP_PORT);
	send(udp, "datagram", 8, 0);
	wait_in(udp);
	said("recvfrom", __recvfrom_chk(udp, data, sizeof(data), sizeof(data), 0, &a.any, &len));
	printf("%s\n", address_text(&a, len));
	send(udp, "datagram", 8, 0);
	wait_in(udp);
	said("read", __read_chk(udp, data, sizeof(data), sizeof(data)));
}

CASE(waits_with_a_mask)
{
	struct timespec limit = {60, 0};
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t none;
	fd_set set;
	int fd = server(false, "echo"), ep = epoll_create1(0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	sigemptyset(&none);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
	send(fd, "hello", 5, 0);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	said("pselect", pselect(fd + 1, &set, NULL, NULL, &limit, &none));
	said("ppoll", ppoll(&p, 1, &limit, &none));
	said("epoll_pwait", epoll_pwait(ep, &event, 1, 60000, &none));
	said("epoll_pwait2", epoll_pwait2(ep, &event, 1, &limit, &none));
}

CASE(asynchronous_io)
{
	char data[16] = "";
	int fd = server(false, "echo");
	struct aiocb out = {.aio_fildes = fd, .aio_buf = (void *)"hello", .aio_nbytes = 5};
	struct aiocb in = {.aio_fildes = fd, .aio_buf = data, .aio_nbytes = 5};
	const struct aiocb *list[] = {&in};

	did("aio_write", aio_write(&out));
	did("aio_read", aio_read(&in));
	while (aio_error(&in) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	said("read", aio_return(&in));
	printf("\"%s\"\n", data);
}

CASE(zero_copy)
{
	char data[16];
	int fd = server(false, "echo");

	said("a flag without the option", send(fd, "hello", 5, MSG_ZEROCOPY));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
	printf("the option: %d\n", get_int(fd, SOL_SOCKET, SO_ZEROCOPY));
	did("set", set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1));
}

/* ---- descriptors ---- */

CASE(close_range_with_its_own_table)
{
	char data[8];
	int fd = server(false, "echo"), other = server(false, "echo");

	/* the table is copied, what is in the range is closed in the copy */
	did("close_range", close_range((unsigned int)other, ~0U, CLOSE_RANGE_UNSHARE));
	said("closed", send(other, "x", 1, 0));
	said("kept", send(fd, "hello", 5, 0));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
}

CASE(tables_that_part)
{
	char data[8];
	int fd = server(false, "echo");

	did("unshare", unshare(CLONE_FILES));
	said("send", send(fd, "hello", 5, 0));
	said("recv", recv(fd, data, 5, MSG_WAITALL));
}

CASE(descriptor_of_another_process)
{
	int ready[2], number, taken, pidfd;
	char data[8];
	pid_t child;

	if (pipe(ready))
		die("pipe");
	child = fork();
	if (child == 0) {
		number = server(false, "echo");
		(void)!write(ready[1], &number, sizeof(number));
		pause();
	}
	(void)!read(ready[0], &number, sizeof(number));
	pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	taken = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	did("pidfd_getfd", taken);
	kill(child, SIGKILL);
	said("send", send(taken, "hello", 5, 0));
	said("recv", recv(taken, data, 5, MSG_WAITALL));
	show_names(taken);
}

/* ---- names ---- */

/* A DNS query with its length in front, as over TCP. */
CASE(dns_by_tcp)
{
	static const unsigned char query[] = {0,   26,	0x12, 0x34, 1, 0,   0,	 1,   0, 0,
					      0,   0,	0,    0,    3, 'w', 'e', 'b', 4, 't',
					      'e', 's', 't',  0,    0, 1,   0,	 1};
	unsigned char answer[512];
	int fd = tcp_socket(false, 0);

	did("connect", connect_to(fd, "10.77.0.1", 53));
	show_names(fd);
	said("send", send(fd, query, sizeof(query), 0));
	said("recv", recv(fd, answer, 2, MSG_WAITALL));
	said("recv", recv(fd, answer, (size_t)(answer[0] << 8 | answer[1]), MSG_WAITALL));
	printf("same id %d, answers %d\n", memcmp(answer, query + 2, 2) == 0, answer[7]);
}

CASE(resolver_state)
{
	struct __res_state state;
	unsigned char query[512], answer[512];
	int n;

	memset(&state, 0, sizeof(state));
	did("res_ninit", res_ninit(&state));
	n = res_nmkquery(&state, ns_o_query, "web.test", ns_c_in, ns_t_a, NULL, 0, NULL, query,
			 sizeof(query));
	printf("query %d\n", n > 12);
	n = res_nsend(&state, query, n, answer, sizeof(answer));
	printf("sent %d, answers %d\n", n > 12, answer[7]);
	n = res_nquery(&state, "v4.test", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("asked %d\n", n > 12);
	n = res_nsearch(&state, "web", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("searched %d\n", n > 12);
	n = res_nquery(&state, "nothing.test", ns_c_in, ns_t_a, answer, sizeof(answer));
	printf("nothing %d, h_errno %d\n", n, state.res_h_errno);
	res_nclose(&state);
}

CASE(host_entries)
{
	const struct hostent *h;
	int n = 0;

	sethostent(0);
	while ((h = gethostent()))
		n += strcmp(h->h_name, "hosts.test") == 0;
	endhostent();
	printf("found %d\n", n > 0);
}

static void *resolve(void *arg)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
	long failed = 0;

	for (int i = 0; i < 20; i++) {
		if (getaddrinfo(i % 2 ? "web.test" : "hosts.test", "80", &hints, &list)) {
			failed++;
			continue;
		}
		freeaddrinfo(list);
	}
	(void)arg;
	return (void *)failed;
}

CASE(threads_resolve)
{
	pthread_t thread[8];
	void *failed;
	long total = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, resolve, NULL);
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], &failed);
		total += (long)failed;
	}
	printf("%ld failed\n", total);
}

/* The name service cache would resolve outside of the tunnel. */
CASE(name_service_cache)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/var/run/nscd/socket"};

	did("connect",
	    connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un, sizeof(un)));
}
