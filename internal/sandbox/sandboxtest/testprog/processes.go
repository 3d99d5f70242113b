package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// daemon leaves a process of an own session behind that inherits the streams, and ends.
func daemon(args []string) error {
	cmd := exec.Command("/proc/self/exe", "beat", args[0])
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for range 1000 {
		if info, err := os.Stat(args[0]); err == nil && info.Size() > 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("the child does not beat")
}

// beat appends to a file for two minutes.
func beat(args []string) error {
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for range 12000 {
		if _, err := f.WriteString("x"); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// growing says whether a file grows within half a second.
func growing(args []string) error {
	before, err := os.Stat(args[0])
	if err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	after, err := os.Stat(args[0])
	if err == nil {
		fmt.Println(after.Size() > before.Size())
	}
	return err
}

// alloc takes and touches memory, a MiB at a time.
func alloc(args []string) error {
	var kept [][]byte
	for range number(args[0]) >> 20 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println(len(kept))
	runtime.KeepAlive(kept)
	return nil
}

// spin keeps two CPUs busy for so many milliseconds.
func spin(args []string) error {
	end := time.Now().Add(time.Duration(number(args[0])) * time.Millisecond)
	for range 2 {
		go func() {
			for {
			}
		}()
	}
	time.Sleep(time.Until(end))
	return nil
}

// fork starts as many children as it can, up to a number, and says how many that were.
func fork(args []string) error {
	started := 0
	var failure error
	for range number(args[0]) {
		cmd := exec.Command("/proc/self/exe", "sleep", "60000")
		if failure = cmd.Start(); failure != nil {
			break
		}
		started++
	}
	fmt.Println(started)
	return failure
}

// open opens files until that fails or a number is reached, and says how many.
func open(args []string) error {
	var kept []*os.File
	for range number(args[0]) {
		f, err := os.Open("/proc/self/exe")
		if err != nil {
			fmt.Println(len(kept))
			return err
		}
		kept = append(kept, f)
	}
	fmt.Println(len(kept))
	runtime.KeepAlive(kept)
	return nil
}
