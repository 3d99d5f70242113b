package queue

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// TokenPrefix begins every job token.
const TokenPrefix = "gbj_"

// newToken mints a job token of 32 random bytes.
func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process when the system has no randomness
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashToken is the form in which a token is kept: SHA-256 in hex. Tokens have 256 random bits,
// so a plain hash can't be searched.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// hashResult identifies a result by its JSON form.
func hashResult(result glovebox.Result) (string, error) {
	b, err := json.Marshal(result)
	if err != nil {
		return "", fmt.Errorf("encode result: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// names reports whether ref names the record's latest attempt and proves it with its
// token, in constant time.
func (r *Record) names(ref glovebox.LeaseRef) bool {
	if r.TokenHash == "" || !strings.HasPrefix(ref.Token, TokenPrefix) || ref.Attempt != r.Job.Attempt {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(HashToken(ref.Token)), []byte(r.TokenHash)) == 1
}

// holds reports whether ref is the record's live lease.
func (r *Record) holds(ref glovebox.LeaseRef) bool {
	return r.Job.State == glovebox.StateProcessing && r.names(ref)
}
