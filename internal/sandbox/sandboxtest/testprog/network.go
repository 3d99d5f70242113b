package main

import (
	"fmt"
	"net"
	"time"
)

// dial tries each "NETWORK,ADDRESS" (tcp or udp), all at once, and prints "ADDRESS open" or
// "ADDRESS refused after …". It waits for an answer: a byte from the other side.
func dial(args []string) error {
	lines := make([]chan string, len(args))
	for i, a := range args {
		lines[i] = make(chan string, 1)
		go func() {
			start := time.Now()
			if err := exchange(a[:3], a[4:]); err != nil {
				lines[i] <- fmt.Sprintf("%s refused after %v: %v", a, time.Since(start).Round(time.Millisecond), err)
				return
			}
			lines[i] <- a + " open"
		}()
	}
	for _, line := range lines {
		fmt.Println(<-line)
	}
	return nil
}

func exchange(network, address string) error {
	c, err := net.DialTimeout(network, address, 3*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func interfaces([]string) error {
	all, err := net.Interfaces()
	for _, i := range all {
		fmt.Println(i.Name)
	}
	return err
}

// loopback talks to itself.
func loopback([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("!"))
			c.Close()
		}
	}()
	return exchange("tcp", l.Addr().String())
}
