package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/server/secret"
)

// storeFlags name the store.
type storeFlags struct {
	Store     string `help:"Where policy and decision records live: postgres://user@host/db or sqlite:PATH (one node only)." placeholder:"URL"`
	StoreFile string `help:"File that holds the --store URL, for one with a password." placeholder:"FILE"`

	StorePassword secret.Ref `help:"Secret that is the password of the store's user, when the URL has none; a new one is taken up without a restart. docs/secrets.md." placeholder:"REF"`
}

// url is the store's URL, from the flag or the file.
func (f *storeFlags) url() (string, error) {
	url, err := f.given()
	if err == nil && !f.StorePassword.IsZero() && !isPostgres(url) {
		err = errors.New("--store-password: only PostgreSQL has one")
	}
	return url, err
}

func (f *storeFlags) given() (string, error) {
	switch {
	case f.Store != "" && f.StoreFile != "":
		return "", errors.New("--store, --store-file: give one of them")
	case f.Store != "":
		return f.Store, nil
	case f.StoreFile == "":
		return "", errors.New("--store: none given; use postgres://user@host/db, or sqlite:PATH for one node")
	}
	content, err := os.ReadFile(f.StoreFile)
	if err != nil {
		return "", fmt.Errorf("--store-file: %w", err)
	}
	url := strings.TrimSpace(string(content))
	if url == "" {
		return "", fmt.Errorf("--store-file: %s is empty", f.StoreFile)
	}
	return url, nil
}

// tuning is what serve and dev share.
type tuning struct {
	ClockSkew        time.Duration `default:"60s" help:"Clock difference tolerated in token times; at most 300s."`
	PolicyPoll       time.Duration `default:"1s" help:"How often to look for a new policy revision."`
	MaxPolicyAge     time.Duration `default:"1h" help:"Deny with 503 when the store has not confirmed the policy for this long."`
	RevocationMaxAge time.Duration `default:"30s" help:"Deny with 503, for apis with strict_revocation, when the store has not confirmed the revocations for this long."`
	DecisionTTL      time.Duration `default:"0s" help:"Longest that callers of Check may keep an answer; 0: not at all."`
	OnAuditFailure   string        `default:"deny" enum:"deny,count" help:"When a decision cannot be recorded: deny it, or count the loss and go on."`
	Spool            string        `help:"Folder on a local disk where decision records are kept before the answer leaves, this process's alone. Without one they wait in memory; dev takes spool under --data." placeholder:"DIR"`
	SpoolSize        string        `default:"2GiB" help:"Most that the spool may take while the store is away: a number of KiB, MiB or GiB."`
	AuditDurability  string        `default:"spool" enum:"spool,strict,sync-db" help:"What an answer says of its record: it is in the spool and survives a crash of the process (spool), or a loss of power too (strict: answers wait for an fsync), or it is committed in the store (sync-db). An api may ask for another."`
	AuditFloodLimit  int           `default:"100" help:"Decisions a second that are recorded one by one of each kind that anyone can cause without a token, such as malformed requests; those above are counted in one record."`
	AuditQueue       int           `default:"65536" help:"Decision records held in memory while the store is away, without --spool."`
	AuditBatch       int           `default:"512" help:"Decision records written at once."`
	AuditWait        time.Duration `default:"100ms" help:"Longest a decision record waits for its batch."`
	ShutdownTimeout  time.Duration `default:"10s" help:"Longest to wait for calls and records under way when stopping."`
}

