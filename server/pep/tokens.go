package pep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokens proves tokens of AWS STS.
type tokens struct {
	issuers  map[string]*source
	order    []string // of the configuration
	audience string
	roles    map[string]bool // ARNs
	proofs   *proofs
	now      func() time.Time
}

const (
	maxIssuers     = 64
	maxRoles       = 1000
	maxAudienceLen = 1000 // GetWebIdentityToken, Audience
)

// newTokens checks the configuration and reports everything that is wrong with it.
func newTokens(cfg Config, log *slog.Logger) (*tokens, error) {
	t := &tokens{
		issuers: map[string]*source{}, order: slices.Clone(cfg.STS.Issuers), audience: cfg.STS.Audience, roles: map[string]bool{},
		proofs: newProofs(maxProofs), now: cfg.Now,
	}
	var err error
	if len(cfg.STS.Issuers) == 0 || cfg.STS.Audience == "" || len(cfg.STS.Roles) == 0 {
		err = fmt.Errorf("%s, %s, %s: give all three or none", flagIssuer, flagAudience, flagRole)
	}
	if len(cfg.STS.Issuers) > maxIssuers || len(cfg.STS.Roles) > maxRoles || len(cfg.STS.Audience) > maxAudienceLen {
		err = errors.Join(err, fmt.Errorf("%s, %s, %s: at most %d issuers, %d roles, and %d bytes of audience", flagIssuer, flagRole, flagAudience, maxIssuers, maxRoles, maxAudienceLen))
	}
	client := newClient(cfg.Transport)
	for _, issuer := range cfg.STS.Issuers {
		if !isIssuer(issuer) {
			err = errors.Join(err, fmt.Errorf("%s: %s is not the issuer of an account, as in https://6c5dd3a2-0f0c-4b0e-9d3f-2f8e2a7c1b11.tokens.sts.global.api.aws", flagIssuer, printable(issuer)))
			continue
		}
		t.issuers[issuer] = newSource(issuer, client, cfg.Now, log)
	}
	for _, role := range cfg.STS.Roles {
		if wrong := checkRole(role); wrong != "" {
			err = errors.Join(err, fmt.Errorf("%s: %s: %s", flagRole, printable(role), wrong))
		}
		t.roles[role] = true
	}
	return t, err
}

// isIssuer says whether s is an https address of nothing but a host. How AWS names the host is not looked at: it differs
// between partitions.
func isIssuer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && s == "https://"+u.Host && strings.ToLower(s) == s
}

// checkRole says what is wrong with the ARN of a role; "": nothing.
func checkRole(arn string) string {
	const form = "not the ARN of a role, as in arn:aws:iam::123456789012:role/orders-authorizer"
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) == 6 && parts[2] == "sts":
		return "this is a session; name the role that it is of, as in arn:aws:iam::123456789012:role/orders-authorizer"
	case len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "":
		return form
	case parts[1] != "aws" && (!strings.HasPrefix(parts[1], "aws-") || strings.Trim(parts[1], "abcdefghijklmnopqrstuvwxyz-") != ""):
		return form
	case len(parts[4]) != 12 || strings.Trim(parts[4], "0123456789") != "":
		return form
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-/" // of names and paths (IAM, CreateRole)
	name, ok := strings.CutPrefix(parts[5], "role/")
	switch {
	case strings.Contains(name, "*"):
		return "roles are named one by one; * stands for nothing"
	case !ok || name == "" || strings.HasSuffix(name, "/") || strings.Trim(name, alphabet) != "":
		return form
	}
	return ""
}

func (t *tokens) refresh(ctx context.Context) error {
	errs := make([]error, len(t.order))
	var wg sync.WaitGroup
	for i, issuer := range t.order {
		wg.Go(func() { errs[i] = t.issuers[issuer].refresh(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (t *tokens) status() []IssuerStatus {
	list := make([]IssuerStatus, len(t.order))
	for i, issuer := range t.order {
		list[i] = t.issuers[issuer].status()
	}
	return list
}
