package docker

import (
	"context"
	"log/slog"
	"testing"

	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// engine is the runtime on the engine that the tests may use.
func engine(t *testing.T) *Runtime {
	t.Helper()
	testenv.Docker(t)
	testenv.Root(t)
	r, err := New(Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestSuite(t *testing.T) {
	r := engine(t)
	sandboxtest.Run(t, sandboxtest.Config{Runtime: r, Traces: func(t *testing.T, id string) []string {
		filter := client.Filters{}.Add("label", labelSandbox+"="+id)
		var found []string
		containers, err := r.client.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filter})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range containers.Items {
			found = append(found, "container "+c.Names[0])
		}
		networks, err := r.client.NetworkList(context.Background(), client.NetworkListOptions{Filters: filter})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range networks.Items {
			found = append(found, "network "+n.Name)
		}
		return found
	}})
}
