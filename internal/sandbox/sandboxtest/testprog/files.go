package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fill writes to a file until that fails, or until so many bytes are written.
func fill(args []string) error {
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i)
	}
	for range number(args[1]) >> 20 {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Close()
}

// files makes empty files until that fails or the number is reached.
func files(args []string) error {
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	for i := range number(args[1]) {
		f, err := os.Create(filepath.Join(args[0], fmt.Sprint(i)))
		if err != nil {
			fmt.Println(i)
			return err
		}
		f.Close()
	}
	return nil
}

// read tries to read each path and prints "PATH TEXT" for those that it could.
func read(args []string) error {
	for _, path := range args {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		b := make([]byte, 64)
		n, err := f.Read(b)
		if err == nil {
			fmt.Printf("%s %q\n", path, b[:n])
		}
		f.Close()
	}
	return nil
}

func list(args []string) error {
	entries, err := os.ReadDir(args[0])
	for _, e := range entries {
		fmt.Println(e.Name())
	}
	return err
}

func stat(args []string) error {
	info, err := os.Stat(args[0])
	if err == nil {
		fmt.Println(info.Mode(), info.Size())
	}
	return err
}

func link(args []string) error { return os.Symlink(args[0], args[1]) }

func rename(args []string) error { return os.Rename(args[0], args[1]) }

func chmod(args []string) error { return syscall.Chmod(args[0], uint32(octal(args[1]))) }

func octal(s string) uint64 {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return n
}

// copySelf copies this program to a path, with the mode given in octal.
func copySelf(args []string) error {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(args[0], b, 0o755), chmod(args))
}

// as1000 becomes user 1000 and goes on in the mode that follows.
func as1000(args []string) error {
	if err := errors.Join(syscall.Setgid(1000), syscall.Setuid(1000)); err != nil {
		return err
	}
	return modes()[args[0]](args[1:])
}

// replace tries to take away the workspace and to put a link in its place.
func replace(args []string) error {
	dir := args[0]
	err := os.RemoveAll(dir)
	err = errors.Join(err, os.Rename(dir, dir+".old"), os.Symlink("/etc", dir))
	fmt.Println(err)
	return nil
}

// mknod tries to make the device of args and to read it.
func mknod(args []string) error {
	err := syscall.Mknod(args[0], syscall.S_IFBLK|0o600, int(number(args[1])<<8|number(args[2])))
	if err != nil {
		fmt.Println("refused:", err)
		return nil
	}
	f, err := os.Open(args[0])
	if err != nil {
		fmt.Println("refused:", err)
		return nil
	}
	fmt.Println("opened")
	return f.Close()
}

// mount tries to mount a file system and to look at the mounts' undersides.
func mount(args []string) error {
	for _, fs := range []string{"tmpfs", "proc", "overlay"} {
		if err := syscall.Mount(fs, args[0], fs, 0, ""); err == nil {
			fmt.Println("mounted", fs)
		}
	}
	if err := syscall.Mount("/", args[0], "", syscall.MS_BIND, ""); err == nil {
		fmt.Println("mounted /")
	}
	if err := syscall.Unmount("/work", syscall.MNT_DETACH); err == nil {
		fmt.Println("unmounted /work")
	}
	return nil
}

// status prints the lines of /proc/self/status whose names are given.
func status(args []string) error {
	b, err := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		for _, name := range args {
			if strings.HasPrefix(line, name+":") {
				fmt.Print(line)
			}
		}
	}
	return err
}

func ids([]string) error {
	_, err := fmt.Println(os.Getuid(), os.Geteuid())
	return err
}

// suid becomes user 1000 and executes a set-user-id program of root's.
func suid(args []string) error {
	if err := errors.Join(syscall.Setgid(1000), syscall.Setuid(1000)); err != nil {
		return err
	}
	return syscall.Exec(args[0], []string{args[0], "ids"}, nil)
}
