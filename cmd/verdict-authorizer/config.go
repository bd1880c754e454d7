package main

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	"github.com/verdict-authz/verdict/proto/verdictclient"
)

// prefix begins the name of every setting.
const prefix = "VERDICT_"

// config is what the environment says; docs/aws-lambda.md explains each.
type config struct {
	client      verdictclient.Config
	stsAudience string

	api     string            // of every request; "": by apis, or by host
	apis    map[string]string // by API/STAGE or API of the gateway
	allowed map[string]bool   // ACCOUNT:API of the gateways that may ask; empty: all that may invoke the function

	grantSet    bool          // answer with all that is permitted, rather than with the one route asked about
	simple      bool          // HTTP APIs with format 2.0 take a yes or no
	cacheTTL    time.Duration // what the authorizer is set to
	policyLimit int           // bytes of a policy
	reach       execapi.Reach
	basePath    string // of the custom domain; "": none

	tokenQuery      string // query parameter of WebSocket connections that may hold the token; "": none
	allowTestInvoke bool
	usageKey        bool // usageIdentifierKey is the principal
	contextName     bool // the context has the caller's display name
}

// variables makes a map of an environment.
func variables(env []string) map[string]string {
	vars := make(map[string]string, len(env))
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		vars[name] = value
	}
	return vars
}

// settings reads variables and gathers what is wrong with them.
type settings struct {
	vars     map[string]string
	known    map[string]bool
	problems []error
}

// readConfig reports all problems at once, by the name of the variable.
func readConfig(vars map[string]string) (*config, error) {
	s := settings{vars: vars, known: map[string]bool{}}
	c := &config{
		client: verdictclient.Config{
			Target: s.text("TARGET"), CAFile: s.text("CA_FILE"), CertFile: s.text("CERT_FILE"), KeyFile: s.text("KEY_FILE"),
			ServerName: s.text("SERVER_NAME"), Plaintext: s.yes("PLAINTEXT"),
			Timeout:   s.duration("TIMEOUT", 2*time.Second, 50*time.Millisecond, 9*time.Second),
			IdleLimit: s.duration("IDLE_LIMIT", time.Minute, time.Second, time.Hour),
		},
		stsAudience: s.text("STS_AUDIENCE"),
		api:         s.text("API"), apis: s.pairs("APIS"), allowed: s.set("ALLOWED_APIS"),
		grantSet: s.choice("MODE", "exact", "grant-set") == "grant-set",
		simple:   s.choice("ANSWER", "iam", "simple") == "simple",
		cacheTTL: s.duration("CACHE_TTL", 0, 0, time.Hour), policyLimit: s.number("POLICY_LIMIT", 6144, 1024, 64<<10),
		basePath: s.text("BASE_PATH"), tokenQuery: s.text("TOKEN_QUERY"),
		allowTestInvoke: s.yes("ALLOW_TEST_INVOKE"), usageKey: s.choice("USAGE_KEY", "none", "principal") == "principal",
		contextName: s.yes("CONTEXT_NAME"),
	}
	if s.choice("GATEWAY_ROUTES", "any", "declared") == "declared" {
		c.reach = execapi.ReachDeclared
	}
	s.together(c)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if rest, ours := strings.CutPrefix(name, prefix); ours && !s.known[rest] {
			s.problem(rest, "no such setting")
		}
	}
	return c, errors.Join(s.problems...)
}

