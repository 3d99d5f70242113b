// Package api is the wire contract of Glovebox's HTTP API: its paths, its
// envelopes and a Client. Bodies are the JSON of the root package's nouns;
// openapi.yaml describes every operation and testdata holds an example of each
// shape. The package must not know how a server or an executor works inside.
package api

import _ "embed"

// OpenAPI is the OpenAPI 3 document of the API, as served at /api/v1/openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
