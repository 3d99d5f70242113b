package gvisor

import (
	"testing"

	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

func TestSuite(t *testing.T) {
	exe := testenv.Gvisor(t)
	testenv.Root(t)
	sandboxtest.Run(t, sandboxtest.Config{Runtime: New(Options{Exe: exe})})
}
