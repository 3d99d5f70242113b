package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/glovebox-dev/glovebox/internal/cachefolder"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/all"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// overlayMarks are what overlayfs takes for its own in the paths of layers.
const overlayMarks = `,:\`

// defaultRuntime is the runtime of jobs that name none where nothing else was chosen.
const defaultRuntime = "gvisor"

// runtimeNames lists the runtimes that --runtime may name, the default first.
func (a *app) runtimeNames() []string {
	names := all.Names()
	for _, rt := range a.runtimes {
		names = append(names, rt.Name())
	}
	return names
}

// makeRuntime makes the runtime of that name.
func (a *app) makeRuntime(name, data string) (sandbox.Runtime, error) {
	for _, rt := range a.runtimes {
		if rt.Name() == name {
			return rt, nil
		}
	}
	if !slices.Contains(all.Names(), name) {
		return nil, usageErrorf("--runtime %s: want one of %s", visible(name), strings.Join(all.Names(), ", "))
	}
	if name == defaultRuntime && a.runsc == "" && builtWithCgo() {
		return nil, &sandbox.CheckError{Reason: "this program was built with cgo, so gVisor, which is linked into it, can't start", Fix: "build it with CGO_ENABLED=0, as make build does"}
	}
	return all.New(name, all.Options{Runsc: a.runsc, Dir: filepath.Join(data, "runtimes"), Logger: a.log})
}

// executorSettings are what "run", "dev" and "executor run" choose.
type executorSettings struct {
	// data holds what instances share: images, clones, runtimes' files.
	data string
	// runtimes by name, the default first.
	runtimes  []string
	hostImage bool
	// ownPaths allows images from files of this host: right where the user's own jobs run.
	ownPaths bool
	tracer   trace.TracerProvider
}

// executorDeps makes what running jobs needs, but for the source. The runtimes
// returned are in the order of the settings.
func (a *app) executorDeps(s executorSettings, inst *instance) (executor.Deps, []sandbox.Runtime, error) {
	deps := executor.Deps{
		Runtimes: map[string]sandbox.Runtime{}, DefaultRuntime: s.runtimes[0], MakeDisk: makeDisk,
		Dir: filepath.Join(inst.dir, "jobs"), Instance: inst.name, AllowHostImage: s.hostImage,
		CPUs: float64(runtime.NumCPU()), Logger: a.log, Tracer: s.tracer.Tracer("glovebox"),
	}
	for _, dir := range []string{s.data, inst.dir} {
		if strings.ContainsAny(dir, overlayMarks) {
			return deps, nil, withHint(usageErrorf(`data folder %s: its path holds one of , : \, so that no sandbox's root can be mounted from it`, visible(dir)), "name another by --data")
		}
	}
	var list []sandbox.Runtime
	var engine image.Engine
	for _, name := range s.runtimes {
		rt, err := a.makeRuntime(name, s.data)
		if err != nil {
			return deps, nil, err
		}
		deps.Runtimes[name] = rt
		list = append(list, rt)
		if e, ok := rt.(image.Engine); ok {
			engine = e
		}
		if slices.Contains(a.runtimes, rt) {
			deps.MakeDisk, deps.Caches = makeFolder, plainCaches(filepath.Join(s.data, "caches"))
		}
	}
	images, err := image.Open(image.Options{Dir: filepath.Join(s.data, "images"), RefusePaths: !s.ownPaths, Logger: a.log})
	if err != nil {
		return deps, nil, err
	}
	deps.Images = storeImages{images, engine}
	if deps.Cache, err = workspace.OpenCache(workspace.CacheOptions{Dir: filepath.Join(s.data, "git"), Logger: a.log}); err != nil {
		return deps, nil, err
	}
	if deps.Caches == nil {
		if deps.Caches, err = a.openCaches(filepath.Join(s.data, "caches"), inst); err != nil {
			return deps, nil, err
		}
	}
	if err := os.MkdirAll(deps.Dir, 0o700); err != nil {
		return deps, nil, fmt.Errorf("make folder of jobs: %w", err)
	}
	return deps, list, nil
}

// sweepCachesFor bounds the wait for other processes at the start.
const sweepCachesFor = 5 * time.Second

