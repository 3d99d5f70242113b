package gitgateway

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine: whatever a request starts ends with it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
