// SPDX-License-Identifier: MIT

// go_net - what Go's standard library does with sockets, without libc
//
// usage: go_net get URL | many ADDRESS | udp ADDRESS | dial ADDRESS | resolve NAME | serve ADDRESS
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"sync"
	"time"
)

const limit = 20 * time.Second

func get(url string) error {
	client := http.Client{Timeout: limit}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func exchange(address string, i int) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = fmt.Fprint(c, i); err != nil {
		return err
	}
	if err = c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	text, err := io.ReadAll(c)
	if err == nil && (string(text) != fmt.Sprint(i) || c.RemoteAddr().String() != address) {
		err = fmt.Errorf("%q from %v", text, c.RemoteAddr())
	}
	return err
}

func many(address string) error {
	const n = 100
	results := make(chan error, n)
	var all sync.WaitGroup
	for i := 0; i < n; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			results <- exchange(address, i)
		}(i)
	}
	all.Wait()
	good := 0
	for i := 0; i < n; i++ {
		if err := <-results; err == nil {
			good++
		} else {
			fmt.Println(err)
		}
	}
	fmt.Println(good, "good")
	return nil
}

func udp(address string) error {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return err
	}
	data := make([]byte, 100)
	p.SetDeadline(time.Now().Add(limit))
	if _, err = p.WriteTo([]byte("unconnected"), to); err != nil {
		return err
	}
	n, from, err := p.ReadFrom(data)
	fmt.Println(string(data[:n]), from, err)
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(limit))
	c.Write([]byte("connected"))
	n, err = c.Read(data)
	fmt.Println(string(data[:n]), err)
	return nil
}

func resolve(name string) error {
	resolver := net.Resolver{PreferGo: true}
	addresses, err := resolver.LookupHost(context.Background(), name)
	sort.Strings(addresses)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, "you are", host)
	}))
}

func dial(address string) error {
	_, err := net.Dial("tcp", address)
	return err
}

func main() {
	do := map[string]func(string) error{"get": get, "many": many, "udp": udp, "dial": dial, "resolve": resolve,
		"serve": serve}[os.Args[1]]
	if err := do(os.Args[2]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
