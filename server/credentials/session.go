package credentials

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/secret"
)

// Session is what STS is asked for. It holds nothing secret that prints.
type Session struct {
	Alias          string
	RoleARN        string
	Action         Action
	Name           string // id of the decision
	SourceIdentity string // AssumeRole only
	Tags           []Tag  // AssumeRole only; sorted by key
	TransitiveTags []string
	Policy         string // JSON; "": none
	PolicyARNs     []string
	Duration       time.Duration
	Region         string
	ExternalID     secret.Value // zero: none
}

// Tag is a session tag.
type Tag struct{ Key, Value string }

// sourceIdentity is what STS takes for one (AWS, "AssumeRole").
var sourceIdentity = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)

// session is what STS is to be asked for, for a principal and a decision. Errors say what of the caller cannot stand where
// the file puts it; they hold no value.
func (r *role) session(p *policy.Principal, decision, region string, d time.Duration) (Session, error) {
	v := values{
		principalID: p.ObjectID, principalTenant: p.TenantID, principalClient: p.ClientID,
		decisionID: decision, aliasName: r.alias,
	}
	s := Session{
		Alias: r.alias, RoleARN: r.arn, Action: r.action, Name: decision, PolicyARNs: r.policyARNs, Duration: d,
		Region: r.region, ExternalID: r.externalID,
	}
	if s.Region == "" {
		s.Region = region
	}
	var err error
	if s.Policy, err = fillPolicy(r.policy, v, r.policyARNs); err != nil {
		return Session{}, fmt.Errorf("session policy: %w", err)
	}
	if r.action == WebIdentity {
		return s, nil
	}
	if !sourceIdentity.MatchString(p.ObjectID) {
		return Session{}, errors.New("source identity: STS would not take the caller's object id")
	}
	s.SourceIdentity, s.TransitiveTags = p.ObjectID, r.transitive
	for _, t := range r.tags {
		value, err := t.value.fill(v, func(_, value string) (string, error) { return value, nil })
		if err == nil {
			err = checkTagValue(value)
		}
		if err != nil {
			return Session{}, fmt.Errorf("session tag %s: %w", t.key, err)
		}
		s.Tags = append(s.Tags, Tag{Key: t.key, Value: value})
	}
	s.Tags = append(s.Tags, Tag{Key: decisionTag, Value: decision})
	slices.SortFunc(s.Tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return s, nil
}

// checkTagKey says what STS would have against a key.
func checkTagKey(key string) error {
	switch n := utf8.RuneCountInString(key); {
	case n < 1 || n > maxTagKey:
		return fmt.Errorf("a key has 1 to %d characters", maxTagKey)
	case !tagText(key):
		return errTagText
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return errors.New("keys that begin with aws: are AWS's own")
	case strings.EqualFold(key, decisionTag):
		return errors.New("verdict sets this one itself")
	}
	return nil
}

// checkTagValue says what STS would have against a value.
func checkTagValue(value string) error {
	switch {
	case utf8.RuneCountInString(value) > maxTagValue:
		return fmt.Errorf("a value has at most %d characters", maxTagValue)
	case !tagText(value):
		return errTagText
	case strings.HasPrefix(strings.ToLower(value), "aws:"):
		return errors.New("values that begin with aws: are AWS's own")
	}
	return nil
}

var errTagText = errors.New("STS takes letters, digits, spaces and _ . : / = + - @ in tags")

func tagText(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return true
}
