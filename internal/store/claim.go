package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// claimQuery hands out the next job. The order, outermost first:
//
//  1. the executor's preference among queues, when its offer lists any;
//  2. the tenant with the fewest jobs being processed, then the one served longest ago:
//     round robin among the tenants that have work this executor can take, however much each has queued;
//  3. within the tenant, the highest priority, then the oldest job.
//
// Only lanes that the offer fits are looked at (queue, labels, runtime, host image), and none
// whose tenant or queue is at its limit. Of each lane only the first job counts that is ready (its
// back-off is over) and that fits into what is free: one look into the index jobs_queued.
//
// Parameters: $1 now, $2 token hash, $3 lease's end, $4 executor, $5 queues, $6 labels, $7 runtimes, $8 host
// image, $9 free CPUs, $10 memory, $11 disk (0: any), $12 and $13 limit of a tenant and of a
// queue, $14 and $15 those by name.
func claimQuery(d dialect) string {
	return `
WITH running AS (
	SELECT tenant, queue, count(*) AS n FROM jobs WHERE state = 'processing' GROUP BY tenant, queue
),
open_lanes AS (
	SELECT l.id, l.tenant, l.queue,
		coalesce((SELECT sum(n) FROM running AS r WHERE r.tenant = l.tenant), 0) AS of_tenant,
		coalesce((SELECT sum(n) FROM running AS r WHERE r.queue = l.queue), 0) AS of_queue,
		coalesce(` + d.jsonNumber("$14", "l.tenant") + `, $12) AS tenant_limit,
		coalesce(` + d.jsonNumber("$15", "l.queue") + `, $13) AS queue_limit
	FROM lanes AS l
	WHERE ($5 = '[]' OR ` + d.jsonMember("$5", "l.queue") + `)
		AND (l.runtime = '' OR ` + d.jsonMember("$7", "l.runtime") + `)
		AND (l.host_image = 0 OR $8 = 1)
		AND (l.labels = '{}' OR ` + d.jsonWithin("l.labels", "$6") + `)
),
heads AS (
	SELECT l.queue, l.tenant, l.of_tenant, (
		SELECT j.id FROM jobs AS j
		WHERE j.lane = l.id AND j.state = 'queued' AND j.not_before <= $1
			AND ($9 = 0 OR j.cpus <= $9) AND ($10 = 0 OR j.memory <= $10) AND ($11 = 0 OR j.disk <= $11)
		ORDER BY j.priority DESC, j.created_at, j.id LIMIT 1
	) AS id
	FROM open_lanes AS l
	WHERE (tenant_limit = 0 OR of_tenant < tenant_limit) AND (queue_limit = 0 OR of_queue < queue_limit)
)
UPDATE jobs SET state = 'processing', attempt = attempt + 1, token_hash = $2, lease_expires = $3, executor = $4,
	started_at = $1, result_hash = '', reason = '', not_before = 0
WHERE id = (
	SELECT j.id FROM heads AS h
	JOIN jobs AS j ON j.id = h.id
	LEFT JOIN tenants AS t ON t.name = h.tenant
	ORDER BY ` + d.jsonRank("$5", "h.queue") + `, h.of_tenant, coalesce(t.served, 0), h.tenant, j.priority DESC, j.created_at, j.id
	LIMIT 1
) AND state = 'queued'
RETURNING ` + jobColumns
}

// Claim implements queue.Store. Each job of a claim is chosen after the one before it was
// counted, so that a claim of several is as fair as several claims.
func (s *Jobs) Claim(ctx context.Context, c queue.Claim) ([]glovebox.Job, error) {
	args, err := claimArgs(c)
	if err != nil {
		return nil, err
	}
	var jobs []glovebox.Job
	err = s.db.write(ctx, func(t *tx) error {
		for _, grant := range c.Grants {
			args[1] = grant.TokenHash
			job, err := t.claimNext(s.claimText, args, c.Now)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("claim next job: %w", err)
			}
			jobs = append(jobs, job)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// claimArgs are the parameters of claimQuery; the token hash is filled in for each job.
func claimArgs(c queue.Claim) ([]any, error) {
	o := c.Offer
	var lists [5]string
	for i, v := range []any{
		append([]string{}, o.Queues...), orEmpty(o.Labels), append([]string{}, o.Runtimes...),
		orEmpty(c.Limits.Tenants), orEmpty(c.Limits.Queues),
	} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode offer: %w", err)
		}
		lists[i] = string(text)
	}
	return []any{millis(c.Now), "", millis(c.Until), o.Executor, lists[0], lists[1], lists[2], truth(o.HostImage),
		o.Free.CPUs, int64(o.Free.Memory), int64(o.Free.Disk), c.Limits.PerTenant, c.Limits.PerQueue, lists[3], lists[4]}, nil
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// claimNext claims one job, counts its tenant as served and adds the event.
func (t *tx) claimNext(query string, args []any, now time.Time) (glovebox.Job, error) {
	r, err := scanJob(func(dest ...any) error { return t.queryRow(query, args, dest...) })
	if err != nil {
		return glovebox.Job{}, err
	}
	err = t.exec(`INSERT INTO tenants (name, served) VALUES ($1, (SELECT coalesce(max(served), 0) + 1 FROM tenants))
		ON CONFLICT (name) DO UPDATE SET served = excluded.served`, r.Job.Tenant)
	if err != nil {
		return glovebox.Job{}, fmt.Errorf("count tenant as served: %w", err)
	}
	claimed := glovebox.Event{Time: now, Kind: glovebox.EventClaimed, Actor: "executor:" + r.Job.Executor, Attempt: r.Job.Attempt}
	if err := t.addEvents(r.Job.ID, []glovebox.Event{claimed}); err != nil {
		return glovebox.Job{}, err
	}
	r.Job.Files, err = readFiles(func(dest ...any) error { return t.queryRow(filesQuery, []any{r.Job.ID}, dest...) })
	return r.Job, err
}
