package web

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	sessionCookie = "glovebox_session"
	// A session ends when it is unused for sessionIdle, and after sessionLife anyway.
	sessionIdle = 12 * time.Hour
	sessionLife = 7 * 24 * time.Hour
	maxSessions = 10_000
	// maxStreams bounds the event streams that one session holds open.
	maxStreams = 32
)

// session is a login. It lives in memory alone: a restart of the server ends it.
type session struct {
	secret  string // of the token it is bound to
	csrf    string
	created time.Time

	mu      sync.Mutex
	seen    time.Time
	streams int
}

// openStream counts a stream in, unless the session has too many already.
func (s *session) openStream() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= maxStreams {
		return false
	}
	s.streams++
	return true
}

func (s *session) closeStream() {
	s.mu.Lock()
	s.streams--
	s.mu.Unlock()
}

// sessions holds the live sessions by the hash of their cookie's value.
type sessions struct {
	now  func() time.Time
	mu   sync.Mutex
	byID map[[32]byte]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[[32]byte]*session{}}
}

// create begins a session and returns the value of its cookie.
func (s *sessions) create(secret string) string {
	id, now := rand.Text()+rand.Text(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= maxSessions {
		s.evict(now)
	}
	s.byID[sha256.Sum256([]byte(id))] = &session{secret: secret, csrf: rand.Text(), created: now, seen: now}
	return id
}

// get returns the live session of a cookie's value, or nil.
func (s *sessions) get(id string) *session {
	key, now := sha256.Sum256([]byte(id)), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	sess := s.byID[key]
	if sess == nil {
		return nil
	}
	if sess.expired(now) {
		delete(s.byID, key)
		return nil
	}
	sess.mu.Lock()
	sess.seen = now
	sess.mu.Unlock()
	return sess
}

func (s *sessions) remove(id string) {
	s.mu.Lock()
	delete(s.byID, sha256.Sum256([]byte(id)))
	s.mu.Unlock()
}

// evict drops what has expired, and the longest unused session if that frees nothing.
func (s *sessions) evict(now time.Time) {
	var oldest [32]byte
	var oldestSeen time.Time
	before := len(s.byID)
	for key, sess := range s.byID {
		if sess.expired(now) {
			delete(s.byID, key)
			continue
		}
		if seen := sess.lastSeen(); oldestSeen.IsZero() || seen.Before(oldestSeen) {
			oldest, oldestSeen = key, seen
		}
	}
	if len(s.byID) == before {
		delete(s.byID, oldest)
	}
}

func (s *session) lastSeen() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *session) expired(now time.Time) bool {
	return now.Sub(s.lastSeen()) > sessionIdle || now.Sub(s.created) > sessionLife
}

// setCookie hands the session to the browser, or takes it back when id is empty.
func (s *site) setCookie(w http.ResponseWriter, r *http.Request, id string) {
	cookie := &http.Cookie{
		Name: sessionCookie, Value: id, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: s.SecureCookie || r.TLS != nil,
	}
	if id == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
