package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/glovebox-dev/glovebox"
)

// Prefixes of secrets, so that a leaked one is recognised.
const (
	userPrefix     = "gbu_"
	executorPrefix = "gbe_"
)

// useInterval is how exactly a token's last use is kept: writing it each time would make every read a write.
const useInterval = time.Minute

// Tokens keeps the tokens of users and executors. Only the SHA-256 of a secret is kept. Any number of tokens
// may be valid for the same user or executor at once, so that one can be replaced without a gap.
type Tokens struct{ db *DB }

// NewTokens returns the tokens of db.
func NewTokens(db *DB) *Tokens { return &Tokens{db} }

const tokenColumns = "id, name, kind, role, tenant, executor, created_at, expires_at, revoked_at, last_used_at"

// Create mints a token as described (name, kind, role, tenant, executor, expiry) and returns it with its id and,
// this once, its secret.
func (s *Tokens) Create(ctx context.Context, token glovebox.Token) (glovebox.Token, error) {
	if err := checkToken(&token); err != nil {
		return glovebox.Token{}, err
	}
	prefix := userPrefix
	if token.Kind == glovebox.TokenExecutor {
		prefix = executorPrefix
	}
	var b [44]byte
	rand.Read(b[:]) // never fails
	token.ID = hex.EncodeToString(b[32:])
	token.Secret = prefix + base64.RawURLEncoding.EncodeToString(b[:32])
	token.CreatedAt = s.db.now().UTC().Truncate(time.Millisecond)
	token.RevokedAt, token.LastUsedAt = nil, nil
	err := s.db.write(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO tokens (id, name, kind, role, tenant, executor, hash, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, token.ID, token.Name, token.Kind, string(token.Role), token.Tenant,
			token.Executor, hashSecret(token.Secret), millis(token.CreatedAt), nullMillis(token.ExpiresAt))
	})
	if err != nil {
		return glovebox.Token{}, fmt.Errorf("insert token: %w", err)
	}
	return token, nil
}

// checkToken completes a token's description and says what is wrong with it.
func checkToken(token *glovebox.Token) error {
	for path, text := range map[string]string{"name": token.Name, "tenant": token.Tenant, "executor": token.Executor} {
		if len(text) > 128 || strings.ToValidUTF8(text, "") != text || strings.IndexFunc(text, unicode.IsControl) >= 0 {
			return invalid(path, "want at most 128 bytes of UTF-8 without control characters")
		}
	}
	switch token.Kind {
	case glovebox.TokenUser:
		switch token.Role {
		case glovebox.RoleViewer, glovebox.RoleOperator, glovebox.RoleAdmin:
		default:
			return invalid("role", "want viewer, operator or admin")
		}
		if token.Executor != "" {
			return invalid("executor", "want none on a user's token")
		}
		if token.Tenant == "" {
			token.Tenant = glovebox.DefaultTenant
		}
	case glovebox.TokenExecutor:
		if token.Role != "" {
			return invalid("role", "want none on an executor's token")
		}
	default:
		return invalid("kind", "want user or executor")
	}
	return nil
}

// Authenticate returns the token of a secret; glovebox.ErrUnauthorized when there is none, or it has expired or was revoked.
func (s *Tokens) Authenticate(ctx context.Context, secret string) (glovebox.Token, error) {
	hash := hashSecret(secret)
	var stored string
	token, err := scanToken(func(dest ...any) error {
		return s.db.queryRow(ctx, "SELECT "+tokenColumns+", hash FROM tokens WHERE hash = $1", []any{hash}, append(dest, &stored)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return glovebox.Token{}, fmt.Errorf("authenticate: %w", glovebox.ErrUnauthorized)
	}
	if err != nil {
		return glovebox.Token{}, fmt.Errorf("authenticate: %w", err)
	}
	now := s.db.now().UTC()
	if subtle.ConstantTimeCompare([]byte(stored), []byte(hash)) != 1 || token.RevokedAt != nil ||
		token.ExpiresAt != nil && !now.Before(*token.ExpiresAt) {
		return glovebox.Token{}, fmt.Errorf("authenticate: %w", glovebox.ErrUnauthorized)
	}
	if token.LastUsedAt == nil || now.Sub(*token.LastUsedAt) >= useInterval {
		err := s.db.write(ctx, func(t *tx) error {
			return t.exec("UPDATE tokens SET last_used_at = $1 WHERE id = $2", millis(now), token.ID)
		})
		if err != nil {
			return glovebox.Token{}, fmt.Errorf("record use of token: %w", err)
		}
	}
	return token, nil
}

// List returns all tokens, without secrets, oldest first.
func (s *Tokens) List(ctx context.Context) ([]glovebox.Token, error) {
	rows, err := s.db.query(ctx, "SELECT "+tokenColumns+" FROM tokens ORDER BY created_at, id")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	defer rows.Close()
	var tokens []glovebox.Token
	for rows.Next() {
		token, err := scanToken(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		tokens = append(tokens, token)
	}
	return tokens, rows.Err()
}

// Revoke ends a token at once. Revoking it again changes nothing; an unknown id is glovebox.ErrNotFound.
func (s *Tokens) Revoke(ctx context.Context, id string) error {
	return s.db.write(ctx, func(t *tx) error {
		n, err := t.execCount("UPDATE tokens SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2", millis(s.db.now()), id)
		if err != nil {
			return fmt.Errorf("revoke token: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("token %q: %w", id, glovebox.ErrNotFound)
		}
		return nil
	})
}

// scanToken reads tokenColumns.
func scanToken(scan scanner) (glovebox.Token, error) {
	var token glovebox.Token
	var created int64
	var expires, revoked, used sql.NullInt64
	err := scan(&token.ID, &token.Name, &token.Kind, &token.Role, &token.Tenant, &token.Executor, &created, &expires, &revoked, &used)
	if err != nil {
		return glovebox.Token{}, err
	}
	token.CreatedAt = fromMillis(created)
	token.ExpiresAt, token.RevokedAt, token.LastUsedAt = fromNullMillis(expires), fromNullMillis(revoked), fromNullMillis(used)
	return token, nil
}

// hashSecret is the form in which a secret is kept. Secrets have 256 random bits, so a plain hash can't be searched.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
