package glovebox

import "time"

// Role is what a user token may do.
type Role string

// Roles, each with the rights of those before it: a viewer reads jobs, logs and
// results of its tenant; an operator also submits, cancels and retries; an admin
// does everything for every tenant, and manages repositories, executors and tokens.
const (
	RoleViewer   Role = "viewer"
	RoleOperator Role = "operator"
	RoleAdmin    Role = "admin"
)

// Kinds of stored tokens. Job tokens live on the job's row.
const (
	TokenUser     = "user"
	TokenExecutor = "executor"
)

// DefaultTenant is the tenant of a token that names none.
const DefaultTenant = "default"

// Token is a credential's description; its secret is shown once, at creation.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Kind is TokenUser or TokenExecutor.
	Kind string `json:"kind"`
	// Role is set on user tokens.
	Role   Role   `json:"role,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	// Executor is the name an executor token was enrolled for: it may claim as that name alone.
	Executor   string     `json:"executor,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	// Secret is filled in the answer to its creation only.
	Secret string `json:"secret,omitempty"`
}
