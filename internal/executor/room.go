package executor

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// errHostFull is a fault of the host that jobs must not be blamed for: their disks are files that grow.
var errHostFull = errors.New("the executor's own disk is full")

const (
	// claimRoom is the free disk below which no job is claimed.
	claimRoom = 256 << 20
	// hostRoom is the free disk below which a job's end is not trusted.
	hostRoom = 4 << 20
)

// freeDisk measures what is free for unprivileged use where dir is.
func freeDisk(dir string) (glovebox.Size, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("measure disk: %w", err)
	}
	return glovebox.Size(int64(st.Bavail) * st.Bsize), nil
}

// room narrows an offer to the disk that is free by now, whoever uses it. It waits and returns
// false when that is too little for any job.
func (d *Daemon) room(ctx context.Context, free *glovebox.Limits) bool {
	left, err := d.cfg.FreeDisk(d.cfg.Dir)
	if err != nil {
		d.cfg.Logger.Warn("look for room", "error", err)
	}
	scarce := err == nil && left < claimRoom
	if scarce != d.scarce {
		d.scarce = scarce
		if scarce {
			d.cfg.Logger.Error("disk is full: no jobs are claimed until there is room", "folder", d.cfg.Dir, "free", left, "want", glovebox.Size(claimRoom))
		} else {
			d.cfg.Logger.Info("there is room again: jobs are claimed", "folder", d.cfg.Dir, "free", left)
		}
	}
	if scarce {
		pause(ctx, d.cfg.PollAhead, nil)
		return false
	}
	if err == nil && free.Disk > 0 {
		free.Disk = min(free.Disk, left)
	}
	return true
}

// checkHost reports errHostFull when what the steps wrote may not have been kept.
func (a *attempt) checkHost() error {
	if free, err := a.deps.FreeDisk(a.dir); err == nil && free < hostRoom {
		return errHostFull
	}
	return nil // where there is no folder there was no log: that error says it all
}
