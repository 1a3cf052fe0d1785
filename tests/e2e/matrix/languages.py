#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""languages.py - the matrix: what interpreters and runtimes make of sockets"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib import servers, world  # noqa: E402
from lib.matrix import CURL, PYTHON, fetch_from_wrapped, full_row, need_perl, row  # noqa: E402
from lib.serving import end, peer_says, serve  # noqa: E402
from lib.world import need  # noqa: E402

world.enter()


def python(w, code, **kwargs):
    servers.web(w)
    servers.dns(w)
    return w.ok(PYTHON, "-c", code, **kwargs)


@row("python: urllib over TLS, http.client kept alive, socket.create_connection by name")
def _(w):
    out = python(w, """
import http.client, socket, ssl, sys, urllib.request as r
context = ssl.create_default_context(cafile=sys.argv[1] if len(sys.argv) > 1 else "../tls.crt")
print(r.urlopen("https://web.test/address", timeout=60, context=context).read().decode(), end="")
c = http.client.HTTPConnection("10.9.0.1", timeout=60)
names = set()
for _ in range(20):
    c.request("GET", "/address")
    assert c.getresponse().read() == b"10.9.0.2\\n"
    names.add(c.sock.getsockname())
print(len(names), names.pop()[0])
s = socket.create_connection(("web.test", 80), 60)
print(s.getpeername()[:2], s.family.name)
""")
    assert out.split("\n")[0] in ("10.9.0.2", "fd09::2"), out
    assert out.split("\n")[1:3] == ["1 10.9.0.2", "('fd09::1', 80) AF_INET6"] or "('10.9.0.1', 80) AF_INET" in out, out


@row("python: asyncio streams, datagrams, TLS and a server of its own")
def _(w):
    servers.behaviour(w)
    out = python(w, """
import asyncio, ssl
class Echo(asyncio.DatagramProtocol):
    def __init__(self, done): self.done = done
    def connection_made(self, transport): transport.sendto(b"datagram")
    def datagram_received(self, data, addr): self.done.set_result((data, addr))
async def page(n):
    context = ssl.create_default_context(cafile="../tls.crt")
    reader, writer = await asyncio.open_connection("web.test", 443, ssl=context)
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    data = await reader.read()
    writer.close()
    return data.endswith(b"behind the tunnel\\n")
async def main():
    loop = asyncio.get_running_loop()
    print(sum(await asyncio.gather(*map(page, range(50)))))
    done = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: Echo(done), remote_addr=("10.9.0.1", 4000))
    print(await done)
    transport.close()
    async def serve(reader, writer):
        writer.write(await reader.read())
        writer.close()
    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"to itself")
    writer.write_eof()
    print(await reader.read())
    try:
        await asyncio.wait_for(asyncio.open_connection("10.9.1.1", 80), 0.5)
    except asyncio.TimeoutError:
        print("timeout")
    try:
        await asyncio.open_connection("10.9.0.1", 81)
    except ConnectionRefusedError:
        print("refused")
asyncio.run(asyncio.wait_for(main(), 40))
""")
    assert out == "50\n(b'datagram', ('10.9.0.1', 4000))\nb'to itself'\ntimeout\nrefused\n", out


