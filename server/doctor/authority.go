package doctor

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of what is still normal.
const (
	clockWarn = 60 * time.Second
	clockFail = 300 * time.Second // no skew is larger
	cacheWarn = time.Hour
)

// steps are the network's.
func (doc *document) steps(d *Doctor) []Step {
	return []Step{doc.reachable(), doc.pinned(d), doc.usable(), doc.age(d.now())}
}

func (doc *document) reachable() Step {
	if doc.err == nil {
		return ok("discovery", doc.url, "")
	}
	cause, fix := "this machine cannot reach the authority: name resolution, a firewall, or TLS that somebody opens on the way",
		"let this machine reach the authority by HTTPS, directly: verdict uses no proxy and public addresses only"
	if strings.HasPrefix(doc.err.Error(), "the answer is") {
		cause, fix = "the authority answers and does not know the tenant, or another host answers in its place",
			"compare the tenant with Entra, Overview, Tenant ID, and --authority with the cloud of the tenant (docs/tokens.md, Providers)"
	}
	return fail("discovery", doc.url, doc.err.Error(), cause, fix)
}

// pinned compares the issuer in the discovery with the one that the authority implies. The verifier knows the v1 issuers;
// one that it did not refuse is pinned.
func (doc *document) pinned(d *Doctor) Step {
	const name = "issuer"
	checked := "discovery of " + doc.tenant + doc.version() + " names the issuer that is pinned"
	if doc.err != nil {
		return skipped(name, checked, "there is no discovery")
	}
	template := d.issuerTemplate()
	if doc.v1 && doc.status.Keys > 0 || doc.issuer == template || doc.issuer == expand(template, doc.tenant) {
		return ok(name, checked, doc.issuer)
	}
	if doc.v1 {
		return warn(name, checked, show(doc.issuer), "the keys of v1 tokens cannot be used, see keys", "mend that first")
	}
	return fail(name, checked, fmt.Sprintf("%s instead of %s", show(doc.issuer), expand(template, doc.tenant)),
		"the authority is an alias of its cloud (login.windows.net, login.microsoft.com), or something answers in its place",
		"give the authority that the issuer begins with (docs/tokens.md, Providers)")
}

func (doc *document) version() string {
	if doc.v1 {
		return ", v1"
	}
	return ""
}

// issuerTemplate is the v2 issuer that the provider pins.
func (d *Doctor) issuerTemplate() string {
	if d.provider.Issuer != "" {
		return d.provider.Issuer
	}
	return d.provider.Authority + "/" + tenantPlace + "/v2.0"
}

func expand(template, tenant string) string { return strings.ReplaceAll(template, tenantPlace, tenant) }

// usable is whether the verifier has keys of the document.
func (doc *document) usable() Step {
	const name = "keys"
	checked := "signing keys of " + doc.tenant + doc.version()
	if doc.status.Keys > 0 && doc.status.Problem == "" {
		return ok(name, checked, number(doc.status.Keys, "usable key"))
	}
	found := doc.status.Problem
	if found == "" {
		found = "none"
	}
	if doc.keysErr != nil {
		found += "; " + doc.keysErr.Error()
	}
	return fail(name, checked, found,
		"the key document cannot be reached or verdict does not trust it: another host, a private address, a proxy's page, no RSA key of 2048 bits",
		"let this machine reach the authority and its jwks_uri by HTTPS, directly: verdict uses no proxy and public addresses only")
}

// age is how old the copy of the keys is, and how old the newest key.
func (doc *document) age(now time.Time) Step {
	const name = "key-age"
	checked := "age of the keys of " + doc.tenant + doc.version()
	if doc.keys == nil {
		return skipped(name, checked, "there are no keys")
	}
	found := "fetched now"
	if !doc.newest.IsZero() {
		found += fmt.Sprintf(", the newest certificate is of %s (%s ago)", doc.newest.Format(time.DateOnly), days(now.Sub(doc.newest)))
	}
	if doc.cached >= cacheWarn {
		return warn(name, checked, fmt.Sprintf("a cache has held them for %s", doc.cached),
			"a cache between this machine and the authority serves an old copy, in which a new signing key is missing",
			"take the authority out of the cache; Entra can change its keys at any time")
	}
	return ok(name, checked, found)
}

func days(d time.Duration) string { return number(int(d/(24*time.Hour)), "day") }

// clock compares this machine's clock with the authority's.
func clock(docs []*document) Step {
	const name, checked = "clock", "this machine's clock against the authority's Date header"
	for _, doc := range docs {
		if !doc.timed {
			continue
		}
		off := doc.clock.Abs()
		direction := "behind"
		if doc.clock < 0 {
			direction = "ahead"
		}
		found := fmt.Sprintf("%s %s", off, direction)
		cause, fix := "the clock of this machine is not kept by NTP, or stood still with its virtual machine", "let NTP keep the clock (chronyc tracking, timedatectl); --clock-skew only hides it"
		switch {
		case off > clockFail:
			return fail(name, checked, found, cause, fix)
		case off > clockWarn:
			return warn(name, checked, found, cause, fix)
		case off <= time.Second: // the header has whole seconds
			return ok(name, checked, "")
		}
		return ok(name, checked, found)
	}
	return skipped(name, checked, "the authority sent no date")
}
