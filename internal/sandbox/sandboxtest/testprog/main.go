// Command testprog is what the suite in sandboxtest runs as the untrusted program: one
// mode for each thing a step may do or try. It is static, needs nothing of the image it
// lies in and prints facts for the suite to judge. Exit code 28 is "no space left on
// device", 3 any other error, 2 a mode that does not exist.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mode is one behaviour; its error ends the program with code 28 or 3.
type mode func(args []string) error

func modes() map[string]mode {
	return map[string]mode{
		"exit": exit, "signal": kill, "out": out, "env": env, "pwd": pwd, "write": write, "cat": cat, "stdin": stdin,
		"sleep": sleep, "stubborn": stubborn, "graceful": graceful, "daemon": daemon, "beat": beat, "growing": growing,
		"alloc": alloc, "spin": spin, "fork": fork, "fill": fill, "files": files, "open": open,
		"dial": dial, "interfaces": interfaces, "loopback": loopback,
		"read": read, "mknod": mknod, "mount": mount, "status": status, "suid": suid, "ids": ids, "replace": replace,
		"rename": rename, "chmod": chmod, "copyself": copySelf, "as1000": as1000,
		"link": link, "list": list, "hostname": hostname, "stat": stat,
	}
}

func main() {
	if len(os.Args) < 2 || modes()[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "testprog: no such mode")
		os.Exit(2)
	}
	if err := modes()[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "testprog:", err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			os.Exit(28)
		}
		os.Exit(3)
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return n
}

func exit(args []string) error { os.Exit(int(number(args[0]))); return nil }

func kill(args []string) error {
	if err := syscall.Kill(os.Getpid(), syscall.Signal(number(args[0]))); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	return errors.New("survived")
}

// out writes lines of 64 bytes, as many bytes as asked for, to both streams in turn.
func out(args []string) error {
	n := number(args[0])
	stdout, stderr := bufio.NewWriter(os.Stdout), bufio.NewWriter(os.Stderr)
	for i := int64(0); i < n; i += 64 {
		fmt.Fprintf(stdout, "o%062d\n", i)
		fmt.Fprintf(stderr, "e%062d\n", i)
	}
	return errors.Join(stdout.Flush(), stderr.Flush())
}

func env([]string) error {
	vars := os.Environ()
	sort.Strings(vars)
	_, err := fmt.Println(strings.Join(vars, "\n"))
	return err
}

func pwd([]string) error {
	dir, err := os.Getwd()
	fmt.Println(dir)
	return err
}

func hostname([]string) error {
	name, err := os.Hostname()
	fmt.Println(name)
	return err
}

func write(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o644) }

func cat(args []string) error {
	b, err := os.ReadFile(args[0])
	os.Stdout.Write(b)
	return err
}

func stdin([]string) error {
	n, err := io.Copy(io.Discard, os.Stdin)
	fmt.Println(n)
	return err
}

func sleep(args []string) error {
	fmt.Println("ready")
	time.Sleep(time.Duration(number(args[0])) * time.Millisecond)
	return nil
}

// stubborn ignores every signal that can be ignored.
func stubborn(args []string) error {
	signal.Ignore()
	return sleep(args)
}

// graceful ends by itself when asked to, and says so.
func graceful([]string) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	fmt.Println("ready")
	<-c
	fmt.Println("bye")
	return nil
}
