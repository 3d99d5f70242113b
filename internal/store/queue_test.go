package store_test

import (
	"testing"

	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/queue/queuetest"
	"github.com/glovebox-dev/glovebox/internal/store"
)

func TestQueue(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.Store { return store.NewJobs(open(t)) })
}
