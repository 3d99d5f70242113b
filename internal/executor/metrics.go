package executor

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/glovebox-dev/glovebox"
)

// Metrics are what an executor counts; docs/metrics.md explains them. A nil *Metrics counts nothing.
type Metrics struct {
	jobs      *prometheus.CounterVec
	jobTime   *prometheus.HistogramVec
	steps     *prometheus.CounterVec
	prepare   *prometheus.HistogramVec
	create    *prometheus.HistogramVec
	lost      prometheus.Counter
	running   prometheus.Gauge
	slots     prometheus.Gauge
	beatFails prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	const space, part = "glovebox", "executor"
	spans := []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000, 3600}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: space, Subsystem: part, Name: name, Help: help}
	}
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: space, Subsystem: part, Name: name, Help: help, Buckets: spans}
	}
	m := &Metrics{
		jobs:      prometheus.NewCounterVec(counter("jobs_total", "Attempts of jobs that ended, by state."), []string{"state"}),
		jobTime:   prometheus.NewHistogramVec(histogram("job_seconds", "Time from the claim to the delivered result, by state."), []string{"state"}),
		steps:     prometheus.NewCounterVec(counter("steps_total", "Steps that ended, by state."), []string{"state"}),
		prepare:   prometheus.NewHistogramVec(histogram("workspace_seconds", "Time to lay out a workspace, by whether the far side was asked."), []string{"fetched"}),
		create:    prometheus.NewHistogramVec(histogram("sandbox_seconds", "Time to create a sandbox, by runtime."), []string{"runtime"}),
		lost:      prometheus.NewCounter(counter("undelivered_total", "Results that could not be delivered.")),
		running:   prometheus.NewGauge(prometheus.GaugeOpts{Namespace: space, Subsystem: part, Name: "jobs_running", Help: "Jobs held now."}),
		slots:     prometheus.NewGauge(prometheus.GaugeOpts{Namespace: space, Subsystem: part, Name: "slots", Help: "Jobs that may run at once."}),
		beatFails: prometheus.NewCounter(counter("heartbeat_failures_total", "Heartbeats that the server did not answer.")),
	}
	for _, c := range []prometheus.Collector{m.jobs, m.jobTime, m.steps, m.prepare, m.create, m.lost, m.running, m.slots, m.beatFails} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) job(r glovebox.Result, took time.Duration) {
	if m != nil {
		m.jobs.WithLabelValues(string(r.State)).Inc()
		m.jobTime.WithLabelValues(string(r.State)).Observe(took.Seconds())
	}
}

func (m *Metrics) step(r glovebox.StepResult) {
	if m != nil {
		m.steps.WithLabelValues(string(r.State)).Inc()
	}
}

func (m *Metrics) prepared(took time.Duration, fetched bool) {
	if m != nil {
		m.prepare.WithLabelValues(fmt.Sprint(fetched)).Observe(took.Seconds())
	}
}

func (m *Metrics) created(runtime string, took time.Duration) {
	if m != nil {
		m.create.WithLabelValues(runtime).Observe(took.Seconds())
	}
}

func (m *Metrics) undelivered() {
	if m != nil {
		m.lost.Inc()
	}
}

func (m *Metrics) load(running, slots int) {
	if m != nil {
		m.running.Set(float64(running))
		m.slots.Set(float64(slots))
	}
}

func (m *Metrics) beatFailed() {
	if m != nil {
		m.beatFails.Inc()
	}
}
