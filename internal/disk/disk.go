// Package disk makes bounded file systems: a job's workspace, writable roots and
// temporary files lie together on one, so that filling it ends in "no space left on
// device" for that job alone. It must not know jobs or runtimes.
package disk