@row("python: multiprocessing (fork, spawn, forkserver), a socket sent to another process, subprocess")
def _(w):
    path = w.write("work/workers.py", """
import multiprocessing as mp, socket, subprocess, sys, urllib.request as r
def address(_):
    return r.urlopen("http://10.9.0.1/address", timeout=60).read().decode().strip()
def use(pipe):
    s = pipe.recv()
    s.sendall(b"GET /address HTTP/1.0\\r\\n\\r\\n")
    print(b"".join(iter(lambda: s.recv(4096), b"")).decode().split()[-1], s.getpeername(), s.getsockname()[0], flush=True)
def main():
    for how in ("fork", "spawn", "forkserver"):
        with mp.get_context(how).Pool(4) as pool:
            print(how, set(pool.map(address, range(16))), flush=True)
    ours, theirs = mp.Pipe()
    other = mp.get_context("fork").Process(target=use, args=(theirs,))
    other.start()
    s = socket.create_connection(("10.9.0.1", 80))  # a time limit would make it O_NONBLOCK for the other process, too
    ours.send(s)
    s.close()
    other.join()
    command = ["curl", "-sS", "http://10.9.0.1/address"]
    print(subprocess.check_output(command, env={"PATH": "/usr/bin:/bin"}).decode().strip(), flush=True)
    print(subprocess.check_output(" ".join(command), shell=True, env={"PATH": "/usr/bin:/bin"}).decode().strip())
if __name__ == "__main__":
    main()
""")
    servers.web(w)
    out = w.ok(PYTHON, path)
    assert out.splitlines() == [f"{how} {{'10.9.0.2'}}" for how in ("fork", "spawn", "forkserver")] + [
        "10.9.0.2 ('10.9.0.1', 80) 10.9.0.2", "10.9.0.2", "10.9.0.2"], out


@row("python: 40 threads, each with names and pages")
def _(w):
    out = python(w, """
import concurrent.futures as f, socket, urllib.request as r
def one(i):
    assert socket.getaddrinfo("v4.test", 80, proto=socket.IPPROTO_TCP)[0][4] == ("10.9.0.1", 80)
    assert socket.gethostbyname("v4.test") == "10.9.0.1"
    try:
        socket.getaddrinfo(f"missing{i}.test", 80)
    except socket.gaierror as e:
        assert e.errno == socket.EAI_NONAME, e
    return r.urlopen("http://v4.test/address", timeout=60).read()
with f.ThreadPoolExecutor(40) as pool:
    print(set(pool.map(one, range(400))))
""")
    assert out == "{b'10.9.0.2\\n'}\n", out


NODE_NAMES = """
const dns = require('dns'), d = dns.promises;
(async () => {
  const all = await d.lookup('web.test', {all: true});
  console.log(JSON.stringify(all.sort((a, b) => a.family - b.family)));
  console.log((await d.resolve4('web.test')).join(), (await d.resolve6('web.test')).join());
  console.log((await d.resolve4('long.test')).length, (await d.resolveTxt('big.test'))[0].join('').length);
  console.log((await d.reverse('10.9.0.1')).join(), JSON.stringify(await d.lookupService('10.9.0.1', 80)));
  for (const ask of [d.lookup, d.resolve4])
    await ask('missing.test').catch(e => console.log(e.code));
  const r = new d.Resolver();
  r.setServers(['[fd09::1]:53']);
  console.log((await r.resolve4('v4.test')).join());
})();
"""


@row("node: dns.lookup, dns.resolve (c-ares), reverse")
def _(w):
    need("node")
    servers.dns(w)
    out = w.ok("node", "-e", NODE_NAMES).splitlines()
    assert out[0] == '[{"address":"10.9.0.1","family":4},{"address":"fd09::1","family":6}]', out
    assert out[1:3] == ["10.9.0.1 fd09::1", "16 250"], out
    assert out[3:] == ['web.test {"hostname":"web.test","service":"http"}', "ENOTFOUND", "ENOTFOUND", "10.9.0.1"], out


