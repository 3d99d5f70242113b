package web

import (
	"testing"
	"time"
)

func TestSessionsExpire(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newSessions(func() time.Time { return now })
	idle, used := s.create("a"), s.create("b")
	for range 5 {
		now = now.Add(sessionIdle - time.Minute)
		if s.get(used) == nil {
			t.Fatal("a session that is used ended")
		}
	}
	if s.get(idle) != nil {
		t.Error("an unused session lives")
	}
	for now.Before(time.Unix(1000, 0).Add(sessionLife)) {
		now = now.Add(sessionIdle / 2)
		s.get(used)
	}
	if s.get(used) != nil {
		t.Error("a session lives longer than it may")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newSessions(func() time.Time { return now })
	first := s.create("first")
	for range maxSessions {
		now = now.Add(time.Millisecond)
		s.create("x")
	}
	if len(s.byID) != maxSessions || s.get(first) != nil {
		t.Errorf("%d sessions, the oldest lives: %v", len(s.byID), s.get(first) != nil)
	}
}

func TestStreamsOfASessionAreBounded(t *testing.T) {
	s := &session{}
	for range maxStreams {
		if !s.openStream() {
			t.Fatal("refused too early")
		}
	}
	if s.openStream() {
		t.Error("too many streams")
	}
	s.closeStream()
	if !s.openStream() {
		t.Error("a closed stream still counts")
	}
}
