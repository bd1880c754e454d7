package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
)

// Config says what a server would be configured with. Entra has one provider, of the kind entra.Entra.
type Config struct {
	Entra                 entra.Config
	Audiences             []string // of the api; at least one
	AllowAppsWithoutRoles bool     // the api takes applications without roles
}

// Doctor examines one configuration.
type Doctor struct {
	cfg      Config
	provider entra.Provider
	skew     time.Duration
	now      func() time.Time
	verifier *entra.Verifier
	client   *http.Client
}

// New checks cfg as a server would. It fetches nothing.
func New(cfg Config) (*Doctor, error) {
	var err error
	if len(cfg.Audiences) == 0 {
		err = errors.New("no audience: an api has at least one, its client id")
	}
	for _, a := range cfg.Audiences {
		if a == "" || strings.TrimSpace(a) != a {
			err = errors.Join(err, fmt.Errorf("audience %q: empty, or with a space around it", a))
		}
	}
	if len(cfg.Entra.Providers) != 1 || cfg.Entra.Providers[0].Kind != entra.Entra {
		return nil, errors.Join(err, errors.New("one provider of the kind entra is examined at a time"))
	}
	// What the verifier would log is what the report says.
	v, vErr := entra.NewVerifier(cfg.Entra, slog.New(slog.DiscardHandler))
	if err = errors.Join(err, vErr); err != nil {
		return nil, err
	}
	d := &Doctor{cfg: cfg, provider: cfg.Entra.Providers[0], skew: cfg.Entra.Skew, now: cfg.Entra.Now, verifier: v}
	if d.now == nil {
		d.now = time.Now
	}
	if d.skew == 0 {
		d.skew = time.Minute // entra's own default
	}
	d.provider.Authority = lowerOrigin(d.provider.Authority)
	d.provider.MetadataBase = lowerOrigin(d.provider.MetadataBase)
	tenants := make([]string, 0, len(d.provider.Tenants))
	for _, t := range d.provider.Tenants {
		tenants = append(tenants, strings.ToLower(t))
	}
	d.provider.Tenants = tenants
	d.client = newClient(cfg.Entra)
	return d, nil
}

// lowerOrigin is a scheme and host as the verifier reads them.
func lowerOrigin(text string) string { return strings.ToLower(strings.TrimSuffix(text, "/")) }

// Examine looks at the configuration and at what the authority publishes.
func (d *Doctor) Examine(ctx context.Context) Report {
	r, _ := d.authority(ctx)
	return r
}

// ExamineToken looks at all of that and at a token, given without its scheme.
func (d *Doctor) ExamineToken(ctx context.Context, token string) Report {
	r, docs := d.authority(ctx)
	x := newExam(d, token, docs)
	r.add(x.steps()...)
	last, reason := x.judgement(ctx, r.failing())
	r.add(last)
	r.Reason = reason
	return r
}

// authority examines everything but the token.
func (d *Doctor) authority(ctx context.Context) (Report, []*document) {
	r := Report{At: d.now().UTC().Truncate(time.Second)}
	r.add(d.settings())
	_ = d.verifier.Refresh(ctx) // its problems are in Status
	docs := d.documents()
	for _, doc := range docs {
		doc.fetch(ctx, d)
		r.add(doc.steps(d)...)
	}
	r.add(clock(docs))
	return r, docs
}

// settings looks at what was configured by itself.
func (d *Doctor) settings() Step {
	const name = "settings"
	checked := fmt.Sprintf("%s, %s, %s", d.provider.Authority, number(len(d.provider.Tenants), "tenant"), number(len(d.cfg.Audiences), "audience"))
	for _, a := range d.cfg.Audiences {
		if owner := microsoftAPI(a); owner != "" {
			return warn(name, checked, fmt.Sprintf("the audience %s is that of %s", show(a), owner),
				"tokens for Microsoft's apis are for Microsoft's apis: they cannot be verified by anybody else",
				"give the client id of your own api: App registrations, your api, Overview, Application (client) ID")
		}
		if !d.provider.AcceptV1 && !isGUID(a) {
			return warn(name, checked, fmt.Sprintf("the audience %s is not a client id", show(a)),
				"v2 tokens carry the client id of the api in aud, never its App ID URI",
				"give the client id of the api: App registrations, your api, Overview, Application (client) ID")
		}
	}
	return ok(name, checked, "")
}

func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