NODE_HTTP = """
const http = require('http'), https = require('https'), net = require('net'), fs = require('fs'), dgram = require('dgram');
const get = (m, o) => new Promise((done, fail) => m.get(o, r => {
  let d = ''; r.on('data', c => d += c); r.on('end', () => done(d.trim())); }).on('error', fail));
(async () => {
  const agent = new http.Agent({keepAlive: true, maxSockets: 5});
  const many = await Promise.all(Array.from({length: 100}, () => get(http, {host: 'v4.test', path: '/address', agent})));
  console.log(new Set(many).size, many[0]);
  agent.destroy();
  console.log(await get(https, {host: 'web.test', ca: fs.readFileSync('../tls.crt'), agent: false}));
  await get(http, 'http://10.9.0.1:81/').catch(e => console.log(e.code, e.address, e.port));
  const lookup = (n, o, done) => done(null, [{address: 'fd0a::1', family: 6}, {address: '10.9.0.1', family: 4}]);
  const s = net.connect({host: 'both.test', port: 80, lookup, autoSelectFamily: true}, () => {
    console.log(s.remoteAddress, s.remotePort, s.localAddress);
    s.destroy();
    const u = dgram.createSocket('udp4');
    u.on('message', (m, from) => { console.log(String(m), from.address, from.port); u.close(); });
    u.send('datagram', 4000, '10.9.0.1');
  });
})();
"""


@row("node: http with an agent, https, autoSelectFamily, datagrams, a refused port")
def _(w):
    need("node")
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    out = w.ok("node", "-e", NODE_HTTP).splitlines()
    assert out == ["1 10.9.0.2", "behind the tunnel", "ECONNREFUSED 10.9.0.1 81", "10.9.0.1 80 10.9.0.2",
                   "datagram 10.9.0.1 4000"], out


NODE_CLUSTER = """
const cluster = require('cluster'), http = require('http');
if (process.argv[2]) cluster.schedulingPolicy = +process.argv[2];
if (cluster.isPrimary) {
  for (let i = 0; i < 4; i++) cluster.fork();
  let ready = 0;
  cluster.on('listening', () => { if (++ready == 4) console.log('ready'); });
} else {
  http.createServer((q, r) => r.end(`${cluster.worker.id} ${q.socket.remoteAddress}\\n`)).listen(8081);
}
"""


@row("node: cluster, four workers behind one port, round robin and shared")
def _(w):
    need("node")
    path = w.write("work/cluster.js", NODE_CLUSTER)
    for policy in ("2", "1"):
        child, _ = serve(w, "node", path, policy, ready="ready")
        seen = [fetch_from_wrapped(w, 8081).split() for _ in range(16)]
        end(child)
        # Which worker the kernel wakes is its own affair where they share the listener
        assert len({worker for worker, _ in seen}) == 4 or policy == "1", seen
        assert {address for _, address in seen} == {"::ffff:10.9.0.1"}, seen


@row("python: eight processes listen at once on a socket that their parent bound")
def _(w):
    for _ in range(5):
        out = w.ok(PYTHON, "-c", """
import os, socket
s = socket.socket()
s.bind(("", 0))
gate = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(gate[1])
        os.read(gate[0], 1)
        s.listen(5)
        os._exit(s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) - 1)
os.close(gate[1])
print({os.wait()[1] for _ in range(8)})
""")
        assert out == "{0}\n", out


@row("perl: HTTP::Tiny, IO::Socket::IP, IO::Select over many, a forking server")
def _(w):
    need_perl("HTTP/Tiny.pm")
    servers.web(w)
    servers.dns(w)
    out = w.ok("perl", "-MHTTP::Tiny", "-MIO::Socket::IP", "-MIO::Select", "-e", """
        print HTTP::Tiny->new->get("http://web.test/")->{content};
        my $select = IO::Select->new;
        for (1 .. 20) {
            my $s = IO::Socket::IP->new(PeerHost => "10.9.0.1", PeerPort => 80, Blocking => 1) or die $@;
            print $s "GET /address HTTP/1.0\\r\\n\\r\\n";
            $select->add($s);
        }
        my %seen;
        while ($select->count) {
            for my $s ($select->can_read(20)) {
                local $/;
                my $all = <$s>;
                $seen{(split /\\s+/, $all)[-1]}++;
                $select->remove($s);
            }
        }
        print "$_ $seen{$_}\\n" for keys %seen;
        my $no = IO::Socket::IP->new(PeerHost => "10.9.0.1", PeerPort => 81);
        print defined $no ? "connected" : "$!", "\\n";
        print join(" ", (gethostbyname "v4.test")[0, 2, 3], scalar gethostbyaddr(pack("C4", 10, 9, 0, 1), 2)), "\\n";""")
    assert out == "behind the tunnel\n10.9.0.2 20\nConnection refused\nv4.test 2 4 web.test\n", out
    child, _ = serve(w, "perl", "-MIO::Socket::IP", "-e", """
        my $l = IO::Socket::IP->new(LocalHost => "0.0.0.0", LocalPort => 8082, Listen => 20, ReuseAddr => 1) or die $@;
        $SIG{CHLD} = "IGNORE";
        while (1) {
            my $s = $l->accept or next;
            next if fork;
            while (<$s>) { last if /^\r/ }
            print $s "HTTP/1.0 200 OK\\r\\n\\r\\n", $s->peerhost, "\\n";
            exit;
        }""", ready=8082)
    assert [fetch_from_wrapped(w, 8082) for _ in range(10)] == ["10.9.0.1\n"] * 10
    end(child)


