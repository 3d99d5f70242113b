package gvisor

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// launcher is an OS thread that all processes of one sandbox are started from. It has
// joined the sandbox's cgroup where threads can (version 1), so that its children are
// born in it, and it lives as long as they may: the kernel sends a parent-death
// signal when the *thread* that started a process ends.
type launcher struct {
	calls chan func()
	once  sync.Once
	done  chan struct{}
}

// newLauncher starts the thread and runs join on it.
func newLauncher(join func() error) (*launcher, error) {
	l := &launcher{calls: make(chan func()), done: make(chan struct{})}
	joined := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			l.serve(join, joined)
			return
		}
		// Go never ends a process's main thread, which would stay in the cgroup for good.
		// While this goroutine holds it, another one gets another thread.
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			l.serve(join, joined)
		}()
		<-elsewhere
		runtime.UnlockOSThread()
	}()
	if err := <-joined; err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// serve is the thread's life. The goroutine stays locked to it, so that both end together.
func (l *launcher) serve(join func() error, joined chan<- error) {
	defer close(l.done)
	joined <- join()
	for f := range l.calls {
		f()
	}
}

// start starts cmd from the thread. It must not be called after close.
func (l *launcher) start(cmd *exec.Cmd) error {
	if l == nil {
		return errors.New("sandbox is closed")
	}
	err := make(chan error, 1)
	l.calls <- func() { err <- cmd.Start() }
	return <-err
}

// close ends the thread, and with it whatever it started that still lives. It may be called twice.
func (l *launcher) close() {
	if l == nil {
		return
	}
	l.once.Do(func() { close(l.calls) })
	<-l.done
}