// together checks what settings say of each other.
func (s *settings) together(c *config) {
	if c.client.Target == "" {
		s.problem("TARGET", "not set; give verdict's host:port")
	} else if host, port, err := net.SplitHostPort(c.client.Target); err != nil || host == "" || port == "" || strings.ContainsAny(c.client.Target, "/@ ") {
		s.problem("TARGET", fmt.Sprintf("%q: write host:port, such as verdict.internal:7300", c.client.Target))
	}
	if (c.client.CertFile == "") != (c.client.KeyFile == "") {
		s.problem("CERT_FILE, VERDICT_KEY_FILE", "give both or neither")
	}
	if c.client.Plaintext && (c.client.CAFile != "" || c.client.CertFile != "" || c.client.ServerName != "" || c.stsAudience != "") {
		s.problem("PLAINTEXT", "excludes VERDICT_CA_FILE, VERDICT_CERT_FILE, VERDICT_KEY_FILE, VERDICT_SERVER_NAME and VERDICT_STS_AUDIENCE, which need TLS")
	}
	if c.api != "" && len(c.apis) > 0 {
		s.problem("API, VERDICT_APIS", "give one of them")
	}
	if c.cacheTTL > 0 && !c.grantSet && !c.simple {
		s.problem("CACHE_TTL", "an exact policy that is kept refuses every other method and path; set the authorizer's TTL and this to 0s, or VERDICT_MODE=grant-set")
	}
	if c.cacheTTL > 0 && c.api == "" && len(c.apis) == 0 {
		s.problem("CACHE_TTL", "the gateway applies what it keeps under each of its domain names, so the api cannot be found by host; give VERDICT_API or VERDICT_APIS")
	}
	if c.cacheTTL%time.Second != 0 {
		s.problem("CACHE_TTL", "not whole seconds")
	}
	if c.grantSet && c.cacheTTL == 0 {
		s.problem("MODE", "grant-set is for answers that are kept; say in VERDICT_CACHE_TTL what the authorizer's TTL is")
	}
	if c.reach == execapi.ReachDeclared && !c.grantSet {
		s.problem("GATEWAY_ROUTES", "is about VERDICT_MODE=grant-set; set that too")
	}
	if c.basePath != "" && (!strings.HasPrefix(c.basePath, "/") || strings.HasSuffix(c.basePath, "/")) {
		s.problem("BASE_PATH", "begins with a slash and does not end in one")
	}
	for key := range c.allowed {
		account, api, _ := strings.Cut(key, ":")
		if len(account) != 12 || strings.Trim(account, "0123456789") != "" || api == "" || strings.ContainsAny(api, ":/*") {
			s.problem("ALLOWED_APIS", fmt.Sprintf("%q: write ACCOUNT:API, such as 123456789012:a1b2c3d4e5, separated by commas", key))
		}
	}
	for key, api := range c.apis {
		id, stage, staged := strings.Cut(key, "/")
		if id == "" || api == "" || staged && stage == "" || strings.ContainsAny(key, ":*") {
			s.problem("APIS", fmt.Sprintf("%q: write API/STAGE=ID or API=ID, separated by commas; ID is the api in verdict", key+"="+api))
		}
	}
}

func (s *settings) problem(name, text string) {
	s.problems = append(s.problems, fmt.Errorf("%s%s: %s", prefix, name, text))
}

func (s *settings) text(name string) string {
	s.known[name] = true
	return strings.TrimSpace(s.vars[prefix+name])
}

func (s *settings) yes(name string) bool { return s.choice(name, "false", "true") == "true" }

// choice returns one of the words; the first is the default.
func (s *settings) choice(name string, words ...string) string {
	v := s.text(name)
	if v == "" {
		return words[0]
	}
	if !slices.Contains(words, v) {
		s.problem(name, fmt.Sprintf("%q is not one of %s", v, strings.Join(words, ", ")))
		return words[0]
	}
	return v
}

func (s *settings) duration(name string, otherwise, least, most time.Duration) time.Duration {
	v := s.text(name)
	if v == "" {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		s.problem(name, fmt.Sprintf("%q is not a duration within %s and %s, such as 60s", v, least, most))
		return otherwise
	}
	return d
}

func (s *settings) number(name string, otherwise, least, most int) int {
	v := s.text(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		s.problem(name, fmt.Sprintf("%q is not a number within %d and %d", v, least, most))
		return otherwise
	}
	return n
}

// set reads words separated by commas.
func (s *settings) set(name string) map[string]bool {
	words := map[string]bool{}
	for word := range strings.SplitSeq(s.text(name), ",") {
		if word = strings.TrimSpace(word); word != "" {
			words[word] = true
		}
	}
	return words
}

// pairs reads KEY=VALUE separated by commas.
func (s *settings) pairs(name string) map[string]string {
	pairs := map[string]string{}
	for word := range s.set(name) {
		key, value, _ := strings.Cut(word, "=")
		if _, twice := pairs[key]; twice {
			s.problem(name, fmt.Sprintf("%q occurs twice", key))
		}
		pairs[key] = value
	}
	return pairs
}