func (t *tuning) validate() (err error) {
	if t.ClockSkew < time.Second || t.ClockSkew > 5*time.Minute {
		err = errors.Join(err, fmt.Errorf("--clock-skew: %s is not within 1s and 300s", t.ClockSkew))
	}
	if t.PolicyPoll <= 0 || t.PolicyPoll > time.Minute {
		err = errors.Join(err, fmt.Errorf("--policy-poll: %s is not within 1ms and 1m", t.PolicyPoll))
	}
	if t.MaxPolicyAge < 2*t.PolicyPoll {
		err = errors.Join(err, fmt.Errorf("--max-policy-age: %s is under two polls; every pause would deny everything", t.MaxPolicyAge))
	}
	if t.RevocationMaxAge < time.Second || t.RevocationMaxAge > time.Hour {
		err = errors.Join(err, fmt.Errorf("--revocation-max-age: %s is not within 1s and 1h", t.RevocationMaxAge))
	}
	if t.DecisionTTL < 0 || t.DecisionTTL > time.Hour {
		err = errors.Join(err, fmt.Errorf("--decision-ttl: %s is not within 0s and 1h", t.DecisionTTL))
	}
	if t.AuditQueue < 1 || t.AuditBatch < 1 || t.AuditBatch > t.AuditQueue {
		err = errors.Join(err, errors.New("--audit-queue, --audit-batch: both at least 1, and the queue no smaller than a batch"))
	}
	if t.AuditFloodLimit < 1 {
		err = errors.Join(err, errors.New("--audit-flood-limit: at least 1"))
	}
	if _, bad := parseSize(t.SpoolSize); bad != nil {
		err = errors.Join(err, fmt.Errorf("--spool-size: %w", bad))
	}
	if t.Spool == "" && (t.AuditDurability == "strict" || t.SpoolSize != defaultSpoolSize) {
		err = errors.Join(err, errors.New("--audit-durability strict, --spool-size: they are about the spool; give --spool too"))
	}
	if t.AuditWait <= 0 || t.ShutdownTimeout <= 0 {
		err = errors.Join(err, errors.New("--audit-wait, --shutdown-timeout: must be longer than 0s"))
	}
	return err
}

func (t *tuning) apply(o *server.Options) {
	o.PolicyPoll, o.MaxPolicyAge, o.DecisionTTL, o.DrainTimeout = t.PolicyPoll, t.MaxPolicyAge, t.DecisionTTL, t.ShutdownTimeout
	o.RevocationMaxAge = t.RevocationMaxAge
	o.Entra.Skew = t.ClockSkew
	o.Audit = audit.Config{Queue: t.AuditQueue, Batch: t.AuditBatch, Wait: t.AuditWait, OnFailure: audit.Deny}
	if t.OnAuditFailure == "count" {
		o.Audit.OnFailure = audit.Count
	}
	o.Spool.Dir = t.Spool
	o.Spool.MaxBytes, _ = parseSize(t.SpoolSize) // validate has said what is wrong
	o.Audit.FloodLimit = t.AuditFloodLimit
	if t.Spool != "" || t.AuditDurability == "sync-db" { // without a spool records wait in memory
		o.Audit.Durability, _ = audit.ParseDurability(t.AuditDurability) // kong lets no other word through
	}
}

// issuerFlags name who issues the tokens. Serve and doctor share them, so that what doctor examines is what serve does.
type issuerFlags struct {
	Authority        string   `default:"https://login.microsoftonline.com" help:"Authority of the Microsoft cloud that issues the tokens."`
	Tenant           []string `help:"Tenant id (GUID) whose tokens are accepted; repeat or separate with commas." placeholder:"GUID"`
	AcceptV1Tokens   bool     `name:"accept-v1-tokens" env:"VERDICT_ACCEPT_V1_TOKENS" help:"Accept version 1.0 access tokens too."`
	AllowMissingType bool     `name:"allow-missing-idtyp" help:"Accept tokens without the optional claim idtyp."`
}

// keyFlags say how signing keys are had and kept.
type keyFlags struct {
	ProvidersFile    string `help:"YAML file of several issuers, in place of --authority and --tenant; docs/providers.md." placeholder:"FILE"`
	KeyCache         string `help:"Folder that keeps the issuers' keys, so that verdict can start while they cannot be reached; none: not kept." placeholder:"DIR"`
	RequireFreshKeys bool   `help:"Use nothing from --key-cache that this process did not fetch itself."`
	StrictKeyRemoval bool   `help:"Refuse a key as soon as its issuer no longer publishes it, rather than within 24 h."`
}

