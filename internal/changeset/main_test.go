package changeset_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine: Run waits for all that it began.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
