// Package queue owns the life of a job: submission, claims under a lease,
// heartbeats, completion, cancellation, retry and expiry. All rules of the state
// machine are here; a Store makes each change atomic and finds the next job. The
// package must not know HTTP, SQL, sandboxes or where logs and artifacts lie.
//
// # Attempts and fencing
//
// Every claim raises the job's attempt and mints a token, of which only the
// SHA-256 is kept. A write names job, attempt and token; it is accepted only
// while that very attempt holds the job, and is glovebox.ErrLeaseLost otherwise.
// A lease that is overdue but that nobody has noticed yet is still held: the
// holder may come back and extend it. Once it has been noticed (Reap), it is lost
// for good, whatever the holder says later.
package queue