// apply sets who issues the tokens: the file, or the one authority of the flags.
func (f *keyFlags) apply(o *server.Options, single *issuerFlags) (err error) {
	o.Entra.CacheDir, o.Entra.RequireFreshStart, o.Entra.StrictRemoval = f.KeyCache, f.RequireFreshKeys, f.StrictKeyRemoval
	switch {
	case f.ProvidersFile != "" && len(single.Tenant) > 0:
		err = errors.New("--providers-file, --tenant: give one of them; the file has tenants of its own")
	case f.ProvidersFile != "":
		o.Entra.Providers, err = loadProviders(f.ProvidersFile)
	case len(single.Tenant) == 0:
		err = errors.New("--tenant: none given; no token could be accepted")
	default:
		o.Entra.Providers = []entra.Provider{single.provider()}
	}
	if f.RequireFreshKeys && f.KeyCache == "" {
		err = errors.Join(err, errors.New("--require-fresh-keys: means nothing without --key-cache"))
	}
	if err != nil {
		return err
	}
	_, err = entra.NewVerifier(o.Entra, o.Log) // fetches nothing yet
	return err
}

func (f *issuerFlags) provider() entra.Provider {
	return entra.Provider{
		Kind: entra.Entra, Authority: f.Authority, Tenants: f.Tenant, AcceptV1: f.AcceptV1Tokens, AllowMissingIDType: f.AllowMissingType,
		AllowLoopbackHTTP: strings.HasPrefix(f.Authority, "http:"), // a test issuer on this machine; anything farther is refused
	}
}

// awsFlags are about credentials of AWS. docs/aws-credentials.md is their guide.
type awsFlags struct {
	AWSRolesFile   string `name:"aws-roles-file" help:"YAML file of roles whose credentials are given out; none: nobody gets any." placeholder:"FILE"`
	AWSRegion      string `name:"aws-sts-region" help:"Region whose STS is asked for roles that name none; none: AWS_REGION." placeholder:"REGION"`
	AWSSTSEndpoint string `name:"aws-sts-endpoint" help:"Takes the place of STS's address in every region, such as that of a VPC endpoint." placeholder:"URL"`
	AWSPerMinute   int    `name:"aws-per-minute" default:"10" help:"Credentials that a principal gets a minute, and at once."`
}

func (f *awsFlags) apply(o *server.Options) {
	o.AWSRoles = server.AWSRoles{File: f.AWSRolesFile, Region: f.AWSRegion, Endpoint: f.AWSSTSEndpoint, PerMinute: f.AWSPerMinute}
}

// listenFlags say where serve listens.
type listenFlags struct {
	DecisionListen      string `default:"127.0.0.1:7300" help:"Where proxies and functions ask: host:port or unix:/path."`
	DecisionTLSCert     string `name:"decision-tls-cert" help:"PEM certificate chain of the decision listener." placeholder:"FILE"`
	DecisionTLSKey      string `name:"decision-tls-key" help:"PEM private key of the decision listener." placeholder:"FILE"`
	DecisionTLSClientCA string `name:"decision-tls-client-ca" help:"PEM certificates that sign those of callers; callers then need one." placeholder:"FILE"`
	AdminListen         string `default:"127.0.0.1:7301" help:"Where policy and audit are served: a loopback host:port or unix:/path."`
	AdminTLSCert        string `name:"admin-tls-cert" help:"PEM certificate chain of the admin listener." placeholder:"FILE"`
	AdminTLSKey         string `name:"admin-tls-key" help:"PEM private key of the admin listener." placeholder:"FILE"`
	AdminTLSClientCA    string `name:"admin-tls-client-ca" help:"PEM certificates that sign those of administrators." placeholder:"FILE"`
	HTTPListen          string `name:"http-listen" default:"127.0.0.1:7302" help:"Where health and metrics are served: host:port or unix:/path; empty: nowhere."`
	HTTPTLSCert         string `name:"http-tls-cert" help:"PEM certificate chain of the health and metrics listener." placeholder:"FILE"`
	HTTPTLSKey          string `name:"http-tls-key" help:"PEM private key of the health and metrics listener." placeholder:"FILE"`
	HTTPTLSClientCA     string `name:"http-tls-client-ca" help:"PEM certificates that sign those of scrapers and probes; they then need one." placeholder:"FILE"`
	InsecurePlaintext   bool   `help:"Serve decisions, health and metrics without TLS beyond loopback, because something in front encrypts."`
}

