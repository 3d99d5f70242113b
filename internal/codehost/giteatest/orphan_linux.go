package giteatest

import "syscall"

// endWithTest ends a process whose test dies with no clean-up, as one that takes too long does.
func endWithTest(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
