package credentials

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/server/secret"
)

// Action is how STS is asked.
type Action uint8

// The two ways to a role.
const (
	AssumeRole  Action = iota // with verdict's own credentials, tags and a source identity
	WebIdentity               // with the caller's token
)

// String is the name of the call.
func (a Action) String() string {
	if a == WebIdentity {
		return "AssumeRoleWithWebIdentity"
	}
	return "AssumeRole"
}

// Durations of sessions. verdict runs on a role itself as a rule, and then AssumeRole is role chaining, which STS ends after an
// hour (AWS, "AssumeRole").
const (
	minDuration     = 15 * time.Minute
	maxDuration     = 12 * time.Hour
	maxChained      = time.Hour
	defaultDuration = minDuration
)

// longest is the most that an action can give.
func (a Action) longest() time.Duration {
	if a == AssumeRole {
		return maxChained
	}
	return maxDuration
}

// Limits of STS on a session (AWS, "IAM and AWS STS quotas").
const (
	maxTags        = 50
	maxTagKey      = 128 // characters
	maxTagValue    = 256
	maxPolicy      = 2048 // characters of the inline policy and the ARNs of managed ones together
	maxPolicyARNs  = 10
	maxWebIdentity = 20000 // characters of a web identity token
)

// decisionTag is the tag that every session of AssumeRole has, beside those of the file.
const decisionTag = "verdict-decision-id"

// permissionPrefix and an alias make the permission that is asked for.
const permissionPrefix = "assume."

// role is what stands behind an alias.
type role struct {
	alias       string
	description string
	arn         string
	action      Action
	longest     time.Duration
	region      string // "": the server's
	tags        []tagTemplate
	transitive  []string
	policy      template // JSON; empty: none
	policyARNs  []string
	externalID  secret.Value // zero: none
}

// tagTemplate is a session tag whose value may hold placeholders.
type tagTemplate struct {
	key   string
	value template
}

// Roles is the operator's file, checked. It does not change.
type Roles struct {
	api     string
	byAlias map[string]*role
}

// API is the id of the api whose permissions are `assume.{alias}`.
func (r *Roles) API() string { return r.api }

// Len is how many aliases there are.
func (r *Roles) Len() int { return len(r.byAlias) }

// aliases are all of them, sorted.
func (r *Roles) aliases() []string { return slices.Sorted(maps.Keys(r.byAlias)) }

// inRegion says which roles could not be asked for when those that name no region take this one.
func (r *Roles) inRegion(region string) (err error) {
	for _, alias := range r.aliases() {
		one := r.byAlias[alias]
		partition := roleARN.FindStringSubmatch(one.arn)[1]
		switch {
		case one.region != "":
		case region == "":
			err = errors.Join(err, fmt.Errorf("roles.%s: in which region is STS? Give it a region, or verdict a default", alias))
		case partitionOf(region) != partition:
			err = errors.Join(err, fmt.Errorf("roles.%s: its partition is %s, and region %s is of %s; give it a region", alias, partition, region, partitionOf(region)))
		}
	}
	return err
}