// pepFlags say who may ask. docs/pep.md.
type pepFlags struct {
	PEPAllow       []string `name:"pep-allow" help:"Name of a client certificate that may ask for decisions: a DNS name, or a SPIFFE id of which a segment may be *; repeat. docs/pep.md." placeholder:"NAME"`
	PEPSTSIssuer   []string `name:"pep-sts-issuer" help:"Issuer of an AWS account whose roles may ask with a token of STS; repeat." placeholder:"URL"`
	PEPSTSAudience string   `name:"pep-sts-audience" help:"What such tokens must be for." placeholder:"TEXT"`
	PEPSTSRole     []string `name:"pep-sts-role" help:"ARN of a role that may ask; repeat." placeholder:"ARN"`
}

// serveCmd is the settings of verdict serve, in the groups in which --help shows them.
type serveCmd struct {
	storeFlags    `embed:"" group:"Store"`
	listenFlags   `embed:"" group:"Listeners"`
	issuerFlags   `embed:"" group:"Issuers of tokens"`
	keyFlags      `embed:"" group:"Issuers of tokens"`
	groupFlags    `embed:"" group:"Groups of callers"`
	pepFlags      `embed:"" group:"Who may ask"`
	tuning        `embed:"" group:"Decisions and their records"`
	evidenceFlags `embed:"" group:"Privacy and proof"`
	exportFlags   `embed:"" group:"Export of records"`
	awsFlags      `embed:"" group:"Credentials of AWS"`

	VerboseErrors bool `group:"Decisions and their records" help:"Tell callers exactly which check their token failed; for development."`
}

// options checks every setting and reports all problems at once.
func (c *serveCmd) options(log *slog.Logger) (server.Options, error) {
	o := server.Options{
		Version:           version(),
		Decision:          server.Listen{Address: c.DecisionListen, CertFile: c.DecisionTLSCert, KeyFile: c.DecisionTLSKey, ClientCA: c.DecisionTLSClientCA, ClientOptional: len(c.PEPSTSRole) > 0},
		Admin:             server.Listen{Address: c.AdminListen, CertFile: c.AdminTLSCert, KeyFile: c.AdminTLSKey, ClientCA: c.AdminTLSClientCA},
		HTTP:              server.Listen{Address: c.HTTPListen, CertFile: c.HTTPTLSCert, KeyFile: c.HTTPTLSKey, ClientCA: c.HTTPTLSClientCA},
		PEP:               pep.Config{Allow: c.PEPAllow, STS: pep.STS{Issuers: c.PEPSTSIssuer, Audience: c.PEPSTSAudience, Roles: c.PEPSTSRole}},
		InsecurePlaintext: c.InsecurePlaintext,
		Verbose:           c.VerboseErrors,
		Log:               log,
	}
	c.tuning.apply(&o)
	c.groupFlags.apply(&o)
	c.awsFlags.apply(&o)
	err := c.keyFlags.apply(&o, &c.issuerFlags)
	_, pepErr := pep.New(o.PEP, log) // fetches nothing yet
	return o, errors.Join(err, pepErr, c.tuning.validate(), c.evidenceFlags.validate(), c.exportFlags.validate(), c.groupFlags.validate(), o.Validate())
}

// refs are the secrets that are asked for, by flag.
func (c *serveCmd) refs() map[string]secret.Ref {
	refs := c.evidenceFlags.refs()
	refs[storePasswordFlag], refs[graphSecretFlag], refs[ldapPasswordFlag] = c.StorePassword, c.GraphSecret, c.LDAPPassword
	refs[otlpHeadersFlag], refs[kafkaPasswordFlag] = c.ExportOTLPHeaders, c.ExportKafkaPassword
	return refs
}
