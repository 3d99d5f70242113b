package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

const (
	// maxClaimWait bounds how long a claim is held open.
	maxClaimWait = time.Minute
	// maxBeatWait bounds how long a heartbeat is held open.
	maxBeatWait = 30 * time.Second
	// drainPoll is how often a held heartbeat looks whether drain was asked.
	drainPoll = time.Second
)

// mayBe reports whether an executor token is for the name.
func mayBe(token glovebox.Token, name string) error {
	if name == "" {
		return invalid("executor: want a name")
	}
	if token.Executor != "" && token.Executor != name {
		return fmt.Errorf("the token is enrolled for executor %q: %w", token.Executor, glovebox.ErrForbidden)
	}
	return nil
}

func (s *Server) claim(r *request) error {
	var offer glovebox.Offer
	if err := r.json(&offer); err != nil {
		return err
	}
	if err := mayBe(r.user, offer.Executor); err != nil {
		return err
	}
	offer.Wait = min(offer.Wait, glovebox.Duration(maxClaimWait))
	ctx, done := s.untilStop(r.Context())
	defer done()
	if s.drainAsked(ctx, offer.Executor) {
		return s.claimNothing(ctx, r, time.Duration(offer.Wait))
	}
	leases, err := s.Queue.Claim(ctx, offer)
	if err != nil && !errors.Is(err, errStopping) {
		return err
	}
	if leases == nil {
		leases = []glovebox.Lease{}
	}
	for i := range leases {
		s.Metrics.observeClaim(leases[i])
		if repo := leases[i].Job.Repo; repo != nil {
			leases[i].CloneURL = s.cloneURL(r.Request, repo.Name)
		}
		s.Logger.Info("job claimed", "job", leases[i].JobID, "attempt", leases[i].Attempt, "executor", offer.Executor)
	}
	return r.w.json(http.StatusOK, api.Leases{Leases: leases})
}

// claimNothing holds a draining executor's claim, so that it does not ask again at once.
func (s *Server) claimNothing(ctx context.Context, r *request, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return r.w.json(http.StatusOK, api.Leases{Leases: []glovebox.Lease{}})
}

func (s *Server) drainAsked(ctx context.Context, name string) bool {
	e, err := s.Executors.Get(ctx, name)
	return err == nil && e.DrainAsked
}

// cloneURL is where the executor that sent r fetches a repository from.
func (s *Server) cloneURL(r *http.Request, repo string) string {
	base := s.cfg.ExternalURL
	if base == "" {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		base = scheme + "://" + r.Host
	}
	return base + api.PathGit + repo
}

func (s *Server) heartbeat(r *request) error {
	var beat glovebox.Beat
	if err := r.json(&beat); err != nil {
		return err
	}
	if err := mayBe(r.user, beat.Executor); err != nil {
		return err
	}
	wait, err := waitOf(r)
	if err != nil {
		return err
	}
	reply, err := s.beat(r.Context(), beat)
	if err != nil {
		return err
	}
	if wait > 0 && !news(reply, beat) {
		if reply, err = s.beatWait(r.Context(), beat, reply, wait); err != nil {
			return err
		}
	}
	for _, l := range reply.Leases {
		if l.Verdict == glovebox.LeaseGone {
			s.Metrics.leasesLost.Inc()
		}
	}
	return r.w.json(http.StatusOK, reply)
}

func waitOf(r *request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := glovebox.ParseDuration(text)
	if err != nil {
		return 0, invalid("parameter wait: " + err.Error())
	}
	return min(time.Duration(wait), maxBeatWait), nil
}

// beat records the heartbeat and answers it.
func (s *Server) beat(ctx context.Context, beat glovebox.Beat) (glovebox.BeatReply, error) {
	statuses, err := s.extend(ctx, beat)
	if err != nil {
		return glovebox.BeatReply{}, err
	}
	held := 0
	for _, l := range statuses {
		if l.Verdict != glovebox.LeaseGone {
			held++
		}
	}
	drain, err := s.Executors.Beat(ctx, beat, held)
	return glovebox.BeatReply{Leases: statuses, Drain: drain}, err
}

// extend extends the beat's leases and says what each is worth.
func (s *Server) extend(ctx context.Context, beat glovebox.Beat) ([]glovebox.LeaseStatus, error) {
	statuses, err := s.Queue.Heartbeat(ctx, beat)
	if statuses == nil {
		statuses = []glovebox.LeaseStatus{}
	}
	return statuses, err
}

// news reports whether a reply tells the executor anything but to go on.
func news(reply glovebox.BeatReply, beat glovebox.Beat) bool {
	for _, l := range reply.Leases {
		if l.Verdict != glovebox.LeaseHeld {
			return true
		}
	}
	return reply.Drain && !beat.Draining
}

// beatWait holds the reply back until there is news or the wait is over.
func (s *Server) beatWait(ctx context.Context, beat glovebox.Beat, reply glovebox.BeatReply, wait time.Duration) (glovebox.BeatReply, error) {
	ctx, done := s.untilStop(ctx)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, wait)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	changed := make(chan struct{}, 1)
	for _, ref := range beat.Leases {
		changes := s.Queue.Watch(ctx, ref.JobID)
		watchers.Go(func() {
			for range changes {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		})
	}
	again := glovebox.Beat{Executor: beat.Executor, Leases: beat.Leases}
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	changed <- struct{}{} // what happened before the watch began
	for {
		select {
		case <-ctx.Done():
			return reply, nil
		case <-poll.C:
			if reply.Drain = s.drainAsked(ctx, beat.Executor); news(reply, beat) {
				return reply, nil
			}
		case <-changed:
			statuses, err := s.extend(ctx, again)
			if err != nil {
				if ctx.Err() != nil {
					return reply, nil
				}
				return reply, err
			}
			if reply.Leases = statuses; news(reply, beat) {
				return reply, nil
			}
		}
	}
}

func (s *Server) listExecutors(r *request) error {
	list, err := s.Executors.List(r.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []glovebox.Executor{}
	}
	return r.w.json(http.StatusOK, api.Executors{Executors: list})
}

func (s *Server) drainExecutor(r *request) error   { return s.setDrain(r, true) }
func (s *Server) undrainExecutor(r *request) error { return s.setDrain(r, false) }

func (s *Server) setDrain(r *request, drain bool) error {
	name := r.PathValue("name")
	if err := s.Executors.SetDrain(r.Context(), name, drain); err != nil {
		return err
	}
	s.Logger.Info("executor's drain set", "executor", strings.ToValidUTF8(name, "?"), "drain", drain, "by", r.user.Name)
	return r.w.nothing()
}
