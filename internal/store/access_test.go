package store_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/store"
)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openAt(t *testing.T) (*store.DB, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), store.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, c
}

func TestTokens(t *testing.T) {
	db, clock := openAt(t)
	tokens := store.NewTokens(db)
	ctx := t.Context()
	ada, err := tokens.Create(ctx, glovebox.Token{Name: "ada", Kind: glovebox.TokenUser, Role: glovebox.RoleOperator})
	if err != nil || !strings.HasPrefix(ada.Secret, "gbu_") || len(ada.Secret) != 47 || ada.Tenant != glovebox.DefaultTenant {
		t.Fatalf("create: %+v, %v", ada, err)
	}
	expires := clock.Now().Add(time.Hour)
	exec, err := tokens.Create(ctx, glovebox.Token{Name: "e", Kind: glovebox.TokenExecutor, Executor: "exec-1", ExpiresAt: &expires})
	if err != nil || !strings.HasPrefix(exec.Secret, "gbe_") {
		t.Fatalf("create: %+v, %v", exec, err)
	}
	second, err := tokens.Create(ctx, glovebox.Token{Name: "e", Kind: glovebox.TokenExecutor, Executor: "exec-1"})
	if err != nil {
		t.Fatal(err)
	}
	authenticates := func(token glovebox.Token, want bool) {
		t.Helper()
		got, err := tokens.Authenticate(ctx, token.Secret)
		if want && (err != nil || got.ID != token.ID || got.Executor != token.Executor || got.Role != token.Role || got.Secret != "") {
			t.Errorf("authenticate %s: %+v, %v", token.Name, got, err)
		}
		if !want && !errors.Is(err, glovebox.ErrUnauthorized) {
			t.Errorf("authenticate %s: %v, want ErrUnauthorized", token.Name, err)
		}
	}
	for _, token := range []glovebox.Token{ada, exec, second} { // two of one executor at once
		authenticates(token, true)
	}
	for _, secret := range []string{"", "gbu_", ada.ID, ada.Secret + "x", ada.Secret[:46], strings.ToUpper(ada.Secret)} {
		authenticates(glovebox.Token{Secret: secret}, false)
	}
	clock.advance(time.Hour)
	authenticates(exec, false)
	authenticates(second, true)
	for range 2 {
		if err := tokens.Revoke(ctx, second.ID); err != nil {
			t.Fatal(err)
		}
	}
	authenticates(second, false)
	authenticates(ada, true)
	if err := tokens.Revoke(ctx, "nothing"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("revoke nothing: %v", err)
	}
	list, err := tokens.List(ctx)
	if err != nil || len(list) != 3 {
		t.Fatalf("list: %+v, %v", list, err)
	}
	for _, token := range list {
		if token.Secret != "" || token.LastUsedAt == nil || (token.RevokedAt != nil) != (token.ID == second.ID) {
			t.Errorf("listed: %+v", token)
		}
		if token.ID == ada.ID && !token.LastUsedAt.Equal(clock.Now()) {
			t.Errorf("last use %v, want %v", token.LastUsedAt, clock.Now())
		}
	}
}

func TestTokensAreChecked(t *testing.T) {
	db, _ := openAt(t)
	for _, token := range []glovebox.Token{
		{}, {Kind: "root"}, {Kind: glovebox.TokenUser}, {Kind: glovebox.TokenUser, Role: "god"},
		{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Executor: "e"},
		{Kind: glovebox.TokenExecutor, Role: glovebox.RoleAdmin},
		{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Name: "a\nb"},
		{Kind: glovebox.TokenUser, Role: glovebox.RoleAdmin, Tenant: strings.Repeat("x", 129)},
	} {
		var invalid *glovebox.ValidationError
		if _, err := store.NewTokens(db).Create(t.Context(), token); !errors.As(err, &invalid) {
			t.Errorf("create %+v: %v", token, err)
		}
	}
}

func TestExecutors(t *testing.T) {
	db, clock := openAt(t)
	executors := store.NewExecutors(db)
	ctx := t.Context()
	if _, err := executors.Get(ctx, "b"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := executors.SetDrain(ctx, "b", true); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("drain: %v", err)
	}
	first := clock.Now()
	beat := glovebox.Beat{Executor: "b", Version: "1", Labels: map[string]string{"arch": "amd64"}, Runtimes: []string{"gvisor"},
		Queues: []string{"default"}, Slots: 4, Leases: []glovebox.LeaseRef{{Token: "gbj_secret"}}}
	for range 2 {
		if drain, err := executors.Beat(ctx, beat, 2); err != nil || drain {
			t.Fatalf("beat: %v, %v", drain, err)
		}
		clock.advance(time.Second)
	}
	if err := executors.SetDrain(ctx, "b", true); err != nil {
		t.Fatal(err)
	}
	beat.Draining = true
	if drain, err := executors.Beat(ctx, beat, 1); err != nil || !drain {
		t.Errorf("beat after drain: %v, %v", drain, err)
	}
	got, err := executors.Get(ctx, "b")
	want := glovebox.Executor{Name: "b", Version: "1", Labels: beat.Labels, Runtimes: beat.Runtimes, Queues: beat.Queues, Slots: 4,
		Active: 1, Draining: true, DrainAsked: true, FirstSeen: first, LastSeen: clock.Now()}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("executor: %+v, %v; want %+v", got, err, want)
	}
	if _, err := executors.Beat(ctx, glovebox.Beat{Executor: "a"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := executors.SetDrain(ctx, "b", false); err != nil {
		t.Fatal(err)
	}
	list, err := executors.List(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].DrainAsked {
		t.Errorf("list: %+v, %v", list, err)
	}
}

func TestRepos(t *testing.T) {
	db, clock := openAt(t)
	repos := store.NewRepos(db)
	ctx := t.Context()
	for _, name := range []string{"z/app", "corp/app"} {
		got, err := repos.Add(ctx, glovebox.Repository{Name: name, URL: "/srv/" + name, Tenant: "acme"})
		if err != nil || !got.CreatedAt.Equal(clock.Now()) {
			t.Fatalf("add: %+v, %v", got, err)
		}
	}
	if _, err := repos.Add(ctx, glovebox.Repository{Name: "z/app", URL: "/other"}); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("add twice: %v", err)
	}
	got, err := repos.Get(ctx, "z/app")
	if err != nil || got != (glovebox.Repository{Name: "z/app", URL: "/srv/z/app", Tenant: "acme", CreatedAt: clock.Now()}) {
		t.Errorf("get: %+v, %v", got, err)
	}
	if list, err := repos.List(ctx); err != nil || len(list) != 2 || list[0].Name != "corp/app" {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := repos.Remove(ctx, "z/app"); err != nil {
		t.Fatal(err)
	}
	if _, err := repos.Get(ctx, "z/app"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("get after remove: %v", err)
	}
	if err := repos.Remove(ctx, "z/app"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("remove twice: %v", err)
	}
}
