// SPDX-License-Identifier: MIT
//! rust_net.rs - the sockets of Rust's standard library
//!
//! usage: rust_net ADDRESS PORT; echo servers for TCP and UDP are there, nobody is at port 1. Prints what must be
//! equal on the kernel's stack and in the tunnel.
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn exchange(to: SocketAddr, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
    let mut answer = String::new();

    assert_eq!(stream.peer_addr()?, to);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn many(to: SocketAddr) -> usize {
    let threads: Vec<_> = (0..8)
        .map(|n| {
            thread::spawn(move || {
                let text = format!("thread {n}\n").repeat(1000);
                (0..20).filter(|_| exchange(to, &text).unwrap() == text).count()
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().unwrap()).sum()
}

fn datagrams(to: SocketAddr) -> std::io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { "0.0.0.0".parse().unwrap() } else { "::".parse().unwrap() };
    let socket = UdpSocket::bind((any, 0))?;
    let mut data = [0u8; 100];

    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(b"one", to)?;
    let (n, from) = socket.recv_from(&mut data)?;
    println!("{} from there: {}", String::from_utf8_lossy(&data[..n]), from == to);
    socket.connect(to)?;
    socket.send(b"two")?;
    let n = socket.recv(&mut data)?;
    println!("{} connected to there: {}", String::from_utf8_lossy(&data[..n]), socket.peer_addr()? == to);
    Ok(())
}

fn loopback() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    let client = thread::spawn(move || exchange(to, "here"));
    let (mut stream, peer) = listener.accept()?;
    let mut text = String::new();

    stream.read_to_string(&mut text)?;
    stream.write_all(text.as_bytes())?;
    drop(stream);
    println!("accepted from {}: {}", peer.ip(), client.join().unwrap()?);
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let host: IpAddr = arguments[1].parse().unwrap();
    let to = SocketAddr::new(host, arguments[2].parse().unwrap());

    println!("{}", exchange(to, "text").unwrap());
    println!("{} of 160", many(to));
    datagrams(to).unwrap();
    loopback().unwrap();
    println!("refused: {:?}", TcpStream::connect((host, 1)).unwrap_err().kind());
}
