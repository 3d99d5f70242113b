package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// Metrics are what a server counts; docs/metrics.md lists them.
type Metrics struct {
	// Registry is where others may register theirs.
	Registry *prometheus.Registry

	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	submitted  *prometheus.CounterVec
	claims     *prometheus.CounterVec
	queueWait  *prometheus.HistogramVec
	finished   *prometheus.CounterVec
	expired    prometheus.Counter
	leasesLost prometheus.Counter
	logBytes   prometheus.Counter
	followers  prometheus.Gauge
	artifacts  *prometheus.CounterVec
	fetches    *prometheus.CounterVec
	fetchTime  prometheus.Histogram
	gitServed  *prometheus.CounterVec
	gitBytes   prometheus.Counter
}

// NewMetrics registers the metrics in a registry of their own.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	plain := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		Registry:   prometheus.NewRegistry(),
		requests:   counter("glovebox_http_requests_total", "Requests answered.", "method", "route", "status"),
		duration:   histogram("glovebox_http_request_duration_seconds", "Time to answer, waiting and following included.", prometheus.DefBuckets, "route"),
		submitted:  counter("glovebox_jobs_submitted_total", "Jobs submitted.", "queue"),
		claims:     counter("glovebox_jobs_claimed_total", "Attempts handed out.", "queue"),
		queueWait:  histogram("glovebox_queue_wait_seconds", "Time from when a job could be claimed to its claim.", []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 60, 300, 1800, 7200}, "queue"),
		finished:   counter("glovebox_attempts_finished_total", "Results accepted, by what the executor reported.", "queue", "state"),
		expired:    plain("glovebox_leases_expired_total", "Leases taken away because their executor fell silent."),
		leasesLost: plain("glovebox_leases_lost_total", "Leases that an executor's heartbeat was told are gone."),
		logBytes:   plain("glovebox_log_bytes_total", "Bytes of encoded log received, resent ones not counted."),
		followers:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "glovebox_log_followers", Help: "Logs being followed over the API."}),
		artifacts:  counter("glovebox_artifact_bytes_total", "Bytes of diffs and outputs received.", "kind"),
		fetches:    counter("glovebox_gateway_fetches_total", "Fetches of mirrors from their origins.", "outcome"),
		fetchTime:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "glovebox_gateway_fetch_seconds", Help: "Time of fetches of mirrors.", Buckets: prometheus.ExponentialBuckets(0.05, 3, 9)}),
		gitServed:  counter("glovebox_gateway_requests_total", "Git requests served.", "outcome"),
		gitBytes:   plain("glovebox_gateway_bytes_total", "Bytes sent to git clients."),
	}
	m.Registry.MustRegister(m.requests, m.duration, m.submitted, m.claims, m.queueWait, m.finished, m.expired, m.leasesLost, m.logBytes, m.followers,
		m.artifacts, m.fetches, m.fetchTime, m.gitServed, m.gitBytes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) observeRequest(method, route string, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	switch method {
	case "GET", "POST", "PUT", "DELETE", "HEAD":
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

func (m *Metrics) observeClaim(lease glovebox.Lease) {
	job := lease.Job
	m.claims.WithLabelValues(job.Queue).Inc()
	since := job.CreatedAt
	if job.NotBefore != nil && job.NotBefore.After(since) {
		since = *job.NotBefore
	}
	if job.StartedAt != nil {
		m.queueWait.WithLabelValues(job.Queue).Observe(max(0, job.StartedAt.Sub(since).Seconds()))
	}
}

// LeaseExpired counts a lease that ran out; it is meant for queue.Options.OnExpire.
func (m *Metrics) LeaseExpired() { m.expired.Inc() }

// ObserveGit counts what the git gateway does; it is meant for gitgateway.Config.Observe.
func (m *Metrics) ObserveGit(o gitgateway.Observation) {
	outcome := "ok"
	if o.Err != nil {
		outcome = "error"
	}
	if o.Kind == "fetch" {
		m.fetches.WithLabelValues(outcome).Inc()
		m.fetchTime.Observe(o.Took.Seconds())
		return
	}
	m.gitServed.WithLabelValues(outcome).Inc()
	m.gitBytes.Add(float64(o.Bytes))
}

// watchQueue counts the jobs whenever the metrics are read.
func (m *Metrics) watchQueue(q *queue.Queue, logger *slog.Logger) {
	m.Registry.MustRegister(&queueCollector{
		queue: q, logger: logger,
		jobs:   prometheus.NewDesc("glovebox_jobs", "Jobs there are, by queue and state.", []string{"queue", "state"}, nil),
		oldest: prometheus.NewDesc("glovebox_queue_oldest_seconds", "Age of the job that waits longest; 0 when none waits.", nil, nil),
	})
}

type queueCollector struct {
	queue        *queue.Queue
	logger       *slog.Logger
	jobs, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.jobs; ch <- c.oldest }

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stats, err := c.queue.Stats(ctx)
	if err != nil {
		c.logger.Warn("count jobs for metrics", "error", err)
		return
	}
	for _, n := range stats.Counts {
		ch <- prometheus.MustNewConstMetric(c.jobs, prometheus.GaugeValue, float64(n.Jobs), n.Queue, string(n.State))
	}
	age := 0.0
	if !stats.OldestQueued.IsZero() {
		age = max(0, time.Since(stats.OldestQueued).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age)
}

func (s *Server) metrics(r *request) error {
	promhttp.HandlerFor(s.Metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4}).ServeHTTP(r.w, r.Request)
	return nil
}
