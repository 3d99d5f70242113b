package codehost

import (
	"errors"
	"fmt"
	"strings"
)

// fieldQuery is a search taken apart: the APIs of Gitea and GitLab have fields, not a language.
type fieldQuery struct{ owner, topic, text string }

func parseQuery(query string) (fieldQuery, error) {
	var q fieldQuery
	var text []string
	for _, word := range strings.Fields(query) {
		key, value, ok := strings.Cut(word, ":")
		switch {
		case !ok:
			text = append(text, word)
			continue
		case (key == "org" || key == "user" || key == "group") && q.owner == "":
			q.owner = value
		case key == "topic" && q.topic == "":
			q.topic = value
		default:
			return q, fmt.Errorf("query: %q is not understood: want org:NAME or user:NAME, topic:NAME, and text", printable(word, 100))
		}
		if value == "" {
			return q, fmt.Errorf("query: %s: nothing follows", key)
		}
	}
	q.text = strings.Join(text, " ")
	if q == (fieldQuery{}) {
		return q, errors.New("query: empty")
	}
	return q, nil
}