@row("php: streams, 20 at once through stream_select, DNS, and its own server with four workers")
def _(w):
    need("php")
    servers.web(w)
    servers.dns(w)
    out = w.ok("php", "-r", """
        echo file_get_contents("http://web.test/");
        $open = [];
        for ($i = 0; $i < 20; $i++) {
            $s = stream_socket_client("tcp://10.9.0.1:80", $no, $why, 20,
                                      STREAM_CLIENT_CONNECT | STREAM_CLIENT_ASYNC_CONNECT);
            stream_set_blocking($s, false);
            $open[] = $s;
        }
        $sent = $open; $got = array_fill(0, 20, "");
        while ($open) {
            $read = $open; $write = $sent; $except = null;
            stream_select($read, $write, $except, 20);
            foreach ($write as $s) { fwrite($s, "GET /address HTTP/1.0\\r\\n\\r\\n");
                                     unset($sent[array_search($s, $sent)]); }
            foreach ($read as $s) {
                $k = array_search($s, $open);
                $got[$k] .= fread($s, 4096);
                if (feof($s)) unset($open[$k]);
            }
        }
        echo count(array_filter($got, fn($g) => str_ends_with($g, "\\r\\n\\r\\n10.9.0.2\\n"))), "\\n";
        echo gethostbyname("v4.test"), " ", gethostbyaddr("10.9.0.1"), " ", dns_get_record("web.test", DNS_A)[0]["ip"], "\\n";
        echo @fsockopen("10.9.0.1", 81, $no, $why) ? "connected" : $why, "\\n";""")
    assert out == "behind the tunnel\n20\n10.9.0.1 web.test 10.9.0.1\nConnection refused\n", out
    w.write("work/index.php", "<?php echo $_SERVER['REMOTE_ADDR'], \"\\n\";")
    child, _ = serve(w, "php", "-S", "0.0.0.0:8083", ready="started", env=w.environment(PHP_CLI_SERVER_WORKERS="4"))
    assert [fetch_from_wrapped(w, 8083, "index.php") for _ in range(10)] == ["10.9.0.1\n"] * 10
    end(child)


@row("ruby: Net::HTTP, Resolv, TCPServer and threads, UDPSocket")
def _(w):
    need("ruby")
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    out = w.ok("ruby", "-rnet/http", "-rresolv", "-e", """
        print Net::HTTP.get(URI("http://web.test/"))
        puts (1..20).map { Thread.new { Net::HTTP.get(URI("http://10.9.0.1/address")) } }.map(&:value).uniq.join
        puts Resolv::DNS.new(nameserver: ["10.9.0.1"]).getaddress("v4.test"), Addrinfo.ip("10.9.0.1").getnameinfo[0]
        begin TCPSocket.new("10.9.0.1", 81); rescue => e; puts e.class; end
        u = UDPSocket.new
        u.connect("10.9.0.1", 4000)
        u.send("datagram", 0)
        p u.recvfrom(100)
        server = TCPServer.new(0)
        Thread.new { c = server.accept; c.write(c.gets.upcase); c.close }
        c = TCPSocket.new("localhost", server.addr[1])
        c.puts "itself"
        puts c.read""")
    assert out == ("behind the tunnel\n10.9.0.2\n10.9.0.1\nweb.test\nErrno::ECONNREFUSED\n"
                   '["datagram", ["AF_INET", 4000, "10.9.0.1", "10.9.0.1"]]\nITSELF\n'), out


