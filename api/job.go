package api

import (
	"context"
	"io"
	"net/url"
	"strconv"

	"github.com/glovebox-dev/glovebox"
)

// SubmitJob submits a job. A spec that is refused is a *glovebox.ValidationError.
func (c *Client) SubmitJob(ctx context.Context, spec glovebox.JobSpec) (glovebox.Job, error) {
	var job glovebox.Job
	// A submission may fetch the repository first.
	err := c.json(ctx, "POST", PathJobs, nil, "", spec, &job, submitWait)
	return job, err
}

// Job returns the job with its timeline.
func (c *Client) Job(ctx context.Context, id string) (glovebox.Job, error) {
	var job glovebox.Job
	err := c.json(ctx, "GET", expand(PathJob, id), nil, "", nil, &job, 0)
	return job, err
}

// Jobs lists jobs, newest first.
func (c *Client) Jobs(ctx context.Context, q JobsQuery) (JobsPage, error) {
	values := url.Values{}
	for _, s := range q.States {
		values.Add("state", string(s))
	}
	set(values, "queue", q.Queue)
	set(values, "tenant", q.Tenant)
	set(values, "repo", q.Repo)
	set(values, "q", q.Text)
	set(values, "cursor", q.Cursor)
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	var page JobsPage
	err := c.json(ctx, "GET", PathJobs, values, "", nil, &page, 0)
	return page, err
}

func set(values url.Values, key, value string) {
	if value != "" {
		values.Set(key, value)
	}
}

// CancelJob cancels the job, or asks its executor to stop it.
func (c *Client) CancelJob(ctx context.Context, id, reason string) (glovebox.Job, error) {
	var job glovebox.Job
	err := c.json(ctx, "POST", expand(PathJobCancel, id), nil, "", CancelRequest{Reason: reason}, &job, 0)
	return job, err
}

// RetryJob queues a job that is over again.
func (c *Client) RetryJob(ctx context.Context, id string) (glovebox.Job, error) {
	var job glovebox.Job
	err := c.json(ctx, "POST", expand(PathJobRetry, id), nil, "", nil, &job, 0)
	return job, err
}

// JobDiff returns the job's diff; glovebox.ErrNotFound when it changed nothing.
func (c *Client) JobDiff(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.stream(ctx, expand(PathJobDiff, id), nil, "")
}

// JobOutputs lists the files the job has kept.
func (c *Client) JobOutputs(ctx context.Context, id string) ([]glovebox.Output, error) {
	var out Outputs
	err := c.json(ctx, "GET", expand(PathOutputs, id), nil, "", nil, &out, 0)
	return out.Outputs, err
}

// JobOutput returns one kept file.
func (c *Client) JobOutput(ctx context.Context, id, name string) (io.ReadCloser, error) {
	return c.stream(ctx, expand(PathOutput, id, name), nil, "")
}
