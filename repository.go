package glovebox

import "time"

// Repository is one that the git gateway may serve.
type Repository struct {
	// Name is slash-separated: letters, digits, "-", "_", "."; no part begins with "." or "-".
	Name string `json:"name"`
	// URL is where the mirror fetches from: https, http, ssh or git URL, or an absolute path on the server.
	// Credentials in it are never shown again.
	URL string `json:"url"`
	// Tenant may use it; every tenant when empty.
	Tenant    string    `json:"tenant,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}