JAVA = """
import java.net.*; import java.net.http.*; import java.nio.*; import java.nio.channels.*; import java.util.stream.*;
public class Wrapped {
  static HttpRequest ask(String uri) { return HttpRequest.newBuilder(URI.create(uri)).build(); }
  public static void main(String[] a) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    var text = HttpResponse.BodyHandlers.ofString();
    System.out.print(client.send(ask("http://web.test/"), text).body());
    var many = IntStream.range(0, 50).mapToObj(i -> client.sendAsync(ask("http://10.9.0.1/address"), text))
        .collect(Collectors.toList());
    System.out.print(many.stream().map(f -> f.join().body()).collect(Collectors.toSet()).iterator().next());
    try { client.send(ask("http://10.9.0.1:81/"), text); } catch (ConnectException e) { System.out.println("refused"); }
    System.out.println(InetAddress.getByName("v4.test").getHostAddress());
    try (Socket s = new Socket("10.9.0.1", 80)) {
      s.getOutputStream().write("GET /address HTTP/1.0\\r\\n\\r\\n".getBytes());
      String all = new String(s.getInputStream().readAllBytes());
      System.out.println(all.substring(all.lastIndexOf("\\r\\n") + 2).trim() + " " + s.getRemoteSocketAddress());
    }
    try (DatagramSocket u = new DatagramSocket()) {
      u.setSoTimeout(10000);
      u.send(new DatagramPacket("datagram".getBytes(), 8, InetAddress.getByName("10.9.0.1"), 4000));
      var p = new DatagramPacket(new byte[100], 100);
      u.receive(p);
      System.out.println(new String(p.getData(), 0, p.getLength()) + " " + p.getSocketAddress());
    }
    var selector = Selector.open();
    var server = ServerSocketChannel.open().bind(new InetSocketAddress(8084));
    server.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
    System.out.println("ready");
    for (int left = 5; left > 0 && selector.select(20000) > 0; ) {
      for (var key : selector.selectedKeys()) {
        if (key.isAcceptable()) {
          var c = server.accept();
          c.configureBlocking(false).register(selector, SelectionKey.OP_READ);
        } else {
          var c = (SocketChannel) key.channel();
          c.read(ByteBuffer.allocate(4096));
          c.write(ByteBuffer.wrap(("HTTP/1.0 200 OK\\r\\n\\r\\n" + c.socket().getInetAddress().getHostAddress() + "\\n")
              .getBytes()));
          c.close();
          left--;
        }
      }
      selector.selectedKeys().clear();
    }
  }
}
"""


@full_row("java: HttpClient, sockets, datagrams, a server on a Selector")
def _(w):
    need("java", "javac")
    servers.web(w)
    servers.dns(w)
    servers.behaviour(w)
    path = w.write("work/Wrapped.java", JAVA)
    done = w.finish_command(["javac", "-d", w.path(), path])
    assert done.returncode == 0, done.stderr
    child, log = serve(w, "java", "-cp", w.path(), "Wrapped", ready="ready")
    pages = [fetch_from_wrapped(w, 8084) for _ in range(5)]
    assert pages == ["10.9.0.1\n"] * 5, pages
    assert child.wait(60) == 0
    with open(log, encoding="utf-8") as f:
        out = f.read()
    assert out == ("behind the tunnel\n10.9.0.2\nrefused\n10.9.0.1\n10.9.0.2 /10.9.0.1:80\ndatagram /10.9.0.1:4000\n"
                   "ready\n"), out


world.main()
