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

// laneSample is how many lanes each new lane looks at for empty ones.
const laneSample = 20

// addLane makes sure that claims find the lane. A new lane removes those without a job among the ones that
// follow it by id: ids are hashes, so that is a random sample, and the empty ones stay
// a small part of all however many kinds of jobs come and go.
func (t *tx) addLane(l lane) error {
	n, err := t.execCount(`INSERT INTO lanes (id, tenant, queue, runtime, host_image, labels)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`,
		l.ID, l.Tenant, l.Queue, l.Runtime, truth(l.HostImage), l.Labels)
	if err != nil {
		return fmt.Errorf("add lane: %w", err)
	}
	if n == 0 {
		return nil
	}
	err = t.exec(`DELETE FROM lanes WHERE id IN (SELECT id FROM lanes WHERE id > $1 ORDER BY id LIMIT $2)
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.lane = lanes.id AND jobs.state = 'queued')`, l.ID, laneSample)
	if err != nil {
		return fmt.Errorf("remove empty lanes: %w", err)
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
