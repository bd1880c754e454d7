package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// auditCmd asks what verdict has recorded. docs/audit.md and docs/access-review.md are its guides.
type auditCmd struct {
	List       auditListCmd       `cmd:"" help:"List decisions, newest first."`
	Tail       auditTailCmd       `cmd:"" help:"Follow decisions as they are kept, without gap or repeat, until interrupted."`
	Explain    auditExplainCmd    `cmd:"" help:"Say why a decision was made, and what today's policy would say."`
	Get        auditGetCmd        `cmd:"" help:"Print the record of a decision."`
	Summary    auditSummaryCmd    `cmd:"" help:"Count decisions over time and by what they are about."`
	Changes    auditChangesCmd    `cmd:"" help:"List what administrators changed, newest first."`
	Review     auditReviewCmd     `cmd:"" help:"Who can do what, through which grant, and when it was last used: an access review, as CSV or HTML."`
	Pseudonyms auditPseudonymsCmd `cmd:"" help:"Say under which pseudonyms a principal stands in the records."`
	Verify     auditVerifyCmd     `cmd:"" help:"Check that records and changes are as they were sealed, and name what is not."`
	Keygen     auditKeygenCmd     `cmd:"" help:"Make the key pair that digests are signed with."`
	Retain     auditRetainCmd     `cmd:"" help:"Archive and drop the days of records that are older than they are kept for."`
}

// auditFlags are those of every question.
type auditFlags struct {
	remoteFlags

	JSON bool `name:"json" env:"-" help:"Print JSON, an object a line."`
}

// ask connects and runs questions; an interrupt ends them quietly.
func (f *auditFlags) ask(s *surroundings, questions func(client verdictv1.AuditServiceClient) error) error {
	conn, err := f.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	err = questions(verdictv1.NewAuditServiceClient(conn))
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		return nil
	}
	return err
}

// maxPage is the largest page of the API.
const maxPage = 1000

// auditListCmd lists decisions.
type auditListCmd struct {
	auditFlags
	timeFlags
	filterFlags

	Limit int  `env:"-" default:"100" help:"At most this many; 100 unless set, 0: all." placeholder:"N"`
	Wide  bool `env:"-" help:"Print ids whole, however long the line."`
}

// Run prints the newest decisions that match.
func (c *auditListCmd) Run(s *surroundings) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	if f.From, f.To, err = c.bounds(time.Now(), 0); err != nil {
		return err
	}
	if c.Limit < 0 {
		return usage(errors.New("--limit: less than 0"))
	}
	out := newScreen(s.stdout, c.Wide)
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		req := &verdictv1.ListDecisionsRequest{
			From: f.From, To: f.To, TenantId: f.TenantId, PrincipalId: f.PrincipalId, Effect: f.Effect, Reason: f.Reason, Api: f.Api,
			ClientId: f.ClientId, Subject: f.Subject, Permission: f.Permission, Route: f.Route, Revision: f.Revision,
		}
		printer := decisionPrinter{screen: out, json: c.JSON}
		return pages(c.Limit, func(size uint32, token string) (int, string, error) {
			req.PageSize, req.PageToken = size, token
			var resp *verdictv1.ListDecisionsResponse
			err := c.call(s.ctx, func(ctx context.Context) (err error) {
				resp, err = client.ListDecisions(ctx, req)
				return err
			})
			if err != nil {
				return 0, "", err
			}
			return len(resp.GetDecisions()), resp.GetNextPageToken(), printer.page(resp.GetDecisions())
		})
	})
}

// pages asks for page after page until there is no other or limit (0: none) is reached. page returns how many it had.
func pages(limit int, page func(size uint32, token string) (int, string, error)) error {
	token := ""
	for left := limit; ; {
		size := uint32(maxPage)
		if limit > 0 {
			size = uint32(min(left, maxPage))
		}
		n, next, err := page(size, token)
		if err != nil {
			return err
		}
		left -= n
		if next == "" || limit > 0 && left <= 0 {
			return nil
		}
		if next == token {
			return errors.New("the answer leads to itself; this is a fault of the verdict that was asked")
		}
		token = next
	}
}

// auditGetCmd prints a record.
type auditGetCmd struct {
	auditFlags

	ID string `arg:"" help:"Id of the decision, as in x-verdict-decision-id."`
}

// Run prints the fields of the record that are set.
func (c *auditGetCmd) Run(s *surroundings) error {
	if err := checkDecisionID(c.ID); err != nil {
		return err
	}
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		var resp *verdictv1.GetDecisionResponse
		err := c.call(s.ctx, func(ctx context.Context) (err error) {
			resp, err = client.GetDecision(ctx, &verdictv1.GetDecisionRequest{Id: c.ID})
			return notKept(err, c.ID)
		})
		if err != nil {
			return err
		}
		return c.show(s.stdout, resp.GetDecision(), func(out *screen) error { return out.record(resp.GetDecision()) })
	})
}

// auditExplainCmd explains a decision.
type auditExplainCmd struct {
	auditFlags

	ID string `arg:"" help:"Id of the decision, as in x-verdict-decision-id."`
}

// Run prints why, step by step, then and now.
func (c *auditExplainCmd) Run(s *surroundings) error {
	if err := checkDecisionID(c.ID); err != nil {
		return err
	}
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		var resp *verdictv1.ExplainDecisionResponse
		err := c.call(s.ctx, func(ctx context.Context) (err error) {
			resp, err = client.ExplainDecision(ctx, &verdictv1.ExplainDecisionRequest{Id: c.ID})
			return notKept(err, c.ID)
		})
		if err != nil {
			return err
		}
		return c.show(s.stdout, resp, func(out *screen) error { return out.explanation(resp) })
	})
}

// show prints m as JSON or for people.
func (f *auditFlags) show(to io.Writer, m proto.Message, people func(*screen) error) error {
	out := newScreen(to, true)
	if f.JSON {
		return out.json(m)
	}
	return people(out)
}

// notKept says what may be the matter with an id that leads nowhere.
func notKept(err error, id string) error {
	if !isCode(err, codes.NotFound) {
		return err
	}
	return fmt.Errorf("no decision %s is kept: is the id right? Records move to the store within seconds, and go when their retention ends", id)
}
