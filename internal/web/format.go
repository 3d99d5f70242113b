package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/glovebox-dev/glovebox"
)

// templateFuncs are the functions of templates that need no site.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"size":     func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"bytes":    func(n glovebox.Size) string { return humanize.IBytes(uint64(max(n, 0))) },
		"count":    func(n int) string { return humanize.Comma(int64(n)) },
		"seconds":  seconds,
		"span":     span,
		"spanAt":   func(from time.Time, to *time.Time) string { return span(&from, to) },
		"short":    short,
		"code":     code,
		"json":     jsonText,
		"external": external,
		"word":     func(text any) string { return strings.ReplaceAll(fmt.Sprint(text), "_", " ") },
		"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"stamp":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"logID":    logID,
		"label":    eventLabel,
		"labels":   labels,
		"join":     func(list []string) string { return strings.Join(list, ", ") },
		"states":   glovebox.JobStates,
		"lineOf":   func(key string, l Line) lineView { return lineView{key, l} },
		"lineHref": func(key string, n int) string { return fmt.Sprintf("#%s-L%d", logID(key), n) },
	}
}

// lineView is a line with the step it belongs to.
type lineView struct {
	Key string
	L   Line
}

// logID is the id of a step's part of a job's page; a line's is this with "-L" and its number.
func logID(key string) string {
	if key == "" {
		return "glovebox"
	}
	return "step-" + key
}

// seconds writes a time span as people read it.
func seconds(s float64) string {
	switch {
	case s < 0 || math.IsNaN(s):
		return "–"
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 60:
		return fmt.Sprintf("%.1f s", s)
	case s < 3600:
		return fmt.Sprintf("%d m %02d s", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%d h %02d m", int(s)/3600, int(s)/60%60)
}

// span is the time between two moments, "" when one is not known.
func span(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return seconds(to.Sub(*from).Seconds())
}

// short is the beginning of a commit's name.
func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

// labels lists labels in order.
func labels(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// eventLabel is what people read for a kind of event.
func eventLabel(kind string) string {
	switch kind {
	case glovebox.EventSubmitted:
		return "Submitted"
	case glovebox.EventClaimed:
		return "Claimed"
	case glovebox.EventProgress:
		return "Progress"
	case glovebox.EventStepStarted:
		return "Step started"
	case glovebox.EventStepFinished:
		return "Step finished"
	case glovebox.EventCancelRequested:
		return "Cancel requested"
	case glovebox.EventLeaseExpired:
		return "Lease expired"
	case glovebox.EventRetried:
		return "Retried"
	case glovebox.EventRequeued:
		return "Queued again"
	case glovebox.EventFinished:
		return "Finished"
	case glovebox.EventRefused:
		return "Write refused"
	}
	return kind
}

// maxJSON bounds a value that is shown as JSON.
const maxJSON = 64 << 10

// jsonText is a value as people read JSON, its end left out when it is long.
func jsonText(v any) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return "not to be shown: " + err.Error()
	}
	if text := strings.TrimSpace(out.String()); len(text) <= maxJSON {
		return text
	}
	return strings.ToValidUTF8(out.String()[:maxJSON], "") + "\n…"
}

// external is an address of another site if it may be a link, else "".
func external(address string) string {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
