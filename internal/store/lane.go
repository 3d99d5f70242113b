package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/glovebox-dev/glovebox"
)

// lane is a class of jobs that the same executors can take; see the table lanes.
type lane struct {
	ID        string
	Tenant    string
	Queue     string
	Runtime   string
	HostImage bool
	Labels    string // JSON object, keys sorted
}

// laneOf is the lane a job belongs to. Its id is a hash of all that tells lanes apart.
func laneOf(job glovebox.Job) (lane, error) {
	labels := job.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return lane{}, fmt.Errorf("encode labels: %w", err)
	}
	l := lane{Tenant: job.Tenant, Queue: job.Queue, Runtime: job.Runtime, Labels: string(text)}
	for _, step := range job.Steps {
		l.HostImage = l.HostImage || step.Image == "host"
	}
	key, err := json.Marshal([]any{l.Tenant, l.Queue, l.Runtime, l.HostImage, l.Labels})
	if err != nil {
		return lane{}, fmt.Errorf("encode lane: %w", err)
	}
	sum := sha256.Sum256(key)
	l.ID = hex.EncodeToString(sum[:16])
	return l, nil
}

// addLane makes sure that claims find the lane.
func (t *tx) addLane(l lane) error {
	err := t.exec(`INSERT INTO lanes (id, tenant, queue, runtime, host_image, labels)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`,
		l.ID, l.Tenant, l.Queue, l.Runtime, truth(l.HostImage), l.Labels)
	if err != nil {
		return fmt.Errorf("add lane: %w", err)
	}
	return nil
}

// truth is how a bool is kept.
func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