// openCaches opens the cache folders, which all instances share, and unmounts what dead ones left mounted.
func (a *app) openCaches(dir string, inst *instance) (executor.Caches, error) {
	store, err := cachefolder.Open(cachefolder.Options{Dir: dir, Logger: a.log})
	if err != nil {
		return nil, err
	}
	inst.caches = store
	ctx, cancel := context.WithTimeout(context.Background(), sweepCachesFor)
	defer cancel()
	if err := store.Sweep(ctx); err != nil { // the next use of a folder copes with what is left
		a.log.Warn("sweep cache folders", "error", err)
	}
	return store, nil
}

// plainCaches are cache folders of a runtime that starts no processes: unbounded.
type plainCaches string

func (p plainCaches) Acquire(_ context.Context, tenant, name string) (string, func(), error) {
	dir := filepath.Join(string(p), fmt.Sprintf("%x-%x", tenant, name))
	return dir, func() {}, os.MkdirAll(dir, 0o700)
}

// storeImages takes images that a Docker engine on this host has from there; engine may be nil.
type storeImages struct {
	store  *image.Store
	engine image.Engine
}

func (s storeImages) Ensure(ctx context.Context, ref string) (*image.Image, func(), error) {
	if s.engine == nil {
		return s.store.Ensure(ctx, ref)
	}
	return s.store.EnsureFrom(ctx, s.engine, ref)
}

func (s storeImages) Digest(ctx context.Context, ref string) (string, error) {
	return s.store.Digest(ctx, s.engine, ref)
}

func makeDisk(ctx context.Context, path string, size int64) (executor.Disk, error) {
	d, err := disk.Create(ctx, path, size, disk.Options{})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// folder is the disk of a runtime that starts no processes: unbounded.
type folder string

func makeFolder(_ context.Context, path string, _ int64) (executor.Disk, error) {
	f := folder(path)
	return f, errors.Join(os.MkdirAll(f.Work(), 0o700), os.MkdirAll(f.Scratch(), 0o700))
}

func (f folder) Work() string        { return filepath.Join(string(f), "work") }
func (f folder) Scratch() string     { return filepath.Join(string(f), "scratch") }
func (f folder) Full() (bool, error) { return false, nil }
func (f folder) Close() error        { return os.RemoveAll(string(f)) }

// keeping makes disks whose workspace is copied to a folder before they go.
func keeping(dst string, make func(context.Context, string, int64) (executor.Disk, error)) func(context.Context, string, int64) (executor.Disk, error) {
	return func(ctx context.Context, path string, size int64) (executor.Disk, error) {
		d, err := make(ctx, path, size)
		if err != nil {
			return nil, err
		}
		return keptDisk{d, dst}, nil
	}
}

type keptDisk struct {
	executor.Disk
	dst string
}

// Close copies the workspace, links as links, and lets go of the disk. It may be called
// twice: then there is nothing left to copy.
func (k keptDisk) Close() error {
	var copying error
	if _, err := os.Stat(k.Work()); err == nil {
		copying = k.copy()
	}
	return errors.Join(copying, k.Disk.Close())
}

// copy copies the workspace to where it is kept, for its owner alone. A program that the steps left
// set-user-ID would be root's on this host: that mode is taken away while the tree is
// still on the job's disk, where nobody else comes.
func (k keptDisk) copy() error {
	err := filepath.WalkDir(k.Work(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			err = os.Chmod(path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep workspace: %w", err)
	}
	out, err := exec.Command("cp", "-a", "--", k.Work()+"/.", k.dst).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("keep workspace: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return errors.Join(err, os.Chmod(k.dst, 0o700)) // cp took over the mode that the steps gave the tree
}

// sweep removes what a dead process left under an instance's name: sandboxes,
// networks, mounts, folders.
func sweep(ctx context.Context, runtimes []sandbox.Runtime, inst *instance) error {
	var errs []error
	for _, rt := range runtimes {
		if err := rt.Sweep(ctx, inst.name); err != nil {
			errs = append(errs, fmt.Errorf("sweep %s: %w", rt.Name(), err))
		}
	}
	jobs := filepath.Join(inst.dir, "jobs")
	entries, err := os.ReadDir(jobs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		dir := filepath.Join(jobs, e.Name())
		if err := disk.Sweep(dir); err != nil {
			errs = append(errs, fmt.Errorf("sweep disks: %w", err))
			continue // a mount that is still there must not be walked into
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
