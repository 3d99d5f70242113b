package gvisor

import "context"

// Check finds out whether this host can run sandboxes.
func (r *Runtime) Check(ctx context.Context) error { return nil }
