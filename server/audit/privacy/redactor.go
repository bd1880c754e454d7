package privacy

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// Recorder keeps records; *audit.Recorder is one. It copies what it keeps.
type Recorder interface {
	Record(d store.Decision, want policy.Keeping) error
}

// Redactor hands records on without what they need not tell. It is safe for concurrent use.
type Redactor struct {
	next      Recorder
	addresses Addresses
	names     *namer    // nil: no pseudonyms
	work      sync.Pool // of *work
}

// New returns a Redactor in front of next.
func New(next Recorder, cfg Config) (*Redactor, error) {
	err := cfg.Validate()
	if next == nil {
		err = errors.Join(errors.New("privacy: a recorder is required"), err)
	}
	if err != nil {
		return nil, err
	}
	r := &Redactor{next: next, addresses: cfg.Addresses}
	if !cfg.Key.IsZero() {
		r.names = &namer{root: cfg.Key}
	}
	r.work.New = func() any { return new(work) }
	return r, nil
}

// Record hands d on. It writes to nothing that d refers to, and returns what the next recorder does.
func (r *Redactor) Record(d store.Decision, want policy.Keeping) error {
	d.SourceIP = r.addresses.of(d.SourceIP)
	if r.names == nil {
		return r.next.Record(d, want)
	}
	w, _ := r.work.Get().(*work)
	w.names, w.month = r.names, monthOf(d.At)
	if d.PrincipalKind == int16(policy.PrincipalUser) {
		if d.PrincipalID != "" {
			subject := w.subject(d.TenantID, d.PrincipalID)
			d.PrincipalID = subject[len(subject)-pseudonymLen:]
		}
		d.TokenID = ""
	}
	d.Subjects = w.list(&w.subjects, d.Subjects)
	d.GrantSubjects = w.list(&w.grantSubjects, d.GrantSubjects)
	err := r.next.Record(d, want)
	w.forget()
	r.work.Put(w)
	return err
}

// Pseudonyms returns the pseudonyms under which records tell of a user in the months from that of one instant to that of the
// other, both included, oldest first; of more than MaxMonths the last ones. Tenant and object id are written as records and
// grants write them. It is nil without a key, and when from is in a later month than to.
func (r *Redactor) Pseudonyms(tenant, oid string, from, to time.Time) []Month {
	if r.names == nil {
		return nil
	}
	return r.names.months(tenant, oid, from, to)
}

const userWord = "user:"

// work is what one record needs and the next can reuse.
type work struct {
	names *namer
	month month

	// The user last asked for, since a record tells of one as a rule.
	tenant, oid, made string

	text                    []byte
	subjects, grantSubjects []string
}

// subject is user:{tenant}/{pseudonym}.
func (w *work) subject(tenant, oid string) string {
	if w.made != "" && w.tenant == tenant && w.oid == oid {
		return w.made
	}
	w.text = append(append(append(w.text[:0], userWord...), tenant...), '/')
	w.text = w.names.key(period{tenant, w.month}).append(w.text, tenant, oid)
	w.tenant, w.oid, w.made = tenant, oid, string(w.text)
	return w.made
}

// list is subjects with pseudonyms for its users, sorted again; subjects itself when there are none. It is in room.
func (w *work) list(room *[]string, subjects []string) []string {
	if !slices.ContainsFunc(subjects, isUser) {
		return subjects
	}
	named := (*room)[:0]
	for _, s := range subjects {
		if isUser(s) {
			tenant, oid, _ := strings.Cut(s[len(userWord):], "/")
			s = w.subject(tenant, oid)
		}
		named = append(named, s)
	}
	slices.Sort(named)
	*room = named
	return named
}

func isUser(subject string) bool { return strings.HasPrefix(subject, userWord) }

// forget lets go of everything but the room.
func (w *work) forget() {
	clear(w.subjects)
	clear(w.grantSubjects)
	w.tenant, w.oid, w.made = "", "", ""
}
